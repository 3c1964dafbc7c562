"""The Microsoft Store: signing in, asking with a user's key, and the life of a subscription read from recurrences."""

import json
import logging
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from perennial.base.errors import Invalid, Unavailable
from perennial.base.money import Money
from perennial.base.reading import decode, noting
from perennial.base.value import replace
from perennial.catalog.model import Product
from perennial.intake.model import Act, CannotAct, Posted, Question, Reading, StoreApp
from perennial.providers.microsoft import MicrosoftStore, read
from perennial.providers.microsoft.payload import Recurrence
from perennial.subscriptions.model import Line, Purchase, Renewal, Statement
from perennial.subscriptions.rules import is_entitled, status
from tests.answering import Answering
from tests.other_stores import app, hear, told

NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)
BOUGHT, ENDS, NEXT = (datetime(2026, month, day, tzinfo=UTC) for month, day in ((1, 1), (2, 1), (3, 1)))
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
ID = "mdr:0:abc:def"
KEY = "eyJ-store-id-key"
SIGN_IN, QUERY, CHANGE = "POST /tenant/oauth2/token", "POST /v8.0/b2b/recurrences/query", "POST /v8.0/b2b/recurrences/mdr%3A0%3Aabc%3Adef/change"
MS_APP = app("microsoft", settings={"tenant_id": "tenant", "client_id": "client"}, secrets={"client_secret": "S3CRET"})
PRO = Product(
    product_id="p",
    app_id=MS_APP.app_id,
    store_identifier="9NBLGGH42CFD",
    type="subscription",
    created_at=NOW,
    prices=(Money(amount=499, currency="USD"),),
)


def recurrence(**changes: object) -> dict[str, Any]:
    return {
        "autoRenew": True,
        "beneficiary": "pub:user-42",
        "expirationTime": ENDS.isoformat(),
        "expirationTimeWithGrace": (ENDS + 14 * DAY).isoformat(),
        "id": ID,
        "isTrial": False,
        "lastModified": BOUGHT.isoformat(),
        "market": "US",
        "productId": "9NBLGGH42CFD",
        "recurrenceState": "Active",
        "skuId": "0020",
        "startTime": BOUGHT.isoformat(),
        "cancellationDate": "0001-01-01T00:00:00+00:00",
        **changes,
    }


def stated(now: datetime = NOW, line: Line | None = None, *, is_extended: bool = False, **changes: object) -> Statement:
    return read.statement(MS_APP, msgspec.convert(recurrence(**changes), Recurrence), line, (PRO,), now, is_extended=is_extended)


@pytest.fixture
def microsoft() -> Iterator[Answering]:
    server = Answering()
    server.answer(SIGN_IN, {"access_token": "T0KEN", "expires_in": "3599"})
    server.answer(QUERY, {"items": [recurrence()]})
    yield server
    server.close()


@pytest.fixture
async def store() -> AsyncIterator[MicrosoftStore]:
    asked = MicrosoftStore()
    yield asked
    await asked.close()


@pytest.fixture
def ours(microsoft: Answering) -> StoreApp:
    return replace(MS_APP, api_base_url=microsoft.address)


# Nothing comes


def test_microsoft_sends_nothing(store: MicrosoftStore) -> None:
    """What it tells is fetched from a queue (test_clawback), and nothing else is believed."""
    with pytest.raises(Invalid, match="sends no notifications"):
        store.open(MS_APP, b"{}", {}, NOW)
    with pytest.raises(Invalid, match="not a Clawback event"):
        store.read(MS_APP, b"{}", NOW)


async def test_nothing_was_missed(store: MicrosoftStore) -> None:
    await store.prepare({}, b"{}")
    assert [one async for one in store.missed(MS_APP, NOW - DAY, NOW, "production", NOW)] == []


@pytest.mark.parametrize("lacking", ["tenant_id", "client_id", "client_secret"])
def test_asking_takes_credentials(store: MicrosoftStore, lacking: str) -> None:
    assert store.can_ask(MS_APP)
    without = {name: one for name, one in MS_APP.settings.items() if name != lacking}
    assert not store.can_ask(replace(MS_APP, settings=without, secrets={} if lacking == "client_secret" else MS_APP.secrets))


