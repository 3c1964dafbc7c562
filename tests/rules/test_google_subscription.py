"""What Google Play's answers about subscriptions state, and what is told of lives lived there."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.base.errors import Invalid
from perennial.base.ids import CustomerId, LineId
from perennial.base.money import Money
from perennial.base.reading import decode, noting
from perennial.base.value import replace
from perennial.intake.model import Act
from perennial.providers.google import read
from perennial.providers.google.orders import voided_hint
from perennial.providers.google.payload import Order, Subscription
from perennial.providers.google.subscription import Answer, Link, subscription_statements
from perennial.subscriptions.earning import earnings
from perennial.subscriptions.model import Line, Offer, Purchase, Refund, Renewal, Revocation, Statement
from perennial.subscriptions.rules import access_until, is_entitled, latest, merge, original_purchased_at, status
from perennial.subscriptions.telling import tell
from tests.google_messages import DAY, FIRST, NOW, amount, line_item, order, refunded, said, stamp, subscription, tokens

END = NOW + 30 * DAY
SECOND, THIRD = f"{FIRST}..0", f"{FIRST}..1"
OTHER = "GPA.3300-0000-0000-00002"  # the first order of another token
FUTURE = NOW + 3650 * DAY


def eur(cents: int) -> Money:
    return Money(amount=cents, currency="EUR")


def answer(
    snapshot: Mapping[str, Any],
    orders: Sequence[Mapping[str, Any]] = (),
    *,
    as_of: datetime = NOW,
    token: str = "token-a",
    line: Line | None = None,
    hint: str = "",
    earlier: Sequence[tuple[str, Mapping[str, Any] | None]] = (),
) -> Answer:
    known = [decode(json.dumps(one), Order) for one in orders]
    links = [Link(token=name, subscription=decode(json.dumps(one), Subscription) if one is not None else None) for name, one in earlier]
    return Answer(
        token=token,
        subscription=decode(json.dumps(snapshot), Subscription),
        as_of=as_of,
        orders={one.order_id: one for one in known if one.order_id},
        line=line,
        hint=hint,
        earlier=tuple(links),
    )


def stated(snapshot: Mapping[str, Any], orders: Sequence[Mapping[str, Any]] = (), **more: Any) -> Statement:
    (only,) = subscription_statements(answer(snapshot, orders, **more))
    return only


def present(snapshot: Mapping[str, Any], orders: Sequence[Mapping[str, Any]] = (), **more: Any) -> Purchase:
    """The purchase the token stands for: the last one stated."""
    return stated(snapshot, orders, **more).purchases[-1]


def going_on(snapshot: Mapping[str, Any], orders: Sequence[Mapping[str, Any]] = (), **more: Any) -> Renewal:
    (only,) = stated(snapshot, orders, **more).renewals
    return only


def wanted_orders(snapshot: Mapping[str, Any], line: Line | None, hint: str, now: datetime) -> list[str]:
    found = decode(json.dumps(snapshot), Subscription)
    return [*read.known_orders(found, line, hint, now), *read.missed_orders(found, line)]


class Play:
    """One line as we hold it, with what Google answers about it arriving in whatever order."""

    def __init__(self) -> None:
        self.line: Line | None = None
        self.told: list[str] = []
        self.orders: dict[str, Mapping[str, Any]] = {}

    def hears(
        self, at: datetime, snapshot: Mapping[str, Any], *orders: Mapping[str, Any], token: str = "token-a", now: datetime | None = None, **more: Any
    ) -> list[str]:
        """Asks at `at`, records, and gives what is told. `orders` are new at Google, or changed there."""
        self.orders |= {one["orderId"]: one for one in orders}
        line = self.line if self.line is not None and token in self.keys else None  # as the core finds it
        asked = [snapshot, *(one for _, one in more.get("earlier", ()) if one is not None)]
        wanted = [order_id for one in asked for order_id in wanted_orders(one, line, more.get("hint", ""), at)]
        known = [self.orders[order_id] for order_id in dict.fromkeys(wanted) if order_id in self.orders]
        return self.records(stated(snapshot, known, as_of=at, token=token, line=line, **more), now or at)

    def records(self, statement: Statement, now: datetime) -> list[str]:
        if self.line is None:
            self.keys: set[str] = set()
            self.line = Line(
                line_id=LineId("sub_1"),
                customer_id=CustomerId("cust_1"),
                app_id=None,
                store="play_store",
                environment="production",
                store_line=statement.line,
                heard_at=now,
            )
        self.keys |= {statement.line, *statement.also}
        return self.tells(now, merge(self.line, statement, now))

    def tells(self, now: datetime, line: Line | None = None) -> list[str]:
        assert (line or self.line) is not None
        self.line, tellings = tell(line or self.line, now)  # type: ignore[arg-type]
        new = [f"{one.type} {one.reason}" if one.reason else one.type for one in tellings]
        self.told += new
        return new

    def entitled(self, moment: datetime) -> bool:
        assert self.line is not None
        return is_entitled(self.line, moment)

    def transactions(self) -> list[str]:
        assert self.line is not None
        return [held.purchase.transaction for held in self.line.held]

    def ends(self) -> datetime | None:
        assert self.line is not None
        return access_until(self.line)


# One answer


def test_a_purchase_with_its_order_states_period_money_and_buyer() -> None:
    snapshot = subscription(externalAccountIdentifiers={"obfuscatedExternalAccountId": "ada"})
    assert stated(snapshot, [order()]) == Statement(
        store="play_store",
        environment="production",
        line="token-a",
        purchases=(
            Purchase(
                transaction=FIRST,
                product="pro:monthly",
                kind="subscription",
                purchased_at=NOW,
                expires_at=END,
                as_of=NOW,
                is_first=True,
                is_renewal=False,
                price=eur(999),
                tax=eur(160),
                commission=eur(126),
                country="DE",
            ),
        ),
        renewals=(Renewal(as_of=NOW, transaction=FIRST, auto_renew=True),),
        also=(FIRST,),
        customer_hint="ada",
        original_purchased_at=NOW,
    )


def test_a_licence_testers_purchase_is_of_the_sandbox() -> None:
    assert stated(subscription(testPurchase={}), [order()]).environment == "sandbox"


def test_without_its_order_a_purchase_has_no_price_and_the_answers_dates() -> None:
    bought = present(subscription())
    assert (bought.price, bought.tax, bought.commission, bought.purchased_at, bought.expires_at, bought.country) == (None, None, None, NOW, END, "DE")


def test_a_subscription_from_before_base_plans_is_its_product_alone() -> None:
    assert present(subscription("ACTIVE", line_item(plan=None)), [order(plan=None)]).product == "pro"


@pytest.mark.parametrize("state", ["SOMETHING_NEW", "UNSPECIFIED"])
def test_a_state_we_do_not_know_gives_what_was_paid_for_and_says_nothing_of_how_it_goes_on(state: str) -> None:
    with noting() as noted:
        [statement] = subscription_statements(answer(subscription(state, line_item()), [order()]))
    assert [one.field for one in noted] == ["subscriptionState"]
    assert statement.renewals == ()
    assert [one.expires_at for one in statement.purchases] == [NOW + 30 * DAY]
    pending = decode(json.dumps(subscription(state, acknowledgementState="ACKNOWLEDGEMENT_STATE_PENDING")), Subscription)
    assert [one.kind for one in read.acknowledgements("token-a", pending)] == ["acknowledge"]


@pytest.mark.parametrize(
    ("item", "end"),
    [
        ({"expiryTime": "9999-12-31T23:59:59-14:00"}, datetime(9000, 1, 1, tzinfo=UTC)),
        ({"expiryTime": "12026-01-01T00:00:00Z"}, datetime(9000, 1, 1, tzinfo=UTC)),
        ({"expiryTime": "2026-04-01T00:00:00"}, datetime(2026, 4, 1, tzinfo=UTC)),
    ],
)
def test_an_end_out_of_range_does_not_end_soon(item: dict[str, Any], end: datetime) -> None:
    [statement] = subscription_statements(answer(subscription("ACTIVE", line_item() | item)))
    assert [one.expires_at for one in statement.purchases] == [end]


@pytest.mark.parametrize("total", [{"units": str(2**63)}, {"units": "1" + "0" * 30}, {"units": "x"}, {"nanos": 2**40}, {"units": {}}])
def test_an_amount_out_of_range_leaves_the_price_open(total: dict[str, Any]) -> None:
    one = order() | {"total": None}
    one["lineItems"][0]["total"] = {"currencyCode": "EUR", **total}
    with noting() as noted:
        [statement] = subscription_statements(answer(subscription(), [one]))
    assert noted
    assert [one.expires_at for one in statement.purchases] == [NOW + 30 * DAY]


@pytest.mark.parametrize("state", ["PENDING", "PENDING_PURCHASE_CANCELED"])
def test_what_was_not_paid_states_nothing(state: str) -> None:
    snapshot = subscription(state, line_item(), linkedPurchaseToken="token-0", startTime=None)
    assert subscription_statements(answer(snapshot, [order()])) == ()


@pytest.mark.parametrize("snapshot", [{}, {"lineItems": []}, {"subscriptionState": "SUBSCRIPTION_STATE_ACTIVE"}, subscription("ACTIVE", {})])
def test_an_empty_answer_grants_nothing(snapshot: dict[str, Any]) -> None:
    assert subscription_statements(answer(snapshot)) == ()


def test_an_unpaid_order_is_no_purchase() -> None:
    snapshot = subscription("IN_GRACE_PERIOD", line_item(until=END + 7 * DAY), latestOrderId=SECOND)
    unpaid = order(SECOND, END, END + 30 * DAY, state="PENDING")
    assert [one.transaction for one in stated(snapshot, [order(), unpaid], as_of=END + DAY).purchases] == [FIRST]


@pytest.mark.parametrize(("state", "counts"), [("PROCESSED", True), ("PENDING_REFUND", True), ("CANCELED", False), ("PENDING", False)])
def test_which_orders_count(state: str, counts: bool) -> None:
    snapshot = subscription("ACTIVE", line_item(order=SECOND, until=END + 30 * DAY))
    purchases = stated(snapshot, [order(state=state), order(SECOND, END, END + 30 * DAY)], as_of=END).purchases
    assert [one.transaction for one in purchases] == [FIRST, SECOND][0 if counts else 1 :]


@pytest.mark.parametrize(
    ("text", "currency", "expected"),
    [("16.99", "EUR", 1699), ("0.5", "EUR", 50), ("1200", "JPY", 1200), ("1.234", "KWD", 1234), ("0", "EUR", 0), ("9.999999999", "EUR", 1000)],
)
def test_money_is_units_and_billionths(text: str, currency: str, expected: int) -> None:
    assert present(subscription(), [order(price=text, tax="0", revenue=None, currency=currency)]).price == Money(amount=expected, currency=currency)


def test_moments_may_have_nine_digits_of_a_second() -> None:
    snapshot = subscription("ACTIVE", line_item() | {"expiryTime": "2026-03-31T12:00:00.123456789Z"})
    assert present(snapshot, [order()]).expires_at == datetime.fromisoformat("2026-03-31T12:00:00.123456+00:00")


@pytest.mark.parametrize("changes", [{"expiryTime": "soon"}, {"expiryTime": ""}])
def test_what_is_no_moment_is_named(changes: dict[str, str]) -> None:
    snapshot = subscription("ACTIVE", line_item() | changes)
    if not changes["expiryTime"]:
        assert subscription_statements(answer(snapshot)) == ()
        return
    with pytest.raises(Invalid, match="expiryTime"):
        subscription_statements(answer(snapshot))


def test_the_stores_share_is_what_is_left_between_total_tax_and_revenue() -> None:
    assert present(subscription(), [order(price="10.00", tax="1.60", revenue="7.14")]).commission == eur(126)
    assert present(subscription(), [order(revenue=None)]).commission is None
    assert present(subscription(), [order(revenue="99")]).commission is None  # more than was paid: not to be believed
    assert present(subscription(), [order(state="PARTIALLY_REFUNDED", revenue="1.00")]).commission is None  # refunds lower the revenue


# Phases and offers


@pytest.mark.parametrize(
    ("phase", "price", "period_type"),
    [
        ("freeTrialDetails", "0", "trial"),
        ("introductoryPriceDetails", "1.99", "intro"),
        ("baseDetails", "9.99", "normal"),
        ("baseDetails", "0", "normal"),  # a free month of a promotion is no trial
    ],
)
def test_what_an_order_paid_for(phase: str, price: str, period_type: str) -> None:
    assert present(subscription(), [order(phase=phase, price=price, tax="0", revenue=None)]).period_type == period_type


@pytest.mark.parametrize(
    ("original", "price", "period_type"), [("FREE_TRIAL", "0", "trial"), ("FREE_TRIAL", "9.99", "normal"), ("BASE", "0", "normal")]
)
def test_a_plan_changed_within_a_trial_is_a_trial_while_nothing_was_paid(original: str, price: str, period_type: str) -> None:
    one = order(price=price, tax="0", revenue=None)
    one["lineItems"][0]["subscriptionDetails"]["offerPhaseDetails"] = {"prorationPeriodDetails": {"originalOfferPhase": original}}
    assert present(subscription(), [one]).period_type == period_type


def test_the_deprecated_way_to_tell_the_phase() -> None:
    one = order(phase=None, price="0", tax="0", revenue=None)
    one["lineItems"][0]["subscriptionDetails"]["offerPhase"] = "FREE_TRIAL"
    assert present(subscription(), [one]).period_type == "trial"


@pytest.mark.parametrize(
    ("item", "orders", "period_type"),
    [
        ({"offerPhase": {"freeTrial": {}}}, [], "trial"),
        ({"offerPhase": {"introductoryPrice": {}}}, [], "intro"),
        ({"offerPhase": {"basePrice": {}}}, [], "normal"),
        ({"prepaidPlan": {}}, [order()], "prepaid"),
        ({}, [order(phase=None, price="0", tax="0", revenue=None)], "normal"),
    ],
)
def test_where_the_order_does_not_tell_the_phase(item: dict[str, Any], orders: list[dict[str, Any]], period_type: str) -> None:
    assert present(subscription("ACTIVE", line_item(**item)), orders).period_type == period_type


def test_a_free_period_of_an_offer_that_names_no_phase_is_its_trial() -> None:
    one = order(phase=None, price="0", tax="0", revenue=None)
    one["lineItems"][0]["subscriptionDetails"]["offerId"] = "welcome"
    bought = present(subscription("ACTIVE", line_item(offerDetails={"basePlanId": "monthly", "offerId": "welcome"})), [one])
    assert (bought.period_type, bought.offer) == ("trial", Offer(kind="introductory", identifier="welcome"))


@pytest.mark.parametrize(
    ("promotion", "identifier"), [({"vanityCode": {"promotionCode": "SPRING"}}, "SPRING"), ({"oneTimeCode": {}}, "welcome"), ({}, "welcome")]
)
def test_a_code_redeemed_at_signing_up(promotion: dict[str, Any], identifier: str) -> None:
    item = line_item(offerDetails={"basePlanId": "monthly", "offerId": "welcome"}, signupPromotion=promotion)
    assert present(subscription("ACTIVE", item), [order()]).offer == Offer(kind="offer_code", identifier=identifier)


# How it goes on


def test_a_cancelled_subscription_runs_on_until_its_end() -> None:
    snapshot = subscription("CANCELED", line_item(auto=False), canceledStateContext={"userInitiatedCancellation": {}})
    assert present(snapshot, [order()]).expires_at == END
    assert going_on(snapshot, [order()]) == Renewal(as_of=NOW, transaction=FIRST, auto_renew=False, off_reason="unsubscribe")


@pytest.mark.parametrize(
    ("context", "reason"),
    [
        ({"userInitiatedCancellation": {"cancelTime": stamp(NOW)}}, "unsubscribe"),
        ({"developerInitiatedCancellation": {}}, "developer"),
        ({"systemInitiatedCancellation": {}}, "billing_error"),
        (None, "unknown"),
    ],
)
def test_why_it_ended(context: dict[str, Any] | None, reason: str) -> None:
    snapshot = subscription("EXPIRED", line_item(auto=False), canceledStateContext=context)
    assert going_on(snapshot, [order()], as_of=END + DAY).ended == reason


@pytest.mark.parametrize(
    ("plan", "consent"),
    [
        ({"priceChangeDetails": {"priceChangeMode": "PRICE_INCREASE", "priceChangeState": "OUTSTANDING"}}, "pending"),
        ({"priceChangeDetails": {"priceChangeMode": "PRICE_INCREASE", "priceChangeState": "CONFIRMED"}}, "accepted"),
        ({"priceChangeDetails": {"priceChangeMode": "PRICE_INCREASE", "priceChangeState": "APPLIED"}}, "accepted"),
        ({"priceChangeDetails": {"priceChangeMode": "PRICE_INCREASE", "priceChangeState": "CANCELED"}}, None),
        ({"priceChangeDetails": {"priceChangeMode": "OPT_OUT_PRICE_INCREASE", "priceChangeState": "OUTSTANDING"}}, "accepted"),
        ({"priceChangeDetails": {"priceChangeMode": "PRICE_DECREASE", "priceChangeState": "CONFIRMED"}}, None),
        ({"priceStepUpConsentDetails": {"state": "PENDING"}}, "pending"),
        ({"priceStepUpConsentDetails": {"state": "COMPLETED"}}, "accepted"),
    ],
)
def test_price_changes(plan: dict[str, Any], consent: str | None) -> None:
    item = line_item(autoRenewingPlan={"autoRenewEnabled": True, **plan})
    assert going_on(subscription("ACTIVE", item), [order()]).price_consent == consent


def test_a_higher_price_nobody_agreed_to_ends_in_the_systems_name() -> None:
    plan = {"priceChangeDetails": {"priceChangeMode": "PRICE_INCREASE", "priceChangeState": "OUTSTANDING", "newPrice": amount("19.99")}}
    snapshot = subscription("CANCELED", line_item(autoRenewingPlan=plan), canceledStateContext={"systemInitiatedCancellation": {}})
    assert going_on(snapshot, [order()]).off_reason == "price_increase"


def test_a_prepaid_plan_neither_renews_nor_was_cancelled() -> None:
    assert going_on(subscription("ACTIVE", line_item(prepaidPlan={})), [order()]) == Renewal(as_of=NOW, transaction=FIRST, auto_renew=None)


def test_instalments_with_a_cancellation_pending_will_not_renew() -> None:
    plan = {"autoRenewEnabled": True, "installmentDetails": {"remainingCommittedPaymentsCount": 7, "pendingCancellation": {}}}
    snapshot = going_on(subscription("ACTIVE", line_item(autoRenewingPlan=plan)), [order()])
    assert (snapshot.auto_renew, snapshot.off_reason) == (False, "unsubscribe")


# Lives, in order


def test_cancelled_taken_up_again_and_revoked() -> None:
    play = Play()
    cancelled = subscription("CANCELED", line_item(auto=False), canceledStateContext={"userInitiatedCancellation": {}})
    assert play.hears(NOW, subscription(), order()) == ["INITIAL_PURCHASE"]
    assert play.hears(NOW + DAY, cancelled) == ["CANCELLATION unsubscribe"]
    assert play.hears(NOW + 2 * DAY, subscription()) == ["UNCANCELLATION"]
    taken = NOW + 3 * DAY
    revoked = subscription("EXPIRED", line_item(auto=False, until=taken), canceledStateContext={"developerInitiatedCancellation": {}})
    assert play.hears(taken, revoked, order(state="REFUNDED", history=refunded(taken)), hint="12") == [
        "CANCELLATION customer_support",
        "EXPIRATION customer_support",
    ]
    assert play.line is not None
    (held,) = play.line.held
    assert held.purchase.revocation == Revocation(at=taken, refunded=False)
    assert held.purchase.refunds == (Refund(identifier=f"{FIRST}|full", at=taken, amount=eur(999)),)
    assert (held.purchase.expires_at, held.purchase.commission) == (END, eur(126))
    assert status(play.line, taken) == "revoked"
    assert play.hears(taken + DAY, revoked) == []  # asked again, nothing new


def test_grace_recovered_keeps_the_days_and_counts_one_renewal() -> None:
    play = Play()
    play.hears(NOW, subscription(), order())
    in_grace = subscription("IN_GRACE_PERIOD", line_item(until=END + 7 * DAY), latestOrderId=SECOND)
    assert play.hears(END + timedelta(minutes=1), in_grace, order(SECOND, END, END + 30 * DAY, state="PENDING")) == [
        "BILLING_ISSUE",
        "CANCELLATION billing_error",
    ]
    assert play.transactions() == [FIRST]
    assert play.line is not None
    assert status(play.line, END + DAY) == "in_grace_period"
    assert play.line.held[0].purchase.expires_at == END
    recovered = subscription("ACTIVE", line_item(order=SECOND, until=END + 30 * DAY))
    assert play.hears(END + 3 * DAY, recovered, order(SECOND, END, END + 30 * DAY)) == ["RENEWAL"]
    assert play.line.held[-1].purchase.purchased_at == END
    assert play.ends() == END + 30 * DAY


def test_a_renewal_with_the_same_expiry_as_the_grace_before_it() -> None:
    """As licence testers see it: the grace is as long as the period."""
    play = Play()
    play.hears(NOW, subscription(), order())
    play.hears(END, subscription("IN_GRACE_PERIOD", line_item(until=END + 30 * DAY)))
    recovered = subscription("ACTIVE", line_item(order=SECOND, until=END + 30 * DAY))
    assert play.hears(END + DAY, recovered, order(SECOND, END, END + 30 * DAY)) == ["RENEWAL"]


def test_grace_hold_and_the_end_of_the_hold_never_lengthen_what_was_paid() -> None:
    play = Play()
    play.hears(NOW, subscription(), order())
    play.hears(END, subscription("IN_GRACE_PERIOD", line_item(until=END + 7 * DAY)))
    held = subscription("ON_HOLD", line_item(until=END + 7 * DAY))
    assert play.hears(END + 7 * DAY, held) == ["EXPIRATION billing_error"]
    assert play.line is not None
    assert status(play.line, END + 8 * DAY) == "in_billing_retry"
    given_up = subscription("EXPIRED", line_item(auto=False, until=END + 60 * DAY), canceledStateContext={"systemInitiatedCancellation": {}})
    assert play.hears(END + 60 * DAY, given_up, hint="13") == []
    assert play.ends() == END + 7 * DAY
    assert play.line.held[0].purchase.expires_at == END


def test_a_hold_recovered_begins_anew_and_the_gap_stays() -> None:
    play = Play()
    play.hears(NOW, subscription(), order())
    assert sorted(play.hears(END + DAY, subscription("ON_HOLD", line_item(until=END)))) == [
        "BILLING_ISSUE",
        "CANCELLATION billing_error",
        "EXPIRATION billing_error",
    ]
    assert not play.entitled(END + 5 * DAY)
    back = END + 10 * DAY
    recovered = subscription("ACTIVE", line_item(order=SECOND, until=back + 30 * DAY))
    assert play.hears(back, recovered, order(SECOND, back, back + 30 * DAY)) == ["RENEWAL"]
    assert play.line is not None
    assert [(one.purchase.purchased_at, one.purchase.expires_at) for one in play.line.held] == [(NOW, END), (back, back + 30 * DAY)]


def test_cancelled_in_grace_ends_at_once() -> None:
    play = Play()
    play.hears(NOW, subscription(), order())
    play.hears(END, subscription("IN_GRACE_PERIOD", line_item(until=END + 7 * DAY)))
    at = END + 2 * DAY
    gone = subscription("EXPIRED", line_item(auto=False, until=at), canceledStateContext={"userInitiatedCancellation": {}})
    assert play.hears(at, gone, hint="3") == ["EXPIRATION unsubscribe"]
    assert play.ends() == at


def test_first_seen_in_grace_without_an_order_the_paid_period_is_over() -> None:
    snapshot = subscription("IN_GRACE_PERIOD", line_item(until=END + 7 * DAY))
    at = END + DAY
    assert present(snapshot, as_of=at).expires_at == at
    assert going_on(snapshot, as_of=at).grace_until == END + 7 * DAY


def test_first_seen_after_a_hold_the_orders_period_counts() -> None:
    snapshot = subscription("EXPIRED", line_item(auto=False, until=END + 60 * DAY), canceledStateContext={"systemInitiatedCancellation": {}})
    assert present(snapshot, [order()], as_of=END + 61 * DAY).expires_at == END
    assert present(snapshot, as_of=END + 61 * DAY).expires_at == END + 60 * DAY  # nothing better is known


def test_a_days_leniency_is_no_renewal_and_may_be_taken_back() -> None:
    play = Play()
    play.hears(NOW, subscription(), order())
    assert play.hears(END, subscription("ACTIVE", line_item(until=END + DAY))) == ["SUBSCRIPTION_EXTENDED"]
    assert play.transactions() == [FIRST]
    play.hears(END + DAY, subscription("ON_HOLD", line_item(until=END)))
    gone = subscription("EXPIRED", line_item(auto=False, until=END), canceledStateContext={"systemInitiatedCancellation": {}})
    play.hears(END + 2 * DAY, gone)
    assert play.line is not None
    assert (play.line.held[0].purchase.revocation, play.ends()) == (None, END)


def test_a_deferred_renewal_date_is_an_extension() -> None:
    play = Play()
    play.hears(NOW, subscription(), order())
    assert play.hears(NOW + DAY, subscription("ACTIVE", line_item(until=END + 14 * DAY)), hint="9") == ["SUBSCRIPTION_EXTENDED"]
    assert play.ends() == END + 14 * DAY


def test_a_trial_becomes_paid() -> None:
    play = Play()
    trial = order(ends=NOW + 7 * DAY, phase="freeTrialDetails", price="0", tax="0", revenue="0")
    play.hears(NOW, subscription("ACTIVE", line_item(until=NOW + 7 * DAY)), trial)
    paid = order(SECOND, NOW + 7 * DAY, NOW + 37 * DAY)
    assert play.hears(NOW + 7 * DAY, subscription("ACTIVE", line_item(order=SECOND, until=NOW + 37 * DAY)), paid) == ["RENEWAL"]
    assert play.line is not None
    assert [(one.purchase.period_type, one.purchase.price) for one in play.line.held] == [("trial", eur(0)), ("normal", eur(999))]


def test_renewals_we_missed_are_found_by_their_numbers() -> None:
    snapshot = subscription("ACTIVE", line_item(order=THIRD, until=END + 60 * DAY))
    assert read.missed_orders(decode(json.dumps(snapshot), Subscription), None) == [FIRST, SECOND]
    orders = [order(), order(SECOND, END, END + 30 * DAY), order(THIRD, END + 30 * DAY, END + 60 * DAY)]
    purchases = stated(snapshot, orders, as_of=END + 31 * DAY).purchases
    assert [(one.transaction, one.is_first, one.is_renewal) for one in purchases] == [
        (FIRST, True, False),
        (SECOND, False, True),
        (THIRD, False, True),
    ]


def test_which_orders_are_asked_for() -> None:
    play = Play()
    play.hears(NOW, subscription(), order())
    snapshot = decode(json.dumps(subscription("ACTIVE", line_item(order=THIRD))), Subscription)
    assert read.known_orders(snapshot, play.line, voided_hint("GPA.9", NOW, is_full=True), NOW) == [THIRD, "GPA.9", FIRST]
    assert read.missed_orders(snapshot, play.line) == [SECOND]
    late = decode(json.dumps(subscription("ACTIVE", line_item(order=f"{FIRST}..400"))), Subscription)
    assert read.missed_orders(late, None) == [f"{FIRST}..{number}" for number in range(388, 400)]


# Pauses


def test_a_pause_is_scheduled_comes_into_force_and_ends() -> None:
    play = Play()
    play.hears(NOW, subscription(), order())
    assert play.hears(NOW + DAY, subscription(), hint="11") == ["SUBSCRIPTION_PAUSED"]
    assert play.entitled(NOW + 2 * DAY)
    assert play.hears(NOW + 2 * DAY, subscription()) == []  # an answer alone does not tell of it, and does not take it back
    paused = subscription("PAUSED", line_item(until=END), pausedStateContext={"autoResumeTime": stamp(END + 60 * DAY)})
    assert play.hears(END, paused, hint="10") == ["EXPIRATION subscription_paused"]
    assert play.line is not None
    assert (status(play.line, END), play.line.renewals[-1].resumes_at) == ("paused", END + 60 * DAY)
    back = END + 30 * DAY
    assert play.hears(
        back, subscription("ACTIVE", line_item(order=SECOND, until=back + 30 * DAY)), order(SECOND, back, back + 30 * DAY), hint="1"
    ) == ["RENEWAL"]
    assert (play.line.renewals[-1].pause, play.entitled(back)) == (None, True)


def test_a_pause_asked_for_is_over_with_the_period() -> None:
    play = Play()
    play.hears(NOW, subscription(), order())
    play.hears(NOW + DAY, subscription(), hint="11")
    play.hears(END, subscription("ACTIVE", line_item(order=SECOND, until=END + 30 * DAY)), order(SECOND, END, END + 30 * DAY))
    assert play.line is not None
    assert play.line.renewals[-1].pause is None


# Money given back


def test_a_refund_that_takes_nothing_is_money_only() -> None:
    play = Play()
    play.hears(NOW, subscription(), order())
    play.hears(NOW + DAY, subscription(), order(state="REFUNDED", history=refunded(NOW + DAY)))
    assert play.line is not None
    (held,) = play.line.held
    assert (held.purchase.revocation, held.purchase.refunds) == (None, (Refund(identifier=f"{FIRST}|full", at=NOW + DAY, amount=eur(999)),))
    assert play.entitled(NOW + 2 * DAY)


def test_partial_refunds_and_then_the_rest() -> None:
    part = {
        "state": "PROCESSED_SUCCESSFULLY",
        "createTime": stamp(NOW + DAY),
        "processTime": stamp(NOW + 2 * DAY),
        "refundDetails": {"total": amount("3.00")},
    }
    pending = part | {"state": "PENDING", "createTime": stamp(NOW + 3 * DAY)}
    once = order(state="PARTIALLY_REFUNDED", history={"partialRefundEvents": [part, pending]})
    first = Refund(identifier=f"{FIRST}|1772452800000", at=NOW + 2 * DAY, amount=eur(300))
    assert present(subscription(), [once]).refunds == (first,)
    whole = order(state="REFUNDED", history={"partialRefundEvents": [part]} | refunded(NOW + 4 * DAY))
    assert present(subscription(), [whole]).refunds == (first, Refund(identifier=f"{FIRST}|full", at=NOW + 4 * DAY, amount=eur(699)))


def test_an_earlier_renewal_given_back_leaves_the_present_one_alone() -> None:
    play = Play()
    play.hears(NOW, subscription(), order())
    renewed = subscription("ACTIVE", line_item(order=SECOND, until=END + 30 * DAY))
    play.hears(END, renewed, order(SECOND, END, END + 30 * DAY))
    at = END + DAY
    told = play.hears(at, renewed, order(state="REFUNDED", history=refunded(at)), hint=voided_hint(FIRST, at, is_full=True))
    assert told == ["REFUND customer_support"]
    assert play.line is not None
    assert [bool(one.purchase.refunds) for one in play.line.held] == [True, False]
    assert play.ends() == END + 30 * DAY


def test_voided_counts_where_the_order_cannot_be_had_or_lags_behind() -> None:
    hint = voided_hint(FIRST, NOW + DAY, is_full=True)
    refund = Refund(identifier=f"{FIRST}|full", at=NOW + DAY, amount=eur(999))
    assert present(subscription(), [order()], hint=hint).refunds == (refund,)
    play = Play()
    play.hears(NOW, subscription(), order())
    play.orders.clear()
    play.hears(NOW + DAY, subscription(), hint=hint)
    assert play.line is not None
    assert play.line.held[0].purchase.refunds == (refund,)
    assert present(subscription(), [order()], hint=voided_hint(FIRST, NOW, is_full=False)).refunds == ()
    assert present(subscription(), [order()], hint=voided_hint(OTHER, NOW, is_full=True)).refunds == ()


def test_money_heard_of_after_the_access_was_taken_is_not_given_back_twice() -> None:
    play = Play()
    play.hears(NOW, subscription(), order())
    at = NOW + 3 * DAY
    revoked = subscription("EXPIRED", line_item(auto=False, until=at), canceledStateContext={"systemInitiatedCancellation": {}})
    play.hears(at, revoked, hint="12")
    assert play.line is not None
    assert play.line.held[0].purchase.revocation == Revocation(at=at, refunded=False)
    play.hears(at + DAY, revoked, order(state="REFUNDED", history=refunded(at + DAY)))
    (held,) = play.line.held
    assert held.purchase.revocation == Revocation(at=at, refunded=False)
    assert held.purchase.refunds == (Refund(identifier=f"{FIRST}|full", at=at + DAY, amount=eur(999)),)


def test_money_heard_of_before_the_access_was_taken_is_not_given_back_twice() -> None:
    play = Play()
    play.hears(NOW, subscription(), order())
    at = NOW + 3 * DAY
    play.hears(at, subscription(), order(state="REFUNDED", history=refunded(at)))
    revoked = subscription("EXPIRED", line_item(auto=False, until=at), canceledStateContext={"systemInitiatedCancellation": {}})
    play.hears(at + timedelta(hours=1), revoked, hint="12")
    assert play.line is not None
    (held,) = play.line.held
    assert held.purchase.revocation == Revocation(at=at, refunded=False)
    assert held.purchase.refunds == (Refund(identifier=f"{FIRST}|full", at=at, amount=eur(999)),)


def test_what_moved_in_as_a_revocation_that_gave_money_back_stays_so() -> None:
    """An import says when it was refunded, and no more. Google's own word of the same refund must not tell it again."""
    play = Play()
    play.hears(NOW, subscription(), order())
    at = NOW + 3 * DAY
    assert play.line is not None
    (held,) = play.line.held
    moved_in = Revocation(at=at, refunded=True)
    play.tells(at, replace(play.line, held=(replace(held, purchase=replace(held.purchase, as_of=at, revocation=moved_in)),)))
    revoked = subscription("EXPIRED", line_item(auto=False, until=at), canceledStateContext={"systemInitiatedCancellation": {}})
    assert play.hears(at + DAY, revoked, order(state="REFUNDED", history=refunded(at)), hint="12") == []
    (held,) = play.line.held
    assert (held.purchase.revocation, held.purchase.refunds) == (moved_in, ())


