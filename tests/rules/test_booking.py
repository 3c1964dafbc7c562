"""What the ledger gets of purchases: equations, and that no order of learning changes them."""

from collections import Counter
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.base.money import Money
from perennial.base.value import replace
from perennial.ledger.model import Transfer
from perennial.subscriptions.booking import book
from perennial.subscriptions.model import Booked, Held, Line, Purchase, Refund, Revocation, Statement
from perennial.subscriptions.rules import merge
from tests.rules.lives import START, new_line

DAY = timedelta(days=1)


def usd(amount: int) -> Money:
    return Money(amount=amount, currency="USD")


def bought(**facts: object) -> Purchase:
    known = {
        "transaction": "t1",
        "product": "monthly",
        "kind": "subscription",
        "purchased_at": START,
        "expires_at": START + 30 * DAY,
        "as_of": START,
        "is_first": True,
        "is_renewal": False,
        "price": usd(1200),
    }
    return Purchase(**(known | facts))  # type: ignore[arg-type]


def holding(*purchases: Purchase, **facts: object) -> Line:
    return replace(new_line(), held=tuple(Held(purchase=purchase) for purchase in purchases), **facts)  # type: ignore[arg-type]


def balances(transfers: list[Transfer]) -> dict[tuple[str, str], int]:
    """By account and currency, leaving out what came to nothing."""
    found: Counter[tuple[str, str]] = Counter()
    for one in transfers:
        found[one.from_account, one.unit.code] -= one.amount
        found[one.to_account, one.unit.code] += one.amount
    return {account: amount for account, amount in found.items() if amount}


def in_usd(transfers: list[Transfer]) -> dict[str, int]:
    return {account: amount for (account, currency), amount in balances(transfers).items() if currency == "USD"}


def learn(line: Line, *purchases: Purchase) -> tuple[Line, list[Transfer]]:
    """One message after the other, booked each time."""
    posted: list[Transfer] = []
    for purchase in purchases:
        statement = Statement(store=line.store, environment=line.environment, line=line.store_line, purchases=(purchase,))
        line, transfers = book(merge(line, statement, purchase.as_of))
        posted += transfers
    return line, posted


# Equations --------------------------------------------------------------------------------------------------------------------


def test_a_sale_is_split_into_what_the_store_says_of_it():
    line, transfers = book(holding(bought(tax=usd(200), commission=usd(300))))
    assert in_usd(transfers) == {"customers/receivable": -1200, "revenue/app_store": 700, "taxes": 200, "stores/app_store/commission": 300}
    assert line.held[0].booked == Booked(gross=1200, tax=200, commission=300, refunded=0, currency="USD", postings=1)
    assert [(one.kind, one.happened_at, one.reference) for one in transfers] == [
        ("sale", START, "t1"),
        ("tax", START, "t1"),
        ("commission", START, "t1"),
    ]


def test_what_is_booked_is_not_booked_again():
    line, _ = book(holding(bought()))
    assert book(line) == (line, [])


def test_a_refund_takes_its_part_of_the_tax_back_and_leaves_the_store_s_commission():
    sale = bought(tax=usd(200), commission=usd(300))
    half = replace(sale, as_of=START + DAY, revocation=Revocation(at=START + DAY, refunded=True, share_ppm=500_000))
    _, posted = learn(new_line(), sale, half)
    assert in_usd(posted) == {
        "customers/receivable": -600,
        "revenue/app_store": 800,
        "refunds/app_store": -600,
        "taxes": 100,
        "stores/app_store/commission": 300,
    }
    assert [one.happened_at for one in posted if one.kind == "refund"] == [START + DAY]


def test_a_reversed_refund_leaves_the_sale_as_it_was():
    sale = bought(tax=usd(200))
    refunded = replace(sale, as_of=START + DAY, revocation=Revocation(at=START + DAY, refunded=True))
    line, posted = learn(new_line(), sale, refunded, replace(sale, as_of=START + 2 * DAY))
    assert in_usd(posted) == {"customers/receivable": -1200, "revenue/app_store": 1000, "taxes": 200}
    assert line.held[0].booked == Booked(gross=1200, tax=200, currency="USD", postings=3)
    assert [one.kind for one in posted] == ["sale", "tax", "tax", "refund", "tax", "refund"]


