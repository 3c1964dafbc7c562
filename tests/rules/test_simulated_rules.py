"""The simulated App Store's maths: any life of a subscription, at any pace, keeps Apple's promises."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.base.errors import Conflict, Invalid
from perennial.base.ids import AppId
from perennial.base.money import Money
from perennial.base.time import to_ms
from perennial.providers.simulated.app_store import payloads, rules
from perennial.providers.simulated.app_store.model import Delivery, Draft, Failure, Offer, Plan, Subscription

START = datetime(2024, 1, 31, 10, tzinfo=UTC)
DAY = timedelta(days=1)
LINE = "2000000000000001000"


def usd(cents: int) -> Money:
    return Money(amount=cents, currency="USD")


BASIC = Plan(product="basic", duration="P1M", price=usd(999))
PLUS = Plan(product="plus", duration="P1M", price=usd(1999))
YEARLY = Plan(product="yearly", duration="P1Y", price=usd(7999))
WEEKLY = Plan(product="weekly", duration="P1W", price=usd(299))
TRIAL = Offer(kind="introductory", discount="FREE_TRIAL", period="P1W")


def bought(plan: Plan = BASIC, now: datetime = START, **more: Any) -> Subscription:
    return rules.buy(app_id=AppId("app_1"), store_line=LINE, type="Auto-Renewable Subscription", plan=plan, now=now, **more)


def kinds(drafts: list[Draft]) -> list[str]:
    return [draft.type if draft.subtype is None else f"{draft.type}/{draft.subtype}" for draft in drafts]


def ends(line: Subscription) -> list[str]:
    return [charge.expires_at.date().isoformat() for charge in line.charges if charge.expires_at is not None]


# Dates ------------------------------------------------------------------------------------------------------------------------


def test_month_ends_do_not_creep() -> None:
    line = rules.play(bought(), START + 130 * DAY)
    assert ends(line) == ["2024-02-29", "2024-03-31", "2024-04-30", "2024-05-31", "2024-06-30"]


def test_month_ends_survive_a_downgrade_and_a_recovery_in_grace() -> None:
    line = rules.downgrade(bought(PLUS), BASIC, START + DAY)
    line = rules.fail_next_renewal(line, Failure(grace_days=16, recover_after_days=10))
    line = rules.play(line, START + 100 * DAY)
    assert ends(line) == ["2024-02-29", "2024-03-31", "2024-04-30", "2024-05-31"]
    assert [charge.product for charge in line.charges] == ["plus", "basic", "basic", "basic"]


def test_a_recovery_after_grace_starts_the_dates_anew() -> None:
    line = rules.play(rules.fail_next_renewal(bought(), Failure(recover_after_days=10)), START + 90 * DAY)
    assert ends(line) == ["2024-02-29", "2024-04-10", "2024-05-10"]


def test_a_yearly_plan_from_a_leap_day() -> None:
    line = rules.play(bought(YEARLY, datetime(2024, 2, 29, tzinfo=UTC)), datetime(2028, 3, 1, tzinfo=UTC))
    assert ends(line) == ["2025-02-28", "2026-02-28", "2027-02-28", "2028-02-29", "2029-02-28"]


def test_after_a_weeks_trial_months_count_from_its_end() -> None:
    line = rules.play(bought(offer=TRIAL), START + 40 * DAY)
    assert ends(line) == ["2024-02-07", "2024-03-07", "2024-04-07"]
    assert [charge.price.amount for charge in line.charges] == [0, 999, 999]


def test_an_extension_is_the_new_billing_date() -> None:
    line = rules.play(rules.extend(bought(), 10, START), START + 50 * DAY)
    assert ends(line) == ["2024-03-10", "2024-04-10"]


# Payloads ---------------------------------------------------------------------------------------------------------------------


def test_the_first_notification_is_written_as_apple_writes_it() -> None:
    _, (draft,) = rules.advance(bought(app_account_token="2f0a2a5e-6b0c-4f4e-8f0e-000000000001"), START)
    assert (draft.type, draft.subtype, draft.status) == ("SUBSCRIBED", "INITIAL_BUY", 1)
    assert draft.transaction == {
        "transactionId": LINE,
        "originalTransactionId": LINE,
        "appTransactionId": "7" + LINE[1:],
        "webOrderLineItemId": "1" + LINE[1:],
        "productId": "basic",
        "subscriptionGroupIdentifier": "20000000",
        "purchaseDate": to_ms(START),
        "originalPurchaseDate": to_ms(START),
        "expiresDate": to_ms(datetime(2024, 2, 29, 10, tzinfo=UTC)),
        "quantity": 1,
        "type": "Auto-Renewable Subscription",
        "appAccountToken": "2f0a2a5e-6b0c-4f4e-8f0e-000000000001",
        "inAppOwnershipType": "PURCHASED",
        "signedDate": to_ms(START),
        "environment": "Sandbox",
        "transactionReason": "PURCHASE",
        "storefront": "USA",
        "storefrontId": "143441",
        "price": 9990,
        "currency": "USD",
    }
    assert draft.renewal is not None
    assert (draft.renewal["autoRenewStatus"], draft.renewal["renewalPrice"], draft.renewal["autoRenewProductId"]) == (1, 9990, "basic")


def test_what_apple_leaves_out_is_left_out() -> None:
    line = rules.upgrade(bought(), PLUS, START + DAY)
    old, new = (payloads.transaction_payload(line, charge, START + DAY) for charge in line.charges)
    assert old["isUpgraded"] is True
    assert "isUpgraded" not in new
    renewal = payloads.renewal_payload(rules.cancel(line, START + DAY), START + DAY)
    assert "renewalPrice" not in renewal
    assert "expirationIntent" not in renewal


def test_yen_are_told_in_thousandths_too() -> None:
    plan = Plan(product="basic", duration="P1M", price=Money(amount=1200, currency="JPY"))
    line = bought(plan)
    assert payloads.transaction_payload(line, line.charges[0], START)["price"] == 1_200_000


def test_a_partial_refund_counts_thousandths_of_a_percent() -> None:
    line = rules.refund(bought(), None, START + DAY, share_ppm=500_000)
    payload = payloads.transaction_payload(line, line.charges[0], START + DAY)
    assert (payload["revocationType"], payload["revocationPercentage"], payload["revocationDate"]) == ("REFUND_PRORATED", 50_000, to_ms(START + DAY))


# What follows what ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (Failure(), ["DID_FAIL_TO_RENEW", "EXPIRED/BILLING_RETRY"]),
        (Failure(grace_days=3), ["DID_FAIL_TO_RENEW/GRACE_PERIOD", "GRACE_PERIOD_EXPIRED", "EXPIRED/BILLING_RETRY"]),
        (Failure(grace_days=16, recover_after_days=5), ["DID_FAIL_TO_RENEW/GRACE_PERIOD", "DID_RENEW/BILLING_RECOVERY"]),
        (Failure(grace_days=16, recover_after_days=16), ["DID_FAIL_TO_RENEW/GRACE_PERIOD", "GRACE_PERIOD_EXPIRED", "DID_RENEW/BILLING_RECOVERY"]),
        (Failure(recover_after_days=59), ["DID_FAIL_TO_RENEW", "DID_RENEW/BILLING_RECOVERY"]),
    ],
    ids=str,
)
def test_what_follows_a_failed_charge(failure: Failure, expected: list[str]) -> None:
    _, drafts = rules.advance(rules.fail_next_renewal(bought(), failure), START + 29 * DAY + 61 * DAY)
    assert kinds(drafts)[1 : 1 + len(expected)] == expected


def test_a_refunded_period_with_auto_renew_off_is_over_without_another_word() -> None:
    line = rules.refund(rules.cancel(bought(), START), None, START + DAY)
    assert payloads.status(line) == payloads.REVOKED
    assert rules.next_turn(line) is None
    assert rules.next_turn(rules.reverse_refund(line, None, START + 2 * DAY)) == line.charges[0].expires_at


def test_a_forgotten_subscription_ends_at_last() -> None:
    line = bought(WEEKLY)
    for _ in range(30):
        line = rules.play(line, START + 20 * 366 * DAY)
    assert len(line.charges) == rules.MOST_CHARGES
    assert line.ending == "voluntary"


def test_reversed_messages_overtake_each_other() -> None:
    line = rules.cancel(bought(delivery=Delivery(reversed=True)), START + timedelta(hours=1))
    line, first = rules.advance(line, START + timedelta(hours=1))
    line, second = rules.advance(line, START + timedelta(hours=1, minutes=1))
    assert kinds(first) + kinds(second) == ["DID_CHANGE_RENEWAL_STATUS/AUTO_RENEW_DISABLED", "SUBSCRIBED/INITIAL_BUY"]


# Any life ---------------------------------------------------------------------------------------------------------------------

Act = Callable[[Subscription, datetime], Subscription]
ACTS: list[Act] = [
    rules.cancel,
    rules.uncancel,
    rules.revert_downgrade,
    rules.consent,
    lambda line, now: rules.upgrade(line, PLUS, now),
    lambda line, now: rules.upgrade(line, YEARLY, now),
    lambda line, now: rules.downgrade(line, BASIC, now),
    lambda line, now: rules.downgrade(line, WEEKLY, now),
    lambda line, now: rules.refund(line, None, now),
    lambda line, now: rules.refund(line, LINE, now, share_ppm=250_000),
    lambda line, now: rules.request_refund(line, None, now),
    lambda line, now: rules.reverse_refund(line, None, now),
    lambda line, now: rules.decline_refund(line, LINE, now),
    lambda line, now: rules.extend(line, 7, now),
    lambda line, now: rules.raise_price(line, usd(2999), now, needs_consent=True),
    lambda line, now: rules.resubscribe(line, BASIC, now),
    lambda line, now: rules.redeem_offer(line, Offer(kind="promotional", discount="PAY_UP_FRONT", period="P2M", price=usd(500), identifier="x"), now),
    lambda line, now: rules.fail_next_renewal(line, Failure(grace_days=3, recover_after_days=2)),
    lambda line, now: rules.fail_next_renewal(line, Failure(recover_after_days=20)),
    lambda line, now: rules.fail_next_renewal(line, Failure(grace_days=3)),
]
LIVES = st.lists(st.tuples(st.integers(0, 90 * 24), st.sampled_from(ACTS)), max_size=12)
DELIVERIES = st.builds(Delivery, twice=st.booleans(), reversed=st.booleans())


def live(line: Subscription, life: list[tuple[int, Act]], *, stops: int) -> tuple[Subscription, list[Draft], datetime]:
    """Hours until each act; `stops` more looks on the way must change nothing. What cannot be done is not done."""
    now, drafts = START, list[Draft]()
    for hours, act in life:
        for stop in range(1, stops + 2):
            line, posted = rules.advance(line, now + timedelta(hours=hours) * stop / (stops + 1))
            drafts += posted
        now += timedelta(hours=hours)
        try:
            line = rules.play(act(line, now), now)
        except (Conflict, Invalid):
            continue
    line, posted = rules.advance(line, now)
    return line, [*drafts, *posted], now


@given(LIVES, DELIVERIES)
@settings(max_examples=150, deadline=None)
def test_any_life_keeps_the_promises(life: list[tuple[int, Act]], delivery: Delivery) -> None:
    line, drafts, now = live(bought(delivery=delivery), life, stops=0)
    signed = [sent.draft.signed_at for sent in line.outbox.sent]
    assert all(earlier < later for earlier, later in pairwise(signed)), "two words on a line are never of the same moment"
    assert len({charge.transaction for charge in line.charges}) == len(line.charges)
    assert {draft.uuid for draft in drafts} <= {sent.draft.uuid for sent in line.outbox.sent}
    assert rules.advance(line, now) == (line, []), "twice at one moment is once"
    following = rules.next_moment(line)
    assert following is None or following > now, "nothing due is left"
    assert msgspec.convert(msgspec.json.decode(msgspec.json.encode(line)), Subscription) == line, "the database gives back what it was given"


@given(LIVES)
@settings(max_examples=100, deadline=None)
def test_looking_more_often_changes_only_when_it_is_signed(life: list[tuple[int, Act]]) -> None:
    once, drafts, _ = live(bought(), life, stops=0)
    often, more, _ = live(bought(), life, stops=3)
    assert once.charges == often.charges
    assert kinds(drafts) == kinds(more)
    assert payloads.status(once) == payloads.status(often)


@given(LIVES)
@settings(max_examples=100, deadline=None)
def test_paid_periods_never_overlap_and_never_run_backwards(life: list[tuple[int, Act]]) -> None:
    line, _, _ = live(bought(), life, stops=0)
    standing = [charge for charge in line.charges if not charge.is_upgraded]
    for earlier, later in pairwise(standing):
        assert earlier.expires_at is not None and later.expires_at is not None
        assert later.purchased_at < later.expires_at
        assert earlier.expires_at <= later.purchased_at or earlier.revoked is not None
