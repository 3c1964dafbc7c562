"""What of an SDK's report is kept, and under which names diagnostics are counted."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.api.bodies import depth
from perennial.api.v1.telemetry import diagnosed
from perennial.base.errors import Invalid
from perennial.base.ids import AppId
from perennial.base.time import to_ms
from perennial.telemetry import KEPT_FOR, attributes_of, network_name, read_event

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
APP = AppId("app_1")


def sent(**changes: Any) -> dict[str, Any]:
    return {"id": "e1", "type": "paywall_impression", "app_user_id": "ada", "timestamp": to_ms(NOW), "offering_id": "default"} | changes


def test_an_event_is_kept_whole():
    event = read_event(sent(), APP, NOW)
    assert event is not None
    assert (event.event_id, event.type, event.app_user_id, event.happened_at, event.app_id) == ("e1", "paywall_impression", "ada", NOW, APP)
    assert event.data == sent()


def test_nothing_has_happened_after_it_reached_us():
    event = read_event(sent(timestamp_ms=to_ms(NOW + timedelta(days=400))), APP, NOW)
    assert event is not None and event.happened_at == NOW


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        [],
        {},
        sent(id=5),
        sent(id=""),
        sent(id="x" * 101),
        sent(type=None),
        sent(app_user_id="a\x00"),
        sent(timestamp="yesterday"),
        sent(timestamp=True),
        sent(timestamp=10**30),
        sent(timestamp=to_ms(NOW - KEPT_FOR)),
        sent(more="x" * 20_000),
        sent(more={"deep": "\x00"}),
        sent(**{"\x00": 1}),
    ],
)
def test_what_cannot_be_kept_is_left_out(wrong: Any):
    assert read_event(wrong, APP, NOW) is None


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(changes=st.dictionaries(st.sampled_from(["id", "type", "app_user_id", "timestamp", "timestamp_ms", "more"]), ANY))
def test_no_event_can_break_the_others(changes: dict[str, Any]):
    event = read_event(sent(**changes), APP, NOW)
    assert event is None or (event.happened_at <= NOW and b"\\u0000" not in msgspec.json.encode(event.data))


@pytest.mark.parametrize(
    ("entry", "counted"),
    [
        ({"name": "http_request_performed", "properties": {"successful": True}}, ("http_request_performed", "success")),
        ({"name": "http_request_performed", "properties": {"successful": False}}, ("http_request_performed", "failure")),
        ({"name": "purchase_started"}, ("purchase_started", "none")),
        ({"name": "made up", "properties": {"successful": "yes"}}, ("other", "none")),
        ({"name": ["x"], "properties": []}, ("other", "none")),
        ("nonsense", ("other", "none")),
    ],
)
def test_diagnostics_are_counted_under_names_we_know(entry: Any, counted: tuple[str, str]):
    assert diagnosed(entry) == counted


def test_networks_go_by_their_names():
    assert [network_name(number) for number in (0, 7)] == ["apple_search_ads", "adservices"]
    with pytest.raises(Invalid, match="network 8 is not one of 0 to 7"):
        network_name(8)
    assert attributes_of({"rc_idfa": "A", "rc_idfv": "", "rc_gps_adid": 5, "campaign": "x"}) == {"$idfa": "A"}


@pytest.mark.parametrize(
    ("body", "deep"),
    [
        (b"{}", 0),
        (b"[" * 65 + b"]" * 65, 65),
        (b'{"events":[' + b",".join([b"{}"] * 100) + b"]}", 3),
        (b'{"text":"' + b"[" * 100 + b'\\"{"}', 1),
        (b"[" * 100_000, 100_000),
        (b"]" * 70 + b"[" * 70, 0),
    ],
)
def test_how_deep_a_body_is_nested(body: bytes, deep: int):
    assert depth(body) == deep