def test_a_prorated_revocation_gives_back_its_share() -> None:
    at = NOW + 15 * DAY
    part = {"state": "PROCESSED_SUCCESSFULLY", "createTime": stamp(at), "refundDetails": {"total": amount("4.995")}}
    snapshot = subscription("EXPIRED", line_item(auto=False, until=at), canceledStateContext={"developerInitiatedCancellation": {}})
    bought = present(snapshot, [order(price="10.00", state="PARTIALLY_REFUNDED", history={"partialRefundEvents": [part]})], as_of=at)
    assert (bought.revocation, [one.amount for one in bought.refunds]) == (Revocation(at=at, refunded=False), [eur(500)])


def test_a_refund_after_the_end_takes_no_access() -> None:
    snapshot = subscription("EXPIRED", line_item(auto=False), canceledStateContext={"userInitiatedCancellation": {}})
    bought = present(snapshot, [order(state="REFUNDED", history=refunded(END + DAY))], as_of=END + DAY)
    assert (bought.revocation, [refund.amount for refund in bought.refunds]) == (None, [eur(999)])


# One token after another

REPLACED = subscription("EXPIRED", line_item("basic", until=NOW + 10 * DAY), canceledStateContext={"replacementCancellation": {}})
UPGRADED = subscription("ACTIVE", line_item("pro", OTHER, NOW + 40 * DAY), linkedPurchaseToken="token-a")
BASIC = order(product="basic", price="4.99")
PRO = order(OTHER, NOW + 10 * DAY, NOW + 40 * DAY, token="token-b")


