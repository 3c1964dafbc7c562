"""From what Roku says of a transaction to what it states.

An answer has two parts: the charge that was asked for (its date, its price) and the present state of its subscription (`isEntitled`,
`expirationDate`, `cancelled`), which is the same whichever charge was asked for. The state is Roku's table:

    current           entitled      expires later    not cancelled
    in grace, 3 days  entitled      expired          not cancelled
    on hold, to day 60  not         expired          not cancelled
    cancel pending    entitled      expires later    cancelled
    ended             not           expired          cancelled

Where Roku leaves a choice, this is ours:

- **Not entitled before the end**: access was taken back. `isEntitled` is believed, but for a downgrade to come (PendingActive), which gives
  nothing yet, whatever it says.
- **Ended after a failed charge** is `billing_error`, else `unsubscribe`: the answer does not tell them apart, the line's history does.
- **A downgrade** cancels the old subscription at once and begins a new one at its end. That is a change of product to come, no
  cancellation; a line whose next product is known goes on.
- **A charge with two ids** (a recovery and its sale) is one: two charges of a line at the same minute for the same product.
- **A renewal nobody told us of** shows as a later end of a period that is over. It is a charge named by its end, `<line>#<epoch seconds>`, without a
  price, until its own push comes and fills it in. A later end of a period that still runs is an extension.
- **Chargebacks** tell no transaction: they take back the line's latest paid one, in full.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from perennial.base import reading
from perennial.base.errors import Invalid
from perennial.base.money import Money
from perennial.base.time import to_ms
from perennial.base.value import replace, value
from perennial.catalog.model import Product
from perennial.intake.model import StoreApp
from perennial.providers.roku.payload import Push, Transaction, moment, moment_or_none, money, normal
from perennial.subscriptions.model import EndReason, Environment, Kind, Line, Purchase, Refund, Renewal, Revocation, Statement

GRACE = timedelta(days=3)
CHARGES = frozenset(("Sale", "UpgradeSale", "DowngradeSale", "GraceRecovered", "OnHoldRecovered"))
NO_SUBJECT = frozenset(("Credit",))  # about the customer, not about a transaction

_SAME = timedelta(minutes=1)
_KINDS: dict[str, Kind] = {"consumable": "consumable", "non_renewing_subscription": "non_renewing", "subscription": "subscription"}
_CHARGEBACKS = {"Chargeback": ("chargeback", False), "ChargebackReversed": ("chargeback", True), "SecondChargeback": ("second_chargeback", False)}


@value
class Hint:
    """Why Roku made us ask, as a question's `hint` spells it: `<type> <transaction> <epoch ms>`, and ` trial` at a free trial's beginning."""

    type: str = ""
    transaction: str = ""
    at: datetime | None = None
    is_trial: bool = False

    @classmethod
    def of(cls, push: Push, now: datetime) -> "Hint":
        at = moment_or_none(push.event_date, "eventDate") or now
        return cls(type=push.transaction_type, transaction=normal(push.transaction_id), at=at, is_trial=push.is_free_trial is True)

    @classmethod
    def parse(cls, text: str) -> "Hint":
        words = text.split()
        if len(words) < 3 or not words[2].isascii() or not words[2].isdigit():
            return cls()
        return cls(type=words[0], transaction=words[1], at=reading.milliseconds(words[2], "hint"), is_trial=words[3:] == ["trial"])

    def __str__(self) -> str:
        assert self.at is not None, "only a push's hint is spelled"
        return f"{self.type} {self.transaction} {to_ms(self.at)}" + (" trial" if self.is_trial else "")


@value
class Known:
    """What is known beside an answer: why it was asked for, the line, the catalog's products, and the charges it replaced."""

    hint: Hint = Hint()
    line: Line | None = None
    products: tuple[Product, ...] = ()
    replaced: tuple[Transaction, ...] = ()
    refund: Transaction | None = None


def environment(app: StoreApp) -> Environment:
    """Roku marks no test: a beta channel is an app of its own, whose setting says so."""
    return "sandbox" if app.settings.get("environment") == "sandbox" else "production"


def line_of(transaction: Transaction) -> str:
    return normal(_needed(transaction.original_transaction_id or transaction.transaction_id, "OriginalTransactionId"))


def statements(app: StoreApp, transaction: Transaction, known: Known, now: datetime) -> tuple[Statement, ...]:
    """What a validated transaction states at `now`."""
    also = {line_of(one) for one in known.replaced} - {line_of(transaction)}
    if known.line is not None:
        also |= {known.line.store_line} - {line_of(transaction)}
    if _is_to_come(transaction):
        return _scheduled(app, transaction, known, now)
    purchase = _with_refunds(_present(_purchase(transaction, known, now), known, now), known)
    old = tuple(replace(_purchase(one, Known(), now), is_superseded=True, revocation=None) for one in known.replaced)
    is_replaced = known.hint.type in ("UpgradeCancellation", "DowngradeCancellation")
    has_renewal = purchase.kind == "subscription" and not is_replaced
    stated = Statement(
        store=app.store,
        environment=environment(app),
        line=line_of(transaction),
        purchases=(*(one for one in old if one.transaction != purchase.transaction), *_refunded_before(known, purchase, now), purchase),
        renewals=(_renewal(transaction, purchase, known.line, now),) if has_renewal else (),
        also=tuple(sorted(also)),
        customer_hint=transaction.partner_reference_id or None,
        original_purchased_at=_original(transaction),
    )
    return (stated,)


