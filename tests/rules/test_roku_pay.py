"""Roku Pay: signed pushes, the web service's quirks, and the life of a subscription read from validated transactions."""

import json
import logging
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from perennial.base.errors import Invalid, Unavailable
from perennial.base.money import Money
from perennial.base.time import to_ms
from perennial.base.value import replace
from perennial.intake.model import Act, CannotAct, Envelope, Posted, Question, Reading, Reply, StoreApp, Untrusted
from perennial.providers.roku import RokuPay
from perennial.providers.roku.payload import moment, money, normal
from perennial.providers.roku.read import Hint
from perennial.subscriptions.model import Line, Purchase, Refund, Renewal, Statement
from perennial.subscriptions.rules import is_entitled, status
from tests.answering import Answering
from tests.other_stores import KEY_ID, app, hear, roku_jws, roku_keys, roku_push, told

NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)
BOUGHT, ENDS, NEXT = (datetime(2026, month, day, tzinfo=UTC) for month, day in ((1, 1), (2, 1), (3, 1)))
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
ROKU_APP = app("roku", bundle_id="251682", secrets={"api_key": "S3CRETKEY"})


def date(instant: datetime) -> str:
    return f"/Date({to_ms(instant)}+0000)/"


def transaction(identifier: str = "T1", **changes: object) -> dict[str, Any]:
    return {
        "errorCode": None,
        "errorMessage": "",
        "status": 0,
        "OriginalTransactionId": "T1",
        "amount": 4.99,
        "cancelled": False,
        "channelId": 251682,
        "currency": "usd",
        "expirationDate": date(ENDS),
        "isEntitled": True,
        "originalPurchaseDate": date(BOUGHT),
        "partnerReferenceId": None,
        "productId": "pro_monthly",
        "purchaseDate": date(BOUGHT),
        "purchaseStatus": "Active",
        "quantity": 1,
        "tax": 0.5,
        "total": 5.49,
        "transactionId": identifier,
        **changes,
    }


FAILED = {"status": 1, "errorCode": "INVALID", "errorMessage": "no such transaction"}
PERIOD = Purchase(
    transaction="t1",
    product="pro_monthly",
    kind="subscription",
    purchased_at=BOUGHT,
    expires_at=ENDS,
    as_of=NOW,
    is_first=True,
    is_renewal=False,
    price=Money(amount=549, currency="USD"),
    tax=Money(amount=50, currency="USD"),
)


def path(identifier: str) -> str:
    return f"GET /validate-transaction/S3CRETKEY/{identifier}"


@pytest.fixture
def roku() -> Iterator[Answering]:
    server = Answering()
    server.answer("GET /keys.json", roku_keys(KEY_ID))
    server.answer("GET /test-keys.json", roku_keys("TEST-KEY"))
    yield server
    server.close()


@pytest.fixture
async def store(roku: Answering) -> AsyncIterator[RokuPay]:
    asked = RokuPay(key_addresses=(f"{roku.address}/keys.json", f"{roku.address}/test-keys.json"))
    yield asked
    await asked.close()


@pytest.fixture
def ours(roku: Answering) -> StoreApp:
    return replace(ROKU_APP, api_base_url=roku.address)


async def known(store: RokuPay, roku: Answering, ours: StoreApp, now: datetime = NOW, **changes: object) -> Line:
    """A line bought and told."""
    roku.answer(path("t1"), transaction(**changes))
    return hear((await store.ask(ours, question(), Posted(), now)).statements, now)


def question(kind: str = "", identifier: str = "T2", at: datetime = NOW, subject: str = "t1") -> Question:
    hint = str(Hint(type=kind, transaction=normal(identifier), at=at)) if kind else ""
    return Question(environment="production", subject=subject, hint=hint)


# Who sent it


async def test_a_signed_push_is_taken_and_answered_as_roku_wants(store: RokuPay) -> None:
    body = roku_jws(roku_push("Sale", NOW), NOW)
    await store.prepare({}, body)
    assert store.open(ROKU_APP, body, {}, NOW) == Envelope(
        message_id="key-1",
        kind="Sale",
        sent_at=NOW,
        reply=Reply(body=b"d4dd12df0c8445afa8860895061e72f9", headers={"ApiKey": "S3CRETKEY"}, media_type="text/plain"),
    )
    assert store.read(ROKU_APP, body, NOW) == Reading(questions=(Question(environment="production", subject="t1", hint=f"Sale t2 {to_ms(NOW)}"),))


