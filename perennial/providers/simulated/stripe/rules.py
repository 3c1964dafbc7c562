"""How the simulated Stripe plays a life: pure functions of the life and a moment. Source: Stripe's documentation of billing cycles and collection.

A renewal's invoice is made at the period's end and charged an hour later; a charge that fails is tried again after 3, 5 and 7 days more.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Literal

from perennial.base.errors import Conflict, Invalid
from perennial.base.ids import AppId
from perennial.base.time import Duration, add, parse_duration
from perennial.base.value import replace
from perennial.providers.simulated.stripe.model import (
    About,
    Back,
    Behavior,
    Charged,
    Dispute,
    Failure,
    Happening,
    Invoice,
    InvoiceStatus,
    Life,
    Pause,
    Plan,
    Reason,
)

DRAFT_LASTS = timedelta(hours=1)
RETRY_AFTER = (timedelta(days=3), timedelta(days=5), timedelta(days=7))
FIRST_PAYMENT_WAITS = timedelta(hours=23)
MOST_HAPPENINGS = 500  # kept of a life; Stripe keeps thirty days of them
MOST_STEPS = 10_000  # of one playing: a life of decades ends with an error, not never

_RUNNING = ("trialing", "active", "past_due")
_STATUS_OF_PAUSED: dict[Behavior, InvoiceStatus] = {"void": "void", "keep_as_draft": "draft", "mark_uncollectible": "uncollectible"}


# Buying -----------------------------------------------------------------------------------------------------------------------


def buy(
    *,
    app_id: AppId,
    code: str,
    plan: Plan,
    now: datetime,
    app_user_id: str | None = None,
    is_told_by_session: bool = False,
    quantity: int = 1,
    trial: str | None = None,
    setup_fee: int = 0,
    country: str | None = None,
    is_declined: bool = False,
    is_silent: bool = False,
) -> Life:
    """A checkout. `trial` is ISO 8601, `setup_fee` in minor units. Declined, a subscription is incomplete, and given up after 23 hours."""
    now = now.replace(microsecond=0)
    trial_end = add(now, parse_duration(trial)) if trial is not None and plan.duration is not None else None
    anchor = trial_end or now
    end = trial_end or (add(now, parse_duration(plan.duration)) if plan.duration is not None else now)
    life = Life(
        app_id=app_id,
        code=code,
        mode="subscription" if plan.duration is not None else "payment",
        plan=plan,
        created_at=now,
        anchor=anchor,
        period_start=now,
        period_end=end,
        played_at=now,
        status="incomplete" if is_declined else "trialing" if trial_end is not None else "active",
        quantity=quantity,
        periods=0 if trial_end is not None else 1,
        app_user_id=app_user_id,
        is_told_by_session=is_told_by_session,
        country=country,
        trial_start=now if trial_end is not None else None,
        trial_end=trial_end,
        is_silent=is_silent,
    )
    amount = 0 if trial_end is not None else plan.price.amount * quantity
    first = Charged(product=plan.product, amount=amount, start=now, end=end, quantity=quantity)
    fee = (Charged(product=plan.product, amount=setup_fee, start=now, end=now, is_beside=True),) if setup_fee else ()
    life = _with_invoice(life, "subscription_create", (first, *fee), now, "open" if is_declined else "paid")
    if life.mode == "payment":
        return _tell(life, now, ("checkout.session.completed", "session"), ("charge.succeeded", "charge"))
    life = _tell(life, now, ("customer.subscription.created", "subscription"))
    if is_declined:
        return _tell(life, now, ("invoice.payment_failed", "invoice"))
    return _tell(life, now, ("invoice.paid", "invoice"), ("checkout.session.completed", "session"))


# Time -------------------------------------------------------------------------------------------------------------------------


def play(life: Life, now: datetime) -> Life:
    """Everything that is due by `now`, in its order."""
    for _ in range(MOST_STEPS):
        due = next_due(life)
        if due is None or due > now:
            return life
        at = max(due, life.played_at)
        life = replace(_step(life, due, at), played_at=at)
    raise Conflict(f"more than {MOST_STEPS} things were due in one simulated subscription; advance the clock in shorter steps")


def next_moment(life: Life) -> datetime | None:
    """When something happens by itself, or is to be posted: at once where events wait."""
    waiting = [one.at for one in life.happenings if not one.is_posted and not life.is_silent]
    return min([*waiting, *([due] if (due := next_due(life)) is not None else [])], default=None)


def next_due(life: Life) -> datetime | None:
    if life.mode == "payment" or life.ended_at is not None:
        return None
    if life.status == "incomplete":
        return life.created_at + FIRST_PAYMENT_WAITS
    moments = [invoice.collects_at for invoice in life.invoices if invoice.collects_at is not None]
    if life.pause is not None and life.pause.resumes_at is not None:
        moments.append(life.pause.resumes_at)
    if life.status in ("trialing", "active"):
        moments.append(life.period_end)
    return min(moments, default=None)


def _step(life: Life, due: datetime, at: datetime) -> Life:
    if life.status == "incomplete":
        return _tell(replace(life, status="incomplete_expired", ended_at=at), at, ("customer.subscription.updated", "subscription"))
    if life.pause is not None and life.pause.resumes_at == due:
        return resume(life, at)
    for invoice in life.invoices:
        if invoice.collects_at == due:
            return _collect(life, invoice, at)
    return _renew(life, at)


def _renew(life: Life, at: datetime) -> Life:
    """The period's end: the next begins, paid or not."""
    if life.cancel_at_period_end:
        return end(life, at, reason="cancellation_requested")
    plan = life.next_plan or life.plan
    anchor, periods = (life.anchor, life.periods) if plan.duration == life.plan.duration else (life.period_end, 0)
    start, until = life.period_end, add(anchor, _duration(plan), periods + 1)
    own = Charged(product=plan.product, amount=plan.price.amount * life.quantity, start=start, end=until, quantity=life.quantity)
    renewed = replace(
        life,
        plan=plan,
        next_plan=None,
        pending=(),
        status="active",
        anchor=anchor,
        periods=periods + 1,
        period_start=start,
        period_end=until,
    )
    status: InvoiceStatus = "draft" if life.pause is None else _STATUS_OF_PAUSED[life.pause.behavior]
    renewed = _with_invoice(renewed, "subscription_cycle", (*life.pending, own), at, status)
    if life.pause is None:
        renewed = _with(renewed, replace(renewed.invoices[-1], collects_at=at + DRAFT_LASTS))
    released = (("subscription_schedule.released", "schedule"),) if life.next_plan is not None else ()
    return _tell(renewed, at, ("invoice.created", "invoice"), ("customer.subscription.updated", "subscription"), *released)


