"""The decisions about what a customer holds: pure functions of what stores said and of the time.

`merge` is set union. `access_until` and `status` are readings. `tell` compares what is known with what was told and says what is
to be told now. Sources of the stores' rules: Apple's App Store Server Notifications V2 and StoreKit documentation.
"""

from bisect import bisect_right
from collections.abc import Sequence
from datetime import datetime, timedelta
from fractions import Fraction
from itertools import islice

from perennial.base.ids import joined
from perennial.base.time import FOREVER, to_ms
from perennial.base.value import replace
from perennial.subscriptions.model import (
    SAME_MOMENT,
    EndReason,
    Held,
    Line,
    Noted,
    Purchase,
    Refund,
    Renewal,
    Statement,
    Status,
    Store,
    change_of,
    changes_of,
    is_stand_in,
)

# A period that should have renewed: stores announce late, so we ask the store soon and give up a day later.
ASK_AFTER = timedelta(minutes=5)
ASK_TEST_STORE_BEFORE = timedelta(minutes=1)
SILENCE_MEANS_OVER = timedelta(hours=24)
# Stores we read as a whole, again and again: what they say twice in a row is kept once.
SNAPSHOT_STORES: frozenset[Store] = frozenset({"play_store", "stripe", "amazon", "roku", "paddle", "microsoft"})
# A period that was not going to renew: an hour of grace for a change of mind still on its way.
CANCELLED_MEANS_OVER = timedelta(hours=1)


# Merging ----------------------------------------------------------------------------------------------------------------------


def merge(line: Line, statement: Statement, heard_at: datetime) -> Line:
    """What we know together with what was said. Any order, any repetition: the same result."""
    held = _with_running(line, _merge_purchases(line, line.held, statement.purchases), statement)
    renewals = _merge_renewals(line.renewals, statement.renewals)
    if line.store in SNAPSHOT_STORES:
        renewals = _first_and_last_of_each_run(renewals)
    newest_key = _newest_key(line, statement)
    noted = _later_words(line.noted, statement.noted)
    original = _earlier(line.original_purchased_at, statement.original_purchased_at)
    known = (line.held, line.renewals, line.newest_key, line.noted, line.original_purchased_at)
    if (held, renewals, newest_key, noted, original) == known:
        return line
    return replace(
        line,
        held=held,
        renewals=renewals,
        newest_key=newest_key,
        noted=noted,
        original_purchased_at=original,
        heard_at=max(line.heard_at, heard_at),
    )


def _earlier(known: datetime | None, said: datetime | None) -> datetime | None:
    return min((moment for moment in (known, said) if moment is not None), default=None)


def _later_words(known: Noted | None, said: Noted | None) -> Noted | None:
    spoken = [words for words in (known, said) if words is not None]
    return max(spoken, key=lambda words: (words.as_of, repr(sorted(words.words.items()))), default=None)


def _newest_key(line: Line, statement: Statement) -> str | None:
    """A statement that names the key we ask by as an earlier one of its own has the newer."""
    return statement.line if line.subject in statement.also else line.newest_key


def _merge_purchases(line: Line, held: Sequence[Held], said: Sequence[Purchase]) -> tuple[Held, ...]:
    known = {one.purchase.transaction: one for one in held}
    stand_ins = [one.purchase for one in held if is_stand_in(line.store_line, one.purchase.transaction)]
    for told in said:
        purchase = told if not stand_ins or told.transaction in known else _as_stand_in(told, stand_ins)
        before = known.get(purchase.transaction)
        known[purchase.transaction] = Held(purchase=purchase) if before is None else _learned(before, purchase)
    return tuple(sorted(known.values(), key=lambda one: (one.purchase.purchased_at, one.purchase.transaction)))


def _learned(before: Held, said: Purchase) -> Held:
    """A charge that passed for a proration and turns out to have begun its line is still to be told as what it is."""
    held = replace(before, purchase=newer(before.purchase, said))
    has_begun = before.purchase.is_proration and not held.purchase.is_proration and not before.told.quietly
    return replace(held, told=replace(held.told, purchased=False)) if has_begun else held


