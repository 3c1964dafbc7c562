"""The demo project of `make run`: a catalog, keys, a webhook receiver of its own, and one customer with a past.

Made once; `demo.json` under `PERENNIAL_HOME` says how to reach it, and is all that is needed to find it again.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from perennial import catalog, events, intake
from perennial.app import App
from perennial.base.db import Tx
from perennial.base.ids import AppId, ProjectId, new_id
from perennial.base.money import Money
from perennial.base.secrets import hash_key
from perennial.catalog.model import PackageProduct
from perennial.providers.simulated import app_store, play_store, stripe

FILE = "demo.json"
BUNDLE = "com.example.perennial"

# Name, duration, trial, cents: sold in every store of the demo.
_PRODUCTS = {
    "pro_monthly": ("Pro, monthly", "P1M", None, 999),
    "pro_annual": ("Pro, yearly", "P1Y", "P1W", 5999),
    "pro_lifetime": ("Pro, for good", None, None, 14999),
}
_PACKAGES = {"pro_monthly": "$rc_monthly", "pro_annual": "$rc_annual", "pro_lifetime": "$rc_lifetime"}
_STORES = {
    "test_store": "Demo in the Test Store",
    "app_store": "Demo on the App Store",
    "play_store": "Demo on Google Play",
    "stripe": "Demo at Stripe",
    "rc_billing": "Demo on the web",
}
_WITH_BUNDLE = ("app_store", "play_store")
_SIMULATIONS = {"play_store": play_store, "stripe": stripe}  # those asked at an address of this installation's own
# Where a store's word for a product is another: a subscription of Google's has base plans, Stripe's products are of Stripe's making.
_IDENTIFIERS = {
    "play_store": {"pro_monthly": "pro:monthly", "pro_annual": "pro:annual"},
    "stripe": {name: f"prod_{name}" for name in _PRODUCTS},
}


async def ensure_demo(app: App) -> dict[str, Any]:
    """The contents of `demo.json`, the project behind it made where it does not exist, and given the stores it lacks."""
    path = app.settings.home / FILE
    base_url = f"http://127.0.0.1:{app.settings.port}"
    demo = await _known(app, path) or await _make(app, base_url)
    demo = await _complete(app, demo | {"base_url": base_url})
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
        await catalog.create_entitlement(tx, lookup_key="pro", display_name="Pro")
        await _make_offerings(tx)
        endpoint, webhook_secret = await events.create_endpoint(tx, app.vault, name="Demo receiver", url=f"{base_url}/demo/webhooks")
        await catalog.audit(tx, actor="demo", action="project.create", target=project_id)
    return {
        "base_url": base_url,
        "project_id": project_id,
        "secret_key": secret_key,
        "public_keys": {},
        "app_ids": {},
        "webhook_secret": webhook_secret,
        "webhook_endpoint_id": endpoint.endpoint_id,
    }


async def _make_offerings(tx: Tx) -> None:
    """`default` with three packages, and `onboarding_special`, which only its placement shows."""
    default = await catalog.create_offering(
        tx, lookup_key="default", display_name="The usual plans", metadata={"headline": "Everything, for you"}, is_current=True
    )
    special = await catalog.create_offering(
        tx, lookup_key="onboarding_special", display_name="A year to begin with", metadata={"headline": "Start here"}
    )
    for offering, names in ((default, tuple(_PACKAGES)), (special, ("pro_annual",))):
        for name in names:
            await catalog.create_package(tx, offering_id=offering.offering_id, lookup_key=_PACKAGES[name], display_name=name)
    await catalog.set_placement(tx, "onboarding", special.offering_id)
    await catalog.set_fallback_offering(tx, default.offering_id)


async def _complete(app: App, demo: dict[str, Any]) -> dict[str, Any]:
    """With an app for every store, those that an earlier version did not know among them, and everything pointed at this start's port."""
    app_ids, public_keys, base_url = dict(demo["app_ids"]), dict(demo["public_keys"]), demo["base_url"]
    async with app.database.transaction(demo["project_id"]) as tx:
        new: list[dict[str, str]] = []
        for store in [store for store in _STORES if store not in app_ids]:
            app_id, public_key = await _make_app(app, tx, store, base_url)
            app_ids[store], public_keys["web" if store == "rc_billing" else store] = app_id, public_key
            new.append(await _make_products(tx, app_id, _IDENTIFIERS.get(store, {})))
        if new:
            await _sell(tx, new)
        await _point(app, tx, app_ids, base_url)
        await events.update_endpoint(tx, app.vault, demo["webhook_endpoint_id"], url=f"{base_url}/demo/webhooks")
    return demo | {
        "public_keys": public_keys,
        "app_ids": app_ids,
        "sandbox_clock": f"{base_url}/v2/projects/{demo['project_id']}/clock",
        **{f"{store}_notifications": f"{base_url}/hooks/{store}/{app_ids[store]}" for store in ("app_store", "play_store", "stripe")},
    }


async def _make_app(app: App, tx: Tx, store: str, base_url: str) -> tuple[AppId, str]:
    """With its public key, and its store simulated where it can be."""
    made, key = await catalog.create_app(tx, app.vault, name=_STORES[store], store=store, bundle_id=BUNDLE if store in _WITH_BUNDLE else None)
    if store == "app_store":
        await app_store.opt_in(tx, app.vault, made.app_id)
    elif store in _SIMULATIONS:
        await _SIMULATIONS[store].opt_in(tx, app.vault, made.app_id, base_url)
    return made.app_id, key.public_key or ""


async def _point(app: App, tx: Tx, app_ids: Mapping[str, AppId], base_url: str) -> None:
    """The port may differ from the last start's. What somebody took away or gave a real account is left as it is."""
    known = await intake.store_apps(tx, app.vault, list(app_ids.values()))
    for store, simulation in _SIMULATIONS.items():
        found = known.get(app_ids[store])
        if found is not None and simulation.is_simulated(found):
            await simulation.opt_in(tx, app.vault, found.app_id, base_url)


async def _make_products(tx: Tx, app_id: AppId, identifiers: Mapping[str, str]) -> dict[str, str]:
    """Their ids, by our own name for them."""
    made = {}
    for name, (display_name, duration, trial, cents) in _PRODUCTS.items():
        product = await catalog.create_product(
            tx,
            app_id=app_id,
            store_identifier=identifiers.get(name, name),
            type="subscription" if duration else "non_consumable",
            display_name=display_name,
            duration=duration,
            trial_duration=trial,
            prices=[Money(amount=cents, currency="USD"), Money(amount=cents, currency="EUR")],
        )
        made[name] = product.product_id
    return made


async def _sell(tx: Tx, made: Sequence[Mapping[str, str]]) -> None:
    """Products give what the demo gives and stand in its packages, as far as somebody left those there."""
    for entitlement in await catalog.get_entitlements(tx):
        if entitlement.lookup_key == "pro":
            await catalog.attach_products(tx, entitlement.entitlement_id, [product_id for ids in made for product_id in ids.values()])
    names = {lookup_key: name for name, lookup_key in _PACKAGES.items()}
    for package in await catalog.get_packages(tx):
        if package.lookup_key in names:
            sold = [PackageProduct(product_id=ids[names[package.lookup_key]], eligibility_criteria="all") for ids in made]
            await catalog.attach_to_package(tx, package.package_id, sold)