# Asking


async def test_a_posted_key_states_every_subscription_of_its_user(store: MicrosoftStore, microsoft: Answering, ours: StoreApp) -> None:
    other = recurrence(id="mdr:0:other", productId="OTHER")
    microsoft.answer(QUERY, {"items": [recurrence()], "continuationToken": "more"}, {"items": [other]})
    reading = await store.read_receipt(ours, Posted(token=KEY, products=(PRO,)), NOW)
    assert [one.line for one in reading.statements] == [ID, "mdr:0:other"]
    assert [one.purchases[0].price for one in reading.statements] == [Money(amount=499, currency="USD"), None]
    assert [one.json for one in microsoft.asked if one.path.endswith("query")] == [{"b2bKey": KEY}, {"b2bKey": KEY, "continuationToken": "more"}]
    assert {one.headers["authorization"] for one in microsoft.asked if one.path.endswith("query")} == {"Bearer T0KEN"}


async def test_signing_in_once_lasts(store: MicrosoftStore, microsoft: Answering, ours: StoreApp, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for _ in range(2):
        await store.read_receipt(ours, Posted(token=KEY), NOW)
    assert microsoft.calls == [SIGN_IN, QUERY, QUERY]
    assert (
        microsoft.asked[0].raw == b"grant_type=client_credentials&client_id=client&client_secret=S3CRET&resource=https%3A%2F%2Fonestore.microsoft.com"
    )
    assert "S3CRET" not in caplog.text and KEY not in caplog.text


@pytest.mark.parametrize("expires_in", ["60", 0, "soon"])
async def test_a_token_about_to_end_is_not_used_again(store: MicrosoftStore, microsoft: Answering, ours: StoreApp, expires_in: object) -> None:
    microsoft.answer(SIGN_IN, {"access_token": "T0KEN", "expires_in": expires_in})
    for _ in range(2):
        await store.read_receipt(ours, Posted(token=KEY), NOW)
    assert microsoft.calls.count(SIGN_IN) == 2


async def test_a_token_that_was_withdrawn_is_replaced(store: MicrosoftStore, microsoft: Answering, ours: StoreApp) -> None:
    microsoft.answer(QUERY, {}, status=401)
    with pytest.raises(Unavailable):
        await store.read_receipt(ours, Posted(token=KEY), NOW)
    microsoft.answer(QUERY, {"items": []})
    assert (await store.read_receipt(ours, Posted(token=KEY), NOW)).note == "the user has no subscriptions"
    assert microsoft.calls.count(SIGN_IN) == 2


async def test_wrong_credentials_are_said_without_them(store: MicrosoftStore, microsoft: Answering, ours: StoreApp) -> None:
    microsoft.answer(SIGN_IN, {"error": "invalid_client"}, status=401)
    with pytest.raises(Unavailable, match="client_secret") as caught:
        await store.read_receipt(ours, Posted(token=KEY), NOW)
    assert "S3CRET" not in str(caught.value)


@pytest.mark.parametrize("key", ["", "x" * 20_000])
async def test_what_is_no_key_is_not_asked_with(store: MicrosoftStore, microsoft: Answering, ours: StoreApp, key: str) -> None:
    with pytest.raises(Invalid, match="Store ID key"):
        await store.read_receipt(ours, Posted(token=key), NOW)
    assert microsoft.calls == []


async def test_a_key_that_ran_out_proves_nothing_and_ends_nothing(store: MicrosoftStore, microsoft: Answering, ours: StoreApp) -> None:
    microsoft.answer(QUERY, {"code": "BadRequest"}, status=400)
    with pytest.raises(Invalid, match="run out"):
        await store.read_receipt(ours, Posted(token=KEY), NOW)
    reading = await store.ask(ours, Question(environment="production", subject=ID), Posted(store_user_id=KEY), NOW)
    assert (reading.statements, reading.note) == ((), "the Store ID key ran out; the app posts a new one when it starts")


@pytest.mark.parametrize("code", [429, 500, 503, 403])
async def test_trouble_that_may_pass(store: MicrosoftStore, microsoft: Answering, ours: StoreApp, code: int) -> None:
    microsoft.answer(QUERY, {}, status=code)
    with pytest.raises(Unavailable, match=str(code)):
        await store.ask(ours, Question(environment="production", subject=ID), Posted(store_user_id=KEY), NOW)


async def test_a_line_is_asked_about_with_the_key_last_posted(store: MicrosoftStore, microsoft: Answering, ours: StoreApp) -> None:
    microsoft.answer(QUERY, {"items": [recurrence(id="mdr:0:other"), recurrence()]})
    question = Question(environment="production", subject=ID)
    assert [one.line for one in (await store.ask(ours, question, Posted(store_user_id=KEY), NOW)).statements] == [ID]
    assert (await store.ask(ours, question, Posted(token=ID), NOW)).note == "no Store ID key of this user is known; the app posts one when it starts"
    missing = await store.ask(ours, replace(question, subject="mdr:9"), Posted(store_user_id=KEY), NOW)
    assert (missing.statements, missing.note) == ((), "Microsoft knows no mdr:9 of this user")


async def test_a_development_sandbox_is_of_the_sandbox(store: MicrosoftStore, microsoft: Answering, ours: StoreApp) -> None:
    sandbox = replace(ours, settings={**ours.settings, "sandbox": "XDKS.1"})
    (statement,) = (await store.read_receipt(sandbox, Posted(token=KEY), NOW)).statements
    assert statement.environment == "sandbox"
    assert microsoft.asked[-1].json == {"b2bKey": KEY, "sbx": "XDKS.1"}


# What a recurrence states


PERIOD = Purchase(
    transaction=f"{ID}#1769904000",
    product="9NBLGGH42CFD",
    kind="subscription",
    purchased_at=BOUGHT,
    expires_at=ENDS,
    as_of=NOW,
    is_first=True,
    is_renewal=False,
    price=Money(amount=499, currency="USD"),
    country="US",
)


def test_a_first_period() -> None:
    assert stated() == Statement(
        store="microsoft",
        environment="production",
        line=ID,
        purchases=(PERIOD,),
        renewals=(Renewal(as_of=NOW, transaction=PERIOD.transaction, auto_renew=True),),
        original_purchased_at=BOUGHT,
    )


def test_a_renewal_begins_where_the_last_period_ended() -> None:
    (purchase,) = stated(ENDS + MINUTE, hear([stated()], NOW), expirationTime=NEXT.isoformat()).purchases
    assert (purchase.transaction, purchase.purchased_at, purchase.expires_at, purchase.is_renewal) == (f"{ID}#1772323200", ENDS, NEXT, True)


def test_a_trial_has_no_price_and_converts() -> None:
    line = hear([stated(isTrial=True, expirationTime=(BOUGHT + 7 * DAY).isoformat())], BOUGHT + DAY)
    assert (line.held[0].purchase.period_type, line.held[0].purchase.price) == ("trial", None)
    after = BOUGHT + 7 * DAY + MINUTE
    assert told([stated(after, line)], after, line) == ["RENEWAL"]


@pytest.mark.parametrize(
    ("changes", "end"),
    [
        ({"expirationTime": "9999-12-31T23:59:59-14:00"}, datetime(9000, 1, 1, tzinfo=UTC)),
        ({"expirationTime": "99999-12-31T23:59:59Z"}, datetime(9000, 1, 1, tzinfo=UTC)),
        ({"expirationTime": "2026-09-01T00:00:00"}, datetime(2026, 9, 1, tzinfo=UTC)),
        ({"startTime": "0001-01-01T00:00:00+14:00"}, ENDS),
    ],
)
def test_a_moment_out_of_range_or_without_a_zone(changes: dict[str, Any], end: datetime) -> None:
    found = decode(json.dumps(recurrence(**changes)), Recurrence)
    assert [one.expires_at for one in read.statement(MS_APP, found, None, (PRO,), NOW).purchases] == [end]


def test_a_state_we_do_not_know_changes_nothing_of_what_is_known() -> None:
    with noting() as noted:
        said = stated(recurrenceState="Hibernating", autoRenew=False)
    assert said.renewals == ()
    assert [one.field for one in noted] == ["recurrenceState"]
    assert told([said], NOW, hear([stated()], NOW)) == []


def test_a_perpetual_subscription_does_not_end() -> None:
    line = hear([stated(recurrenceState="None")], NOW)
    assert (line.held[0].purchase.transaction, line.held[0].purchase.expires_at) == (ID, None)
    assert is_entitled(line, datetime(2126, 1, 1, tzinfo=UTC))


# The life of a subscription: each state, and what it comes to


@pytest.mark.parametrize(
    ("changes", "now", "events"),
    [
        ({}, NOW + DAY, []),
        ({"expirationTime": NEXT.isoformat()}, ENDS + MINUTE, ["RENEWAL"]),
        ({"autoRenew": False}, NOW + DAY, ["CANCELLATION unsubscribe"]),
        ({"recurrenceState": "InDunning"}, ENDS + MINUTE, ["BILLING_ISSUE", "CANCELLATION billing_error"]),
        ({"recurrenceState": "Failed"}, ENDS + 15 * DAY, ["EXPIRATION billing_error"]),
        ({"recurrenceState": "Inactive", "autoRenew": False}, ENDS + MINUTE, ["EXPIRATION unsubscribe"]),
        (
            {"recurrenceState": "Canceled", "expirationTime": NOW.isoformat(), "cancellationDate": NOW.isoformat()},
            NOW + DAY,
            ["EXPIRATION unsubscribe"],
        ),
        ({"recurrenceState": "Canceled", "cancellationDate": NOW.isoformat()}, NOW + DAY, ["EXPIRATION unsubscribe"]),
        ({"expirationTime": (ENDS + 3 * DAY).isoformat()}, NOW + DAY, ["SUBSCRIPTION_EXTENDED"]),
    ],
)
def test_what_a_state_comes_to(changes: dict[str, Any], now: datetime, events: list[str]) -> None:
    line = hear([stated()], NOW)
    assert told([stated(now, line, **changes)], now, line) == events
    heard = hear([stated(now, line, **changes)], now, line)
    assert told([stated(now + MINUTE, heard, **changes)], now + MINUTE, heard) == []


def test_auto_renew_on_again() -> None:
    off = hear([stated(NOW + DAY, hear([stated()], NOW), autoRenew=False)], NOW + DAY, hear([stated()], NOW))
    assert told([stated(NOW + 2 * DAY, off)], NOW + 2 * DAY, off) == ["UNCANCELLATION"]


def test_dunning_is_grace_and_ends_with_it_and_recovering_renews() -> None:
    line = hear([stated()], NOW)
    failing = hear([stated(ENDS + MINUTE, line, recurrenceState="InDunning")], ENDS + MINUTE, line)
    assert status(failing, ENDS + DAY) == "in_grace_period"
    assert is_entitled(failing, ENDS + 14 * DAY - MINUTE) and not is_entitled(failing, ENDS + 14 * DAY)
    now = ENDS + 5 * DAY
    assert told([stated(now, failing, expirationTime=NEXT.isoformat())], now, failing) == ["RENEWAL"]


def test_a_cancelled_subscription_gives_no_more_access() -> None:
    line = hear([stated()], NOW)
    cut = {"recurrenceState": "Canceled", "expirationTime": NOW.isoformat(), "cancellationDate": (NOW + timedelta(seconds=1)).isoformat()}
    cancelled = hear([stated(NOW + DAY, line, **cut)], NOW + DAY, line)
    assert [one.purchase.expires_at for one in cancelled.held] == [NOW]
    assert not is_entitled(cancelled, NOW)


# Acting


def act(kind: Any, **details: Any) -> Act:
    return Act(act_id="act_1", kind=kind, environment="production", subject=ID, details=details)


@pytest.mark.parametrize(
    ("kind", "details", "sent"),
    [
        ("cancel", {}, {"changeType": "ToggleAutoRenew"}),
        ("refund", {"transaction": PERIOD.transaction}, {"changeType": "Refund"}),
        ("extend", {"days": 5}, {"changeType": "Extend", "extensionTimeInDays": "5"}),
    ],
)
async def test_acting(store: MicrosoftStore, microsoft: Answering, ours: StoreApp, kind: str, details: dict[str, Any], sent: dict[str, str]) -> None:
    microsoft.answer(CHANGE, recurrence())
    posted = Posted(store_user_id=KEY, line=hear([stated()], NOW))
    hint = "extended" if kind == "extend" else ""
    assert await store.act(ours, act(kind, **details), posted, NOW) == Reading(questions=(Question(environment="production", subject=ID, hint=hint),))
    assert microsoft.asked[-1].json == {"b2bKey": KEY, **sent}


@pytest.mark.parametrize(
    ("kind", "details", "so_already"),
    [
        ("cancel", {}, {"autoRenew": False}),
        ("cancel", {}, {"recurrenceState": "Canceled"}),
        ("refund", {}, {"recurrenceState": "Canceled"}),
        ("extend", {"days": 5}, {"expirationTime": (ENDS + 5 * DAY).isoformat()}),
    ],
)
async def test_what_is_so_already_is_not_done_again(
    store: MicrosoftStore, microsoft: Answering, ours: StoreApp, kind: str, details: dict[str, Any], so_already: dict[str, Any]
) -> None:
    microsoft.answer(QUERY, {"items": [recurrence(**so_already)]})
    await store.act(ours, act(kind, **details), Posted(store_user_id=KEY, line=hear([stated()], NOW)), NOW)
    assert microsoft.calls == [SIGN_IN, QUERY]


async def test_a_long_extension_of_ours_is_no_renewal(store: MicrosoftStore, microsoft: Answering, ours: StoreApp) -> None:
    line = hear([stated()], NOW)
    microsoft.answer(QUERY, {"items": [recurrence(expirationTime=(ENDS + 30 * DAY).isoformat())]})
    question = Question(environment="production", subject=ID, hint="extended")
    reading = await store.ask(ours, question, Posted(store_user_id=KEY, line=line), NOW + DAY)
    assert told(reading.statements, NOW + DAY, line) == ["SUBSCRIPTION_EXTENDED"]
    extended = hear(reading.statements, NOW + DAY, line)
    again = await store.ask(ours, replace(question, hint=""), Posted(store_user_id=KEY, line=extended), NOW + 2 * DAY)
    assert told(again.statements, NOW + 2 * DAY, extended) == []


@pytest.mark.parametrize("days", [0, -1, 366])
async def test_an_extension_has_bounds(store: MicrosoftStore, microsoft: Answering, ours: StoreApp, days: int) -> None:
    with pytest.raises(CannotAct, match="1 to 365 days"):
        await store.act(ours, act("extend", days=days), Posted(store_user_id=KEY), NOW)
    assert CHANGE not in microsoft.calls


async def test_a_refusal_is_said_in_microsofts_words(store: MicrosoftStore, microsoft: Answering, ours: StoreApp) -> None:
    microsoft.answer(CHANGE, b"Requested catalog product data wasn't found", status=400)
    with pytest.raises(CannotAct, match="catalog product data"):
        await store.act(ours, act("cancel"), Posted(store_user_id=KEY), NOW)
    microsoft.answer(CHANGE, b"", status=503)
    with pytest.raises(Unavailable):
        await store.act(ours, act("cancel"), Posted(store_user_id=KEY), NOW)


@pytest.mark.parametrize("kind", ["revoke", "defer", "acknowledge"])
async def test_what_microsoft_offers_not(store: MicrosoftStore, ours: StoreApp, kind: str) -> None:
    with pytest.raises(CannotAct):
        await store.act(ours, act(kind), Posted(store_user_id=KEY), NOW)


async def test_without_a_key_nothing_is_changed(store: MicrosoftStore, microsoft: Answering, ours: StoreApp) -> None:
    with pytest.raises(CannotAct, match="none is known"):
        await store.act(ours, act("cancel"), Posted(), NOW)
    assert microsoft.calls == []
