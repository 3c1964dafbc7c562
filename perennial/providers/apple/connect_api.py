"""The App Store Connect API: making products that apps sell.

Another API than `server_api`'s, with another key: a team key of App Store Connect whose role may manage apps (settings
`app_store_connect_api_key_id`, `app_store_connect_api_key_issuer`; secret `app_store_connect_api_key`, the .p8 file). Its shapes are JSON:API.
Calls, attributes and error codes are Apple's (App Store Connect API 3.x: apps, subscriptionGroups, subscriptions, inAppPurchases v2).

Apple takes no idempotency keys: what was made by a call whose answer was lost is there already at the next, and said to be.
"""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from typing import NoReturn
from urllib.parse import parse_qsl, urlsplit

import msgspec

from perennial.base.errors import AlreadyExists, Conflict, Invalid, Unavailable
from perennial.base.http import Answer, Http
from perennial.base.time import to_ms
from perennial.catalog.model import ProductType
from perennial.intake.model import CannotAct, NewProduct, StoreApp, StoreProduct
from perennial.providers.apple import jws
from perennial.providers.apple.server_api import private_key

ADDRESS = "https://api.appstoreconnect.apple.com"
MOST_PAGES = 20  # of two hundred groups
TOKEN_LIFE = timedelta(minutes=5)  # Apple takes up to twenty

_CLOCK_LEEWAY = timedelta(minutes=1)
_NEEDED = ("app_store_connect_api_key_id", "app_store_connect_api_key_issuer")
_KEY = "app_store_connect_api_key"
_TAKEN = "ENTITY_ERROR.ATTRIBUTE.INVALID.DUPLICATE"
_TYPES: dict[ProductType, str] = {
    "consumable": "CONSUMABLE",
    "non_consumable": "NON_CONSUMABLE",
    "non_renewing_subscription": "NON_RENEWING_SUBSCRIPTION",
}


class Attributes(msgspec.Struct, frozen=True, rename="camel"):
    """Of any resource, as far as we read them."""

    name: str | None = None
    product_id: str | None = None
    bundle_id: str | None = None
    reference_name: str | None = None


class Resource(msgspec.Struct, frozen=True):
    id: str
    attributes: Attributes = Attributes()


class Links(msgspec.Struct, frozen=True):
    next: str | None = None


class One(msgspec.Struct, frozen=True):
    data: Resource


class Page(msgspec.Struct, frozen=True):
    data: list[Resource]
    links: Links = Links()


class Source(msgspec.Struct, frozen=True):
    pointer: str = ""


class Trouble(msgspec.Struct, frozen=True):
    code: str = ""
    title: str = ""
    detail: str = ""
    source: Source | None = None


class Troubles(msgspec.Struct, frozen=True):
    errors: list[Trouble] = []


class ConnectApi:
    """One pool of connections to App Store Connect, shared by every app. Close it when the process ends."""

    def __init__(self) -> None:
        self._http = Http("App Store Connect")

    async def close(self) -> None:
        await self._http.close()

    async def create_subscription(self, app: StoreApp, wanted: NewProduct, now: datetime) -> StoreProduct:
        """In its group: the one named by id, or by name, which is made where the app has none of that name."""
        connect_app = await self._app(app, now)
        group = await self._group(app, connect_app, wanted, now)
        attributes = {"name": wanted.name, "productId": wanted.identifier, "subscriptionPeriod": wanted.period}
        made = await self._post(app, "/v1/subscriptions", _new("subscriptions", attributes, group=("subscriptionGroups", group)), now)
        return _shown(made, wanted)

    async def create_purchase(self, app: StoreApp, wanted: NewProduct, now: datetime) -> StoreProduct:
        kind = _TYPES.get(wanted.type)
        if kind is None:
            raise Invalid("the App Store tells consumables from what is bought for good: give the product the type it has there", param="product_id")
        attributes = {"name": wanted.name, "productId": wanted.identifier, "inAppPurchaseType": kind}
        connect_app = await self._app(app, now)
        return _shown(await self._post(app, "/v2/inAppPurchases", _new("inAppPurchases", attributes, app=("apps", connect_app)), now), wanted)

    async def _app(self, app: StoreApp, now: datetime) -> str:
        """App Store Connect's id of the app."""
        page = await self._get(app, "/v1/apps", {"filter[bundleId]": app.bundle_id or ""}, now)
        found = [one.id for one in page.data if one.attributes.bundle_id == app.bundle_id]
        if not found:
            raise CannotAct(f"App Store Connect knows no app {app.bundle_id!r}, or this key may not see it", param="app_id")
        return found[0]

    async def _group(self, app: StoreApp, connect_app: str, wanted: NewProduct, now: datetime) -> str:
        async for group in self._groups(app, connect_app, now):
            if group.id == wanted.group_id or (wanted.group_id is None and group.attributes.reference_name == wanted.group_name):
                return group.id
        if wanted.group_id is not None:
            raise CannotAct(f"the app has no subscription group {wanted.group_id!r}", param="store_information.subscription_group_id")
        body = _new("subscriptionGroups", {"referenceName": wanted.group_name}, app=("apps", connect_app))
        return (await self._post(app, "/v1/subscriptionGroups", body, now)).id

    async def _groups(self, app: StoreApp, connect_app: str, now: datetime) -> AsyncIterator[Resource]:
        """The address of a next page, which an answer offers, is not followed: only its cursor is taken."""
        query = {"limit": "200"}
        for _ in range(MOST_PAGES):
            page = await self._get(app, f"/v1/apps/{connect_app}/subscriptionGroups", query, now)
            for group in page.data:
                yield group
            cursor = dict(parse_qsl(urlsplit(page.links.next or "").query)).get("cursor")
            if cursor is None:
                return
            query["cursor"] = cursor
        raise Unavailable(f"App Store Connect lists more than {MOST_PAGES} pages of groups; nothing is left out in silence")

    async def _get(self, app: StoreApp, path: str, query: Mapping[str, str], now: datetime) -> Page:
        answer = await self._http.call("GET", _address(app) + path, query=query, headers=_authorization(app, now))
        return _accepted(answer).decode(Page)

    async def _post(self, app: StoreApp, path: str, body: Mapping[str, object], now: datetime) -> Resource:
        answer = await self._http.call("POST", _address(app) + path, json=body, headers=_authorization(app, now))
        return _accepted(answer).decode(One).data