def _as_stand_in(said: Purchase, stand_ins: Sequence[Purchase]) -> Purchase:
    """The payment of a period that was heard of without it goes by that period's name."""
    if said.kind != "subscription" or said.is_proration:
        return said
    same = next((one for one in stand_ins if abs(one.purchased_at - said.purchased_at) <= SAME_MOMENT), None)
    return said if same is None else replace(said, transaction=same.transaction, is_first=same.is_first, is_renewal=same.is_renewal)


def _with_running(line: Line, held: tuple[Held, ...], statement: Statement) -> tuple[Held, ...]:
    for period in statement.running:
        change = _change_within(line, held, period, statement.last_charge)
        if change is not None:
            held = _merge_purchases(line, held, (change,))
        elif all(one.purchase.transaction == period.transaction or not _leads_up_to(one.purchase, period) for one in held):
            held = _merge_purchases(line, held, (period,))
    return held


def _change_within(line: Line, held: Sequence[Held], period: Purchase, last_charge: str | None) -> Purchase | None:
    """Another product that the running period serves from now on, where no charge tells of it. Late news changes nothing."""
    served = [one.purchase for one in held if one.purchase.kind == "subscription" and not one.purchase.gives_no_time]
    if not served or served[-1].product == period.product or served[-1].revocation is not None:
        return None
    present = served[-1]
    is_awaited = last_charge is not None and all(last_charge != one.purchase.transaction.partition(":")[0] for one in held)
    is_late = present.purchased_at > period.as_of or any(word.as_of > period.as_of for word in line.renewals)
    end = present.expires_at
    is_within = end is not None and period.as_of < end and period.purchased_at < end - SAME_MOMENT
    if is_awaited or is_late or not is_within:
        return None
    known = [one for one in held if one.purchase.transaction.startswith(changes_of(present.transaction))]
    return change_of(present, period.product, period.quantity, number=len(known) + 1, at=period.as_of)


def _leads_up_to(known: Purchase, period: Purchase) -> bool:
    """Whether a period that is known runs into another, or within it: how it goes on says the rest."""
    if known.expires_at is None or period.expires_at is None or known.kind != "subscription" or known.gives_no_time:
        return False
    return known.purchased_at < period.expires_at and known.expires_at >= period.purchased_at - SAME_MOMENT


def newer(left: Purchase, right: Purchase) -> Purchase:
    """The later word of the two, a full one before a summary; of two words of one moment, the one that tells more.

    What it leaves open (old payloads have no price) is filled from the other: such facts do not change.
    """
    if left == right:
        return left
    first, last = sorted((left, right), key=lambda purchase: (not purchase.is_summary, purchase.as_of, _tells(purchase), repr(purchase)))
    return replace(
        last,
        price=last.price or first.price,
        tax=last.tax or (first.tax if last.price in (None, first.price) else None),
        commission=last.commission or (first.commission if last.price in (None, first.price) else None),
        offer=last.offer or first.offer,
        is_proration=first.is_proration and last.is_proration,  # what once counted as a period stays one
        charged_ppm=first.charged_ppm if last.charged_ppm is None else last.charged_ppm,
        country=last.country or first.country,
        refunds=_merge_refunds(first.refunds, last.refunds),
    )


def _tells(purchase: Purchase) -> tuple[int, int, int]:
    """What only grows: money given back, money that stayed after all, and what the store kept, of which a lost dispute takes more."""
    is_reversed = sum(refund.is_reversed for refund in purchase.refunds)
    return len(purchase.refunds), is_reversed, purchase.commission.amount if purchase.commission is not None else -1


def _merge_refunds(first: Sequence[Refund], last: Sequence[Refund]) -> tuple[Refund, ...]:
    """Money once given back is not forgotten by a message that does not speak of it; nor is it that it came back."""
    known = {refund.identifier: refund for refund in (*first, *last)}
    reversed_ones = {refund.identifier for refund in (*first, *last) if refund.is_reversed}
    return tuple(replace(known[identifier], is_reversed=identifier in reversed_ones) for identifier in sorted(known))


def _merge_renewals(known: Sequence[Renewal], said: Sequence[Renewal]) -> tuple[Renewal, ...]:
    by_moment = {renewal.as_of: renewal for renewal in known}
    for renewal in said:
        before = by_moment.get(renewal.as_of)
        by_moment[renewal.as_of] = renewal if before is None else max(before, renewal, key=repr)
    return tuple(by_moment[moment] for moment in sorted(by_moment))