def bought_basic() -> Play:
    play = Play()
    play.hears(NOW, subscription("ACTIVE", line_item("basic")), BASIC)
    return play


def test_an_upgrade_goes_on_as_one_line_and_the_old_tokens_end_ends_nothing() -> None:
    play = bought_basic()
    at = NOW + 10 * DAY
    earlier = [("token-a", REPLACED)]
    assert play.hears(at, UPGRADED, PRO, token="token-b", earlier=earlier) == ["PRODUCT_CHANGE", "INITIAL_PURCHASE"]
    assert play.line is not None
    assert play.line.subject == "token-b"
    assert play.hears(at + timedelta(minutes=1), REPLACED, hint="13") == []
    assert play.hears(at + DAY, UPGRADED, token="token-b") == []
    assert (play.entitled(at), play.ends()) == (True, NOW + 40 * DAY)
    assert [(one.purchase.transaction, one.purchase.is_superseded) for one in play.line.held] == [(FIRST, True), (OTHER, False)]


def test_the_old_tokens_end_may_come_first() -> None:
    play = bought_basic()
    at = NOW + 10 * DAY
    assert play.hears(at, REPLACED, hint="13") == []
    assert play.entitled(at + timedelta(minutes=1))  # until the successor is known, what was paid runs on
    assert play.hears(at + timedelta(minutes=2), UPGRADED, PRO, token="token-b", earlier=[("token-a", REPLACED)]) == [
        "PRODUCT_CHANGE",
        "INITIAL_PURCHASE",
    ]
    assert play.ends() == NOW + 40 * DAY


