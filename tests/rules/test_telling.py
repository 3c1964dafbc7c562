"""What is told of a life: in order as it happens, and the same facts whatever the order they reach us in."""

from collections import Counter
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.base.value import replace
from perennial.subscriptions.model import Line, Revocation, Telling
from perennial.subscriptions.rules import access_end, access_until, is_entitled, merge, status, wake_at
from perennial.subscriptions.telling import tell
from tests.rules.lives import CHAPTERS, ENDINGS, START, Life, live, new_line

FACTS = {"INITIAL_PURCHASE", "RENEWAL", "EXPIRATION", "CANCELLATION", "REFUND"}


def hear_in_time(life: Life) -> tuple[Line, list[Telling]]:
    """Every message at the moment it was sent, and the agenda run between them."""
    line, told = new_line(), []
    for message in life.messages:
        now = message.purchases[0].as_of
        while (due := line.wake_at) is not None and due <= now:
            line, more = tell(line, due)
            told += more
        line, more = tell(merge(line, message, now), now)
        told += more
    return line, told


def hear_at_once(messages, now) -> tuple[Line, list[Telling]]:
    line, told = new_line(now), []
    for message in messages:
        line, more = tell(merge(line, message, now), now)
        told += more
    return line, told


def types(told: list[Telling]) -> list[str]:
    return [one.type if one.type != "CANCELLATION" else f"CANCELLATION {one.reason}" for one in told]


def story(*verbs) -> list[str]:
    life = Life()
    for verb in verbs:
        verb(life)
    return types(hear_in_time(life)[1])


def test_a_purchase_renews_is_cancelled_and_ends():
    assert story(Life.subscribe, Life.renew, Life.cancel, Life.expire) == [
        "INITIAL_PURCHASE",
        "RENEWAL",
        "CANCELLATION unsubscribe",
        "EXPIRATION",
    ]


def test_a_trial_converts():
    life = Life()
    life.subscribe(trial=True)
    life.renew()
    _, told = hear_in_time(life)
    assert [(one.type, one.is_trial_conversion, one.renewal_number) for one in told] == [("INITIAL_PURCHASE", False, 1), ("RENEWAL", True, 2)]


def test_a_failed_charge_is_told_once_and_access_lasts_through_grace():
    life = Life()
    life.subscribe()
    life.fail_in_grace(16)
    line, told = hear_in_time(life)
    assert types(told) == ["INITIAL_PURCHASE", "BILLING_ISSUE", "CANCELLATION billing_error"]
    end = life.last.expires_at
    assert status(line, end) == "in_grace_period"
    assert is_entitled(line, end + timedelta(days=16, seconds=-1))
    assert not is_entitled(line, end + timedelta(days=16))


def test_recovery_in_grace_leaves_no_gap_and_tells_no_expiry():
    assert story(Life.subscribe, Life.fail_in_grace, Life.recover_in_grace) == [
        "INITIAL_PURCHASE",
        "BILLING_ISSUE",
        "CANCELLATION billing_error",
        "RENEWAL",
    ]


def test_grace_that_ends_expires_once_and_recovery_is_a_renewal():
    assert story(Life.subscribe, Life.fail_in_grace, Life.end_grace, Life.recover_late) == [
        "INITIAL_PURCHASE",
        "BILLING_ISSUE",
        "CANCELLATION billing_error",
        "EXPIRATION",
        "RENEWAL",
    ]


def test_coming_back_after_leaving_is_a_renewal_and_no_uncancellation():
    life = Life()
    life.subscribe()
    life.cancel()
    life.expire()
    life.wait(50)
    life.subscribe()
    assert types(hear_in_time(life)[1]) == ["INITIAL_PURCHASE", "CANCELLATION unsubscribe", "EXPIRATION", "RENEWAL"]


def test_a_change_of_mind_is_told_both_ways():
    assert story(Life.subscribe, Life.cancel, Life.uncancel) == ["INITIAL_PURCHASE", "CANCELLATION unsubscribe", "UNCANCELLATION"]


def test_an_upgrade_changes_the_product_at_once():
    life = Life()
    life.subscribe()
    life.upgrade()
    line, told = hear_in_time(life)
    assert types(told) == ["INITIAL_PURCHASE", "PRODUCT_CHANGE", "RENEWAL"]
    assert (told[1].held.purchase.product, told[1].new_product) == ("monthly", "monthly+")
    assert access_end(line, line.held[0]) == line.held[1].purchase.purchased_at


