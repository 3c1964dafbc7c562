"""What wallets get and lose: equations, and properties over whole lives of a purchase."""

from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.base.ids import AppId, CustomerId
from perennial.base.money import Money
from perennial.base.value import replace
from perennial.catalog.model import MOST_OF_A_CURRENCY, GivenByProduct
from perennial.currencies import rules
from perennial.currencies.model import Earning, Grant, NotEnough, Origin, TooMuch, Wallet
from perennial.ledger.model import Transfer
from perennial.subscriptions.earning import earnings
from perennial.subscriptions.model import Held, Purchase, Refund, Revocation
from tests.rules.lives import START, new_line

DAY = timedelta(days=1)
ADA = CustomerId("cus_ada")
LOT = f"wallet/{ADA}/GLD/lot"


def wallet(balances: Mapping[str, int] = {}, ends: Mapping[str, Any] = {}) -> Wallet:
    return Wallet(customer_id=ADA, balances=balances, ends=ends)


def earning(**facts: Any) -> Earning:
    origin = Origin(store="app_store", environment="production", transaction="t1", app_id=AppId("app_1"), product="monthly")
    known = {"customer_id": ADA, "origin": origin, "purchased_at": START, "ends_at": START + 30 * DAY, "is_subscription": True}
    return Earning(**(known | facts))


def gives(**facts: Any) -> GivenByProduct:
    return GivenByProduct(**({"code": "GLD", "amount": 100, "trial_amount": 10, "expire_at_cycle_end": False, "since": START} | facts))


def first(bought: Earning, given: GivenByProduct) -> list[int]:
    return [grant.amount for grant in rules.wanted(bought, [given], {}, START)]


# Giving -----------------------------------------------------------------------------------------------------------------------


def test_what_a_purchase_gives():
    assert first(earning(), gives()) == [100]
    assert first(earning(is_trial=True), gives()) == [10]
    assert first(earning(is_trial=True), gives(trial_amount=0)) == []
    assert first(earning(quantity=3), gives()) == [300]
    assert first(earning(quantity=3), gives(amount=MOST_OF_A_CURRENCY)) == [MOST_OF_A_CURRENCY]
    assert first(earning(purchased_at=START - DAY), gives()) == [], "bought before the product gave it"
    assert first(earning(refunded_ppm=1_000_000), gives()) == [], "refunded before we heard of it"
    assert first(earning(ends_at=START), gives(expire_at_cycle_end=True)) == [], "over before we heard of it"
    assert first(earning(ends_at=START), gives()) == [100], "what does not expire is given however late"


def test_only_what_expires_has_an_end():
    [kept] = rules.wanted(earning(), [gives()], {}, START)
    [expiring] = rules.wanted(earning(), [gives(expire_at_cycle_end=True)], {}, START)
    [once] = rules.wanted(earning(ends_at=None), [gives(expire_at_cycle_end=True)], {}, START)
    assert [(grant.expires_at, grant.wake_at) for grant in (kept, expiring, once)] == [(None, None), (START + 30 * DAY,) * 2, (None, None)]


@pytest.mark.parametrize(
    ("ppm", "subscription", "once"), [(0, 0, 0), (1, 1, 100), (500_000, 50, 100), (333_333, 34, 100), (990_001, 100, 100), (1_000_000, 100, 100)]
)
def test_refunds_ask_back_their_share_rounded_up_and_all_of_what_was_bought_once(ppm: int, subscription: int, once: int):
    assert rules.due_back(100, earning(refunded_ppm=ppm)) == subscription
    assert rules.due_back(100, earning(refunded_ppm=ppm, is_subscription=False)) == once


def test_an_amended_amount_does_not_change_what_was_given():
    [grant] = rules.wanted(earning(), [gives()], {}, START)
    assert rules.wanted(earning(), [gives(amount=500)], {"GLD": grant}, START) == []


# Taking -----------------------------------------------------------------------------------------------------------------------


def test_what_expires_soonest_goes_first_and_what_does_not_expire_last():
    kept = f"wallet/{ADA}/GLD"
    held = wallet(
        {kept: 50, f"{kept}/late": 30, f"{kept}/soon": 20, f"{kept}/over": 9},
        {f"{kept}/late": START + 9 * DAY, f"{kept}/soon": START + DAY, f"{kept}/over": START},
    )
    assert rules.take(held, "GLD", 75, START) == [(f"{kept}/soon", 20), (f"{kept}/late", 30), (kept, 25)]
    assert rules.take(held, "GLD", 1000, START) == [(f"{kept}/soon", 20), (f"{kept}/late", 30), (kept, 50)]
    assert rules.take(held, "GLD", 25, START, first=f"{kept}/late") == [(f"{kept}/late", 25)]
    assert rules.take(held, "SLV", 1, START) == []
    assert rules.totals(held, START) == {"GLD": 100}


def test_an_adjustment_stays_between_nothing_and_two_billion():
    held = wallet({f"wallet/{ADA}/GLD": 5})

    def adjust(**amounts: int) -> list[tuple[str, str, int]]:
        found = rules.adjust(held, amounts, adjustment_id="a1", reference=None, now=START)
        return [(one.from_account, one.to_account, one.amount) for one in found]

    assert adjust(GLD=-5, SLV=2) == [(f"wallet/{ADA}/GLD", "spent/GLD", 5), ("issued/SLV", f"wallet/{ADA}/SLV", 2)]
    assert adjust(GLD=0) == []
    with pytest.raises(NotEnough, match="has 5 GLD"):
        adjust(GLD=-6)
    with pytest.raises(TooMuch, match="2000000001 GLD"):
        adjust(GLD=MOST_OF_A_CURRENCY - 4)


