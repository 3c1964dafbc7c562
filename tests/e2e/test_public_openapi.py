"""The vendor's public OpenAPI documents, driven against our server: every operation we share with them answers as they say.

The documents are not ours and not in this repository. PERENNIAL_PUBLIC_OPENAPI names a folder with api-v1.yaml, api-v2.yaml, api-v2-beta.yaml
and external-purchases-api.yaml, as the repository RevenueCat/docs keeps them in `openapi-spec`.
"""

import asyncio
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.contract.v2_operations import BODIES, OPERATIONS, QUERIES, filled, ids_of
from tests.e2e.conftest import Deployment
from tests.e2e.public_openapi import Departure, Judge, Verdict, exercise, load, operations_of, require_all
from tests.world import World

FOLDER = Path(os.environ.get("PERENNIAL_PUBLIC_OPENAPI", "nowhere"))
EXAMPLES = 8

pytestmark = [
    pytest.mark.skipif(not FOLDER.is_dir(), reason="PERENNIAL_PUBLIC_OPENAPI names no folder with the vendor's OpenAPI documents"),
    pytest.mark.filterwarnings("ignore"),
]

# Operations of the documents that are not driven here.
LEFT_OUT = {
    "get-overview-metrics": "metrics come with charts",
    "get-chart-data": "charts are a part of their own",
    "get-chart-options": "charts are a part of their own",
    "list-paywalls": "paywalls are a part of their own",
    "get-paywall": "paywalls are a part of their own",
    "create-paywall": "paywalls are a part of their own",
    "delete-paywall": "paywalls are a part of their own",
    "list-customer-invoices": "invoices are of the vendor's own billing engine",
    "get-invoice": "invoices are of the vendor's own billing engine",
}
# Refused here with 422: the shop has neither Stripe nor App Store Connect. tests/flows/test_portals.py and test_create_in_store.py show them done.
NEEDS_A_STORE = {
    "GET /projects/{project_id}/subscriptions/{subscription_id}/authenticated_management_url",
    "POST /projects/{project_id}/products/{product_id}/create_in_store",
}

LONGER = "our ids carry the moment they were made and are longer"
NEWER = "the vendor's newer answers have it, as the fixtures of its own command line client show"
OURS = "ours, beside what is documented"
STORES = [
    "amazon",
    "app_store",
    "mac_app_store",
    "play_store",
    "promotional",
    "stripe",
    "rc_billing",
    "external",
    "roku",
    "paddle",
    "paypal",
    "galaxy",
    "test_store",
    "microsoft",
]
V2 = [
    *(Departure(f"components/schemas/{name}/properties/project_id/maxLength", 31, LONGER) for name in ("AuditLog", "Customer", "Entitlement")),
    *(Departure(f"components/schemas/{name}/properties/project_id/maxLength", 31, LONGER) for name in ("Offering", "VirtualCurrency")),
    *(
        Departure(f"components/schemas/{name}/properties/state", {"enum": ["active", "inactive"]}, NEWER)
        for name in ("Entitlement", "Offering", "Product")
    ),
    *(Departure(f"components/schemas/{name}/properties/store/enum", STORES, NEWER) for name in ("Subscription", "Purchase")),
    Departure("components/schemas/Product/properties/prices", {"type": "array"}, OURS),
    Departure("components/schemas/Subscription/properties/revenue", {"type": "array"}, OURS),
    Departure("components/schemas/Project/properties/perennial", {"type": "object"}, OURS),
    Departure("components/schemas/WebhookIntegration/properties/perennial", {"type": "object"}, OURS),
    Departure("components/schemas/WebhookIntegration/properties/signing_secret", {"type": "string"}, OURS),
]

_SUBSCRIBER = "components/schemas/Subscriber/properties/subscriber/properties"
_SUBSCRIPTION = f"{_SUBSCRIBER}/subscriptions/additionalProperties/properties"
_ONE_TIME = f"{_SUBSCRIBER}/non_subscriptions/additionalProperties/items/properties"
NULLS = "its description or its example is null where its type is not"
V1 = [
    *(
        Departure(f"{_SUBSCRIBER}/{name}/nullable", True, NULLS)
        for name in ("management_url", "original_application_version", "original_purchase_date")
    ),
    *(
        Departure(f"{_SUBSCRIPTION}/{name}/nullable", True, NULLS)
        for name in ("auto_resume_date", "billing_issues_detected_at", "grace_period_expires_date", "refunded_at", "unsubscribe_detected_at")
    ),
    *(
        Departure(f"{pointer}/{name}/nullable", True, "what is not known is null, as the SDKs read it")
        for pointer in (_SUBSCRIPTION, _ONE_TIME)
        for name in ("price", "display_name")
    ),
]