@pytest.mark.parametrize(
    ("body", "match"),
    [
        (roku_jws(roku_push("Sale", NOW), NOW, key="forged"), "does not fit"),
        (roku_jws(roku_push("Sale", NOW), NOW, header={"alg": "none"}), "RS256"),
        (roku_jws(roku_push("Sale", NOW), NOW, header={"alg": "HS256"}), "RS256"),
        (roku_jws(roku_push("Sale", NOW), NOW, header={"jku": "https://evil.example/keys.json"}), "published set"),
        (roku_jws(roku_push("Sale", NOW), NOW, header={"crit": ["exp"]}), "RS256"),
        (roku_jws(roku_push("Sale", NOW), NOW, header={"kid": "OTHER"}), "published no key"),
        (roku_jws(roku_push("Sale", NOW), NOW, header={"kid": "TEST-KEY"}), "published no key"),
        (roku_jws(roku_push("Sale", NOW), NOW, iss="somebody"), "issued by"),
        (roku_jws(roku_push("Sale", NOW), NOW - timedelta(hours=25)), "played back"),
        (roku_jws(roku_push("Sale", NOW), NOW + timedelta(hours=2)), "played back"),
        (roku_jws(roku_push("Sale", NOW, channelId="1"), NOW), "channel 1"),
        (b'{"transactionType": "Sale"}', "not signed"),
        (b"", "not signed"),
    ],
)
async def test_what_roku_did_not_sign_for_us_now_is_untrusted(store: RokuPay, body: bytes, match: str) -> None:
    await store.prepare({}, body)
    with pytest.raises(Untrusted, match=match):
        store.open(ROKU_APP, body, {}, NOW)


async def test_one_changed_letter_breaks_the_signature(store: RokuPay) -> None:
    head, payload, signed = roku_jws(roku_push("Sale", NOW), NOW).split(b".")
    body = b".".join((head, payload[:80] + (b"A" if payload[80:81] != b"A" else b"B") + payload[81:], signed))
    await store.prepare({}, body)
    with pytest.raises(Untrusted, match="does not fit"):
        store.open(ROKU_APP, body, {}, NOW)


async def test_the_keys_are_fetched_once_and_not_for_what_is_no_push(store: RokuPay, roku: Answering) -> None:
    await store.prepare({}, b"hello")
    assert roku.calls == []
    for _ in range(2):
        await store.prepare({}, roku_jws(roku_push("Sale", NOW), NOW))
        await store.prepare({}, roku_jws(roku_push("Sale", NOW), NOW, header={"kid": "MADE-UP"}))
    assert roku.calls == ["GET /keys.json", "GET /test-keys.json"]


async def test_without_keys_nothing_can_be_judged(store: RokuPay, roku: Answering) -> None:
    roku.answer("GET /keys.json", b"", status=500)
    with pytest.raises(Unavailable):
        await store.prepare({}, roku_jws(roku_push("Sale", NOW), NOW))


async def test_a_test_push_is_taken_only_where_the_app_says_so(store: RokuPay) -> None:
    body = roku_jws(roku_push("Sale", NOW), NOW, header={"kid": "TEST-KEY"})
    await store.prepare({}, body)
    assert store.open(replace(ROKU_APP, settings={"test_push": "yes"}), body, {}, NOW).message_id == "key-1"


def test_an_unsigned_push_is_a_hint_only_where_the_app_says_so(store: RokuPay) -> None:
    body = json.dumps(roku_push("Sale", NOW)).encode()
    legacy = replace(ROKU_APP, settings={"legacy_push": "yes"})
    first, second = (store.open(legacy, body, {}, now) for now in (NOW, NOW + DAY))
    assert first.message_id == second.message_id
    assert store.read(legacy, body, NOW).statements == ()
    assert store.read(legacy, body, NOW).questions[0].subject == "t1"


