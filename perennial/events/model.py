"""Events, the endpoints that hear of them, and each event's way there."""

from datetime import datetime, timedelta
from typing import Any

from perennial.base.errors import NotFound
from perennial.base.ids import AppId, CustomerId, EndpointId, EventId
from perennial.base.value import value

# The vendor's schedule: five retries, then a person must ask for it again.
RETRY_AFTER = tuple(timedelta(minutes=minutes) for minutes in (5, 10, 20, 40, 80))

# Ours beyond the vendor's set: sent only to endpoints that list them.
OPT_IN_TYPES = frozenset({"REFUND"})

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
class Endpoint:
    """A webhook integration. `environment`, `app_id` and `event_types` narrow what it hears; None means everything."""

    endpoint_id: EndpointId
    name: str
    url: str
    environment: str | None
    app_id: AppId | None
    event_types: tuple[str, ...] | None
    created_at: datetime
    last_success_at: datetime | None = None
    last_failure_at: datetime | None = None
    last_error: str | None = None
    failures: int = 0


@value
class Parcel:
    """A claimed delivery with everything needed to send it outside a transaction."""

    customer_id: CustomerId
    endpoint_id: EndpointId
    event_id: EventId
    attempts: int  # this one included
    url: str
    authorization_header: bytes | None  # sealed
    signing_secret: bytes  # sealed
    body: dict[str, Any]


@value
class Answer:
    """How a receiver answered: its status, or why there was none."""

    status: int | None = None
    error: str | None = None

    @property
    def is_success(self) -> bool:
        return self.status == 200  # the vendor's rule: 200 and nothing else