class Shop:
    """A project with one of everything, and spares for what is refunded, joined or deleted."""

    def __init__(self, base_url: str, world: World, ids: dict[str, str]) -> None:
        self._http = httpx.Client(base_url=base_url, headers=world.secret, trust_env=False, timeout=30)
        self._base_url = base_url
        self._spares = 0
        self.world = world
        self.ids = ids

    def post(self, path: str, body: Any = None) -> Any:
        answer = self._http.post(f"/v2/projects/{self.world.project_id}{path}", json=body)
        assert answer.is_success, answer.text
        return answer.json()

    def id_of(self, path: str, body: Any) -> str:
        made: str = self.post(path, body)["id"]
        return made

    def bought(self, app_user_id: str, product: str, kind: str) -> str:
        body = {"app_user_id": app_user_id, "fetch_token": f"test_{app_user_id}", "product_id": product}
        assert self._http.post("/v1/receipts", json=body, headers=self.world.sdk()).is_success
        held: str = self._http.get(f"/v2/projects/{self.world.project_id}/customers/{app_user_id}/{kind}").json()["items"][0]["id"]
        return held

    def spares_for(self, operation_id: str) -> dict[str, str]:
        """Ids of what this operation may use up, made just now."""
        self._spares += 1
        name, named = f"spare{self._spares}", {"lookup_key": f"spare{self._spares}", "display_name": "Spare"}
        match operation_id:
            case "get-app-storekit-config":
                return {"app_id": self.world.app_ids["app_store"]}
            case "delete-app":
                return {"app_id": self.id_of("/apps", {"name": name, "type": "test_store"})}
            case "delete-product":
                return {"product_id": self.id_of("/products", {"store_identifier": name, "app_id": self.ids["app_id"], "type": "consumable"})}
            case "delete-entitlement":
                return {"entitlement_id": self.id_of("/entitlements", named)}
            case "delete-offering":
                return {"offering_id": self.id_of("/offerings", named)}
            case "delete-package-from-offering":
                return {"package_id": self.id_of(f"/offerings/{self.ids['offering_id']}/packages", named)}
            case "delete-webhook-integration":
                return {"webhook_integration_id": self.id_of("/integrations/webhooks", {"name": name, "url": "https://example.com/spare"})}
            case "delete-virtual-currency":
                return {"virtual_currency_code": self.post("/virtual_currencies", {"code": f"S{self._spares}", "name": name})["code"]}
            case "delete-customer" | "delete-subscriber" | "block-customer" | "transfer-customer-data":
                return dict.fromkeys(("customer_id", "app_user_id"), self.id_of("/customers", {"id": name}))
            case "unblock-customer":
                self.post(f"/customers/blocked_customers/{name}")
                return {"customer_id": name}
            case "revoke-customer-granted-entitlement":
                self.post("/customers/ada/actions/grant_entitlement", filled(BODIES["grant-customer-entitlement"], self.ids))
                return {}
            case "refund-purchase":
                return {"purchase_id": self.bought(name, "pro_lifetime", "purchases")}
            case "cancel-subscription" | "refund-subscription" | "refund-play-store-subscription-transaction":
                return {"subscription_id": self.bought(name, "pro_monthly", "subscriptions"), "transaction_id": f"test_{name}"}
            case "revoke-a-google-subscription" | "refund-a-google-subscription":
                self.bought(name, "pro_monthly", "subscriptions")
                return {"app_user_id": name, "store_transaction_identifier": f"test_{name}"}
            case _:
                return {}

    def call(self, prefix: str, case: Any) -> Any:
        """With a secret key, except where only apps may ask, or where no platform has the Test Store."""
        for_apps = case.operation.definition.raw["operationId"] in ("get-offerings", "receipts")
        headers = self.world.sdk() if for_apps else self.world.secret
        return case.call(base_url=f"{self._base_url}{prefix}", headers=headers, timeout=30)


# v2 ---------------------------------------------------------------------------------------------------------------------------


def address(operation: Any) -> tuple[str, str]:
    return operation.method.upper(), re.sub(r"\{[^}]*\}", "{}", operation.path)


SERVED = {(method, re.sub(r"\{[^}]*\}", "{}", path.removeprefix("/v2"))): name for name, method, path in OPERATIONS}
USES_UP = ("transfer-customer-data", "revoke-customer-granted-entitlement", "block-customer", "unblock-customer")


def turn_of(operation: Any) -> tuple[int, str]:
    """Reads first, then what adds, then what uses up, then what deletes."""
    name = operation.definition.raw["operationId"]
    return 2 if name in USES_UP or "refund" in name else {"get": 0, "post": 1, "delete": 3}[operation.method], name


