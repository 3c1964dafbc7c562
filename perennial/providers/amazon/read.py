"""From a receipt as Amazon holds it to what it states.

A subscription's receipt stays one through all renewals and tells only the end of the present period. So periods are made up from what it
told before, and named by their end: `<receiptId>#<epoch seconds>`. The name needs no memory: whoever asks, in whatever order, gives the same
period the same name. What a period's beginning is, the line's earlier periods say; where they are not known, it is counted from the
purchase by the term.

Where Amazon leaves a choice, this is ours:

- **Auto-renew off**: `renewalDate` is gone then. The end stays the one last known. Where none was (first seen so), it is counted from the
  purchase by the term, as Amazon does it: 31 January, 28 February, 31 March.
- **Ended by the system before its time** (cancelReason 2): access is taken back; Amazon tells no money, so no refund is stated. A one-time
  purchase that was cancelled counts as refunded: nothing else cancels it.
- **Price**: Amazon tells none. Where our catalog has exactly one price of the product it is taken, as what was charged for a normal period;
  trials, introductory prices and products with several prices stay without.
- **Whose app**: a receipt names no package, only products; the shared secret stands for a developer. A product of another app of the same
  developer is none of our catalog's and entitles to nothing.
"""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta

from perennial.base import reading
from perennial.base.errors import Invalid
from perennial.base.money import Money
from perennial.base.reading import note
from perennial.base.time import EPOCH, Duration, to_ms
from perennial.base.value import replace
from perennial.intake.model import Posted, StoreApp
from perennial.providers.amazon.payload import Number, Receipt
from perennial.subscriptions.model import (
    EndReason,
    Environment,
    Held,
    Kind,
    Line,
    Offer,
    PeriodType,
    Purchase,
    Renewal,
    Revocation,
    Statement,
)

CUSTOMER, SYSTEM, INTERNAL, REPLACED = 1, 2, 3, 4  # cancelReason

_KINDS: dict[str, Kind] = {"SUBSCRIPTION": "subscription", "CONSUMABLE": "consumable", "ENTITLED": "non_consumable"}
_CATALOG_KINDS: dict[str, Kind] = {"consumable": "consumable", "non_renewing_subscription": "non_renewing"}
_ENDED: dict[int, EndReason] = {CUSTOMER: "unsubscribe", SYSTEM: "billing_error", INTERNAL: "developer"}
_OFFERS: dict[str, tuple[str, PeriodType]] = {
    "Introductory Price - All Customers": ("introductory", "intro"),
    "Promotional Price - Lapsed Customers": ("win_back", "normal"),
    "Retention Offer": ("promotional", "normal"),
}
_TERM = re.compile(r"(\d{1,3})\s*(Day|Week|Month|Year)s?", re.ASCII | re.IGNORECASE)
_SAME = timedelta(minutes=1)  # two ends this close are one
_MOST_TERMS = 2000


def should_consume(receipt: Receipt) -> dict[str, bool]:
    """Whether a device consumes what was bought once. Amazon fulfils both alike, and Android's SDK wants to be told."""
    if receipt.cancel_date is not None or receipt.product_type not in ("CONSUMABLE", "ENTITLED"):
        return {}
    return {receipt.product_id: receipt.product_type == "CONSUMABLE"}


def line_key(receipt_id: str, user_id: str) -> str:
    """RVS wants both, so a line's key holds both: `<receiptId>@<userId>`. Neither kind of id has an @."""
    return f"{receipt_id}@{user_id}"


def parts(key: str) -> tuple[str, str]:
    """The receipt and the user of a line's key."""
    receipt_id, _, user_id = key.rpartition("@")
    if not receipt_id or not user_id:
        raise Invalid(f"{key!r} is not <receiptId>@<userId>", param="subject")
    return receipt_id, user_id


