"""The verbs of the catalog. Each write makes every rendered document of the project out of date (`touch`)."""

from collections.abc import Sequence
from typing import Any, TypeVar

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from msgspec import UNSET, UnsetType

from perennial.base.db import Tx, UniqueViolation
from perennial.base.errors import Invalid
from perennial.base.ids import AppId, KeyId, ProjectId, new_token
from perennial.base.money import Money
from perennial.base.secrets import Vault, hash_key
from perennial.base.time import parse_duration
from perennial.base.value import replace
from perennial.catalog import db
from perennial.catalog.model import (
    KEY_PREFIXES,
    SECRET_PREFIX,
    ApiKey,
    App,
    Entitlement,
    Exists,
    Missing,
    Offering,
    Package,
    PackageProduct,
    PlacementIds,
    Product,
    ProductType,
    Project,
    RestoreBehavior,
)

T = TypeVar("T")

API_SECRET = "app.api_secret"  # noqa: S105  a column's name: what the vault binds a store's API key to


async def create_project(tx: Tx, name: str, *, is_sandbox: bool = False, restore_behavior: RestoreBehavior = "transfer") -> Project:
    """In a transaction that entered the new project's id."""
    project = Project(
        project_id=tx.project_id, name=_named(name, "name", 256), is_sandbox=is_sandbox, restore_behavior=restore_behavior, created_at=tx.now
    )
    await db.insert_project(tx, project)
    return project


async def create_app(
    tx: Tx,
    vault: Vault,
    *,
    name: str,
    store: str,
    bundle_id: str | None = None,
    app_apple_id: int | None = None,
    api_key_id: str | None = None,
    api_issuer: str | None = None,
    api_private_key: str | None = None,
    api_base_url: str | None = None,
) -> tuple[App, ApiKey]:
    """An app of a store, and its public SDK key."""
    if store not in KEY_PREFIXES:
        raise Invalid(f"store {store!r} is not one of {', '.join(KEY_PREFIXES)}", param="type")
    if store in ("app_store", "mac_app_store") and not bundle_id:
        raise Invalid("an App Store app needs its bundle_id, such as com.example.app", param="bundle_id")
    app = App(
        app_id=AppId(tx.new_id("app")),
        name=_named(name, "name", 255),
        store=store,
        created_at=tx.now,
        bundle_id=bundle_id,
        app_apple_id=app_apple_id,
        api_key_id=api_key_id,
        api_issuer=api_issuer,
        api_base_url=api_base_url,
        has_api_secret=api_private_key is not None,
    )
    await db.insert_app(tx, app, api_secret=vault.seal(api_private_key, API_SECRET) if api_private_key else None)
    key = KEY_PREFIXES[store] + new_token(24)
    public = ApiKey(key_id=KeyId(tx.new_id("key")), kind="public", label=app.name, created_at=tx.now, app_id=app.app_id, public_key=key)
    await db.insert_key(tx, public, hash_key(key))
    await db.touch(tx)
    return app, public


async def create_secret_key(tx: Tx, label: str) -> tuple[ApiKey, str]:
    """The key is returned this once: only its hash is kept."""
    key = SECRET_PREFIX + new_token(24)
    secret = ApiKey(key_id=KeyId(tx.new_id("key")), kind="secret", label=_named(label, "label", 255), created_at=tx.now)
    await db.insert_key(tx, secret, hash_key(key))
    return secret, key


async def revoke_key(tx: Tx, key_id: str) -> None:
    if not await db.revoke_key(tx, key_id):
        raise Missing(f"no key {key_id!r} that could be revoked; list them with: perennial keys list", param="key_id")


