"""A catalog as a file: what it says, how it is made so, and how it is written down from what is there.

Everything is named by what people call it: products by their store identifier, entitlements, offerings and packages by their lookup keys,
apps by their name, store or id. What the file does not name is left alone; a list in it (an entitlement's products, a product's prices,
the placements) is the whole list.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from perennial import catalog
from perennial.base.db import Tx
from perennial.base.errors import Invalid
from perennial.base.money import Money, from_decimal
from perennial.catalog.model import App, Entitlement, Offering, Package, PackageProduct, PlacementIds, Product, ProductType

MOST = 10_000  # of anything in one catalog

Criteria = Literal["all", "google_sdk_lt_6", "google_sdk_ge_6"]


class _Part(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Unknown fields are refused here: in a file written by hand they are typing errors."""


class ProductPart(_Part):
    app: str
    store_identifier: str
    type: ProductType
    display_name: str | None = None
    duration: str | None = None
    trial_duration: str | None = None
    prices: dict[str, str] | None = None  # by currency, in major units: {"USD": "9.99"}
    archived: bool | None = None


class EntitlementPart(_Part):
    lookup_key: str
    display_name: str
    products: list[str] | None = None
    archived: bool | None = None


class Sold(_Part):
    product: str
    eligibility_criteria: Criteria = "all"


class PackagePart(_Part):
    lookup_key: str
    display_name: str
    products: list[str | Sold] | None = None


class OfferingPart(_Part):
    lookup_key: str
    display_name: str
    is_current: bool | None = None
    metadata: dict[str, Any] | UnsetType | None = UNSET
    packages: list[PackagePart] = []
    archived: bool | None = None


class PlacementsPart(_Part):
    """`offerings`: by placement, the offering's lookup key. An empty one shows nothing there."""

    fallback: str | None = None
    offerings: dict[str, str | None] = {}


class CatalogFile(_Part):
    products: list[ProductPart] = []
    entitlements: list[EntitlementPart] = []
    offerings: list[OfferingPart] = []
    placements: PlacementsPart | None = None


def read(path: Path) -> CatalogFile:
    decode = msgspec.toml.decode if path.suffix == ".toml" else msgspec.json.decode
    try:
        return decode(path.read_bytes(), type=CatalogFile)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Invalid(f"{path} is not a catalog: {error}") from error
    except OSError as error:
        raise Invalid(f"{path} cannot be read: {error.strerror}") from error


# Making it so ---------------------------------------------------------------------------------------------------------------------


async def apply(tx: Tx, wanted: CatalogFile) -> list[str]:
    """Makes the project's catalog as the file says, and tells each change in a sentence. The same again changes nothing."""
    changes: list[str] = []
    apps = await catalog.get_apps(tx, limit=MOST)
    await _apply_products(tx, wanted.products, apps, changes)
    products = await _Products.load(tx, apps)
    await _apply_entitlements(tx, wanted.entitlements, products, changes)
    await _apply_offerings(tx, wanted.offerings, products, changes)
    if wanted.placements is not None:
        await _apply_placements(tx, wanted.placements, changes)
    await _archive_offerings(tx, wanted.offerings, changes)
    return changes


async def _apply_products(tx: Tx, wanted: Sequence[ProductPart], apps: Sequence[App], changes: list[str]) -> None:
    known = {(one.app_id, one.store_identifier): one for one in await catalog.get_products(tx, limit=MOST)}
    for part in wanted:
        app = _app(apps, part.app)
        held = known.get((app.app_id, part.store_identifier))
        if held is None:
            held = await catalog.create_product(
                tx,
                app_id=app.app_id,
                store_identifier=part.store_identifier,
                type=part.type,
                display_name=part.display_name,
                duration=part.duration,
                trial_duration=part.trial_duration,
                prices=_prices(part) or (),
            )
            changes.append(f"create product {part.store_identifier} in {app.name}")
        else:
            await _apply_product(tx, held, part, app, changes)
        if _turns(held.archived_at, part.archived):
            await (catalog.archive_product if part.archived else catalog.unarchive_product)(tx, held.product_id)
            changes.append(f"{_turned(part.archived)} product {part.store_identifier} of {app.name}")


