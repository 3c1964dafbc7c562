"""The Test Store, as the SDKs know it: keys that begin with `test_`, tokens that begin with `test_`, no money, no account.

A token is the transaction; the product comes from our own catalog, with its price and duration. A subscription renews when its period
ends, like a real one, and stops after a year's worth of renewals, so that a forgotten demo does not grow for ever.
"""

import re
from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta

from perennial.base.errors import Invalid
from perennial.base.money import Money
from perennial.base.reading import later, milliseconds
from perennial.base.time import parse_duration
from perennial.base.value import replace
from perennial.catalog.model import Product
from perennial.intake.model import Act, CannotAct, Caught, Envelope, Posted, Question, Reading, StoreApp
from perennial.subscriptions.model import Environment, Line, Purchase, Refund, Renewal, Revocation, Statement

MOST_RENEWALS = 12

_TOKEN = re.compile(r"test_[A-Za-z0-9_.\-]{1,200}")
_KINDS = {"subscription": "subscription", "consumable": "consumable", "non_renewing_subscription": "non_renewing"}


class TestStore:
    __test__ = False  # a store, not a test case

    async def prepare(self, headers: Mapping[str, str], body: bytes) -> None:
        """Nothing is sent, so nothing is checked."""

    def open(self, app: StoreApp, body: bytes, headers: Mapping[str, str], now: datetime) -> Envelope:
        raise Invalid("the Test Store sends no notifications")

    def read(self, app: StoreApp, body: bytes, now: datetime) -> Reading:
        raise Invalid("the Test Store sends no notifications")

    async def read_receipt(self, app: StoreApp, posted: Posted, now: datetime) -> Reading:
        """Believes the token; the product must be in our catalog."""
        token = posted.token
        if _TOKEN.fullmatch(token) is None:
            raise Invalid("a Test Store token looks like test_1700000000000_...; the SDK makes it", param="fetch_token")
        if posted.line is not None:
            return Reading(statements=(_statement(token, (), ()),))
        if len(posted.product_ids) != 1 or len(posted.products) != 1:
            raise Invalid("the Test Store needs exactly one product of the app's catalog; check product_id and its spelling", param="product_id")
        return Reading(statements=(_statement(token, (_first(token, posted.products[0], now),), ()),))

    def can_ask(self, app: StoreApp) -> bool:
        return True

    async def ask(self, app: StoreApp, question: Question, posted: Posted, now: datetime) -> Reading:
        """Plays the store's part: the next period where the subscription goes on, the end where it does not."""
        line = posted.line
        if line is None:
            return Reading(note=f"nobody has bought {question.subject} in the Test Store")
        product = next((one for one in posted.products if one.store_identifier == line.held[-1].purchase.product), None)
        last = line.held[-1].purchase
        is_on = not line.renewals or line.renewals[-1].auto_renew is not False
        if product is None or product.duration is None or not is_on or len(line.held) > MOST_RENEWALS:
            end = Renewal(
                as_of=now,
                transaction=last.transaction,
                auto_renew=False,
                off_reason="unsubscribe",
                ended="unsubscribe" if _is_past(last, now) else None,
            )
            return Reading(statements=(_statement(line.store_line, (), (end,)),))
        return Reading(statements=(_statement(line.store_line, (_next(line, product, now),), ()),))

    async def missed(
        self, app: StoreApp, since: datetime, until: datetime, environment: Environment, now: datetime
    ) -> AsyncIterator[Caught | Question]:
        nothing: tuple[Question, ...] = ()
        for question in nothing:
            yield question

    async def act(self, app: StoreApp, act: Act, posted: Posted, now: datetime) -> Reading:
        """Does to its own lines whatever a store can do."""
        line = posted.line
        if line is None:
            raise CannotAct(f"nobody has bought {act.subject} in the Test Store")
        match act.kind:
            case "cancel":
                return Reading(statements=(cancel(line, now),))
            case "refund" | "revoke":
                return Reading(statements=(_refund(line, act, now),))
            case "extend" | "defer":
                return Reading(statements=(_extend(line, act, now),))
            case "acknowledge":
                return Reading(note="the Test Store needs no acknowledgement")
            case "change":
                raise CannotAct("the Test Store has no plans to change between: buy the other one")


