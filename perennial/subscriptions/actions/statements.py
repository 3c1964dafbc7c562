"""A statement as it reached us."""

from perennial.base.ids import AppId, CustomerId
from perennial.base.value import value
from perennial.subscriptions.db import Key
from perennial.subscriptions.model import Statement


@value
class Said:
    """A statement as it reached us: of which app, from whom, and where the app presented what was bought."""

    app_id: AppId | None  # None for what was granted by hand
    statement: Statement
    buyer: CustomerId | None = None  # who posted it; None for a store's notification
    is_restore: bool = False
    presented_offering: str | None = None
    store_user: bytes | None = None  # sealed
    refused_name: str | None = None  # whom the source names as the buyer, where `statement` has a made-up id for them

    @property
    def key(self) -> Key:
        return (self.statement.store, self.statement.environment, self.statement.line)

    @property
    def keys(self) -> list[Key]:
        """All the store's keys for this line that the statement knows of, its own first."""
        return [self.key, *((self.statement.store, self.statement.environment, also) for also in self.statement.also)]