def latest_key(line: Line) -> str:
    """The receipt a line lives on now: after a change of product it is another than the one the line began with."""
    return line_key(line.held[-1].purchase.transaction.split("#")[0], parts(line.store_line)[1])


def statement(
    app: StoreApp, receipt: Receipt, user_id: str, posted: Posted, now: datetime, *, is_sandbox: bool, replaced: tuple[str, ...] = ()
) -> Statement:
    """What a verified receipt states at `now`. `replaced` are receipts of the same user whose place this one took."""
    is_test = is_sandbox or receipt.test_transaction is True or receipt.beta_product is True
    environment: Environment = "sandbox" if is_test else "production"
    renewals: tuple[Renewal, ...] = ()
    kind = _kind(receipt, posted)
    if kind == "subscription":
        held = _held(posted.line, receipt.receipt_id)
        purchase = _period(receipt, held, posted, now)
        renewals = () if purchase.is_superseded else (_renewal(receipt, purchase, held, now),)  # the successor decides
    else:
        purchase = _one_time(receipt, kind, posted, now)
    return Statement(
        store=app.store,
        environment=environment,
        line=line_key(receipt.receipt_id, user_id),
        purchases=(purchase,),
        renewals=renewals,
        also=tuple(line_key(one, user_id) for one in replaced),
        original_purchased_at=_moment(receipt.purchase_date, "purchaseDate"),
    )


def _kind(receipt: Receipt, posted: Posted) -> Kind:
    """By Amazon's word; where we do not know that, what renews or has a term is a subscription, and the catalog knows the rest."""
    kind = _KINDS.get(receipt.product_type or "")
    if kind is not None:
        return kind
    note("productType", receipt.product_type)
    if any(said is not None for said in (receipt.renewal_date, receipt.term, receipt.term_sku, receipt.auto_renewing)):
        return "subscription"
    known = next((one for one in posted.products if one.store_identifier == receipt.product_id), None)
    return _CATALOG_KINDS.get(known.type, "non_consumable") if known is not None else "non_consumable"


def gone(app: StoreApp, line: Line, receipt_id: str, now: datetime) -> Statement | None:
    """Amazon keeps the receipt no more (410): it was cancelled. What we hold of it ends now, if it had not ended."""
    held = _held(line, receipt_id)
    if not held:
        return None
    last = held[-1].purchase
    ends = None if last.expires_at is None else min(last.expires_at, now)
    ended_at = now if _runs_on(held[:-1], now) else None
    ended = Renewal(as_of=now, transaction=last.transaction, auto_renew=False, off_reason="unknown", ended="unknown", ended_at=ended_at)
    revocation = last.revocation or (Revocation(at=now, refunded=True) if last.kind != "subscription" else None)
    return Statement(
        store=app.store,
        environment=line.environment,
        line=line.store_line,
        purchases=(replace(last, expires_at=ends, revocation=revocation, as_of=now),),
        renewals=(ended,) if last.kind == "subscription" and held[-1] is line.held[-1] else (),
    )


def _held(line: Line | None, receipt_id: str) -> list[Held]:
    return [held for held in line.held if held.purchase.transaction.split("#")[0] == receipt_id] if line is not None else []


def _one_time(receipt: Receipt, kind: Kind, posted: Posted, now: datetime) -> Purchase:
    return Purchase(
        transaction=receipt.receipt_id,
        product=receipt.product_id,
        kind=kind,
        purchased_at=_moment(receipt.purchase_date, "purchaseDate"),
        expires_at=None,
        as_of=now,
        is_first=True,
        is_renewal=False,
        price=posted.price or _price(posted, receipt.product_id),
        quantity=reading.quantity(receipt.quantity),
        country=reading.country(receipt.country_code),
        revocation=None if receipt.cancel_date is None else Revocation(at=_moment(receipt.cancel_date, "cancelDate"), refunded=True),
    )


