"""The API of the simulated Stripe, as an ASGI application: the real provider asks it like Stripe.

It is mounted where the path goes on with an app's id: `/simulated/stripe/{app_id}/v1/...`, and `/portal/...` for the customer portal's page. The
key is the one made when the app opted in. The calls are those the provider makes, with Stripe's names, pages and errors; `expand[]` is honoured for
what it asks to have expanded.
"""

import hmac
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from html import escape
from typing import Any, Literal
from urllib.parse import parse_qsl

import msgspec

from perennial import catalog, intake
from perennial.base.db import Database, Tx
from perennial.base.errors import Conflict, Invalid, NotFound, PerennialError
from perennial.base.ids import AppId
from perennial.base.secrets import Vault
from perennial.base.time import EPOCH
from perennial.base.value import value
from perennial.catalog.model import Product
from perennial.intake.model import StoreApp
from perennial.providers.simulated.asgi import read, respond
from perennial.providers.simulated.products import require_product
from perennial.providers.simulated.stripe import actions, db, payloads, portal, rules
from perennial.providers.simulated.stripe.model import Back, Invoice, Life, Plan
from perennial.providers.simulated.stripe.payloads import Object
from perennial.providers.stripe.money import money

MOST_LIVES = 1000  # that a list without a subject looks through
_PATH = re.compile(r"/(?P<app_id>app_[0-9A-Za-z]+)/v1/(?P<call>.+)")
_PORTAL = re.compile(rf"/(?P<app_id>app_[0-9A-Za-z]+)/{portal.PATH}/(?P<token>[0-9A-Za-z.]+)/?$")


@value
class Request:
    method: str
    call: str  # the path after /v1/
    fields: Mapping[str, str]
    expand: frozenset[str]  # without the `data.` of lists
    key: str | None  # of idempotency


@value
class Answer:
    status: int
    body: Object


