"""How the simulated App Store behaves: pure functions from one state of a line to the next, and what it sends on the way.

A customer's act is a function `(line, ..., now) -> line`; what happens by itself is `play`. Both leave their notifications in the line's
outbox; `advance` plays what is due and hands out what is to be posted. The same state and time always give the same result.

The rules are Apple's: renewal on the day of the first purchase, clamped to short months; grace of 3, 6, 16 or 28 days; billing retry for
60 days; a recovery in grace keeps the billing date, a later one starts anew; upgrades at once, downgrades at the renewal.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Literal, TypeVar

from perennial.base.errors import Conflict, Invalid, NotFound
from perennial.base.ids import AppId, told_id
from perennial.base.money import Money
from perennial.base.time import Duration, add, from_ms, parse_duration, to_ms
from perennial.base.value import replace
from perennial.providers.simulated.model import (
    Charge,
    Delivery,
    Desk,
    Draft,
    Ending,
    Failure,
    ItemType,
    Offer,
    Outbox,
    Plan,
    Posting,
    PriceNotice,
    Revoked,
    Sent,
    Subscription,
    Trouble,
)
from perennial.providers.simulated.payloads import current, renewal_payload, status, transaction_payload

GRACE_DAYS = (0, 3, 6, 16, 28)  # what App Store Connect offers; 6 for weekly plans only
RETRY_DAYS = 60
LONGEST_EXTENSION = 90  # days, as the store's API allows
KEPT = timedelta(days=180)  # notification history
MOST_KEPT = 1000
MOST_CHARGES = 999  # a line's transaction ids end in three digits; then auto-renew goes off, so that a forgotten demo does not grow for ever
MOST_MOMENTS = 50  # played at once; what is left stays due

_MILLISECOND = timedelta(milliseconds=1)
_OVERTAKEN_AFTER = timedelta(minutes=1)
_LONGEST_WAIT = timedelta(hours=12)

Sender = TypeVar("Sender", Subscription, Desk)


# Playing ----------------------------------------------------------------------------------------------------------------------


def advance(line: Subscription, now: datetime) -> tuple[Subscription, list[Draft]]:
    """Plays what is due, and gives what is to be posted now, in the order it was signed (or, by `Delivery`, was not)."""
    return take_due(play(line, now), now)


def play(line: Subscription, now: datetime) -> Subscription:
    """Everything that happens by itself up to `now`, at most `MOST_MOMENTS` of it."""
    for _ in range(MOST_MOMENTS):
        moment = next_turn(line)
        if moment is None or moment > now:
            break
        line = _turn(line, moment, now)
    return line


def next_moment(line: Subscription) -> datetime | None:
    """When the line next has something to do: a turn of its life, or a notification to post."""
    return min((moment for moment in (next_turn(line), next_posting(line)) if moment is not None), default=None)


def next_turn(line: Subscription) -> datetime | None:
    """When something next happens to the subscription by itself."""
    charge = current(line)
    if charge.expires_at is None or line.ending is not None or line.type != "Auto-Renewable Subscription":
        return None
    if line.trouble is not None:
        return min(moment for moment, _ in _turns_of_trouble(line, line.trouble))
    if charge.revoked is not None and not line.auto_renew:
        return None  # refunded, and nothing to follow: it is over already
    return charge.expires_at


def _turn(line: Subscription, at: datetime, now: datetime) -> Subscription:
    if line.trouble is None:
        return _end_period(line, at, now)
    turns = _turns_of_trouble(line, line.trouble)
    turn = next(turn for moment, turn in turns if moment == at)
    return turn(line, at, now)


def _end_period(line: Subscription, at: datetime, now: datetime) -> Subscription:
    """The period is over: renew, or say why not."""
    if not line.auto_renew:
        return _expire(line, "voluntary", "VOLUNTARY", now)
    if line.price_notice is not None and not line.price_notice.is_accepted and line.next_plan is None:
        return _expire(line, "price_increase", "PRICE_INCREASE", now)
    if line.failure is not None:
        return _fail(line, line.failure, at, now)
    if len(line.charges) >= MOST_CHARGES:
        return _expire(line, "voluntary", "VOLUNTARY", now)
    return _announce(_renew(line, at), "DID_RENEW", None, now)


def _expire(line: Subscription, ending: Ending, subtype: str, now: datetime) -> Subscription:
    over = replace(line, ending=ending, auto_renew=False, trouble=None, failure=None, next_plan=None, next_offer=None)
    return _announce(over, "EXPIRED", subtype, now)


def _renew(line: Subscription, at: datetime) -> Subscription:
    """The next charge, for a period that begins `at`. What was agreed for it (plan, price, offer) takes effect."""
    plan = line.next_plan or _repriced(line)
    offer, left = _offer_of_renewal(line)
    line = replace(line, plan=plan, next_plan=None, next_offer=None, price_notice=None, failure=None, trouble=None)
    return _charge(line, plan, offer, at, is_renewal=True, offer_periods_left=left)


def _repriced(line: Subscription) -> Plan:
    return replace(line.plan, price=line.price_notice.price) if line.price_notice is not None else line.plan


def _offer_of_renewal(line: Subscription) -> tuple[Offer | None, int]:
    """The offer redeemed for it, or the next of a pay-as-you-go offer's periods."""
    if line.next_offer is not None:
        return line.next_offer, line.next_offer.periods - 1
    if line.offer_periods_left > 0 and line.next_plan is None:
        return current(line).offer, line.offer_periods_left - 1
    return None, 0


