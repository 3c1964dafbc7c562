"""Events, the endpoints that hear of them, and each event's way there."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol, TypeAlias

from perennial.base.errors import NotFound
from perennial.base.ids import AppId, CustomerId, EndpointId, EventId, ProjectId
from perennial.base.secrets import Secret, covered
from perennial.base.value import force_setattr, value

# The vendor's schedule: five retries, then a person must ask for it again.
RETRY_AFTER = tuple(timedelta(minutes=minutes) for minutes in (5, 10, 20, 40, 80))

# How long a claimed delivery belongs to its claimer. A sender must answer well within it.
LEASE = timedelta(seconds=90)

# How long a receiver is left alone at most, whatever it asks for; integrations gather events for as long at most.
LONGEST_WAIT = timedelta(days=1)

# When a claimed delivery that was not even tried (its endpoint is silent, or the lease runs out) gets its next turn.
REST = timedelta(minutes=1)

# How long the signing secret before the present one signs too: receivers have as long to learn the new one.
FORMER_SECRET_SIGNS = timedelta(days=1)

MOST_ENDPOINTS = 100  # of a project, webhooks and integrations together

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

DeliveryState = Literal["waiting", "retrying", "delivered", "skipped", "parked"]

# What an attempt came to, where whoever made it knows its receiver: `refused` is for good, `skipped` had nothing to send.
Verdict = Literal["delivered", "failed", "refused", "skipped"]


class EndpointMissing(NotFound):
    """No such webhook integration."""


class IntegrationMissing(NotFound):
    """No such integration."""


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
    skipped_at: datetime | None = None
    parked_at: datetime | None = None
    last_status: int | None = None
    last_error: str | None = None

    @property
    def state(self) -> DeliveryState:
        if self.delivered_at is not None:
            return "delivered"
        if self.skipped_at is not None:
            return "skipped"
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
    paused_at: datetime | None = None  # what there is to tell waits until it is resumed
    former_until: datetime | None = None  # until when the signing secret before the present one signs too


@value
class Integration:
    """An endpoint of another kind than a webhook: an analytics tool, a chat, a bucket. The same filters, order, retries and health.

    `settings` are plain, in the receiver's own words; of its secrets only the names are shown. Where `gather_for` is set, events wait for
    the end of such a span and go together.
    """

    endpoint_id: EndpointId
    kind: str
    name: str
    settings: dict[str, Any]
    secret_names: tuple[str, ...]
    environment: str | None
    app_id: AppId | None
    event_types: tuple[str, ...] | None
    created_at: datetime
    gather_for: timedelta | None = None
    last_success_at: datetime | None = None
    last_failure_at: datetime | None = None
    last_error: str | None = None
    failures: int = 0


@value
class Configured:
    """What an integration's settings and secrets come to, once they were looked at. `address` is where the secrets would go."""

    settings: dict[str, Any]
    secrets: dict[str, Secret]
    address: str
    gather_for: timedelta | None = None


@value
class WebhookRoute:
    """Where a webhook's deliveries go. Its secrets are still sealed."""

    url: str
    authorization_header: bytes | None
    signing_secret: bytes
    former_secret: bytes | None = None  # while it signs too


@value
class IntegrationRoute:
    """The same of an integration."""

    kind: str
    settings: dict[str, Any]
    secrets: bytes
    gathers: bool


Route: TypeAlias = WebhookRoute | IntegrationRoute


@value
class Parcel:
    """A claimed delivery: nobody else sends it while the lease runs."""

    customer_id: CustomerId
    endpoint_id: EndpointId
    event_id: EventId
    sequence: int
    attempts: int  # this one included
    body: dict[str, Any]
    batch: str | None = None  # where it goes together with others: the object's name, without its ending


@value
class Message:
    """One attempt at telling a receiver, with its secrets open: it is made just before sending and never kept or shown."""

    message_id: str
    url: str
    authorization_header: Secret | None  # sent verbatim
    signing_secret: Secret  # `whsec_...`
    sent_at: datetime  # by the wall clock, which is the receiver's, even where the project has a clock of its own
    event: dict[str, Any]
    former_secret: Secret | None = None  # signs too, for a day after the secret was changed

    def __post_init__(self) -> None:
        force_setattr(self, "signing_secret", Secret(self.signing_secret))
        if self.former_secret is not None:
            force_setattr(self, "former_secret", Secret(self.former_secret))
        if self.authorization_header is not None:
            force_setattr(self, "authorization_header", Secret(self.authorization_header))

    def __repr__(self) -> str:
        return f"Message({self.message_id})"


@value
class Shipment:
    """One attempt at telling an integration of several events at once, with its secrets open: never kept or shown."""

    endpoint_id: EndpointId
    kind: str
    settings: dict[str, Any]
    secrets: dict[str, Secret]
    events: tuple[dict[str, Any], ...]
    batch: str | None
    sent_at: datetime  # by the wall clock, as a message's
    within: timedelta  # nothing is begun later
    project_id: ProjectId | None = None  # for kinds that are told of customers beside events

    def __post_init__(self) -> None:
        force_setattr(self, "secrets", covered(self.secrets))

    def __repr__(self) -> str:
        return f"Shipment({self.endpoint_id}, {len(self.events)} events)"


@value
class Answer:
    """How a receiver answered: its status, or why there was none. Without a verdict, the webhooks' rule is the verdict."""

    status: int | None = None
    error: str | None = None
    verdict: Verdict | None = None
    retry_after: timedelta | None = None  # what the receiver asked for

    @property
    def is_success(self) -> bool:
        if self.verdict is not None:
            return self.verdict == "delivered"
        return self.status == 200  # the vendor's rule: 200 and nothing else


@value
class Pace:
    """How an endpoint has answered one process lately, and so how many attempts at it may be under way there at a time (`window`).

    `silences` counts attempts without an answer since the last answer. One that is slow shares the connections set aside for slow ones.
    """

    window: int = 1
    silences: int = 0
    is_slow: bool = False


class Sender(Protocol):
    """What the outside must offer: try once, within a minute, and say how it went."""

    async def send(self, message: Message) -> Answer: ...


class Carrier(Protocol):
    """What the outside must offer for integrations."""

    def check(self, kind: str, settings: Mapping[str, Any], secrets: Mapping[str, Any]) -> Configured:
        """`Invalid` names the field."""
        ...

    async def carry(self, shipment: Shipment) -> Sequence[Answer | None]:
        """One answer for each event, in their order. None: it was not tried."""
        ...


@value
class Settled:
    """What becomes of a parcel after its attempt. Exactly one of the four moments is set."""

    parcel: Parcel
    attempts: int
    status: int | None
    error: str | None
    wake_at: datetime | None = None
    delivered_at: datetime | None = None
    skipped_at: datetime | None = None
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