def test_joined_wallets_keep_their_parts():
    held = wallet({f"wallet/{ADA}/GLD": 5, LOT: 7, f"wallet/{ADA}/SLV": 0}, {LOT: START + DAY})
    moved = rules.join(held, CustomerId("cus_bob"), START)
    assert [(one.from_account, one.to_account, one.amount) for one in moved] == [
        (f"wallet/{ADA}/GLD", "wallet/cus_bob/GLD", 5),
        (LOT, "wallet/cus_bob/GLD/lot", 7),
    ]


# What of a line matters -------------------------------------------------------------------------------------------------------


def bought(**facts: Any) -> Purchase:
    known = {
        "transaction": "t1",
        "product": "monthly",
        "kind": "subscription",
        "purchased_at": START,
        "expires_at": START + 30 * DAY,
        "as_of": START,
        "is_first": True,
        "is_renewal": False,
        "price": Money(amount=1000, currency="USD"),
    }
    return Purchase(**(known | facts))


def earned(*purchases: Purchase, **facts: Any) -> list[Earning]:
    return earnings(replace(new_line(), held=tuple(Held(purchase=purchase) for purchase in purchases), **facts))


def test_what_was_shared_or_granted_earns_nothing():
    assert earned(bought(ownership="family_shared")) == earned(bought(period_type="promotional")) == earned(bought(), store="promotional") == []


def test_a_cycle_ends_with_its_period_without_grace_or_where_another_took_its_place():
    upgrade = bought(transaction="t2", purchased_at=START + 9 * DAY, expires_at=START + 39 * DAY)
    revoked = bought(revocation=Revocation(at=START + DAY, refunded=True))
    assert [one.ends_at for one in earned(bought(is_superseded=True), upgrade)] == [START + 9 * DAY, START + 39 * DAY]
    assert [one.ends_at for one in earned(revoked)] == [START + 30 * DAY]
    assert [(one.ends_at, one.is_subscription) for one in earned(bought(kind="consumable", expires_at=None))] == [(None, False)]


def test_how_much_of_a_price_was_given_back():
    quarter = Refund(identifier="r", at=START, amount=Money(amount=250, currency="USD"))
    half = Revocation(at=START, refunded=True, share_ppm=500_000)
    shares = [
        one.refunded_ppm
        for one in earned(
            bought(transaction="1"),
            bought(transaction="2", refunds=(quarter,)),
            bought(transaction="3", refunds=(quarter,), revocation=half),
            bought(transaction="4", refunds=(replace(quarter, is_reversed=True),)),
            bought(transaction="5", price=None, revocation=half),
            bought(transaction="6", price=None, refunds=(quarter,)),
            bought(transaction="7", revocation=replace(half, refunded=False)),
        )
    ]
    assert shares == [0, 250_000, 750_000, 0, 500_000, 0, 0]


# Properties -------------------------------------------------------------------------------------------------------------------

steps = st.lists(
    st.tuples(st.sampled_from(["hear", "spend", "wait", "clear"]), st.integers(0, 1_000_000)),
    max_size=14,
)


@settings(max_examples=400, deadline=None)
@given(story=steps, expires=st.booleans(), is_subscription=st.booleans())
def test_whatever_happens_to_a_grant_nothing_goes_below_zero_and_nothing_is_made_of_nothing(story, expires: bool, is_subscription: bool):
    """One purchase, refunded to any share and back, spent from, expiring: the wallet has what was given less what was taken."""
    now, held, grant, posted = START, wallet(), None, []
    given = gives(expire_at_cycle_end=expires)

    def post(transfers: list[Transfer]) -> None:
        nonlocal held
        held = rules.moved(held, transfers, grant)
        posted.extend(transfers)

    for number, (step, amount) in enumerate(story):
        match step:
            case "hear":
                known = {"GLD": grant} if grant else {}
                for wanted in rules.wanted(earning(refunded_ppm=amount, is_subscription=is_subscription), [given], known, now):
                    before = grant
                    grant, transfers = rules.give(held, wanted, now, now) if before is None else rules.change(held, before, wanted, now)
                    post(transfers)
                    again = rules.wanted(earning(refunded_ppm=amount, is_subscription=is_subscription), [given], {"GLD": grant}, now)
                    assert again == [], "what is settled is settled"
            case "spend":
                have = rules.totals(held, now).get("GLD", 0)
                post(rules.adjust(held, {"GLD": -min(have, amount)}, adjustment_id=str(number), reference=None, now=now))
            case "wait":
                now += DAY * (amount % 20)
            case "clear" if grant is not None and grant.wake_at is not None and grant.wake_at <= now:
                account = rules.account_of(ADA, "GLD", grant)
                post(rules.expire(grant, held.balances.get(account, 0), now))
                grant = replace(grant, wake_at=None)
                assert held.balances.get(account, 0) == 0
        assert all(balance >= 0 for balance in held.balances.values())
        check(grant, posted)
    assert len({one.key for one in posted}) == len(posted), "no transfer can be taken for another"


def check(grant: Grant | None, posted: list[Transfer]) -> None:
    sums = Counter(dict.fromkeys(("grant", "take_back", "give_back"), 0))
    for one in posted:
        sums[one.kind] += one.amount
    if grant is None:
        assert posted == []
        return
    assert 0 <= grant.taken_back <= grant.due_back <= grant.amount == 100
    assert sums["grant"] <= grant.amount
    assert sums["grant"] - sums["take_back"] + sums["give_back"] <= grant.amount - grant.taken_back
