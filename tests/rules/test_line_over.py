"""A line that is over gives no access, whichever of its periods would run on: by the rules, and by each store's own way of saying it."""

from datetime import UTC, datetime, timedelta

import pytest

from perennial.base.money import Money
from perennial.base.value import replace
from perennial.subscriptions.model import Line, Purchase, Renewal, Revocation, Statement
from perennial.subscriptions.rules import access_end, access_until, is_entitled, latest, status
from tests.google_messages import FIRST, line_item, order, subscription
from tests.other_stores import hear, told
from tests.rules import test_amazon_appstore as amazon
from tests.rules import test_microsoft_store as microsoft
from tests.rules.test_google_subscription import Play

BEGAN = datetime(2026, 1, 1, 2, 9, 46, tzinfo=UTC)
ENDS, RENEWED, TAKEN = (BEGAN.replace(minute=14, second=46), BEGAN.replace(minute=10, second=15), BEGAN.replace(minute=10, second=44))
SECOND = timedelta(seconds=1)
SECOND_ORDER = f"{FIRST}..0"


def period(transaction: str = "X", begins: datetime = BEGAN, ends: datetime = ENDS, **said: object) -> Purchase:
    purchase = Purchase(
        transaction=transaction,
        product="monthly",
        kind="subscription",
        purchased_at=begins,
        expires_at=ends,
        as_of=begins,
        is_first=transaction == "X",
        is_renewal=transaction != "X",
        price=Money(amount=999, currency="EUR"),
    )
    return replace(purchase, **said)  # type: ignore[arg-type]


def renewed(begins: datetime = RENEWED) -> Purchase:
    return period("X..0", begins, ENDS + timedelta(minutes=5), as_of=RENEWED)


def stated(*purchases: Purchase, renewals: tuple[Renewal, ...] = ()) -> Statement:
    return Statement(store="app_store", environment="production", line="token", purchases=purchases, renewals=renewals)


def over(at: datetime, **said: object) -> Renewal:
    word = Renewal(as_of=at, transaction="", auto_renew=False, ended="unsubscribe", ended_at=at)
    return replace(word, **said)  # type: ignore[arg-type]


def ends(line: Line) -> list[datetime]:
    return [access_end(line, held) for held in line.held]


def test_an_earlier_period_ends_with_the_one_that_was_renewed_early_and_taken_back() -> None:
    line = hear([stated(period(), renewed())], RENEWED)
    assert is_entitled(line, TAKEN)
    taken = replace(renewed(), revocation=Revocation(at=TAKEN, refunded=True), as_of=TAKEN)
    assert told([stated(taken)], TAKEN, line) == ["CANCELLATION customer_support", "EXPIRATION customer_support"]
    line = hear([stated(taken)], TAKEN, line)
    assert (access_until(line), is_entitled(line, TAKEN), status(line, TAKEN)) == (TAKEN, False, "revoked")
    reversed_ = replace(taken, revocation=None, as_of=TAKEN + SECOND)
    assert is_entitled(hear([stated(reversed_)], TAKEN + SECOND, line), TAKEN + SECOND)


def test_a_renewal_taken_back_before_it_began_leaves_the_period_that_runs() -> None:
    line = hear([stated(period(), renewed(ENDS))], RENEWED)
    line = hear([stated(replace(renewed(ENDS), revocation=Revocation(at=TAKEN, refunded=True), as_of=TAKEN))], TAKEN, line)
    speaks = latest(line)
    assert speaks is not None and speaks.purchase.transaction == "X"
    assert (access_until(line), status(line, TAKEN), status(line, ENDS)) == (ENDS, "active", "expired")
    assert not line.held[0].told.expired
    assert [one.split()[0] for one in told([stated()], ENDS + timedelta(days=3), line)] == ["EXPIRATION"]


@pytest.mark.parametrize("begins", [RENEWED, ENDS])
def test_a_store_that_says_the_line_ended_ends_every_period_that_had_begun(begins: datetime) -> None:
    line = hear([stated(period(), renewed(begins))], RENEWED)
    line = hear([stated(renewals=(over(TAKEN),))], TAKEN, line)
    assert [min(end, ENDS) for end in ends(line)] == [TAKEN, TAKEN if begins == RENEWED else ENDS]
    assert ends(line)[0] == TAKEN


def test_a_line_that_ended_is_told_once_and_what_was_paid_before_it_counts_no_more() -> None:
    ended = stated(renewals=(over(TAKEN),))
    line = hear([stated(period())], BEGAN)
    assert told([ended], TAKEN, line) == ["EXPIRATION unsubscribe"]
    line = hear([ended], TAKEN, line)
    assert told([ended, stated(renewals=(over(TAKEN + SECOND, ended_at=TAKEN),))], ENDS, line) == []
    late = hear([stated(renewed())], ENDS, line)  # heard of after the end that cut it
    assert (access_until(late), status(late, TAKEN)) == (TAKEN, "expired")


