"""The decisions of telling: what an endpoint may be, and what becomes of a delivery after an attempt. Pure."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from perennial.base.errors import Invalid
from perennial.base.ids import EventId
from perennial.base.time import to_ms
from perennial.events.model import (
    EVENT_TYPES,
    LONGEST_WAIT,
    REST,
    RETRY_AFTER,
    TEST_CUSTOMER,
    Answer,
    Endpoint,
    Health,
    Integration,
    NewEvent,
    Pace,
    Parcel,
    Settled,
)

LONGEST_NAME = 1500  # the vendor's limits, here and below
LONGEST_URL = 5000
LONGEST_AUTHORIZATION = 5000

QUICK = timedelta(seconds=2)  # an answer that takes longer is slow
MOST_TO_ONE = 10  # attempts at one endpoint under way at a time
MOST_TO_ONE_SLOW = 4
MOST_SILENCE = 5  # so many attempts without an answer, however quick, and the endpoint rests
LONGEST_REST = REST


def settle(parcel: Parcel, answer: Answer | None, now: datetime, *, rest: timedelta = REST) -> Settled:
    """Delivered, skipped, to be tried again by the vendor's schedule, or parked: refused for good, or after the last try. No answer: it was not
    tried, that does not count, and its next turn is after `rest`. A receiver that names a time is left alone until then.

    A parcel whose earlier attempts were claimed but never recorded (a crash) may have had more attempts than the schedule knows: it is parked.
    """
    if answer is None:
        return Settled(parcel=parcel, attempts=parcel.attempts - 1, status=None, error=None, wake_at=now + rest)
    if answer.is_success:
        return Settled(parcel=parcel, attempts=parcel.attempts, status=answer.status, error=None, delivered_at=now)
    error = describe(answer)
    if answer.verdict == "skipped":
        return Settled(parcel=parcel, attempts=parcel.attempts, status=answer.status, error=error, skipped_at=now)
    if answer.verdict == "refused" or parcel.attempts > len(RETRY_AFTER):
        return Settled(parcel=parcel, attempts=parcel.attempts, status=answer.status, error=error, parked_at=now)
    wait = max(RETRY_AFTER[parcel.attempts - 1], min(answer.retry_after or timedelta(0), LONGEST_WAIT))
    return Settled(parcel=parcel, attempts=parcel.attempts, status=answer.status, error=error, wake_at=now + wait)


def pace_after(pace: Pace, answer: Answer, took: timedelta) -> Pace:
    """Begins with one attempt at a time, doubles while answers are quick, and falls back when they are slow or do not come."""
    is_slow = took > QUICK
    if answer.status is None and answer.verdict is None:
        return Pace(window=1 if is_slow else max(pace.window // 2, 1), silences=pace.silences + 1, is_slow=is_slow)
    return Pace(window=min(pace.window * 2, MOST_TO_ONE_SLOW if is_slow else MOST_TO_ONE), is_slow=is_slow)


def rest(pace: Pace) -> timedelta:
    """How long an endpoint is left alone after an attempt: nothing while it answers, else longer with each silence, up to a minute."""
    if not pace.silences or not (pace.is_slow or pace.silences >= MOST_SILENCE):
        return timedelta(0)
    return min(timedelta(seconds=2 ** min(pace.silences - 1, 6)), LONGEST_REST)


def describe(answer: Answer) -> str:
    """A sentence for a person. What the receiver wrote is left out: it may repeat our Authorization header."""
    if answer.error is not None:
        return answer.error
    return f"answered {answer.status}; only 200 counts as received"


def health(settled: Sequence[Settled]) -> list[Health]:
    """One line per endpoint, in order of their ids. What was not tried or skipped says nothing."""
    telling = [one for one in settled if one.was_tried and one.skipped_at is None]
    return [_health_of(endpoint, telling) for endpoint in sorted({one.parcel.endpoint_id for one in telling})]


def _health_of(endpoint: str, telling: Iterable[Settled]) -> Health:
    tried = [one for one in telling if one.parcel.endpoint_id == endpoint]
    errors = [one.error for one in tried if one.error is not None]
    return Health(
        endpoint_id=tried[0].parcel.endpoint_id,
        has_success=len(errors) < len(tried),
        failures=len(errors),
        last_error=errors[-1] if errors else None,
    )


# What an endpoint may be ----------------------------------------------------------------------------------------------------------


def check_endpoint(endpoint: Endpoint) -> None:
    """`Invalid` names the field. Whether the address may be reached is asked at each sending: names change where they lead."""
    check_url(endpoint.url)
    check_hearing(endpoint)


def check_hearing(endpoint: Endpoint | Integration) -> None:
    """Its name, and what it hears."""
    if not endpoint.name.strip() or len(endpoint.name) > LONGEST_NAME or "\x00" in endpoint.name:
        raise Invalid(f"name must have 1 to {LONGEST_NAME} characters", param="name")
    if endpoint.environment not in (None, "production", "sandbox"):
        raise Invalid(f"environment {endpoint.environment[:80]!r} is not production or sandbox; leave it out for both", param="environment")
    if endpoint.event_types is not None:
        _check_event_types(endpoint.event_types)


def check_url(url: str) -> None:
    if len(url) > LONGEST_URL:
        raise Invalid(f"url is longer than {LONGEST_URL} characters", param="url")
    if not url.isprintable() or " " in url:
        raise Invalid("url has a space or an invisible character in it; write it percent-encoded", param="url")
    try:
        parts = urlsplit(url)
        has_host = bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        raise Invalid(f"url cannot be read: {error}", param="url") from error
    if parts.scheme not in ("http", "https"):
        raise Invalid("url must begin with https:// or http://", param="url")
    if not has_host:
        raise Invalid("url names no host that could be reached, such as https://example.com/hooks", param="url")
    if "@" in parts.netloc:
        raise Invalid("url holds a user name or password; put it into authorization_header, which is kept encrypted", param="url")


def check_authorization(header: str) -> None:
    if not header or len(header) > LONGEST_AUTHORIZATION:
        raise Invalid(f"authorization_header must have 1 to {LONGEST_AUTHORIZATION} characters", param="authorization_header")
    if not header.isprintable() or header != header.strip():
        raise Invalid("authorization_header has a line break, another invisible character, or a space at its end", param="authorization_header")


def _check_event_types(event_types: Sequence[str]) -> None:
    if not event_types:
        raise Invalid("event_types is empty, so nothing would ever be sent; leave it out to hear everything", param="event_types")
    if unknown := sorted(set(event_types) - set(EVENT_TYPES)):
        raise Invalid(f"event_types has {unknown[0][:80]!r}, which is not one of {', '.join(EVENT_TYPES)}", param="event_types")


# A test ---------------------------------------------------------------------------------------------------------------------------


def event_for_test(endpoint: Endpoint | Integration, *, event_id: EventId, sequence: int, now: datetime) -> NewEvent:
    """A purchase nobody made, in the vendor's shape, so that a receiver's reading of the fields is tried too. It is of an app where the endpoint
    hears of one alone."""
    environment = endpoint.environment or "sandbox"
    body: dict[str, Any] = {
        "type": "TEST",
        "id": event_id,
        **({} if endpoint.app_id is None else {"app_id": endpoint.app_id}),
        "event_timestamp_ms": to_ms(now),
        "app_user_id": "test_app_user_id",
        "original_app_user_id": "test_app_user_id",
        "aliases": ["test_app_user_id"],
        "subscriber_attributes": {"$displayName": {"value": "A test, sent by hand", "updated_at_ms": to_ms(now)}},
        "product_id": "test_product",
        "entitlement_id": None,
        "entitlement_ids": None,
        "period_type": "NORMAL",
        "purchased_at_ms": to_ms(now),
        "expiration_at_ms": to_ms(now + timedelta(hours=2)),
        "store": "APP_STORE",
        "environment": environment.upper(),
        "presented_offering_id": None,
        "transaction_id": "test_transaction",
        "original_transaction_id": "test_transaction",
        "is_family_share": False,
        "country_code": "US",
        "currency": "USD",
        "price": 9.99,
        "price_in_purchased_currency": 9.99,
        "tax_percentage": 0.0,
        "commission_percentage": 0.3,
        "takehome_percentage": 0.7,
        "offer_code": None,
        "renewal_number": 1,
    }
    return NewEvent(
        event_id=event_id,
        customer_id=TEST_CUSTOMER,
        sequence=sequence,
        type="TEST",
        app_id=endpoint.app_id,
        environment=environment,
        happened_at=now,
        body=body,
    )
