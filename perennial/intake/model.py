"""What stores send us, and what we need of the outside to read it."""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from typing import Literal, Protocol

from perennial.base.errors import Invalid, StoreRefused
from perennial.base.ids import AppId, ProjectId
from perennial.base.money import Money
from perennial.base.reading import Unread
from perennial.base.secrets import Secret, covered
from perennial.base.value import field, force_setattr, value
from perennial.catalog.model import Product, ProductType
from perennial.customers.model import Download
from perennial.subscriptions.model import Environment, Line, Statement, Store


class Untrusted(Invalid):
    """Not signed by whom it must be signed, or signed for someone else. Nothing of it may be believed."""


STORE_USER = "line.store_user"  # what the vault binds a sealed user of a store to
ENVIRONMENTS: tuple[Environment, ...] = ("production", "sandbox")


@value
class StoreApp:
    """What a provider must know of an app to read and call its store. Secrets are decrypted; one is read with `reveal`, at the place of use.

    `settings` and `secrets` are named by each provider (`providers/<store>` says which it takes); the App Store's have fields of their own.
    """

    project_id: ProjectId
    app_id: AppId
    store: Store
    bundle_id: str | None  # the app's identifier in its store: bundle id, package name
    app_apple_id: int | None = None
    api_key_id: str | None = None
    api_issuer: str | None = None
    api_private_key: Secret | None = None  # PEM, the in-app purchase .p8
    api_base_url: str | None = None  # another address for the store's API: the simulated store's
    settings: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    simulated_roots: tuple[bytes, ...] = ()  # DER certificates of simulated stores a sandbox project opted in to

    def __post_init__(self) -> None:
        """Whatever it is made of, no secret lies open in it."""
        if self.api_private_key is not None:
            force_setattr(self, "api_private_key", Secret(self.api_private_key))
        force_setattr(self, "secrets", covered(self.secrets))

    def reveal(self, name: str) -> str:
        """The secret of this name as the store is to see it; empty where the app has none."""
        secret = self.secrets.get(name)
        return "" if secret is None else secret.reveal()


@value
class Reply:
    """What a store wants to hear when its notification was kept, where a bare 200 is not enough."""

    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    media_type: str = "text/plain"

    def __repr__(self) -> str:  # a header may be a secret that the store wants back: Roku's API key
        return f"Reply({len(self.body)} bytes, {self.media_type})"


@value
class Envelope:
    """A notification whose outer signature holds: enough to keep it once and answer 200."""

    message_id: str  # the store's own id of the message: its duplicates carry the same
    kind: str  # type and subtype as the store spells them, for people
    sent_at: datetime
    reply: Reply | None = None


@value
class Question:
    """Something the store's API should be asked about. `subject` is the store's own key (a purchase token, a subscription's id, an order).

    What a provider may be asked by name beside lines, it spells with a prefix of its own (`order:GPA.1`). `hint` is what made us ask, in the
    store's words, where the answer alone does not tell it (Google: notification type 11, a pause was scheduled).
    """

    environment: Environment
    subject: str
    hint: str = ""


ActKind = Literal["acknowledge", "cancel", "refund", "revoke", "extend", "defer", "change"]


@value
class Act:
    """Something to do at a store. `subject` is the store's key it is done to; our `act_id` is the store's idempotency key where it takes one.

    `details` by kind. cancel: none (at the period's end). refund: `transaction`, and `amount` in minor units where it is partial. revoke:
    `transaction`; access ends now and the last payment is given back. extend: `days`, `reason_code` (0-3, Apple's). defer: `expires_at_ms`.
    change: `product`, its price as `amount` in minor units and `currency`, and `when`: `immediate`, or `deferred` to the period's end.
    """

    act_id: str
    kind: ActKind
    environment: Environment
    subject: str
    details: Mapping[str, str | int] = field(default_factory=dict)


class CannotAct(StoreRefused):
    """The store offers no such act, or refuses it for good: asking again changes nothing. The message says why, in the store's words."""


@value
class Reading:
    """What a message says: statements, what to ask the store beyond it, what to do there; or nothing, with the reason in `note`."""

    statements: tuple[Statement, ...] = ()
    note: str | None = None
    questions: tuple[Question, ...] = ()
    download: Download | None = None  # how whoever posts this first got the app, where the store tells
    acts: tuple[Act, ...] = ()  # done soon, durably, retried: acknowledging a purchase. `act_id` derives from what it is done to
    should_consume: Mapping[str, bool] = field(default_factory=dict)  # by one-time product: whether the device consumes it, or only acknowledges
    unread: tuple[Unread, ...] = ()  # fields of the message that could not be read, or are not known: left aside, kept and shown


Source = Literal["notification", "receipt", "answer"]  # what was being read


@value
class UnreadField:
    """A field that could not be read: how often, and what stood there last, as JSON, cut."""

    app_id: AppId
    source: Source
    field: str
    said: str
    times: int
    first_at: datetime
    last_at: datetime


