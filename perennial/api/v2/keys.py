"""Ours: the keys of a project. A key can only make keys that may do no more than itself."""

from litestar.params import JSONBody

from perennial import access, catalog
from perennial.api.auth import HttpRequest, require_permissions
from perennial.api.v2 import wire
from perennial.api.v2.entry import entered, ms
from perennial.api.v2.pages import AskedPage
from perennial.api.v2.routes import PathId, delete, get, post
from perennial.base.errors import Forbidden
from perennial.base.time import to_ms
from perennial.catalog.model import ApiKey, Caller

_TAGS = ["Keys"]
_PATH = "/projects/{project_id:str}/api_keys"


@get(_PATH, permission="project_configuration:api_keys:read", operation_id="list-api-keys", summary="List keys", tags=_TAGS)
async def list_keys(request: HttpRequest, project_id: PathId, page: AskedPage) -> wire.ListOf[wire.ApiKey]:
    """Those of apps too, and those that were revoked. The oldest first."""
    async with entered(request, project_id) as entry:
        found = await catalog.get_keys(entry.tx)
    return page.part_of(found, lambda key: key.key_id, lambda key: _show(key, project_id))


@post(_PATH, permission="project_configuration:api_keys:read_write", operation_id="create-api-key", summary="Create a secret key", tags=_TAGS)
async def create_key(request: HttpRequest, project_id: PathId, data: JSONBody[wire.ApiKeyCreate]) -> wire.ApiKey:
    """The answer has the `key`, this once: only its hash is kept."""
    async with entered(request, project_id) as entry:
        key, secret = await catalog.create_secret_key(entry.tx, data.label, permissions=_given(entry.caller, data.permissions))
        await entry.audit("api_key.create", key.key_id, {"label": key.label, "permissions": key.permissions})
    return _show(key, project_id, secret)


def _given(caller: Caller, wanted: list[str] | None) -> tuple[str, ...] | None:
    """What the new key may do. `Forbidden` where that is more than the caller may."""
    if caller.kind != "secret":
        raise Forbidden("keys are made with a secret key: one made with an access token would outlive it")
    if wanted is None:
        return tuple(sorted(caller.permissions)) if caller.permissions is not None else None
    given = access.normalized(wanted)
    require_permissions(caller, given)
    return given


@delete(
    _PATH + "/{key_id:str}",
    permission="project_configuration:api_keys:read_write",
    operation_id="revoke-api-key",
    summary="Revoke a key",
    tags=_TAGS,
    status_code=200,
)
async def revoke_key(request: HttpRequest, project_id: PathId, key_id: PathId) -> wire.DeletedObject:
    """It is useless at once and for good, but stays in the list."""
    async with entered(request, project_id) as entry:
        await catalog.revoke_key(entry.tx, key_id)
        await entry.audit("api_key.revoke", key_id)
        return wire.DeletedObject(object="api_key", id=key_id, deleted_at=to_ms(entry.tx.now))


def _show(key: ApiKey, project_id: str, secret: str | None = None) -> wire.ApiKey:
    return wire.ApiKey(
        id=key.key_id,
        project_id=project_id,
        label=key.label,
        type=key.kind,
        app_id=key.app_id,
        permissions=list(key.permissions) if key.permissions is not None else None,
        created_at=to_ms(key.created_at),
        revoked_at=ms(key.revoked_at),
        key=secret or key.public_key,
    )


HANDLERS = [list_keys, create_key, revoke_key]