async def create_product(
    tx: Tx,
    *,
    app_id: str,
    store_identifier: str,
    type: ProductType,
    display_name: str | None = None,
    duration: str | None = None,
    trial_duration: str | None = None,
    prices: Sequence[Money] = (),
) -> Product:
    await require_app(tx, app_id)
    for param, text in (("duration", duration), ("trial_duration", trial_duration)):
        if text is not None:
            _check_duration(text, param)
    _check_prices(prices)
    product = Product(
        product_id=tx.new_id("prod"),
        app_id=AppId(app_id),
        store_identifier=_named(store_identifier, "store_identifier", 200),
        type=type,
        created_at=tx.now,
        display_name=display_name,
        duration=duration,
        trial_duration=trial_duration,
        prices=tuple(prices),
    )
    try:
        await db.insert_product(tx, product)
    except UniqueViolation as error:
        raise Exists(f"the app already has a product {store_identifier!r}", param="store_identifier") from error
    await db.touch(tx)
    return product


async def create_entitlement(tx: Tx, *, lookup_key: str, display_name: str) -> Entitlement:
    entitlement = Entitlement(
        entitlement_id=tx.new_id("entl"),
        lookup_key=_named(lookup_key, "lookup_key", 200),
        display_name=_named(display_name, "display_name", 1500),
        created_at=tx.now,
    )
    try:
        await db.insert_entitlement(tx, entitlement)
    except UniqueViolation as error:
        raise Exists(f"the project already has an entitlement {lookup_key!r}", param="lookup_key") from error
    await db.touch(tx)
    return entitlement


async def attach_products(tx: Tx, entitlement_id: str, product_ids: Sequence[str]) -> None:
    await require_entitlement(tx, entitlement_id)
    await _require_products(tx, product_ids)
    await db.attach_to_entitlement(tx, entitlement_id, product_ids)
    await db.touch(tx)


async def detach_products(tx: Tx, entitlement_id: str, product_ids: Sequence[str]) -> None:
    await require_entitlement(tx, entitlement_id)
    await db.detach_from_entitlement(tx, entitlement_id, product_ids)
    await db.touch(tx)


async def create_offering(
    tx: Tx, *, lookup_key: str, display_name: str, metadata: dict[str, Any] | None = None, is_current: bool = False
) -> Offering:
    await db.touch(tx)  # first: it holds the project, so two who make an offering current take turns
    if is_current:
        await db.clear_current_offering(tx)
    offering = Offering(
        offering_id=tx.new_id("ofrng"),
        lookup_key=_named(lookup_key, "lookup_key", 200),
        display_name=_named(display_name, "display_name", 1500),
        is_current=is_current,
        created_at=tx.now,
        metadata=metadata,
    )
    try:
        await db.insert_offering(tx, offering)
    except UniqueViolation as error:
        raise Exists(f"the project already has an offering {lookup_key!r}", param="lookup_key") from error
    return offering


async def update_offering(
    tx: Tx,
    offering_id: str,
    *,
    display_name: str | None = None,
    is_current: bool | None = None,
    metadata: dict[str, Any] | UnsetType | None = UNSET,
) -> Offering:
    """Changes what is given. `metadata` may be None, which removes it; what stays is left out."""
    await db.touch(tx)  # first: it holds the project, so two who make an offering current take turns
    offering = await require_offering(tx, offering_id)
    if is_current:
        await db.clear_current_offering(tx)
    changed = replace(
        offering,
        display_name=offering.display_name if display_name is None else _named(display_name, "display_name", 1500),
        is_current=offering.is_current if is_current is None else is_current,
        metadata=offering.metadata if isinstance(metadata, UnsetType) else metadata,
    )
    await db.update_offering(tx, changed)
    return changed


async def create_package(tx: Tx, *, offering_id: str, lookup_key: str, display_name: str, position: int | None = None) -> Package:
    offering = await require_offering(tx, offering_id)
    if position is not None and position < 1:
        raise Invalid("position counts from 1", param="position")
    package = Package(
        package_id=tx.new_id("pkge"),
        offering_id=offering_id,
        lookup_key=_named(lookup_key, "lookup_key", 200),
        display_name=_named(display_name, "display_name", 1500),
        position=position or len(offering.packages) + 1,
        created_at=tx.now,
    )
    try:
        await db.insert_package(tx, package)
    except UniqueViolation as error:
        raise Exists(f"the offering already has a package {lookup_key!r}", param="lookup_key") from error
    await db.touch(tx)
    return package


