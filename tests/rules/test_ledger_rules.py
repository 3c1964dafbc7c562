"""What transfers do to balances, and what cannot be a transfer."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.base.value import replace
from perennial.ledger.model import Transfer, is_bounded, money, virtual
from perennial.ledger.rules import bounded_changes, changes, clash, is_same

NOON = datetime(2030, 5, 1, 12, tzinfo=UTC)


def move(source: str = "a", target: str = "b", amount: int = 5, key: str = "k", code: str = "GLD") -> Transfer:
    return Transfer(key=key, from_account=source, to_account=target, amount=amount, unit=virtual(code), kind="test", happened_at=NOON)


@pytest.mark.parametrize("amount", [0, -5])
def test_a_transfer_is_of_a_positive_amount(amount: int):
    with pytest.raises(AssertionError, match="positive"):
        move(amount=amount)


def test_a_transfer_has_two_ends():
    with pytest.raises(AssertionError, match="two ends"):
        move("a", "a")


def test_wallets_are_bounded_and_nothing_else_is():
    assert [is_bounded(account) for account in ("wallet/ada/GLD", "revenue/wallet/x", "wallets/ada", "taxes")] == [True, False, False, False]


def test_bounded_accounts_are_taken_in_one_order_and_those_that_do_not_change_are_left_alone():
    story = [move("wallet/b/GLD", "issued", 3), move("issued", "wallet/a/GLD", 4), move("wallet/c/GLD", "x", 1), move("x", "wallet/c/GLD", 1)]
    assert bounded_changes(story) == [(("wallet/a/GLD", virtual("GLD")), 4), (("wallet/b/GLD", virtual("GLD")), -3)]


def test_the_same_code_as_money_and_as_a_virtual_currency_are_two_units():
    assert changes([move(code="USD"), replace(move(code="USD"), unit=money("USD"))]) == {
        ("a", virtual("USD")): -5,
        ("b", virtual("USD")): 5,
        ("a", money("USD")): -5,
        ("b", money("USD")): 5,
    }


def test_a_key_stands_for_one_movement_however_it_is_described():
    told_again = replace(move(), kind="else", happened_at=NOON.replace(hour=13), reference="x")
    assert is_same(move(), told_again) and clash([move(), told_again, move(key="other", amount=6)]) is None
    for other in (move(amount=6), move(target="c"), move(source="c"), move(code="SLV")):
        assert clash([move(), other]) == "k"


accounts = st.sampled_from(["a", "b", "wallet/a/GLD", "wallet/b/GLD"])
stories = st.lists(
    st.tuples(accounts, accounts, st.integers(1, 10**12), st.sampled_from(["GLD", "SLV"])).filter(lambda ends: ends[0] != ends[1]), max_size=20
)


@given(story=stories)
def test_whatever_is_transferred_all_holdings_of_a_unit_sum_to_nothing(story: list[tuple[str, str, int, str]]):
    changed = changes([move(source, target, amount, code=code) for source, target, amount, code in story])
    for code in ("GLD", "SLV"):
        assert sum(amount for (_, unit), amount in changed.items() if unit == virtual(code)) == 0
    assert all(changed.values())