def _first_and_last_of_each_run(renewals: Sequence[Renewal]) -> tuple[Renewal, ...]:
    """Without the snapshots between two equal ones: since when something is so, and until when we know it, is all they tell."""

    def says(renewal: Renewal) -> Renewal:
        return replace(renewal, as_of=renewals[0].as_of)

    inner = range(1, len(renewals) - 1)
    repeated = {place for place in inner if says(renewals[place - 1]) == says(renewals[place]) == says(renewals[place + 1])}
    return tuple(renewal for place, renewal in enumerate(renewals) if place not in repeated)


# Reading ----------------------------------------------------------------------------------------------------------------------


def renewals_of(line: Line, held: Held) -> list[Renewal]:
    """The snapshots that speak of this period, oldest first. One that names no period speaks of the newest that had begun.

    One that says that the line ended speaks of every period that it cuts. One that waits for a payment does not speak of what was paid later.
    """
    return [renewal for renewal in line.renewals if _speaks_of(line, renewal, held)]


def _speaks_of(line: Line, renewal: Renewal, held: Held) -> bool:
    if (renewal.transaction or _begun_by(line, renewal)) == held.purchase.transaction:
        return True
    return renewal.ended_at is not None and _cuts(renewal.ended_at, held) and not _is_settled(renewal, held.purchase)


def _cuts(moment: datetime, held: Held) -> bool:
    end = held.purchase.expires_at
    return held.purchase.purchased_at <= moment and (end is None or moment < end)


def _begun_by(line: Line, renewal: Renewal) -> str | None:
    begun = [
        one.purchase
        for one in line.held
        if one.purchase.purchased_at <= renewal.as_of
        and superseded_at(line, one) is None
        and not one.purchase.gives_no_time
        and not _is_settled(renewal, one.purchase)
    ]
    return begun[-1].transaction if begun else None


def _is_settled(renewal: Renewal, purchase: Purchase) -> bool:
    """Whether a renewal was paid after a word that its payment is missing. A line that was given up stays so, whatever is paid later."""
    waits = renewal.in_billing_retry or renewal.pause == "in_force"
    ran = purchase.expires_at is None or renewal.as_of < purchase.expires_at
    return waits and purchase.is_renewal and not purchase.is_proration and ran and renewal.as_of < purchase.as_of


def grace_until(line: Line, held: Held) -> datetime | None:
    """Until when the store asks us to keep serving although it could not charge, by its newest word on that.

    A word that shortens the time takes nothing of what had passed when it was said.
    """
    until: datetime | None = None
    for renewal in renewals_of(line, held):
        if (said := renewal.grace_until) is not None:
            until = said if until is None else max(said, min(until, renewal.as_of))
    return until


def superseded_at(line: Line, held: Held) -> datetime | None:
    """When another purchase took this one's place: an upgrade, said by the store or plain from its successor beginning within the period.

    None while the successor is not known: until it is, the upgraded purchase speaks for the line.
    """
    purchase = held.purchase
    later = bisect_right(line.held, purchase.purchased_at, key=_begun_at)  # where those that began after it stand
    if later == len(line.held):
        return None
    end, taken_back = purchase.expires_at, taken_back_at(held)
    if end is not None and taken_back is not None:
        end = min(end, taken_back)  # there was nothing left to take the place of
    for one in islice(line.held, later, None):
        if end is None or one.purchase.purchased_at >= end:
            break
        if not one.purchase.is_renewal and not one.purchase.gives_no_time:
            return one.purchase.purchased_at
    return line.held[later].purchase.purchased_at if purchase.is_superseded else None


def replaced_at(line: Line, held: Held) -> datetime | None:
    """When what a purchase sells was replaced: by another product, or by a period that began anew. More of the same (seats) replaces nothing."""
    later = bisect_right(line.held, held.purchase.purchased_at, key=_begun_at)
    ends = [at for at in (held.purchase.expires_at, taken_back_at(held)) if at is not None]  # what is over can be replaced by nothing
    end = min(ends, default=None)
    for one in islice(line.held, later, None):
        if end is not None and one.purchase.purchased_at >= end:
            break
        is_more_of_the_same = one.purchase.is_proration and one.purchase.product == held.purchase.product
        if not one.purchase.is_renewal and not is_more_of_the_same and not one.purchase.gives_no_time:
            return one.purchase.purchased_at
    return superseded_at(line, held) if held.purchase.is_superseded else None


