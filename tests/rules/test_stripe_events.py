"""Webhooks of Stripe's: the signature, judged by Stripe's own library, and what each event asks for or says."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stripe import SignatureVerificationError, WebhookSignature

from perennial.base.errors import Invalid, NotConfigured
from perennial.base.ids import AppId, ProjectId
from perennial.base.reading import noting
from perennial.base.time import EPOCH
from perennial.base.value import replace
from perennial.intake.model import Envelope, Question, Reading, StoreApp, Untrusted
from perennial.providers.stripe import StripeBilling, signature
from perennial.subscriptions.model import Statement
from tests.stripe_objects import MONTH, SECRET, START, at, charge, dispute, event, invoice, line, refund, session, subscription

NOW = at(START + 10)
BODY = event("customer.subscription.updated", subscription())
APP = StoreApp(
    project_id=ProjectId("proj_1"),
    app_id=AppId("app_1"),
    store="stripe",
    bundle_id=None,
    secrets={"api_key": "sk_test_1", "webhook_secret": SECRET},
)
WITHOUT_KEY = replace(APP, secrets={"webhook_secret": SECRET})
STORE = StripeBilling()
NEVER = datetime(9000, 1, 1, tzinfo=UTC)


def header(body: bytes = BODY, *, secret: str = SECRET, when: datetime = NOW) -> str:
    return WebhookSignature.generate_signature_header(body.decode(), secret, int(when.timestamp()))


def opened(body: bytes = BODY, *, app: StoreApp = APP, signed: str | None = None, now: datetime = NOW) -> Envelope:
    return STORE.open(app, body, {"stripe-signature": signed or header(body)}, now)


def stripe_accepts(body: bytes, signed: str, secret: str = SECRET) -> bool:
    """Without its clock: the library asks the machine's."""
    try:
        return WebhookSignature.verify_header(body.decode(), signed, secret)
    except SignatureVerificationError:
        return False


# The signature


def test_what_stripe_signs_is_opened() -> None:
    assert opened() == Envelope(message_id="evt_1", kind="customer.subscription.updated", sent_at=at(START))


def test_what_the_simulated_stripe_signs_stripe_accepts() -> None:
    assert signature.sign(BODY, secret=SECRET, now=NOW) == header()
    assert stripe_accepts(BODY, signature.sign(BODY, secret=SECRET, now=NOW))


SECONDS, GOOD = START + 10, header().partition("v1=")[2]
ACCEPTED = [
    f"t={SECONDS},v1={GOOD}",
    f"t={SECONDS},v1={'0' * 64},v1={GOOD}",
    f"t={SECONDS},v1={GOOD},v0={'0' * 64}",
    f"v1={GOOD},t={SECONDS}",
]
REFUSED = [
    f"t={SECONDS},v0={GOOD}",
    f"t={SECONDS},v1={GOOD[:-1]}",
    f"t={SECONDS},v1={GOOD.upper()}",
    f"t={SECONDS},v1=",
    f"t={SECONDS + 1},v1={GOOD}",
    f"t={SECONDS}",
    f"v1={GOOD}",
    "t=abc,v1=abc",
    f"t=,v1={GOOD}",
    f"t=-1,v1={GOOD}",
    "nonsense",
]


@pytest.mark.parametrize("signed", ACCEPTED)
def test_every_right_spelling_is_accepted_as_by_stripes_library(signed: str) -> None:
    assert opened(signed=signed).message_id == "evt_1"
    assert stripe_accepts(BODY, signed)


@pytest.mark.parametrize("signed", REFUSED)
def test_every_wrong_one_is_refused_as_by_stripes_library(signed: str) -> None:
    with pytest.raises(Untrusted):
        opened(signed=signed)
    assert not stripe_accepts(BODY, signed)


@pytest.mark.parametrize("signed", [f"t={'9' * 40},v1={GOOD}", f"t={SECONDS}," + "v1=0," * 2000 + f"v1={GOOD}", "", "t=٣,v1=x", f"t={SECONDS},v1=é"])
def test_what_is_too_long_or_missing_is_refused_here(signed: str) -> None:
    with pytest.raises(Untrusted):
        STORE.open(APP, BODY, {"stripe-signature": signed}, NOW)


