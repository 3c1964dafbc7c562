"""Google Play: what it pushes, what it answers, what it is asked to do.

`push` verifies who sent a notification, `payload` is Google's wire format, `read` turns notifications into questions, `api` asks, `subscription`
and `one_time` turn answers into statements (`orders` says what a charge was), `receipt` checks what devices sign, `pull` fetches instead of being
pushed to.

An app of the Play Store has its package name as `bundle_id`, and

| setting | |
|---|---|
| `pubsub_audience` | the audience of the push subscription's tokens, exactly as it was set there |
| `pubsub_service_account` | the e-mail of the service account the push subscription signs in as |
| `pubsub_subscription` | `projects/PROJECT/subscriptions/NAME`: where set, pushes of others are not read; without an audience, workers pull it |
| `license_key` | the app's public key from the Play Console, for receipts with a signature |

and the secret `service_account`: the JSON key of the service account invited in the Play Console. Certificates among the app's `simulated_roots`
may sign push tokens in the place of Google, and nothing else.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta

import httpx
import structlog

from perennial.base.errors import Invalid, NotFound
from perennial.base.http import tls
from perennial.base.reading import answer_of, milliseconds, noting
from perennial.base.value import replace
from perennial.intake.model import Act, CannotAct, Caught, Envelope, Posted, Question, Reading, StoreApp
from perennial.providers.google import one_time, pull, push, read, receipt, subscription
from perennial.providers.google.api import PAUSES, NoLongerKept, NotKnown, NotUnderstood, PlayUnavailable, PublisherApi, Refused
from perennial.providers.google.one_time import ProductAnswer
from perennial.providers.google.orders import voided_hint
from perennial.providers.google.payload import Order, ProductPurchase, Subscription, millis, moment, second_version
from perennial.providers.google.subscription import EXPIRED, Answer, Link
from perennial.subscriptions.model import Environment, Line, Statement

__all__ = ["NoLongerKept", "NotKnown", "PlayStore", "PlayUnavailable"]

MOST_LINKS = 10  # of a chain of tokens, walked in one go
FORGOTTEN = "Google keeps a purchase for 60 days after its end, and has forgotten this one"

_UNACKNOWLEDGED = 8  # voidedReason

log = structlog.get_logger("perennial.google")


class PlayStore:
    """Google Play as `intake.model.Provider`. One serves all apps of a process; close it at the end. `pauses`: between tries, in seconds."""

    def __init__(self, *, certificates: str = push.CERTIFICATES, pubsub: str = pull.ADDRESS, pauses: Sequence[float] = PAUSES) -> None:
        self._http = httpx.AsyncClient(verify=tls(), timeout=httpx.Timeout(20, connect=5), headers={"User-Agent": "perennial"})
        self._keys = push.Keys(self._http, certificates)
        self._api = PublisherApi(self._http, pauses=pauses)
        self._pubsub = pubsub

    async def close(self) -> None:
        await self._http.aclose()

    # Notifications

    async def prepare(self, headers: Mapping[str, str], body: bytes) -> None:
        """Google's keys, where the one that a push token names is not known yet."""
        await self._keys.prepare(headers)

    def open(self, app: StoreApp, body: bytes, headers: Mapping[str, str], now: datetime) -> Envelope:
        """Verify the push token. What came with a good one is kept, whatever it is: refused, it would come again for a week."""
        push.verify(app, headers, self._keys, now)
        return push.envelope(body, now)

    def read(self, app: StoreApp, body: bytes, now: datetime) -> Reading:
        """A notification puts a question; it states nothing itself."""
        return read.notified(app, body)

    async def pull(self, app: StoreApp, keep: pull.Keep, now: datetime) -> int:
        """Takes notifications that wait in the app's `pubsub_subscription`; returns how many."""
        return await pull.pull(self._api, app, keep, now, address=self._pubsub)

    # Asking

    def can_ask(self, app: StoreApp) -> bool:
        """Whether the app has what the Android Publisher API asks for."""
        return bool(app.bundle_id and app.secrets.get("service_account"))

    async def ask(self, app: StoreApp, question: Question, posted: Posted, now: datetime) -> Reading:
        """The present state of a purchase token, and the orders behind it.

        A question put before it was known whose purchase it is (a licence tester's is the sandbox's) is put again where it belongs, so that what
        we hold of the line is beside the answer.
        """
        try:
            reading, environment = await self._look_up(app, question.subject, posted, question.hint, now)
        except NoLongerKept:
            return Reading(note=FORGOTTEN)
        if environment != question.environment:
            return Reading(questions=(replace(question, environment=environment),))
        return reading

    async def read_receipt(self, app: StoreApp, posted: Posted, now: datetime) -> Reading:
        """A purchase token as an SDK posts it, or signed purchase data; what it stands for is Google's to say."""
        proof = receipt.proof_of(app, posted.token, posted.product_ids)
        try:
            asked = replace(posted, product_ids=proof.products)
            reading, _ = await self._look_up(app, proof.token, asked, "", now, is_post=True)
        except NoLongerKept:
            return _forgotten(proof.token, posted.line)
        except (NotKnown, NotUnderstood) as error:
            raise Invalid(f"Google Play knows no such purchase of this app: {error.message}", param="fetch_token") from error
        return reading

    async def missed(
        self, app: StoreApp, since: datetime, until: datetime, environment: Environment, now: datetime
    ) -> AsyncIterator[Caught | Question]:
        """Purchases voided in the span, as questions: Google remembers 30 days of them, and no notifications. The answers tell the environment."""
        async for voided in self._api.voided(app, since, until, now):
            if voided.purchase_token and voided.order_id:
                if voided.voided_reason == _UNACKNOWLEDGED:
                    log.warning("Google gave a purchase back because nobody acknowledged it in time", app_id=app.app_id, order_id=voided.order_id)
                at = millis(voided.voided_time_millis, "voidedTimeMillis")
                hint = voided_hint(voided.order_id, at, is_full=not voided.voided_quantity)
                yield Question(environment=environment, subject=voided.purchase_token, hint=hint)

    async def _look_up(
        self, app: StoreApp, token: str, posted: Posted, hint: str, now: datetime, *, is_post: bool = False
    ) -> tuple[Reading, Environment]:
        """Asks for a subscription or for a one-time purchase, the likelier first: a token does not tell what it is of."""
        if _is_likely_one_time(posted, hint):
            try:
                return await self._one_time(app, token, posted, hint, now, is_post=is_post)
            except (NotKnown, NotUnderstood):
                return await self._subscription(app, token, posted, hint, now)
        try:
            return await self._subscription(app, token, posted, hint, now)
        except (NotKnown, NotUnderstood):
            return await self._one_time(app, token, posted, hint, now, is_post=is_post)

    async def _subscription(self, app: StoreApp, token: str, posted: Posted, hint: str, now: datetime) -> tuple[Reading, Environment]:
        with noting() as unread:
            found = await self._api.subscription(app, token, now)
        if found.subscription_state is None and not found.line_items and (unread or found != Subscription()):
            raise PlayUnavailable("Google answered what we cannot read: neither a `subscriptionState` nor `lineItems`, and something else")
        environment = subscription.environment_of(found)
        line = posted.line if posted.line is not None and posted.line.environment == environment else None
        earlier = await self._earlier(app, token, found, now) if line is None else ()
        answer = Answer(
            token=token,
            subscription=found,
            as_of=read.said_at(line, now),
            orders=await self._orders(app, found, earlier, line, hint, now),
            line=line,
            hint=hint,
            earlier=earlier,
        )
        with answer_of("Google Play"):
            statements = subscription.subscription_statements(answer)
        note = None if statements else f"nothing is granted: {found.subscription_state or 'an empty answer'}"
        return Reading(statements=statements, note=note, acts=read.acknowledgements(token, found)), environment

    async def _earlier(self, app: StoreApp, token: str, found: Subscription, now: datetime) -> tuple[Link, ...]:
        """The tokens before it, newest first, each asked for once. Where Google has forgotten one, what came before it is out of reach."""
        links: list[Link] = []
        seen, following = {token}, found.linked_purchase_token
        while following and following not in seen and len(links) < MOST_LINKS:
            seen.add(following)
            try:
                earlier = await self._api.subscription(app, following, now)
            except NotFound:
                return (*links, Link(token=following, subscription=None))
            links.append(Link(token=following, subscription=earlier))
            following = earlier.linked_purchase_token
        return tuple(links)

    async def _orders(
        self, app: StoreApp, found: Subscription, earlier: tuple[Link, ...], line: Line | None, hint: str, now: datetime
    ) -> dict[str, Order]:
        """Those surely known apart from those that may never have been, which would spoil the batch."""
        tokens = [found, *(link.subscription for link in earlier if link.subscription is not None)]
        known = [order_id for one in tokens for order_id in read.known_orders(one, line, hint, now)]
        missed = [order_id for one in tokens for order_id in read.missed_orders(one, line)]
        return await self._api.orders(app, missed, now) | await self._api.orders(app, known, now)

    async def _one_time(self, app: StoreApp, token: str, posted: Posted, hint: str, now: datetime, *, is_post: bool) -> tuple[Reading, Environment]:
        found = await self._product(app, token, posted, hint, now)
        environment = one_time.environment_of_product(found)
        line = posted.line if posted.line is not None and posted.line.environment == environment else None
        answer = ProductAnswer(
            token=token,
            purchase=found,
            as_of=read.said_at(line, now),
            order=(await self._api.orders(app, [found.order_id], now)).get(found.order_id) if found.order_id else None,
            line=line,
            hint=hint,
            products=posted.products,
        )
        with answer_of("Google Play"):
            statements = one_time.product_statements(answer)
        note = None if statements else "nothing is granted: the payment is pending, or was given up"
        consumed = read.consumptions(token, found, posted.products) if is_post and not posted.is_completed_by_app else ()
        return Reading(
            statements=statements,
            note=note,
            acts=consumed or read.acknowledgements(token, found),
            should_consume=one_time.should_consume(found, posted.products),
        ), environment

    async def _product(self, app: StoreApp, token: str, posted: Posted, hint: str, now: datetime) -> ProductPurchase:
        """By the present call; by the one before it where only that knows the purchase, which needs the product's name."""
        try:
            return await self._api.product(app, token, now)
        except NotKnown:
            named = [line.removeprefix(f"{read.PRODUCT} ") for line in hint.split("\n") if line.startswith(f"{read.PRODUCT} ")]
            sku = named[0] if named else next(iter(posted.product_ids), None)
            if sku is None:
                raise
            first = await self._api.product_v1(app, sku, token, now)
            with answer_of("Google Play"):
                return second_version(first, sku)

    # Acting

    async def act(self, app: StoreApp, act: Act, posted: Posted, now: datetime) -> Reading:
        """Acknowledge, cancel, refund, revoke, extend or defer. Each looks first whether it is done already, so twice does no harm."""
        try:
            await self._do(app, act, posted, now)
        except (Refused, NotFound) as error:
            raise CannotAct(error.message) from error
        if act.kind == "acknowledge":
            return Reading()
        return Reading(questions=(Question(environment=act.environment, subject=act.subject),))

    async def _do(self, app: StoreApp, act: Act, posted: Posted, now: datetime) -> None:
        match act.kind:
            case "acknowledge":
                await self._acknowledge(app, act, now)
            case "cancel":
                await self._api.cancel(app, act.subject, now)
            case "refund":
                if "amount" in act.details:
                    raise CannotAct("Google Play gives back whole orders; give back a part of one in the Play Console")
                await self._refund(app, _order_of(act), now, revoke=False)
            case "revoke":
                await self._revoke(app, act, posted, now)
            case "extend":
                await self._defer(app, act, _extended(act, posted), now)
            case "defer":
                await self._defer(app, act, milliseconds(act.details["expires_at_ms"], "expires_at_ms"), now)
            case "change":
                raise CannotAct("Google Play lets nobody but the customer change a plan: they do so in the app or in Play")

    async def _acknowledge(self, app: StoreApp, act: Act, now: datetime) -> None:
        """`consume` in the details consumes the purchase instead, where the device did not do so yet."""
        product = str(act.details["product"])
        if act.details.get("type") == "subscription":
            await self._api.acknowledge_subscription(app, product, act.subject, now)
        elif act.details.get("consume"):
            await self._consume(app, product, act.subject, now)
        else:
            await self._api.acknowledge_product(app, product, act.subject, now)

    async def _consume(self, app: StoreApp, product: str, token: str, now: datetime) -> None:
        """Google refuses to consume twice: the device's own call may come before this one, or between looking and consuming."""
        if await self._is_consumed(app, product, token, now):
            return
        try:
            await self._api.consume(app, product, token, now)
        except Refused:
            if not await self._is_consumed(app, product, token, now):
                raise

    async def _is_consumed(self, app: StoreApp, product: str, token: str, now: datetime) -> bool:
        """Whether nothing is left to consume: it was consumed, or what was bought was taken back."""
        found = await self._product(app, token, Posted(product_ids=(product,)), "", now)
        items = [item for item in found.product_line_item if item.product_id == product]
        return not one_time.is_bought(found) or all(one_time.is_consumed(item) for item in items)

    async def _refund(self, app: StoreApp, order_id: str, now: datetime, *, revoke: bool) -> None:
        if (await self._api.order(app, order_id, now)).state != "REFUNDED":
            await self._api.refund(app, order_id, now, revoke=revoke)

    async def _revoke(self, app: StoreApp, act: Act, posted: Posted, now: datetime) -> None:
        if posted.line is not None and any(held.purchase.kind != "subscription" for held in posted.line.held):
            await self._refund(app, _order_of(act), now, revoke=True)
        elif (await self._api.subscription(app, act.subject, now)).subscription_state != EXPIRED:
            await self._api.revoke(app, act.subject, now)

    async def _defer(self, app: StoreApp, act: Act, until: datetime, now: datetime) -> None:
        """By as much as is missing of the moment wanted."""
        found = await self._api.subscription(app, act.subject, now)
        expiries = [moment(item.expiry_time, "expiryTime") for item in subscription.owned_items(found)]
        if not expiries or not found.etag:
            raise CannotAct("Google Play has no running subscription to move on")
        by = until - expiries[0]
        if by >= timedelta(seconds=1):
            await self._api.defer(app, act.subject, by, found.etag, now)


