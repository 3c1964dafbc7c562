"""Events, the endpoints that hear of them, and each event's way there."""

from datetime import datetime, timedelta
from typing import Any, Literal, Protocol, TypeAlias

from perennial.base.errors import NotFound
from perennial.base.ids import AppId, CustomerId, EndpointId, EventId
from perennial.base.value import value

# The vendor's schedule: five retries, then a person must ask for it again.
RETRY_AFTER = tuple(timedelta(minutes=minutes) for minutes in (5, 10, 20, 40, 80))

# How long a claimed delivery belongs to its claimer. A sender must answer well within it.
LEASE = timedelta(seconds=90)

# When a claimed delivery that was not even tried (its endpoint is silent, or the lease runs out) gets its next turn.
REST = timedelta(minutes=1)

# Ours beyond the vendor's set: sent only to endpoints that list them.
OPT_IN_TYPES = frozenset({"REFUND"})

# Test events are told of nobody real; no customer's id can be this, as those carry a prefix.
TEST_CUSTOMER = CustomerId("test")

EVENT_TYPES = (
    "initial_purchase",
    "renewal",
    "product_change",
    "cancellation",
    "billing_issue",
    "non_renewing_purchase",
    "uncancellation",
    "transfer",
    "subscription_paused",
    "expiration",
    "subscription_extended",
    "invoice_issuance",
    "temporary_entitlement_grant",
    "refund_reversed",
    "virtual_currency_transaction",
    "refund",
    "test",
)

# Where an event stands in its project's log: (recorded_at, sequence, event_id). Opaque to callers, who hand it back to read on.
Place: TypeAlias = tuple[datetime, int, str]

DeliveryState = Literal["waiting", "retrying", "delivered", "parked"]


class EndpointMissing(NotFound):
    """No such webhook integration."""


@value
class NewEvent:
    """Something to tell. `body` is the vendor's event object; `sequence` is the customer's, given by who wrote the change."""

    event_id: EventId
    customer_id: CustomerId
    sequence: int
    type: str
    app_id: AppId | None
    environment: str
    happened_at: datetime
    body: dict[str, Any]


@value
class Delivery:
    """How far an event got on its way to one endpoint."""

    endpoint_id: EndpointId
    endpoint_name: str
    attempts: int
    wake_at: datetime | None = None
    delivered_at: datetime | None = None
    parked_at: datetime | None = None
    last_status: int | None = None
    last_error: str | None = None

    @property
    def state(self) -> DeliveryState:
        if self.delivered_at is not None:
            return "delivered"
        if self.parked_at is not None:
            return "parked"
        return "retrying" if self.attempts else "waiting"


@value
class RecordedEvent:
    """An event of the log, with who was told of it."""

    event_id: EventId
    customer_id: CustomerId
    sequence: int
    type: str
    app_id: AppId | None
    environment: str
    happened_at: datetime
    recorded_at: datetime
    body: dict[str, Any]
    deliveries: tuple[Delivery, ...] = ()

    @property
    def place(self) -> Place:
        return self.recorded_at, self.sequence, self.event_id


@value
class Endpoint:
    """A webhook integration. `environment`, `app_id` and `event_types` narrow what it hears; None means everything.

    `failures` counts those since a batch of deliveries last brought a success.
    """

    endpoint_id: EndpointId
    name: str
    url: str
    environment: str | None
    app_id: AppId | None
    event_types: tuple[str, ...] | None
    created_at: datetime
    has_authorization: bool = False
    last_success_at: datetime | None = None
    last_failure_at: datetime | None = None
    last_error: str | None = None
    failures: int = 0


@value
class Route:
    """Where an endpoint's deliveries go. Its secrets are still sealed."""

    url: str
    authorization_header: bytes | None
    signing_secret: bytes


@value
class Parcel:
    """A claimed delivery: nobody else sends it while the lease runs."""

    customer_id: CustomerId
    endpoint_id: EndpointId
    event_id: EventId
    sequence: int
    attempts: int  # this one included
    body: dict[str, Any]


@value
class Message:
    """One attempt at telling a receiver, with its secrets open: it is made just before sending and never kept or shown."""

    message_id: str
    url: str
    authorization_header: str | None  # sent verbatim
    signing_secret: str  # `whsec_...`
    sent_at: datetime  # by the wall clock, which is the receiver's, even where the project has a clock of its own
    event: dict[str, Any]

    def __repr__(self) -> str:
        return f"Message({self.message_id})"


@value
class Answer:
    """How a receiver answered: its status, or why there was none."""

    status: int | None = None
    error: str | None = None

    @property
    def is_success(self) -> bool:
        return self.status == 200  # the vendor's rule: 200 and nothing else


class Sender(Protocol):
    """What the outside must offer: try once, within a minute, and say how it went."""

    async def send(self, message: Message) -> Answer: ...


@value
class Settled:
    """What becomes of a parcel after its attempt. Exactly one of the three moments is set."""

    parcel: Parcel
    attempts: int
    status: int | None
    error: str | None
    wake_at: datetime | None = None
    delivered_at: datetime | None = None
    parked_at: datetime | None = None

    @property
    def was_tried(self) -> bool:
        return self.attempts == self.parcel.attempts


@value
class Health:
    """What a batch of attempts says about one endpoint."""

    endpoint_id: EndpointId
    has_success: bool
    failures: int
    last_error: str | None