def _period(receipt: Receipt, held: list[Held], posted: Posted, now: datetime) -> Purchase:
    """The period the receipt speaks of: a known one, or the next."""
    bought_at = _moment(receipt.purchase_date, "purchaseDate")
    end = _natural_end(receipt, held, now)
    known = next((one.purchase for one in held if abs(_named_end(one.purchase) - end) <= _SAME), None)
    begins = known.purchased_at if known is not None else _beginning(receipt, held, end)
    kind, offer = _how_it_is_priced(receipt, end)
    product = receipt.term_sku or receipt.product_id
    is_first = begins == bought_at
    return Purchase(
        transaction=known.transaction if known is not None else f"{receipt.receipt_id}#{to_ms(end) // 1000}",
        product=known.product if known is not None else product,
        kind="subscription",
        purchased_at=begins,
        expires_at=_cut(receipt, end),
        as_of=now,
        is_first=is_first,
        is_renewal=not is_first,
        period_type=kind,
        price=_period_price(posted, product, kind, is_first=is_first, is_offer=offer is not None),
        offer=offer,
        country=reading.country(receipt.country_code),
        revocation=_revocation(receipt, end),
        is_superseded=receipt.cancel_date is not None and receipt.cancel_reason == REPLACED,
    )


def _natural_end(receipt: Receipt, held: list[Held], now: datetime) -> datetime:
    """When the present period ends if nobody cuts it short."""
    if receipt.free_trial_end_date is not None and (trial_end := _moment(receipt.free_trial_end_date, "freeTrialEndDate")) > now:
        return trial_end
    if receipt.renewal_date is not None:
        return _moment(receipt.renewal_date, "renewalDate")
    if held:
        return _named_end(held[-1].purchase)
    if receipt.cancel_date is not None:
        return _moment(receipt.cancel_date, "cancelDate")
    return _counted(receipt, now)[1]


def _named_end(purchase: Purchase) -> datetime:
    """The end a period was named by: what was cut off it later is not in its name."""
    seconds = purchase.transaction.rpartition("#")[2]
    return reading.seconds(seconds, "end") if seconds.isascii() and seconds.isdigit() else purchase.expires_at or EPOCH


def _beginning(receipt: Receipt, held: list[Held], end: datetime) -> datetime:
    before = [one.purchase.expires_at for one in held if one.purchase.expires_at is not None and one.purchase.expires_at <= end]
    if before:
        return max(before)
    return _counted(receipt, end - _SAME)[0] if _term(receipt) else _moment(receipt.purchase_date, "purchaseDate")