class Refused(Exception):
    """An error as Stripe writes it."""

    def __init__(self, status: int, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        error = {"type": "invalid_request_error", "message": message, **({"code": code} if code else {})}
        self.answer = Answer(status=status, body={"error": error})


class Missing(Refused):
    def __init__(self, subject: str) -> None:
        super().__init__(404, f"No such object: {subject!r}", code="resource_missing")


@value
class Counter:
    """Everything a call needs."""

    tx: Tx
    app: StoreApp

    @property
    def app_id(self) -> AppId:
        return self.app.app_id


# The application --------------------------------------------------------------------------------------------------------------


class StripeServer:
    """The ASGI application."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database, self._vault = database, vault

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        found = _PATH.search(scope["path"])
        body = await read(receive)
        if body is not None and (page := _PORTAL.search(scope["path"])) is not None:
            pressed = dict(parse_qsl(body.decode("ascii", "replace"))) if scope["method"] == "POST" else None
            return await _send_page(send, await visit(self._database, self._vault, page["app_id"], page["token"], pressed))
        if found is None or body is None:
            return await _send(send, Refused(404 if found is None else 413, "Unrecognized request URL").answer)
        headers = {name.lower().decode("latin-1"): content.decode("latin-1") for name, content in scope["headers"]}
        fields = parse_qsl((scope["query_string"] or b"").decode("ascii", "replace")) + parse_qsl(body.decode("ascii", "replace"))
        request = Request(
            method=scope["method"],
            call=found["call"].rstrip("/"),  # where it is mounted a slash is added
            fields=dict(fields),
            expand=frozenset(content.removeprefix("data.") for name, content in fields if name.startswith("expand[")),
            key=headers.get("idempotency-key"),
        )
        await _send(send, await answer(self._database, self._vault, found["app_id"], headers.get("authorization", ""), request))


async def _send(send: Any, answer: Answer) -> None:
    await respond(send, answer.status, msgspec.json.encode(answer.body))


async def _send_page(send: Any, page: portal.Page) -> None:
    """No cache keeps it, no other site learns its address, and nothing but its own form runs on it."""
    headers = [
        (b"cache-control", b"no-store"),
        (b"referrer-policy", b"no-referrer"),
        (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"),
        *([(b"location", page.sees.encode())] if page.sees is not None else []),
    ]
    await respond(send, page.status, page.html.encode(), b"text/html; charset=utf-8", headers)


async def visit(database: Database, vault: Vault, app_id: str, token: str, fields: Mapping[str, str] | None) -> portal.Page:
    """The customer portal's page, as a browser asks for it; `fields` of the form where a button was pressed."""
    try:
        project_id = await catalog.project_of_app(database, app_id)
        if project_id is None:
            raise portal.SessionOver
        async with database.transaction(project_id) as tx:
            app = await actions.require_store(tx, vault, app_id)
            return await portal.show(tx, app, token) if fields is None else await portal.do(tx, app, token, fields)
    except PerennialError as error:
        return portal.Page(status=404, html=f"<!doctype html><title>Simulated customer portal</title><p>{escape(error.message)}</p>")


async def answer(database: Database, vault: Vault, app_id: str, authorization: str, request: Request) -> Answer:
    """What Stripe's API says to a request about an app."""
    project_id = await catalog.project_of_app(database, app_id)
    if project_id is None:
        return Refused(401, "Invalid API Key provided").answer
    try:
        async with database.transaction(project_id) as tx:
            app = (await intake.store_apps(tx, vault, [app_id]))[app_id]
            expected = f"Bearer {app.reveal('api_key')}"
            if not actions.is_simulated(app) or not hmac.compare_digest(expected.encode(), authorization.encode()):
                raise Refused(401, "Invalid API Key provided")
            return Answer(status=200, body=await _route(Counter(tx=tx, app=app), request))
    except Refused as refused:
        return refused.answer
    except NotFound as error:
        return Missing(error.message).answer
    except (Conflict, Invalid) as error:
        return Refused(400, error.message).answer


# The calls --------------------------------------------------------------------------------------------------------------------

Call = Callable[[Counter, Request, str], Awaitable[Object]]


async def _route(counter: Counter, request: Request) -> Object:
    collection, _, identifier = request.call.rpartition("/")
    call = _CALLS.get((request.method, request.call if (request.method, request.call) in _CALLS else f"{collection}/"))
    if call is None:
        raise Refused(404, f"Unrecognized request URL ({request.method}: /v1/{request.call})")
    return await call(counter, request, identifier)


async def _life(counter: Counter, subject: str) -> Life:
    life = await db.find(counter.tx, counter.app_id, actions.code_of(subject))
    if life is None:
        raise Missing(subject)
    return rules.play(life, counter.tx.now)


async def _lives(counter: Counter, request: Request, *subjects: str) -> list[Life]:
    """Those a list is about: by the id it is filtered by, or all, newest first."""
    for name in subjects:
        if subject := request.fields.get(name):
            found = await db.find(counter.tx, counter.app_id, actions.code_of(subject))
            return [rules.play(found, counter.tx.now)] if found is not None else []
    return await actions.lives(counter.tx, counter.app_id, limit=MOST_LIVES)


def _paged(request: Request, data: Sequence[Object]) -> Object:
    """A page, after the object named where one is."""
    try:
        limit = int(request.fields.get("limit", "10"))
    except ValueError:
        limit = 0
    if not 1 <= limit <= 100:
        raise Refused(400, "limit must be between 1 and 100")
    ids = [one["id"] for one in data]
    after = request.fields.get("starting_after")
    if after is not None and after not in ids:
        raise Missing(after)
    start = ids.index(after) + 1 if after is not None else 0
    return payloads.page(list(data[start : start + limit]), has_more=len(data) > start + limit)


def _invoice(life: Life, subject: str) -> Invoice:
    """The invoice an id of it, of its payment, its charge or its dispute belongs to."""
    number = subject.split("_")[2] if subject.count("_") > 1 else ""
    found = next((one for one in life.invoices if str(one.number) == number), None)
    if found is None:
        raise Missing(subject)
    return found


def _paid(life: Life, subject: str) -> Invoice:
    found = _invoice(life, subject)
    if not found.paid:
        raise Missing(subject)
    return found


def _newest_first(life: Life) -> list[Invoice]:
    return list(reversed(life.invoices)) if life.mode == "subscription" else []


def _is_within(request: Request, seconds: int) -> bool:
    try:
        since, until = (int(request.fields.get(f"created[{bound}]", fallback)) for bound, fallback in (("gte", "0"), ("lte", str(10**12))))
    except ValueError as error:
        raise Refused(400, "created[gte] and created[lte] are seconds") from error
    return since <= seconds <= until


async def _get_subscription(counter: Counter, request: Request, subject: str) -> Object:
    life = await _life(counter, subject)
    if life.mode != "subscription":
        raise Missing(subject)
    return payloads.subscription(life, request.expand)


async def _list_subscriptions(counter: Counter, request: Request, _: str) -> Object:
    found = [life for life in await _lives(counter, request, "customer") if life.mode == "subscription"]
    if request.fields.get("status") != "all":
        found = [life for life in found if life.status not in ("canceled", "incomplete_expired")]
    return _paged(request, [payloads.subscription(life, request.expand) for life in found])


async def _get_schedule(counter: Counter, request: Request, subject: str) -> Object:
    return payloads.schedule(await _life(counter, subject))


async def _get_customer(counter: Counter, request: Request, subject: str) -> Object:
    return payloads.customer(await _life(counter, subject))


async def _get_invoice(counter: Counter, request: Request, subject: str) -> Object:
    life = await _life(counter, subject)
    if life.mode != "subscription":
        raise Missing(subject)
    return payloads.invoice(life, _invoice(life, subject), request.expand)


async def _list_invoices(counter: Counter, request: Request, _: str) -> Object:
    found = await _lives(counter, request, "subscription", "customer")
    return _paged(request, [payloads.invoice(life, one, request.expand) for life in found for one in _newest_first(life)])


async def _list_invoice_payments(counter: Counter, request: Request, _: str) -> Object:
    subject = request.fields.get("invoice") or request.fields.get("payment[payment_intent]")
    if not subject:
        raise Refused(400, "name an invoice or a payment")
    found = await db.find(counter.tx, counter.app_id, actions.code_of(subject))
    if found is None or found.mode != "subscription":
        return payloads.page([])
    life = rules.play(found, counter.tx.now)
    return payloads.page([payloads.invoice_payment(life, one)] if (one := _invoice(life, subject)).paid else [])


async def _get_payment_intent(counter: Counter, request: Request, subject: str) -> Object:
    life = await _life(counter, subject)
    return payloads.payment_intent(life, _paid(life, subject))


async def _get_charge(counter: Counter, request: Request, subject: str) -> Object:
    life = await _life(counter, subject)
    return payloads.charge(life, _paid(life, subject), request.expand)


async def _list_charges(counter: Counter, request: Request, _: str) -> Object:
    found = await _lives(counter, request, "payment_intent", "customer")
    intent = request.fields.get("payment_intent")
    paid = [(life, one) for life in found for one in reversed(life.invoices) if one.paid and intent in (None, payloads.payment_id(life, one))]
    return _paged(request, [payloads.charge(life, one, request.expand) for life, one in paid])


def _refunds(life: Life) -> list[tuple[Invoice, Back]]:
    return [(one, back) for one in reversed(life.invoices) for back in reversed(one.refunds)]


async def _get_refund(counter: Counter, request: Request, subject: str) -> Object:
    life = await _life(counter, subject)
    made = {refund["id"]: refund for refund in (payloads.refund(life, one, back) for one, back in _refunds(life))}
    if subject not in made:
        raise Missing(subject)
    return made[subject]


async def _list_refunds(counter: Counter, request: Request, _: str) -> Object:
    found = await _lives(counter, request, "charge", "payment_intent")
    made = [payloads.refund(life, one, back) for life in found for one, back in _refunds(life)]
    filters = {name: request.fields[name] for name in ("charge", "payment_intent") if name in request.fields}
    return _paged(request, [one for one in made if all(one[name] == wanted for name, wanted in filters.items())])


async def _get_dispute(counter: Counter, request: Request, subject: str) -> Object:
    life = await _life(counter, subject)
    found = _invoice(life, subject)
    if found.dispute is None:
        raise Missing(subject)
    return payloads.dispute(life, found)


async def _list_disputes(counter: Counter, request: Request, _: str) -> Object:
    found = await _lives(counter, request, "charge", "payment_intent")
    made = [payloads.dispute(life, one) for life in found for one in reversed(life.invoices) if one.dispute is not None]
    filters = {name: request.fields[name] for name in ("charge", "payment_intent") if name in request.fields}
    return _paged(request, [one for one in made if all(one[name] == wanted for name, wanted in filters.items())])


async def _get_session(counter: Counter, request: Request, subject: str) -> Object:
    return payloads.session(await _life(counter, subject), request.expand)


async def _list_sessions(counter: Counter, request: Request, _: str) -> Object:
    found = await _lives(counter, request, "subscription", "payment_intent", "customer")
    made = [payloads.session(life, request.expand) for life in found]
    intent = request.fields.get("payment_intent")
    return _paged(request, [one for one in made if intent in (None, one["payment_intent"]) and _is_within(request, one["created"])])


async def _list_events(counter: Counter, request: Request, _: str) -> Object:
    found = await _lives(counter, request)
    made = [(one.at, one.number, payloads.event(life, one)) for life in found for one in life.happenings]
    newest_first = sorted(made, key=lambda event: (event[0], event[2]["id"].rpartition("_")[0], event[1]), reverse=True)
    return _paged(request, [event for _, _, event in newest_first if _is_within(request, event["created"])])


async def _list_prices(counter: Counter, request: Request, _: str) -> Object:
    """Those the catalog has of one product, in one currency."""
    product = request.fields.get("product", "")
    found = (await catalog.find_products(counter.tx, [(counter.app_id, product)])).get((counter.app_id, product))
    currency = request.fields.get("currency", "").upper()
    prices = [price for price in found.prices if price.currency == currency] if found is not None and found.archived_at is None else []
    return _paged(request, [payloads.price(actions.plan_of(found, price)) for price in prices if found is not None])


async def _product(counter: Counter, price: str) -> Product:
    return await require_product(counter.tx, counter.app_id, payloads.product_of(price))


def _plan(product: Product, life: Life) -> Plan:
    """At the product's price in the currency the subscription is paid in."""
    price = next((one for one in product.prices if one.currency == life.plan.price.currency), None)
    if price is None or product.type != "subscription":
        raise Refused(400, f"No such price: {product.store_identifier} has no recurring one in {life.plan.price.currency}", code="resource_missing")
    return actions.plan_of(product, price)


async def _change_subscription(counter: Counter, request: Request, subject: str) -> Object:
    """Canceling at the period's end, taking that back, moving the renewal by a trial, and another price at once."""
    now, wanted = counter.tx.now, request.fields
    product = await _product(counter, wanted["items[0][price]"]) if "items[0][price]" in wanted else None

    def change(life: Life) -> Life:
        if wanted.get("cancel_at_period_end") == "true":
            return life if life.cancel_at_period_end else rules.cancel(life, now)
        if wanted.get("cancel_at_period_end") == "false":
            return rules.uncancel(life, now) if life.cancel_at_period_end else life
        if "trial_end" in wanted and wanted.get("proration_behavior") == "none":
            return rules.move_renewal(life, EPOCH + timedelta(seconds=_whole(wanted["trial_end"], "trial_end")), now)
        if product is not None:
            if wanted.get("items[0][id]") != payloads.item_id(life):
                raise Refused(400, f"No such subscription item: {wanted.get('items[0][id]')}", code="resource_missing")
            invoiced: Literal["now", "later"] = "now" if wanted.get("proration_behavior") == "always_invoice" else "later"
            return rules.upgrade(life, _plan(product, life), now, invoiced=invoiced)
        raise Refused(400, "the simulated Stripe changes cancel_at_period_end, trial_end with proration_behavior none, or the item's price")

    life = await actions.act(counter.tx, counter.app_id, subject, lambda life: rules.once(life, request.key, change))
    return payloads.subscription(life)


async def _make_schedule(counter: Counter, request: Request, _: str) -> Object:
    """From a subscription: so far it says nothing but what is so."""
    return payloads.schedule(await _life(counter, request.fields.get("from_subscription", "")))


async def _change_schedule(counter: Counter, request: Request, subject: str) -> Object:
    """Two phases: the period that runs, and another price from its end on."""
    wanted = request.fields
    product = await _product(counter, wanted.get("phases[1][items][0][price]", ""))

    def change(life: Life) -> Life:
        if _whole(wanted.get("phases[0][end_date]", ""), "phases[0][end_date]") != payloads.seconds(life.period_end):
            raise Refused(400, "the simulated Stripe changes a plan at the end of the period that runs, and nowhere else")
        return rules.downgrade(life, _plan(product, life), counter.tx.now)

    return payloads.schedule(await actions.act(counter.tx, counter.app_id, subject, lambda life: rules.once(life, request.key, change)))


async def _end_subscription(counter: Counter, request: Request, subject: str) -> Object:
    def cancel(life: Life) -> Life:
        if life.ended_at is not None:
            raise Missing(subject)
        return rules.end(life, counter.tx.now)

    return payloads.subscription(await actions.act(counter.tx, counter.app_id, subject, lambda life: rules.once(life, request.key, cancel)))


async def _make_refund(counter: Counter, request: Request, _: str) -> Object:
    subject = request.fields.get("payment_intent") or request.fields.get("charge") or ""
    number = _paid(await _life(counter, subject), subject).number
    amount = _whole(request.fields["amount"], "amount") if "amount" in request.fields else None

    def give_back(life: Life) -> Life:
        invoice = life.invoices[number - 1]
        if rules.given_back(invoice) >= invoice.paid:
            raise Refused(400, "Charge has already been refunded.", code="charge_already_refunded")
        part = money(amount, life.plan.price.currency).amount if amount is not None else None
        return rules.refund(life, number, part, counter.tx.now)

    life = await actions.act(counter.tx, counter.app_id, subject, lambda life: rules.once(life, request.key, give_back))
    invoice = life.invoices[number - 1]
    return payloads.refund(life, invoice, invoice.refunds[-1])


async def _make_portal_session(counter: Counter, request: Request, _: str) -> Object:
    customer = request.fields.get("customer", "")
    if not customer.startswith("cus_"):
        raise Refused(400, "Missing required param: customer.", code="parameter_missing")
    return portal.session(counter.app, await _life(counter, customer), request.fields.get("return_url"), counter.tx.now)


def _whole(text: str, name: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 12:
        raise Refused(400, f"Invalid integer: {name}")
    return int(text)


_CALLS: dict[tuple[str, str], Call] = {
    ("GET", "subscriptions/"): _get_subscription,
    ("GET", "subscriptions"): _list_subscriptions,
    ("POST", "subscriptions/"): _change_subscription,
    ("DELETE", "subscriptions/"): _end_subscription,
    ("GET", "subscription_schedules/"): _get_schedule,
    ("POST", "subscription_schedules"): _make_schedule,
    ("POST", "subscription_schedules/"): _change_schedule,
    ("GET", "prices"): _list_prices,
    ("GET", "customers/"): _get_customer,
    ("GET", "invoices/"): _get_invoice,
    ("GET", "invoices"): _list_invoices,
    ("GET", "invoice_payments"): _list_invoice_payments,
    ("GET", "payment_intents/"): _get_payment_intent,
    ("GET", "charges/"): _get_charge,
    ("GET", "charges"): _list_charges,
    ("GET", "refunds/"): _get_refund,
    ("GET", "refunds"): _list_refunds,
    ("POST", "refunds"): _make_refund,
    ("GET", "disputes/"): _get_dispute,
    ("GET", "disputes"): _list_disputes,
    ("GET", "checkout/sessions/"): _get_session,
    ("GET", "checkout/sessions"): _list_sessions,
    ("GET", "events"): _list_events,
    ("POST", "billing_portal/sessions"): _make_portal_session,
}