def test_no_header_is_refused() -> None:
    with pytest.raises(Untrusted, match="not sent by Stripe"):
        STORE.open(APP, BODY, {}, NOW)


@pytest.mark.parametrize(("seconds", "is_accepted"), [(-301, False), (-300, True), (0, True), (300, True), (301, False)])
def test_five_minutes_both_ways(seconds: int, is_accepted: bool) -> None:
    now = NOW + timedelta(seconds=seconds)
    if is_accepted:
        assert opened(signed=header(when=NOW), now=now).message_id == "evt_1"
    else:
        with pytest.raises(Untrusted, match="5 minutes"):
            opened(signed=header(when=NOW), now=now)


def test_a_changed_body_or_another_secret_is_refused() -> None:
    for body, signed in ((BODY + b" ", header()), (BODY, header(secret="whsec_other"))):
        with pytest.raises(Untrusted, match="signing secret"):
            STORE.open(APP, body, {"stripe-signature": signed}, NOW)


def test_while_a_secret_is_rolled_both_count() -> None:
    rolled = replace(APP, secrets={"webhook_secret": "whsec_new", "webhook_secret_previous": SECRET})
    assert opened(app=rolled).message_id == "evt_1"
    assert opened(app=rolled, signed=header(secret="whsec_new")).message_id == "evt_1"
    with pytest.raises(Untrusted):
        opened(app=rolled, signed=header(secret="whsec_other"))


def test_an_app_without_a_secret_opens_nothing() -> None:
    with pytest.raises(NotConfigured, match="webhook_secret"):
        opened(app=replace(APP, secrets={"webhook_secret": " "}), signed=header(secret=""))


def test_what_is_stripes_but_no_event_is_kept() -> None:
    for body in (
        b"{}",
        b"[1]",
        b"not json",
        b"\xff",
        b'{"id":"evt_1"}',
        b'{"id":"evt_\\u0000","type":"x"}',
        b'{"id":"' + b"e" * 9000 + b'","type":"x"}',
    ):
        signed = signature.sign(body, secret=SECRET, now=NOW)
        one, two = (STORE.open(APP, body, {"stripe-signature": signed}, NOW) for _ in range(2))
        assert one == two
        assert (one.kind, one.sent_at, len(one.message_id)) == ("unreadable", NOW, 64)
    with pytest.raises(Invalid):
        STORE.read(APP, b"not json", NOW)


@pytest.mark.parametrize(
    ("created", "sent_at"),
    [
        ("9999-12-31T23:59:59-14:00", NOW),  # nothing said later could count before it
        ("0001-01-01T00:00:00+14:00", EPOCH),
        (10**30, NOW),
        (-(10**30), EPOCH),
        (1e400, NOW),
        ("soon", NOW),
        ("\x00", NOW),
        ({"at": 1}, NOW),
        (None, NOW),
    ],
)
def test_an_event_of_any_moment_is_kept(created: object, sent_at: datetime) -> None:
    body = json.dumps({"id": "evt_1", "type": "customer.subscription.updated", "created": created, "data": {"object": subscription()}}).encode()
    assert opened(body, signed=signature.sign(body, secret=SECRET, now=NOW)).sent_at == sent_at
    STORE.read(APP, body, NOW)


def test_an_unknown_status_changes_nothing_of_what_is_known() -> None:
    with noting() as noted:
        reading = STORE.read(WITHOUT_KEY, event("customer.subscription.updated", subscription(status="hibernating")), NOW)
    assert reading.statements == ()
    assert [one.field for one in noted] == ["status"]


@pytest.mark.parametrize(
    ("changes", "price"),
    [
        ({"amount_paid": 2**63}, None),
        ({"amount_paid": 10**30}, None),
        ({"currency": "dollar"}, None),
        ({"currency": None}, None),
        ({"total": 10**40}, 999),
    ],
)
def test_an_amount_out_of_range_leaves_the_price_open_and_the_period_recorded(changes: dict[str, object], price: int | None) -> None:
    with noting() as noted:
        reading = STORE.read(WITHOUT_KEY, event("invoice.paid", invoice(**changes)), NOW)
    [purchase] = reading.statements[0].purchases
    assert (purchase.price.amount if purchase.price else None, purchase.expires_at) == (price, at(START + MONTH))
    assert noted


