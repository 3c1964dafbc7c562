"""Two answers of Stripe about one line at one moment of a clock that stands still: what was asked later counts, whichever is merged first."""

from itertools import permutations

import pytest

from perennial.base.money import Money
from perennial.base.value import replace
from perennial.providers.simulated import stripe
from perennial.providers.stripe.accounts import moment
from perennial.subscriptions.model import Purchase, Refund
from perennial.subscriptions.rules import newer
from tests.flows.test_simulated_stripe import Shop, shop  # noqa: F401  the fixture

DISPUTE_FEE = 1500


@pytest.mark.parametrize("product", ["prod_pro", "prod_life"])
async def test_a_disputes_fee_is_known_in_the_moment_it_is_made_and_lost(shop: Shop, product: str) -> None:  # noqa: F811
    bought = await shop.buy(product)
    (held,) = (await shop.line(bought)).held
    assert held.purchase.commission is not None
    fee = held.purchase.commission.amount
    await shop.do(stripe.dispute, bought)
    await shop.do(stripe.close_dispute, bought, "lost")
    (held,) = (await shop.line(bought)).held
    assert held.purchase.commission == Money(amount=fee + DISPUTE_FEE, currency="USD")
    assert len(held.purchase.refunds) + (held.purchase.revocation is not None) == 1
    assert await shop.open_questions() == []


def test_of_two_words_of_one_moment_the_one_that_tells_more_counts_whichever_comes_first() -> None:
    at, usd = moment(1_770_000_000), "USD"
    plain = Purchase(
        transaction="in_1",
        product="prod_pro",
        kind="subscription",
        purchased_at=at,
        expires_at=moment(1_772_000_000),
        as_of=at,
        is_first=True,
        is_renewal=False,
        price=Money(amount=999, currency=usd),
    )
    charged = replace(plain, commission=Money(amount=58, currency=usd))
    lost = Refund(identifier="dp_1", at=at, amount=Money(amount=999, currency=usd))
    disputed = replace(charged, commission=Money(amount=1558, currency=usd), refunds=(lost,))
    won = replace(disputed, refunds=(replace(lost, is_reversed=True),))
    for words in permutations([plain, charged, disputed, won]):
        last = words[0]
        for word in words[1:]:
            last = newer(last, word)
        assert last == won