def _begun_at(held: Held) -> datetime:
    return held.purchase.purchased_at


def taken_back_at(held: Held) -> datetime | None:
    """When access was taken back. What was upgraded has handed its access on, to a successor we may not know yet: its refund is money alone."""
    revocation = held.purchase.revocation
    return revocation.at if revocation is not None and not held.purchase.is_superseded else None


def natural_end(line: Line, held: Held) -> datetime:
    """When this purchase would stop giving access if nobody took it back; `FOREVER` for what does not end."""
    end = _end_of_service(line, held)
    overs = [over for over in (line_ended_at(line, held), _taken_with_a_later_one(line, held)) if over is not None]
    return min([end, *overs]) if overs else end


def _end_of_service(line: Line, held: Held) -> datetime:
    """With grace, as far as the line goes on."""
    end = held.purchase.expires_at or FOREVER
    if (taken_over := superseded_at(line, held)) is not None:
        return min(end, taken_over)
    if grace := grace_until(line, held):
        said = renewals_of(line, held)
        newest = max(place for place, renewal in enumerate(said) if renewal.grace_until is not None)
        ended = [max(_said_over_at(renewal), end) for renewal in said[newest:] if renewal.ended and _said_over_at(renewal) < grace]
        later = (one.purchase for one in line.held if one.purchase.purchased_at > held.purchase.purchased_at)
        renewed = [one.purchased_at for one in later if not one.gives_no_time]
        end = max(end, min([grace, *ended, *renewed]))  # what was paid in the end needs no grace: its successor decides
    return end


def _said_over_at(renewal: Renewal) -> datetime:
    """Since when a snapshot says what it says of an end or a pause: a store may tell of it later."""
    return renewal.as_of if renewal.ended_at is None else min(renewal.as_of, renewal.ended_at)


def line_ended_at(line: Line, held: Held) -> datetime | None:
    """Since when the line is over by the store's own word, where that cuts the purchase. What was bought since is not meant."""
    since: datetime | None = None
    for renewal in reversed(line.renewals):
        if renewal.ended_at is None or _is_settled(renewal, held.purchase):
            break
        since = renewal.ended_at if since is None else min(since, renewal.ended_at)
    return since if since is not None and _cuts(since, held) else None


def _taken_with_a_later_one(line: Line, held: Held) -> datetime | None:
    """When a period that had begun after this one, and within it, was taken back: the line was over, and with it what was left of earlier periods."""
    end = held.purchase.expires_at
    taken = []
    for one in islice(line.held, bisect_right(line.held, held.purchase.purchased_at, key=_begun_at), None):
        if end is not None and one.purchase.purchased_at >= end:
            break
        if (at := taken_back_at(one)) is not None and one.purchase.purchased_at <= at:
            taken.append(at)
    return min(taken, default=None)


def access_end(line: Line, held: Held) -> datetime:
    """When this purchase stops giving access: at its natural end, or when it was taken back."""
    end, taken_back = natural_end(line, held), taken_back_at(held)
    return end if taken_back is None else min(end, taken_back)


def access_until(line: Line) -> datetime | None:
    """The furthest end of everything on the line; None where nothing ever gave access."""
    return max((access_end(line, held) for held in line.held), default=None)


def latest(line: Line) -> Held | None:
    """The purchase that speaks for the line: of those not replaced by an upgrade, the one that began last.

    A renewal that was taken back before it began, or a bill alone, speaks for it only where nothing else does.
    """
    void: Held | None = None
    for held in reversed(line.held):
        if superseded_at(line, held) is None:
            if not never_began(held) and not held.purchase.gives_no_time:
                return held
            void = void or held
    return void


def never_began(held: Held) -> bool:
    """Taken back before it began."""
    taken_back = taken_back_at(held)
    return taken_back is not None and taken_back < held.purchase.purchased_at


def is_bought_anew(purchase: Purchase) -> bool:
    """Bought by an act of the customer: neither charged by the store when a period was over, nor within one."""
    return not purchase.is_renewal and not purchase.is_proration


