"""SQL of endpoints: webhooks alone, and what every endpoint has (its lock, its health, the way to it)."""

from collections.abc import Sequence
from datetime import datetime

from perennial.base.db import Row, Tx
from perennial.base.ids import EndpointId
from perennial.events.model import Endpoint, Health, IntegrationRoute, Route, WebhookRoute


async def insert_endpoint(tx: Tx, endpoint: Endpoint, *, authorization_header: bytes | None, signing_secret: bytes) -> None:
    await tx.execute(
        """
        INSERT INTO endpoint (project_id, endpoint_id, name, url, authorization_header, signing_secret, environment, app_id, event_types, created_at)
        VALUES (%(project_id)s, %(endpoint_id)s, %(name)s, %(url)s, %(authorization_header)s, %(signing_secret)s, %(environment)s, %(app_id)s,
                %(event_types)s, %(now)s)
        """,
        project_id=tx.project_id,
        endpoint_id=endpoint.endpoint_id,
        name=endpoint.name,
        url=endpoint.url,
        authorization_header=authorization_header,
        signing_secret=signing_secret,
        environment=endpoint.environment,
        app_id=endpoint.app_id,
        event_types=endpoint.event_types,
        now=tx.now,
    )


async def update_endpoint(tx: Tx, endpoint: Endpoint) -> None:
    """All but its secrets and its health."""
    await tx.execute(
        """
        UPDATE endpoint SET name = %(name)s, url = %(url)s, environment = %(environment)s, app_id = %(app_id)s, event_types = %(event_types)s
        WHERE endpoint_id = %(endpoint_id)s
        """,
        endpoint_id=endpoint.endpoint_id,
        name=endpoint.name,
        url=endpoint.url,
        environment=endpoint.environment,
        app_id=endpoint.app_id,
        event_types=endpoint.event_types,
    )


async def set_authorization(tx: Tx, endpoint_id: EndpointId, authorization_header: bytes | None) -> None:
    await tx.execute(
        "UPDATE endpoint SET authorization_header = %(header)s WHERE endpoint_id = %(endpoint_id)s",
        header=authorization_header,
        endpoint_id=endpoint_id,
    )


async def set_paused(tx: Tx, endpoint_id: EndpointId, paused_at: datetime | None) -> None:
    await tx.execute(
        "UPDATE endpoint SET paused_at = %(paused_at)s WHERE project_id = %(project_id)s AND endpoint_id = %(endpoint_id)s",
        project_id=tx.project_id,
        endpoint_id=endpoint_id,
        paused_at=paused_at,
    )


async def rotate_secret(tx: Tx, endpoint_id: EndpointId, signing_secret: bytes, *, former_until: datetime | None) -> None:
    """The present secret becomes the former one, and the one before it is forgotten. None: the present one is forgotten too."""
    await tx.execute(
        """
        UPDATE endpoint SET former_secret = CASE WHEN %(until)s::timestamptz IS NOT NULL THEN signing_secret END, former_until = %(until)s,
          signing_secret = %(signing_secret)s
        WHERE project_id = %(project_id)s AND endpoint_id = %(endpoint_id)s
        """,
        project_id=tx.project_id,
        endpoint_id=endpoint_id,
        signing_secret=signing_secret,
        until=former_until,
    )


async def count_endpoints(tx: Tx) -> int:
    """Of every kind; whoever makes one waits for others who do."""
    await tx.fetch("SELECT FROM project WHERE project_id = %(project_id)s FOR NO KEY UPDATE", project_id=tx.project_id)
    count: int = await tx.fetch_value("SELECT count(*) FROM endpoint WHERE project_id = %(project_id)s", project_id=tx.project_id)
    return count


async def delete_endpoint(tx: Tx, endpoint_id: EndpointId) -> bool:
    """Its deliveries go with it."""
    return await tx.execute("DELETE FROM endpoint WHERE endpoint_id = %(endpoint_id)s", endpoint_id=endpoint_id) == 1


