"""Apps: one per store and platform, each with its public SDK key."""

from typing import Any

import msgspec
from litestar.params import JSONBody
from msgspec import UNSET

from perennial import catalog
from perennial.api.auth import HttpRequest
from perennial.api.v2 import store_kit, wire
from perennial.api.v2.entry import entered
from perennial.api.v2.pages import AskedPage
from perennial.api.v2.routes import PathId, delete, get, post
from perennial.base.errors import Invalid
from perennial.base.time import to_ms
from perennial.base.value import value
from perennial.catalog.model import STORE_KINDS, ApiKey, App

_TAGS = ["Apps"]
_PATH = "/projects/{project_id:str}/apps"
_ONE = _PATH + "/{app_id:str}"
_READ, _WRITE = "project_configuration:apps:read", "project_configuration:apps:read_write"
_APPLE = ("app_store", "mac_app_store")

# The vendor's name of a field, where we have another.
_OURS = {
    "stripe": {"stripe_account_id": "account_id"},
    "roku": {"roku_api_key": "api_key", "roku_channel_id": "channel_id", "roku_channel_name": "channel_name"},
    "paddle": {"paddle_api_key": "api_key", "paddle_is_sandbox": "environment"},
}


@get(_PATH, permission=_READ, operation_id="list-apps", summary="List apps", tags=_TAGS)
async def list_apps(request: HttpRequest, project_id: PathId, page: AskedPage) -> wire.ListOf[wire.App]:
    async with entered(request, project_id) as entry:
        found = await catalog.get_apps(entry.tx, after=page.after, limit=page.probe)
    return page.of(found, lambda app: app.app_id, lambda app: show_app(app, project_id))


@post(_PATH, permission=_WRITE, operation_id="create-app", summary="Create an app", tags=_TAGS)
async def create_app(request: HttpRequest, project_id: PathId, data: JSONBody[wire.AppCreate]) -> wire.App:
    """With the object of its store: `app_store` and `mac_app_store` need their `bundle_id`, `play_store` and `amazon` their `package_name`."""
    given = _given(data, data.type)
    kind = STORE_KINDS[data.type]
    if kind.needs_identifier and given.bundle_id is None:
        raise Invalid(f"{data.type}.{kind.identifier} is missing; it looks like com.example.app", param=f"{data.type}.{kind.identifier}")
    async with entered(request, project_id) as entry:
        app, _ = await catalog.create_app(
            entry.tx,
            entry.app.vault,
            name=data.name,
            store=data.type,
            bundle_id=given.bundle_id,
            app_apple_id=given.app_apple_id,
            api_key_id=given.api_key_id,
            api_issuer=given.api_issuer,
            api_private_key=given.api_private_key,
            settings={name: text for name, text in given.settings.items() if text is not None},
            secrets={name: text for name, text in given.secrets.items() if text is not None},
        )
        _check_whole(app)
        await entry.audit("app.create", app.app_id, {"name": app.name, "type": app.store})
    return show_app(app, project_id)


@get(_ONE, permission=_READ, operation_id="get-app", summary="Get an app", tags=_TAGS)
async def get_app(request: HttpRequest, project_id: PathId, app_id: PathId) -> wire.App:
    async with entered(request, project_id) as entry:
        return show_app(await catalog.require_app(entry.tx, app_id), project_id)


@post(_ONE, permission=_WRITE, operation_id="update-app", summary="Update an app", tags=_TAGS, status_code=200)
async def update_app(request: HttpRequest, project_id: PathId, app_id: PathId, data: JSONBody[wire.AppUpdate]) -> wire.App:
    """What is left out stays; a setting or secret that is null is taken away. A new secret replaces the old one."""
    async with entered(request, project_id) as entry:
        given = _given(data, (await catalog.require_app(entry.tx, app_id)).store)
        app = await catalog.change_app(
            entry.tx,
            entry.app.vault,
            app_id,
            name=data.name,
            bundle_id=given.bundle_id,
            app_apple_id=given.app_apple_id,
            api_key_id=given.api_key_id,
            api_issuer=given.api_issuer,
            api_private_key=given.api_private_key,
            settings=given.settings,
            secrets=given.secrets,
        )
        _check_whole(app)
        await entry.audit("app.update", app.app_id, {"name": app.name, "settings": sorted(given.settings), "secrets": sorted(given.secrets)})
    return show_app(app, project_id)


@delete(_ONE, permission=_WRITE, operation_id="delete-app", summary="Delete an app", tags=_TAGS, status_code=200)
async def delete_app(request: HttpRequest, project_id: PathId, app_id: PathId) -> wire.DeletedObject:
    """With its products, its SDK keys and the webhook integrations that are for it alone. An app that customers hold purchases of stays (422)."""
    async with entered(request, project_id) as entry:
        app = await catalog.require_app(entry.tx, app_id)
        await catalog.delete_app(entry.tx, app_id)
        await entry.audit("app.delete", app_id, {"name": app.name, "type": app.store})
        return wire.DeletedObject(object="app", id=app_id, deleted_at=to_ms(entry.tx.now))


@get(_ONE + "/public_api_keys", permission=_READ, operation_id="list-app-public-api-keys", summary="List SDK keys", tags=_TAGS)
async def list_public_api_keys(request: HttpRequest, project_id: PathId, app_id: PathId, page: AskedPage) -> wire.ListOf[wire.PublicApiKey]:
    async with entered(request, project_id) as entry:
        app = await catalog.require_app(entry.tx, app_id)
        keys = [key for key in await catalog.get_keys(entry.tx, app_id=app_id) if key.revoked_at is None]
    return page.part_of(keys, lambda key: key.key_id, lambda key: _show_key(key, app))


