"""SQL of what simulated stores have in common: the pens of those that sign, and the roots their projects believe."""

from collections.abc import Sequence

from perennial.base.db import Row, Tx


async def insert_store(tx: Tx, app_id: str, *, pen: bytes, root: bytes) -> None:
    """The first to opt in wins; later ones find it."""
    await tx.execute(
        "INSERT INTO simulated_store (project_id, app_id, pen, root) VALUES (%(project_id)s, %(app_id)s, %(pen)s, %(root)s) ON CONFLICT DO NOTHING",
        project_id=tx.project_id,
        app_id=app_id,
        pen=pen,
        root=root,
    )


async def stores(tx: Tx, app_ids: Sequence[str]) -> dict[str, Row]:
    """The sealed pen and the root of each app that opted in."""
    rows = await tx.fetch("SELECT app_id, pen, root FROM simulated_store WHERE app_id = ANY (%(ids)s::text[])", ids=list(app_ids))
    return {row["app_id"]: row for row in rows}