async def _apply_product(tx: Tx, held: Product, part: ProductPart, app: App, changes: list[str]) -> None:
    if held.type != part.type:
        raise Invalid(f"product {part.store_identifier} of {app.name} is a {held.type}; its type cannot become {part.type}", param="type")
    prices = _prices(part)
    display_name, duration, trial = part.display_name or held.display_name, part.duration or held.duration, part.trial_duration or held.trial_duration
    differing = [
        *_differs("display name", held.display_name, display_name),
        *_differs("duration", held.duration, duration),
        *_differs("trial", held.trial_duration, trial),
        *(_differs("prices", _shown_prices(held.prices), _shown_prices(prices)) if prices is not None else []),
    ]
    if differing:
        await catalog.update_product(tx, held.product_id, display_name=display_name, duration=duration, trial_duration=trial, prices=prices)
        changes.append(f"change product {part.store_identifier} of {app.name}: {'; '.join(differing)}")


async def _apply_entitlements(tx: Tx, wanted: Sequence[EntitlementPart], products: "_Products", changes: list[str]) -> None:
    known = {one.lookup_key: one for one in await catalog.get_entitlements(tx, limit=MOST)}
    attached = await catalog.products_of_entitlements(tx, [one.entitlement_id for one in known.values()])
    for part in wanted:
        held = known.get(part.lookup_key)
        if held is None:
            held = await catalog.create_entitlement(tx, lookup_key=part.lookup_key, display_name=part.display_name)
            changes.append(f"create entitlement {part.lookup_key}")
        elif held.display_name != part.display_name:
            await catalog.update_entitlement(tx, held.entitlement_id, display_name=part.display_name)
            changes.append(f"change entitlement {part.lookup_key}: {_differs('display name', held.display_name, part.display_name)[0]}")
        if _turns(held.archived_at, part.archived):
            await (catalog.archive_entitlement if part.archived else catalog.unarchive_entitlement)(tx, held.entitlement_id)
            changes.append(f"{_turned(part.archived)} entitlement {part.lookup_key}")
        if part.products is not None:
            await _apply_attached(tx, held, set(attached.get(held.entitlement_id, ())), part.products, products, changes)


async def _apply_attached(tx: Tx, held: Entitlement, before: set[str], wanted: Sequence[str], products: "_Products", changes: list[str]) -> None:
    after = {product_id for reference in wanted for product_id in products.ids(reference)}
    if added := sorted(after - before):
        await catalog.attach_products(tx, held.entitlement_id, added)
        changes.append(f"let {products.names(added)} give {held.lookup_key}")
    if removed := sorted(before - after):
        await catalog.detach_products(tx, held.entitlement_id, removed)
        changes.append(f"let {products.names(removed)} no longer give {held.lookup_key}")


async def _apply_offerings(tx: Tx, wanted: Sequence[OfferingPart], products: "_Products", changes: list[str]) -> None:
    known = {one.lookup_key: one for one in await catalog.get_offerings(tx, limit=MOST)}
    for part in wanted:
        held = known.get(part.lookup_key)
        if held is None:
            metadata = None if isinstance(part.metadata, UnsetType) else part.metadata
            held = await catalog.create_offering(
                tx, lookup_key=part.lookup_key, display_name=part.display_name, metadata=metadata, is_current=bool(part.is_current)
            )
            changes.append(f"create offering {part.lookup_key}{' and make it the current one' if part.is_current else ''}")
        else:
            await _apply_offering(tx, held, part, changes)
        await _apply_packages(tx, held, part.packages, products, changes)
        if part.archived is False and held.archived_at is not None:
            await catalog.unarchive_offering(tx, held.offering_id)
            changes.append(f"unarchive offering {part.lookup_key}")


async def _apply_offering(tx: Tx, held: Offering, part: OfferingPart, changes: list[str]) -> None:
    metadata = held.metadata if isinstance(part.metadata, UnsetType) else part.metadata
    is_current = held.is_current if part.is_current is None else part.is_current
    differing = [
        *_differs("display name", held.display_name, part.display_name),
        *_differs("current", held.is_current, is_current),
        *_differs("metadata", held.metadata, metadata),
    ]
    if differing:
        await catalog.update_offering(tx, held.offering_id, display_name=part.display_name, is_current=is_current, metadata=metadata)
        changes.append(f"change offering {part.lookup_key}: {'; '.join(differing)}")


