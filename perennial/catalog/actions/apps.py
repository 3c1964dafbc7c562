"""Apps of stores, with what is needed to talk to them."""

from collections.abc import Collection, Mapping
from typing import TypeVar

import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from perennial.base.db import ForeignKeyViolation, Tx
from perennial.base.errors import Invalid
from perennial.base.ids import AppId, KeyId, new_token
from perennial.base.secrets import Secret, Vault, covered, hash_key
from perennial.base.value import replace
from perennial.catalog import db, rules
from perennial.catalog.actions.checks import named, one_of
from perennial.catalog.model import STORE_KINDS, TRACK_NEW_PURCHASES, ApiKey, App, InUse

T = TypeVar("T")

# Columns' names, which the vault binds to what is in them: the App Store's API key, and a JSON object of all other secrets.
API_SECRET = "app.api_secret"  # noqa: S105
STORE_SECRETS = "app.secrets"

_LONGEST = 20_000  # characters of a setting or secret: a service account's JSON has about 2,500


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
    api_private_key: str | Secret | None = None,
    api_base_url: str | None = None,
    settings: Mapping[str, str] | None = None,
    secrets: Mapping[str, str | Secret] | None = None,
) -> tuple[App, ApiKey]:
    """An app of a store, and its public SDK key."""
    if store not in STORE_KINDS:
        raise Invalid(f"store {store!r} is not one of {', '.join(STORE_KINDS)}", param="type")
    kind = STORE_KINDS[store]
    if kind.needs_identifier and not bundle_id:
        raise Invalid(f"an app of {store} needs its {kind.identifier}, such as com.example.app", param=kind.identifier)
    hidden = {name: Secret(secret) for name, secret in (secrets or {}).items()}
    _check_names(store, settings or {}, hidden)
    app = App(
        app_id=AppId(tx.new_id("app")),
        name=named(name, "name", 255),
        store=store,
        created_at=tx.now,
        bundle_id=bundle_id,
        app_apple_id=app_apple_id,
        api_key_id=api_key_id,
        api_issuer=api_issuer,
        api_base_url=api_base_url,
        has_api_secret=api_private_key is not None,
        settings=dict(settings or {}),
        secret_names=tuple(sorted(hidden)),
    )
    await db.insert_app(tx, app, api_secret=_sealed_key(vault, api_private_key), secrets=_sealed(vault, hidden))
    key = kind.key_prefix + new_token(24)
    public = ApiKey(key_id=KeyId(tx.new_id("key")), kind="public", label=app.name, created_at=tx.now, app_id=app.app_id, public_key=key)
    await db.insert_key(tx, public, hash_key(key))
    await db.touch(tx)
    return app, public


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
    api_private_key: str | Secret | None = None,
    api_base_url: str | None = None,
    settings: Mapping[str, str | None] | None = None,
    secrets: Mapping[str, str | Secret | None] | None = None,
) -> App:
    """Changes what is given, and seals what is secret of it. A setting or secret that is None is taken away."""
    held = await db.lock_app_secrets(tx, app_id)
    app = await require_app(tx, app_id)
    hidden = {name: None if secret is None else Secret(secret) for name, secret in (secrets or {}).items()}
    _check_names(app.store, settings or {}, hidden)
    opened = _with(_opened(vault, held), hidden)
    changed = replace(
        app,
        name=app.name if name is None else named(name, "name", 255),
        bundle_id=bundle_id or app.bundle_id,
        app_apple_id=app_apple_id or app.app_apple_id,
        api_key_id=api_key_id or app.api_key_id,
        api_issuer=api_issuer or app.api_issuer,
        api_base_url=api_base_url or app.api_base_url,
        has_api_secret=app.has_api_secret or api_private_key is not None,
        settings=_with(app.settings, settings or {}),
        secret_names=tuple(sorted(opened)),
    )
    await db.update_app(tx, changed, api_secret=_sealed_key(vault, api_private_key), secrets=_sealed(vault, opened))
    return changed


async def delete_app(tx: Tx, app_id: str) -> None:
    """With its keys, its products and what its store sent. Purchases keep it: their customers would lose what they hold."""
    app = await require_app(tx, app_id)
    try:
        await db.delete_app(tx, app_id)
    except ForeignKeyViolation as error:
        raise InUse(
            f"customers hold purchases of {app.name!r}, so it must stay; to stop its SDKs, revoke its public key: perennial keys revoke",
            param="app_id",
        ) from error
    await db.touch(tx)


async def tracking_apps(tx: Tx, app_ids: Collection[str]) -> set[AppId]:
    """Those of the apps that tell of purchases nobody has claimed, as an anonymous customer's."""
    apps = await db.get_apps(tx, app_ids=sorted(app_ids), limit=len(app_ids))
    return {app.app_id for app in apps if app.settings.get(TRACK_NEW_PURCHASES) == "on"}


def notification_path(app: App) -> str | None:
    """Where its store is to send its notifications, behind this installation's address; None for a store that sends none."""
    hook = STORE_KINDS[app.store].hook
    return None if hook is None else f"/hooks/{hook}/{app.app_id}"


def _with(held: Mapping[str, T], changes: Mapping[str, T | None]) -> dict[str, T]:
    return {name: text for name, text in {**held, **changes}.items() if text is not None}


def _sealed_key(vault: Vault, private_key: str | Secret | None) -> bytes | None:
    return vault.seal(private_key, API_SECRET) if private_key else None


def _sealed(vault: Vault, secrets: Mapping[str, Secret]) -> bytes | None:
    return vault.seal(msgspec.json.encode({name: secret.reveal() for name, secret in secrets.items()}), STORE_SECRETS) if secrets else None


def _opened(vault: Vault, sealed: bytes | None) -> dict[str, Secret]:
    return covered(msgspec.json.decode(vault.unseal(sealed, STORE_SECRETS).reveal_bytes(), type=dict[str, str])) if sealed else {}


def _check_names(store: str, settings: Mapping[str, str | None], secrets: Mapping[str, Secret | None]) -> None:
    kind = STORE_KINDS[store]
    plain = {name: None if secret is None else secret.reveal() for name, secret in secrets.items()}
    known_settings = kind.settings if kind.hook is None else (*kind.settings, TRACK_NEW_PURCHASES)
    if (track := settings.get(TRACK_NEW_PURCHASES)) not in (None, "on", "off"):
        raise Invalid(f"settings: {TRACK_NEW_PURCHASES} is {track!r}; it may be 'on' or 'off'", param="settings")
    for param, given, known in (("settings", settings, known_settings), ("secrets", plain, kind.secrets)):
        if unknown := sorted(set(given) - set(known)):
            there = f"it has {', '.join(known)}" if known else "it has none"
            raise Invalid(f"{param}: an app of {store} has no {unknown[0][:80]!r}; {there}", param=param)
        for name, text in given.items():
            if text is not None and (not text.strip() or len(text) > _LONGEST or "\x00" in text):
                raise Invalid(f"{param}: {name} must have 1 to {_LONGEST} characters", param=param)
    if terms := settings.get(rules.COMMISSION):
        rules.commission_steps(terms)


def check_private_key(pem: str, *, param: str) -> None:
    """Now, rather than at the first call to the store weeks later."""
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError) as error:
        raise Invalid(f"{param} is not a private key in PEM; paste the whole .p8 file, with its BEGIN and END lines", param=param) from error
    if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP256R1):
        raise Invalid(f"{param} is not an App Store key: those are of the curve P-256", param=param)


async def require_app(tx: Tx, app_id: str) -> App:
    return one_of(await db.get_apps(tx, app_ids=[app_id]), "app", app_id, "app_id")
