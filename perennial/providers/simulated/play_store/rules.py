"""How the simulated Google Play behaves: pure functions from one state of a life to the next, and what it sends on the way.

A customer's act is a function `(life, ..., now) -> life`; what happens by itself is `play`. The rules are Google's: a purchase nobody acknowledges
is given back after three days; a change of plan is a new token that names the old one; grace is told, or else a day is given silently; a hold
lasts until 60 days after the failure, a recovery in grace keeps the billing date and a later one starts anew; pauses begin with the period's end;
a renewal falls on the day of the one before, so that a month's end stays where a short month put it.
"""

from datetime import datetime, timedelta
from fractions import Fraction
from typing import Literal

from perennial.base.errors import Conflict, Invalid, NotFound
from perennial.base.ids import AppId
from perennial.base.money import Money
from perennial.base.time import Duration, add, parse_duration
from perennial.base.value import replace
from perennial.providers.simulated.play_store.model import (
    About,
    Cancellation,
    Failure,
    Happening,
    Life,
    Order,
    Pause,
    Phase,
    Plan,
    Replacement,
    Token,
    Trouble,
)

ACKNOWLEDGE_WITHIN = timedelta(days=3)
SILENT_GRACE = timedelta(days=1)
GIVE_UP_AFTER_DAYS = 60
LONGEST_GRACE_DAYS = 30
PAUSE_MONTHS = (1, 2, 3)
LONGEST_DEFERRAL = timedelta(days=365)
MOST_ORDERS = 500  # then auto-renew goes off, so that a forgotten demo does not grow for ever
MOST_MOMENTS = 50  # played at once; what is left stays due
UNACKNOWLEDGED = 8  # voidedReason
_SECOND = timedelta(seconds=1)

RECOVERED, RENEWED, CANCELED, PURCHASED, ON_HOLD, IN_GRACE = 1, 2, 3, 4, 5, 6
RESTARTED, DEFERRED, PAUSED, PAUSE_SCHEDULE_CHANGED, REVOKED, EXPIRED = 7, 9, 10, 11, 12, 13

State = Literal["ACTIVE", "CANCELED", "IN_GRACE_PERIOD", "ON_HOLD", "PAUSED", "EXPIRED"]


# What is ----------------------------------------------------------------------------------------------------------------------


def state(life: Life, token: Token) -> State:
    """`subscriptionState` of a token."""
    if token.ended_at is not None:
        return "EXPIRED"
    if life.pause is not None and life.pause.resumes_at is not None:
        return "PAUSED"
    if life.trouble is not None and life.trouble.is_on_hold:
        return "ON_HOLD"
    if life.trouble is not None and not life.trouble.is_silent:
        return "IN_GRACE_PERIOD"
    return "CANCELED" if token.cancellation is not None else "ACTIVE"


def is_subscription(life: Life) -> bool:
    return life.newest.plan.duration is not None


def find_token(life: Life, name: str) -> Token:
    found = next((token for token in life.tokens if life.token_name(token.number) == name), None)
    if found is None:
        raise NotFound(f"the simulated Google Play knows no token {name!r}", param="token")
    return found


def find_order(life: Life, order_id: str | None) -> Order:
    """None: the one whose period runs."""
    wanted = life.newest.paid_order if order_id is None else order_id
    found = next((order for order in life.orders if order.order_id == wanted), None)
    if found is None:
        raise NotFound(f"the simulated Google Play knows no order {wanted!r}", param="order")
    return found


# Playing ----------------------------------------------------------------------------------------------------------------------


def play(life: Life, now: datetime) -> Life:
    """Everything that happens by itself up to `now`, at most `MOST_MOMENTS` of it."""
    for _ in range(MOST_MOMENTS):
        moment = next_turn(life)
        if moment is None or moment > now:
            break
        life = _turn(life, moment)
    return life


