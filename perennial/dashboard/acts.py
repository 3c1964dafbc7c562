"""What may be done to what was bought at the demo: a table for each simulated store, in people's words, with the store's own rule behind each row.

Pure. Whether something can be done now is not said here once more: the store's rule is tried on what the store holds, and what it refuses is
not offered.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Generic, Literal, TypeVar

from perennial.base.errors import Conflict, Invalid, PerennialError
from perennial.base.money import Money
from perennial.base.time import Duration, add
from perennial.base.value import value
from perennial.catalog.model import Product
from perennial.dashboard.rendering import moment, words
from perennial.providers.simulated.app_store import model as app_store_model
from perennial.providers.simulated.app_store import plan_of as app_store_plan
from perennial.providers.simulated.app_store import rules as app_store
from perennial.providers.simulated.play_store import model as play_store_model
from perennial.providers.simulated.play_store import plan_of as play_store_plan
from perennial.providers.simulated.play_store import rules as play_store
from perennial.providers.simulated.stripe import model as stripe_model
from perennial.providers.simulated.stripe import plan_of as stripe_plan
from perennial.providers.simulated.stripe import rules as stripe

Life = TypeVar("Life")  # what a simulated store keeps of one purchase and all that came of it
Work = Callable[[Life, datetime], Life]
Who = Literal["customer", "store"]


@value
class Way(Generic[Life]):
    """One way to do an act; an act that is done in one way alone has no name for it."""

    work: Work[Life]
    name: str = ""
    words: str = ""


@value
class Act(Generic[Life]):
    """A row of a store's table. `words` stand on its button, and read on into the words of its ways."""

    name: str
    words: str
    by: Who
    ways: tuple[Way[Life], ...]


@value
class Offered:
    """An act that can be done now, with the names and words of the ways it can be done in."""

    name: str
    words: str
    by: Who
    ways: tuple[tuple[str, str], ...] = (("", ""),)


Planned = Literal["failure", "no_charge"]  # of the next renewal: it fails; it is not charged


@value
class Outlook:
    """What a store knows of a line and has told nobody: what can be done to it now, and how it is to go on, where that is not the usual way."""

    acts: tuple[Offered, ...] = ()
    planned: Planned | None = None
    note: str | None = None


def offered(acts: Sequence[Act[Life]], life: Life, now: datetime) -> tuple[Offered, ...]:
    """Those the store would not refuse."""
    possible = [(act, tuple((way.name, way.words) for way in act.ways if _can(way, life, now))) for act in acts]
    return tuple(Offered(name=act.name, words=act.words, by=act.by, ways=ways) for act, ways in possible if ways)


def _can(way: Way[Life], life: Life, now: datetime) -> bool:
    try:
        way.work(life, now)
    except PerennialError:
        return False
    return True


def find_work(acts: Sequence[Act[Life]], name: str, way: str) -> Work[Life]:
    """What a button of the page stands for. `Invalid` where the store knows no such act, or no such way to do it."""
    act = next((one for one in acts if one.name == name), None)
    if act is None:
        raise Invalid(f"act must be one of {', '.join(one.name for one in acts)}, not {name[:40]!r}", param="act")
    found = next((one for one in act.ways if one.name == way), None)
    if found is None:
        raise Invalid(f"{act.name} must be one of {', '.join(one.name for one in act.ways)}, not {way[:40]!r}", param=act.name)
    return found.work


# The tables -------------------------------------------------------------------------------------------------------------------