def _charge(line: Subscription, plan: Plan, offer: Offer | None, at: datetime, *, is_renewal: bool, offer_periods_left: int = 0) -> Subscription:
    if len(line.charges) >= MOST_CHARGES:
        raise Conflict(f"the simulated subscription has {MOST_CHARGES} transactions, and takes no more; buy anew")
    anchor, months, end = _period(line, plan, offer, at)
    charge = Charge(
        transaction=f"{int(line.store_line) + len(line.charges)}",  # the first is the line's own number
        product=plan.product,
        price=_price(plan, offer, is_family_shared=line.is_family_shared),
        purchased_at=at,
        expires_at=end,
        changed_at=at,
        is_renewal=is_renewal,
        offer=offer,
    )
    return replace(line, charges=(*line.charges, charge), anchor=anchor, months=months, offer_periods_left=offer_periods_left)


def _price(plan: Plan, offer: Offer | None, *, is_family_shared: bool) -> Money:
    free = Money(amount=0, currency=plan.price.currency)
    if is_family_shared:
        return free
    return plan.price if offer is None else offer.price or free


def _period(line: Subscription, plan: Plan, offer: Offer | None, at: datetime) -> tuple[datetime, int, datetime | None]:
    """Anchor, months since it, and the period's end. Months count from the anchor; a period in days or weeks moves the anchor to its end."""
    text = offer.period if offer is not None and offer.discount != "PAY_AS_YOU_GO" else plan.duration
    if text is None or line.type != "Auto-Renewable Subscription":
        return at, 0, None
    duration = parse_duration(text)
    anchor, months = (line.anchor, line.months) if add(line.anchor, Duration(months=line.months)) == at else (at, 0)
    if duration.days or duration.seconds:
        end = add(at, duration)
        return end, 0, end
    months += duration.months
    return anchor, months, add(anchor, Duration(months=months))


# Billing that fails -----------------------------------------------------------------------------------------------------------

Turn = Callable[[Subscription, datetime, datetime], Subscription]


def _fail(line: Subscription, failure: Failure, at: datetime, now: datetime) -> Subscription:
    """The charge fails; from here on the dates are decided."""
    recover_at = at + timedelta(days=failure.recover_after_days) if failure.recover_after_days is not None else None
    trouble = Trouble(
        since=at,
        give_up_at=at + timedelta(days=RETRY_DAYS),
        grace_until=at + timedelta(days=failure.grace_days) if failure.grace_days else None,
        recover_at=recover_at,
    )
    return _announce(replace(line, failure=None, trouble=trouble), "DID_FAIL_TO_RENEW", "GRACE_PERIOD" if failure.grace_days else None, now)