@pytest.mark.parametrize(("end", "until"), [(253_402_300_799, NEVER), (10**30, NEVER), ("9" * 30, NEVER)])
def test_a_period_that_ends_out_of_range_does_not_end_soon(end: object, until: datetime) -> None:
    reading = STORE.read(WITHOUT_KEY, event("invoice.paid", invoice("in_1", line() | {"period": {"start": START, "end": end}})), NOW)
    assert [one.expires_at for one in reading.statements[0].purchases] == [until]


def test_an_event_of_the_second_api_is_kept_and_says_nothing() -> None:
    body = json.dumps({"id": "evt_9", "object": "v2.core.event", "type": "v2.core.account.updated", "created": "2026-01-01T00:00:00.000Z"}).encode()
    assert opened(body) == Envelope(message_id="evt_9", kind="v2.core.account.updated", sent_at=datetime(2026, 1, 1, tzinfo=UTC))
    assert STORE.read(APP, body, NOW).note == "v2.core.account.updated: changes nothing of what a customer holds"


def test_a_body_too_long_is_not_even_hashed() -> None:
    with pytest.raises(Invalid, match="longer than"):
        STORE.open(APP, b" " * (2 * 1024 * 1024 + 1), {"stripe-signature": header()}, NOW)


# What it asks for

SCHEDULE = {"id": "sub_sched_1", "subscription": "sub_1"}
OLD_INVOICE = {"id": "in_1", "subscription": "sub_1"}
PAYMENT = {"id": "inpay_1", "invoice": "in_1", "payment": {"type": "payment_intent", "payment_intent": "pi_1"}}


@pytest.mark.parametrize(
    ("kind", "about", "subject"),
    [
        ("customer.subscription.created", subscription(), "sub_1"),
        ("customer.subscription.deleted", subscription(status="canceled"), "sub_1"),
        ("customer.subscription.paused", subscription(), "sub_1"),
        ("customer.subscription.pending_update_applied", subscription(), "sub_1"),
        ("subscription_schedule.updated", SCHEDULE, "sub_1"),
        ("subscription_schedule.released", {"id": "sub_sched_1", "subscription": None, "released_subscription": "sub_1"}, "sub_1"),
        ("invoice.paid", invoice(), "sub_1"),
        ("invoice.payment_failed", OLD_INVOICE, "sub_1"),
        ("invoice_payment.paid", PAYMENT, "in_1"),
        ("checkout.session.completed", session(), "cs_test_1"),
        ("checkout.session.async_payment_succeeded", session(mode="subscription"), "cs_test_1"),
        ("charge.refunded", charge("pi_1"), "pi_1"),
        ("charge.refunded", charge("pi_1") | {"payment_intent": None}, "ch_pi_1"),
        ("charge.refunded", charge("pi_1") | {"invoice": "in_1"}, "in_1"),
        ("charge.refund.updated", refund(), "ch_pi_in_1"),
        ("refund.failed", refund(status="failed"), "ch_pi_in_1"),
        ("refund.created", {"id": "re_1"}, "re_1"),
        ("charge.dispute.created", dispute("needs_response"), "pi_in_1"),
        ("charge.dispute.closed", dispute("won"), "pi_in_1"),
    ],
)
def test_an_event_names_what_to_ask_about(kind: str, about: dict[str, Any], subject: str) -> None:
    assert STORE.read(APP, event(kind, about), NOW) == Reading(questions=(Question(environment="sandbox", subject=subject, hint=kind),))


def test_live_events_ask_about_production() -> None:
    (question,) = STORE.read(APP, event("invoice.paid", invoice(), livemode=True), NOW).questions
    assert question.environment == "production"


