"""Apps: one per store and platform, each with its public SDK key."""

from litestar.params import JSONBody

from perennial import catalog
from perennial.api.auth import HttpRequest
from perennial.api.v2 import wire
from perennial.api.v2.entry import entered
from perennial.api.v2.pages import AskedPage
from perennial.api.v2.routes import PathId, get, post
from perennial.base.errors import Invalid
from perennial.base.time import to_ms
from perennial.catalog.model import KEY_PREFIXES, ApiKey, App

_TAGS = ["Apps"]
_PATH = "/projects/{project_id:str}/apps"
_ONE = _PATH + "/{app_id:str}"


@get(_PATH, operation_id="list-apps", summary="List apps", tags=_TAGS)
async def list_apps(request: HttpRequest, project_id: PathId, page: AskedPage) -> wire.ListOf[wire.App]:
    async with entered(request, project_id) as entry:
        found = await catalog.get_apps(entry.tx, after=page.after, limit=page.probe)
    return page.of(found, lambda app: app.app_id, lambda app: show_app(app, project_id))


@post(_PATH, operation_id="create-app", summary="Create an app", tags=_TAGS)
async def create_app(request: HttpRequest, project_id: PathId, data: JSONBody[wire.AppCreate]) -> wire.App:
    """Of the App Store, the Mac App Store, the Test Store or web billing. `app_store` and `mac_app_store` need their `bundle_id`."""
    if data.type not in KEY_PREFIXES:
        raise Invalid(f"type: apps of {data.type} are not available yet; {', '.join(KEY_PREFIXES)} are", param="type")
    settings = _settings(data, data.type)
    if data.type in ("app_store", "mac_app_store") and settings.bundle_id is None:
        raise Invalid(f"{data.type}.bundle_id is missing; it looks like com.example.app", param=f"{data.type}.bundle_id")
    async with entered(request, project_id) as entry:
        app, _ = await catalog.create_app(
            entry.tx,
            entry.app.vault,
            name=data.name,
            store=data.type,
            bundle_id=settings.bundle_id,
            app_apple_id=settings.app_apple_id,
            api_key_id=settings.subscription_key_id,
            api_issuer=settings.subscription_key_issuer,
            api_private_key=settings.subscription_private_key,
        )
        _check_whole(app)
        await entry.audit("app.create", app.app_id, {"name": app.name, "type": app.store})
    return show_app(app, project_id)


@get(_ONE, operation_id="get-app", summary="Get an app", tags=_TAGS)
async def get_app(request: HttpRequest, project_id: PathId, app_id: PathId) -> wire.App:
    async with entered(request, project_id) as entry:
        return show_app(await catalog.require_app(entry.tx, app_id), project_id)


@post(_ONE, operation_id="update-app", summary="Update an app", tags=_TAGS, status_code=200)
async def update_app(request: HttpRequest, project_id: PathId, app_id: PathId, data: JSONBody[wire.AppUpdate]) -> wire.App:
    """What is left out stays. A new private key replaces the old one."""
    async with entered(request, project_id) as entry:
        before = await catalog.require_app(entry.tx, app_id)
        settings = _settings(data, before.store)
        app = await catalog.change_app(
            entry.tx,
            entry.app.vault,
            app_id,
            name=data.name,
            bundle_id=settings.bundle_id,
            app_apple_id=settings.app_apple_id,
            api_key_id=settings.subscription_key_id,
            api_issuer=settings.subscription_key_issuer,
            api_private_key=settings.subscription_private_key,
        )
        _check_whole(app)
        await entry.audit("app.update", app.app_id, {"name": app.name})
    return show_app(app, project_id)


@get(_ONE + "/public_api_keys", operation_id="list-app-public-api-keys", summary="List SDK keys", tags=_TAGS)
async def list_public_api_keys(request: HttpRequest, project_id: PathId, app_id: PathId, page: AskedPage) -> wire.ListOf[wire.PublicApiKey]:
    async with entered(request, project_id) as entry:
        app = await catalog.require_app(entry.tx, app_id)
        keys = [key for key in await catalog.get_keys(entry.tx, app_id=app_id) if key.revoked_at is None]
    return page.part_of(keys, lambda key: key.key_id, lambda key: _show_key(key, app))


def show_app(app: App, project_id: str) -> wire.App:
    is_apple = app.store in ("app_store", "mac_app_store")
    shown = wire.App(
        id=app.app_id,
        name=app.name,
        created_at=to_ms(app.created_at),
        type=app.store,
        project_id=project_id,
        perennial=wire.AppFacts(has_store_api_key=app.has_api_secret, notification_path=f"/hooks/app_store/{app.app_id}" if is_apple else None),
    )
    if app.store == "app_store":
        shown.app_store = wire.AppStoreFields(bundle_id=app.bundle_id or "")
    if app.store == "mac_app_store":
        shown.mac_app_store = wire.AppStoreFields(bundle_id=app.bundle_id or "")
    return shown


def _show_key(key: ApiKey, app: App) -> wire.PublicApiKey:
    return wire.PublicApiKey(
        id=key.key_id,
        key=key.public_key or "",
        environment="sandbox" if app.store == "test_store" else "production",
        app_id=app.app_id,
        created_at=to_ms(key.created_at),
    )


def _settings(data: wire.AppCreate | wire.AppUpdate, store: str) -> wire.AppStoreSettings:
    """Those of the app's own store; others are ignored, as any field that does not apply."""
    given = {"app_store": data.app_store, "mac_app_store": data.mac_app_store}.get(store)
    settings = given or wire.AppStoreSettings()
    if settings.subscription_private_key is not None:
        catalog.check_private_key(settings.subscription_private_key, param=f"{store}.subscription_private_key")
    return settings


def _check_whole(app: App) -> None:
    parts = (app.api_key_id is not None, app.api_issuer is not None, app.has_api_secret)
    if any(parts) and not all(parts):
        raise Invalid(
            "the store's API key has three parts: subscription_key_id, subscription_key_issuer and subscription_private_key; send all of them",
            param=f"{app.store}.subscription_private_key",
        )


HANDLERS = [list_apps, create_app, get_app, update_app, list_public_api_keys]