def test_a_chain_seen_only_at_its_end_is_one_line_with_its_history() -> None:
    first = ("token-0", subscription("EXPIRED", line_item("basic", "GPA.0", NOW), canceledStateContext={"replacementCancellation": {}}))
    orders = [order("GPA.0", NOW - 10 * DAY, NOW + 20 * DAY, product="basic"), BASIC, PRO]
    statement = stated(UPGRADED, orders, token="token-b", as_of=NOW + 10 * DAY, earlier=[("token-a", REPLACED), first])
    assert tokens(statement) == ("token-a", "token-0")
    assert [(one.transaction, one.is_superseded) for one in statement.purchases] == [("GPA.0", True), (FIRST, True), (OTHER, False)]
    assert [one.transaction for one in statement.renewals] == [OTHER]


def test_a_link_google_has_forgotten_still_joins() -> None:
    assert tokens(stated(UPGRADED, [PRO], token="token-b", earlier=[("token-a", None)])) == ("token-a",)


def test_a_token_with_a_successor_is_silent_whatever_it_says() -> None:
    play = bought_basic()
    play.hears(NOW + 10 * DAY, UPGRADED, PRO, token="token-b", earlier=[("token-a", REPLACED)])
    ended = subscription("EXPIRED", line_item("basic", until=NOW + 10 * DAY), canceledStateContext={"userInitiatedCancellation": {}})
    assert play.hears(NOW + 11 * DAY, ended) == []
    assert play.ends() == NOW + 40 * DAY


