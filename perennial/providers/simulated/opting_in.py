"""Who may have a simulated store: an app of the store it stands in for, in a sandbox project."""

from collections.abc import Collection

from perennial import catalog
from perennial.base.db import Tx
from perennial.base.errors import Conflict, Invalid
from perennial.catalog.model import App


async def require_app(tx: Tx, app_id: str, *, stores: Collection[str], stands_in: str) -> App:
    """`stands_in`: what stands in for what, as a refusal says it. `Conflict` outside sandboxes, and for an app of another store."""
    app = await catalog.require_app(tx, app_id)
    if not (await catalog.require_project(tx)).is_sandbox:
        raise Conflict("only sandbox projects may have a simulated store; create one with is_sandbox")
    if app.store not in stores:
        raise Conflict(f"{stands_in}; {app.name!r} is an app of {app.store}")
    return app


def address_of(installation: str, path: str, app_id: str) -> str:
    """Of the API a simulated store answers at, behind an installation's address."""
    if not installation.startswith(("http://", "https://")):
        raise Invalid("an address begins with http:// or https://", param="address")
    return f"{installation.rstrip('/')}{path}/{app_id}"
