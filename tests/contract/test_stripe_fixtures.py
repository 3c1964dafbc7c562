"""Real and public Stripe data, judged as its index says, and Stripe's own library as the judge of signatures."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from stripe import SignatureVerificationError, WebhookSignature

from perennial.base.ids import AppId, ProjectId
from perennial.base.money import Money
from perennial.intake.model import Question, StoreApp, Untrusted
from perennial.providers.stripe import StripeBilling, payload
from perennial.providers.stripe.accounts import moment
from perennial.providers.stripe.payload import id_of
from perennial.providers.stripe.read import subscription_statements
from perennial.providers.stripe.slots import Found

FOLDER = Path(__file__).parents[2].parent / "shared/fixtures/stores"
NOW = datetime(2026, 6, 1, tzinfo=UTC)
STORE = StripeBilling()

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the public store samples are not beside the project (../shared/fixtures/stores)")


def indexed(kind: str) -> list[str]:
    """The paths of the index's Stripe samples whose path contains `kind`."""
    if not FOLDER.is_dir():
        return []
    return sorted(
        one["path"] for one in json.loads((FOLDER / "index.json").read_bytes()) if one["path"].startswith("stripe/") and kind in one["path"]
    )


def content(path: str) -> Any:
    return json.loads((FOLDER / path).read_bytes())


def app(**secrets: str) -> StoreApp:
    return StoreApp(project_id=ProjectId("proj_1"), app_id=AppId("app_1"), store="stripe", bundle_id=None, secrets=secrets)


def event(kind: str, data: Any) -> bytes:
    return json.dumps({"id": "evt_1", "type": kind, "created": 1_767_225_600, "livemode": False, "data": data}).encode()


WIRE: dict[str, type[msgspec.Struct]] = {
    "subscription": payload.Subscription,
    "subscription_item": payload.Item,
    "invoice": payload.Invoice,
    "invoice_payment": payload.InvoicePayment,
    "charge": payload.Charge,
    "refund": payload.Refund,
    "dispute": payload.Dispute,
    "price": payload.Price,
    "plan": payload.Price,
    "customer": payload.Customer,
    "checkout.session": payload.Session,
    "payment_intent": payload.PaymentIntent,
    "balance_transaction": payload.BalanceTransaction,
    "event": payload.Event,
}


# Signatures


def vectors() -> list[dict[str, Any]]:
    path = "stripe/stripe__stripe-python/signature-vectors-valid.json"
    return content(path) if FOLDER.is_dir() else []


def is_opened(vector: dict[str, Any], *, secret: str | None = None, body: str | None = None, now: int | None = None) -> bool:
    ours = app(webhook_secret=secret or vector["secret"])
    try:
        STORE.open(ours, (body or vector["body"]).encode(), {"stripe-signature": vector["header"]}, moment(now or vector["now"]))
    except Untrusted:
        return False
    return True


def stripe_accepts(vector: dict[str, Any], *, secret: str | None = None, body: str | None = None) -> bool:
    try:
        return WebhookSignature.verify_header(body or vector["body"], vector["header"], secret or vector["secret"])
    except SignatureVerificationError:
        return False


@pytest.mark.parametrize("vector", vectors(), ids=lambda vector: vector["name"])
def test_signature_vectors(vector: dict[str, Any]) -> None:
    assert vector["expected"] == "valid"
    assert is_opened(vector) and stripe_accepts(vector)
    for wrong in ({"secret": "whsec_other"}, {"body": vector["body"].replace("sub_", "sub-")}, {"body": vector["body"].strip() + " "}):
        assert not is_opened(vector, **wrong)
        assert not stripe_accepts(vector, **wrong)
    signed_at = int(vector["header"].partition("t=")[2].partition(",")[0])
    assert [is_opened(vector, now=signed_at + seconds) for seconds in (-301, -300, 300, 301)] == [False, True, True, False]


# Every object parses