async def attach_to_package(tx: Tx, package_id: str, products: Sequence[PackageProduct]) -> None:
    await require_package(tx, package_id)
    await _require_products(tx, [one.product_id for one in products])
    await db.attach_to_package(tx, package_id, list({one.product_id: one for one in products}.values()))
    await db.touch(tx)


async def detach_from_package(tx: Tx, package_id: str, product_ids: Sequence[str]) -> None:
    await require_package(tx, package_id)
    await db.detach_from_package(tx, package_id, product_ids)
    await db.touch(tx)


async def set_placement(tx: Tx, identifier: str, offering_id: str | None) -> None:
    if offering_id is not None:
        await require_offering(tx, offering_id)
    await db.set_placement(tx, _named(identifier, "identifier", 200), offering_id)
    await db.touch(tx)


async def set_fallback_offering(tx: Tx, offering_id: str | None) -> None:
    if offering_id is not None:
        await require_offering(tx, offering_id)
    await db.set_fallback(tx, offering_id)
    await db.touch(tx)


async def update_product(
    tx: Tx,
    product_id: str,
    *,
    display_name: str | UnsetType | None = UNSET,
    duration: str | UnsetType | None = UNSET,
    trial_duration: str | UnsetType | None = UNSET,
    prices: Sequence[Money] | None = None,
) -> Product:
    """Changes what is given. `prices`, where given, are all there are from now on; running periods keep what they cost."""
    product = await require_product(tx, product_id)
    for param, text in (("duration", duration), ("trial_duration", trial_duration)):
        if isinstance(text, str):
            _check_duration(text, param)
    _check_prices(prices or ())
    changed = replace(
        product,
        display_name=product.display_name if isinstance(display_name, UnsetType) else display_name,
        duration=product.duration if isinstance(duration, UnsetType) else duration,
        trial_duration=product.trial_duration if isinstance(trial_duration, UnsetType) else trial_duration,
        prices=product.prices if prices is None else tuple(prices),
    )
    await db.update_product(tx, changed)
    if prices is not None:
        await db.delete_other_prices(tx, product_id, [price.currency for price in prices])
        await db.insert_prices(tx, product_id, prices)
    await db.touch(tx)
    return changed


async def update_entitlement(tx: Tx, entitlement_id: str, *, display_name: str) -> Entitlement:
    changed = replace(await require_entitlement(tx, entitlement_id), display_name=_named(display_name, "display_name", 1500))
    await db.update_entitlement(tx, changed)
    await db.touch(tx)
    return changed


async def update_package(tx: Tx, package_id: str, *, display_name: str | None = None, position: int | None = None) -> Package:
    package = await require_package(tx, package_id)
    if position is not None and position < 1:
        raise Invalid("position counts from 1", param="position")
    changed = replace(
        package,
        display_name=package.display_name if display_name is None else _named(display_name, "display_name", 1500),
        position=position or package.position,
    )
    await db.update_package(tx, changed)
    await db.touch(tx)
    return changed


async def change_app(
    tx: Tx,
    vault: Vault,
    app_id: str,
    *,
    name: str | None = None,
    bundle_id: str | None = None,
    app_apple_id: int | None = None,
    api_key_id: str | None = None,
    api_issuer: str | None = None,
    api_private_key: str | None = None,
) -> App:
    """Changes what is given, and seals a new private key where there is one."""
    app = await require_app(tx, app_id)
    changed = replace(
        app,
        name=app.name if name is None else _named(name, "name", 255),
        bundle_id=bundle_id or app.bundle_id,
        app_apple_id=app_apple_id or app.app_apple_id,
        api_key_id=api_key_id or app.api_key_id,
        api_issuer=api_issuer or app.api_issuer,
        has_api_secret=app.has_api_secret or api_private_key is not None,
    )
    await db.update_app(tx, changed, api_secret=vault.seal(api_private_key, API_SECRET) if api_private_key else None)
    return changed