def of_app_store(products: Sequence[Product]) -> list[Act[app_store_model.Subscription]]:
    return [
        _act("cancel", "Cancel", "customer", app_store.cancel),
        _act("uncancel", "Renew after all", "customer", app_store.uncancel),
        _change("upgrade", "Change now to", products, lambda line, product, now: app_store.upgrade(line, app_store_plan(product), now)),
        _change("downgrade", "Change later to", products, lambda line, product, now: app_store.downgrade(line, app_store_plan(product), now)),
        _act("revert_downgrade", "Do not change after all", "customer", app_store.revert_downgrade),
        _change("resubscribe", "Buy again:", products, lambda line, product, now: app_store.resubscribe(line, app_store_plan(product), now)),
        _act("consent", "Agree to the price", "customer", app_store.consent),
        _acts(
            "fail_next_renewal",
            "Fail next renewal:",
            "store",
            Way(name="recovers", words="paid 3 days later", work=partial(_fail_app_store, grace_days=0, recover_after_days=3)),
            Way(name="recovers_in_grace", words="16 days of grace, paid after 5", work=partial(_fail_app_store, grace_days=16, recover_after_days=5)),
            Way(name="never", words="never paid", work=partial(_fail_app_store, grace_days=0, recover_after_days=None)),
        ),
        _act("revert_failure", "Do not fail after all", "store", lambda line, now: app_store.revert_failure(line)),
        _acts(
            "refund",
            "Refund",
            "store",
            Way(name="all", words="all of it", work=lambda line, now: app_store.refund(line, None, now)),
            Way(name="half", words="half of it", work=lambda line, now: app_store.refund(line, None, now, share_ppm=500_000)),
        ),
        _act("reverse_refund", "Reverse refund", "store", lambda line, now: app_store.reverse_refund(line, None, now)),
        _acts(
            "extend",
            "Renew later by",
            "store",
            Way(name="7", words="7 days", work=lambda line, now: app_store.extend(line, 7, now)),
            Way(name="30", words="30 days", work=lambda line, now: app_store.extend(line, 30, now)),
        ),
        _acts(
            "raise_price",
            "Raise the price by a fifth",
            "store",
            Way(name="asked", words="if they agree", work=partial(_raise_price, needs_consent=True)),
            Way(name="told", words="with a notice", work=partial(_raise_price, needs_consent=False)),
        ),
    ]


def of_play_store(products: Sequence[Product]) -> list[Act[play_store_model.Life]]:
    return [
        _act("cancel", "Cancel", "customer", play_store.cancel),
        _act("uncancel", "Renew after all", "customer", play_store.uncancel),
        _act("restore", "Take up again in the app", "customer", play_store.restore),
        _change("upgrade", "Change now to", products, lambda life, product, now: play_store.upgrade(life, play_store_plan(product), now)),
        _change("downgrade", "Change later to", products, lambda life, product, now: play_store.downgrade(life, play_store_plan(product), now)),
        _change("resubscribe", "Buy again:", products, lambda life, product, now: play_store.resubscribe(life, play_store_plan(product), now)),
        _act("top_up", "Top up", "customer", play_store.top_up),
        _acts(
            "pause",
            "Pause for",
            "customer",
            *(
                Way(name=str(months), words=f"{months} month{'s' if months > 1 else ''}", work=partial(_pause_play_store, months=months))
                for months in play_store.PAUSE_MONTHS
            ),
        ),
        _act("resume", "Resume", "customer", play_store.resume),
        _acts(
            "fail_next_renewal",
            "Fail next renewal:",
            "store",
            Way(name="recovers", words="on hold, paid after 3 days", work=partial(_fail_play_store, grace_days=0, recover_after_days=3)),
            Way(name="recovers_in_grace", words="7 days of grace, paid after 5", work=partial(_fail_play_store, grace_days=7, recover_after_days=5)),
            Way(name="never", words="never paid", work=partial(_fail_play_store, grace_days=0, recover_after_days=None)),
        ),
        _act("revert_failure", "Do not fail after all", "store", lambda life, now: play_store.revert_failure(life)),
        _acts(
            "refund",
            "Refund",
            "store",
            Way(name="revoke", words="and take it back", work=lambda life, now: play_store.refund(life, None, now, revoke=True)),
            Way(name="money", words="the money alone, which Google tells nobody", work=lambda life, now: play_store.refund(life, None, now)),
        ),
        _acts(
            "defer",
            "Renew later by",
            "store",
            Way(name="7", words="7 days", work=lambda life, now: play_store.defer(life, timedelta(days=7), now)),
            Way(name="30", words="30 days", work=lambda life, now: play_store.defer(life, timedelta(days=30), now)),
        ),
    ]


