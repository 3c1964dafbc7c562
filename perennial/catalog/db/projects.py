"""SQL of projects, their apps, keys, clocks and audit log."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from perennial.base.db import Database, Row, Tx
from perennial.base.ids import ProjectId
from perennial.catalog.model import (
    ApiKey,
    App,
    AuditEntry,
    Caller,
    Project,
)


async def insert_project(tx: Tx, project: Project) -> None:
    await tx.execute(
        """
        INSERT INTO project (project_id, name, is_sandbox, clock_at, clock_started_at, restore_behavior, created_at)
        VALUES (%(project_id)s, %(name)s, %(is_sandbox)s, %(clock_at)s, %(clock_started_at)s, %(restore_behavior)s, %(created_at)s)
        """,
        project_id=project.project_id,
        name=project.name,
        is_sandbox=project.is_sandbox,
        clock_at=project.clock_at,
        clock_started_at=project.clock_started_at,
        restore_behavior=project.restore_behavior,
        created_at=project.created_at,
    )


async def get_projects(tx: Tx) -> list[Project]:
    """Those the transaction entered, oldest first."""
    return [_project(row) for row in await tx.fetch("SELECT * FROM project ORDER BY project_id")]


async def projects_of(database: Database, project_ids: Sequence[str], *, after: str | None, limit: int) -> list[Project]:
    """Those a key may enter, oldest first: it names them, so none needs to be entered."""
    return [_project(row) for row in await database.door("SELECT * FROM projects_of($1, $2, $3)", list(project_ids), after, limit)]


async def all_projects(database: Database) -> list[Project]:
    """Every project of the installation: for its operator, never for a caller with a key."""
    return [_project(row) for row in await database.door("SELECT * FROM all_projects()")]


def _project(row: Row) -> Project:
    return Project(
        project_id=row["project_id"],
        name=row["name"],
        is_sandbox=row["is_sandbox"],
        restore_behavior=row["restore_behavior"],
        created_at=row["created_at"],
        clock_at=row["clock_at"],
        clock_started_at=row["clock_started_at"],
    )


async def update_project(tx: Tx, *, restore_behavior: str) -> None:
    await tx.execute("UPDATE project SET restore_behavior = %(restore_behavior)s", restore_behavior=restore_behavior)


async def rename_project(tx: Tx, name: str) -> None:
    await tx.execute("UPDATE project SET name = %(name)s", name=name)


async def note_deletion(tx: Tx, project: Project, actor: str, at: datetime) -> None:
    """That it begins; of one that is gone on with, the first beginning stays."""
    await tx.execute(
        """
        INSERT INTO deleted_project (project_id, name, actor, deleted_at) VALUES (%(project_id)s, %(name)s, %(actor)s, %(at)s)
        ON CONFLICT (project_id) DO NOTHING
        """,
        project_id=project.project_id,
        name=project.name,
        actor=actor,
        at=at,
    )


async def delete_batch(tx: Tx, most: int) -> int:
    """Rows of the project, from the tables on which no others depend."""
    gone: int = await tx.fetch_value("SELECT delete_of_project(%(most)s)", most=most)
    await tx.execute(
        "UPDATE deleted_project SET row_count = row_count + %(gone)s WHERE project_id = %(project_id)s", gone=gone, project_id=tx.project_id
    )
    return gone


async def delete_project(tx: Tx) -> int:
    """The empty project itself. Returns how many rows were deleted in all."""
    await tx.execute("DELETE FROM project WHERE project_id = %(project_id)s", project_id=tx.project_id)
    count: int = await tx.fetch_value("SELECT row_count FROM deleted_project WHERE project_id = %(project_id)s", project_id=tx.project_id)
    return count


async def deleted_projects(database: Database) -> list[Row]:
    """What was deleted of the installation, by whom and when; oldest first."""
    return await database.door("SELECT * FROM deleted_projects()")


async def set_clock(tx: Tx, clock_at: datetime | None, clock_started_at: datetime | None) -> None:
    await tx.execute(
        "UPDATE project SET clock_at = %(clock_at)s, clock_started_at = %(clock_started_at)s", clock_at=clock_at, clock_started_at=clock_started_at
    )


async def claim_clock(tx: Tx, wall: datetime, until: datetime) -> bool:
    """False while somebody else moves the clock. A lease that ends after one taken now is of a process whose own clock ran ahead."""
    count = await tx.execute(
        """
        UPDATE project SET moving_until = %(until)s
        WHERE moving_until IS NULL OR moving_until <= %(wall)s OR moving_until > %(until)s::timestamptz + (%(until)s::timestamptz - %(wall)s)
        """,
        until=until,
        wall=wall,
    )
    return count == 1


async def keep_clock(tx: Tx, until: datetime) -> None:
    await tx.execute("UPDATE project SET moving_until = %(until)s", until=until)


async def release_clock(tx: Tx) -> None:
    await tx.execute("UPDATE project SET moving_until = NULL")


async def insert_app(tx: Tx, app: App, *, api_secret: bytes | None, secrets: bytes | None) -> None:
    await tx.execute(
        """
        INSERT INTO app (project_id, app_id, name, store, bundle_id, app_apple_id, api_key_id, api_issuer, api_secret, api_base_url,
          settings, secrets, secret_names, created_at)
        VALUES (%(project_id)s, %(app_id)s, %(name)s, %(store)s, %(bundle_id)s, %(app_apple_id)s, %(api_key_id)s, %(api_issuer)s, %(api_secret)s,
          %(api_base_url)s, %(settings)s, %(secrets)s, %(secret_names)s, %(now)s)
        """,
        project_id=tx.project_id,
        app_id=app.app_id,
        name=app.name,
        store=app.store,
        bundle_id=app.bundle_id,
        app_apple_id=app.app_apple_id,
        api_key_id=app.api_key_id,
        api_issuer=app.api_issuer,
        api_secret=api_secret,
        api_base_url=app.api_base_url,
        settings=dict(app.settings),
        secrets=secrets,
        secret_names=list(app.secret_names),
        now=tx.now,
    )


async def update_app(tx: Tx, app: App, *, api_secret: bytes | None, secrets: bytes | None) -> None:
    """Everything a person may change; the App Store's key only where a new one is given."""
    await tx.execute(
        """
        UPDATE app SET name = %(name)s, bundle_id = %(bundle_id)s, app_apple_id = %(app_apple_id)s, api_key_id = %(api_key_id)s,
          api_issuer = %(api_issuer)s, api_base_url = %(api_base_url)s, api_secret = coalesce(%(api_secret)s, api_secret),
          settings = %(settings)s, secrets = %(secrets)s, secret_names = %(secret_names)s
        WHERE app_id = %(app_id)s
        """,
        app_id=app.app_id,
        name=app.name,
        bundle_id=app.bundle_id,
        app_apple_id=app.app_apple_id,
        api_key_id=app.api_key_id,
        api_issuer=app.api_issuer,
        api_base_url=app.api_base_url,
        api_secret=api_secret,
        settings=dict(app.settings),
        secrets=secrets,
        secret_names=list(app.secret_names),
    )