def test_the_same_correction_can_be_made_twice():
    sale = bought()
    refunded = replace(sale, revocation=Revocation(at=START + DAY, refunded=True))
    story = [replace(one, as_of=START + number * DAY) for number, one in enumerate([sale, refunded] * 3)]
    _, posted = learn(new_line(), *story)
    assert in_usd(posted) == {"refunds/app_store": -1200, "revenue/app_store": 1200}
    assert len({one.key for one in posted}) == len(posted) == 6


def test_a_revocation_without_money_and_a_refund_that_failed_book_nothing():
    taken = bought(
        revocation=Revocation(at=START + DAY, refunded=False), refunds=(Refund(identifier="r", at=START, amount=usd(500), is_reversed=True),)
    )
    _, transfers = book(holding(taken))
    assert in_usd(transfers) == {"customers/receivable": -1200, "revenue/app_store": 1200}


def test_refunds_never_exceed_the_sale():
    refunds = tuple(Refund(identifier=str(number), at=START + number * DAY, amount=usd(500)) for number in range(1, 4))
    line, transfers = book(holding(bought(refunds=refunds, revocation=Revocation(at=START + 9 * DAY, refunded=True))))
    assert in_usd(transfers) == {"revenue/app_store": 1200, "refunds/app_store": -1200}
    assert line.held[0].booked.refunded == 1200
    assert [one.happened_at for one in transfers if one.kind == "refund"] == [START + 9 * DAY]


def test_a_price_learned_late_is_booked_then():
    line, first = learn(new_line(), bought(price=None))
    line, second = learn(line, bought(as_of=START + DAY))
    assert (first, in_usd(second)) == ([], {"customers/receivable": -1200, "revenue/app_store": 1200})
    assert second[0].happened_at == START, "a sale happened when it was made, whenever we hear of it"


def test_a_corrected_currency_takes_all_of_the_old_one_back():
    _, posted = learn(new_line(), bought(), bought(as_of=START + DAY, price=Money(amount=1000, currency="EUR")))
    assert balances(posted) == {("customers/receivable", "EUR"): -1000, ("revenue/app_store", "EUR"): 1000}


def test_sandboxes_are_booked_apart():
    _, transfers = book(holding(bought(tax=usd(200)), environment="sandbox"))
    assert in_usd(transfers) == {"sandbox/customers/receivable": -1200, "sandbox/revenue/app_store": 1000, "sandbox/taxes": 200}


def test_where_no_money_moved_nothing_is_booked():
    for line in (
        holding(bought(), store="test_store"),
        holding(bought(), store="promotional", app_id=None),
        holding(bought(period_type="trial", price=usd(0))),
        holding(bought(period_type="promotional")),
        holding(bought(ownership="family_shared")),
        holding(bought(price=None)),
        holding(bought(price=usd(0))),
    ):
        assert book(line) == (line, [])


def test_a_sale_that_turns_out_to_be_a_trial_is_taken_back():
    line, posted = learn(new_line(), bought(), bought(as_of=START + DAY, period_type="trial", price=usd(0)))
    assert (in_usd(posted), line.held[0].booked) == ({}, Booked(postings=2))


def test_a_setup_fee_on_a_trial_and_its_refund_are_booked():
    given_back = Refund(identifier="re_1", at=START + DAY, amount=usd(400))
    line, posted = learn(new_line(), bought(period_type="trial", price=usd(1000)))
    assert in_usd(posted) == {"customers/receivable": -1000, "revenue/app_store": 1000}
    line, posted = learn(line, bought(as_of=START + DAY, period_type="trial", price=usd(1000), refunds=(given_back,)))
    assert in_usd(posted) == {"customers/receivable": 400, "refunds/app_store": -400}


def test_a_proration_is_revenue_and_one_for_nothing_is_none():
    more = bought(transaction="t2", is_first=False, is_proration=True, price=usd(500), purchased_at=START + DAY)
    free = bought(transaction="t3", is_first=False, is_proration=True, price=usd(0), purchased_at=START + 2 * DAY)
    _, posted = learn(new_line(), bought(), more, free)
    assert in_usd(posted) == {"customers/receivable": -1700, "revenue/app_store": 1700}