def _turns_of_trouble(line: Subscription, trouble: Trouble) -> list[tuple[datetime, Turn]]:
    """What can come next, soonest first; at one moment grace ends before a charge succeeds."""
    in_grace = trouble.grace_until is not None and not trouble.is_grace_over
    if not line.auto_renew:  # cancelled meanwhile: nothing more is charged
        return [(trouble.grace_until if in_grace and trouble.grace_until else trouble.since, _expire_cancelled)]
    turns: list[tuple[datetime, Turn]] = []
    if in_grace and trouble.grace_until is not None:
        turns.append((trouble.grace_until, _end_grace))
    if trouble.recover_at is not None:
        turns.append((trouble.recover_at, _recover))
    return sorted([*turns, (trouble.give_up_at, _give_up)], key=lambda turn: turn[0])


def _end_grace(line: Subscription, at: datetime, now: datetime) -> Subscription:
    assert line.trouble is not None
    return _announce(replace(line, trouble=replace(line.trouble, is_grace_over=True)), "GRACE_PERIOD_EXPIRED", None, now)


def _recover(line: Subscription, at: datetime, now: datetime) -> Subscription:
    """In grace no paid day is lost: the new period begins where the old one ended. Afterwards it begins with the payment."""
    assert line.trouble is not None
    in_grace = line.trouble.grace_until is not None and not line.trouble.is_grace_over
    return _announce(_renew(line, line.trouble.since if in_grace else at), "DID_RENEW", "BILLING_RECOVERY", now)


def _give_up(line: Subscription, at: datetime, now: datetime) -> Subscription:
    return _expire(line, "billing", "BILLING_RETRY", now)


def _expire_cancelled(line: Subscription, at: datetime, now: datetime) -> Subscription:
    return _expire(line, "voluntary", "VOLUNTARY", now)


# What customers do ------------------------------------------------------------------------------------------------------------


def buy(
    *,
    app_id: AppId,
    store_line: str,
    type: ItemType,
    plan: Plan,
    now: datetime,
    offer: Offer | None = None,
    app_account_token: str | None = None,
    storefront: str = "USA",
    is_family_shared: bool = False,
    delivery: Delivery | None = None,
) -> Subscription:
    """A new line with its first charge."""
    at = whole(now)
    empty = Subscription(
        app_id=app_id,
        store_line=store_line,
        type=type,
        plan=plan,
        charges=(),
        anchor=at,
        months=0,
        run_started_at=at,
        storefront=storefront,
        app_account_token=app_account_token,
        is_family_shared=is_family_shared,
        outbox=Outbox(delivery=delivery or Delivery()),
        auto_renew=type == "Auto-Renewable Subscription",
    )
    line = _charge(empty, plan, offer, at, is_renewal=False, offer_periods_left=offer.periods - 1 if offer else 0)
    if type != "Auto-Renewable Subscription":
        return _announce(line, "ONE_TIME_CHARGE", None, now)
    return _announce(line, "SUBSCRIBED", "INITIAL_BUY", now)


def resubscribe(line: Subscription, plan: Plan, now: datetime, *, offer: Offer | None = None) -> Subscription:
    """Comes back after the end, to the same or another product."""
    _require_subscription(line)
    if has_access(line, now):
        raise Conflict("the simulated subscription still runs; upgrade or downgrade it instead")
    at = whole(now)
    lapsed = at - (current(line).expires_at or at)
    started = at if lapsed >= timedelta(days=RETRY_DAYS) else line.run_started_at
    again = replace(
        line,
        plan=plan,
        anchor=at,
        months=0,
        run_started_at=started,
        auto_renew=True,
        next_plan=None,
        next_offer=None,
        failure=None,
        trouble=None,
        price_notice=None,
        ending=None,
    )
    again = _charge(again, plan, offer, at, is_renewal=False, offer_periods_left=offer.periods - 1 if offer else 0)
    return _announce(again, "SUBSCRIBED", "RESUBSCRIBE", now)