async def _apply_packages(tx: Tx, offering: Offering, wanted: Sequence[PackagePart], products: "_Products", changes: list[str]) -> None:
    """In the file's order, from the first position on."""
    known = {one.lookup_key: one for one in offering.packages}
    for position, part in enumerate(wanted, start=1):
        held = known.get(part.lookup_key)
        where = f"{part.lookup_key} of {offering.lookup_key}"
        if held is None:
            held = await catalog.create_package(
                tx, offering_id=offering.offering_id, lookup_key=part.lookup_key, display_name=part.display_name, position=position
            )
            changes.append(f"create package {where}")
        elif differing := [*_differs("display name", held.display_name, part.display_name), *_differs("position", held.position, position)]:
            await catalog.update_package(tx, held.package_id, display_name=part.display_name, position=position)
            changes.append(f"change package {where}: {'; '.join(differing)}")
        if part.products is not None:
            await _apply_sold(tx, held, part.products, where, products, changes)


async def _apply_sold(tx: Tx, held: Package, wanted: Sequence[str | Sold], where: str, products: "_Products", changes: list[str]) -> None:
    before = {one.product_id: one.eligibility_criteria for one in held.products}
    sold = [one if isinstance(one, Sold) else Sold(product=one) for one in wanted]
    after = {product_id: one.eligibility_criteria for one in sold for product_id in products.ids(one.product)}
    if put_in := sorted(key for key in after if before.get(key) != after[key]):
        await catalog.attach_to_package(tx, held.package_id, [PackageProduct(product_id=key, eligibility_criteria=after[key]) for key in put_in])
        changes.append(f"put {products.names(put_in)} into {where}")
    if taken_out := sorted(before.keys() - after.keys()):
        await catalog.detach_from_package(tx, held.package_id, taken_out)
        changes.append(f"take {products.names(taken_out)} out of {where}")


async def _apply_placements(tx: Tx, part: PlacementsPart, changes: list[str]) -> None:
    ids = {one.lookup_key: one.offering_id for one in await catalog.get_offerings(tx, limit=MOST)}
    wanted = PlacementIds(
        fallback_offering_id=_offering_id(ids, part.fallback), offering_ids={name: _offering_id(ids, key) for name, key in part.offerings.items()}
    )
    if await catalog.get_placement_ids(tx) != wanted:
        await catalog.set_placements(tx, wanted)
        shown = ", ".join(f"{name} shows {key or 'nothing'}" for name, key in part.offerings.items())
        changes.append(f"set placements: {'; '.join(filter(None, [shown, f'elsewhere {part.fallback}' if part.fallback else '']))}")


async def _archive_offerings(tx: Tx, wanted: Sequence[OfferingPart], changes: list[str]) -> None:
    """Last, when others have taken their places."""
    known = {one.lookup_key: one for one in await catalog.get_offerings(tx, limit=MOST)}
    for part in wanted:
        if part.archived and known[part.lookup_key].archived_at is None:
            await catalog.archive_offering(tx, known[part.lookup_key].offering_id)
            changes.append(f"archive offering {part.lookup_key}")


def _offering_id(ids: Mapping[str, str], lookup_key: str | None) -> str | None:
    if not lookup_key:
        return None
    if lookup_key not in ids:
        raise Invalid(f"placements: there is no offering {lookup_key!r}, in the file or in the project", param="placements")
    return ids[lookup_key]


# Naming things --------------------------------------------------------------------------------------------------------------------


def _app(apps: Sequence[App], reference: str) -> App:
    """By id, name, or store, whichever says it without doubt."""
    for matching in (
        [app for app in apps if app.app_id == reference],
        [app for app in apps if app.name == reference],
        [app for app in apps if app.store == reference],
    ):
        if len(matching) == 1:
            return matching[0]
        if matching:
            raise Invalid(f"{len(matching)} apps are {reference!r}; name one by its id: {', '.join(app.app_id for app in matching)}", param="app")
    there = ", ".join(app.name for app in apps) or "none yet"
    raise Invalid(f"there is no app {reference!r} in this project (there are: {there}); make it with: perennial apps create", param="app")


class _Products:
    """What a reference to a product means: `pro_monthly` in every app that has it, `iOS/pro_monthly` in one."""

    def __init__(self, apps: Sequence[App], products: Sequence[Product]) -> None:
        self._apps: dict[str, App] = {app.app_id: app for app in apps}
        self._products = {product.product_id: product for product in products}

    @classmethod
    async def load(cls, tx: Tx, apps: Sequence[App]) -> "_Products":
        return cls(apps, await catalog.get_products(tx, limit=MOST))

    def ids(self, reference: str) -> list[str]:
        if found := [key for key, product in self._products.items() if product.store_identifier == reference]:
            return found
        app_name, slash, identifier = reference.partition("/")
        if slash:
            app = _app(list(self._apps.values()), app_name)
            found = [key for key, one in self._products.items() if one.app_id == app.app_id and one.store_identifier == identifier]
        if not found:
            raise Invalid(f"there is no product {reference!r}, in the file or in the project", param="products")
        return found

    def names(self, product_ids: Sequence[str]) -> str:
        return ", ".join(self.reference(product_id) for product_id in product_ids)

    def reference(self, product_id: str) -> str:
        product = self._products[product_id]
        return f"{self.app_reference(product.app_id)}/{product.store_identifier}"

    def app_reference(self, app_id: str) -> str:
        """Its name, where no other app has the same."""
        name = self._apps[app_id].name
        is_clear = sum(app.name == name for app in self._apps.values()) == 1 and "/" not in name
        return name if is_clear else app_id


