"""What becomes of a delivery after an attempt: the vendor's schedule, exactly."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.base.errors import Invalid
from perennial.base.ids import AppId, CustomerId, EndpointId, EventId
from perennial.base.value import replace
from perennial.events.model import Answer, Delivery, Endpoint, Parcel
from perennial.events.rules import check_endpoint, event_for_test, health, settle

NOW = datetime(2030, 5, 1, 12, tzinfo=UTC)
REFUSAL = Answer(status=500)


def parcel(attempts: int, endpoint: str = "a") -> Parcel:
    return Parcel(customer_id=CustomerId("cus_1"), endpoint_id=EndpointId(endpoint), event_id=EventId("e"), sequence=1, attempts=attempts, body={})


def endpoint() -> Endpoint:
    return Endpoint(
        endpoint_id=EndpointId("a"), name="Hooks", url="https://example.com", environment=None, app_id=None, event_types=None, created_at=NOW
    )


def test_five_retries_after_5_10_20_40_and_80_minutes_then_it_is_parked() -> None:
    waits = [settle(parcel(attempts), REFUSAL, NOW).wake_at for attempts in range(1, 6)]
    assert waits == [NOW + timedelta(minutes=minutes) for minutes in (5, 10, 20, 40, 80)]
    sixth = settle(parcel(6), REFUSAL, NOW)
    assert (sixth.wake_at, sixth.parked_at, sixth.delivered_at) == (None, NOW, None)


@pytest.mark.parametrize("status", [100, 199, 201, 202, 204, 301, 302, 307, 400, 401, 404, 410, 429, 500, 503])
def test_only_200_is_success(status: int) -> None:
    settled = settle(parcel(1), Answer(status=status), NOW)
    assert settled.delivered_at is None
    assert settled.error == f"answered {status}; only 200 counts as received"
    assert settle(parcel(1), Answer(status=200), NOW).delivered_at == NOW


@given(st.integers(1, 1000), st.none() | st.builds(Answer, status=st.none() | st.integers(100, 599), error=st.none() | st.just("no connection")))
def test_exactly_one_thing_becomes_of_every_attempt(attempts: int, answer: Answer | None) -> None:
    settled = settle(parcel(attempts), answer, NOW)
    assert [settled.wake_at, settled.delivered_at, settled.parked_at].count(None) == 2
    assert settled.wake_at is None or settled.wake_at > NOW
    assert settled.was_tried == (answer is not None)


def test_what_was_not_tried_does_not_count() -> None:
    settled = settle(parcel(3), None, NOW)
    assert (settled.attempts, settled.wake_at, settled.status, settled.error) == (2, NOW + timedelta(minutes=1), None, None)
    assert health([settled]) == []


def test_health_counts_failures_per_endpoint_and_a_success_forgives_them() -> None:
    bad, good, untried = Answer(error="no connection"), Answer(status=200), None
    settled = [settle(parcel(1, name), answer, NOW) for name, answer in [("b", bad), ("a", good), ("b", bad), ("a", REFUSAL), ("a", untried)]]
    first, second = health(settled)
    assert (first.endpoint_id, first.has_success, first.failures, first.last_error) == ("a", True, 1, "answered 500; only 200 counts as received")
    assert (second.endpoint_id, second.has_success, second.failures, second.last_error) == ("b", False, 2, "no connection")


def test_a_delivery_says_how_far_it_got() -> None:
    fresh = Delivery(endpoint_id=EndpointId("a"), endpoint_name="Hooks", attempts=0, wake_at=NOW)
    assert fresh.state == "waiting"
    assert replace(fresh, attempts=2).state == "retrying"
    assert replace(fresh, attempts=6, wake_at=None, parked_at=NOW).state == "parked"
    assert replace(fresh, attempts=1, wake_at=None, delivered_at=NOW).state == "delivered"


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"name": " "}, "name"),
        ({"name": "x" * 1501}, "name"),
        ({"url": "ftp://example.com"}, "url"),
        ({"environment": "PRODUCTION"}, "environment"),
        ({"event_types": ()}, "event_types"),
        ({"event_types": ("renewal", "RENEWAL")}, "event_types"),
    ],
)
def test_an_endpoint_that_may_not_be(change: dict[str, Any], param: str) -> None:
    with pytest.raises(Invalid) as trouble:
        check_endpoint(replace(endpoint(), **change))
    assert trouble.value.param == param
    check_endpoint(endpoint())


def test_a_test_event_has_the_vendors_shape() -> None:
    event = event_for_test(replace(endpoint(), environment="production", app_id=AppId("app_1")), event_id=EventId("5f0c"), sequence=7, now=NOW)
    assert (event.type, event.customer_id, event.sequence, event.environment, event.app_id) == ("TEST", "test", 7, "production", "app_1")
    expected = {"type": "TEST", "id": "5f0c", "app_id": "app_1", "environment": "PRODUCTION", "event_timestamp_ms": 1903867200000}
    assert expected.items() <= event.body.items()
    assert {"app_user_id", "original_app_user_id", "aliases", "subscriber_attributes", "product_id", "store"} <= event.body.keys()