def next_moment(life: Life) -> datetime | None:
    """When there is next something to do: a turn of its life, or a notification to post."""
    waiting = [one.at for one in life.happenings if not one.is_posted]
    return min([moment for moment in (next_turn(life), *waiting) if moment is not None], default=None)


def next_turn(life: Life) -> datetime | None:
    token = life.newest
    if token.ended_at is not None:
        return None
    moments = [] if token.is_acknowledged else [token.started_at + ACKNOWLEDGE_WITHIN]
    if is_subscription(life):
        moments.append(_next_of_subscription(life))
    return min(moments, default=None)


def _next_of_subscription(life: Life) -> datetime:
    if life.pause is not None and life.pause.resumes_at is not None:
        return life.pause.resumes_at
    if life.trouble is not None:
        later = life.trouble.give_up_at if life.trouble.is_on_hold else life.trouble.access_until
        return min(later, life.trouble.recover_at or later)
    assert life.newest.expires_at is not None, "a subscription ends"
    return life.newest.expires_at


def _turn(life: Life, at: datetime) -> Life:
    token = life.newest
    if not token.is_acknowledged and at == token.started_at + ACKNOWLEDGE_WITHIN:
        return _take_back(life, token.paid_order, at, by="system", reason=UNACKNOWLEDGED)
    if life.pause is not None and life.pause.resumes_at is not None:
        return _charged_again(life, at, at)
    if life.trouble is not None:
        return _turn_of_trouble(life, life.trouble, at)
    return _end_period(life, at)


def _end_period(life: Life, at: datetime) -> Life:
    """The period is over: renew, pause, or say why not."""
    token = life.newest
    if token.plan.is_prepaid or not token.auto_renew or len(life.orders) >= MOST_ORDERS:
        return _tell(_with(life, replace(token, ended_at=at, auto_renew=False, cancellation=token.cancellation or _by_itself(token))), at, EXPIRED)
    if life.pause is not None:
        paused = replace(life, pause=replace(life.pause, resumes_at=add(at, Duration(months=life.pause.months))))
        return _tell(paused, at, PAUSED)
    if life.failure is not None:
        return _fail(life, life.failure, at)
    return _tell(_renew(life, at), at, RENEWED)


def _by_itself(token: Token) -> Cancellation | None:
    """A prepaid plan that runs out was cancelled by nobody."""
    return None if token.plan.is_prepaid else "system"


def _renew(life: Life, starts_at: datetime) -> Life:
    """The next charge. A deferred change takes effect with it."""
    plan = life.newest.next_plan or life.newest.plan
    token = replace(life.newest, plan=plan, next_plan=None)
    return _charge(_with(replace(life, trouble=None, pause=None, failure=None), token), starts_at, starts_at)


def _charge(
    life: Life, at: datetime, starts_at: datetime, *, price: Money | None = None, phase: Phase = "base", ends_at: datetime | None = None
) -> Life:
    """A paid order of the newest token, for a period of its plan. A renewal that waited to be paid is the same order."""
    token = life.newest
    ends_at = ends_at or (add(starts_at, parse_duration(token.plan.duration)) if token.plan.duration is not None else None)
    order = Order(
        order_id=_next_order(life),
        token=token.number,
        product=token.plan.product,
        price=token.plan.price if price is None else price,
        created_at=at,
        state="PROCESSED",
        starts_at=starts_at,
        ends_at=ends_at,
        phase=phase,
    )
    others = tuple(one for one in life.orders if one.order_id != order.order_id)
    return _with(replace(life, orders=(*others, order)), replace(token, paid_order=order.order_id, expires_at=ends_at))


def _next_order(life: Life) -> str:
    first = f"GPA.{life.code}-{life.newest.number}"
    paid = [one for one in life.orders if one.token == life.newest.number and one.state != "PENDING"]
    return f"{first}..{len(paid) - 1}" if paid else first


# Billing that fails -----------------------------------------------------------------------------------------------------------