def period_of(line: Line, held: Held) -> Held:
    """The purchase that began the period a proration falls in, or the proration itself where none is known; of any other purchase, itself."""
    if not held.purchase.is_proration:
        return held
    begun = [one for one in _up_to(line, held) if not one.purchase.is_proration]
    return begun[-1] if begun else held


def sold_with(line: Line, held: Held) -> Held:
    """The purchase by whose date, price and transaction a period is known: of more of the same product within it, the one that began it."""
    period = period_of(line, held)
    return period if period.purchase.product == held.purchase.product else held


def period_number(line: Line, held: Held) -> int:
    """The place of a purchase's period among the line's, from 1. A proration has the number of the period it falls in."""
    return max(1, sum(not one.purchase.is_proration for one in _up_to(line, held)))


def period_before(line: Line, held: Held) -> Held | None:
    """The purchase that began the period before this purchase's own."""
    begun = [one for one in _up_to(line, period_of(line, held))[:-1] if not one.purchase.is_proration]
    return begun[-1] if begun else None


def _up_to(line: Line, held: Held) -> tuple[Held, ...]:
    """What the line holds, up to a purchase and with it."""
    places = (place for place, one in enumerate(line.held) if one.purchase.transaction == held.purchase.transaction)
    return line.held[: next(places) + 1]


def presented_offering(line: Line, held: Held) -> str | None:
    """Where the line's first purchase was presented. It stays so through renewals and changes, until the line has ended and is bought elsewhere."""
    known = _up_to(line, held)
    presented = [(place, one) for place, one in enumerate(known) if one.presented_offering is not None]
    found = presented[0][1].presented_offering if presented else None
    for place, one in presented[1:]:
        began = one.purchase.purchased_at
        if is_bought_anew(one.purchase) and all(access_end(line, before) < began for before in known[:place]):
            found = one.presented_offering
    return found


def original_purchased_at(line: Line) -> datetime:
    """When the line was first bought: by the store's own word, else when the first period that is held began."""
    return line.original_purchased_at or line.held[0].purchase.purchased_at


def present(line: Line) -> Renewal | None:
    """The newest word on how the line goes on. Nothing is known where a newer purchase has not been spoken of yet."""
    return line.renewals[-1] if line.renewals else None


def will_renew(line: Line) -> bool:
    """Whether another charge is to be expected. Unknown counts as yes: silence is not a cancellation. What is prepaid ends by itself."""
    renewal, held = present(line), latest(line)
    if held is not None and held.purchase.period_type == "prepaid":
        return False
    return not (renewal is not None and (renewal.auto_renew is False or renewal.ended is not None))


def auto_renew_off_at(line: Line) -> datetime | None:
    """Since when auto-renew has been off, as far as the store told us. A purchase the customer makes anew starts over."""
    acted_at = max((held.purchase.purchased_at for held in line.held if is_bought_anew(held.purchase)), default=None)
    since: datetime | None = None
    for renewal in line.renewals:
        if acted_at is not None and renewal.as_of < acted_at:
            continue
        since = (since or renewal.as_of) if renewal.auto_renew is False else None
    return since


def paused_at(line: Line) -> datetime | None:
    """Since when a pause has been scheduled or in force."""
    since: datetime | None = None
    for renewal in line.renewals:
        since = (since or _said_over_at(renewal)) if renewal.pause else None
    return since


def billing_issue_at(line: Line) -> datetime | None:
    """Since when the store has failed to charge for what comes after the latest period."""
    held = latest(line)
    since: datetime | None = None
    for renewal in renewals_of(line, held) if held else []:
        since = (since or renewal.as_of) if renewal.in_billing_retry or renewal.ended == "billing_error" else None
    return since


def status(line: Line, now: datetime) -> Status:
    held = latest(line)
    if held is None:
        return "expired"
    expires_at, taken_back = held.purchase.expires_at, taken_back_at(held)
    if taken_back is not None and taken_back <= now:
        return "revoked"
    if now < access_end(line, held):
        return "in_grace_period" if expires_at is not None and now >= expires_at else "active"
    newest = renewals_of(line, held)
    if newest and newest[-1].pause == "in_force":
        return "paused"
    return "in_billing_retry" if newest and newest[-1].in_billing_retry else "expired"