def known_to_v2(operation: Any, ids: dict[str, str]) -> Iterator[Any]:
    """What succeeds, and the same with each thing put in that can be expanded."""
    ours = SERVED[address(operation)]
    body = {"target_customer_id": "bob"} if ours == "transfer-customer-data" else filled(BODIES.get(ours), ids)
    sent = {} if body is None else {"body": body, "media_type": "application/json"}
    path = {name: ids[name] for name in re.findall(r"\{(\w+)\}", operation.path)}
    for expand in [{}, *({"expand": one} for one in expandable(operation))]:
        yield operation.Case(path_parameters=path, query={**QUERIES.get(ours, {}), **expand}, **sent)


def expandable(operation: Any) -> list[str]:
    found = [one for one in operation.definition.raw.get("parameters", []) if one.get("name") == "expand"]
    return [word for one in found for word in one["schema"]["items"]["enum"]]


def about_what_there_is(thing: Any, ids: dict[str, str]) -> Any:
    """A made-up body, with the names of what exists."""
    if isinstance(thing, list):
        return [about_what_there_is(one, ids) for one in thing]
    if not isinstance(thing, dict):
        return thing
    made = {name: about_what_there_is(one, ids) for name, one in thing.items()}
    made |= {name: ids[name] for name, one in made.items() if name in ids and isinstance(one, str)}
    made |= {name: [ids[name[:-1]]] for name, one in made.items() if name in ("product_ids", "app_ids") and isinstance(one, list)}
    if isinstance(made.get("adjustments"), dict):
        made["adjustments"] = dict.fromkeys([ids["virtual_currency_code"]], 5)
    if isinstance(made.get("expires_at"), int):
        made["expires_at"] = 4_102_444_800_000 + abs(made["expires_at"]) % 86_400_000
    return made


def prepared(ids: dict[str, str]) -> Any:
    def prepare(case: Any, number: int) -> None:
        """Three of four are about what there is; the rest names what nobody has."""
        if "project_id" in case.path_parameters:
            case.path_parameters["project_id"] = ids["project_id"]
        if number % 4 == 3:
            return
        case.path_parameters.update({name: ids[name] for name in case.path_parameters if name in ids})
        case.query.pop("starting_after", None)
        case.query.update({name: ids[name] for name in case.query if name in ids})
        if isinstance(case.query.get("limit"), int):
            case.query["limit"] = 1 + abs(case.query["limit"]) % 5
        case.body = about_what_there_is(case.body, ids)

    return prepare


def drive_v2(shop: Shop) -> list[Verdict]:
    """Both documents; what they say alike, once."""
    verdicts: dict[str, Verdict] = {}
    for name in ("api-v2.yaml", "api-v2-beta.yaml"):
        document = load(FOLDER / name, V2)
        judge = Judge(document, error={"$ref": "#/components/schemas/Error"})
        driven = [one for one in operations_of(document) if one.definition.raw["operationId"] not in LEFT_OUT]
        for operation in sorted(driven, key=turn_of):
            if operation.label in verdicts:
                continue
            assert address(operation) in SERVED, f"{operation.label} is neither served nor left out for a reason"
            ids = {**shop.ids, "target_customer_id": "bob"}
            verdicts[operation.label] = exercise(
                operation,
                judge,
                lambda case: shop.call("/v2", case),
                known=list(known_to_v2(operation, {**ids, **shop.spares_for(operation.definition.raw["operationId"])})),
                prepare=prepared({**ids, **shop.spares_for(operation.definition.raw["operationId"])}),
                examples=EXAMPLES,
            )
    return list(verdicts.values())


async def test_v2(deployment: Deployment, world: World) -> None:
    shop = await open_shop(deployment, world)
    settle(await asyncio.to_thread(drive_v2, shop), at_least=78)


# v1 ---------------------------------------------------------------------------------------------------------------------------

V1_BODIES: dict[str, Any] = {
    "receipts": {"app_user_id": "ada", "fetch_token": "test_another", "product_id": "pro_annual"},
    "subscribersattribution": {"network": "0", "data": {"rc_idfa": "IDFA"}},
    "grant-a-promotional-entitlement": {"duration": "weekly"},
    "update-subscriber-attributes": {"attributes": {"key_name": {"value": "red", "updated_at_ms": 1_700_000_000_000}}},
    "defer-a-google-subscription": {"extend_by_days": 3},
    "extend-an-apple-subscription": {"extend_by_days": 3, "extend_reason_code": 0},
}
V1_ORDER = ("delete-offering-override", "revoke-a-google-subscription", "refund-a-google-subscription", "delete-subscriber")