HALF = NOW + 15 * DAY


@pytest.mark.parametrize(
    ("mode", "price", "ends", "phase", "is_proration", "charged"),
    [
        ("WITHOUT_PRORATION", "0", END, "baseDetails", True, 0),
        ("WITH_TIME_PRORATION", "0", NOW + 22 * DAY, "baseDetails", True, 0),
        ("CHARGE_PRORATED_PRICE", "2.50", END, "baseDetails", True, 250_250),
        (None, "0", END, "baseDetails", True, 0),
        (None, "2.50", END, "baseDetails", True, 250_250),
        (None, "2.50", END, "prorationPeriodDetails", True, 250_250),
        ("CHARGE_FULL_PRICE", "9.99", HALF + 40 * DAY, "baseDetails", False, None),
        (None, "9.99", HALF + 40 * DAY, "baseDetails", False, None),
        (None, "12.49", HALF + 40 * DAY, "baseDetails", False, None),  # with its taxes
        (None, "0", HALF + 7 * DAY, "freeTrialDetails", False, None),  # another plan's trial
        (None, "4.99", HALF + 30 * DAY, "introductoryPriceDetails", False, None),
    ],
)
def test_a_replacement_is_a_period_only_where_a_whole_one_is_charged(
    mode: str | None, price: str, ends: datetime, phase: str, is_proration: bool, charged: int | None
) -> None:
    play = bought_basic()
    replaced = {"itemReplacement": {"productId": "basic", "replacementMode": mode}} if mode is not None else {}
    switched = subscription("ACTIVE", line_item("pro", OTHER, ends, **replaced), linkedPurchaseToken="token-a", startTime=stamp(HALF))
    paid = order(OTHER, HALF, ends, price=price, tax="0", revenue="0", phase=phase, token="token-b")
    told = play.hears(HALF, switched, paid, token="token-b", earlier=[("token-a", REPLACED)])
    assert told == ["PRODUCT_CHANGE", *([] if is_proration else ["INITIAL_PURCHASE"])]
    assert play.line is not None
    bought = play.line.held[-1].purchase
    assert (bought.is_proration, bought.is_first, bought.is_renewal, bought.charged_ppm) == (is_proration, not is_proration, False, charged)
    assert (play.ends(), original_purchased_at(play.line)) == (ends, NOW)
    later = subscription("ACTIVE", line_item("pro", f"{OTHER}..0", ends + 30 * DAY), linkedPurchaseToken="token-a", startTime=stamp(HALF))
    renewed = order(f"{OTHER}..0", ends, ends + 30 * DAY, token="token-b")
    assert play.hears(ends, later, renewed, token="token-b") == ["RENEWAL"]
    assert [held.charged_ppm for held in earnings(play.line)] == [1_000_000, 1_000_000 if charged is None else charged, 1_000_000]