def _collect(life: Life, invoice: Invoice, at: datetime) -> Life:
    if life.failure is None or invoice.attempts == life.failure.recover_at_retry:
        return _paid(replace(life, failure=None), invoice, at)
    retries_left = RETRY_AFTER[invoice.attempts : invoice.attempts + 1]
    failed = replace(invoice, status="open", attempts=invoice.attempts + 1, collects_at=at + retries_left[0] if retries_left else None)
    life = _tell(_with(life, failed), at, ("invoice.payment_failed", "invoice"), invoice=invoice.number)
    if retries_left or life.failure is None:
        return _tell(replace(life, status="past_due"), at, ("customer.subscription.updated", "subscription"))
    then = life.failure.then
    life = replace(life, failure=None)
    if then == "canceled":
        return end(life, at, reason="payment_failed")
    return _tell(replace(life, status=then), at, ("customer.subscription.updated", "subscription"))


def _paid(life: Life, invoice: Invoice, at: datetime) -> Life:
    was = life.status
    life = _with(life, replace(invoice, status="paid", paid_at=at, collects_at=None))
    life = _tell(life, at, ("invoice.paid", "invoice"), invoice=invoice.number)
    if was in ("past_due", "unpaid", "incomplete"):
        return _tell(replace(life, status="active"), at, ("customer.subscription.updated", "subscription"))
    return life


# What can be done -------------------------------------------------------------------------------------------------------------


def cancel(life: Life, now: datetime) -> Life:
    """At the period's end."""
    _require(life, _is_running(life) and not life.cancel_at_period_end, "nothing to cancel")
    return _updated(replace(life, cancel_at_period_end=True, canceled_at=now), now)