def _fail(life: Life, failure: Failure, at: datetime) -> Life:
    """The charge fails; from here on the dates are decided."""
    access_until = at + (timedelta(days=failure.grace_days) or SILENT_GRACE)
    trouble = Trouble(
        since=at,
        access_until=access_until,
        give_up_at=at + timedelta(days=GIVE_UP_AFTER_DAYS),
        is_silent=not failure.grace_days,
        recover_at=at + timedelta(days=failure.recover_after_days) if failure.recover_after_days is not None else None,
    )
    plan = life.newest.plan
    unpaid = Order(
        order_id=_next_order(life),
        token=life.newest.number,
        product=plan.product,
        price=plan.price,
        created_at=at,
        state="PENDING",
        starts_at=at,
    )
    failed = _with(replace(life, failure=None, trouble=trouble, orders=(*life.orders, unpaid)), replace(life.newest, expires_at=access_until))
    return failed if trouble.is_silent else _tell(failed, at, IN_GRACE)


def _turn_of_trouble(life: Life, trouble: Trouble, at: datetime) -> Life:
    if at == trouble.recover_at:
        return _charged_again(life, at, at if trouble.is_on_hold else trouble.since)
    if not trouble.is_on_hold:
        return _tell(replace(life, trouble=replace(trouble, is_on_hold=True)), at, ON_HOLD)
    return _given_up(life, at, "system")


def _charged_again(life: Life, at: datetime, starts_at: datetime) -> Life:
    """In grace no paid day is lost: the new period begins where the old one ended. After a hold or a pause it begins with the payment."""
    was_off = life.pause is not None or (life.trouble is not None and life.trouble.is_on_hold)
    return _tell(_renew(life, starts_at), at, RECOVERED if was_off else RENEWED)


def _given_up(life: Life, at: datetime, by: Cancellation) -> Life:
    """`expiryTime` becomes the moment the store stopped trying, as Google tells it."""
    orders = tuple(replace(order, state="CANCELED") if order.state == "PENDING" else order for order in life.orders)
    over = replace(life.newest, ended_at=at, expires_at=at, auto_renew=False, cancellation=by)
    return _tell(_tell(_with(replace(life, orders=orders, trouble=None), over), at, CANCELED), at, EXPIRED)


# What customers do ------------------------------------------------------------------------------------------------------------


def buy(
    *,
    app_id: AppId,
    code: str,
    plan: Plan,
    now: datetime,
    trial: str | None = None,
    account: str | None = None,
    region: str = "US",
    is_silent: bool = False,
) -> Life:
    """`trial`: the length of a free trial to begin with, ISO 8601."""
    token = Token(number=1, plan=plan, started_at=now, paid_order="", expires_at=None, auto_renew=plan.duration is not None and not plan.is_prepaid)
    life = Life(app_id=app_id, code=code, tokens=(token,), orders=(), played_at=now, account=account, region=region, is_silent=is_silent)
    life = _begin(life, now, trial)
    return _tell(life, now, PURCHASED) if plan.duration is not None else _tell(life, now, 1, about="product")


def _begin(life: Life, now: datetime, trial: str | None) -> Life:
    if trial is None:
        return _charge(life, now, now)
    free = Money(amount=0, currency=life.newest.plan.price.currency)
    return _charge(life, now, now, price=free, phase="trial", ends_at=add(now, parse_duration(trial)))


def resubscribe(life: Life, plan: Plan, now: datetime) -> Life:
    """Bought anew after its end, in Google's own subscription centre: no link, but the lapsed token is named until the purchase is acknowledged."""
    _require(is_subscription(life) and life.newest.ended_at is not None, "only what has ended is bought anew; change its plan instead")
    token = Token(number=life.newest.number + 1, plan=plan, started_at=now, paid_order="", expires_at=None, lapsed=life.newest.number)
    return _tell(_charge(replace(life, tokens=(*life.tokens, token)), now, now), now, PURCHASED)