def _original(transaction: Transaction) -> datetime | None:
    said = transaction.original_purchase_date
    return None if not said else reading.aside("originalPurchaseDate", said, lambda: moment(said, "originalPurchaseDate"))


def in_order(stated: Sequence[Statement]) -> tuple[Statement, ...]:
    """Several answers of one moment: how a line goes on is said by the last of them alone."""
    last = {one.line: place for place, one in enumerate(stated) if one.renewals}
    return tuple(one if last.get(one.line, place) == place else replace(one, renewals=()) for place, one in enumerate(stated))


def _is_to_come(transaction: Transaction) -> bool:
    return (transaction.purchase_status or "").replace("_", "") == "PendingActive"


def _scheduled(app: StoreApp, transaction: Transaction, known: Known, now: datetime) -> tuple[Statement, ...]:
    """A downgrade that has not begun: the old subscription goes on into another product."""
    product = _needed(transaction.product_id, "productId")
    return tuple(
        Statement(
            store=app.store,
            environment=environment(app),
            line=line_of(old),
            purchases=(replace(_purchase(old, Known(), now), revocation=None),),
            renewals=(Renewal(as_of=now, transaction=normal(old.transaction_id or ""), auto_renew=True, next_product=product),),
            also=(line_of(transaction),),
            customer_hint=transaction.partner_reference_id or None,
        )
        for old in known.replaced
    )


def _purchase(transaction: Transaction, known: Known, now: datetime) -> Purchase:
    bought_at = moment(_needed(transaction.purchase_date, "purchaseDate"), "purchaseDate")
    expires_at = moment(transaction.expiration_date, "expirationDate") if transaction.expiration_date else None
    product = _needed(transaction.product_id, "productId")
    identifier = normal(_needed(transaction.transaction_id, "transactionId"))
    held = _same_charge(known.line, identifier, bought_at, product)
    is_first = identifier == line_of(transaction) and transaction.purchase_type is None
    total, tax = money(transaction.total, transaction.currency), money(transaction.tax, transaction.currency)
    was_trial = held is not None and held.period_type == "trial"
    is_trial = was_trial or (known.hint.is_trial and known.hint.transaction == identifier)
    kind: Kind = "subscription" if expires_at is not None else _kind(product, known.products)
    return Purchase(
        transaction=held.transaction if held is not None else identifier,
        product=product,
        kind=kind,
        purchased_at=bought_at,
        expires_at=expires_at,
        as_of=now,
        is_first=is_first,
        is_renewal=kind == "subscription" and identifier != line_of(transaction) and transaction.purchase_type is None,
        period_type="trial" if is_trial else "normal",
        price=total,
        tax=tax if total is not None else None,
        quantity=reading.quantity(transaction.quantity or None),
        revocation=_revocation(transaction, expires_at, held, known.hint, now) if kind == "subscription" else None,
        is_superseded=known.hint.type == "UpgradeCancellation",
    )


def _present(purchase: Purchase, known: Known, now: datetime) -> Purchase:
    """The period whose state was answered: its own, or another of the line, where an earlier charge was asked for."""
    periods = [one.purchase for one in known.line.held if one.purchase.expires_at is not None] if known.line is not None else []
    if known.line is None or purchase.expires_at is None or not periods:
        return purchase
    end, last = purchase.expires_at, periods[-1]
    same_end = next((one for one in reversed(periods) if one.expires_at is not None and abs(one.expires_at - end) <= _SAME), None)
    if all(one.transaction != purchase.transaction for one in periods):  # a new charge, or one we had to make up a name for
        return replace(purchase, transaction=same_end.transaction) if same_end is not None and "#" in same_end.transaction else purchase
    if same_end is not None and same_end.transaction != purchase.transaction:
        return replace(same_end, as_of=now, revocation=purchase.revocation)
    if last.expires_at is None or same_end is not None or end <= last.expires_at or now <= last.expires_at:
        return purchase
    return replace(
        purchase,
        transaction=f"{known.line.store_line}#{to_ms(end) // 1000}",
        purchased_at=last.expires_at,
        is_first=False,
        is_renewal=True,
        period_type="normal",
        price=None,
        tax=None,
    )


def _same_charge(line: Line | None, identifier: str, bought_at: datetime, product: str) -> Purchase | None:
    for held in reversed(line.held if line is not None else ()):
        one = held.purchase
        if one.transaction == identifier or (one.product == product and abs(one.purchased_at - bought_at) <= _SAME):
            return one
    return None


def _kind(product: str, products: tuple[Product, ...]) -> Kind:
    found = next((one for one in products if one.store_identifier == product), None)
    return _KINDS.get(found.type, "non_consumable") if found is not None else "non_consumable"


