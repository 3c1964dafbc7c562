"""Who works on a project. Adding and removing them is ours; a role says what somebody is, not yet what they may do."""

from litestar.params import JSONBody

from perennial import access
from perennial.access.model import Collaborator
from perennial.api.auth import HttpRequest
from perennial.api.v2 import wire
from perennial.api.v2.entry import entered, ms
from perennial.api.v2.pages import AskedPage
from perennial.api.v2.routes import PathId, delete, get, post
from perennial.base.time import to_ms

_TAGS = ["Collaborators"]
_PATH = "/projects/{project_id:str}/collaborators"


@get(_PATH, permission="project_configuration:collaborators:read", operation_id="list-collaborators", summary="List collaborators", tags=_TAGS)
async def list_collaborators(request: HttpRequest, project_id: PathId, page: AskedPage) -> wire.ListOf[wire.Collaborator]:
    async with entered(request, project_id) as entry:
        found = await access.get_collaborators(entry.tx, after=page.after, limit=page.probe)
    return page.of(found, lambda one: one.collaborator_id, _show)


@post(
    _PATH,
    permission="project_configuration:collaborators:read_write",
    operation_id="add-collaborator",
    summary="Add a collaborator",
    tags=_TAGS,
)
async def add_collaborator(request: HttpRequest, project_id: PathId, data: JSONBody[wire.CollaboratorCreate]) -> wire.Collaborator:
    async with entered(request, project_id) as entry:
        made = await access.add_collaborator(entry.tx, email=data.email, role=data.role, name=data.name)
        await entry.audit("collaborator.add", made.collaborator_id, {"email": made.email, "role": made.role})
    return _show(made)


@delete(
    _PATH + "/{collaborator_id:str}",
    permission="project_configuration:collaborators:read_write",
    operation_id="remove-collaborator",
    summary="Remove a collaborator",
    tags=_TAGS,
    status_code=200,
)
async def remove_collaborator(request: HttpRequest, project_id: PathId, collaborator_id: PathId) -> wire.DeletedObject:
    async with entered(request, project_id) as entry:
        await access.remove_collaborator(entry.tx, collaborator_id)
        await entry.audit("collaborator.remove", collaborator_id)
        return wire.DeletedObject(object="collaborator", id=collaborator_id, deleted_at=to_ms(entry.tx.now))


def _show(one: Collaborator) -> wire.Collaborator:
    return wire.Collaborator(id=one.collaborator_id, email=one.email, role=one.role, accepted_at=ms(one.accepted_at), has_mfa=False, name=one.name)


HANDLERS = [list_collaborators, add_collaborator, remove_collaborator]