def cancel(line: Line, now: datetime) -> Statement:
    """The customer turns auto-renew off."""
    return _statement(
        line.store_line, (), (Renewal(as_of=now, transaction=line.held[-1].purchase.transaction, auto_renew=False, off_reason="unsubscribe"),)
    )


def _refund(line: Line, act: Act, now: datetime) -> Statement:
    """The whole of one charge, or of the last one. `revoke` ends access with it, `refund` is money alone."""
    wanted = act.details.get("transaction", line.held[-1].purchase.transaction)
    purchase = next((held.purchase for held in line.held if held.purchase.transaction == wanted), None)
    if purchase is None:
        raise CannotAct(f"no charge {wanted!r} on this purchase", param="transaction")
    if act.kind == "revoke" or purchase.price is None:
        return _statement(line.store_line, (replace(purchase, as_of=now, revocation=Revocation(at=now, refunded=True)),), ())
    amount = Money(amount=int(act.details.get("amount", purchase.price.amount)), currency=purchase.price.currency)
    refund = Refund(identifier=act.act_id, at=now, amount=amount)
    return _statement(line.store_line, (replace(purchase, as_of=now, refunds=(*purchase.refunds, refund)),), ())


def _extend(line: Line, act: Act, now: datetime) -> Statement:
    last = line.held[-1].purchase
    if last.expires_at is None:
        raise CannotAct("what does not end cannot be extended")
    is_deferred = act.kind == "defer"
    if is_deferred:
        expires_at = milliseconds(act.details["expires_at_ms"], "expires_at_ms")
    else:
        expires_at = later(last.expires_at, timedelta(days=int(act.details["days"])))
    if expires_at <= last.expires_at:
        raise CannotAct("a subscription can only be made longer; name a later end", param="expires_at_ms")
    return _statement(line.store_line, (replace(last, as_of=now, expires_at=expires_at),), ())


def _statement(token: str, purchases: tuple[Purchase, ...], renewals: tuple[Renewal, ...]) -> Statement:
    return Statement(store="test_store", environment="sandbox", line=token, purchases=purchases, renewals=renewals)


def _first(token: str, product: Product, now: datetime) -> Purchase:
    is_trial = product.trial_duration is not None
    period = product.trial_duration if is_trial else product.duration
    return Purchase(
        transaction=token,
        product=product.store_identifier,
        kind=_KINDS.get(product.type, "non_consumable"),  # type: ignore[arg-type]
        purchased_at=now,
        expires_at=later(now, parse_duration(period)) if product.type == "subscription" and period else None,
        as_of=now,
        is_first=True,
        is_renewal=False,
        period_type="trial" if is_trial and product.type == "subscription" else "normal",
        price=product.prices[0] if product.prices and not is_trial else None,
    )


def _next(line: Line, product: Product, now: datetime) -> Purchase:
    """Counted from the first paid period, so that month ends do not creep."""
    assert product.duration is not None
    paid = [held.purchase for held in line.held if held.purchase.period_type != "trial"]
    last = line.held[-1].purchase
    assert last.expires_at is not None
    anchor = paid[0].purchased_at if paid else last.expires_at
    return Purchase(
        transaction=f"{line.store_line}..{len(line.held)}",
        product=product.store_identifier,
        kind="subscription",
        purchased_at=last.expires_at,
        expires_at=later(anchor, parse_duration(product.duration), len(paid) + 1),
        as_of=now,
        is_first=False,
        is_renewal=True,
        price=product.prices[0] if product.prices else None,
    )


def _is_past(purchase: Purchase, now: datetime) -> bool:
    return purchase.expires_at is not None and purchase.expires_at <= now