def cancel(line: Subscription, now: datetime) -> Subscription:
    """Turns auto-renew off. What is paid for stays; a line in billing retry ends with it, one in grace at the grace's end."""
    _require_open(line)
    if not line.auto_renew:
        raise Conflict("auto-renew of the simulated subscription is off already")
    return _announce(replace(line, auto_renew=False), "DID_CHANGE_RENEWAL_STATUS", "AUTO_RENEW_DISABLED", now)


def uncancel(line: Subscription, now: datetime) -> Subscription:
    _require_open(line)
    if line.auto_renew:
        raise Conflict("auto-renew of the simulated subscription is on already")
    return _announce(replace(line, auto_renew=True), "DID_CHANGE_RENEWAL_STATUS", "AUTO_RENEW_ENABLED", now)


def upgrade(line: Subscription, plan: Plan, now: datetime, *, offer: Offer | None = None) -> Subscription:
    """At once: the old transaction is marked as upgraded (its history shows it), a new one begins now."""
    upgraded = _switch(line, plan, now, offer)
    return _announce(upgraded, "DID_CHANGE_RENEWAL_PREF", "UPGRADE", now)


def _switch(line: Subscription, plan: Plan, now: datetime, offer: Offer | None) -> Subscription:
    _require_running(line, now)
    if plan.product == current(line).product:
        raise Conflict(f"the simulated subscription is of {plan.product!r} already")
    at = whole(now)
    old = replace(current(line), is_upgraded=True, changed_at=at)
    left = offer.periods - 1 if offer else 0
    line = replace(
        _with_charge(line, old), plan=plan, anchor=at, months=0, auto_renew=True, next_plan=None, next_offer=None, failure=None, price_notice=None
    )
    return _charge(line, plan, offer, at, is_renewal=False, offer_periods_left=left)


def downgrade(line: Subscription, plan: Plan, now: datetime) -> Subscription:
    """At the next renewal. Like the real store, it turns auto-renew on again without saying so."""
    _require_running(line, now)
    if plan.product == current(line).product:
        raise Conflict(f"the simulated subscription is of {plan.product!r} already; revert a scheduled downgrade instead")
    return _announce(replace(line, next_plan=plan, auto_renew=True), "DID_CHANGE_RENEWAL_PREF", "DOWNGRADE", now)


def revert_downgrade(line: Subscription, now: datetime) -> Subscription:
    _require_running(line, now)
    if line.next_plan is None:
        raise Conflict("no downgrade of the simulated subscription is scheduled")
    return _announce(replace(line, next_plan=None), "DID_CHANGE_RENEWAL_PREF", None, now)


def redeem_offer(
    line: Subscription, offer: Offer, now: datetime, *, plan: Plan | None = None, change: Literal["upgrade", "downgrade"] | None = None
) -> Subscription:
    """An active subscriber redeems an offer: for the next period, or with an upgrade or downgrade to `plan`. The lapsed resubscribe."""
    _require_running(line, now)
    if (plan is None) != (change is None):
        raise Invalid("an offer for another product says whether it is an upgrade or a downgrade", param="change")
    if plan is not None and change == "upgrade":
        return _announce(_switch(line, plan, now, offer), "OFFER_REDEEMED", "UPGRADE", now)
    redeemed = replace(line, next_plan=plan or line.next_plan, next_offer=offer, auto_renew=True)
    return _announce(redeemed, "OFFER_REDEEMED", "DOWNGRADE" if plan is not None else None, now)


def consent(line: Subscription, now: datetime) -> Subscription:
    """Agrees to the higher price."""
    _require_open(line)
    if line.price_notice is None or line.price_notice.is_accepted:
        raise Conflict("no price increase of the simulated subscription waits for consent")
    return _announce(replace(line, price_notice=replace(line.price_notice, is_accepted=True)), "PRICE_INCREASE", "ACCEPTED", now)


