"""Asking and acting at Stripe: against a real server on this machine that answers what Stripe documents."""

import json
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from perennial.base.errors import Invalid, NotConfigured, NotFound, Unavailable
from perennial.base.ids import AppId, CustomerId, LineId, ProjectId
from perennial.base.time import to_ms
from perennial.base.value import replace, value
from perennial.intake.model import Act, CannotAct, Caught, Posted, Question, Reading, StoreApp
from perennial.providers.stripe import StripeBilling
from perennial.subscriptions.model import Held, Line
from tests.stripe_objects import MONTH, START, at, charge, dispute, invoice, item, line, payment, refund, session, subscription

NOW = at(START + 10 * 86_400)
SUB = Question(environment="sandbox", subject="sub_1")


@value
class Asked:
    """One request as the server saw it."""

    method: str
    path: str
    fields: list[tuple[str, str]]
    headers: dict[str, str]


class Stripe:
    """Answers scripted per path, in order, the last one for ever; remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, list[tuple[int, bytes]]] = {}
        self.asked: list[Asked] = []
        stripe = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 65536  # head and body in one packet

            def do_GET(self) -> None:
                path = urlsplit(self.path)
                raw = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
                headers = {name.lower(): content for name, content in self.headers.items()}
                stripe.asked.append(Asked(method=self.command, path=path.path, fields=parse_qsl(raw or path.query), headers=headers))
                answers = stripe.answers.get(path.path, [(404, b'{"error":{"type":"invalid_request_error","code":"resource_missing"}}')])
                status, content = answers.pop(0) if len(answers) > 1 else answers[0]
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_POST = do_GET
            do_DELETE = do_GET

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, path: str, *contents: object, status: int = 200) -> None:
        self.answers[path] = [(status, one if isinstance(one, bytes) else json.dumps(one).encode()) for one in contents]

    def refuse(self, path: str, status: int, **error: str) -> None:
        self.answer(path, {"error": {"type": "invalid_request_error", **error}}, status=status)

    def holds(self, sub: dict[str, Any], *invoices: dict[str, Any], charges: tuple[dict[str, Any], ...] = ()) -> None:
        self.answer(f"/v1/subscriptions/{sub['id']}", sub)
        self.answer("/v1/invoices", page(*invoices))
        self.answer("/v1/charges", page(*charges))

    def calls(self) -> list[str]:
        return [f"{one.method} {one.path}" for one in self.asked]


def page(*data: dict[str, Any], has_more: bool = False) -> dict[str, Any]:
    return {"object": "list", "data": list(data), "has_more": has_more}


@pytest.fixture
def stripe() -> Iterator[Stripe]:
    server = Stripe()
    yield server
    server.server.shutdown()
    server.server.server_close()


@pytest.fixture
async def store() -> AsyncIterator[StripeBilling]:
    asked = StripeBilling(pauses=(0, 0))
    yield asked
    await asked.close()


@pytest.fixture
def app(stripe: Stripe) -> StoreApp:
    return StoreApp(
        project_id=ProjectId("proj_1"),
        app_id=AppId("app_1"),
        store="stripe",
        bundle_id=None,
        api_base_url=stripe.address + "/",
        secrets={"api_key": "sk_test_1"},
    )


# Asking


async def test_a_subscription_is_asked_for_with_its_invoices_payments_and_refunds(stripe: Stripe, store: StripeBilling, app: StoreApp) -> None:
    stripe.holds(subscription(), invoice(), charges=(charge("pi_in_1", refund()),))
    (stated,) = (await store.ask(app, SUB, Posted(), NOW)).statements
    (bought,) = stated.purchases
    assert (stated.line, bought.transaction, bought.commission and bought.commission.amount) == ("sub_1", "in_1", 59)
    assert [one.identifier for one in bought.refunds] == ["re_1"]
    assert stripe.calls() == ["GET /v1/subscriptions/sub_1", "GET /v1/invoices", "GET /v1/charges"]
    assert [one.fields for one in stripe.asked] == [
        [("expand[0]", "customer"), ("expand[1]", "schedule.phases.items.price")],
        [("subscription", "sub_1"), ("expand[0]", "data.payments"), ("expand[1]", "data.discounts"), ("limit", "100")],
        [("customer", "cus_1"), ("expand[0]", "data.balance_transaction"), ("expand[1]", "data.refunds"), ("limit", "100")],
    ]
    for one in stripe.asked:
        assert (one.headers["stripe-version"], one.headers["authorization"]) == ("2026-10-28.endive", "Bearer sk_test_1")
        assert "idempotency-key" not in one.headers
        assert "stripe-account" not in one.headers


async def test_a_further_item_is_asked_for_by_its_subscription(stripe: Stripe, store: StripeBilling, app: StoreApp) -> None:
    stripe.holds(subscription(), invoice())
    reading = await store.ask(app, replace(SUB, subject="sub_1#si_2"), Posted(), NOW)
    assert [one.line for one in reading.statements] == ["sub_1"]


async def test_an_answer_is_newer_than_what_we_know_also_while_a_clock_stands(stripe: Stripe, store: StripeBilling, app: StoreApp) -> None:
    stripe.holds(subscription(), invoice())
    (first,) = (await store.ask(app, SUB, Posted(), NOW)).statements
    line = Line(
        line_id=LineId("line_1"),
        customer_id=CustomerId("cus_1"),
        app_id=AppId("app_1"),
        store="stripe",
        environment="sandbox",
        store_line="sub_1",
        heard_at=NOW,
        held=tuple(Held(purchase=one) for one in first.purchases),
        renewals=first.renewals,
    )
    stripe.holds(subscription(cancel_at_period_end=True), invoice())
    (second,) = (await store.ask(app, SUB, Posted(line=line), NOW)).statements
    assert [one.as_of - NOW for one in (*second.purchases, *second.renewals)] == [timedelta(microseconds=1)] * 2


async def test_a_connected_account_is_named(stripe: Stripe, store: StripeBilling, app: StoreApp) -> None:
    stripe.holds(subscription(), invoice())
    await store.ask(replace(app, settings={"connected_account": "acct_9"}), SUB, Posted(), NOW)
    assert {one.headers["stripe-account"] for one in stripe.asked} == {"acct_9"}


async def test_many_invoices_and_their_lines_are_read_page_by_page(stripe: Stripe, store: StripeBilling, app: StoreApp) -> None:
    renewed = invoice("in_2", line(start=START + MONTH, end=START + 2 * MONTH), reason="subscription_cycle")
    renewed["lines"]["has_more"] = True
    stripe.holds(subscription(), charges=(charge(),))
    stripe.answer("/v1/invoices", page(renewed, has_more=True), page(invoice()))
    stripe.answer("/v1/invoices/in_2/lines", page(line(999, START + MONTH, START + 2 * MONTH), line(1, START + MONTH, START + 2 * MONTH)))
    (stated,) = (await store.ask(app, SUB, Posted(), NOW)).statements
    assert [one.transaction for one in stated.purchases] == ["in_1", "in_2"]
    pages = [one.fields for one in stripe.asked if one.path == "/v1/invoices"]
    assert [field for field in pages[1] if field[0] == "starting_after"] == [("starting_after", "in_2")]


async def test_items_and_payments_beyond_the_first_page_are_fetched(stripe: Stripe, store: StripeBilling, app: StoreApp) -> None:
    """Else an item that was not shown would be one that was taken off, and a payment's refund nobody's."""
    sub, bought = subscription(), invoice("in_1", line(), line(300, product="prod_extra", item="si_2"))
    sub["items"]["has_more"] = bought["payments"]["has_more"] = True
    stripe.holds(sub, bought, charges=(charge("pi_second", refund()),))
    stripe.answer("/v1/subscription_items", page(item(), item("si_2", product="prod_extra")))
    stripe.answer("/v1/invoice_payments", page(payment("pi_in_1"), has_more=True), page(payment("pi_second")))
    one, two = (await store.ask(app, SUB, Posted(), NOW)).statements
    assert [(said.line, said.renewals[0].auto_renew) for said in (one, two)] == [("sub_1", True), ("sub_1#si_2", True)]
    assert [refund.identifier for refund in one.purchases[0].refunds] == ["re_1"]


async def test_a_list_that_promises_more_and_gives_nothing_is_asked_again_later(stripe: Stripe, store: StripeBilling, app: StoreApp) -> None:
    stripe.holds(subscription())
    stripe.answer("/v1/invoices", page(invoice(), has_more=True), page(has_more=True))
    with pytest.raises(Unavailable, match="there is more"):
        await store.ask(app, SUB, Posted(), NOW)


async def test_disputes_are_asked_for_where_there_are_some(stripe: Stripe, store: StripeBilling, app: StoreApp) -> None:
    stripe.holds(subscription(), invoice(), charges=(charge("pi_in_1", disputed=True),))
    stripe.answer("/v1/disputes", page(dispute("lost")))
    (stated,) = (await store.ask(app, SUB, Posted(), NOW)).statements
    assert [one.identifier for one in stated.purchases[0].refunds] == ["dp_1"]


async def test_who_bought_is_looked_for_in_the_checkout_while_it_is_not_known(stripe: Stripe, store: StripeBilling, app: StoreApp) -> None:
    stripe.holds(subscription(metadata={}), invoice())
    stripe.answer("/v1/checkout/sessions", page(session(mode="subscription", client_reference_id="ben")))
    (stated,) = (await store.ask(app, SUB, Posted(), NOW)).statements
    assert stated.app_user_id == "ben"
    assert stripe.asked[-1].fields == [("subscription", "sub_1"), ("limit", "1")]


PAYMENTS = "/v1/invoice_payments"


@pytest.mark.parametrize(
    ("subject", "answers"),
    [
        ("in_1", {}),
        ("pi_1", {PAYMENTS: page(payment())}),
        ("ch_1", {"/v1/charges/ch_1": charge("pi_1"), PAYMENTS: page(payment())}),
        ("re_1", {"/v1/refunds/re_1": refund(), "/v1/charges/ch_pi_in_1": charge("pi_1"), PAYMENTS: page(payment())}),
        ("dp_1", {"/v1/disputes/dp_1": dispute(), PAYMENTS: page(payment())}),
        ("sub_sched_1", {"/v1/subscription_schedules/sub_sched_1": {"id": "sub_sched_1", "subscription": "sub_1"}}),
        ("cs_test_1", {"/v1/checkout/sessions/cs_test_1": session(mode="subscription")}),
    ],
)
async def test_whatever_leads_to_a_subscription_may_be_asked_about(
    stripe: Stripe, store: StripeBilling, app: StoreApp, subject: str, answers: dict[str, Any]
) -> None:
    stripe.holds(subscription(), invoice())
    for path, answer in {"/v1/invoices/in_1": invoice(), **answers}.items():
        stripe.answer(path, answer)
    reading = await store.ask(app, replace(SUB, subject=subject), Posted(), NOW)
    for question in reading.questions:  # so that what we hold of its line is beside the answer
        assert not reading.statements
        reading = await store.ask(app, question, Posted(), NOW)
    assert [one.line for one in reading.statements] == ["sub_1"]


async def test_a_payment_of_a_checkout_is_a_one_time_purchase(stripe: Stripe, store: StripeBilling, app: StoreApp) -> None:
    stripe.answer(PAYMENTS, page())
    stripe.answer("/v1/checkout/sessions", page(session()))
    stripe.answer("/v1/checkout/sessions/cs_test_1", session())
    stripe.answer("/v1/charges", page(charge("pi_1", amount=14999)))
    (stated,) = (await store.ask(app, replace(SUB, subject="pi_1"), Posted(), NOW)).statements
    assert (stated.line, stated.purchases[0].product) == ("pi_1", "prod_life")


@pytest.mark.parametrize(
    ("said", "note"),
    [
        ({"payment_status": "unpaid"}, "a checkout that is complete, and unpaid"),
        ({"mode": "setup"}, "a checkout of the mode setup: it sold nothing"),
    ],
)
async def test_a_checkout_that_sold_nothing_yet_says_so(stripe: Stripe, store: StripeBilling, app: StoreApp, said: dict[str, str], note: str) -> None:
    stripe.answer("/v1/checkout/sessions/cs_test_1", session(**said))
    assert await store.ask(app, replace(SUB, subject="cs_test_1"), Posted(), NOW) == Reading(note=note)


async def test_a_payment_for_nothing_of_ours_is_noted(stripe: Stripe, store: StripeBilling, app: StoreApp) -> None:
    stripe.answer(PAYMENTS, page())
    stripe.answer("/v1/checkout/sessions", page())
    assert (await store.ask(app, replace(SUB, subject="pi_1"), Posted(), NOW)).note == "pi_1 paid for no subscription and no checkout"


async def test_a_customer_leads_to_their_subscriptions(stripe: Stripe, store: StripeBilling, app: StoreApp) -> None:
    stripe.answer("/v1/subscriptions", page(subscription(), subscription(id="sub_2")))
    reading = await store.ask(app, replace(SUB, subject="cus_1"), Posted(), NOW)
    assert [one.subject for one in reading.questions] == ["sub_1", "sub_2"]
    assert ("status", "all") in stripe.asked[0].fields


async def test_a_key_of_the_other_mode_is_told_before_asking(store: StripeBilling, app: StoreApp) -> None:
    with pytest.raises(Invalid, match="make an app for each mode"):
        await store.ask(replace(app, api_base_url=None), Question(environment="production", subject="sub_1"), Posted(), NOW)


async def test_without_a_key_nothing_can_be_asked(store: StripeBilling, app: StoreApp) -> None:
    without = replace(app, secrets={})
    assert (store.can_ask(app), store.can_ask(without)) == (True, False)
    strange_key, strange_account = replace(app, secrets={"api_key": "schlüssel"}), replace(app, settings={"connected_account": "acct\n1"})
    for unusable, name in ((without, "api_key"), (strange_key, "api_key"), (strange_account, "connected_account")):
        with pytest.raises(NotConfigured, match=name):
            await store.ask(unusable, SUB, Posted(), NOW)


# What Stripe refuses, and what passes


@pytest.mark.parametrize("status", [429, 500, 503, 409])
async def test_what_passes_is_tried_again(stripe: Stripe, store: StripeBilling, app: StoreApp, status: int) -> None:
    stripe.holds(subscription(), invoice())
    stripe.answers["/v1/subscriptions/sub_1"] = [(status, b"{}"), (status, b""), (200, json.dumps(subscription()).encode())]
    assert len((await store.ask(app, SUB, Posted(), NOW)).statements) == 1
    assert stripe.calls().count("GET /v1/subscriptions/sub_1") == 3


async def test_what_does_not_pass_soon_is_left_for_later(stripe: Stripe, store: StripeBilling, app: StoreApp) -> None:
    stripe.answer("/v1/subscriptions/sub_1", b"{}", status=503)
    with pytest.raises(Unavailable, match="Stripe answered 503"):
        await store.ask(app, SUB, Posted(), NOW)
    assert len(stripe.asked) == 3


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [(401, NotConfigured, "rolled or deleted"), (403, NotConfigured, "restricted key"), (404, NotFound, "No such"), (400, Invalid, "No such")],
)
async def test_a_refusal_is_told_in_stripes_words_and_not_repeated(
    stripe: Stripe, store: StripeBilling, app: StoreApp, status: int, kind: type[Exception], words: str
) -> None:
    stripe.refuse("/v1/subscriptions/sub_1", status, message="No such subscription", code="resource_missing")
    with pytest.raises(kind, match=words):
        await store.ask(app, SUB, Posted(), NOW)
    assert len(stripe.asked) == 1


@pytest.mark.parametrize("content", [b"", b"[]", b"7", b"\xff", b"[" * 100_000])
async def test_an_answer_we_cannot_read_is_no_answer(stripe: Stripe, store: StripeBilling, app: StoreApp, content: bytes) -> None:
    stripe.answer("/v1/subscriptions/sub_1", content)
    with pytest.raises(Unavailable, match="cannot read"):
        await store.ask(app, SUB, Posted(), NOW)


async def test_no_answer_at_all(stripe: Stripe, store: StripeBilling, app: StoreApp) -> None:
    with pytest.raises(Unavailable, match="did not answer"):
        await store.ask(replace(app, api_base_url="http://127.0.0.1:1"), SUB, Posted(), NOW)
    with pytest.raises(Invalid, match="not an address that can be called"):
        await store.ask(replace(app, api_base_url="stripe"), SUB, Posted(), NOW)


# What is posted


async def test_a_posted_subscription_or_checkout_is_looked_up(stripe: Stripe, store: StripeBilling, app: StoreApp) -> None:
    stripe.holds(subscription(), invoice())
    stripe.answer("/v1/checkout/sessions/cs_test_1", session())
    stripe.answer("/v1/charges", page(charge("pi_1", amount=14999)))
    assert [one.line for one in (await store.read_receipt(app, Posted(token=" sub_1\n"), NOW)).statements] == ["sub_1"]
    assert [one.line for one in (await store.read_receipt(app, Posted(token="cs_test_1"), NOW)).statements] == ["pi_1"]


@pytest.mark.parametrize("token", ["", "in_1", "test_1", "sub", "sub_é", "sub_" + "1" * 300, "cs_none", "sub_none"])
async def test_what_is_no_token_of_stripes_is_refused(stripe: Stripe, store: StripeBilling, app: StoreApp, token: str) -> None:
    with pytest.raises(Invalid) as caught:
        await store.read_receipt(app, Posted(token=token), NOW)
    assert caught.value.param == "fetch_token"


async def test_a_subscription_that_was_never_paid_is_no_proof(stripe: Stripe, store: StripeBilling, app: StoreApp) -> None:
    stripe.holds(subscription(status="incomplete"), invoice(status="open", amount_paid=0))
    with pytest.raises(Invalid, match="incomplete: nothing of it was paid yet"):
        await store.read_receipt(app, Posted(token="sub_1"), NOW)


# Acting


def act(kind: Any, subject: str = "sub_1", **details: str | int) -> Act:
    return Act(act_id="act_1", kind=kind, environment="sandbox", subject=subject, details=details)


async def test_cancel_is_at_the_periods_end_and_carries_our_key(stripe: Stripe, store: StripeBilling, app: StoreApp) -> None:
    stripe.answer("/v1/subscriptions/sub_1", subscription(cancel_at_period_end=True))
    assert await store.act(app, act("cancel"), Posted(), NOW) == Reading(questions=(replace(SUB, hint="cancel"),))
    (asked,) = stripe.asked
    assert (asked.method, asked.fields, asked.headers["idempotency-key"]) == ("POST", [("cancel_at_period_end", "true")], "act_1")


def holds_payment(stripe: Stripe, *payments: dict[str, Any]) -> None:
    stripe.answer("/v1/invoices/in_1", invoice())
    stripe.answer(PAYMENTS, page(*payments))
    stripe.answer("/v1/refunds", refund())


async def test_a_refund_goes_to_the_payment_of_the_invoice(stripe: Stripe, store: StripeBilling, app: StoreApp) -> None:
    holds_payment(stripe, payment())
    await store.act(app, act("refund", transaction="in_1:si_2"), Posted(), NOW)
    await store.act(app, act("refund", transaction="in_1", amount=400), Posted(), NOW)
    assert [one.fields for one in stripe.asked if one.path == "/v1/refunds"] == [
        [("payment_intent", "pi_1"), ("reason", "requested_by_customer")],
        [("payment_intent", "pi_1"), ("reason", "requested_by_customer"), ("amount", "400")],
    ]


async def test_a_refund_of_two_payments_is_two_refunds_of_our_key(stripe: Stripe, store: StripeBilling, app: StoreApp) -> None:
    holds_payment(stripe, payment("pi_1", 600), payment("pi_2", 399))
    await store.act(app, act("refund", transaction="in_1", amount=700), Posted(), NOW)
    refunds = [one for one in stripe.asked if one.path == "/v1/refunds"]
    assert [(dict(one.fields)["payment_intent"], dict(one.fields)["amount"], one.headers["idempotency-key"]) for one in refunds] == [
        ("pi_1", "600", "act_1"),
        ("pi_2", "100", "act_1-1"),
    ]


async def test_a_refund_of_a_one_time_payment(stripe: Stripe, store: StripeBilling, app: StoreApp) -> None:
    stripe.answer("/v1/payment_intents/pi_1", {"id": "pi_1", "amount_received": 50000, "currency": "isk"})
    stripe.answer("/v1/refunds", refund())
    await store.act(app, act("refund", "pi_1", transaction="pi_1#li_2", amount=200), Posted(), NOW)
    assert stripe.asked[-1].fields == [("payment_intent", "pi_1"), ("reason", "requested_by_customer"), ("amount", "20000")]


async def test_what_was_given_back_already_is_done(stripe: Stripe, store: StripeBilling, app: StoreApp) -> None:
    holds_payment(stripe, payment())
    stripe.refuse("/v1/refunds", 400, code="charge_already_refunded")
    assert (await store.act(app, act("refund", transaction="in_1"), Posted(), NOW)).questions == (replace(SUB, hint="refund"),)


async def test_revoke_gives_back_and_ends_at_once(stripe: Stripe, store: StripeBilling, app: StoreApp) -> None:
    holds_payment(stripe, payment())
    stripe.answer("/v1/subscriptions/sub_1", subscription(status="canceled"))
    await store.act(app, act("revoke", transaction="in_1"), Posted(), NOW)
    assert stripe.calls()[-2:] == ["POST /v1/refunds", "DELETE /v1/subscriptions/sub_1"]
    assert stripe.asked[-1].headers["idempotency-key"] == "act_1-cancel"


async def test_a_trial_is_revoked_without_a_refund(stripe: Stripe, store: StripeBilling, app: StoreApp) -> None:
    holds_payment(stripe)
    stripe.answer("/v1/subscriptions/sub_1", subscription(status="canceled"))
    await store.act(app, act("revoke", transaction="in_1"), Posted(), NOW)
    assert "POST /v1/refunds" not in stripe.calls()
    assert stripe.calls()[-1] == "DELETE /v1/subscriptions/sub_1"


@pytest.mark.parametrize(
    ("wanted", "until"),
    [(act("extend", days=3), START + MONTH + 3 * 86_400), (act("defer", expires_at_ms=to_ms(at(START + 2 * MONTH))), START + 2 * MONTH)],
)
async def test_the_renewal_is_moved_by_a_trial(stripe: Stripe, store: StripeBilling, app: StoreApp, wanted: Act, until: int) -> None:
    stripe.answer("/v1/subscriptions/sub_1", subscription(item()))
    await store.act(app, wanted, Posted(), NOW)
    assert (stripe.asked[-1].method, stripe.asked[-1].fields) == ("POST", [("trial_end", str(until)), ("proration_behavior", "none")])


@pytest.mark.parametrize(
    ("wanted", "sub", "words"),
    [
        (act("acknowledge"), subscription(), "acknowledged"),
        (act("cancel", "pi_1"), subscription(), "one-time payment"),
        (act("extend", days=1), subscription(status="past_due"), "past_due"),
        (act("defer", expires_at_ms=to_ms(at(START))), subscription(), "later than it is now"),
        (act("refund", transaction="in_1"), subscription(), "not paid with anything"),
        (act("refund", transaction="cs_1"), subscription(), "not paid with anything"),
        (act("cancel", "sub_none"), subscription(), "resource_missing"),
    ],
)
async def test_what_cannot_be_done_is_told(stripe: Stripe, store: StripeBilling, app: StoreApp, wanted: Act, sub: Any, words: str) -> None:
    holds_payment(stripe)
    stripe.answer("/v1/subscriptions/sub_1", sub)
    with pytest.raises(CannotAct, match=words):
        await store.act(app, wanted, Posted(), NOW)
    assert not [one for one in stripe.asked if one.method != "GET" and one.path != "/v1/subscriptions/sub_none"]


async def test_more_than_was_paid_cannot_be_given_back(stripe: Stripe, store: StripeBilling, app: StoreApp) -> None:
    holds_payment(stripe, payment())
    with pytest.raises(CannotAct, match="1000 is more than was paid"):
        await store.act(app, act("refund", transaction="in_1", amount=1000), Posted(), NOW)


# After an outage


async def everything(store: StripeBilling, app: StoreApp, since: timedelta) -> list[Caught | Question]:
    return [one async for one in store.missed(app, NOW - since, NOW, "sandbox", NOW)]


def happened(identifier: str, kind: str) -> dict[str, Any]:
    return {"id": identifier, "type": kind, "created": START, "livemode": False, "api_version": "x", "data": {"object": {"id": "sub_1"}}}


async def test_missed_events_are_caught_as_stripe_wrote_them(stripe: Stripe, store: StripeBilling, app: StoreApp) -> None:
    one, two = happened("evt_2", "customer.subscription.updated"), happened("evt_1", "customer.subscription.created")
    stripe.answer("/v1/events", page(one, happened("evt_x", "charge.succeeded"), has_more=True), page(two))
    caught = await everything(store, app, timedelta(days=2))
    assert [(c.envelope.message_id, json.loads(c.body)) for c in caught if isinstance(c, Caught)] == [("evt_2", one), ("evt_1", two)]
    assert len(caught) == 2
    since = START + 8 * 86_400
    assert stripe.asked[0].fields == [("created[gte]", str(since)), ("created[lte]", str(since + 2 * 86_400)), ("limit", "100")]
    assert ("starting_after", "evt_x") in stripe.asked[1].fields


async def test_past_what_stripe_keeps_every_subscription_and_paid_checkout_is_asked_about(
    stripe: Stripe, store: StripeBilling, app: StoreApp
) -> None:
    stripe.answer("/v1/events", page())
    stripe.answer("/v1/subscriptions", page(subscription(), has_more=True), page(subscription(id="sub_2")))
    stripe.answer("/v1/checkout/sessions", page(session(), session(mode="subscription")))
    asked = await everything(store, app, timedelta(days=400))
    assert [one.subject for one in asked if isinstance(one, Question)] == ["sub_1", "sub_2", "cs_test_1"]
    (events,) = [one.fields for one in stripe.asked if one.path == "/v1/events"]
    assert events[0] == ("created[gte]", str(START + 10 * 86_400 - 30 * 86_400))