def _is_likely_one_time(posted: Posted, hint: str) -> bool:
    """By what we hold, by what made us ask, by what the catalog says of the products posted."""
    if posted.line is not None and posted.line.held:
        return posted.line.held[-1].purchase.kind != "subscription"
    if hint:
        return any(line.startswith(read.PRODUCT) for line in hint.split("\n"))
    return bool(posted.products) and all(product.type != "subscription" for product in posted.products)


def _order_of(act: Act) -> str:
    """The order an act gives back. Google gives back no purchase as a whole: each of its orders by its id."""
    order_id = act.details.get("transaction")
    if not isinstance(order_id, str) or not order_id:
        raise CannotAct("to give money back, name the order in `transaction` (GPA....): a purchase token does not say which", param="transaction")
    return order_id


def _forgotten(token: str, line: Line | None) -> Reading:
    """What we know of it stays: posting it again still says who has it."""
    if line is None:
        raise Invalid(FORGOTTEN, param="fetch_token")
    return Reading(statements=(Statement(store="play_store", environment=line.environment, line=token, purchases=()),), note=FORGOTTEN)


def _extended(act: Act, posted: Posted) -> datetime:
    """Counted from the end we know: a second attempt adds nothing unless the first one's effect was read in between."""
    ends_at = posted.line.held[-1].purchase.expires_at if posted.line is not None and posted.line.held else None
    if ends_at is None:
        raise CannotAct("only a subscription we know the end of can be extended")
    return ends_at + timedelta(days=int(act.details["days"]))