@pytest.mark.parametrize(
    ("kind", "about"),
    [
        ("invoice.upcoming", invoice()),
        ("invoice.paid", invoice(parent=None)),
        ("charge.succeeded", charge()),
        ("payment_intent.succeeded", {"id": "pi_1"}),
        ("customer.created", {"id": "cus_1"}),
        ("customer.updated", {"id": "cus_1"}),
        ("checkout.session.expired", session()),
        ("account.updated", {"id": "acct_1"}),
        ("something.new", {"id": "x_1"}),
    ],
)
def test_what_changes_nothing_is_noted(kind: str, about: dict[str, Any]) -> None:
    reading = STORE.read(APP, event(kind, about), NOW)
    assert (reading.questions, reading.statements) == ((), ())
    assert reading.note is not None
    assert reading.note.startswith(f"{kind}: ")


def test_a_customer_whose_metadata_changed_may_have_told_who_they_are() -> None:
    said = {"object": {"id": "cus_1"}, "previous_attributes": {"metadata": {"app_user_id": None}}}
    (question,) = STORE.read(APP, event("customer.updated", None, data=said), NOW).questions
    assert question.subject == "cus_1"


def test_events_of_other_accounts_are_not_ours() -> None:
    body = event("invoice.paid", invoice(), account="acct_other")
    assert STORE.read(APP, body, NOW).note == "invoice.paid: of the connected account acct_other, which is not this app's"
    assert STORE.read(replace(APP, settings={"connected_account": "acct_other"}), body, NOW).questions != ()


# What it says where nothing can be asked


def test_without_a_key_a_paid_invoice_is_a_purchase_as_of_its_event() -> None:
    (stated,) = STORE.read(WITHOUT_KEY, event("invoice.paid", invoice()), NOW).statements
    assert [(p.transaction, p.as_of, p.expires_at) for p in stated.purchases] == [("in_1", at(START), at(START + 2_678_400))]
    assert STORE.read(WITHOUT_KEY, event("invoice.payment_failed", invoice(status="open")), NOW).statements == ()


def test_without_a_key_a_subscription_says_how_it_goes_on() -> None:
    (stated,) = STORE.read(WITHOUT_KEY, event("customer.subscription.updated", subscription(cancel_at_period_end=True)), NOW).statements
    assert (stated.purchases, stated.renewals[0].auto_renew, stated.renewals[0].as_of) == ((), False, at(START))


def test_without_a_key_a_checkout_links_its_buyer() -> None:
    assert STORE.read(WITHOUT_KEY, event("checkout.session.completed", session(mode="subscription")), NOW).statements == (
        Statement(store="stripe", environment="sandbox", line="sub_1", purchases=(), app_user_id="ada"),
    )


def test_without_a_key_a_refund_says_nothing() -> None:
    note = STORE.read(WITHOUT_KEY, event("charge.refunded", charge()), NOW).note
    assert note == "charge.refunded of 2026-01-01T00:00:00Z: says nothing without asking, and the app has no api_key"


def test_a_setting_that_cannot_be_is_told() -> None:
    with pytest.raises(Invalid, match="grace, end, keep"):
        STORE.read(replace(WITHOUT_KEY, settings={"past_due": "always"}), BODY, NOW)


# Whatever comes


@settings(deadline=None)
@given(st.binary())
def test_any_body_is_refused_cleanly(body: bytes) -> None:
    for app in (APP, WITHOUT_KEY):
        with pytest.raises(Invalid):
            STORE.read(app, body, NOW)


KINDS = ["customer.subscription.updated", "invoice.paid", "charge.refunded", "checkout.session.completed", "charge.dispute.closed"]
ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.sampled_from([*subscription(), *invoice(), *line()]), inner, max_size=4)),
    max_leaves=6,
)


@settings(deadline=None, max_examples=300)
@given(
    st.sampled_from(KINDS),
    st.sampled_from([subscription(), invoice(), charge(), session()]),
    st.dictionaries(st.sampled_from([*subscription(), *invoice()]), ANYTHING, max_size=3),
)
def test_any_object_is_read_or_refused_cleanly(kind: str, about: dict[str, Any], changes: dict[str, Any]) -> None:
    for app in (APP, WITHOUT_KEY):
        try:
            reading = STORE.read(app, event(kind, about | changes), NOW)
        except Invalid:
            continue
        assert reading.questions or reading.statements or reading.note
