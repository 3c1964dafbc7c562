"""SQL of the directory: where we keep which line of a store, and whose it is."""

from collections.abc import Iterable, Sequence
from typing import LiteralString

from perennial.base.db import Tx
from perennial.base.ids import CustomerId, LineId
from perennial.base.value import value

Key = tuple[str, str, str]  # store, environment, the store's own key of the line


@value
class Place:
    """Where we keep a line of a store."""

    customer_id: CustomerId
    line_id: LineId


async def hold(tx: Tx, keys: Iterable[Key]) -> None:
    """Nobody else records these lines until the transaction ends, known or not yet: taken first, in one order for everyone."""
    await tx.fetch(
        "SELECT pg_advisory_xact_lock(hashtextextended(key, 0)) FROM unnest(%(keys)s::text[]) AS key",
        keys=sorted({"|".join((tx.project_id, *key)) for key in keys}),
    )


async def find_places(tx: Tx, keys: Iterable[Key]) -> dict[Key, Place]:
    """The known lines among these."""
    wanted = sorted(set(keys))
    rows = await tx.fetch(
        """
        SELECT d.* FROM unnest(%(stores)s::text[], %(environments)s::text[], %(lines)s::text[]) AS wanted (store, environment, store_line)
        CROSS JOIN LATERAL (
          SELECT * FROM line_directory l
          WHERE l.project_id = %(project_id)s AND l.store = wanted.store AND l.environment = wanted.environment AND l.store_line = wanted.store_line
          LIMIT 1) d
        """,
        project_id=tx.project_id,
        stores=[key[0] for key in wanted],
        environments=[key[1] for key in wanted],
        lines=[key[2] for key in wanted],
    )
    return {(row["store"], row["environment"], row["store_line"]): Place(customer_id=row["customer_id"], line_id=row["line_id"]) for row in rows}


async def insert_places(tx: Tx, places: dict[Key, Place]) -> None:
    """New lines; who writes them holds their keys."""
    keys = sorted(places)
    await tx.execute(
        """
        INSERT INTO line_directory (project_id, store, environment, store_line, customer_id, line_id)
        SELECT %(project_id)s, * FROM unnest(%(stores)s::text[], %(environments)s::text[], %(lines)s::text[], %(customers)s::text[], %(ids)s::text[])
        """,
        project_id=tx.project_id,
        stores=[key[0] for key in keys],
        environments=[key[1] for key in keys],
        lines=[key[2] for key in keys],
        customers=[places[key].customer_id for key in keys],
        ids=[places[key].line_id for key in keys],
    )


async def join_lines(tx: Tx, source: Place, target: Place, *, source_is_newer: bool) -> None:
    """Two lines turn out to be one: what `source` holds is `target`'s from now on, and so are the store's keys for it."""
    if source_is_newer:
        await tx.execute(
            """
            UPDATE line t SET newest_key = coalesce(s.newest_key, s.store_line) FROM line s
            WHERE s.project_id = %(project_id)s AND s.customer_id = %(customer)s AND s.line_id = %(line)s
              AND t.project_id = %(project_id)s AND t.customer_id = %(target_customer)s AND t.line_id = %(target_line)s
            """,
            project_id=tx.project_id,
            customer=source.customer_id,
            line=source.line_id,
            target_customer=target.customer_id,
            target_line=target.line_id,
        )
    for statement in _JOIN:
        await tx.execute(
            statement,
            project_id=tx.project_id,
            customer=source.customer_id,
            line=source.line_id,
            target_customer=target.customer_id,
            target_line=target.line_id,
        )


_JOIN: tuple[LiteralString, ...] = (
    """
    UPDATE line t SET original_purchased_at = least(t.original_purchased_at, s.original_purchased_at) FROM line s
    WHERE s.project_id = %(project_id)s AND s.customer_id = %(customer)s AND s.line_id = %(line)s
      AND t.project_id = %(project_id)s AND t.customer_id = %(target_customer)s AND t.line_id = %(target_line)s
    """,
    """
    INSERT INTO purchase
    SELECT (jsonb_populate_record(p, jsonb_build_object('customer_id', %(target_customer)s::text, 'line_id', %(target_line)s::text))).*
    FROM purchase p WHERE p.project_id = %(project_id)s AND p.customer_id = %(customer)s AND p.line_id = %(line)s ON CONFLICT DO NOTHING
    """,
    """
    INSERT INTO renewal
    SELECT (jsonb_populate_record(r, jsonb_build_object('customer_id', %(target_customer)s::text, 'line_id', %(target_line)s::text))).*
    FROM renewal r WHERE r.project_id = %(project_id)s AND r.customer_id = %(customer)s AND r.line_id = %(line)s ON CONFLICT DO NOTHING
    """,
    """
    INSERT INTO untold_event
    SELECT (jsonb_populate_record(u, jsonb_build_object('customer_id', %(target_customer)s::text, 'line_id', %(target_line)s::text))).*
    FROM untold_event u WHERE u.project_id = %(project_id)s AND u.customer_id = %(customer)s AND u.line_id = %(line)s ON CONFLICT DO NOTHING
    """,
    """
    UPDATE line_directory SET customer_id = %(target_customer)s, line_id = %(target_line)s
    WHERE project_id = %(project_id)s AND customer_id = %(customer)s AND line_id = %(line)s
    """,
    """
    DELETE FROM line WHERE project_id = %(project_id)s AND customer_id = %(customer)s AND line_id = %(line)s
      AND NOT (%(target_customer)s = customer_id AND %(target_line)s = line_id)
    """,
)


async def move(tx: Tx, source: CustomerId, target: CustomerId, *, app_ids: Sequence[str] | None = None) -> list[LineId]:
    """Lines of one customer become another's, with all they hold; only those of some apps where they are named."""
    rows = await tx.fetch(
        """
        UPDATE line SET customer_id = %(target)s, refused_name = NULL
        WHERE customer_id = %(source)s AND (%(apps)s::text[] IS NULL OR app_id = ANY (%(apps)s))
        RETURNING line_id
        """,
        source=source,
        target=target,
        apps=None if app_ids is None else list(app_ids),
    )
    await tx.execute(
        """
        UPDATE line_directory d SET customer_id = %(target)s
        FROM unnest(%(ids)s::text[]) AS moved (line_id)
        WHERE d.project_id = %(project_id)s AND d.customer_id = %(source)s AND d.line_id = moved.line_id
        """,
        project_id=tx.project_id,
        source=source,
        target=target,
        ids=[row["line_id"] for row in rows],
    )
    return [row["line_id"] for row in rows]