@get(_ONE + "/store_kit_config", permission=_READ, operation_id="get-app-store-kit-config", summary="Get a StoreKit file to test with", tags=_TAGS)
async def get_store_kit_config(request: HttpRequest, project_id: PathId, app_id: PathId) -> wire.StoreKitConfigFile:
    """Save `contents` as a `.storekit` file and choose it in Xcode's scheme. Prices and periods that only App Store Connect knows are examples."""
    async with entered(request, project_id) as entry:
        app = await catalog.require_app(entry.tx, app_id)
        if app.store not in _APPLE:
            raise Invalid(f"app_id: only apps of the App Store have a StoreKit file; this is one of {app.store}", param="app_id")
        products = [one for one in await catalog.get_products(entry.tx, app_id=app_id) if one.archived_at is None]
    return wire.StoreKitConfigFile(contents=store_kit.configuration(app, products))


# What comes in --------------------------------------------------------------------------------------------------------------------


@value
class _Given:
    """What a body says of an app, in our names. A setting or secret that is None is to be taken away."""

    bundle_id: str | None
    app_apple_id: int | None
    api_key_id: str | None
    api_issuer: str | None
    api_private_key: str | None
    settings: dict[str, str | None]
    secrets: dict[str, str | None]


def _given(data: wire.AppChange, store: str) -> _Given:
    """Of the app's own store; the objects of others are ignored, as any field that does not apply."""
    fields, kind, ours = _fields_of(getattr(data, store, None), store), STORE_KINDS[store], data.perennial or wire.OurSettings()
    given = _Given(
        bundle_id=fields.pop(kind.identifier or "", None),
        app_apple_id=fields.pop("app_apple_id", None),
        api_key_id=fields.pop("subscription_key_id", None),
        api_issuer=fields.pop("subscription_key_issuer", None),
        api_private_key=fields.pop("subscription_private_key", None),
        settings=dict(ours.settings),
        secrets=dict(ours.secrets),
    )
    if given.api_private_key is not None:
        catalog.check_private_key(given.api_private_key, param=f"{store}.subscription_private_key")
    for name, content in fields.items():
        (given.secrets if name in kind.secrets else given.settings)[name] = content
    return given


def _fields_of(given: msgspec.Struct | None, store: str) -> dict[str, Any]:
    """By our names. What is left out is not among them."""
    if given is None:
        return {}
    names = _OURS.get(store, {})
    fields = {names.get(name, name): content for name, content in msgspec.structs.asdict(given).items() if content is not UNSET}
    if isinstance(is_sandbox := fields.get("environment"), bool):
        fields["environment"] = "sandbox" if is_sandbox else "production"
    return fields


def _check_whole(app: App) -> None:
    parts = (app.api_key_id is not None, app.api_issuer is not None, app.has_api_secret)
    if any(parts) and not all(parts):
        raise Invalid(
            "the store's API key has three parts: subscription_key_id, subscription_key_issuer and subscription_private_key; send all of them",
            param=f"{app.store}.subscription_private_key",
        )


# What goes out --------------------------------------------------------------------------------------------------------------------


def show_app(app: App, project_id: str) -> wire.App:
    shown = wire.App(
        id=app.app_id,
        name=app.name,
        created_at=to_ms(app.created_at),
        type=app.store,  # type: ignore[arg-type]
        project_id=project_id,
        perennial=wire.AppFacts(
            has_store_api_key=app.has_api_secret,
            notification_path=catalog.notification_path(app),
            settings=dict(app.settings),
            secrets=list(app.secret_names),
        ),
    )
    _show_store(app, shown)
    return shown


def _of_length(text: str | None, shortest: int, longest: int) -> str | None:
    """What the command line set beyond the vendor's limits is not shown where its clients look: they would refuse the whole app."""
    return text if text is not None and shortest <= len(text) <= longest else None


def _show_store(app: App, shown: wire.App) -> None:
    told = app.settings.get
    match app.store:
        case "app_store":
            shown.app_store = wire.AppStoreFields(
                bundle_id=app.bundle_id or "",
                subscription_key_configured=app.has_api_secret,
                app_store_connect_api_key_configured="app_store_connect_api_key" in app.secret_names,
            )
        case "mac_app_store":
            shown.mac_app_store = wire.MacAppStoreFields(bundle_id=app.bundle_id or "")
        case "play_store":
            shown.play_store = wire.PackageFields(package_name=app.bundle_id or "")
        case "amazon":
            shown.amazon = wire.PackageFields(package_name=app.bundle_id or "")
        case "stripe":
            shown.stripe = wire.StripeFields(stripe_account_id=told("account_id") or UNSET)
        case "roku":
            shown.roku = wire.RokuFields(roku_channel_id=_of_length(app.bundle_id, 6, 6), roku_channel_name=_of_length(told("channel_name"), 1, 30))
        case "paddle":
            shown.paddle = wire.PaddleFields(paddle_is_sandbox=told("environment") == "sandbox")
        case "rc_billing":
            shown.rc_billing = wire.BillingFields(
                stripe_account_id=told("stripe_account_id"),
                seller_company_name=told("app_name") or app.name,
                app_name=told("app_name") or app.name,
                seller_company_support_email=told("support_email"),
                support_email=told("support_email"),
                default_currency=told("default_currency") or "USD",
            )


def _show_key(key: ApiKey, app: App) -> wire.PublicApiKey:
    return wire.PublicApiKey(
        id=key.key_id,
        key=key.public_key or "",
        environment="sandbox" if app.store == "test_store" else "production",
        app_id=app.app_id,
        created_at=to_ms(key.created_at),
    )


HANDLERS = [list_apps, create_app, get_app, update_app, delete_app, list_public_api_keys, get_store_kit_config]