def _counted(receipt: Receipt, moment: datetime) -> tuple[datetime, datetime]:
    """The term, counted from the purchase (or the trial's end), in which `moment` lies."""
    term, bought_at = _term(receipt), _moment(receipt.purchase_date, "purchaseDate")
    if term is None:
        raise Invalid(f"auto-renew is off, no end was known before, and the term {receipt.term!r} does not tell it", param="term")
    anchor, begins = bought_at, bought_at
    if receipt.free_trial_end_date is not None and (trial_end := _moment(receipt.free_trial_end_date, "freeTrialEndDate")) > bought_at:
        if moment < trial_end:
            return bought_at, trial_end
        anchor = begins = trial_end
    nearby = max(1, (moment - anchor).days // (term.months * 31 + term.days))  # no month is longer: it lies in this term, or in one soon after
    begins = reading.later(anchor, term, nearby - 1)
    for count in range(nearby, nearby + _MOST_TERMS):
        ends = reading.later(anchor, term, count)
        if ends > moment:
            return begins, ends
        begins = ends
    raise Invalid(f"more than {_MOST_TERMS} terms of {receipt.term!r} since the purchase", param="term")


def _term(receipt: Receipt) -> Duration | None:
    match = _TERM.fullmatch((receipt.term or "").strip())
    if match is None or int(match[1]) == 0:
        return None
    count, unit = int(match[1]), match[2].lower()
    months = {"month": count, "year": count * 12}.get(unit, 0)
    return Duration(months=months, days={"day": count, "week": count * 7}.get(unit, 0))


def _how_it_is_priced(receipt: Receipt, end: datetime) -> tuple[PeriodType, Offer | None]:
    if receipt.free_trial_end_date is not None and end <= _moment(receipt.free_trial_end_date, "freeTrialEndDate") + _SAME:
        return "trial", None
    for promotion in receipt.promotions or ():
        if promotion.promotion_status == "InProgress" and promotion.promotion_type in _OFFERS:
            kind, period_type = _OFFERS[promotion.promotion_type]
            return period_type, Offer(kind=kind)
    return "normal", None


def _period_price(posted: Posted, product: str, kind: PeriodType, *, is_first: bool, is_offer: bool) -> Money | None:
    if kind == "trial":
        return None
    if is_first and posted.price is not None:
        return posted.price
    return None if is_offer else _price(posted, product)


def _price(posted: Posted, product: str) -> Money | None:
    prices = [price for one in posted.products if one.store_identifier == product for price in one.prices]
    return prices[0] if len(prices) == 1 else None


def _is_cut_by_the_system(receipt: Receipt, end: datetime) -> bool:
    return receipt.cancel_reason == SYSTEM and receipt.cancel_date is not None and _moment(receipt.cancel_date, "cancelDate") < end - _SAME


def _cut(receipt: Receipt, end: datetime) -> datetime:
    if receipt.cancel_date is None or _is_cut_by_the_system(receipt, end):
        return end
    return min(end, _moment(receipt.cancel_date, "cancelDate"))


def _revocation(receipt: Receipt, end: datetime) -> Revocation | None:
    if not _is_cut_by_the_system(receipt, end):
        return None
    assert receipt.cancel_date is not None
    return Revocation(at=_moment(receipt.cancel_date, "cancelDate"), refunded=False)


def _runs_on(held: Sequence[Held], moment: datetime) -> bool:
    """Whether an earlier period, renewed before it ended, would outlive a receipt that is over."""
    return any(one.purchase.expires_at is not None and one.purchase.expires_at > moment for one in held)


def _renewal(receipt: Receipt, purchase: Purchase, held: Sequence[Held], now: datetime) -> Renewal:
    has_ended = receipt.cancel_date is not None and _moment(receipt.cancel_date, "cancelDate") <= now
    grace = _moment(receipt.grace_period_end_date, "gracePeriodEndDate") if receipt.grace_period_end_date is not None else None
    in_grace = grace is not None and grace > now and not has_ended
    goes_on = receipt.auto_renewing if receipt.auto_renewing is not None else receipt.renewal_date is not None
    auto_renew = goes_on and receipt.cancel_date is None
    is_over = has_ended and receipt.cancel_reason != REPLACED and purchase.revocation is None
    off_reason = _ENDED.get(receipt.cancel_reason or CUSTOMER, "unknown")
    earlier = [one for one in held if one.purchase.transaction != purchase.transaction]
    cancelled_at = _moment(receipt.cancel_date, "cancelDate") if receipt.cancel_date is not None and has_ended else None
    ended_at = cancelled_at if cancelled_at is not None and receipt.cancel_reason != REPLACED and _runs_on(earlier, cancelled_at) else None
    return Renewal(
        as_of=now,
        transaction=purchase.transaction,
        auto_renew=auto_renew,
        next_product=receipt.deferred_sku if not has_ended else None,
        off_reason=None if auto_renew else off_reason,
        in_billing_retry=in_grace,
        grace_until=grace if in_grace else None,
        ended=(_ENDED.get(receipt.cancel_reason or 0, "unknown")) if is_over or ended_at is not None else None,
        ended_at=ended_at,
    )


def _moment(milliseconds: Number, field: str) -> datetime:
    return reading.milliseconds(milliseconds, field)