def cancel(life: Life, now: datetime, *, by: Cancellation = "user") -> Life:
    """What is paid for stays. In grace or on hold it is over at once."""
    _require_running(life)
    _require(life.newest.auto_renew, "it will not renew already")
    if life.trouble is not None:
        return _given_up(life, now, by)
    return _tell(_with(replace(life, pause=None, failure=None), replace(life.newest, auto_renew=False, cancellation=by)), now, CANCELED)


def uncancel(life: Life, now: datetime) -> Life:
    """From Google's subscription centre: the same token goes on."""
    _require_running(life)
    _require(life.newest.cancellation is not None and not life.newest.plan.is_prepaid, "nothing was cancelled")
    return _tell(_with(life, replace(life.newest, auto_renew=True, cancellation=None)), now, RESTARTED)


def restore(life: Life, now: datetime) -> Life:
    """A cancelled subscription bought again within the app before its end: a new token, and an order of nothing."""
    _require_running(life)
    _require(life.newest.cancellation is not None and not life.newest.plan.is_prepaid, "nothing was cancelled")
    ends_at, plan = life.newest.expires_at, life.newest.plan
    life = _replace_token(life, plan, now)
    life = _charge(life, now, now, price=Money(amount=0, currency=plan.price.currency), ends_at=ends_at)
    return _told_replaced(life, now)