def uncancel(life: Life, now: datetime) -> Life:
    _require(life, life.cancel_at_period_end and life.ended_at is None, "no cancellation to take back")
    return _updated(replace(life, cancel_at_period_end=False, canceled_at=None), now)


def end(life: Life, now: datetime, *, reason: str = "cancellation_requested") -> Life:
    """Canceled now. What was paid is not given back by that."""
    _require(life, life.mode == "subscription" and life.ended_at is None, "nothing to cancel")
    stopped = tuple(replace(one, collects_at=None) for one in life.invoices)
    over = replace(
        life, status="canceled", ended_at=now, canceled_at=life.canceled_at or now, end_reason=reason, invoices=stopped, next_plan=None, pause=None
    )
    return _tell(over, now, ("customer.subscription.deleted", "subscription"))


def pay(life: Life, now: datetime) -> Life:
    """The customer mends the card: the newest invoice that is open is paid."""
    unpaid = [one for one in life.invoices if one.status == "open"]
    _require(life, bool(unpaid) and life.ended_at is None, "no open invoice to pay")
    return _paid(replace(life, failure=None), unpaid[-1], now)


def pause(life: Life, behavior: Behavior, resumes_at: datetime | None, now: datetime) -> Life:
    _require(life, _is_running(life) and life.pause is None, "nothing to pause")
    if resumes_at is not None and resumes_at <= now:
        raise Invalid("a pause ends later than now", param="resumes_at")
    return _updated(replace(life, pause=Pause(behavior=behavior, resumes_at=resumes_at)), now)


def resume(life: Life, now: datetime) -> Life:
    """Collection goes on with the next period's invoice."""
    _require(life, life.pause is not None, "no pause to end")
    return _updated(replace(life, pause=None), now)


def upgrade(life: Life, plan: Plan, now: datetime, *, invoiced: Literal["now", "later"] = "now") -> Life:
    """Another product from now on. What is left of the old period is credited; a plan of another length begins its period now."""
    _require(life, _is_paid(life), "only a running subscription can be changed")
    if plan.product == life.plan.product:
        raise Invalid(f"it is {plan.product!r} already", param="product")
    if plan.price.currency != life.plan.price.currency:
        raise Invalid(f"a subscription in {life.plan.price.currency} cannot change to a price in {plan.price.currency}", param="price")
    if life.status == "trialing":
        return _updated(replace(life, plan=plan, next_plan=None), now)
    is_same_length = plan.duration == life.plan.duration
    until = life.period_end if is_same_length else add(now, _duration(plan))
    credit = _proration(life, -life.plan.price.amount * life.quantity, life.plan.product, now)
    full = plan.price.amount * life.quantity
    added = _proration(life, full, plan.product, now)
    added = added if is_same_length else replace(added, amount=full, end=until, is_proration=False)
    changed = replace(life, plan=plan, next_plan=None)
    if not is_same_length:
        changed = replace(changed, anchor=now, periods=1, period_start=now, period_end=until)
    return _prorated(changed, (credit, added), now, invoiced="now" if not is_same_length else invoiced)


def set_quantity(life: Life, quantity: int, now: datetime, *, invoiced: Literal["now", "later"] = "now") -> Life:
    _require(life, _is_paid(life), "only a running subscription can be changed")
    if not 1 <= quantity <= 1_000_000 or quantity == life.quantity:
        raise Invalid("a quantity is a whole number from 1, and another than now", param="quantity")
    changed = replace(life, quantity=quantity)
    if life.status == "trialing":
        return _updated(changed, now)
    credit = _proration(life, -life.plan.price.amount * life.quantity, life.plan.product, now)
    added = replace(_proration(life, life.plan.price.amount * quantity, life.plan.product, now), quantity=quantity)
    return _prorated(changed, (credit, added), now, invoiced=invoiced)


def downgrade(life: Life, plan: Plan, now: datetime) -> Life:
    """Another product from the next period on, by a schedule."""
    _require(life, _is_paid(life) and not life.cancel_at_period_end, "only a subscription that renews can be scheduled")
    if plan.product == life.plan.product:
        raise Invalid(f"it is {plan.product!r} already", param="product")
    planned = replace(life, next_plan=plan)
    return _tell(planned, now, ("subscription_schedule.created", "schedule"), ("customer.subscription.updated", "subscription"))