def check_private_key(pem: str, *, param: str) -> None:
    """Now, rather than at the first call to the store weeks later."""
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError) as error:
        raise Invalid(f"{param} is not a private key in PEM; paste the whole .p8 file, with its BEGIN and END lines", param=param) from error
    if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP256R1):
        raise Invalid(f"{param} is not an App Store key: those are of the curve P-256", param=param)


async def set_placements(tx: Tx, placements: PlacementIds) -> None:
    """These are all there are from now on."""
    await db.touch(tx)  # first: it holds the project, so two who set them take turns
    wanted = {one for one in (placements.fallback_offering_id, *placements.offering_ids.values()) if one is not None}
    found = {offering.offering_id for offering in await db.get_offerings(tx, offering_ids=sorted(wanted))} if wanted else set()
    if missing := sorted(wanted - found):
        raise Missing(f"no offering {missing[0]!r} in this project", param="placements")
    await db.delete_other_placements(tx, list(placements.offering_ids))
    for identifier, offering_id in placements.offering_ids.items():
        await db.set_placement(tx, _named(identifier, "identifier", 200), offering_id)
    await db.set_fallback(tx, placements.fallback_offering_id)


async def require_app(tx: Tx, app_id: str) -> App:
    return _one(await db.get_apps(tx, app_ids=[app_id]), "app", app_id, "app_id")


async def require_product(tx: Tx, product_id: str) -> Product:
    return _one(await db.get_products(tx, product_ids=[product_id]), "product", product_id, "product_id")


async def require_entitlement(tx: Tx, entitlement_id: str) -> Entitlement:
    return _one(await db.get_entitlements(tx, entitlement_ids=[entitlement_id]), "entitlement", entitlement_id, "entitlement_id")


async def require_offering(tx: Tx, offering_id: str) -> Offering:
    return _one(await db.get_offerings(tx, offering_ids=[offering_id]), "offering", offering_id, "offering_id")


async def require_package(tx: Tx, package_id: str) -> Package:
    return _one(await db.get_packages(tx, package_ids=[package_id]), "package", package_id, "package_id")


async def require_project(tx: Tx) -> Project:
    return _one(await db.get_projects(tx), "project", tx.project_id, "project_id")


async def audit(tx: Tx, *, actor: str, action: str, target: str, data: dict[str, Any] | None = None) -> None:
    """Writes down an administrative act, in the transaction that does it."""
    await db.insert_audit(tx, tx.new_id("audit"), actor=actor, action=action, target=target, data=data or {})


async def reach(tx: Tx, key_id: str, project_id: ProjectId) -> None:
    """The key may also enter a project that was created with it."""
    await db.extend_reach(tx, key_id, project_id)


async def _require_products(tx: Tx, product_ids: Sequence[str]) -> None:
    found = {product.product_id for product in await db.get_products(tx, product_ids=product_ids)}
    if missing := sorted(set(product_ids) - found):
        raise Missing(f"no product {missing[0]!r} in this project", param="product_ids")


def _one(found: Sequence[T], kind: str, wanted: str, param: str) -> T:
    if not found:
        raise Missing(f"no {kind} {wanted!r} in this project", param=param)
    return found[0]


def _named(text: str, param: str, longest: int) -> str:
    if not text.strip() or len(text) > longest or "\x00" in text:
        raise Invalid(f"{param} must have 1 to {longest} characters", param=param)
    return text


def _check_prices(prices: Sequence[Money]) -> None:
    currencies = [price.currency for price in prices]
    if twice := sorted({currency for currency in currencies if currencies.count(currency) > 1}):
        raise Invalid(f"prices has {twice[0]} twice; a product has one price per currency", param="prices")


def _check_duration(text: str, param: str) -> None:
    try:
        parse_duration(text)
    except Invalid as error:
        raise Invalid(f"{param}: {error.message}", param=param) from error