# What the store and the seller do ---------------------------------------------------------------------------------------------


def request_refund(line: Subscription, transaction: str | None, now: datetime, *, reason: str = "UNINTENDED_PURCHASE") -> Subscription:
    """The customer asks Apple for the money: auto-renew goes off, and we are asked what was consumed."""
    charge = find_charge(line, transaction)
    if line.auto_renew and line.ending is None:
        line = _announce(replace(line, auto_renew=False), "DID_CHANGE_RENEWAL_STATUS", "AUTO_RENEW_DISABLED", now)
    return _announce(line, "CONSUMPTION_REQUEST", None, now, about=charge, consumption_request_reason=reason)


def refund(line: Subscription, transaction: str | None, now: datetime, *, share_ppm: int = 1_000_000) -> Subscription:
    """Gives back a share of any transaction (None: the current one)."""
    charge = find_charge(line, transaction)
    if charge.revoked is not None:
        raise Conflict(f"transaction {charge.transaction} is refunded already")
    if line.is_family_shared:
        raise Conflict("a family member paid nothing that could be refunded; revoke the access instead")
    if not 0 < share_ppm <= 1_000_000 or share_ppm % 10:
        raise Invalid("a refunded share is given in millionths of the price, in steps of 10, up to 1000000", param="share_ppm")
    at = whole(now)
    revoked = replace(charge, revoked=Revoked(at=at, share_ppm=share_ppm), changed_at=at)
    return _announce(_with_charge(line, revoked), "REFUND", None, now, about=revoked)


def reverse_refund(line: Subscription, transaction: str | None, now: datetime) -> Subscription:
    """The refund is undone after a dispute. Dates stay as they were."""
    charge = find_charge(line, transaction)
    if charge.revoked is None or charge.revoked.is_family:
        raise Conflict(f"transaction {charge.transaction} is not refunded")
    restored = replace(charge, revoked=None, changed_at=whole(now))
    return _announce(_with_charge(line, restored), "REFUND_REVERSED", None, now, about=restored)


def decline_refund(line: Subscription, transaction: str | None, now: datetime) -> Subscription:
    return _announce(line, "REFUND_DECLINED", None, now, about=find_charge(line, transaction))


def revoke_family(line: Subscription, now: datetime) -> Subscription:
    """A family member loses what was shared with them."""
    if not line.is_family_shared:
        raise Conflict("only what a family shares can be revoked; refund what was bought")
    charge = current(line)
    if charge.revoked is not None:
        raise Conflict("the family's access is revoked already")
    at = whole(now)
    gone = _with_charge(line, replace(charge, revoked=Revoked(at=at, is_family=True), changed_at=at))
    return _announce(replace(gone, ending="revoked", trouble=None, failure=None, next_plan=None), "REVOKE", None, now)


def fail_next_renewal(line: Subscription, failure: Failure) -> Subscription:
    """Plans the next renewal's failure. Nothing is told yet."""
    _require_open(line)
    if not line.auto_renew or line.trouble is not None:
        raise Conflict("the simulated subscription has no renewal ahead that could fail")
    if failure.grace_days not in GRACE_DAYS:
        raise Invalid(f"the App Store's grace periods are {', '.join(map(str, GRACE_DAYS))} days", param="grace_days")
    if failure.recover_after_days is not None and not 0 <= failure.recover_after_days < RETRY_DAYS:
        raise Invalid(f"the App Store retries for {RETRY_DAYS} days; a charge can recover after 0 to {RETRY_DAYS - 1}", param="recover_after_days")
    _check_grace_fits(line, failure)
    return replace(line, failure=failure)


def _check_grace_fits(line: Subscription, failure: Failure) -> None:
    """A grace longer than the period it bridges would leave a recovery nothing to keep."""
    end, plan = current(line).expires_at, line.next_plan or line.plan
    assert end is not None and plan.duration is not None
    if end + timedelta(days=failure.grace_days) > add(end, parse_duration(plan.duration)):
        raise Invalid(f"a grace period of {failure.grace_days} days is longer than the plan's own period", param="grace_days")


