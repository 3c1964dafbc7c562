"""The Amazon Appstore: who may tell us something, what a receipt is worth, and the life of a subscription read from one receipt."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from perennial.base.errors import Invalid, NotConfigured, Unavailable
from perennial.base.money import Money
from perennial.base.reading import decode, noting
from perennial.base.time import to_ms
from perennial.base.value import replace
from perennial.catalog.model import Product
from perennial.intake.model import Act, CannotAct, Envelope, Posted, Question, Reading, StoreApp, Untrusted
from perennial.providers.amazon import AmazonAppstore, read, rvs, sns
from perennial.providers.amazon.payload import Receipt
from perennial.subscriptions.model import Line, Offer, Purchase, Renewal, Revocation, Statement
from perennial.subscriptions.rules import is_entitled, status
from tests.answering import Answering
from tests.other_stores import CERTIFICATE_PATH, CERTIFICATE_URL, TOPIC, YEAR, app, hear, rtn, sns_certificate, sns_message, told

NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)
BOUGHT, ENDS, NEXT = (datetime(2026, month, day, tzinfo=UTC) for month, day in ((1, 1), (2, 1), (3, 1)))
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
NEVER = datetime(9000, 1, 1, tzinfo=UTC)
USER, RECEIPT = "amzn-user=", "rcpt-1:3:11"
LINE = f"{RECEIPT}@{USER}"
RVS = "/version/1.0/verifyReceiptId/developer/S3CRET/user/{user}/receiptId/{receipt}"
PRO = Product(
    product_id="prod_1",
    app_id=app("amazon").app_id,
    store_identifier="com.example.pro.month",
    type="subscription",
    created_at=BOUGHT,
    prices=(Money(amount=499, currency="USD"),),
)
POSTED = Posted(products=(PRO,))


def receipt(**changes: object) -> dict[str, Any]:
    return {
        "receiptId": RECEIPT,
        "productId": "com.example.pro",
        "productType": "SUBSCRIPTION",
        "termSku": "com.example.pro.month",
        "term": "1 Month",
        "purchaseDate": to_ms(BOUGHT),
        "renewalDate": to_ms(ENDS),
        "cancelDate": None,
        "cancelReason": None,
        "autoRenewing": True,
        "freeTrialEndDate": None,
        "gracePeriodEndDate": None,
        "deferredDate": None,
        "deferredSku": None,
        "countryCode": "US",
        "testTransaction": False,
        **changes,
    }


def parsed(**changes: Any) -> Receipt:
    return msgspec.convert(receipt(**changes), Receipt)


def stated(now: datetime = NOW, line: Line | None = None, **changes: Any) -> Statement:
    return read.statement(AMAZON_APP, parsed(**changes), USER, replace(POSTED, line=line), now, is_sandbox=False)


def path(user: str = USER, receipt_id: str = RECEIPT, *, is_sandbox: bool = False) -> str:
    whole = RVS.format(user=quote(user, safe=""), receipt=quote(receipt_id, safe=""))
    return f"GET /sandbox{whole.replace('S3CRET', rvs.SANDBOX_SECRET)}" if is_sandbox else f"GET {whole}"


AMAZON_APP = app("amazon", bundle_id="com.example.app", settings={"sns_topic_arn": TOPIC}, secrets={"shared_secret": "S3CRET"})


@pytest.fixture
def amazon() -> Iterator[Answering]:
    server = Answering()
    server.answer(f"GET {CERTIFICATE_PATH}", sns_certificate(NOW - YEAR, NOW + YEAR))
    yield server
    server.close()


@pytest.fixture
async def store(amazon: Answering) -> AsyncIterator[AmazonAppstore]:
    asked = AmazonAppstore(sns_address=amazon.address)
    yield asked
    await asked.close()


@pytest.fixture
def ours(amazon: Answering) -> StoreApp:
    return replace(AMAZON_APP, api_base_url=amazon.address)


# Who sent it


@pytest.mark.parametrize("version", ["1", "2"])
async def test_a_notification_that_sns_signed_is_taken(store: AmazonAppstore, version: str) -> None:
    body = sns_message(rtn("SUBSCRIPTION_PURCHASED", NOW), NOW, version=version)
    await store.prepare({}, body)
    assert store.open(AMAZON_APP, body, {}, NOW) == Envelope(
        message_id="22b80b92-0000-4c2c-8f9d-38a913c2f0da", kind="SUBSCRIPTION_PURCHASED", sent_at=NOW
    )
    assert store.read(AMAZON_APP, body, NOW) == Reading(questions=(Question(environment="production", subject=LINE, hint="SUBSCRIPTION_PURCHASED"),))


async def test_the_certificate_is_fetched_once(store: AmazonAppstore, amazon: Answering) -> None:
    body = sns_message(rtn("SUBSCRIPTION_RENEWED", NOW), NOW)
    await store.prepare({}, body)
    await store.prepare({}, body)
    assert amazon.calls == [f"GET {CERTIFICATE_PATH}"]


async def test_whoever_invents_addresses_has_us_ask_sns_seldom(store: AmazonAppstore, amazon: Answering) -> None:
    """Nothing of a message is verified yet when the certificate it names is asked for."""
    invented = [f"https://sns.x{number}.amazonaws.com/SimpleNotificationService-1.pem" for number in range(100)]
    bodies = [sns_message(rtn("SUBSCRIPTION_RENEWED", NOW), NOW, SigningCertURL=url) for url in invented]
    refused = await asyncio.gather(*(store.prepare({}, body) for body in bodies), return_exceptions=True)
    assert len(amazon.calls) == sns.MOST_FETCHES
    assert {type(one) for one in refused if one is not None} == {Unavailable}  # SNS sends a genuine one again


async def test_the_same_certificate_is_waited_for_by_all(store: AmazonAppstore, amazon: Answering) -> None:
    body = sns_message(rtn("SUBSCRIPTION_RENEWED", NOW), NOW)
    await asyncio.gather(*(store.prepare({}, body) for _ in range(50)))
    assert amazon.calls == [f"GET {CERTIFICATE_PATH}"]


@pytest.mark.parametrize(
    "url",
    [
        "http://sns.us-east-1.amazonaws.com/SimpleNotificationService-1.pem",
        "https://sns.us-east-1.amazonaws.com.evil.example/SimpleNotificationService-1.pem",
        "https://sns.us-east-1.amazonaws.com@evil.example/SimpleNotificationService-1.pem",
        "https://evil.example/sns.us-east-1.amazonaws.com/SimpleNotificationService-1.pem",
        "https://sns.us-east-1.amazonaws.com:8443/SimpleNotificationService-1.pem",
        "https://s3.us-east-1.amazonaws.com/SimpleNotificationService-1.pem",
        "https://sns.us-east-1.amazonaws.com/bucket/mine.pem",
        "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-1.pem?x=1",
        "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-1.pem\n",
        "https://[/SimpleNotificationService-1.pem",
    ],
)
async def test_a_certificate_from_elsewhere_is_neither_fetched_nor_believed(store: AmazonAppstore, amazon: Answering, url: str) -> None:
    body = sns_message(rtn("SUBSCRIPTION_RENEWED", NOW), NOW, SigningCertURL=url)
    await store.prepare({}, body)
    assert amazon.calls == []
    with pytest.raises(Untrusted, match="does not lie at Amazon SNS"):
        store.open(AMAZON_APP, body, {}, NOW)


def test_chinas_hosts_are_sns_too() -> None:
    assert sns.is_certificate_address("https://sns.cn-north-1.amazonaws.com.cn/SimpleNotificationService-0a.pem")


@pytest.mark.parametrize(
    ("body", "match"),
    [
        (sns_message(rtn("SUBSCRIPTION_RENEWED", NOW), NOW, key="forged"), "does not fit"),
        (sns_message(rtn("SUBSCRIPTION_RENEWED", NOW), NOW).replace(b"SUBSCRIPTION_RENEWED", b"SUBSCRIPTION_EXPIRED"), "does not fit"),
        (sns_message(rtn("SUBSCRIPTION_RENEWED", NOW), NOW, TopicArn="arn:aws:sns:us-east-1:1:other"), "of the topic"),
        (sns_message(rtn("SUBSCRIPTION_RENEWED", NOW, appPackageName="com.other"), NOW), "com.other"),
        (sns_message(rtn("SUBSCRIPTION_RENEWED", NOW), NOW - timedelta(minutes=71)), "played back"),
        (sns_message(rtn("SUBSCRIPTION_RENEWED", NOW), NOW + timedelta(minutes=6)), "played back"),
        (sns_message(rtn("SUBSCRIPTION_RENEWED", NOW), NOW).replace(b'"SignatureVersion": "1"', b'"SignatureVersion": "3"'), "signature version"),
        (sns_message(rtn("SUBSCRIPTION_RENEWED", NOW), NOW).replace(b'"SignatureVersion": "1"', b'"SignatureVersion": "2"'), "does not fit"),
    ],
)
async def test_what_sns_did_not_sign_for_us_now_is_untrusted(store: AmazonAppstore, body: bytes, match: str) -> None:
    await store.prepare({}, body)
    with pytest.raises(Untrusted, match=match):
        store.open(AMAZON_APP, body, {}, NOW)


@pytest.mark.parametrize("field", ["MessageId", "Subject", "Timestamp", "TopicArn"])
@pytest.mark.parametrize("line", ["x\nSubject\ny", "x\r\ny", "\n", "\x00"])
async def test_a_field_with_a_line_break_could_move_the_signed_borders(store: AmazonAppstore, field: str, line: str) -> None:
    body = sns_message(rtn("SUBSCRIPTION_RENEWED", NOW), NOW, **{field: line})
    await store.prepare({}, body)
    with pytest.raises(Invalid, match=r"line break|topic"):
        store.open(AMAZON_APP, body, {}, NOW)


async def test_two_messages_of_one_signed_text_are_not_both_believed(store: AmazonAppstore) -> None:
    """The same signature fits both: what was said and its subject, and one text that holds both."""
    genuine = json.loads(sns_message("{}", NOW, MessageId="id-1", Subject="about it"))
    forged = {**genuine, "MessageId": "id-1\nSubject\nabout it"}
    del forged["Subject"]
    for body in (genuine, forged):
        await store.prepare({}, json.dumps(body).encode())
    assert store.open(AMAZON_APP, json.dumps(genuine).encode(), {}, NOW).message_id == "id-1"
    with pytest.raises(Invalid, match="MessageId"):
        store.open(AMAZON_APP, json.dumps(forged).encode(), {}, NOW)


async def test_a_message_of_several_lines_is_one(store: AmazonAppstore) -> None:
    body = sns_message(json.dumps(rtn("SUBSCRIPTION_RENEWED", NOW), indent=2), NOW)
    await store.prepare({}, body)
    assert store.open(AMAZON_APP, body, {}, NOW).kind == "SUBSCRIPTION_RENEWED"


@pytest.mark.parametrize(
    ("changes", "noted", "stated_"),
    [
        ({"productType": "RENTAL"}, ["productType"], {"kind": "subscription"}),
        ({"productType": None}, ["productType"], {"kind": "subscription"}),
        ({"renewalDate": 253_402_300_799_000}, [], {"expires_at": NEVER}),
        ({"renewalDate": 10**30}, [], {"expires_at": NEVER}),
        ({"purchaseDate": -62_135_596_800_000}, [], {"purchased_at": BOUGHT, "expires_at": ENDS}),
        ({"quantity": 2**31}, [], {}),
        ({"quantity": "lots"}, ["quantity"], {}),
        ({"countryCode": {"a": 1}}, ["countryCode"], {"country": None}),
        ({"cancelReason": 9}, [], {}),
    ],
)
def test_what_is_unknown_or_out_of_range_costs_nobody_a_purchase(changes: dict[str, Any], noted: list[str], stated_: dict[str, Any]) -> None:
    with noting() as unread:
        found = decode(json.dumps(receipt(**changes)), Receipt)
        [purchase] = read.statement(AMAZON_APP, found, USER, POSTED, NOW, is_sandbox=False).purchases
    assert [one.field for one in unread] == noted
    assert {name: getattr(purchase, name) for name in stated_} == stated_


async def test_a_subject_is_signed_too(store: AmazonAppstore) -> None:
    body = sns_message(rtn("SUBSCRIPTION_RENEWED", NOW), NOW, Subject="hello")
    await store.prepare({}, body)
    store.open(AMAZON_APP, body, {}, NOW)
    with pytest.raises(Untrusted):
        store.open(AMAZON_APP, body.replace(b'"hello"', b'"hallo"'), {}, NOW)


async def test_an_expired_certificate_is_not_believed(store: AmazonAppstore, amazon: Answering) -> None:
    amazon.answer(f"GET {CERTIFICATE_PATH}", sns_certificate(NOW - YEAR, NOW - DAY))
    body = sns_message(rtn("SUBSCRIPTION_RENEWED", NOW), NOW)
    await store.prepare({}, body)
    with pytest.raises(Untrusted, match="not valid now"):
        store.open(AMAZON_APP, body, {}, NOW)


async def test_a_certificate_that_cannot_be_had_now_is_asked_for_again(store: AmazonAppstore, amazon: Answering) -> None:
    body = sns_message(rtn("SUBSCRIPTION_RENEWED", NOW), NOW)
    amazon.answer(f"GET {CERTIFICATE_PATH}", b"", status=503)
    with pytest.raises(Unavailable):
        await store.prepare({}, body)
    amazon.answer(f"GET {CERTIFICATE_PATH}", b"", status=302, Location="https://evil.example/x.pem")
    await store.prepare({}, body)  # redirects are not followed
    with pytest.raises(Untrusted, match="no certificate"):
        store.open(AMAZON_APP, body, {}, NOW)
    amazon.answer(f"GET {CERTIFICATE_PATH}", sns_certificate(NOW - YEAR, NOW + YEAR))
    await store.prepare({}, body)
    assert store.open(AMAZON_APP, body, {}, NOW).kind == "SUBSCRIPTION_RENEWED"


async def test_an_app_without_a_topic_takes_nothing(store: AmazonAppstore) -> None:
    body = sns_message(rtn("SUBSCRIPTION_RENEWED", NOW), NOW)
    await store.prepare({}, body)
    with pytest.raises(NotConfigured, match="sns_topic_arn"):
        store.open(replace(AMAZON_APP, settings={}), body, {}, NOW)


async def test_what_amazon_sends_but_we_cannot_read_is_kept(store: AmazonAppstore) -> None:
    """Amazon's own sample has a trailing comma."""
    body = sns_message('{"notificationType": "SUBSCRIPTION_RENEWED",}', NOW)
    await store.prepare({}, body)
    assert store.open(AMAZON_APP, body, {}, NOW).kind == "Notification"
    with pytest.raises(Invalid, match="not a real-time notification"):
        store.read(AMAZON_APP, body, NOW)