def revert_downgrade(life: Life, now: datetime) -> Life:
    _require(life, life.next_plan is not None, "no change is scheduled")
    kept = replace(life, next_plan=None)
    return _tell(kept, now, ("subscription_schedule.released", "schedule"), ("customer.subscription.updated", "subscription"))


def move_renewal(life: Life, until: datetime, now: datetime) -> Life:
    """A trial without proration: Stripe's way to charge later. It makes an invoice of nothing."""
    _require(life, _is_paid(life), "only the renewal of a running subscription can be moved")
    if until <= life.period_end:
        raise Invalid("the renewal can only be moved to later", param="trial_end")
    start = life.trial_start if life.status == "trialing" else now
    moved = replace(life, status="trialing", trial_start=start, trial_end=until, anchor=until, periods=0, period_end=until)
    free = Charged(product=life.plan.product, amount=0, start=now, end=until, quantity=life.quantity)
    moved = _with_invoice(moved, "subscription_update", (free,), now, "paid")
    return _tell(moved, now, ("customer.subscription.updated", "subscription"), ("invoice.paid", "invoice"))


def fail_next_charge(life: Life, failure: Failure) -> Life:
    _require(life, has_charge_ahead(life), "nothing is to be charged")
    if failure.recover_at_retry is not None and not 1 <= failure.recover_at_retry <= len(RETRY_AFTER):
        raise Invalid(f"Stripe retries {len(RETRY_AFTER)} times", param="recover_at_retry")
    return replace(life, failure=failure)


def revert_failure(life: Life) -> Life:
    """The next charge succeeds after all; where charges failed already, the next retry."""
    _require(life, life.failure is not None and has_charge_ahead(life), "no failure of a charge is planned")
    return replace(life, failure=None)


def has_charge_ahead(life: Life) -> bool:
    """Whether Stripe charges by itself: a renewal, or an invoice that it tries again."""
    return retry_at(life) is not None or (life.mode == "subscription" and life.status in ("trialing", "active") and not life.cancel_at_period_end)


def retry_at(life: Life) -> datetime | None:
    """When an invoice is charged that was made already."""
    return min((one.collects_at for one in life.invoices if one.collects_at is not None), default=None)


def refund(life: Life, number: int | None, amount: int | None, now: datetime) -> Life:
    """Gives back what was paid for an invoice (None: the newest paid one), or a part of it."""
    invoice = _invoice(life, number)
    left = invoice.paid - given_back(invoice)
    wanted = left if amount is None else amount
    if not 0 < wanted <= left:
        raise Invalid(f"between 1 and {left} can be given back", param="amount")
    back = Back(number=len(invoice.refunds) + 1, amount=wanted, at=now)
    life = _with(life, replace(invoice, refunds=(*invoice.refunds, back)))
    life = _tell(life, now, ("refund.created", "refund"), invoice=invoice.number, refund=back.number)
    return _tell(life, now, ("charge.refunded", "charge"), invoice=invoice.number)


def fail_refund(life: Life, number: int | None, now: datetime) -> Life:
    """The newest refund of an invoice did not reach the customer."""
    invoice = _invoice(life, number)
    standing = [one for one in invoice.refunds if not one.has_failed]
    _require(life, bool(standing), "no refund that could fail")
    refunds = tuple(replace(one, has_failed=True) if one == standing[-1] else one for one in invoice.refunds)
    life = _with(life, replace(invoice, refunds=refunds))
    return _tell(life, now, ("refund.failed", "refund"), invoice=invoice.number, refund=standing[-1].number)


def dispute(life: Life, number: int | None, now: datetime) -> Life:
    """The customer's bank asks for the money back."""
    invoice = _invoice(life, number)
    _require(life, invoice.dispute is None and given_back(invoice) == 0, "it was disputed or given back already")
    life = _with(life, replace(invoice, dispute=Dispute(at=now)))
    return _tell(life, now, ("charge.dispute.created", "dispute"), invoice=invoice.number)