async def lock_app_secrets(tx: Tx, app_id: str) -> bytes | None:
    """The sealed secrets of an app's store, which nobody else changes meanwhile."""
    sealed: bytes | None = await tx.fetch_value("SELECT secrets FROM app WHERE app_id = %(app_id)s FOR NO KEY UPDATE", app_id=app_id)
    return sealed


async def delete_app(tx: Tx, app_id: str) -> None:
    await tx.execute("DELETE FROM app WHERE app_id = %(app_id)s", app_id=app_id)


async def get_apps(tx: Tx, *, app_ids: Sequence[str] | None = None, after: str | None = None, limit: int = 100) -> list[App]:
    rows = await tx.fetch(
        """
        SELECT app_id, name, store, created_at, bundle_id, app_apple_id, api_key_id, api_issuer, api_base_url,
          api_secret IS NOT NULL AS has_api_secret, settings, secret_names
        FROM app
        WHERE (%(ids)s::text[] IS NULL OR app_id = ANY (%(ids)s)) AND (%(after)s::text IS NULL OR app_id > %(after)s)
        ORDER BY app_id LIMIT %(limit)s
        """,
        ids=None if app_ids is None else list(app_ids),
        after=after,
        limit=limit,
    )
    return [App(**{**row, "secret_names": tuple(row["secret_names"])}) for row in rows]


async def project_of_app(database: Database, app_id: str) -> ProjectId | None:
    """For stores, which address an app without a key."""
    rows = await database.door("SELECT project_of_app($1) AS project_id", app_id)
    return rows[0]["project_id"] if rows else None