def test_a_line_that_goes_on_again_gives_access_again() -> None:
    line = hear([stated(period()), stated(renewals=(over(TAKEN, pause="in_force", ended="subscription_paused"),))], TAKEN)
    assert (is_entitled(line, TAKEN), status(line, TAKEN)) == (False, "paused")
    line = hear([stated(renewals=(Renewal(as_of=TAKEN + SECOND, transaction="", auto_renew=True),))], TAKEN + SECOND, line)
    assert access_until(line) == ENDS
    anew = hear([stated(period("Y", TAKEN + SECOND, ENDS), renewals=(over(TAKEN),))], ENDS)
    assert access_until(anew) == ENDS, "what was bought after the end is not meant by it"


def test_the_newest_word_on_grace_counts_and_takes_nothing_that_had_passed() -> None:
    def failing(at: datetime, until: datetime | None, ended: str | None = None) -> Renewal:
        return Renewal(as_of=at, transaction="X", auto_renew=True, in_billing_retry=True, grace_until=until, ended=ended)  # type: ignore[arg-type]

    hour = timedelta(hours=1)
    long, short = failing(ENDS + SECOND, ENDS + 10 * hour), failing(ENDS + hour, ENDS + 2 * hour)
    assert access_until(hear([stated(period(), renewals=(long, short))], ENDS)) == ENDS + 2 * hour
    assert access_until(hear([stated(period(), renewals=(long, failing(ENDS + 3 * hour, ENDS + 2 * hour)))], ENDS)) == ENDS + 3 * hour
    assert access_until(hear([stated(period(), renewals=(long, failing(ENDS + hour, None, "billing_error")))], ENDS)) == ENDS + hour
    again = failing(ENDS + 4 * hour, ENDS + 9 * hour)
    assert access_until(hear([stated(period(), renewals=(long, failing(ENDS + hour, None, "billing_error"), again))], ENDS)) == ENDS + 9 * hour


# Google Play


def revoked(order_id: str, at: datetime) -> dict[str, object]:
    return subscription("EXPIRED", line_item(order=order_id, auto=False, until=at), canceledStateContext={"systemInitiatedCancellation": {}})


@pytest.mark.parametrize("begins", [RENEWED, ENDS])
def test_google_a_renewal_made_early_and_revoked_takes_the_period_before_it_along(begins: datetime) -> None:
    play = Play()
    play.hears(BEGAN, subscription("ACTIVE", line_item(until=ENDS)), order(begins=BEGAN, ends=ENDS))
    until = ENDS + timedelta(minutes=5)
    play.hears(RENEWED, subscription("ACTIVE", line_item(order=SECOND_ORDER, until=until)), order(SECOND_ORDER, begins=begins, ends=until))
    assert play.entitled(TAKEN - SECOND)
    heard = play.hears(TAKEN, revoked(SECOND_ORDER, TAKEN), hint="12")
    assert (play.entitled(TAKEN), play.ends() if begins == RENEWED else TAKEN) == (False, TAKEN)
    assert heard == ["EXPIRATION customer_support"]
    assert play.hears(ENDS + SECOND, revoked(SECOND_ORDER, TAKEN)) == []
    assert not play.entitled(ENDS - SECOND)


@pytest.mark.parametrize("before", [timedelta(0), SECOND, timedelta(seconds=30), timedelta(seconds=60), timedelta(days=2)])
def test_google_a_revocation_is_told_as_one_however_near_the_natural_end(before: timedelta) -> None:
    play, end = Play(), BEGAN + timedelta(days=30)
    play.hears(BEGAN, subscription("ACTIVE", line_item(until=end)), order(begins=BEGAN, ends=end))
    assert play.hears(end - before, revoked(FIRST, end - before), hint="12") == ["EXPIRATION customer_support"]
    assert (play.ends(), play.entitled(end - before)) == (end - before, False)


def test_google_an_end_without_a_revocation_keeps_its_reason() -> None:
    play, end = Play(), BEGAN + timedelta(days=30)
    play.hears(BEGAN, subscription("ACTIVE", line_item(until=end)), order(begins=BEGAN, ends=end))
    assert play.hears(end, revoked(FIRST, end - timedelta(seconds=30)), hint="13") == ["EXPIRATION billing_error"]


# The others


def test_microsoft_a_cancellation_ends_a_period_that_was_renewed_early() -> None:
    line = hear([microsoft.stated()], microsoft.NOW)
    line = hear([microsoft.stated(line=line, expirationTime=microsoft.NEXT.isoformat())], microsoft.NOW, line)
    assert len(line.held) == 2
    at = microsoft.NOW + timedelta(days=1)
    said = {"recurrenceState": "Canceled", "expirationTime": microsoft.NEXT.isoformat(), "cancellationDate": at.isoformat()}
    line = hear([microsoft.stated(at, line, **said)], at, line)
    assert (access_until(line), is_entitled(line, at)) == (at, False)


@pytest.mark.parametrize("reason", [1, 2])
def test_amazon_a_cancelled_receipt_ends_a_period_that_was_renewed_early(reason: int) -> None:
    line = hear([amazon.stated()], amazon.NOW)
    line = hear([amazon.stated(line=line, renewalDate=amazon.to_ms(amazon.NEXT))], amazon.NOW, line)
    assert len(line.held) == 2
    at = amazon.NOW + timedelta(days=1)
    said = {"renewalDate": amazon.to_ms(amazon.NEXT), "cancelDate": amazon.to_ms(at), "cancelReason": reason, "autoRenewing": False}
    line = hear([amazon.stated(at, line, **said)], at, line)
    assert not is_entitled(line, at)