@value
class Posted:
    """A proof of purchase as an app posts it, and what we know beside it (for stores with no memory of their own)."""

    token: str = ""
    app_transaction: str | None = None  # the App Store's proof of the download, where it comes beside the token
    product_ids: tuple[str, ...] = ()  # as posted: not believed, only used where the store needs them to look up the token
    store_user_id: str | None = None  # Amazon's user, Microsoft's Store ID key: as posted, or as last posted for the line
    price: Money | None = None  # as posted by the app: for stores that tell no price
    is_restore: bool = False
    is_completed_by_app: bool = False  # the app acknowledges and consumes by itself, at its own time
    products: tuple[Product, ...] = ()  # of our catalog: those posted, or those of the line
    line: Line | None = None  # what the token's line is already known to hold


@value
class Caught:
    """A notification the store says it sent: as good as one that was posted and opened."""

    envelope: Envelope
    body: bytes


class Provider(Protocol):
    """A store as `intake` needs it. Times are arguments; nothing here reads a clock or a database.

    A notification goes `prepare` -> `open` (in the request) -> kept -> `read` (digested later). What an app posts goes through `read_receipt`,
    what we want to know ourselves through `ask`, what we want done through `act`. None of the awaited is called within a transaction.
    """

    async def prepare(self, headers: Mapping[str, str], body: bytes) -> None:
        """Fetch what `open` needs to judge this message: the store's public keys. Cached. Raises `Unavailable`; trusts nothing in the message."""
        ...

    def open(self, app: StoreApp, body: bytes, headers: Mapping[str, str], now: datetime) -> Envelope:
        """Verify who sent a notification, and to whom. `headers` have lower-case names. Raises `Untrusted` or `Invalid`.

        What is truly the store's but cannot be understood is kept, not refused: `read` will say so.
        """
        ...

    def read(self, app: StoreApp, body: bytes, now: datetime) -> Reading:
        """What a notification that `open` accepted states. Raises `Untrusted` or `Invalid`: it is kept, marked unreadable, and holds nobody up."""
        ...

    async def read_receipt(self, app: StoreApp, posted: Posted, now: datetime) -> Reading:
        """Verify what an app posted as proof of purchase, asking the store where it must be. Raises `Untrusted`, `Invalid` or `Unavailable`."""
        ...

    def can_ask(self, app: StoreApp) -> bool:
        """Whether the store's API can be asked: its credentials are there."""
        ...

    async def ask(self, app: StoreApp, question: Question, posted: Posted, now: datetime) -> Reading:
        """Ask the store for the present state and history of a subject; `posted.line` is what we know of it.

        Raises `Unavailable` when it cannot answer.
        """
        ...

    def missed(self, app: StoreApp, since: datetime, until: datetime, environment: Environment, now: datetime) -> AsyncIterator[Caught | Question]:
        """What the store remembers of the span: notifications it sent, or subjects to ask about. Oldest first, as far as the store orders them."""
        ...

    async def act(self, app: StoreApp, act: Act, posted: Posted, now: datetime) -> Reading:
        """Do something at the store; twice does no harm. Raises `CannotAct` for good, `Unavailable` for now. The reading says what to ask next."""
        ...


@value
class NewProduct:
    """Something to sell, to be made known to a store. `period` is how long it lasts, in the store's words; a group is of subscriptions."""

    identifier: str
    name: str
    type: ProductType
    period: str | None = None
    group_name: str | None = None
    group_id: str | None = None  # the store's; it counts before the name


@value
class StoreProduct:
    """A product as its store has it."""

    store_id: str  # the store's own id of it, where its `identifier` is what apps ask for
    identifier: str
    name: str | None = None


@value
class Message:
    """A notification whose envelope was opened, on its way into the inbox."""

    app_id: AppId
    envelope: Envelope
    body: bytes


@value
class CatchUp:
    """How far a catching up got. Without `finished_at` it can be gone on with."""

    catch_up_id: str
    app_id: AppId
    environment: Environment
    since: datetime
    until: datetime
    started_at: datetime
    reached: datetime | None = None  # what the store sent up to here is kept
    is_read: bool = False  # all of it
    lines_after: str = ""  # lines up to this one are on the list of questions
    told: int = 0
    new: int = 0
    asked: int = 0
    finished_at: datetime | None = None


@value
class Report:
    """What came of it, as far as it is answered by now."""

    told: int  # things the store told of the span
    new: int  # notifications among them that we did not have
    asked: int  # lines and subjects the store is asked about
    open: int  # of the app's questions, still to be answered
    parked: int  # that the store did not answer after all attempts: for a person to look at
    unreadable: int  # notifications of the span that could not be understood
    events: int  # that followed since it began


# How long a message or inquiry that could not be handled steps aside, by attempts; then it is parked for a person to see.
RETRY_AFTER = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 30, 120, 720))
LEASE = timedelta(minutes=3)