def test_a_part_paid_within_a_trial_ends_it_and_gives_that_part() -> None:
    play = Play()
    trial_end = NOW + 7 * DAY
    play.hears(
        NOW, subscription("ACTIVE", line_item("basic", until=trial_end)), order(ends=trial_end, product="basic", price="0", phase="freeTrialDetails")
    )
    at = NOW + 3 * DAY
    switched = subscription("ACTIVE", line_item("pro", OTHER, trial_end), linkedPurchaseToken="token-a", startTime=stamp(at))
    paid = order(OTHER, at, trial_end, price="1.00", tax="0", revenue="0", token="token-b")
    paid["lineItems"][0]["subscriptionDetails"]["offerPhaseDetails"] = {"prorationPeriodDetails": {"originalOfferPhase": "FREE_TRIAL"}}
    gone = subscription("EXPIRED", line_item("basic", until=at), canceledStateContext={"replacementCancellation": {}})
    assert play.hears(at, switched, paid, token="token-b", earlier=[("token-a", gone)]) == ["PRODUCT_CHANGE", "INITIAL_PURCHASE"]
    assert play.line is not None
    bought = play.line.held[-1].purchase
    assert (bought.period_type, bought.is_proration, bought.charged_ppm) == ("normal", False, 100_100)


def test_changed_and_changed_back() -> None:
    play = bought_basic()
    play.hears(NOW + 10 * DAY, UPGRADED, PRO, token="token-b", earlier=[("token-a", REPLACED)])
    third, at = "GPA.3300-0000-0000-00003", NOW + 20 * DAY
    back = subscription("ACTIVE", line_item("basic", third, at + 30 * DAY), linkedPurchaseToken="token-b")
    free = order(third, at, at + 30 * DAY, product="basic", price="0", tax="0", revenue="0", token="token-c")
    replaced = subscription("EXPIRED", line_item("pro", OTHER, at), canceledStateContext={"replacementCancellation": {}})
    told = play.hears(at, back, free, token="token-c", earlier=[("token-b", replaced), ("token-a", REPLACED)])
    assert told == ["PRODUCT_CHANGE"]
    assert play.transactions() == [FIRST, OTHER, third]
    assert play.ends() == at + 30 * DAY


