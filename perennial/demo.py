"""The demo project of `make run`: a catalog, keys, a webhook receiver of its own, and one customer with a past.

Made once; `demo.json` under `PERENNIAL_HOME` says how to reach it, and is all that is needed to find it again.
"""

from pathlib import Path
from typing import Any

import msgspec

from perennial import catalog, events
from perennial.app import App
from perennial.base.ids import AppId, ProjectId, new_id
from perennial.base.money import Money
from perennial.base.secrets import hash_key
from perennial.catalog.model import PackageProduct
from perennial.providers import simulated

FILE = "demo.json"
BUNDLE = "com.example.perennial"

# Identifier, name, duration, trial, cents: sold in every store of the demo.
_PRODUCTS = (
    ("pro_monthly", "Pro, monthly", "P1M", None, 999),
    ("pro_annual", "Pro, yearly", "P1Y", "P1W", 5999),
    ("pro_lifetime", "Pro, for good", None, None, 14999),
)
_PACKAGES = {"pro_monthly": "$rc_monthly", "pro_annual": "$rc_annual", "pro_lifetime": "$rc_lifetime"}
_STORES = (("test_store", "Demo in the Test Store"), ("app_store", "Demo on the App Store"), ("rc_billing", "Demo on the web"))


async def ensure_demo(app: App) -> dict[str, Any]:
    """The contents of `demo.json`, the project behind it made where it does not exist."""
    path = app.settings.home / FILE
    base_url = f"http://127.0.0.1:{app.settings.port}"
    if (known := await _known(app, path)) is not None:
        demo = known | {"base_url": base_url}
        await _point_webhook(app, demo)
    else:
        demo = await _make(app, base_url)
    draft = path.with_suffix(".draft")
    draft.touch(mode=0o600)
    draft.write_bytes(msgspec.json.format(msgspec.json.encode(demo), indent=2))
    draft.replace(path)
    return demo


async def _known(app: App, path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    demo: dict[str, Any] = msgspec.json.decode(path.read_bytes())
    caller = await catalog.find_caller(app.database, hash_key(demo["secret_key"]))
    return demo if caller is not None and caller.project_id == demo["project_id"] else None


async def _make(app: App, base_url: str) -> dict[str, Any]:
    now = app.database.clock()
    project_id = ProjectId(new_id("proj", now))
    async with app.database.transaction(project_id) as tx:
        await catalog.create_project(tx, "Demo", is_sandbox=True)
        await catalog.set_clock(tx, now, now)  # a clock of its own that ticks, so that it can be moved
        _, secret_key = await catalog.create_secret_key(tx, "demo")
        public_keys: dict[str, str] = {}
        app_ids: dict[str, AppId] = {}
        for store, name in _STORES:
            made, key = await catalog.create_app(tx, app.vault, name=name, store=store, bundle_id=BUNDLE if store == "app_store" else None)
            app_ids[store] = made.app_id
            public_keys["web" if store == "rc_billing" else store] = key.public_key or ""
        products = {store: await _make_products(tx, app_id) for store, app_id in app_ids.items()}
        await _make_offerings(tx, products)
        await simulated.opt_in(tx, app.vault, app_ids["app_store"])
        endpoint, webhook_secret = await events.create_endpoint(tx, app.vault, name="Demo receiver", url=f"{base_url}/demo/webhooks")
        await catalog.audit(tx, actor="demo", action="project.create", target=project_id)
    return {
        "base_url": base_url,
        "project_id": project_id,
        "secret_key": secret_key,
        "public_keys": public_keys,
        "app_ids": app_ids,
        "webhook_secret": webhook_secret,
        "webhook_endpoint_id": endpoint.endpoint_id,
        "sandbox_clock": f"{base_url}/v2/projects/{project_id}/clock",
        "app_store_notifications": f"{base_url}/hooks/app_store/{app_ids['app_store']}",
    }


async def _make_products(tx: Any, app_id: AppId) -> dict[str, str]:
    made = {}
    for identifier, name, duration, trial, cents in _PRODUCTS:
        product = await catalog.create_product(
            tx,
            app_id=app_id,
            store_identifier=identifier,
            type="subscription" if duration else "non_consumable",
            display_name=name,
            duration=duration,
            trial_duration=trial,
            prices=[Money(amount=cents, currency="USD"), Money(amount=cents, currency="EUR")],
        )
        made[identifier] = product.product_id
    return made


async def _make_offerings(tx: Any, products: dict[str, dict[str, str]]) -> None:
    """`default` with three packages, and `onboarding_special`, which only its placement shows."""
    pro = await catalog.create_entitlement(tx, lookup_key="pro", display_name="Pro")
    await catalog.attach_products(tx, pro.entitlement_id, [product for made in products.values() for product in made.values()])
    default = await catalog.create_offering(
        tx, lookup_key="default", display_name="The usual plans", metadata={"headline": "Everything, for you"}, is_current=True
    )
    special = await catalog.create_offering(
        tx, lookup_key="onboarding_special", display_name="A year to begin with", metadata={"headline": "Start here"}
    )
    for offering, identifiers in ((default, tuple(_PACKAGES)), (special, ("pro_annual",))):
        for identifier in identifiers:
            package = await catalog.create_package(tx, offering_id=offering.offering_id, lookup_key=_PACKAGES[identifier], display_name=identifier)
            sold = [PackageProduct(product_id=made[identifier], eligibility_criteria="all") for made in products.values()]
            await catalog.attach_to_package(tx, package.package_id, sold)
    await catalog.set_placement(tx, "onboarding", special.offering_id)
    await catalog.set_fallback_offering(tx, default.offering_id)


async def _point_webhook(app: App, demo: dict[str, Any]) -> None:
    """The port may differ from the last start's."""
    async with app.database.transaction(demo["project_id"]) as tx:
        await events.update_endpoint(tx, app.vault, demo["webhook_endpoint_id"], url=f"{demo['base_url']}/demo/webhooks")