def extend(line: Subscription, days: int, now: datetime) -> Subscription:
    """Moves the renewal date, as the seller may for one subscription. The new date is the billing date from then on."""
    _require_running(line, now)
    if not 1 <= days <= LONGEST_EXTENSION:
        raise Invalid(f"the App Store extends by 1 to {LONGEST_EXTENSION} days", param="days")
    if line.is_family_shared:
        raise Conflict("a subscription shared by a family is extended at its purchaser")
    charge = current(line)
    assert charge.expires_at is not None
    end = charge.expires_at + timedelta(days=days)
    extended = _with_charge(line, replace(charge, expires_at=end, changed_at=whole(now)))
    return _announce(replace(extended, anchor=end, months=0), "RENEWAL_EXTENDED", None, now)


def raise_price(line: Subscription, price: Money, now: datetime, *, needs_consent: bool) -> Subscription:
    """A higher price from the next renewal on. Where no consent is needed the store reports it as accepted."""
    _require_running(line, now)
    if price.currency != line.plan.price.currency or price.amount <= line.plan.price.amount:
        raise Invalid(f"the new price must be above the present one, in {line.plan.price.currency}", param="price")
    noticed = replace(line, price_notice=PriceNotice(price=price, is_accepted=not needs_consent))
    return _announce(noticed, "PRICE_INCREASE", "PENDING" if needs_consent else "ACCEPTED", now)


# What may be done -------------------------------------------------------------------------------------------------------------


def has_access(line: Subscription, now: datetime) -> bool:
    """By Apple's word: active, or in grace. After a recovery the present period may begin later than now."""
    return status(line) in (1, 4) and (line.trouble is not None or (current(line).expires_at or now) > now)


def find_charge(line: Subscription, transaction: str | None) -> Charge:
    if transaction is None:
        return current(line)
    found = next((charge for charge in line.charges if charge.transaction == transaction), None)
    if found is None:
        raise NotFound(f"the simulated line {line.store_line} has no transaction {transaction!r}", param="transaction")
    return found


def line_of(transaction: str) -> str:
    """The line a transaction belongs to: ids of one line differ in their last three digits."""
    return transaction[:-3] + "000"


def _require_subscription(line: Subscription) -> None:
    if line.type != "Auto-Renewable Subscription":
        raise Conflict(f"the simulated line {line.store_line} is a one-time purchase, not a subscription")


def _require_open(line: Subscription) -> None:
    _require_subscription(line)
    if line.ending is not None:
        raise Conflict("the simulated subscription is over; resubscribe first")


def _require_running(line: Subscription, now: datetime) -> None:
    _require_open(line)
    if not has_access(line, now) or line.trouble is not None:
        raise Conflict("the simulated subscription does not run now: its last period is over, refunded or unpaid")


def _with_charge(line: Subscription, changed: Charge) -> Subscription:
    return replace(line, charges=tuple(changed if charge.transaction == changed.transaction else charge for charge in line.charges))


# The outbox -------------------------------------------------------------------------------------------------------------------


def whole(moment: datetime) -> datetime:
    """The App Store counts in milliseconds."""
    return from_ms(to_ms(moment))


def next_signing(outbox: Outbox, now: datetime) -> datetime:
    """Strictly after the last: two words on one line are never of the same moment."""
    return whole(now) if outbox.last_signed_at is None else max(whole(now), outbox.last_signed_at + _MILLISECOND)


def sign_moment(line: Subscription, now: datetime) -> tuple[Subscription, datetime]:
    """A moment for an answer of the store's API, which signs anew what it tells."""
    moment = next_signing(line.outbox, now)
    return replace(line, outbox=replace(line.outbox, last_signed_at=moment)), moment