async def insert_key(tx: Tx, key: ApiKey, key_hash: bytes) -> None:
    await tx.execute(
        """
        INSERT INTO api_key (project_id, key_id, kind, app_id, label, hash, public_key, permissions, created_at)
        VALUES (%(project_id)s, %(key_id)s, %(kind)s, %(app_id)s, %(label)s, %(hash)s, %(public_key)s, %(permissions)s, %(now)s)
        """,
        project_id=tx.project_id,
        key_id=key.key_id,
        kind=key.kind,
        app_id=key.app_id,
        label=key.label,
        hash=key_hash,
        public_key=key.public_key,
        permissions=list(key.permissions) if key.permissions is not None else None,
        now=tx.now,
    )


async def get_keys(tx: Tx, *, app_id: str | None = None) -> list[ApiKey]:
    rows = await tx.fetch(
        """
        SELECT key_id, kind, label, created_at, app_id, public_key, revoked_at, permissions FROM api_key
        WHERE %(app_id)s::text IS NULL OR app_id = %(app_id)s ORDER BY key_id LIMIT 1000
        """,
        app_id=app_id,
    )
    return [ApiKey(**{**dict(row), "permissions": tuple(row["permissions"]) if row["permissions"] is not None else None}) for row in rows]


async def revoke_keys(tx: Tx) -> None:
    """All of the project's, public ones too."""
    await tx.execute(
        "UPDATE api_key SET revoked_at = %(now)s WHERE project_id = %(project_id)s AND revoked_at IS NULL", now=tx.now, project_id=tx.project_id
    )


async def revoke_key(tx: Tx, key_id: str) -> bool:
    count = await tx.execute("UPDATE api_key SET revoked_at = %(now)s WHERE key_id = %(key_id)s AND revoked_at IS NULL", now=tx.now, key_id=key_id)
    return count == 1


async def extend_reach(tx: Tx, key_id: str, project_id: ProjectId) -> None:
    await tx.execute(
        "UPDATE api_key SET reaches = array_append(reaches, %(project_id)s) WHERE key_id = %(key_id)s", key_id=key_id, project_id=project_id
    )


async def find_caller(database: Database, key_hash: bytes) -> Caller | None:
    rows = await database.door("SELECT * FROM find_keys($1)", [key_hash])
    if not rows:
        return None
    row = rows[0]
    return Caller(
        project_id=row["project_id"],
        key_id=row["key_id"],
        kind=row["kind"],
        app_id=row["app_id"],
        store=row["store"],
        reaches=tuple(row["reaches"]),
        permissions=frozenset(row["permissions"]) if row["permissions"] is not None else None,
    )


async def insert_audit(tx: Tx, audit_id: str, *, actor: str, action: str, target: str, data: dict[str, Any]) -> None:
    await tx.execute(
        """
        INSERT INTO audit (project_id, audit_id, actor, action, target, at, data)
        VALUES (%(project_id)s, %(audit_id)s, %(actor)s, %(action)s, %(target)s, %(now)s, %(data)s)
        """,
        project_id=tx.project_id,
        audit_id=audit_id,
        actor=actor,
        action=action,
        target=target,
        now=tx.now,
        data=data,
    )


async def version(tx: Tx) -> int:
    """Of the catalog: every write to it raises it. What is read in this transaction after it is at least as new."""
    found: int = await tx.fetch_value("SELECT catalog_version FROM project")
    return found


async def touch(tx: Tx) -> None:
    """Every rendered document of the project is out of date from this commit on."""
    if tx.is_first("touch the catalog"):
        await tx.execute("UPDATE project SET catalog_version = catalog_version + 1")


async def get_audit(
    tx: Tx, *, before: str | None = None, since: datetime | None = None, until: datetime | None = None, limit: int = 100
) -> list[AuditEntry]:
    """The newest first; those before the entry `before`, and from `since` up to but without `until`.

    It names the project, as behind the wall alone PostgreSQL would sort a long log for every page of it.
    """
    rows = await tx.fetch(
        """
        SELECT audit_id, actor, action, target, at, data FROM audit
        WHERE project_id = %(project_id)s AND (%(before)s::text IS NULL OR audit_id < %(before)s)
          AND (%(since)s::timestamptz IS NULL OR at >= %(since)s) AND (%(until)s::timestamptz IS NULL OR at < %(until)s)
        ORDER BY audit_id DESC LIMIT %(limit)s
        """,
        project_id=tx.project_id,
        before=before,
        since=since,
        until=until,
        limit=limit,
    )
    return [AuditEntry(**dict(row)) for row in rows]


async def rename_audited(tx: Tx, targets: Sequence[str], name: str) -> None:
    """What was done to any of these was done to `name`: the persons who were called so are gone."""
    await tx.execute("UPDATE audit SET target = %(name)s WHERE target = ANY (%(targets)s::text[])", targets=list(targets), name=name)