def drive_v1(shop: Shop) -> list[Verdict]:
    document = load(FOLDER / "api-v1.yaml", V1)
    require_all(document["components"]["schemas"], but=frozenset(("subscriber_attributes",)))  # which only servers are told
    judge = Judge(document, error={"$ref": "#/components/schemas/Error"})
    verdicts = []
    operations = {one.definition.raw["operationId"]: one for one in operations_of(document)}
    for name in sorted(operations, key=lambda name: (V1_ORDER.index(name) + 1 if name in V1_ORDER else 0, name)):
        ids = {**shop.ids, **shop.spares_for(name)}
        path = {one: ids[one] for one in re.findall(r"\{(\w+)\}", operations[name].path)}
        sent = {"body": V1_BODIES[name], "media_type": "application/json"} if name in V1_BODIES else {}
        known = [operations[name].Case(path_parameters=path, headers={"X-Platform": "ios"}, **sent)]
        verdicts.append(exercise(operations[name], judge, lambda case: shop.call("/v1", case), known=known, prepare=prepared(ids), examples=EXAMPLES))
    return verdicts


async def test_v1(deployment: Deployment, world: World) -> None:
    shop = await open_shop(deployment, world)
    shop.ids |= {
        "app_user_id": "ada",
        "entitlement_identifier": "pro",
        "product_identifier": "pro_monthly",
        "offering_uuid": shop.ids["offering_id"],
        "store_transaction_identifier": "test_monthly",
    }
    settle(await asyncio.to_thread(drive_v1, shop), at_least=15)


# External purchases -----------------------------------------------------------------------------------------------------------


def drive_external(shop: Shop) -> list[Verdict]:
    document = load(FOLDER / "external-purchases-api.yaml", [])
    judge = Judge(document, error={"$ref": "#/components/schemas/BadRequestError"})
    [operation] = operations_of(document)
    line = {"source_subscription_identifier": "sub_1"}
    purchase = {
        "object": "external_subscription",
        "customer_id": "ada",
        **line,
        "source_product_identifier": "elsewhere",
        "updated_at": "2026-01-01T00:00:00",
        "current_period_starts_at": "2026-01-01T00:00:00",
        "current_period_ends_at": "2099-01-01T00:00:00",
        "gives_access": True,
        "status": "active",
        "environment": "production",
        "auto_renewal_status": "will_renew",
        "metadata": {"campaign": "spring", "seats": 3, "beta": False, "note": None},
    }
    payment = {
        "object": "external_subscription_payment",
        **line,
        "payment_identifier": "pay_1",
        "processed_at": "2026-01-01T00:00:00",
        "country": "DE",
        "amount_in_local_currency": {"gross": 9.99, "currency": "EUR"},
        "active_offer_type": "introductory_offer",
        "active_offer": "half_price",
    }
    bodies = [{"purchase": purchase, "payment": payment}, {"purchase": purchase}, {"payment": payment}, {"purchase": purchase, "payment": None}]
    known = [operation.Case(body=body, media_type="application/json") for body in bodies]
    verdict = exercise(operation, judge, lambda case: shop.call("", case), known=known, prepare=lambda case, number: None, examples=60)
    assert verdict.statuses[200] >= len(known), "the documented samples are taken"
    return [verdict]


async def test_external_purchases(deployment: Deployment, world: World) -> None:
    shop = await open_shop(deployment, world)
    shop.post("/apps", {"name": "Elsewhere", "type": "external"})
    settle(await asyncio.to_thread(drive_external, shop), at_least=1)


# All --------------------------------------------------------------------------------------------------------------------------


async def open_shop(deployment: Deployment, world: World) -> Shop:
    shop = Shop(deployment.base_url, world, await ids_of(world))
    shop.post("/customers", {"id": "bob", "attributes": [{"name": "team", "value": "red"}]})
    shop.post("/customers/ada/attributes", {"attributes": [{"name": "$email", "value": "ada@example.com"}]})
    shop.post("/customers/ada/actions/grant_entitlement", filled(BODIES["grant-customer-entitlement"], shop.ids))
    shop.post("/customers/ada/virtual_currencies/update_balance", filled(BODIES["update-virtual-currencies-balance"], shop.ids))
    return shop


def settle(verdicts: list[Verdict], *, at_least: int) -> None:
    """Prints the table (`pytest -rP` shows it), and holds to it."""
    print(*(one.row() for one in verdicts), sep="\n")
    problems = [f"{one.label}: {problem}\n    {answer}" for one in verdicts for problem, answer in one.problems.items()]
    assert not problems, "\n".join(problems)
    unshown = {one.label for one in verdicts if not one.succeeded} - NEEDS_A_STORE
    assert unshown == set(), "none of their requests succeeded, so nothing was shown of them"
    assert len(verdicts) >= at_least