def of_stripe(products: Sequence[Product]) -> list[Act[stripe_model.Life]]:
    return [
        _act("cancel", "Cancel", "customer", stripe.cancel),
        _act("cancel_now", "End at once", "customer", stripe.end),
        _act("uncancel", "Renew after all", "customer", stripe.uncancel),
        _change("upgrade", "Change now to", products, lambda life, product, now: stripe.upgrade(life, stripe_plan(product), now)),
        _change("downgrade", "Change later to", products, lambda life, product, now: stripe.downgrade(life, stripe_plan(product), now)),
        _act("revert_downgrade", "Do not change after all", "customer", stripe.revert_downgrade),
        _acts(
            "set_quantity",
            "Take",
            "customer",
            *(Way(name=str(number), words=f"{number} of them", work=partial(_take, number=number)) for number in (1, 2, 5)),
        ),
        _act("pay", "Mend the card", "customer", stripe.pay),
        _acts(
            "fail_next_renewal",
            "Fail next renewal:",
            "store",
            Way(name="recovers", words="paid 3 days later", work=partial(_fail_stripe, recover_at_retry=1)),
            Way(name="never", words="never paid, then canceled", work=_fail_stripe),
            Way(name="past_due", words="never paid, then left past due", work=partial(_fail_stripe, then="past_due")),
            Way(name="unpaid", words="never paid, then left unpaid", work=partial(_fail_stripe, then="unpaid")),
        ),
        _act("revert_failure", "Do not fail after all", "store", lambda life, now: stripe.revert_failure(life)),
        _acts(
            "pause",
            "Pause collection",
            "store",
            Way(name="month", words="for a month, free of charge", work=_pause_for_a_month),
            Way(name="void", words="free of charge", work=partial(_pause_stripe, behavior="void")),
            Way(name="keep_as_draft", words="to be charged later", work=partial(_pause_stripe, behavior="keep_as_draft")),
            Way(name="mark_uncollectible", words="as a loss", work=partial(_pause_stripe, behavior="mark_uncollectible")),
        ),
        _act("resume", "Resume collection", "store", stripe.resume),
        _acts(
            "refund",
            "Refund",
            "store",
            Way(name="all", words="all of it", work=lambda life, now: stripe.refund(life, None, None, now)),
            Way(name="half", words="half of it", work=_refund_half),
        ),
        _act("fail_refund", "Let the refund fail", "store", lambda life, now: stripe.fail_refund(life, None, now)),
        _act("dispute", "Dispute the charge", "customer", lambda life, now: stripe.dispute(life, None, now)),
        _acts(
            "close_dispute",
            "Decide the dispute:",
            "store",
            Way(name="won", words="won", work=lambda life, now: stripe.close_dispute(life, None, "won", now)),
            Way(name="lost", words="lost", work=lambda life, now: stripe.close_dispute(life, None, "lost", now)),
        ),
    ]


def _act(name: str, words: str, by: Who, work: Work[Life]) -> Act[Life]:
    return Act(name=name, words=words, by=by, ways=(Way(work=work),))


def _acts(name: str, words: str, by: Who, *ways: Way[Life]) -> Act[Life]:
    return Act(name=name, words=words, by=by, ways=ways)


def _change(name: str, words: str, products: Sequence[Product], work: Callable[[Life, Product, datetime], Life]) -> Act[Life]:
    """To any of the app's subscriptions."""

    def way(product: Product) -> Way[Life]:
        return Way(name=product.product_id, words=product.display_name or product.store_identifier, work=lambda life, now: work(life, product, now))

    return Act(name=name, words=words, by="customer", ways=tuple(way(product) for product in products if product.type == "subscription"))


# What is planned --------------------------------------------------------------------------------------------------------------


def ahead_in_app_store(line: app_store_model.Subscription) -> Outlook:
    if line.ending is not None or not line.auto_renew:
        return Outlook()
    if line.trouble is not None:
        return Outlook(note=_goes_on(line.trouble.recover_at, line.trouble.give_up_at))
    if line.failure is None or (line.price_notice is not None and not line.price_notice.is_accepted):
        return Outlook()
    return Outlook(planned="failure", note=_fails(line.failure.grace_days, line.failure.recover_after_days, "no grace"))


def ahead_in_play_store(life: play_store_model.Life) -> Outlook:
    if life.newest.ended_at is not None or not life.newest.auto_renew:
        return Outlook()
    if life.trouble is not None:
        return Outlook(note=_goes_on(life.trouble.recover_at, life.trouble.give_up_at))
    if life.failure is None:
        return Outlook()
    return Outlook(planned="failure", note=_fails(life.failure.grace_days, life.failure.recover_after_days, _SILENT_DAY))