async def test_what_roku_signs_but_we_cannot_read_is_kept(store: RokuPay) -> None:
    body = roku_jws(b"hello", NOW)
    await store.prepare({}, body)
    assert store.open(ROKU_APP, body, {}, NOW) == Envelope(message_id="key-1", kind="unknown", sent_at=NOW)
    with pytest.raises(Invalid):
        store.read(ROKU_APP, body, NOW)


def test_a_credit_is_about_no_purchase(store: RokuPay) -> None:
    body = roku_jws(roku_push("Credit", NOW, transactionId="579743", originalTransactionId=None), NOW)
    assert store.read(ROKU_APP, body, NOW) == Reading(note="Credit: about the customer's account, not a purchase")


# Quirks


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("/Date(1581033062000+0000)/", datetime(2020, 2, 6, 23, 51, 2, tzinfo=UTC)),
        ("/Date(1581033062000)/", datetime(2020, 2, 6, 23, 51, 2, tzinfo=UTC)),
        ("2020-04-05T18:45:04.3142198Z", datetime(2020, 4, 5, 18, 45, 4, 314219, tzinfo=UTC)),
        ("2022-07-11T20:00:45.458297119Z", datetime(2022, 7, 11, 20, 0, 45, 458297, tzinfo=UTC)),
        ("/Date(9999999999999999)/", datetime(9000, 1, 1, tzinfo=UTC)),
        ("/Date(-62135596800000)/", datetime(1970, 1, 1, tzinfo=UTC)),
        ("9999-12-31T23:59:59-14:00", datetime(9000, 1, 1, tzinfo=UTC)),
        ("2019-11-06T23:51:02", datetime(2019, 11, 6, 23, 51, 2, tzinfo=UTC)),
        ("2019-11-07T01:51:02+02:00", datetime(2019, 11, 6, 23, 51, 2, tzinfo=UTC)),
    ],
)
def test_moments(text: str, instant: datetime) -> None:
    assert moment(text, "eventDate") == instant


@pytest.mark.parametrize("text", ["", "yesterday", "/Date(1)"])
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(Invalid):
        moment(text, "eventDate")


@pytest.mark.parametrize(
    ("amount", "currency", "expected"),
    [
        ("1.99", "usd", Money(amount=199, currency="USD")),
        ("0.1300", "usd", Money(amount=13, currency="USD")),
        ("500", "jpy", Money(amount=500, currency="JPY")),
        ("-1.06", "usd", Money(amount=-106, currency="USD")),
        ("1.99", None, None),
        (None, "usd", None),
    ],
)
def test_amounts_are_decimals_in_major_units(amount: str | None, currency: str | None, expected: Money | None) -> None:
    assert money(Decimal(amount) if amount is not None else None, currency) == expected


def test_ids_have_one_spelling() -> None:
    assert normal("DF10F029-3484-11ed-b4bf-0a58a9feacbc") == "df10f029348411edb4bf0a58a9feacbc"


