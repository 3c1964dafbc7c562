"""SQL of the events of lines nobody has claimed: kept in the order they would have been told, and taken when they are told."""

from collections.abc import Collection, Sequence

from perennial.base.db import Row, Tx
from perennial.base.ids import LineId
from perennial.base.value import value
from perennial.events.model import NewEvent
from perennial.subscriptions.db.places import Place


@value
class Untold:
    """An event of a line, as it would have been told of the placeholder who holds it."""

    line_id: LineId
    event: NewEvent

    @property
    def transaction(self) -> str:
        transaction: str = self.event.body["transaction_id"]
        return transaction

    @property
    def product(self) -> str:
        product: str = self.event.body["product_id"]
        return product


async def keep_untold(tx: Tx, untold: Sequence[Untold]) -> None:
    if not untold:
        return
    await tx.execute(
        """
        INSERT INTO untold_event (project_id, customer_id, line_id, event_id, sequence, type, app_id, environment, happened_at, body)
        SELECT %(project_id)s, * FROM unnest(%(customers)s::text[], %(lines)s::text[], %(ids)s::text[], %(sequences)s::bigint[], %(types)s::text[],
                                             %(apps)s::text[], %(environments)s::text[], %(happened)s::timestamptz[], %(bodies)s::jsonb[])
        ON CONFLICT DO NOTHING
        """,
        project_id=tx.project_id,
        customers=[one.event.customer_id for one in untold],
        lines=[one.line_id for one in untold],
        ids=[one.event.event_id for one in untold],
        sequences=[one.event.sequence for one in untold],
        types=[one.event.type for one in untold],
        apps=[one.event.app_id for one in untold],
        environments=[one.event.environment for one in untold],
        happened=[one.event.happened_at for one in untold],
        bodies=[one.event.body for one in untold],
    )


async def take_untold(tx: Tx, places: Collection[Place]) -> list[Untold]:
    """What waits of these lines, which is told now: in the order it happened."""
    wanted = sorted((place.customer_id, place.line_id) for place in places)
    if not wanted:
        return []
    rows = await tx.fetch(
        """
        DELETE FROM untold_event u USING unnest(%(customers)s::text[], %(lines)s::text[]) AS wanted (customer_id, line_id)
        WHERE u.project_id = %(project_id)s AND u.customer_id = wanted.customer_id AND u.line_id = wanted.line_id
        RETURNING u.customer_id, u.line_id, u.event_id, u.sequence, u.type, u.app_id, u.environment, u.happened_at, u.body
        """,
        project_id=tx.project_id,
        customers=[customer for customer, _ in wanted],
        lines=[line for _, line in wanted],
    )
    return sorted(map(_untold, rows), key=lambda one: (one.event.happened_at, one.event.sequence, one.event.event_id))


def _untold(row: Row) -> Untold:
    fields = dict(row)
    return Untold(line_id=fields.pop("line_id"), event=NewEvent(**fields))
