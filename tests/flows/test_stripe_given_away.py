"""Periods given away while Stripe's collection is paused: remembered, as Stripe forgets them, and over when the subscription is."""

from datetime import timedelta

import pytest

from perennial.base.money import Money
from perennial.providers.simulated import stripe
from tests.flows.test_simulated_stripe import Shop, at, shop  # noqa: F401  the fixture


@pytest.mark.parametrize("behavior", ["keep_as_draft", "mark_uncollectible"])
async def test_what_is_given_away_ends_with_the_subscription(shop: Shop, behavior: str) -> None:  # noqa: F811
    bought = await shop.buy()
    await shop.do(stripe.pause, bought, behavior)
    await shop.world.advance(days=33)
    assert await shop.has_access()
    await shop.do(stripe.cancel_now, bought)
    assert not await shop.has_access()
    assert await shop.world.entitled("ada") == []
    assert await shop.told() == ["INITIAL_PURCHASE", "RENEWAL", "EXPIRATION"]
    assert (await shop.line(bought)).held[1].purchase.expires_at == await shop.world.now()


async def test_what_was_given_away_stays_when_collection_goes_on(shop: Shop) -> None:  # noqa: F811
    bought = await shop.buy()
    await shop.do(stripe.pause, bought, "keep_as_draft")
    await shop.world.advance(days=33)
    await shop.do(stripe.resume, bought)
    await shop.world.advance(days=33)
    held = [one.purchase for one in (await shop.line(bought)).held]
    assert [(one.price, one.expires_at) for one in held[1:]] == [
        (Money(amount=0, currency="USD"), at("2026-03-31T12:00:00")),
        (Money(amount=999, currency="USD"), at("2026-04-30T12:00:00")),
    ]
    assert await shop.told() == ["INITIAL_PURCHASE", "RENEWAL", "RENEWAL"]
    assert held[1].as_of - held[0].as_of == timedelta(0), "it is still spoken of"
