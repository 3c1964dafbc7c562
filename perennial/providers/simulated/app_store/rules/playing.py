"""What happens to a line by itself: its periods end, are renewed, or could not be paid."""

from collections.abc import Callable
from datetime import datetime, timedelta

from perennial.base.value import replace
from perennial.providers.simulated.app_store.model import Draft, Ending, Failure, Subscription, Trouble
from perennial.providers.simulated.app_store.payloads import current
from perennial.providers.simulated.app_store.rules.charges import MOST_CHARGES, renew
from perennial.providers.simulated.app_store.rules.outbox import announce, next_posting, take_due

RETRY_DAYS = 60
MOST_MOMENTS = 50  # played at once; what is left stays due


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
    return announce(renew(line, at), "DID_RENEW", None, now)


def _expire(line: Subscription, ending: Ending, subtype: str, now: datetime) -> Subscription:
    over = replace(line, ending=ending, auto_renew=False, trouble=None, failure=None, next_plan=None, next_offer=None)
    return announce(over, "EXPIRED", subtype, now)


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
    return announce(replace(line, failure=None, trouble=trouble), "DID_FAIL_TO_RENEW", "GRACE_PERIOD" if failure.grace_days else None, now)


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
    return announce(replace(line, trouble=replace(line.trouble, is_grace_over=True)), "GRACE_PERIOD_EXPIRED", None, now)


def _recover(line: Subscription, at: datetime, now: datetime) -> Subscription:
    """In grace no paid day is lost: the new period begins where the old one ended. Afterwards it begins with the payment."""
    assert line.trouble is not None
    in_grace = line.trouble.grace_until is not None and not line.trouble.is_grace_over
    return announce(renew(line, line.trouble.since if in_grace else at), "DID_RENEW", "BILLING_RECOVERY", now)


def _give_up(line: Subscription, at: datetime, now: datetime) -> Subscription:
    return _expire(line, "billing", "BILLING_RETRY", now)


def _expire_cancelled(line: Subscription, at: datetime, now: datetime) -> Subscription:
    return _expire(line, "voluntary", "VOLUNTARY", now)
