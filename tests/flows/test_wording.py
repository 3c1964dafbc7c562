"""What the demo's pages say of a line that does not simply renew, in every simulated store."""

import pytest

from tests.flows.test_dashboard import Desk, acts_of, desk, text_of
from tests.flows.test_rehearsing import rehearsal

__all__ = ["desk", "rehearsal"]

FAILING = [
    ("app_store", "pro_monthly", "recovers", "no grace, paid after 3 days"),
    ("app_store", "pro_monthly", "recovers_in_grace", "16 days of grace, paid after 5 days"),
    ("play_store", "pro:monthly", "recovers_in_grace", "7 days of grace, paid after 5 days"),
    ("play_store", "pro:monthly", "never", "a day that Google gives without saying so, never paid"),
    ("stripe", "prod_pro_monthly", "recovers", "its first retry will be paid"),
    ("stripe", "prod_pro_monthly", "past_due", "no retry will be paid; then it is left past due"),
]


@pytest.mark.parametrize(("store", "product", "way", "words"), FAILING)
async def test_a_renewal_that_is_to_fail_says_so_and_can_be_spared(rehearsal: Desk, store: str, product: str, way: str, words: str):
    shown = await rehearsal.buy("ada", product, store)
    assert "revert_failure" not in acts_of(shown)
    shown = await rehearsal.act("ada", f"fail_next_renewal:{way}")
    assert f"{words}." in text_of(shown)
    assert "The next renewal will fail" in text_of(shown)
    assert ": will fail to renew; paid until" in text_of(shown)
    assert "renews" not in text_of(shown)

    shown = await rehearsal.act("ada", "revert_failure")
    assert "will fail" not in text_of(shown)
    assert "pro renews" in text_of(shown)
    assert ", sandbox: renews" in text_of(shown)
    assert "revert_failure" not in acts_of(shown)
    await rehearsal.submit("/demo/clock", by="month", app_user_id="ada")
    shown = await rehearsal.submit("/demo/clock", by="day", app_user_id="ada")
    assert ", sandbox: renews" in text_of(shown)
    assert await rehearsal.told("ada") == ["INITIAL_PURCHASE", "RENEWAL"]


@pytest.mark.parametrize(("store", "product"), [("app_store", "pro_monthly"), ("play_store", "pro:monthly"), ("stripe", "prod_pro_monthly")])
async def test_a_renewal_that_was_cancelled_cannot_fail(rehearsal: Desk, store: str, product: str):
    await rehearsal.buy("ada", product, store)
    await rehearsal.act("ada", "fail_next_renewal:never")
    shown = text_of(await rehearsal.act("ada", "cancel"))
    assert "will fail" not in shown
    assert "will not renew; ends" in shown


async def test_what_comes_after_a_failed_charge_is_said(rehearsal: Desk):
    for store, product, way, words in (
        ("app_store", "pro_monthly", "recovers", "The charge that failed will be paid on"),
        ("play_store", "pro:monthly", "never", "The charge that failed will never be paid; the store gives up on"),
        ("stripe", "prod_pro_monthly", "recovers", ", and its first retry will be paid."),
    ):
        await rehearsal.buy(store, product, store)
        await rehearsal.act(store, f"fail_next_renewal:{way}")
        await rehearsal.submit("/demo/clock", by="month", app_user_id=store)
        shown = text_of(await rehearsal.submit("/demo/clock", by="day", app_user_id=store))
        assert words in shown
        assert "renews" not in shown


async def test_a_pause_takes_the_place_of_a_planned_failure(rehearsal: Desk):
    await rehearsal.buy("ada", "pro:monthly", "play_store")
    await rehearsal.act("ada", "fail_next_renewal:never")
    shown = await rehearsal.act("ada", "pause:1")
    assert "will fail" not in text_of(shown)
    assert acts_of(shown).keys().isdisjoint({"fail_next_renewal", "revert_failure"})


async def test_what_is_paused_does_not_renew(rehearsal: Desk):
    await rehearsal.buy("ada", "pro:monthly", "play_store")
    shown = text_of(await rehearsal.act("ada", "pause:2"))
    assert "Google Play, sandbox: will be paused; access until" in shown
    assert "renews" not in shown
    shown = text_of(await rehearsal.submit("/demo/clock", by="month", app_user_id="ada"))
    assert "Google Play, sandbox: paused since" in shown
    assert "It is paused, and goes on by itself on" in shown
    assert "renews" not in shown
    assert "pro renews" in text_of(await rehearsal.act("ada", "resume"))


@pytest.mark.parametrize(
    ("way", "words"),
    [
        ("void", "will be paused; access until"),
        ("month", "will be paused; access until"),
        ("keep_as_draft", "collection is paused; the period ends"),
        ("mark_uncollectible", "collection is paused; the period ends"),
    ],
)
async def test_what_stripe_does_not_collect_does_not_renew(rehearsal: Desk, way: str, words: str):
    await rehearsal.buy("ada", "prod_pro_monthly", "stripe")
    shown = text_of(await rehearsal.act("ada", f"pause:{way}"))
    assert f"Stripe, sandbox: {words}" in shown
    assert "renews" not in shown
    assert "Stripe, sandbox: renews" in text_of(await rehearsal.act("ada", "resume"))


async def test_grace_is_not_a_renewal(rehearsal: Desk):
    await rehearsal.buy("ada", "pro_monthly", "app_store")
    await rehearsal.act("ada", "fail_next_renewal:recovers_in_grace")
    shown = text_of(await rehearsal.submit("/demo/clock", by="month", app_user_id="ada"))
    assert "pro until" in shown
    assert "renews" not in shown


async def test_what_stripe_gave_up_is_not_being_tried(rehearsal: Desk):
    await rehearsal.buy("ada", "prod_pro_monthly", "stripe")
    await rehearsal.act("ada", "fail_next_renewal:unpaid")
    await rehearsal.submit("/demo/clock", by="month", app_user_id="ada")
    shown = text_of(await rehearsal.submit("/demo/clock", by="month", app_user_id="ada"))
    assert "Stripe, sandbox: could not be charged; ended" in shown
    assert "still trying" not in shown
    assert "Stripe tries no more" in shown