@pytest.mark.parametrize("path", [one for kind in ("dj-stripe__dj-stripe", "stripe__openapi") for one in indexed(kind)])
def test_every_recorded_object_parses(path: str) -> None:
    """Those we have a type for keep what we read; the others are known to be of no concern."""
    found = content(path)
    kind = found.get("object")
    if kind not in WIRE:
        assert kind in {"account", "payout", "transfer", "product", "tax_rate", "webhook_endpoint"}
        return
    read = msgspec.json.decode((FOLDER / path).read_bytes(), type=WIRE[kind])
    same = (
        "id",
        "status",
        "created",
        "amount",
        "amount_paid",
        "currency",
        "livemode",
        "total",
        "quantity",
        "unit_amount",
        "trial_end",
        "fee",
        "type",
    )
    for name in same:
        if hasattr(read, name) and found.get(name) is not None:
            assert getattr(read, name) == found[name], name
    for name in ("customer", "charge", "payment_intent", "latest_invoice", "product", "balance_transaction", "invoice"):
        if name in found and hasattr(read, name):
            named = found[name]
            assert id_of(getattr(read, name)) == (named["id"] if isinstance(named, dict) else named), name


EVENTS = {
    "subscription.created": ("customer.subscription.created", "sub_00000000000000"),
    "subscription.updated": ("customer.subscription.updated", "sub_00000000000000"),
    "subscription.deleted": ("customer.subscription.deleted", "sub_00000000000000"),
    "subscription.trial_will_end": ("customer.subscription.trial_will_end", None),
    "invoice.payment_failed": ("invoice.payment_failed", "sub_1234"),
    "invoice.upcoming": ("invoice.upcoming", None),
    "charge.succeeded": ("charge.succeeded", None),
    "checkout.session.completed": ("checkout.session.completed", "cs_test_a1UejXx8ebIdTzFolicVypUAZpOBVkoQKDbaarXoPlPVtj8p0zujPEEhjT"),
    "customer.updated": ("customer.updated", None),
    "account.updated": ("account.updated", None),
    "payment_method.attached": ("payment_method.attached", None),
}


@pytest.mark.parametrize("path", indexed("pay-rails__pay"))
def test_every_recorded_webhook_asks_for_what_it_is_about(path: str) -> None:
    kind, subject = EVENTS[Path(path).stem]
    reading = STORE.read(app(api_key="sk_test_1"), event(kind, content(path)), NOW)
    assert reading.questions == ((Question(environment="sandbox", subject=subject, hint=kind),) if subject else ())
    assert (reading.note is None) == (subject is not None)
    STORE.read(app(), event(kind, content(path)), NOW)  # and without a key none of them is refused


def test_the_recorded_event_of_a_connected_account_is_not_ours() -> None:
    body = (FOLDER / "stripe/dj-stripe__dj-stripe/event_account_updated_express.json").read_bytes()
    assert STORE.read(app(api_key="sk_test_1"), body, NOW).note == (
        "account.updated: of the connected account acct_1IuHosQveW0ONQsd, which is not this app's"
    )


def test_the_canonical_event_is_of_no_concern() -> None:
    body = (FOLDER / "stripe/stripe__openapi/fixtures3-event.json").read_bytes()
    assert STORE.read(app(api_key="sk_test_1"), body, NOW).note == "plan.created: changes nothing of what a customer holds"


@pytest.mark.parametrize("path", indexed("stripe__stripe-cli"))
def test_recipes_are_no_events(path: str) -> None:
    recipe = content(path)
    assert recipe["fixtures"]
    with pytest.raises(Exception, match="not an event"):
        STORE.read(app(), json.dumps(recipe).encode(), NOW)


# What they state


def test_periods_of_both_generations() -> None:
    """Before basil the period is the subscription's, since then the item's; one of the recorded has neither beside the item."""
    ends = []
    for name in ("subscription.created", "subscription.updated"):
        read = msgspec.convert(content(f"stripe/pay-rails__pay/{name}.json")["object"], payload.Subscription)
        ends.append(read.period_end(read.items.data[0]))
    assert ends == [1488987924, 1488987924]


