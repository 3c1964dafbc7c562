"""What stores send us, and what we need of the outside to read it."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Protocol

from perennial.base.errors import Invalid
from perennial.base.ids import AppId, ProjectId
from perennial.base.value import value
from perennial.catalog.model import Product
from perennial.subscriptions.model import Environment, Line, Statement, Store


class Untrusted(Invalid):
    """Not signed by whom it must be signed, or signed for someone else. Nothing of it may be believed."""


@value
class StoreApp:
    """What a provider must know of an app to read and call its store. Secrets are already decrypted and never logged."""

    project_id: ProjectId
    app_id: AppId
    store: Store
    bundle_id: str | None
    app_apple_id: int | None = None
    api_key_id: str | None = None
    api_issuer: str | None = None
    api_private_key: str | None = None  # PEM, the in-app purchase .p8
    api_base_url: str | None = None  # another address for the store's API: the simulated store's
    simulated_roots: tuple[bytes, ...] = ()  # DER certificates of simulated stores a sandbox project opted in to


@value
class Envelope:
    """A notification whose outer signature holds: enough to keep it once and answer 200."""

    message_id: str  # the store's own id of the message: its duplicates carry the same
    kind: str  # type and subtype as the store spells them, for people
    sent_at: datetime


@value
class Reading:
    """What a message says: statements, or nothing that changes what a customer holds, with the reason."""

    statements: tuple[Statement, ...] = ()
    note: str | None = None
    should_ask_store: bool = False  # the store's API knows more than this message tells


@value
class Posted:
    """What we know beside a proof of purchase. For the Test Store, which has no memory of its own: real stores sign what they know."""

    products: tuple[Product, ...] = ()
    line: Line | None = None  # what an earlier post of the same token made


class Provider(Protocol):
    """A store as `intake` needs it. Times are arguments; nothing here reads a clock or a database."""

    def open(self, app: StoreApp, body: bytes, now: datetime) -> Envelope:
        """Verify the outer signature of a notification. Raises `Untrusted` or `Invalid`."""
        ...

    def read(self, app: StoreApp, body: bytes, now: datetime) -> Reading:
        """Verify everything inside a notification and say what it states. Raises `Untrusted` or `Invalid`."""
        ...

    def read_receipt(self, app: StoreApp, token: str, posted: Posted, now: datetime) -> Reading:
        """Verify what an app posted as proof of purchase. Raises `Untrusted` or `Invalid`."""
        ...

    def can_ask(self, app: StoreApp) -> bool:
        """Whether the store's API can be asked: its credentials are there."""
        ...

    async def ask(self, app: StoreApp, line: Line, posted: Posted, now: datetime) -> Reading:
        """Ask the store for the present state and history of a line. Raises `Unavailable` when it cannot answer."""
        ...

    def sent_notifications(self, app: StoreApp, since: datetime, until: datetime, environment: Environment, now: datetime) -> AsyncIterator[bytes]:
        """The bodies of notifications the store sent in the span, as it would post them again."""
        ...


@value
class Message:
    """A notification whose envelope was opened, on its way into the inbox."""

    app_id: AppId
    envelope: Envelope
    body: bytes


# How long a message or inquiry that could not be handled steps aside, by attempts; then it is parked for a person to see.
RETRY_AFTER = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 30, 120, 720))
LEASE = timedelta(minutes=3)