def test_a_deferred_change_keeps_the_old_product_until_it_comes() -> None:
    play = bought_basic()
    waiting = subscription(
        "ACTIVE",
        line_item("basic", deferredItemReplacement={"productId": "pro"}),
        line_item("pro", None, None, plan="yearly"),
        linkedPurchaseToken="token-a",
    )
    gone = subscription("EXPIRED", line_item("basic", until=NOW + DAY), canceledStateContext={"replacementCancellation": {}})
    assert play.hears(NOW + DAY, waiting, token="token-b", earlier=[("token-a", gone)]) == ["PRODUCT_CHANGE"]
    assert play.line is not None
    assert (play.line.told.next_product, play.ends()) == ("pro:yearly", END)
    assert play.hears(NOW + DAY, gone, hint="13") == []
    switched = subscription("ACTIVE", line_item("pro", OTHER, END + 365 * DAY, plan="yearly"), linkedPurchaseToken="token-a")
    paid = order(OTHER, END, END + 365 * DAY, product="pro", plan="yearly", price="59.99")
    assert play.hears(END, switched, paid, token="token-b") == ["RENEWAL"]
    assert (play.line.held[-1].purchase.product, play.line.held[-1].purchase.is_renewal) == ("pro:yearly", True)


def test_bought_again_before_its_end_is_no_purchase_and_no_revenue() -> None:
    play = Play()
    play.hears(NOW, subscription(), order())
    cancelled = subscription("CANCELED", line_item(auto=False), canceledStateContext={"userInitiatedCancellation": {}})
    play.hears(NOW + DAY, cancelled)
    restored = subscription("ACTIVE", line_item(order=OTHER), linkedPurchaseToken="token-a")
    nothing = order(OTHER, NOW + 2 * DAY, END, price="0", tax="0", revenue="0", token="token-b")
    gone = subscription("EXPIRED", line_item(until=NOW + 2 * DAY), canceledStateContext={"replacementCancellation": {}})
    assert play.hears(NOW + 2 * DAY, restored, nothing, token="token-b", earlier=[("token-a", gone)]) == ["UNCANCELLATION"]
    assert (play.transactions(), play.ends()) == ([FIRST], END)
    assert play.hears(NOW + 2 * DAY, gone, hint="13") == []
    renewed = subscription("ACTIVE", line_item(order=f"{OTHER}..0", until=END + 30 * DAY), linkedPurchaseToken="token-a")
    assert play.hears(END, renewed, order(f"{OTHER}..0", END, END + 30 * DAY), token="token-b") == ["RENEWAL"]
    assert play.transactions() == [FIRST, f"{OTHER}..0"]


def test_a_prepaid_plan_topped_up_runs_on_without_a_gap() -> None:
    play = Play()
    play.hears(NOW, subscription("ACTIVE", line_item(prepaidPlan={})), order())
    at = NOW + 20 * DAY
    more = subscription("ACTIVE", line_item(order=OTHER, until=END + 30 * DAY, prepaidPlan={}), linkedPurchaseToken="token-a")
    gone = subscription("EXPIRED", line_item(prepaidPlan={}, until=at), canceledStateContext={"replacementCancellation": {}})
    assert play.hears(at, more, order(OTHER, at, END + 30 * DAY, token="token-b"), token="token-b", earlier=[("token-a", gone)]) == [
        "INITIAL_PURCHASE"
    ]
    assert all(play.entitled(NOW + days * DAY) for days in range(60))
    assert play.ends() == END + 30 * DAY
    over = subscription("EXPIRED", line_item(order=OTHER, until=END + 30 * DAY, prepaidPlan={}), linkedPurchaseToken="token-a")
    assert play.hears(END + 30 * DAY, over, token="token-b") == ["EXPIRATION unsubscribe"]


def test_bought_again_in_googles_subscription_centre_is_the_lapsed_customers() -> None:
    context = {"expiredExternalAccountIdentifiers": {"obfuscatedExternalAccountId": "ada"}, "expiredPurchaseToken": "token-0"}
    statement = stated(subscription(outOfAppPurchaseContext=context), [order()])
    assert (statement.customer_hint, tokens(statement), statement.purchases[0].is_first) == ("ada", ("token-0",), False)


def test_a_hint_longer_than_google_takes_is_none() -> None:
    snapshot = subscription(externalAccountIdentifiers={"obfuscatedExternalAccountId": "a" * 65})
    assert stated(snapshot, [order()]).customer_hint is None


# Add-ons


def test_every_add_on_is_a_line_of_its_own() -> None:
    snapshot = subscription("ACTIVE", line_item("pro"), line_item("storage", until=END - DAY), linkedPurchaseToken="token-0")
    both = order(price="12.99", tax="2.00", revenue="9.69")
    both["lineItems"] = [
        part | {"productId": name, "total": amount(price), "tax": amount("1.00")}
        for name, price, part in (("pro", "9.99", both["lineItems"][0]), ("storage", "3.00", both["lineItems"][0]))
    ]
    main, addon = subscription_statements(answer(snapshot, [both], earlier=[("token-0", None)]))
    assert [(one.line, tokens(one), one.purchases[0].product) for one in (main, addon)] == [
        ("token-a", ("token-0",), "pro:monthly"),
        ("token-a#storage", ("token-0#storage",), "storage:monthly"),
    ]
    assert [(one.purchases[0].price, one.purchases[0].commission, one.purchases[0].expires_at) for one in (main, addon)] == [
        (eur(999), eur(100), END),
        (eur(300), eur(30), END - DAY),
    ]


def test_the_item_the_line_holds_stays_the_line() -> None:
    play = Play()
    play.hears(NOW, subscription(), order())
    snapshot = subscription("ACTIVE", line_item("another"), line_item("pro"))
    main, addon = subscription_statements(answer(snapshot, [order()], line=play.line))
    assert (main.line, main.purchases[0].product, addon.line) == ("token-a", "pro:monthly", "token-a#another")


def test_an_item_that_took_anothers_place_goes_on_as_its_line() -> None:
    item = line_item("storage_plus", OTHER, itemReplacement={"productId": "storage", "basePlanId": "monthly"})
    snapshot = subscription("ACTIVE", line_item("pro"), item, linkedPurchaseToken="token-0")
    assert subscription_statements(answer(snapshot))[1].also == ("token-0#storage",)


# In any order