def close_dispute(life: Life, number: int | None, outcome: Literal["won", "lost"], now: datetime) -> Life:
    disputed = [one for one in life.invoices if one.dispute is not None and number in (None, one.number)]
    _require(life, bool(disputed), "nothing is disputed")
    invoice = disputed[-1]
    assert invoice.dispute is not None
    _require(life, invoice.dispute.status == "needs_response", "the dispute is closed")
    life = _with(life, replace(invoice, dispute=replace(invoice.dispute, status=outcome)))
    return _tell(life, now, ("charge.dispute.closed", "dispute"), invoice=invoice.number)


def act(life: Life, now: datetime, work: Callable[[Life], Life]) -> Life:
    """What was due comes first, and nothing happens later at an earlier moment."""
    return replace(work(play(life, now)), played_at=now)


def once(life: Life, key: str | None, work: Callable[[Life], Life]) -> Life:
    """An act with an idempotency key is done the first time."""
    if key is not None and key in life.done:
        return life
    life = work(life)
    return replace(life, done=(*life.done, key)[-100:]) if key is not None else life


# Reading ----------------------------------------------------------------------------------------------------------------------


def given_back(invoice: Invoice) -> int:
    return sum(one.amount for one in invoice.refunds if not one.has_failed)


def posted(life: Life) -> tuple[Life, list[Happening]]:
    """What is to be posted, and the life that remembers it was. A silent one posts nothing, then or later."""
    waiting = [] if life.is_silent else [one for one in life.happenings if not one.is_posted]
    return replace(life, happenings=tuple(replace(one, is_posted=True) for one in life.happenings)[-MOST_HAPPENINGS:]), waiting


def _invoice(life: Life, number: int | None) -> Invoice:
    paid = [one for one in life.invoices if one.paid > 0 and number in (None, one.number)]
    _require(life, bool(paid), "nothing was paid that could be given back")
    return paid[-1]


def _is_running(life: Life) -> bool:
    """What was paid once counts as active, but does not run."""
    return life.mode == "subscription" and life.status in _RUNNING


def _is_paid(life: Life) -> bool:
    return _is_running(life) and life.status != "past_due"


def _duration(plan: Plan) -> Duration:
    assert plan.duration is not None, "a subscription's plan has a length"
    return parse_duration(plan.duration)


def _proration(life: Life, amount: int, product: str, now: datetime) -> Charged:
    """The part of an amount that falls on what is left of the period."""
    share = Fraction(int((life.period_end - now).total_seconds()), int((life.period_end - life.period_start).total_seconds()))
    return Charged(product=product, amount=round(amount * share), start=now, end=life.period_end, quantity=life.quantity, is_proration=True)


def _prorated(life: Life, lines: tuple[Charged, ...], now: datetime, *, invoiced: Literal["now", "later"]) -> Life:
    if invoiced == "later":
        return _updated(replace(life, pending=(*life.pending, *lines)), now)
    life = _updated(_with_invoice(life, "subscription_update", lines, now, "paid"), now)
    return _tell(life, now, ("invoice.paid", "invoice"))


def _with_invoice(life: Life, reason: Reason, lines: tuple[Charged, ...], at: datetime, status: InvoiceStatus) -> Life:
    made = Invoice(
        number=len(life.invoices) + 1,
        reason=reason,
        lines=lines,
        created_at=at,
        status=status,
        paid_at=at if status == "paid" else None,
    )
    return replace(life, invoices=(*life.invoices, made))


def _with(life: Life, changed: Invoice) -> Life:
    return replace(life, invoices=tuple(changed if one.number == changed.number else one for one in life.invoices))


def _updated(life: Life, now: datetime) -> Life:
    return _tell(life, now, ("customer.subscription.updated", "subscription"))


def _tell(life: Life, at: datetime, *told: tuple[str, About], invoice: int | None = None, refund: int = 0) -> Life:
    """Events of one moment; about the newest invoice where none is named."""
    first = life.happenings[-1].number + 1 if life.happenings else 1
    about = len(life.invoices) if invoice is None else invoice
    new = [Happening(number=first + n, type=kind, at=at, about=of, invoice=about, refund=refund) for n, (kind, of) in enumerate(told)]
    return replace(life, happenings=(*life.happenings, *new))


def _require(life: Life, holds: bool, trouble: str) -> None:
    if not holds:
        raise Conflict(f"{trouble}: the simulated subscription is {life.status}")