# Subscribing to the topic


CONFIRM = f"https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=abc"


async def test_a_subscription_to_the_topic_is_confirmed_once_its_message_was_verified(
    store: AmazonAppstore, amazon: Answering, ours: StoreApp
) -> None:
    body = sns_message("You have chosen to subscribe", NOW, Type="SubscriptionConfirmation", SubscribeURL=CONFIRM, Token="abc")
    await store.prepare({}, body)
    assert store.open(ours, body, {}, NOW).kind == "SubscriptionConfirmation"
    (question,) = store.read(ours, body, NOW).questions
    assert question == Question(environment="production", subject=f"confirm:{CONFIRM}")
    amazon.answer("GET /", b"<ok/>")
    assert (await store.ask(ours, question, Posted(), NOW)).note == "the subscription to the topic is confirmed"
    assert amazon.asked[-1].query == {"Action": "ConfirmSubscription", "TopicArn": TOPIC, "Token": "abc"}


@pytest.mark.parametrize(
    "url",
    [
        CONFIRM.replace("sns.us-east-1.amazonaws.com", "evil.example"),
        CONFIRM.replace("ConfirmSubscription", "Publish"),
        CONFIRM.replace(TOPIC, "arn:aws:sns:us-east-1:1:other"),
        CONFIRM.replace("https", "http"),
    ],
)
async def test_nothing_else_is_called_to_confirm(store: AmazonAppstore, amazon: Answering, ours: StoreApp, url: str) -> None:
    with pytest.raises(Invalid):
        await store.ask(ours, Question(environment="production", subject=f"confirm:{url}"), Posted(), NOW)
    assert amazon.calls == []