def test_a_recorded_failed_renewal_is_past_due_until_the_next_attempt() -> None:
    failed = msgspec.convert(content("stripe/pay-rails__pay/invoice.payment_failed.json")["object"], payload.Invoice)
    assert (failed.subscription_id, failed.is_paid, failed.lines.data[0].item, failed.lines.data[0].product) == (
        "sub_1234",
        False,
        "si_1234",
        "prod_1234",
    )
    item = payload.Item(id="si_1234", price=payload.Price(id="price_1234", product="prod_1234"))
    sub = payload.Subscription(id="sub_1234", status="past_due", items=payload.Page(data=[item]))
    paid = msgspec.structs.replace(failed, id="in_1", status="paid", amount_paid=24900, created=failed.created - 31_536_000)
    paid.lines = payload.Page(data=[msgspec.structs.replace(failed.lines.data[0], period=payload.Period(start=1713897906, end=1745433906))])
    (stated,) = subscription_statements(Found(subscription=sub, invoices=(failed, paid)), None, moment(1745437578))
    assert [(one.transaction, one.expires_at, one.price, one.country) for one in stated.purchases] == [
        ("in_1", moment(1745433906), Money(amount=24900, currency="USD"), "US")
    ]
    assert (stated.renewals[0].in_billing_retry, stated.renewals[0].grace_until) == (True, moment(1745552783 + 3600))


def test_a_recorded_fee_and_tax_of_an_older_invoice() -> None:
    """The recorded invoice has lost its lines, so one is put in their place; tax 261 of 2000 is included in it, and 88 was Stripe's."""
    folder = "stripe/dj-stripe__dj-stripe"
    sub = msgspec.convert(content(f"{folder}/subscription_sub_fakefakefakefakefake0001.json"), payload.Subscription)
    old = msgspec.convert(content(f"{folder}/invoice_in_fakefakefakefakefake0001.json"), payload.Invoice)
    taken = msgspec.convert(content(f"{folder}/charge_ch_fakefakefakefakefake0001.json"), payload.Charge)
    taken.balance_transaction = msgspec.convert(
        content(f"{folder}/balance_transaction_txn_fake_ch_fakefakefakefakefake0001.json"), payload.BalanceTransaction
    )
    (unbilled,) = subscription_statements(Found(subscription=sub, invoices=(old,), charges=(taken,)), None, NOW)
    assert [(one.product, one.price) for one in unbilled.purchases] == [("prod_fake1", Money(amount=0, currency="USD"))], "it is active: served"
    item = sub.items.data[0]
    period = payload.Period(start=1557995176, end=1560673576)
    old.lines = payload.Page(data=[payload.InvoiceLine(id="il_1", amount=2000, period=period, price=item.price, subscription_item=item.id)])
    (stated,) = subscription_statements(Found(subscription=sub, invoices=(old,), charges=(taken,)), None, NOW)
    (one,) = stated.purchases
    assert (one.product, one.price, one.tax, one.commission, one.country) == (
        "prod_fake1",
        Money(amount=2000, currency="USD"),
        Money(amount=261, currency="USD"),
        Money(amount=88, currency="USD"),
        "US",
    )


def test_the_recorded_dispute_is_open_and_takes_nothing() -> None:
    open_one = msgspec.convert(content("stripe/dj-stripe__dj-stripe/dispute_dp_fakefakefakefake01.json"), payload.Dispute)
    assert (open_one.status, id_of(open_one.charge)) == ("needs_response", "ch_fakefakefakefakefake0001")


def test_the_canonical_subscription_whose_values_make_no_sense_states_nothing() -> None:
    """Its period ends before it starts, and it was never invoiced: nothing is trusted."""
    sub = msgspec.convert(content("stripe/stripe__openapi/fixtures3-subscription.json"), payload.Subscription)
    assert subscription_statements(Found(subscription=sub), None, NOW) == ()
    draft = msgspec.convert(content("stripe/stripe__openapi/fixtures3-invoice.json"), payload.Invoice)
    assert subscription_statements(Found(subscription=sub, invoices=(draft,)), None, NOW) == ()