def check_credentials(app: StoreApp) -> None:
    missing = [name for name in _NEEDED if not app.settings.get(name)] + ([] if app.secrets.get(_KEY) else [_KEY])
    if missing:
        raise Conflict(f"the app has no `{missing[0]}`; App Store Connect takes products only with a key of its own API", param="app_id")
    if not app.bundle_id:
        raise Conflict("the app has no `bundle_id`, by which App Store Connect would know it", param="app_id")


def _new(kind: str, attributes: Mapping[str, str | None], **related: tuple[str, str]) -> dict[str, object]:
    relationships = {name: {"data": {"type": type, "id": identifier}} for name, (type, identifier) in related.items()}
    return {"data": {"type": kind, "attributes": dict(attributes), "relationships": relationships}}


def _shown(made: Resource, wanted: NewProduct) -> StoreProduct:
    return StoreProduct(store_id=made.id, identifier=made.attributes.product_id or wanted.identifier, name=made.attributes.name or wanted.name)


def _address(app: StoreApp) -> str:
    return (app.api_base_url or ADDRESS).rstrip("/")


def _authorization(app: StoreApp, now: datetime) -> dict[str, str]:
    """A token of a team key: signed with it, good for minutes, for whatever its role may do."""
    key_id, issuer = (app.settings[name] for name in _NEEDED)
    key = private_key(app.reveal(_KEY), param=_KEY)
    issued, expires = (to_ms(instant) // 1000 for instant in (now - _CLOCK_LEEWAY, now + TOKEN_LIFE))
    claims = {"iss": issuer, "iat": issued, "exp": expires, "aud": "appstoreconnect-v1"}
    return {"Authorization": f"Bearer {jws.sign({'alg': 'ES256', 'kid': key_id, 'typ': 'JWT'}, claims, key)}"}


def _accepted(answer: Answer) -> Answer:
    if not answer.is_success:
        _refuse(answer)
    return answer


def _refuse(answer: Answer) -> NoReturn:
    """Apple's refusal as one of ours. It names several reasons at once, not the most telling first."""
    try:
        errors = msgspec.json.decode(answer.content, type=Troubles).errors
    except (msgspec.MsgspecError, ValueError, RecursionError):
        errors = []
    words = " ".join(dict.fromkeys(f"{one.title.rstrip('.')}: {one.detail}" if one.title else one.detail for one in errors))[:1000]
    said = f"App Store Connect answered {answer.status}" + (f": {words}" if words else "")
    if answer.status == 429 or answer.status >= 500 or answer.status < 400:
        raise Unavailable(said)
    if any(one.code == _TAKEN and (one.source is None or one.source.pointer.endswith("/productId")) for one in errors):
        raise AlreadyExists(said, param="product_id")
    if answer.status == 401:
        raise CannotAct(f"{said}. Check the app's App Store Connect key, its key id and the issuer id, and this clock", param="app_id")
    raise CannotAct(said, param="product_id")