def _announce(
    line: Subscription, type: str, subtype: str | None, now: datetime, *, about: Charge | None = None, consumption_request_reason: str | None = None
) -> Subscription:
    """Writes the notification from what the line is now."""
    is_subscription = line.type == "Auto-Renewable Subscription"
    signed_at = next_signing(line.outbox, now)
    draft = Draft(
        uuid=_uuid(line.app_id, line.store_line, line.outbox),
        type=type,
        subtype=subtype,
        signed_at=signed_at,
        transaction=transaction_payload(line, about or current(line), signed_at),
        renewal=renewal_payload(line, signed_at) if is_subscription else None,
        status=status(line) if is_subscription else None,
        consumption_request_reason=consumption_request_reason,
    )
    return replace(line, outbox=put(line.outbox, draft, now))


def draft_test(desk: Desk, now: datetime) -> Draft:
    """TEST: tells nothing, shows that the way is open."""
    return Draft(uuid=_uuid(desk.app_id, "desk", desk.outbox), type="TEST", subtype=None, signed_at=next_signing(desk.outbox, now))


def _uuid(app_id: AppId, line: str, outbox: Outbox) -> str:
    return told_id("simulated", app_id, line, str(outbox.drafts))


def put(outbox: Outbox, draft: Draft, now: datetime) -> Outbox:
    """Keeps the notification for the store's history, and plans its way by `delivery`."""
    kept = [sent for sent in outbox.sent if not sent.is_delivered or sent.draft.signed_at > now - KEPT]
    postings, delivery = outbox.postings, outbox.delivery
    if delivery.lost:
        new = []
    elif delivery.reversed and not any(posting.at > now for posting in postings):
        new = [Posting(uuid=draft.uuid, at=now + _LONGEST_WAIT)]
    else:
        new = [Posting(uuid=draft.uuid, at=now)]
    if delivery.reversed and new and new[0].at == now:
        postings = tuple(replace(posting, at=min(posting.at, now + _OVERTAKEN_AFTER)) for posting in postings)
    if delivery.twice:
        new = [part for posting in new for part in (posting, posting, replace(posting, at=posting.at + _OVERTAKEN_AFTER))]
    return replace(
        outbox,
        sent=(*kept, Sent(draft=draft))[-MOST_KEPT:],
        postings=(*postings, *new),
        drafts=outbox.drafts + 1,
        last_signed_at=draft.signed_at,
    )


def next_posting(sender: Subscription | Desk) -> datetime | None:
    return min((posting.at for posting in sender.outbox.postings), default=None)


def take_due(sender: Sender, now: datetime) -> tuple[Sender, list[Draft]]:
    """The notifications to post now (one may be there twice), and the sender that no longer has to."""
    drafts = {sent.draft.uuid: sent.draft for sent in sender.outbox.sent}
    due = [posting for posting in sender.outbox.postings if posting.at <= now]
    later = tuple(posting for posting in sender.outbox.postings if posting.at > now)
    posted = [drafts[posting.uuid] for posting in due if posting.uuid in drafts]
    return replace(sender, outbox=replace(sender.outbox, postings=later)), posted


def mark_posted(outbox: Outbox, uuid: str, *, is_delivered: bool) -> Outbox:
    """What became of one attempt."""
    return replace(
        outbox,
        sent=tuple(
            replace(sent, attempts=sent.attempts + 1, is_delivered=sent.is_delivered or is_delivered) if sent.draft.uuid == uuid else sent
            for sent in outbox.sent
        ),
    )


def resend_lost(outbox: Outbox, now: datetime) -> tuple[Outbox, int]:
    """Posts what never arrived and is not on its way, whatever `delivery` says of new ones."""
    on_the_way = {posting.uuid for posting in outbox.postings}
    lost = [sent.draft.uuid for sent in outbox.sent if not sent.is_delivered and sent.draft.uuid not in on_the_way]
    return replace(outbox, postings=(*outbox.postings, *(Posting(uuid=uuid, at=now) for uuid in lost))), len(lost)