def _turns(archived_at: datetime | None, archived: bool | None) -> bool:
    """Where the file says nothing of it, it stays as it is."""
    return archived is not None and archived != (archived_at is not None)


def _turned(archived: bool | None) -> str:
    return "archive" if archived else "unarchive"


def _prices(part: ProductPart) -> list[Money] | None:
    if part.prices is None:
        return None
    return [_price(currency, text) for currency, text in sorted(part.prices.items(), key=lambda pair: (pair[0] != "USD", pair[0]))]


def _price(currency: str, text: str) -> Money:
    if not (len(currency) == 3 and currency.isascii() and currency.isupper()):
        raise Invalid(f"prices: {currency!r} is not a currency such as USD", param="prices")
    try:
        major = Decimal(text)
        money = from_decimal(major, currency)
    except InvalidOperation as error:
        raise Invalid(f"prices: {text!r} is not an amount such as 9.99", param="prices") from error
    if money.amount < 0 or money.amount > 10**15 or money.major != major:
        raise Invalid(f"prices: {text} {currency} cannot be charged; give it with the digits {currency} has", param="prices")
    return money


def _shown_prices(prices: Sequence[Money] | None) -> str:
    return ", ".join(f"{price.major} {price.currency}" for price in sorted(prices or (), key=lambda price: price.currency)) or "none"


def _differs(what: str, before: object, after: object) -> list[str]:
    return [] if before == after else [f"{what} {_shown(before)} -> {_shown(after)}"]


def _shown(value: object) -> str:
    if isinstance(value, str):
        return value
    return "none" if value is None else msgspec.json.encode(value).decode()


# Writing it down ------------------------------------------------------------------------------------------------------------------


async def export(tx: Tx) -> CatalogFile:
    """The project's catalog. Applied to this project, it changes nothing."""
    apps = await catalog.get_apps(tx, limit=MOST)
    held = await catalog.get_products(tx, limit=MOST)
    products = _Products(apps, held)
    entitlements = await catalog.get_entitlements(tx, limit=MOST)
    attached = await catalog.products_of_entitlements(tx, [one.entitlement_id for one in entitlements])
    placements = await catalog.get_placements(tx)
    return CatalogFile(
        products=[_product_part(one, products) for one in held],
        entitlements=[
            EntitlementPart(
                lookup_key=one.lookup_key,
                display_name=one.display_name,
                products=[products.reference(product_id) for product_id in attached.get(one.entitlement_id, ())],
                archived=True if one.archived_at else None,
            )
            for one in entitlements
        ],
        offerings=[_offering_part(one, products) for one in await catalog.get_offerings(tx, limit=MOST)],
        placements=PlacementsPart(fallback=placements.fallback_offering, offerings=dict(placements.offerings)),
    )


def _product_part(product: Product, products: _Products) -> ProductPart:
    return ProductPart(
        app=products.app_reference(product.app_id),
        store_identifier=product.store_identifier,
        type=product.type,
        display_name=product.display_name,
        duration=product.duration,
        trial_duration=product.trial_duration,
        prices={price.currency: str(price.major) for price in product.prices} or None,
        archived=True if product.archived_at else None,
    )


def _offering_part(offering: Offering, products: _Products) -> OfferingPart:
    return OfferingPart(
        lookup_key=offering.lookup_key,
        display_name=offering.display_name,
        is_current=offering.is_current,
        metadata=offering.metadata,
        archived=True if offering.archived_at else None,
        packages=[
            PackagePart(
                lookup_key=one.lookup_key,
                display_name=one.display_name,
                products=[
                    products.reference(sold.product_id)
                    if sold.eligibility_criteria == "all"
                    else Sold(product=products.reference(sold.product_id), eligibility_criteria=sold.eligibility_criteria)  # type: ignore[arg-type]
                    for sold in one.products
                ],
            )
            for one in offering.packages
        ],
    )
