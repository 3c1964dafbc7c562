"""Projects, their secret keys, and what was done in them by hand."""

from collections.abc import Sequence
from typing import Any

from perennial import access
from perennial.base.db import Database, ForeignKeyViolation, Tx
from perennial.base.errors import Conflict
from perennial.base.ids import KeyId, ProjectId, new_token
from perennial.base.secrets import hash_key
from perennial.catalog import db
from perennial.catalog.actions.checks import named, one_of
from perennial.catalog.model import SECRET_PREFIX, ApiKey, Missing, Project, RestoreBehavior

BATCH = 5_000  # rows that one transaction deletes
MOST_BATCHES = 10_000_000


async def create_project(tx: Tx, name: str, *, is_sandbox: bool = False, restore_behavior: RestoreBehavior = "transfer") -> Project:
    """In a transaction that entered the new project's id."""
    project = Project(
        project_id=tx.project_id, name=named(name, "name", 256), is_sandbox=is_sandbox, restore_behavior=restore_behavior, created_at=tx.now
    )
    await db.insert_project(tx, project)
    return project


async def rename_project(tx: Tx, name: str) -> None:
    await db.rename_project(tx, named(name, "name", 256))


async def delete_project(database: Database, project_id: ProjectId, *, actor: str) -> int:
    """Deletes a project with all it has, its work on the agenda included. Returns how many rows that were, for good.

    A batch is a transaction, its keys among the first, so that nobody comes in while the rest goes. Interrupted, it is gone on with by the same
    call. The note of who deleted it stays, as the audit log goes with the project.
    """
    async with database.transaction(project_id) as tx:
        await db.note_deletion(tx, await require_project(tx), actor, database.clock())
        await db.revoke_keys(tx)
    for _ in range(MOST_BATCHES):
        try:
            async with database.transaction(project_id) as tx:
                if not await db.delete_batch(tx, BATCH):
                    return await db.delete_project(tx)
        except ForeignKeyViolation:
            continue  # a worker wrote something meanwhile, for which the next round looks again
    raise Conflict("something keeps writing into this project; stop its workers, and delete it again", param="project_id")


async def create_secret_key(tx: Tx, label: str, *, permissions: Sequence[str] | None = None) -> tuple[ApiKey, str]:
    """The key is returned this once: only its hash is kept. Without `permissions` it may do everything, now and later."""
    key = SECRET_PREFIX + new_token(24)
    secret = ApiKey(
        key_id=KeyId(tx.new_id("key")),
        kind="secret",
        label=named(label, "label", 255),
        created_at=tx.now,
        permissions=access.normalized(permissions) if permissions is not None else None,
    )
    await db.insert_key(tx, secret, hash_key(key))
    return secret, key


async def revoke_key(tx: Tx, key_id: str) -> None:
    if not await db.revoke_key(tx, key_id):
        raise Missing(f"no key {key_id!r} that could be revoked; list them with: perennial keys list", param="key_id")


async def require_project(tx: Tx) -> Project:
    return one_of(await db.get_projects(tx), "project", tx.project_id, "project_id")


async def audit(tx: Tx, *, actor: str, action: str, target: str, data: dict[str, Any] | None = None) -> None:
    """Writes down an administrative act, in the transaction that does it."""
    await db.insert_audit(tx, tx.new_id("audit"), actor=actor, action=action, target=target, data=data or {})


async def reach(tx: Tx, key_id: str, project_id: ProjectId) -> None:
    """The key may also enter a project that was created with it."""
    await db.extend_reach(tx, key_id, project_id)