# Properties -------------------------------------------------------------------------------------------------------------------

amounts = st.integers(0, 2000)
refunds = st.builds(
    lambda number, amount, is_reversed: Refund(identifier=str(number), at=START + number * DAY, amount=usd(amount), is_reversed=is_reversed),
    st.integers(0, 3),
    st.integers(1, 1500),
    st.booleans(),
)
revocations = st.builds(
    lambda days, refunded, ppm: Revocation(at=START + days * DAY, refunded=refunded, share_ppm=ppm),
    st.integers(0, 30),
    st.booleans(),
    st.integers(0, 1_000_000),
)
purchases = st.builds(
    lambda transaction, day, price, tax, commission, revocation, given_back, period_type, is_summary: bought(
        transaction=transaction,
        as_of=START + day * DAY,
        price=None if price is None else usd(price),
        tax=usd(min(tax, price)) if price else None,
        commission=usd(min(commission, price)) if price else None,
        revocation=revocation,
        refunds=tuple({one.identifier: one for one in given_back}.values()),
        period_type=period_type,
        is_summary=is_summary,
    ),
    st.sampled_from(["t1", "t2"]),
    st.integers(0, 3),
    st.none() | amounts,
    amounts,
    amounts,
    st.none() | revocations,
    st.lists(refunds, max_size=3),
    st.sampled_from(["normal", "normal", "intro", "trial"]),
    st.booleans(),
)


@settings(max_examples=500, deadline=None)
@given(said=st.lists(purchases, max_size=8))
def test_learned_step_by_step_the_ledger_is_where_it_would_be_had_we_known_it_all_at_once(said: list[Purchase]):
    line, posted = learn(new_line(), *said)
    forgetful = replace(line, held=tuple(replace(held, booked=Booked()) for held in line.held))
    _, at_once = book(forgetful)
    assert balances(posted) == balances(at_once)
    assert book(line) == (line, []), "nothing is booked twice"
    assert len({one.key for one in posted}) == len(posted), "no transfer can be taken for another"
    assert all(one.amount > 0 for one in posted)
    for held in line.held:
        booked = held.booked
        assert 0 <= booked.refunded <= booked.gross
        assert 0 <= booked.tax <= booked.gross
        assert (booked.currency is None) == (booked.gross == 0)


@settings(max_examples=300, deadline=None)
@given(said=st.lists(purchases, max_size=6, unique_by=lambda purchase: (purchase.transaction, purchase.is_summary, purchase.as_of)), data=st.data())
def test_any_order_any_repetition_ends_with_the_same_balances(said: list[Purchase], data):
    """Of a store that tells a sum or keeps silent, but does not tell two: then `merge` does not depend on the order, and neither do we."""
    said = [_consistent(purchase) for purchase in said]
    _, straight = learn(new_line(), *said)
    again = data.draw(st.lists(st.sampled_from(said), max_size=4)) if said else []
    _, shuffled = learn(new_line(), *data.draw(st.permutations(said + again)))
    assert balances(shuffled) == balances(straight)


def _consistent(purchase: Purchase) -> Purchase:
    given_back = tuple(replace(one, amount=usd(100 + int(one.identifier)), is_reversed=one.identifier == "0") for one in purchase.refunds)
    sums = {} if purchase.price is None else {"price": usd(1200), "tax": usd(200), "commission": usd(300)}
    return replace(purchase, refunds=given_back, **sums)


def test_bookings_of_different_purchases_never_share_a_key():
    """Whatever signs their names hold."""
    names = ("a", "a|b", "b", "b|c", "c", "a\\", "|", "\\|", "a|b|c", "")
    keys = [
        transfer.key
        for store_line in names
        for product in names
        for transaction in names
        for transfer in book(holding(bought(product=product, transaction=transaction), store_line=store_line))[1]
    ]
    assert len(set(keys)) == len(keys) >= len(names) ** 3