def ahead_at_stripe(life: stripe_model.Life) -> Outlook:
    if life.mode == "payment" or life.ended_at is not None:
        return Outlook()
    retry_at = stripe.retry_at(life)
    if life.status in ("past_due", "unpaid"):
        return Outlook(note=f"Stripe tries again on {moment(retry_at)}{_retries(life.failure)}." if retry_at is not None else _TRIES_NO_MORE)
    if life.pause is not None and life.pause.behavior != "void" and not life.cancel_at_period_end:
        until = f" until {moment(life.pause.resumes_at)}" if life.pause.resumes_at is not None else " until it is resumed"
        return Outlook(planned="no_charge", note=f"Collection is paused{until}: {_UNCOLLECTED[life.pause.behavior]}.")
    if life.failure is not None and stripe.has_charge_ahead(life):
        return Outlook(planned="failure", note=f"The next renewal will fail{_retries(life.failure)}.")
    return Outlook()


_SILENT_DAY = "a day that Google gives without saying so"
_TRIES_NO_MORE = "Stripe tries no more: it waits until the card is mended or the subscription is ended."
_UNCOLLECTED: Mapping[stripe_model.Behavior, str] = {
    "keep_as_draft": "it is served, to be charged later",
    "mark_uncollectible": "it is served, as a loss",
}


def _fails(grace_days: int, recover_after_days: int | None, without_grace: str) -> str:
    grace = f"{_days(grace_days)} of grace" if grace_days else without_grace
    return f"The next renewal will fail: {grace}, {'never paid' if recover_after_days is None else f'paid after {_days(recover_after_days)}'}."


def _goes_on(recover_at: datetime | None, give_up_at: datetime) -> str:
    """After a charge that failed."""
    if recover_at is not None:
        return f"The charge that failed will be paid on {moment(recover_at)}."
    return f"The charge that failed will never be paid; the store gives up on {moment(give_up_at)}."


def _retries(failure: stripe_model.Failure | None) -> str:
    """What comes of the retries of a charge that fails; without a failure the next one is paid."""
    if failure is None:
        return ", and will be paid"
    if failure.recover_at_retry is not None:
        return f", and its {('first', 'second', 'third')[failure.recover_at_retry - 1]} retry will be paid"
    return f", and no retry will be paid; then it is {'canceled' if failure.then == 'canceled' else f'left {words(failure.then)}'}"


def _days(number: int) -> str:
    return f"{number} day{'' if number == 1 else 's'}"


# What needs more than the store's rule ----------------------------------------------------------------------------------------


def _fail_app_store(
    line: app_store_model.Subscription, now: datetime, *, grace_days: int, recover_after_days: int | None
) -> app_store_model.Subscription:
    return app_store.fail_next_renewal(line, app_store_model.Failure(grace_days=grace_days, recover_after_days=recover_after_days))


def _raise_price(line: app_store_model.Subscription, now: datetime, *, needs_consent: bool) -> app_store_model.Subscription:
    price = line.plan.price
    return app_store.raise_price(line, Money(amount=price.amount + price.amount // 5, currency=price.currency), now, needs_consent=needs_consent)


def _fail_play_store(life: play_store_model.Life, now: datetime, *, grace_days: int, recover_after_days: int | None) -> play_store_model.Life:
    return play_store.fail_next_renewal(life, play_store_model.Failure(grace_days=grace_days, recover_after_days=recover_after_days))


def _pause_play_store(life: play_store_model.Life, now: datetime, *, months: int) -> play_store_model.Life:
    return play_store.pause(life, months, now)


def _fail_stripe(
    life: stripe_model.Life, now: datetime, *, recover_at_retry: int | None = None, then: stripe_model.GivenUp = "canceled"
) -> stripe_model.Life:
    if life.status == "past_due":
        raise Conflict("the charge fails already")
    return stripe.fail_next_charge(life, stripe_model.Failure(recover_at_retry=recover_at_retry, then=then))


def _pause_stripe(life: stripe_model.Life, now: datetime, *, behavior: stripe_model.Behavior) -> stripe_model.Life:
    return stripe.pause(life, behavior, None, now)


def _pause_for_a_month(life: stripe_model.Life, now: datetime) -> stripe_model.Life:
    return stripe.pause(life, "void", add(now, Duration(months=1)), now)


def _take(life: stripe_model.Life, now: datetime, *, number: int) -> stripe_model.Life:
    return stripe.set_quantity(life, number, now)


def _refund_half(life: stripe_model.Life, now: datetime) -> stripe_model.Life:
    paid = [invoice for invoice in life.invoices if invoice.paid > 0]
    if not paid:
        raise Conflict("nothing was paid that could be given back")
    return stripe.refund(life, None, (paid[-1].paid - stripe.given_back(paid[-1])) // 2, now)
