"""SQL of endpoints that are services with a shape of their own."""

from collections.abc import Sequence

from perennial.base.db import Row, Tx
from perennial.base.ids import EndpointId
from perennial.events.model import Configured, Integration


async def insert_integration(tx: Tx, integration: Integration, *, secrets: bytes) -> None:
    await tx.execute(
        """
        INSERT INTO endpoint (project_id, endpoint_id, kind, name, settings, secrets, secret_names, gather_for, environment, app_id, event_types,
                              created_at)
        VALUES (%(project_id)s, %(endpoint_id)s, %(kind)s, %(name)s, %(settings)s, %(secrets)s, %(secret_names)s, %(gather_for)s, %(environment)s,
                %(app_id)s, %(event_types)s, %(now)s)
        """,
        project_id=tx.project_id,
        endpoint_id=integration.endpoint_id,
        kind=integration.kind,
        name=integration.name,
        settings=integration.settings,
        secrets=secrets,
        secret_names=integration.secret_names,
        gather_for=integration.gather_for,
        environment=integration.environment,
        app_id=integration.app_id,
        event_types=integration.event_types,
        now=tx.now,
    )


async def update_integration(tx: Tx, integration: Integration) -> None:
    """Its name, and what it hears."""
    await tx.execute(
        """
        UPDATE endpoint SET name = %(name)s, environment = %(environment)s, app_id = %(app_id)s, event_types = %(event_types)s
        WHERE endpoint_id = %(endpoint_id)s
        """,
        endpoint_id=integration.endpoint_id,
        name=integration.name,
        environment=integration.environment,
        app_id=integration.app_id,
        event_types=integration.event_types,
    )


async def configure_integration(tx: Tx, endpoint_id: EndpointId, configured: Configured, *, secrets: bytes) -> None:
    await tx.execute(
        """
        UPDATE endpoint SET settings = %(settings)s, secrets = %(secrets)s, secret_names = %(secret_names)s, gather_for = %(gather_for)s
        WHERE endpoint_id = %(endpoint_id)s
        """,
        endpoint_id=endpoint_id,
        settings=configured.settings,
        secrets=secrets,
        secret_names=sorted(configured.secrets),
        gather_for=configured.gather_for,
    )


async def get_integrations(tx: Tx, endpoint_ids: Sequence[EndpointId]) -> list[Integration]:
    rows = await tx.fetch(
        "SELECT * FROM endpoint WHERE endpoint_id = ANY (%(ids)s::text[]) AND kind <> 'webhook' ORDER BY endpoint_id", ids=list(endpoint_ids)
    )
    return [_integration(row) for row in rows]


async def page_integrations(tx: Tx, *, after: str | None, limit: int) -> list[Integration]:
    rows = await tx.fetch(
        """
        SELECT * FROM endpoint
        WHERE project_id = (SELECT %(project_id)s::text) AND kind <> 'webhook' AND (%(after)s::text IS NULL OR endpoint_id > %(after)s)
        ORDER BY endpoint_id LIMIT %(limit)s
        """,
        project_id=tx.project_id,
        after=after,
        limit=limit,
    )
    return [_integration(row) for row in rows]


def _integration(row: Row) -> Integration:
    return Integration(
        endpoint_id=row["endpoint_id"],
        kind=row["kind"],
        name=row["name"],
        settings=row["settings"],
        secret_names=tuple(row["secret_names"]),
        environment=row["environment"],
        app_id=row["app_id"],
        event_types=None if row["event_types"] is None else tuple(row["event_types"]),
        created_at=row["created_at"],
        gather_for=row["gather_for"],
        last_success_at=row["last_success_at"],
        last_failure_at=row["last_failure_at"],
        last_error=row["last_error"],
        failures=row["failures"],
    )