async def test_being_unsubscribed_is_only_noted(store: AmazonAppstore) -> None:
    body = sns_message("You have been unsubscribed", NOW, Type="UnsubscribeConfirmation", SubscribeURL=CONFIRM, Token="abc")
    assert store.read(AMAZON_APP, body, NOW).questions == ()


# Asking what a receipt is worth


async def test_a_receipt_is_asked_for_with_every_part_quoted_and_the_secret_in_no_log(
    store: AmazonAppstore, amazon: Answering, ours: StoreApp, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    amazon.answer(path("u/=:1", "2:a=-_"), receipt(receiptId="2:a=-_"))
    reading = await store.read_receipt(ours, Posted(token="2:a=-_", store_user_id="u/=:1", products=(PRO,)), NOW)
    (statement,) = reading.statements
    assert (statement.line, statement.environment) == ("2:a=-_@u/=:1", "production")
    assert "S3CRET" not in caplog.text
    assert "verifyReceiptId" in caplog.text


@pytest.mark.parametrize("code", [400, 497])
async def test_a_receipt_of_nobody_or_another_user_proves_nothing(store: AmazonAppstore, amazon: Answering, ours: StoreApp, code: int) -> None:
    amazon.answer(path(), {}, status=code)
    with pytest.raises(Invalid, match="no such receipt"):
        await store.read_receipt(ours, Posted(token=RECEIPT, store_user_id=USER), NOW)
    reading = await store.ask(ours, Question(environment="production", subject=LINE), Posted(), NOW)
    assert (reading.statements, reading.note) == ((), f"Amazon says of {RECEIPT}: unknown")


@pytest.mark.parametrize(("code", "match"), [(429, "429"), (500, "500"), (496, "shared_secret"), (302, "302")])
async def test_trouble_that_may_pass_is_tried_again(store: AmazonAppstore, amazon: Answering, ours: StoreApp, code: int, match: str) -> None:
    amazon.answer(path(), {}, status=code)
    with pytest.raises(Unavailable, match=match) as caught:
        await store.read_receipt(ours, Posted(token=RECEIPT, store_user_id=USER), NOW)
    assert "S3CRET" not in str(caught.value)


async def test_a_server_that_does_not_answer_is_unavailable_and_no_secret_is_told(store: AmazonAppstore, ours: StoreApp) -> None:
    with pytest.raises(Unavailable) as caught:
        await store.read_receipt(replace(ours, api_base_url="http://127.0.0.1:1"), Posted(token=RECEIPT, store_user_id=USER), NOW)
    assert "S3CRET" not in repr(caught.value) and caught.value.__cause__ is None


async def test_without_a_user_id_nothing_is_asked(store: AmazonAppstore, amazon: Answering, ours: StoreApp) -> None:
    with pytest.raises(Invalid, match="store_user_id"):
        await store.read_receipt(ours, Posted(token=RECEIPT), NOW)
    assert amazon.calls == []


async def test_the_sandbox_is_asked_only_where_the_app_says_so_and_never_with_the_secret(
    store: AmazonAppstore, amazon: Answering, ours: StoreApp
) -> None:
    amazon.answer(path(), {}, status=400)
    amazon.answer(path(is_sandbox=True), receipt())
    with pytest.raises(Invalid):
        await store.read_receipt(ours, Posted(token=RECEIPT, store_user_id=USER), NOW)
    assert amazon.calls == [path()]
    tester = replace(ours, settings={**ours.settings, "rvs_sandbox": "yes"})
    (statement,) = (await store.read_receipt(tester, Posted(token=RECEIPT, store_user_id=USER), NOW)).statements
    assert statement.environment == "sandbox"
    reading = await store.ask(tester, Question(environment="production", subject=LINE), Posted(), NOW)
    assert reading.statements == ()  # what is of production is never looked for in the sandbox
    assert amazon.calls == [path(), path(), path(is_sandbox=True), path()]


@pytest.mark.parametrize("mark", ["testTransaction", "betaProduct"])
def test_what_amazon_marks_as_a_test_is_of_the_sandbox(mark: str) -> None:
    assert stated(**{mark: True}).environment == "sandbox"


# What a receipt states


def test_a_first_period() -> None:
    transaction = f"{RECEIPT}#1769904000"
    assert stated() == Statement(
        store="amazon",
        environment="production",
        line=LINE,
        purchases=(
            Purchase(
                transaction=transaction,
                product="com.example.pro.month",
                kind="subscription",
                purchased_at=BOUGHT,
                expires_at=ENDS,
                as_of=NOW,
                is_first=True,
                is_renewal=False,
                price=Money(amount=499, currency="USD"),
                country="US",
            ),
        ),
        renewals=(Renewal(as_of=NOW, transaction=transaction, auto_renew=True),),
        original_purchased_at=BOUGHT,
    )


def test_a_renewal_begins_where_the_last_period_ended_and_has_a_name_of_its_own() -> None:
    line = hear([stated()], NOW)
    (purchase,) = stated(ENDS + MINUTE, line, renewalDate=to_ms(NEXT)).purchases
    assert (purchase.transaction, purchase.purchased_at, purchase.expires_at) == (f"{RECEIPT}#1772323200", ENDS, NEXT)
    assert (purchase.is_first, purchase.is_renewal) == (False, True)


def test_a_period_has_the_same_name_and_beginning_whether_the_line_is_known_or_not() -> None:
    """Two who ask at once, or a restore on another device, must not make two charges of one."""
    line = hear([stated()], NOW)
    known, unknown = (stated(ENDS + MINUTE, one, renewalDate=to_ms(NEXT)).purchases for one in (line, None))
    assert known == unknown


@pytest.mark.parametrize(("bought", "ends", "begins"), [((1, 31), (2, 28), (1, 31)), ((1, 31), (3, 31), (2, 28)), ((1, 31), (4, 30), (3, 31))])
def test_month_ends_return_to_their_anchor(bought: Any, ends: Any, begins: Any) -> None:
    dates = {"purchaseDate": to_ms(datetime(2026, *bought, tzinfo=UTC)), "renewalDate": to_ms(datetime(2026, *ends, tzinfo=UTC))}
    (purchase,) = stated(datetime(2026, *ends, tzinfo=UTC) - DAY, **dates).purchases
    assert purchase.purchased_at == datetime(2026, *begins, tzinfo=UTC)


def test_auto_renew_off_keeps_the_last_known_end() -> None:
    line = hear([stated()], NOW)
    later = NOW + DAY
    off = stated(later, line, renewalDate=None, autoRenewing=False)
    assert [(one.transaction, one.expires_at) for one in off.purchases] == [(f"{RECEIPT}#1769904000", ENDS)]
    assert off.renewals == (Renewal(as_of=later, transaction=f"{RECEIPT}#1769904000", auto_renew=False, off_reason="unsubscribe"),)
    assert is_entitled(hear([off], later, line), ENDS - MINUTE)


def test_first_seen_with_auto_renew_off_the_end_is_counted_from_the_purchase() -> None:
    (purchase,) = stated(ENDS + DAY, renewalDate=None, autoRenewing=False).purchases
    assert (purchase.purchased_at, purchase.expires_at) == (ENDS, NEXT)
    with pytest.raises(Invalid, match="does not tell it"):
        stated(ENDS + DAY, renewalDate=None, autoRenewing=False, term="for a while")


def test_a_trial_has_no_price_and_converts_into_a_renewal() -> None:
    trial_ends = BOUGHT + 14 * DAY
    trial = stated(renewalDate=to_ms(trial_ends), freeTrialEndDate=to_ms(trial_ends))
    assert [(one.period_type, one.price, one.expires_at) for one in trial.purchases] == [("trial", None, trial_ends)]
    line = hear([trial], NOW)
    after = trial_ends + MINUTE
    paid = stated(after, line, renewalDate=to_ms(trial_ends + 31 * DAY), freeTrialEndDate=to_ms(trial_ends))
    assert [(one.period_type, one.purchased_at, one.is_renewal) for one in paid.purchases] == [("normal", trial_ends, True)]
    assert told([paid], after, line) == ["RENEWAL"]


@pytest.mark.parametrize(
    ("promotion", "period_type", "kind"),
    [
        ("Introductory Price - All Customers", "intro", "introductory"),
        ("Promotional Price - Lapsed Customers", "normal", "win_back"),
        ("Retention Offer", "normal", "promotional"),
    ],
)
def test_a_promotion_in_progress_is_an_offer_at_a_price_we_do_not_know(promotion: str, period_type: str, kind: str) -> None:
    (purchase,) = stated(promotions=[{"promotionType": promotion, "promotionStatus": "InProgress"}]).purchases
    assert (purchase.period_type, purchase.offer, purchase.price) == (period_type, Offer(kind=kind), None)
    (queued,) = stated(promotions=[{"promotionType": promotion, "promotionStatus": "Queued"}]).purchases
    assert (queued.period_type, queued.offer) == ("normal", None)


def test_a_price_is_taken_from_the_catalog_only_where_there_is_one() -> None:
    two = replace(PRO, prices=(Money(amount=499, currency="USD"), Money(amount=449, currency="EUR")))
    for products in ((), (two,)):
        (purchase,) = read.statement(AMAZON_APP, parsed(), USER, Posted(products=products), NOW, is_sandbox=False).purchases
        assert purchase.price is None


@pytest.mark.parametrize(("kind", "ours"), [("ENTITLED", "non_consumable"), ("CONSUMABLE", "consumable")])
def test_one_time_purchases(kind: str, ours: str) -> None:
    bought = stated(productType=kind, renewalDate=None, termSku=None, term=None)
    assert [(one.transaction, one.kind, one.product, one.expires_at, one.revocation) for one in bought.purchases] == [
        (RECEIPT, ours, "com.example.pro", None, None)
    ]
    assert bought.renewals == ()
    cancelled = stated(productType=kind, renewalDate=None, cancelDate=to_ms(NOW - DAY), cancelReason=1)
    assert cancelled.purchases[0].revocation == Revocation(at=NOW - DAY, refunded=True)


# The life of a subscription: each signal, and what it comes to


LIVES: list[tuple[str, dict[str, Any], datetime, list[str]]] = [
    ("SUBSCRIPTION_RENEWED", {"renewalDate": to_ms(NEXT)}, ENDS + MINUTE, ["RENEWAL"]),
    ("SUBSCRIPTION_AUTO_RENEWAL_OFF", {"renewalDate": None, "autoRenewing": False}, NOW + DAY, ["CANCELLATION unsubscribe"]),
    ("SUBSCRIPTION_SCHEDULED_TO_END", {"renewalDate": None, "autoRenewing": False}, NOW + DAY, ["CANCELLATION unsubscribe"]),
    ("SUBSCRIPTION_IN_GRACE_PERIOD", {"gracePeriodEndDate": to_ms(ENDS + 5 * DAY)}, ENDS + MINUTE, ["BILLING_ISSUE", "CANCELLATION billing_error"]),
    ("SUBSCRIPTION_OUT_OF_GRACE_PERIOD", {"renewalDate": to_ms(NEXT)}, ENDS + 2 * DAY, ["RENEWAL"]),
    (
        "SUBSCRIPTION_OUT_OF_GRACE_PERIOD",
        {"renewalDate": None, "autoRenewing": False, "cancelDate": to_ms(ENDS + 5 * DAY), "cancelReason": 2},
        ENDS + 6 * DAY,
        ["EXPIRATION billing_error"],
    ),
    ("SUBSCRIPTION_MODIFIED_DEFERRED", {"deferredSku": "com.example.basic", "deferredDate": to_ms(ENDS)}, NOW + DAY, ["PRODUCT_CHANGE"]),
    ("SUBSCRIPTION_CANCELLED", {"cancelDate": to_ms(NOW), "cancelReason": 2}, NOW + DAY, ["EXPIRATION customer_support"]),
    ("SUBSCRIPTION_CANCELLED", {"renewalDate": None, "cancelDate": to_ms(ENDS), "cancelReason": 1}, ENDS + MINUTE, ["EXPIRATION unsubscribe"]),
    ("SUBSCRIPTION_EXPIRED", {"renewalDate": None, "cancelDate": to_ms(ENDS), "cancelReason": 1}, ENDS + MINUTE, ["EXPIRATION unsubscribe"]),
    ("SUBSCRIPTION_EXPIRED", {"renewalDate": None, "cancelDate": to_ms(ENDS), "cancelReason": 2}, ENDS + MINUTE, ["EXPIRATION billing_error"]),
]


@pytest.mark.parametrize(("kind", "changes", "now", "events"), LIVES)
def test_what_a_notification_comes_to_once_its_receipt_was_read(kind: str, changes: dict[str, Any], now: datetime, events: list[str]) -> None:
    line = hear([stated()], NOW)
    assert told([stated(now, line, **changes)], now, line) == events
    heard = hear([stated(now, line, **changes)], now, line)
    assert told([stated(now + MINUTE, heard, **changes)], now + MINUTE, heard) == []  # and once more: nothing


def test_a_purchase_is_told_once() -> None:
    line = hear([replace(stated(), purchases=())], NOW)
    assert told([stated()], NOW, line) == ["INITIAL_PURCHASE"]


def test_auto_renew_on_again() -> None:
    line = hear([stated()], NOW)
    off = hear([stated(NOW + DAY, line, renewalDate=None, autoRenewing=False)], NOW + DAY, line)
    assert told([stated(NOW + 2 * DAY, off)], NOW + 2 * DAY, off) == ["UNCANCELLATION"]


def test_grace_gives_access_until_its_end_and_no_longer() -> None:
    line = hear([stated()], NOW)
    failing = hear([stated(ENDS + MINUTE, line, gracePeriodEndDate=to_ms(ENDS + 5 * DAY))], ENDS + MINUTE, line)
    assert status(failing, ENDS + DAY) == "in_grace_period"
    assert is_entitled(failing, ENDS + 5 * DAY - MINUTE)
    assert not is_entitled(failing, ENDS + 5 * DAY)


def test_access_ends_when_the_system_cancels() -> None:
    line = hear([stated()], NOW)
    cut = hear([stated(NOW + DAY, line, cancelDate=to_ms(NOW), cancelReason=2)], NOW + DAY, line)
    assert cut.held[0].purchase.revocation == Revocation(at=NOW, refunded=False)
    assert is_entitled(cut, NOW - MINUTE) and not is_entitled(cut, NOW)


def test_the_deferred_product_is_withdrawn() -> None:
    line = hear([stated()], NOW)
    scheduled = hear([stated(NOW + DAY, line, deferredSku="com.example.basic")], NOW + DAY, line)
    assert scheduled.told.next_product == "com.example.basic"
    again = hear([stated(NOW + 2 * DAY, scheduled)], NOW + 2 * DAY, scheduled)
    assert again.told.next_product is None


# A change of product is another receipt


async def test_a_change_of_product_joins_the_receipts_into_one_line(store: AmazonAppstore, amazon: Answering, ours: StoreApp) -> None:
    line = hear([stated()], NOW)
    body = sns_message(rtn("SUBSCRIPTION_MODIFIED_IMMEDIATE", NOW, receiptId="rcpt-2", relatedReceipts={"cancelledReceiptId": RECEIPT}), NOW)
    new, old = store.read(ours, body, NOW).questions
    assert new == Question(environment="production", subject=f"rcpt-2@{USER}", hint=f"SUBSCRIPTION_MODIFIED_IMMEDIATE replaces {RECEIPT}")
    assert old == Question(environment="production", subject=LINE, hint="SUBSCRIPTION_MODIFIED_IMMEDIATE")
    changed_at = NOW - MINUTE
    amazon.answer(path(receipt_id="rcpt-2"), receipt(receiptId="rcpt-2", termSku="com.example.gold.month", purchaseDate=to_ms(changed_at)))
    amazon.answer(path(), receipt(cancelDate=to_ms(changed_at), cancelReason=4, autoRenewing=False))
    (gold,) = (await store.ask(ours, new, Posted(), NOW)).statements
    assert (gold.line, gold.also) == (f"rcpt-2@{USER}", (LINE,))
    assert told([gold], NOW, line) == ["PRODUCT_CHANGE", "INITIAL_PURCHASE"]
    both = hear([gold], NOW, line)
    later = await store.ask(ours, old, Posted(line=both), NOW + MINUTE)
    assert [one.line for one in later.statements] == [LINE, f"rcpt-2@{USER}"]  # the line lives on the newer receipt, so it is asked too
    assert told(later.statements, NOW + MINUTE, both) == []
    assert is_entitled(hear(later.statements, NOW + MINUTE, both), ENDS - MINUTE)


# Gone


async def test_a_receipt_that_is_kept_no_more_ends_now(store: AmazonAppstore, amazon: Answering, ours: StoreApp) -> None:
    line = hear([stated()], NOW)
    amazon.answer(path(), {}, status=410)
    later = NOW + DAY
    reading = await store.ask(ours, Question(environment="production", subject=LINE), Posted(line=line), later)
    gone = hear(reading.statements, later, line)
    assert is_entitled(gone, later - MINUTE) and not is_entitled(gone, later)
    assert told(reading.statements, later, line) == ["EXPIRATION unknown"]
    again = await store.ask(ours, Question(environment="production", subject=LINE), Posted(line=gone), later + DAY)
    assert told(again.statements, later + DAY, gone) == []


async def test_a_one_time_receipt_that_is_kept_no_more_was_refunded(store: AmazonAppstore, amazon: Answering, ours: StoreApp) -> None:
    line = hear([stated(productType="ENTITLED", renewalDate=None)], NOW)
    amazon.answer(path(), {}, status=410)
    reading = await store.ask(ours, Question(environment="production", subject=LINE), Posted(line=line), NOW + DAY)
    assert told(reading.statements, NOW + DAY, line) == ["CANCELLATION customer_support"]


async def test_a_receipt_nobody_knew_is_not_made_up(store: AmazonAppstore, amazon: Answering, ours: StoreApp) -> None:
    amazon.answer(path(), {}, status=410)
    assert (await store.ask(ours, Question(environment="production", subject=LINE), Posted(), NOW)).statements == ()


# The rest


@pytest.mark.parametrize("kind", ["cancel", "refund", "revoke", "extend", "defer", "acknowledge"])
async def test_amazon_lets_us_do_nothing(store: AmazonAppstore, kind: Any) -> None:
    with pytest.raises(CannotAct):
        await store.act(AMAZON_APP, Act(act_id="act_1", kind=kind, environment="production", subject=LINE), Posted(), NOW)


async def test_amazon_remembers_nothing(store: AmazonAppstore) -> None:
    assert [one async for one in store.missed(AMAZON_APP, NOW - DAY, NOW, "production", NOW)] == []


def test_asking_takes_the_shared_secret(store: AmazonAppstore) -> None:
    assert store.can_ask(AMAZON_APP)
    assert not store.can_ask(replace(AMAZON_APP, secrets={}))


def test_the_certificates_address_is_the_one_in_the_message() -> None:
    assert json.loads(sns_message({}, NOW))["SigningCertURL"] == CERTIFICATE_URL