def _revocation(transaction: Transaction, expires_at: datetime | None, held: Purchase | None, hint: Hint, now: datetime) -> Revocation | None:
    """Money is said by refunds, so none is said here. Once taken back, it stays the moment it was."""
    if transaction.is_entitled or expires_at is None or expires_at <= now or hint.type in ("UpgradeCancellation", "DowngradeCancellation"):
        return None
    if held is not None and held.revocation is not None:
        return held.revocation
    return Revocation(at=hint.at if hint.at is not None and hint.type == "Cancellation" else now, refunded=False)


def _renewal(transaction: Transaction, purchase: Purchase, line: Line | None, now: datetime) -> Renewal:
    assert purchase.expires_at is not None, "a subscription has an end"
    last = line.renewals[-1] if line is not None and line.renewals else None
    is_over = purchase.expires_at <= now
    is_downgraded = transaction.cancelled and last is not None and last.next_product != purchase.product
    next_product = last.next_product if is_downgraded and last is not None else None
    stated = Renewal(as_of=now, transaction=purchase.transaction, auto_renew=not transaction.cancelled, next_product=next_product)
    if transaction.cancelled and transaction.is_entitled:
        return replace(stated, auto_renew=True) if next_product else replace(stated, off_reason="unsubscribe")
    if transaction.is_entitled:
        return replace(stated, in_billing_retry=True, grace_until=purchase.expires_at + GRACE) if is_over else stated
    if not is_over:
        return _taken_back(replace(stated, auto_renew=False, off_reason="customer_support"), purchase, line)
    if not transaction.cancelled:
        return replace(stated, in_billing_retry=True, ended="billing_error")
    reason: EndReason = "billing_error" if last is not None and last.in_billing_retry else "unsubscribe"
    return replace(stated, auto_renew=False, off_reason=reason, ended=reason)


def _taken_back(stated: Renewal, purchase: Purchase, line: Line | None) -> Renewal:
    """The subscription is over as a whole: an earlier period, renewed before it ended, does not outlive it."""
    at = purchase.revocation.at if purchase.revocation is not None else None
    earlier = [one.purchase for one in line.held if one.purchase.transaction != purchase.transaction] if line is not None else []
    if at is None or all(one.expires_at is None or one.expires_at <= at for one in earlier):
        return stated
    return replace(stated, ended="customer_support", ended_at=at)


# Money back


def _with_refunds(purchase: Purchase, known: Known) -> Purchase:
    """This charge with what was given back of it, where it is the one."""
    refund = _refund(purchase, known) if _refunded(purchase, known) is purchase else None
    return purchase if refund is None else replace(purchase, refunds=(refund,))


def _refunded_before(known: Known, present: Purchase, now: datetime) -> tuple[Purchase, ...]:
    """The charge of earlier that was given back, where it is not the present one."""
    target = _refunded(present, known)
    if target is None or target is present:
        return ()
    refund = _refund(target, known)
    return () if refund is None else (replace(target, as_of=now, refunds=(refund,)),)


def _refunded(present: Purchase, known: Known) -> Purchase | None:
    """Which charge was given back: the one of the refund's purchase date, else the latest paid one before it."""
    if known.refund is None and known.hint.type not in _CHARGEBACKS:
        return None
    charges = [one.purchase for one in known.line.held if one.purchase.transaction != present.transaction] if known.line is not None else []
    charges = sorted([*charges, present], key=lambda one: one.purchased_at)
    if known.refund is not None and known.refund.purchase_date:
        bought_at = moment_or_none(known.refund.purchase_date, "purchaseDate")
        for one in charges:
            if bought_at is not None and abs(one.purchased_at - bought_at) <= _SAME:
                return one
    before = [
        one for one in charges if one.price is not None and one.price.amount > 0 and (known.hint.at is None or one.purchased_at <= known.hint.at)
    ]
    return before[-1] if before else None


def _refund(target: Purchase, known: Known) -> Refund | None:
    at = known.hint.at
    assert at is not None, "a push told of it"
    if known.refund is not None:
        amount = money(known.refund.total or known.refund.amount, known.refund.currency)
        amount = amount if amount is None or amount.amount >= 0 else -amount
        return _positive(Refund(identifier=known.hint.transaction, at=at, amount=amount)) if amount is not None else None
    name, is_reversed = _CHARGEBACKS[known.hint.type]
    identifier = f"{target.transaction}:{name}"
    before = next((one for one in target.refunds if one.identifier == identifier), None)
    price = target.price or Money(amount=0, currency="USD")
    return _positive(
        Refund(
            identifier=identifier,
            at=before.at if before is not None else at,
            amount=before.amount if before is not None else price,
            is_reversed=is_reversed or (before is not None and before.is_reversed),
        )
    )


def _positive(refund: Refund) -> Refund | None:
    return refund if refund.amount.amount > 0 else None


def _needed(text: str | None, field: str) -> str:
    if not text:
        raise Invalid(f"Roku's answer lacks `{field}`", param=field)
    return text