async def test_the_api_key_is_in_no_log_and_no_error(store: RokuPay, roku: Answering, ours: StoreApp, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    roku.answer(path("t1"), transaction())
    await store.read_receipt(ours, Posted(token="t1"), NOW)
    with pytest.raises(Unavailable) as caught:
        await store.read_receipt(replace(ours, api_base_url="http://127.0.0.1:1"), Posted(token="t1"), NOW)
    assert "S3CRETKEY" not in caplog.text + repr(caught.value)
    assert "validate-transaction" in caplog.text
    assert roku.asked[0].headers["accept"] == "application/json"


# Receipts


async def test_a_posted_transaction_states_its_subscription(store: RokuPay, roku: Answering, ours: StoreApp) -> None:
    roku.answer(path("T-1"), transaction(OriginalTransactionId="T-1", transactionId="T1", partnerReferenceId="ada"))
    assert await store.read_receipt(ours, Posted(token="T-1"), NOW) == Reading(
        statements=(
            Statement(
                store="roku",
                environment="production",
                line="t1",
                purchases=(PERIOD,),
                renewals=(Renewal(as_of=NOW, transaction="t1", auto_renew=True),),
                customer_hint="ada",
                original_purchased_at=BOUGHT,
            ),
        )
    )


async def test_a_transaction_nobody_made_proves_nothing(store: RokuPay, roku: Answering, ours: StoreApp) -> None:
    roku.answer(path("t1"), FAILED)
    with pytest.raises(Invalid, match="no such transaction"):
        await store.read_receipt(ours, Posted(token="t1"), NOW)


async def test_a_transaction_of_another_channel_is_untrusted(store: RokuPay, roku: Answering, ours: StoreApp) -> None:
    roku.answer(path("t1"), transaction(channelId="1"))
    with pytest.raises(Untrusted, match="channel 1"):
        await store.read_receipt(ours, Posted(token="t1"), NOW)


async def test_too_many_requests_is_unavailable(store: RokuPay, roku: Answering, ours: StoreApp) -> None:
    roku.answer(path("t1"), b"", status=429)
    with pytest.raises(Unavailable, match="429"):
        await store.ask(ours, question(), Posted(), NOW)


async def test_a_beta_channel_is_of_the_sandbox(store: RokuPay, roku: Answering, ours: StoreApp) -> None:
    roku.answer(path("t1"), transaction())
    beta = replace(ours, settings={"environment": "sandbox"})
    assert (await store.read_receipt(beta, Posted(token="t1"), NOW)).statements[0].environment == "sandbox"


async def test_what_does_not_expire_is_a_one_time_purchase(store: RokuPay, roku: Answering, ours: StoreApp) -> None:
    roku.answer(path("t1"), transaction(expirationDate=None))
    (statement,) = (await store.read_receipt(ours, Posted(token="t1"), NOW)).statements
    assert [(one.kind, one.expires_at, one.is_renewal) for one in statement.purchases] == [("non_consumable", None, False)]
    assert statement.renewals == ()


# Roku's table of states


@pytest.mark.parametrize(
    ("is_entitled_", "expires", "cancelled", "expected"),
    [
        (True, NOW + DAY, False, Renewal(as_of=NOW, transaction="t1", auto_renew=True)),
        (True, NOW - DAY, False, Renewal(as_of=NOW, transaction="t1", auto_renew=True, in_billing_retry=True, grace_until=NOW + 2 * DAY)),
        (False, NOW - DAY, False, Renewal(as_of=NOW, transaction="t1", auto_renew=True, in_billing_retry=True, ended="billing_error")),
        (True, NOW + DAY, True, Renewal(as_of=NOW, transaction="t1", auto_renew=False, off_reason="unsubscribe")),
        (False, NOW - DAY, True, Renewal(as_of=NOW, transaction="t1", auto_renew=False, off_reason="unsubscribe", ended="unsubscribe")),
        (False, NOW + DAY, True, Renewal(as_of=NOW, transaction="t1", auto_renew=False, off_reason="customer_support")),
    ],
)
async def test_the_table_of_states(
    store: RokuPay, roku: Answering, ours: StoreApp, is_entitled_: bool, expires: datetime, cancelled: bool, expected: Renewal
) -> None:
    roku.answer(path("t1"), transaction(isEntitled=is_entitled_, expirationDate=date(expires), cancelled=cancelled))
    (statement,) = (await store.ask(ours, question(), Posted(), NOW)).statements
    assert statement.renewals == (expected,)
    assert is_entitled(hear([statement], NOW), NOW) is is_entitled_


# The life of a subscription: each push, and what it comes to


LIVES: list[tuple[str, str, dict[str, Any], datetime, list[str]]] = [
    ("Sale", "T2", {"purchaseDate": date(ENDS), "expirationDate": date(NEXT)}, ENDS + MINUTE, ["RENEWAL"]),
    ("GraceInitiated", "T1", {}, ENDS + MINUTE, ["BILLING_ISSUE", "CANCELLATION billing_error"]),
    ("OnHoldInitiated", "T9", {"isEntitled": False}, ENDS + 4 * DAY, ["EXPIRATION billing_error", "BILLING_ISSUE", "CANCELLATION billing_error"]),
    ("Cancellation", "T9", {"cancelled": True}, NOW + DAY, ["CANCELLATION unsubscribe"]),
    ("Cancellation", "T9", {"cancelled": True, "isEntitled": False}, ENDS + DAY, ["EXPIRATION unsubscribe"]),
    ("Cancellation", "T9", {"cancelled": True, "isEntitled": False}, NOW + DAY, ["EXPIRATION customer_support"]),
    ("Credit", "579743", {}, NOW + DAY, []),
    ("CancellationOfferInitiated", "T9", {"expirationDate": date(NEXT)}, NOW + DAY, ["SUBSCRIPTION_EXTENDED"]),
    ("CancellationOfferEnded", "T9", {}, NOW + DAY, []),
]


@pytest.mark.parametrize(("kind", "identifier", "changes", "now", "events"), LIVES)
async def test_what_a_push_comes_to_once_its_transaction_was_validated(
    store: RokuPay, roku: Answering, ours: StoreApp, kind: str, identifier: str, changes: dict[str, Any], now: datetime, events: list[str]
) -> None:
    line = await known(store, roku, ours)
    roku.answer(path("t1"), transaction(**changes))
    roku.answer(path("t2"), transaction("T2", **changes))
    roku.answer(path("t9"), FAILED)
    reading = await store.ask(ours, question(kind, identifier, now), Posted(line=line), now)
    assert sorted(told(reading.statements, now, line)) == sorted(events)
    heard = hear(reading.statements, now, line)
    again = await store.ask(ours, question(kind, identifier, now), Posted(line=heard), now + MINUTE)
    assert told(again.statements, now + MINUTE, heard) == []


async def test_a_first_sale_is_told_once(store: RokuPay, roku: Answering, ours: StoreApp) -> None:
    roku.answer(path("t1"), transaction())
    reading = await store.ask(ours, question("Sale", "T1"), Posted(), NOW)
    line = hear([replace(reading.statements[0], purchases=())], NOW)
    assert told(reading.statements, NOW, line) == ["INITIAL_PURCHASE"]


async def test_a_trial_is_what_its_push_says_and_converts(store: RokuPay, roku: Answering, ours: StoreApp) -> None:
    roku.answer(path("t1"), transaction(total=0, amount=4.99, tax=0))
    trial = Question(environment="production", subject="t1", hint=str(Hint(type="Sale", transaction="t1", at=NOW, is_trial=True)))
    line = hear((await store.ask(ours, trial, Posted(), NOW)).statements, NOW)
    assert line.held[0].purchase.period_type == "trial"
    roku.answer(path("t2"), transaction("T2", purchaseDate=date(ENDS), expirationDate=date(NEXT)))
    reading = await store.ask(ours, question("Sale"), Posted(line=line), ENDS + MINUTE)
    assert told(reading.statements, ENDS + MINUTE, line) == ["RENEWAL"]
    later = await store.ask(ours, question(), Posted(line=line), NOW + DAY)  # the answer does not say trial, the line does
    assert later.statements[0].purchases[0].period_type == "trial"


async def test_resubscribing_within_the_period(store: RokuPay, roku: Answering, ours: StoreApp) -> None:
    line = await known(store, roku, ours)
    roku.answer(path("t1"), transaction(cancelled=True))
    off = hear((await store.ask(ours, question("Cancellation", "T9"), Posted(line=line), NOW + DAY)).statements, NOW + DAY, line)
    roku.answer(path("t1"), transaction())
    reading = await store.ask(ours, question("Resubscribe", "T9"), Posted(line=off), NOW + 2 * DAY)
    assert told(reading.statements, NOW + 2 * DAY, off) == ["UNCANCELLATION"]


@pytest.mark.parametrize(("kind", "was_entitled", "begins"), [("GraceRecovered", True, ENDS), ("OnHoldRecovered", False, ENDS + 10 * DAY)])
async def test_recovering_is_a_renewal_once_whatever_ids_it_comes_under(
    store: RokuPay, roku: Answering, ours: StoreApp, kind: str, was_entitled: bool, begins: datetime
) -> None:
    line = await known(store, roku, ours)
    roku.answer(path("t1"), transaction(isEntitled=was_entitled))
    failing = hear((await store.ask(ours, question("GraceInitiated", "T1"), Posted(line=line), ENDS + DAY)).statements, ENDS + DAY, line)
    now = begins + MINUTE
    for identifier in ("t2", "t3"):
        roku.answer(path(identifier), transaction(identifier, purchaseDate=date(begins), expirationDate=date(NEXT)))
    recovered = await store.ask(ours, question(kind, "T2", now), Posted(line=failing), now)
    assert "RENEWAL" in told(recovered.statements, now, failing)
    line = hear(recovered.statements, now, failing)
    sale = await store.ask(ours, question("Sale", "T3", now), Posted(line=line), now + MINUTE)
    assert told(sale.statements, now + MINUTE, line) == []
    assert status(line, now) == "active"


async def test_ended_after_a_failed_charge_is_a_billing_error(store: RokuPay, roku: Answering, ours: StoreApp) -> None:
    line = await known(store, roku, ours)
    failing = hear((await store.ask(ours, question("GraceInitiated", "T1"), Posted(line=line), ENDS + DAY)).statements, ENDS + DAY, line)
    roku.answer(path("t1"), transaction(isEntitled=False, cancelled=True))
    now = ENDS + 4 * DAY
    reading = await store.ask(ours, question("Cancellation", "T9"), Posted(line=failing), now)
    assert told(reading.statements, now, failing) == ["EXPIRATION billing_error"]


async def test_a_renewal_whose_push_is_late_is_told_once_and_gets_its_price_later(store: RokuPay, roku: Answering, ours: StoreApp) -> None:
    line = await known(store, roku, ours)
    now = ENDS + 5 * MINUTE
    roku.answer(path("t1"), transaction(expirationDate=date(NEXT)))  # the state is the present one, whichever charge is asked for
    swept = await store.ask(ours, question(), Posted(line=line), now)
    assert told(swept.statements, now, line) == ["RENEWAL"]
    line = hear(swept.statements, now, line)
    again = await store.ask(ours, question(), Posted(line=line), now + DAY)
    assert told(again.statements, now + DAY, line) == []
    roku.answer(path("t2"), transaction("T2", purchaseDate=date(ENDS + 2 * MINUTE), expirationDate=date(NEXT)))
    late = await store.ask(ours, question("Sale"), Posted(line=line), now + 2 * DAY)
    assert told(late.statements, now + 2 * DAY, line) == []
    line = hear(late.statements, now + 2 * DAY, line)
    assert [(one.purchase.transaction, one.purchase.price) for one in line.held] == [("t1", PERIOD.price), ("t1#1772323200", PERIOD.price)]
    assert [one.purchase.expires_at for one in line.held] == [ENDS, NEXT]


async def test_an_earlier_charge_asked_for_says_nothing_of_its_own_end(store: RokuPay, roku: Answering, ours: StoreApp) -> None:
    line = await known(store, roku, ours)
    roku.answer(path("t2"), transaction("T2", purchaseDate=date(ENDS), expirationDate=date(NEXT)))
    line = hear((await store.ask(ours, question("Sale"), Posted(line=line), ENDS + MINUTE)).statements, ENDS + MINUTE, line)
    roku.answer(path("t2"), FAILED)
    roku.answer(path("t1"), transaction(expirationDate=date(NEXT), cancelled=True))
    reading = await store.ask(ours, question("Cancellation", "T9"), Posted(line=line), ENDS + DAY)
    assert told(reading.statements, ENDS + DAY, line) == ["CANCELLATION unsubscribe"]
    assert reading.statements[0].renewals[0].transaction == "t2"


# Changes of product


@pytest.mark.parametrize("order", ["sale first", "cancellation first"])
async def test_an_upgrade_is_one_line_and_access_never_stops(store: RokuPay, roku: Answering, ours: StoreApp, order: str) -> None:
    line = await known(store, roku, ours)
    roku.answer(path("t1"), transaction(cancelled=True, isEntitled=False))
    gold = {"OriginalTransactionId": "G1", "productId": "gold_monthly", "purchaseType": "UPGRADE", "purchaseDate": date(NOW)}
    roku.answer(path("g1"), transaction("G1", **gold, cancelledTransactionIds=["T-1"]))
    asked = [question("UpgradeSale", "G1", subject="g1"), question("UpgradeCancellation", "T9")]
    events: list[str] = []
    for minutes, one in enumerate(asked if order == "sale first" else reversed(asked), start=1):
        now = NOW + minutes * MINUTE
        reading = await store.ask(ours, one, Posted(line=line if one.subject == "t1" or minutes > 1 else None), now)
        events += told(reading.statements, now, line)
        line = hear(reading.statements, now, line)
        assert is_entitled(line, now)
    assert events == ["PRODUCT_CHANGE", "RENEWAL"]
    assert "t1" in {other for statement in reading.statements for other in (statement.line, *statement.also)}


async def test_a_downgrade_to_come_is_a_change_of_product_and_no_cancellation(store: RokuPay, roku: Answering, ours: StoreApp) -> None:
    line = await known(store, roku, ours)
    roku.answer(path("t1"), transaction(cancelled=True))
    basic = {"OriginalTransactionId": "B1", "productId": "basic_monthly", "purchaseType": "DOWNGRADE", "purchaseStatus": "PendingActive"}
    roku.answer(path("b1"), transaction("B1", **basic, cancelledTransactionIds=["t1"]))
    reading = await store.ask(ours, question("DowngradeSale", "B1", subject="b1"), Posted(), NOW + DAY)
    assert [(one.line, one.also) for one in reading.statements] == [("t1", ("b1",))]
    assert told(reading.statements, NOW + DAY, line) == ["PRODUCT_CHANGE"]
    line = hear(reading.statements, NOW + DAY, line)
    for again in (question("DowngradeCancellation", "T9"), question()):
        later = await store.ask(ours, again, Posted(line=line), NOW + 2 * DAY)
        assert told(later.statements, NOW + 2 * DAY, line) == []


# Money back


REFUND = {"status": 0, "amount": -4.99, "total": -5.49, "currency": "usd", "transactionId": "R1", "purchaseDate": date(NOW)}


async def test_a_refund_is_money_back_of_the_latest_charge(store: RokuPay, roku: Answering, ours: StoreApp) -> None:
    line = await known(store, roku, ours)
    roku.answer("GET /validate-refund/S3CRETKEY/r1", REFUND)
    reading = await store.ask(ours, question("Refund", "R1", NOW), Posted(line=line), NOW + DAY)
    (purchase,) = reading.statements[0].purchases
    assert purchase.refunds == (Refund(identifier="r1", at=NOW, amount=Money(amount=549, currency="USD")),)
    assert told(reading.statements, NOW + DAY, line) == ["CANCELLATION customer_support"]
    assert is_entitled(hear(reading.statements, NOW + DAY, line), NOW + DAY)  # Roku says so still


async def test_a_refund_of_an_earlier_charge_does_not_touch_the_present_one(store: RokuPay, roku: Answering, ours: StoreApp) -> None:
    line = await known(store, roku, ours)
    roku.answer(path("t2"), transaction("T2", purchaseDate=date(ENDS), expirationDate=date(NEXT)))
    line = hear((await store.ask(ours, question("Sale"), Posted(line=line), ENDS + MINUTE)).statements, ENDS + MINUTE, line)
    roku.answer("GET /validate-refund/S3CRETKEY/r1", {**REFUND, "purchaseDate": date(BOUGHT), "total": -2})
    reading = await store.ask(ours, question("Refund", "R1", ENDS + DAY), Posted(line=line), ENDS + DAY)
    given = {one.transaction: [refund.amount.amount for refund in one.refunds] for one in reading.statements[0].purchases}
    assert given == {"t1": [200], "t2": []}
    assert told(reading.statements, ENDS + DAY, line) == ["REFUND customer_support"]


async def test_a_chargeback_its_reversal_and_the_second_one(store: RokuPay, roku: Answering, ours: StoreApp) -> None:
    line = await known(store, roku, ours)
    events = []
    for days, kind in enumerate(("Chargeback", "ChargebackReversed", "SecondChargeback"), start=1):
        now = NOW + days * DAY
        reading = await store.ask(ours, question(kind, f"C{days}", now), Posted(line=line), now)
        events += told(reading.statements, now, line)
        line = hear(reading.statements, now, line)
    assert events == ["CANCELLATION customer_support", "REFUND_REVERSED", "CANCELLATION customer_support"]
    assert [(one.identifier, one.is_reversed) for one in line.held[0].purchase.refunds] == [("t1:chargeback", True), ("t1:second_chargeback", False)]


async def test_a_renewal_and_a_refund_asked_about_together_are_both_told(store: RokuPay, roku: Answering, ours: StoreApp) -> None:
    line = await known(store, roku, ours)
    now = ENDS + DAY
    roku.answer(path("t2"), transaction("T2", purchaseDate=date(ENDS), expirationDate=date(NEXT)))
    roku.answer("GET /validate-refund/S3CRETKEY/r1", {**REFUND, "purchaseDate": date(BOUGHT)})
    hints = "\n".join(str(Hint(type=kind, transaction=one, at=now)) for kind, one in (("Sale", "t2"), ("Refund", "r1"), ("Cancellation", "t9")))
    reading = await store.ask(ours, Question(environment="production", subject="t1", hint=hints), Posted(line=line), now)
    assert sorted(told(reading.statements, now, line)) == ["REFUND customer_support", "RENEWAL"]
    assert [len(one.renewals) for one in reading.statements] == [0, 0, 1]


# Acting


def act(kind: Any, **details: Any) -> Act:
    return Act(act_id="act_1", kind=kind, environment="production", subject="t1", details=details)


async def test_cancelling(store: RokuPay, roku: Answering, ours: StoreApp) -> None:
    roku.answer(path("t1"), transaction(), transaction(cancelled=True))
    roku.answer("POST /cancel-subscription", {"status": 0, "errorMessage": ""})
    for _ in range(2):
        assert await store.act(ours, act("cancel"), Posted(), NOW) == Reading(questions=(Question(environment="production", subject="t1"),))
    (sent,) = [one.json for one in roku.asked if one.method == "POST"]  # the second time it was so already
    assert sent == {
        "partnerAPIKey": "S3CRETKEY",
        "transactionId": "t1",
        "partnerReferenceId": "act_1",
        "cancellationDate": "2026-01-10T12:00:00",
        "dontNotifyUser": False,
    }


@pytest.mark.parametrize(("details", "amount"), [({}, "4.99"), ({"amount": 549}, "4.99"), ({"amount": 110}, "1.00")])
async def test_refunding_asks_for_the_part_before_tax(store: RokuPay, roku: Answering, ours: StoreApp, details: dict[str, int], amount: str) -> None:
    roku.answer(path("t2"), transaction("T2"))
    roku.answer("POST /refund-subscription", {"status": 0, "RefundId": "R-1"})
    reading = await store.act(ours, act("refund", transaction="t2", **details), Posted(), NOW)
    assert reading.questions == (Question(environment="production", subject="t1", hint=f"Refund r1 {to_ms(NOW)}"),)
    assert f'"amount":{amount}'.encode() in roku.asked[-1].raw
    assert roku.asked[-1].json["transactionId"] == "t2"


@pytest.mark.parametrize("details", [{"amount": 0}, {"amount": -1}, {"amount": 1000}])
async def test_no_more_is_refunded_than_was_paid(store: RokuPay, roku: Answering, ours: StoreApp, details: dict[str, int]) -> None:
    roku.answer(path("t1"), transaction())
    with pytest.raises(CannotAct):
        await store.act(ours, act("refund", **details), Posted(), NOW)
    assert all(one.method == "GET" for one in roku.asked)


@pytest.mark.parametrize("kind", ["cancel", "refund"])
async def test_what_roku_refuses_is_said_in_its_words(store: RokuPay, roku: Answering, ours: StoreApp, kind: str) -> None:
    roku.answer(path("t1"), transaction())
    roku.answer(f"POST /{kind}-subscription", FAILED)
    with pytest.raises(CannotAct, match="no such transaction"):
        await store.act(ours, act(kind), Posted(), NOW)


@pytest.mark.parametrize("kind", ["revoke", "extend", "defer", "acknowledge"])
async def test_what_roku_offers_not(store: RokuPay, ours: StoreApp, kind: str) -> None:
    with pytest.raises(CannotAct):
        await store.act(ours, act(kind), Posted(), NOW)


async def test_roku_lists_nothing_and_is_asked_with_an_api_key(store: RokuPay) -> None:
    assert [one async for one in store.missed(ROKU_APP, NOW - DAY, NOW, "production", NOW)] == []
    assert store.can_ask(ROKU_APP) and not store.can_ask(replace(ROKU_APP, secrets={}))