def test_a_downgrade_is_told_when_scheduled_and_renews_into_it():
    life = Life()
    life.subscribe()
    life.schedule("basic")
    life.renew()
    _, told = hear_in_time(life)
    assert types(told) == ["INITIAL_PURCHASE", "PRODUCT_CHANGE", "RENEWAL"]
    assert told[2].held.purchase.product == "basic"


def test_a_refund_of_the_current_period_ends_access_at_the_refund():
    life = Life()
    life.subscribe()
    life.refund(life.last)
    line, told = hear_in_time(life)
    assert types(told) == ["INITIAL_PURCHASE", "CANCELLATION customer_support", "EXPIRATION"]
    assert access_until(line) == line.held[0].purchase.revocation.at
    assert told[1].refunded.amount == 999


def test_a_refund_of_an_earlier_period_leaves_access_alone():
    life = Life()
    life.subscribe()
    first = life.last
    life.renew()
    life.refund(first)
    line, told = hear_in_time(life)
    assert types(told) == ["INITIAL_PURCHASE", "RENEWAL", "REFUND"]
    assert access_until(line) == line.held[1].purchase.expires_at


def test_a_reversed_refund_gives_access_back_and_its_end_is_told_again():
    life = Life()
    life.subscribe()
    first = life.last
    life.refund(first)
    life.reverse(first)
    life.cancel()
    life.expire()
    _, told = hear_in_time(life)
    assert types(told) == [
        "INITIAL_PURCHASE",
        "CANCELLATION customer_support",
        "EXPIRATION",
        "REFUND_REVERSED",
        "CANCELLATION unsubscribe",
        "EXPIRATION",
    ]
    assert told[2].key != told[5].key


def test_a_refund_of_an_upgraded_purchase_is_told_and_changes_no_access():
    life = Life()
    life.subscribe()
    first = life.last
    life.upgrade()
    life.refund(next(one for one in life.purchases if one.transaction == first.transaction))
    line, told = hear_in_time(life)
    assert types(told) == ["INITIAL_PURCHASE", "PRODUCT_CHANGE", "RENEWAL", "REFUND"]
    assert access_until(line) == life.last.expires_at


def test_an_upgrade_from_a_longer_plan_ends_it_even_if_the_store_never_says_so():
    life = Life(product="annual")
    life.auto_renew = True
    life._say(life._charge(at=life.clock, product="annual", is_renewal=False, length=timedelta(days=365)))
    life.wait(10)
    life._say(life._charge(at=life.clock, product="monthly+", is_renewal=False))
    line, told = hear_in_time(life)
    assert types(told) == ["INITIAL_PURCHASE", "PRODUCT_CHANGE", "RENEWAL"]
    assert access_until(line) == life.last.expires_at


def test_an_upgraded_purchase_whose_successor_never_comes_still_ends():
    life = Life()
    life.subscribe()
    life.upgrade()
    only_the_old = [message for message in life.messages if message.purchases[0].is_superseded]
    line, told = hear_at_once(only_the_old, life.clock)
    assert types(told) == ["INITIAL_PURCHASE"]
    assert line.wake_at is not None
    _, told = tell(line, line.held[0].purchase.expires_at + timedelta(hours=24))
    assert types(told) == ["EXPIRATION"]


def test_a_refund_in_grace_ends_access_then():
    life = Life()
    life.subscribe()
    life.fail_in_grace(16)
    life.clock += timedelta(days=3)
    life.refund(life.last)
    line, told = hear_in_time(life)
    assert types(told) == [
        "INITIAL_PURCHASE",
        "BILLING_ISSUE",
        "CANCELLATION billing_error",
        "CANCELLATION customer_support",
        "EXPIRATION",
    ]
    assert (told[-1].reason, told[-1].happened_at) == ("customer_support", access_until(line))


def test_family_access_taken_back_is_an_expiry_and_no_cancellation():
    life = Life()
    life.subscribe()
    life.auto_renew = False
    life._say(replace(life.last, revocation=Revocation(at=life.clock, refunded=False)))
    assert types(hear_in_time(life)[1]) == ["INITIAL_PURCHASE", "EXPIRATION"]


def test_an_extension_is_told_and_moves_the_end():
    life = Life()
    life.subscribe()
    life.extend(7)
    line, told = hear_in_time(life)
    assert types(told) == ["INITIAL_PURCHASE", "SUBSCRIPTION_EXTENDED"]
    assert access_until(line) == START + timedelta(days=37)