SCENARIOS: dict[str, list[tuple[datetime, str, dict[str, Any]]]] = {
    "cancelled, taken up again, revoked": [
        (NOW, "token-a", subscription()),
        (NOW + DAY, "token-a", subscription("CANCELED", line_item(auto=False), canceledStateContext={"userInitiatedCancellation": {}})),
        (NOW + 2 * DAY, "token-a", subscription()),
        (
            NOW + 3 * DAY,
            "token-a",
            subscription("EXPIRED", line_item(auto=False, until=NOW + 3 * DAY), canceledStateContext={"developerInitiatedCancellation": {}}),
        ),
    ],
    "grace, renewed, cancelled, expired": [
        (NOW, "token-a", subscription()),
        (END, "token-a", subscription("IN_GRACE_PERIOD", line_item(until=END + 7 * DAY))),
        (END + 2 * DAY, "token-a", subscription("ACTIVE", line_item(order=SECOND, until=END + 30 * DAY))),
        (
            END + 20 * DAY,
            "token-a",
            subscription(
                "CANCELED", line_item(order=SECOND, auto=False, until=END + 30 * DAY), canceledStateContext={"userInitiatedCancellation": {}}
            ),
        ),
        (
            END + 30 * DAY,
            "token-a",
            subscription(
                "EXPIRED", line_item(order=SECOND, auto=False, until=END + 30 * DAY), canceledStateContext={"userInitiatedCancellation": {}}
            ),
        ),
    ],
    "hold, recovered": [
        (NOW, "token-a", subscription()),
        (END, "token-a", subscription("ON_HOLD", line_item(until=END))),
        (END + 10 * DAY, "token-a", subscription("ACTIVE", line_item(order=SECOND, until=END + 40 * DAY))),
    ],
    "plan changed": [
        (NOW, "token-a", subscription("ACTIVE", line_item("basic"))),
        (NOW + 10 * DAY, "token-b", UPGRADED),
        (NOW + 10 * DAY + timedelta(minutes=1), "token-a", REPLACED),
    ],
    "changed and back": [
        (NOW, "token-a", subscription("ACTIVE", line_item("basic"))),
        (NOW + 10 * DAY, "token-b", UPGRADED),
        (NOW + 10 * DAY + timedelta(minutes=1), "token-a", REPLACED),
        (
            NOW + 20 * DAY,
            "token-c",
            subscription("ACTIVE", line_item("basic", "GPA.3300-0000-0000-00003", NOW + 50 * DAY), linkedPurchaseToken="token-b"),
        ),
        (
            NOW + 20 * DAY + timedelta(minutes=1),
            "token-b",
            subscription("EXPIRED", line_item("pro", OTHER, NOW + 20 * DAY), canceledStateContext={"replacementCancellation": {}}),
        ),
    ],
}

ORDERS: dict[str, list[dict[str, Any]]] = {
    "cancelled, taken up again, revoked": [order()],
    "grace, renewed, cancelled, expired": [order(), order(SECOND, END, END + 30 * DAY)],
    "hold, recovered": [order(), order(SECOND, END + 10 * DAY, END + 40 * DAY)],
    "plan changed": [BASIC, PRO],
    "changed and back": [BASIC, PRO, order("GPA.3300-0000-0000-00003", NOW + 20 * DAY, NOW + 50 * DAY, product="basic", price="4.99")],
}


def lived(name: str, answers: Sequence[tuple[datetime, str, dict[str, Any]]]) -> Line:
    """What we know in the end, where the answers arrive like this. A token's predecessors are walked where it is new to us."""
    play = Play()
    latest_of = {token: snapshot for _, token, snapshot in SCENARIOS[name]}
    for at, token, snapshot in answers:
        is_new = play.line is None or token not in play.keys
        chain: list[tuple[str, dict[str, Any]]] = []
        link = snapshot.get("linkedPurchaseToken")
        while is_new and link is not None:
            chain.append((link, latest_of[link]))
            link = latest_of[link].get("linkedPurchaseToken")
        play.hears(at, snapshot, *ORDERS[name], token=token, earlier=chain, now=FUTURE)
    assert play.line is not None
    return play.line


@pytest.mark.parametrize("name", SCENARIOS)
def test_answers_in_any_order_give_one_history(name: str) -> None:
    expected = lived(name, SCENARIOS[name])
    for arrival in permutations(SCENARIOS[name]):
        line = lived(name, arrival)
        assert [held.purchase.transaction for held in line.held] == [held.purchase.transaction for held in expected.held]
        assert access_until(line) == access_until(expected)
        assert line.renewals[-1] == expected.renewals[-1]
        newest, wanted = latest(line), latest(expected)
        assert newest is not None and wanted is not None
        assert replace(newest.purchase, as_of=NOW) == replace(wanted.purchase, as_of=NOW)


# Acknowledging


@pytest.mark.parametrize("state", ["ACTIVE", "CANCELED"])
def test_a_new_token_is_acknowledged(state: str) -> None:
    snapshot = decode(json.dumps(subscription(state, acknowledgementState="ACKNOWLEDGEMENT_STATE_PENDING", testPurchase={})), Subscription)
    (act,) = read.acknowledgements("token-a", snapshot)
    assert act == Act(
        act_id=act.act_id, kind="acknowledge", environment="sandbox", subject="token-a", details={"type": "subscription", "product": "pro"}
    )
    assert read.acknowledgements("token-a", snapshot)[0].act_id == act.act_id
    assert read.acknowledgements("token-b", snapshot)[0].act_id != act.act_id


@pytest.mark.parametrize("state", ["PENDING", "EXPIRED", "ON_HOLD", "PENDING_PURCHASE_CANCELED"])
def test_what_is_not_granted_is_not_acknowledged(state: str) -> None:
    snapshot = decode(json.dumps(subscription(state, acknowledgementState="ACKNOWLEDGEMENT_STATE_PENDING")), Subscription)
    assert read.acknowledgements("token-a", snapshot) == ()


def test_what_was_acknowledged_is_left_alone() -> None:
    assert read.acknowledgements("token-a", decode(json.dumps(subscription()), Subscription)) == ()


# Whatever comes

TEXTS = st.one_of(st.none(), st.sampled_from(["", FIRST, SECOND, "GPA.x..y", "2026-03-31T12:00:00Z", "soon", "pro"]), st.text(max_size=8))
STATES = st.sampled_from(["ACTIVE", "CANCELED", "EXPIRED", "IN_GRACE_PERIOD", "ON_HOLD", "PAUSED", "PENDING", "NEW"])


@settings(deadline=None)
@given(state=STATES, product=TEXTS, expiry=TEXTS, order_id=TEXTS, linked=TEXTS, hint=TEXTS, start=TEXTS, end=TEXTS)
def test_any_answer_is_read_or_refused_cleanly(
    state: str,
    product: str | None,
    expiry: str | None,
    order_id: str | None,
    linked: str | None,
    hint: str | None,
    start: str | None,
    end: str | None,
) -> None:
    item = said(productId=product, expiryTime=expiry, latestSuccessfulOrderId=order_id, autoRenewingPlan={})
    one = order(order_id or FIRST)
    one["lineItems"][0]["subscriptionDetails"] = said(servicePeriodStartTime=start, servicePeriodEndTime=end)
    try:
        statements = subscription_statements(answer(subscription(state, item, linkedPurchaseToken=linked), [one], hint=hint or ""))
    except Invalid:
        return
    for statement in statements:
        assert all(purchase.expires_at is not None and purchase.as_of == NOW for purchase in statement.purchases)


def test_a_token_seen_for_the_first_time_names_the_order_an_import_knows_it_by() -> None:
    (first,) = subscription_statements(answer(subscription()))
    assert first.also == (FIRST.split("..")[0],)