async def get_endpoints(tx: Tx, endpoint_ids: Sequence[EndpointId]) -> list[Endpoint]:
    """Webhooks alone."""
    rows = await tx.fetch(
        "SELECT * FROM endpoint WHERE endpoint_id = ANY (%(ids)s::text[]) AND kind = 'webhook' ORDER BY endpoint_id", ids=list(endpoint_ids)
    )
    return [_endpoint(row) for row in rows]


async def page_endpoints(tx: Tx, *, after: str | None, limit: int) -> list[Endpoint]:
    rows = await tx.fetch(
        """
        SELECT * FROM endpoint
        WHERE project_id = (SELECT %(project_id)s::text) AND kind = 'webhook' AND (%(after)s::text IS NULL OR endpoint_id > %(after)s)
        ORDER BY endpoint_id LIMIT %(limit)s
        """,
        project_id=tx.project_id,
        after=after,
        limit=limit,
    )
    return [_endpoint(row) for row in rows]


def _endpoint(row: Row) -> Endpoint:
    return Endpoint(
        endpoint_id=row["endpoint_id"],
        name=row["name"],
        url=row["url"],
        environment=row["environment"],
        app_id=row["app_id"],
        event_types=None if row["event_types"] is None else tuple(row["event_types"]),
        created_at=row["created_at"],
        has_authorization=row["authorization_header"] is not None,
        last_success_at=row["last_success_at"],
        last_failure_at=row["last_failure_at"],
        last_error=row["last_error"],
        failures=row["failures"],
        paused_at=row["paused_at"],
        former_until=row["former_until"],
    )


async def lock_endpoints(tx: Tx, endpoint_ids: Sequence[EndpointId]) -> None:
    """Who records or replays holds its endpoints, all in one order, so two of them never wait for each other in a ring.

    The weaker lock: new deliveries, which refer to the endpoint, may still be written meanwhile.
    """
    await tx.fetch(
        "SELECT FROM endpoint WHERE endpoint_id = ANY (%(ids)s::text[]) ORDER BY endpoint_id FOR NO KEY UPDATE", ids=sorted(set(endpoint_ids))
    )


async def save_health(tx: Tx, lines: Sequence[Health]) -> None:
    """The endpoints must be locked."""
    await tx.execute(
        """
        UPDATE endpoint p SET
          last_success_at = CASE WHEN new.has_success THEN %(now)s ELSE p.last_success_at END,
          last_failure_at = CASE WHEN new.failures > 0 THEN %(now)s ELSE p.last_failure_at END,
          last_error = coalesce(new.last_error, p.last_error),
          failures = CASE WHEN new.has_success THEN 0 ELSE p.failures + new.failures END
        FROM unnest(%(ids)s::text[], %(has_success)s::boolean[], %(failures)s::integer[], %(errors)s::text[])
          AS new (endpoint_id, has_success, failures, last_error)
        WHERE p.endpoint_id = new.endpoint_id
        """,
        now=tx.now,
        ids=[one.endpoint_id for one in lines],
        has_success=[one.has_success for one in lines],
        failures=[one.failures for one in lines],
        errors=[one.last_error for one in lines],
    )


async def routes(tx: Tx, endpoint_ids: Sequence[EndpointId]) -> dict[EndpointId, Route]:
    rows = await tx.fetch(
        """
        SELECT endpoint_id, kind, url, authorization_header, signing_secret, settings, secrets, gather_for IS NOT NULL AS gathers,
          CASE WHEN former_until > %(now)s THEN former_secret END AS former_secret
        FROM endpoint WHERE endpoint_id = ANY (%(ids)s::text[])
        """,
        now=tx.now,
        ids=sorted(set(endpoint_ids)),
    )
    return {row["endpoint_id"]: _route(row) for row in rows}


def _route(row: Row) -> Route:
    if row["kind"] != "webhook":
        return IntegrationRoute(kind=row["kind"], settings=row["settings"], secrets=row["secrets"], gathers=row["gathers"])
    return WebhookRoute(
        url=row["url"],
        authorization_header=row["authorization_header"],
        signing_secret=row["signing_secret"],
        former_secret=row["former_secret"],
    )


async def has_app(tx: Tx, app_id: str) -> bool:
    return await tx.fetch_value("SELECT TRUE FROM app WHERE app_id = %(app_id)s", app_id=app_id) is not None