def test_silence_is_believed_to_be_the_end_only_after_a_day():
    life = Life()
    life.subscribe()
    line, _ = hear_in_time(life)
    end = life.last.expires_at
    assert line.wake_at == end + timedelta(minutes=5)
    asked, told = tell(line, end + timedelta(minutes=5))
    assert told == [] and asked.wake_at == end + timedelta(hours=24)
    over, told = tell(asked, end + timedelta(hours=24))
    assert types(told) == ["EXPIRATION"] and over.wake_at is None


def test_a_cancelled_period_is_over_an_hour_after_its_end():
    life = Life()
    life.subscribe()
    life.cancel()
    line, _ = hear_in_time(life)
    _, told = tell(line, life.last.expires_at + timedelta(hours=1))
    assert types(told) == ["EXPIRATION"]


lives = st.builds(live, st.lists(st.sampled_from(CHAPTERS), max_size=4), st.sampled_from(ENDINGS), trial=st.booleans())


def facts(told: list[Telling]) -> Counter:
    """The facts everyone must hear of, whenever they hear: what was bought, refunded, and how many times access ended."""
    bought = [(one.type, one.held.purchase.transaction) for one in told if one.type in ("INITIAL_PURCHASE", "RENEWAL", "NON_RENEWING_PURCHASE")]
    return Counter(bought)


@settings(max_examples=300, deadline=None)
@given(life=lives, data=st.data())
def test_any_order_any_repetition_ends_in_the_same_state_and_tells_every_fact_once(life: Life, data):
    now = life.clock + timedelta(minutes=1)
    straight, told_straight = hear_at_once(life.messages, now)
    shuffled = data.draw(st.permutations(life.messages + data.draw(st.lists(st.sampled_from(life.messages), max_size=5))))
    line, told = hear_at_once(shuffled, now)
    assert [held.purchase for held in line.held] == [held.purchase for held in straight.held]
    assert line.renewals == straight.renewals
    assert access_until(line) == access_until(straight)
    assert status(line, now) == status(straight, now)
    assert len({(one.type, one.key) for one in told}) == len(told), "nothing is told twice"
    assert facts(told) == facts(told_straight), "every purchase and renewal once"
    expirations = [one for one in told if one.type == "EXPIRATION"]
    assert len(expirations) == len([one for one in told_straight if one.type == "EXPIRATION"]) or _has_reversal(life)
    refunds = lambda tellings: {one.key for one in tellings if one.key.startswith("refund")}  # noqa: E731
    standing = {held.purchase.transaction for held in line.held if held.purchase.revocation}
    assert {key for key in refunds(told) if key.split("|")[1] in standing} == {key for key in refunds(told_straight) if key.split("|")[1] in standing}
    again, more = tell(line, now)
    assert more == [] and again.told == line.told


def _has_reversal(life: Life) -> bool:
    """A refund that was reversed before we heard of it may stay untold, and its expiry with it."""
    return any(
        purchase.revocation is None
        and any(one.purchases[0].revocation for one in life.messages if one.purchases[0].transaction == purchase.transaction)
        for purchase in life.purchases
    )


@settings(max_examples=200, deadline=None)
@given(life=lives, data=st.data())
def test_standing_facts_are_never_told_out_of_order(life: Life, data):
    now = life.clock + timedelta(minutes=1)
    _, told = hear_at_once(data.draw(st.permutations(life.messages)), now)
    moments = [one.happened_at for one in told if one.type in ("UNCANCELLATION",) or (one.reason == "unsubscribe" and one.type == "CANCELLATION")]
    assert moments == sorted(moments)


@settings(max_examples=200, deadline=None)
@given(life=lives)
def test_heard_in_time_every_end_of_access_is_told_once(life: Life):
    line, told = hear_in_time(life)
    for _ in range(10):
        if line.wake_at is None:
            break
        line, more = tell(line, line.wake_at)
        told += more
    assert len({(one.type, one.key) for one in told}) == len(told)
    assert told[-1].type == "EXPIRATION", "every life ends, if only by silence"
    assert wake_at(line, life.clock + timedelta(days=4000)) is None
    happened = [one.happened_at for one in told if one.type in ("INITIAL_PURCHASE", "RENEWAL")]
    assert happened == sorted(happened)


def test_merging_is_idempotent():
    life = Life()
    life.subscribe()
    line, _ = hear_in_time(life)
    assert merge(line, life.messages[0], START + timedelta(days=5)) == line
    assert replace(line) == line