def is_entitled(line: Line, now: datetime) -> bool:
    until = access_until(line)
    return until is not None and now < until


# Waking -----------------------------------------------------------------------------------------------------------------------


def over_at(line: Line, held: Held) -> datetime:
    """When we may say that a period is over. At its end where the store said so, else after a while of silence."""
    end = access_end(line, held)
    if is_grant(line) or was_cut_short(line, held) or ended_reason(line, held) is not None:
        return end
    return max(end, line.heard_at) + (SILENCE_MEANS_OVER if will_renew(line) else CANCELLED_MEANS_OVER)


def is_grant(line: Line) -> bool:
    """Granted by hand: it ends by itself when it was said to, and there is no store that could say more of it."""
    return line.store == "promotional"


def was_cut_short(line: Line, held: Held) -> bool:
    """Taken back while it gave access. A refund of a period already past says nothing of what followed it."""
    taken_back = taken_back_at(held)
    return taken_back is not None and taken_back < _end_of_service(line, held)


def ended_reason(line: Line, held: Held) -> EndReason | None:
    """The store's own word that nothing followed this period. That the line was over is no word of it where the line went on since."""
    is_over = bool(line.renewals) and line.renewals[-1].ended_at is not None
    said = reversed(renewals_of(line, held))
    return next((renewal.ended for renewal in said if renewal.ended and (is_over or renewal.ended_at is None)), None)


def ask_at(line: Line) -> datetime | None:
    """When a running line should have spoken: the moment to ask its store."""
    held = latest(line)
    if held is None or held.told.expired or held.purchase.expires_at is None or was_cut_short(line, held) or ended_reason(line, held):
        return None
    if is_grant(line):
        return None
    end = access_end(line, held)
    if line.store == "test_store":  # it renews when asked, so it is asked in time
        return end - min(ASK_TEST_STORE_BEFORE, (end - held.purchase.purchased_at) / 10)
    return end + ASK_AFTER


def give_time_to_answer(line: Line, now: datetime, *, is_being_asked: bool = False) -> datetime | None:
    """Until when a store that was not asked in time, or is only now about to be, may answer before its silence means the end.

    None where its silence is its own, or where nothing is over yet.
    """
    held, asked_at = latest(line), ask_at(line)
    if held is None or asked_at is None or line.wake_at is None or over_at(line, held) > now:
        return None
    was_asked_in_time = line.wake_at > asked_at and not is_being_asked
    return None if was_asked_in_time else now + (over_at(line, held) - asked_at)


def wake_at(line: Line, now: datetime) -> datetime | None:
    """The next moment at which time alone gives this line something to say or ask. Late or twice does no harm: `tell` compares."""
    held = latest(line)
    if held is None or held.told.expired or held.purchase.expires_at is None:
        return None
    moments = [moment for moment in (ask_at(line), over_at(line, held)) if moment is not None and moment > now]
    return min(moments, default=None)


def original_transaction(line: Line) -> str:
    """The store's name for the line, as receivers know it: Google's first order, Amazon's receipt, elsewhere the line's own key."""
    match line.store:
        case "play_store" if line.held:
            return line.held[0].purchase.transaction.split("..")[0]
        case "amazon":
            return line.store_line.partition("@")[0]
        case _:
            return line.store_line


def refunded_at(purchase: Purchase) -> datetime | None:
    """When access was taken back and its money given back, in whole or in part; None where access ended without."""
    revocation = purchase.revocation
    if revocation is None:
        return None
    return revocation.at if revocation.refunded or any(not refund.is_reversed for refund in purchase.refunds) else None


def refunded_share(purchase: Purchase) -> Fraction:
    """How much of the price was given back, by revocation or refund: 0 to 1."""
    revoked = Fraction(purchase.revocation.share_ppm, 1_000_000) if purchase.revocation and purchase.revocation.refunded else Fraction(0)
    if purchase.price is None or purchase.price.amount <= 0:
        return revoked
    given = sum(refund.amount.amount for refund in purchase.refunds if not refund.is_reversed and refund.amount.currency == purchase.price.currency)
    return min(Fraction(1), revoked + Fraction(given, purchase.price.amount))


def fact_key(*parts: str | datetime | int) -> str:
    return joined(*(str(to_ms(part)) if isinstance(part, datetime) else str(part) for part in parts))