def upgrade(life: Life, plan: Plan, now: datetime, *, mode: Replacement = "CHARGE_FULL_PRICE") -> Life:
    """At once: a new token. Charged in full, its first period begins now; otherwise what was paid goes on.

    It goes on until its own end, or (`WITH_TIME_PRORATION`) for as long as what is left of its price pays for the new plan.
    """
    _require_change(life, plan)
    old = life.newest
    _require(mode == "CHARGE_FULL_PRICE" or not (plan.is_prepaid or old.plan.is_prepaid), "a prepaid plan is only changed at its full price")
    paid = find_order(life, old.paid_order)
    assert old.expires_at is not None, "a subscription ends"
    left = Fraction((old.expires_at - now) // _SECOND, max(1, (old.expires_at - paid.starts_at) // _SECOND))
    life = _replace_token(life, plan, now)
    life = _with(life, replace(life.newest, replacement=mode))
    free = Money(amount=0, currency=plan.price.currency)
    match mode:
        case "CHARGE_FULL_PRICE":
            return _told_replaced(_charge(life, now, now), now)
        case "CHARGE_PRORATED_PRICE":
            more = plan.price - old.plan.price
            _require(more.amount > 0 and plan.duration == old.plan.duration, "only a dearer plan of the same length is charged in part")
            return _told_replaced(_charge(life, now, now, price=more.times(left), phase="proration", ends_at=old.expires_at), now)
        case "WITHOUT_PRORATION":
            return _told_replaced(_charge(life, now, now, price=free, phase="proration", ends_at=old.expires_at), now)
        case "WITH_TIME_PRORATION":
            assert plan.duration is not None, "a plan has a length"
            whole = (add(now, parse_duration(plan.duration)) - now) // _SECOND
            bought = int(whole * left * old.plan.price.amount / max(1, plan.price.amount))
            return _told_replaced(_charge(life, now, now, price=free, phase="proration", ends_at=now + bought * _SECOND), now)


def downgrade(life: Life, plan: Plan, now: datetime) -> Life:
    """With the next renewal (DEFERRED): a new token at once, which keeps the old product and its order until then."""
    _require_change(life, plan)
    held = life.newest
    life = _replace_token(life, held.plan, now)
    return _told_replaced(_with(life, replace(life.newest, paid_order=held.paid_order, expires_at=held.expires_at, next_plan=plan)), now)


def top_up(life: Life, now: datetime) -> Life:
    """Time added to a prepaid plan: a new token, which ends later by a period."""
    _require_running(life)
    _require(life.newest.plan.is_prepaid, "only a prepaid plan is topped up")
    plan, ends_at = life.newest.plan, life.newest.expires_at
    assert ends_at is not None and plan.duration is not None, "a prepaid plan ends"
    return _told_replaced(_charge(_replace_token(life, plan, now), now, now, ends_at=add(ends_at, parse_duration(plan.duration))), now)


def _replace_token(life: Life, plan: Plan, now: datetime) -> Life:
    old = replace(life.newest, ended_at=now, expires_at=now, auto_renew=False, cancellation="replacement", next_plan=None)
    auto_renew = not plan.is_prepaid
    new = Token(number=old.number + 1, plan=plan, started_at=now, paid_order="", expires_at=None, linked=old.number, auto_renew=auto_renew)
    changed = _with(replace(life, failure=None, pause=None), old)
    return replace(changed, tokens=(*changed.tokens, new))


def _told_replaced(life: Life, now: datetime) -> Life:
    """The new token is told first, the old one's end after it."""
    return _tell(_tell(life, now, PURCHASED), now, EXPIRED, token=life.newest.number - 1)


def pause(life: Life, months: int, now: datetime) -> Life:
    """From the period's end on, for whole months. The renewal that a failure was planned for does not come."""
    _require_running(life)
    _require(life.newest.auto_renew and life.trouble is None and life.pause is None, "only what will renew can be paused, once")
    if months not in PAUSE_MONTHS:
        raise Invalid("a pause lasts 1, 2 or 3 months", param="months")
    return _tell(replace(life, pause=Pause(months=months), failure=None), now, PAUSE_SCHEDULE_CHANGED)


def resume(life: Life, now: datetime) -> Life:
    """Takes a pause back; one in force ends with a charge, and the billing date moves."""
    _require(life.newest.ended_at is None and life.pause is not None, "no pause to end")
    if life.pause is not None and life.pause.resumes_at is not None:
        return _charged_again(life, now, now)
    return _tell(replace(life, pause=None), now, PAUSE_SCHEDULE_CHANGED)


def acknowledge(life: Life, token: Token) -> Life:
    """Again, it changes nothing. What named the lapsed subscription is gone from then on."""
    _require(token.ended_at is None or token.is_acknowledged, "what has ended cannot be acknowledged")
    return _with(life, replace(token, is_acknowledged=True, lapsed=None))


def consume(life: Life, now: datetime) -> Life:
    """By the device, or by the seller's server: the customer can buy it again. Again, it changes nothing."""
    _require(not is_subscription(life) and life.newest.ended_at is None, "only a one-time purchase is consumed")
    return _with(life, replace(life.newest, is_consumed=True, is_acknowledged=True))


# What the store and the seller do ---------------------------------------------------------------------------------------------


def refund(life: Life, order_id: str | None, now: datetime, *, revoke: bool = False) -> Life:
    """Gives back a whole order. Google tells nobody of one that takes nothing."""
    order = find_order(life, order_id)
    _require(order.state == "PROCESSED", "only a paid order is given back, once")
    if revoke:
        return _take_back(life, order.order_id, now, by="developer")
    return _with_order(life, replace(order, state="REFUNDED", refunded_at=now))


def _take_back(life: Life, order_id: str, now: datetime, *, by: Cancellation, reason: int = 0) -> Life:
    """The money, and what it paid for where that is the present period."""
    order = find_order(life, order_id)
    life = _with_order(life, replace(order, state="REFUNDED", refunded_at=now, voided_at=now, voided_reason=reason))
    token = life.newest
    if order.order_id == token.paid_order and token.ended_at is None:
        expires_at = min(now, token.expires_at) if token.expires_at is not None else None
        over = replace(token, ended_at=now, expires_at=expires_at, auto_renew=False, cancellation=by)
        life = _with(replace(life, trouble=None, pause=None, failure=None), over)
        if is_subscription(life):
            life = _tell(life, now, REVOKED)
    return _tell(life, now, 0, about="voided", token=order.token, order_id=order.order_id)


def fail_next_renewal(life: Life, failure: Failure) -> Life:
    """Plans the next renewal's failure. Nothing is told yet."""
    _require_running(life)
    _require(life.newest.auto_renew and life.trouble is None and life.pause is None, "there is no renewal ahead that could fail")
    if not 0 <= failure.grace_days <= LONGEST_GRACE_DAYS:
        raise Invalid(f"a grace period lasts 0 to {LONGEST_GRACE_DAYS} days", param="grace_days")
    if failure.recover_after_days is not None and not 0 <= failure.recover_after_days < GIVE_UP_AFTER_DAYS:
        raise Invalid(
            f"Google tries for {GIVE_UP_AFTER_DAYS} days; a charge can recover after 0 to {GIVE_UP_AFTER_DAYS - 1}", param="recover_after_days"
        )
    return replace(life, failure=failure)


def revert_failure(life: Life) -> Life:
    """The next renewal is charged after all. A charge that failed already is not undone."""
    _require(life.failure is not None, "no failure of the next renewal is planned")
    return replace(life, failure=None)


def defer(life: Life, by: timedelta, now: datetime) -> Life:
    """Moves the renewal date on, as the seller may."""
    _require_running(life)
    _require(life.newest.auto_renew and life.trouble is None, "only what will renew can be moved on")
    if not timedelta(0) < by <= LONGEST_DEFERRAL:
        raise Invalid("Google moves a renewal on by up to a year at once", param="deferDuration")
    assert life.newest.expires_at is not None, "a subscription ends"
    return _tell(_with(life, replace(life.newest, expires_at=life.newest.expires_at + by)), now, DEFERRED)


# What may be done, and what is told -------------------------------------------------------------------------------------------


def _require(condition: bool, why_not: str) -> None:
    if not condition:
        raise Conflict(f"the simulated Google Play refuses: {why_not}")


def _require_running(life: Life) -> None:
    _require(is_subscription(life), "it is no subscription")
    _require(life.newest.ended_at is None, "it has ended")
    _require(life.pause is None or life.pause.resumes_at is None, "it is paused; resume it first")


def _require_change(life: Life, plan: Plan) -> None:
    _require_running(life)
    _require(life.trouble is None, "it is not paid")
    _require(plan.product != life.newest.plan.product, f"it is {plan.product!r} already")
    _require(life.newest.is_acknowledged, "its purchase is not acknowledged yet")
    if plan.price.currency != life.newest.plan.price.currency:
        raise Invalid(f"a subscription in {life.newest.plan.price.currency} cannot change to a price in {plan.price.currency}", param="price")


def _with(life: Life, changed: Token) -> Life:
    return replace(life, tokens=tuple(changed if token.number == changed.number else token for token in life.tokens))


def _with_order(life: Life, changed: Order) -> Life:
    return replace(life, orders=tuple(changed if order.order_id == changed.order_id else order for order in life.orders))


def _tell(life: Life, at: datetime, type: int, *, about: About = "subscription", token: int | None = None, order_id: str | None = None) -> Life:
    happening = Happening(
        number=len(life.happenings) + 1,
        about=about,
        at=at,
        type=type,
        token=token if token is not None else life.newest.number,
        order_id=order_id,
        is_posted=life.is_silent,
    )
    return replace(life, happenings=(*life.happenings, happening))


def posted(life: Life, now: datetime) -> tuple[Life, list[Happening]]:
    """What waits to be posted, and the life that no longer has to."""
    waiting = [one for one in life.happenings if not one.is_posted and one.at <= now]
    gone = {one.number for one in waiting}
    return replace(life, happenings=tuple(replace(one, is_posted=one.is_posted or one.number in gone) for one in life.happenings)), waiting
