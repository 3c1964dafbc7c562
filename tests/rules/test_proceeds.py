"""What of a price goes to taxes and to the store: stated, or estimated as the stores take it."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest

from perennial.base.errors import Invalid
from perennial.base.ids import AppId, CustomerId, LineId
from perennial.base.money import Money
from perennial.catalog import commission_rate
from perennial.catalog.model import App
from perennial.subscriptions import shares
from perennial.subscriptions.model import Held, Line, Purchase, Store
from perennial.subscriptions.wire import _shares
from perennial.taxes import STANDARD_RATES, included_share, standard_rate

JANUARY = datetime(2026, 1, 15, tzinfo=UTC)
MONTH = timedelta(days=30)


def usd(cents: int) -> Money:
    return Money(amount=cents, currency="USD")


def bought(at: datetime = JANUARY, **changes: Any) -> Purchase:
    return Purchase(
        **{
            "transaction": f"t{at:%Y%m%d}",
            "product": "pro",
            "kind": "subscription",
            "purchased_at": at,
            "expires_at": at + MONTH,
            "as_of": at,
            "is_first": True,
            "is_renewal": False,
            "price": usd(999),
            "country": "US",
            **changes,
        }
    )


def line(*purchases: Purchase, store: Store = "app_store") -> Line:
    return Line(
        line_id=LineId("sub_1"),
        customer_id=CustomerId("cust_1"),
        app_id=AppId("app_1"),
        store=store,
        environment="production",
        store_line="1",
        heard_at=JANUARY,
        held=tuple(Held(purchase=purchase) for purchase in purchases),
    )


def of(purchase: Purchase, *, store: Store = "app_store", terms: str | None = None) -> dict[str, float | None]:
    app = App(app_id=AppId("app_1"), name="a", store=store, created_at=JANUARY, settings={"commission_percentage": terms} if terms else {})
    held = line(purchase, store=store)
    return _shares(shares(held, held.held[0], app))


def parts(tax: float | None, commission: float | None, takehome: float | None) -> dict[str, float | None]:
    return {"tax_percentage": tax, "commission_percentage": commission, "takehome_percentage": takehome}


@pytest.mark.parametrize(
    ("country", "tax", "commission"),
    [
        ("US", 0.0, 0.3),  # sales tax comes on top
        ("DE", 0.1597, 0.2521),  # 19/119, then 30 % of what is left
        ("GB", 0.1667, 0.25),
        ("HU", 0.2126, 0.2362),
        ("JP", 0.0909, 0.2727),
        ("XX", 0.0, 0.3),
        (None, 0.0, 0.3),
    ],
)
def test_the_app_store_takes_the_tax_first_and_then_its_commission(country: str | None, tax: float, commission: float) -> None:
    assert of(bought(country=country)) == parts(tax, commission, 0.7)


def test_the_rate_is_that_of_the_day() -> None:
    days = [("EE", "2023-12-31", 2000), ("EE", "2024-01-01", 2200), ("EE", "2025-07-01", 2400), ("DE", "2020-07-01", 1600)]
    for country, day, rate in days:
        assert standard_rate(country, datetime.fromisoformat(day).date()) == Fraction(rate, 10_000)
    assert standard_rate("de", datetime(1990, 1, 1, tzinfo=UTC).date()) == Fraction(19, 100)  # the first known holds before it
    assert included_share("DE", JANUARY.date()) == Fraction(19, 119)


def test_the_table_of_rates_is_in_order() -> None:
    for country, steps in STANDARD_RATES.items():
        days = [since for since, _ in steps]
        assert days == sorted(set(days)) and all(0 < rate < 3000 for _, rate in steps), country


@pytest.mark.parametrize(("store", "commission"), [("play_store", 0.15), ("amazon", 0.3), ("roku", 0.2), ("microsoft", 0.15), ("mac_app_store", 0.3)])
def test_each_store_s_usual_terms(store: Store, commission: float) -> None:
    assert of(bought(), store=store) == parts(0.0, commission, 1 - commission)


@pytest.mark.parametrize("store", ["stripe", "paddle", "external", "test_store", "promotional", "rc_billing"])
def test_nothing_is_estimated_where_the_store_is_not_the_seller(store: Any) -> None:
    assert of(bought(country="DE"), store=store) == parts(None, None, None)


def test_the_small_business_program_counts_from_its_day() -> None:
    terms = "30, 15 since 2026-02-01"
    assert of(bought(), terms=terms)["commission_percentage"] == 0.3
    assert of(bought(JANUARY + MONTH), terms=terms)["commission_percentage"] == 0.15
    assert of(bought(), terms="15")["commission_percentage"] == 0.15
    assert of(bought(), store="play_store", terms="15, 30 since 2026-01-10")["commission_percentage"] == 0.3


def test_the_app_store_takes_less_after_a_year_of_paid_service() -> None:
    trial = bought(JANUARY - MONTH, period_type="trial", price=None)
    months = [bought(JANUARY + number * MONTH) for number in range(14)]
    held = line(trial, *months)
    rates = [shares(held, one, None).commission for one in held.held]
    assert rates == [Fraction(30, 100)] * 14 + [Fraction(15, 100)]  # the trial is no paid service: 13 months are more than 365 days


def test_what_the_store_states_counts_and_the_rest_is_estimated_and_named() -> None:
    stated = bought(country="DE", price=usd(1190), tax=usd(190), commission=usd(150))
    held = line(stated, store="play_store")
    assert shares(held, held.held[0], None).estimated == ()
    assert of(stated, store="play_store") == parts(0.1597, 0.1261, 0.85)
    half = bought(country="DE", price=usd(1190), tax=usd(190))
    held = line(half, store="play_store")
    found = shares(held, held.held[0], None)
    assert (found.estimated, found.commission) == (("commission_percentage",), Fraction(1000, 1190) * Fraction(15, 100))
    free = line(bought(price=usd(0), period_type="trial"))
    assert shares(free, free.held[0], None).estimated == ("tax_percentage", "commission_percentage")


@pytest.mark.parametrize(
    "text", ["", "x", "101", "-1", "15 since", "15 since 2026-13-01", "15 since 2026-01-01, 30", "15,30", "1e2", "15;30", ",", "5," * 30]
)
def test_terms_that_are_none_are_refused(text: str) -> None:
    if text:
        with pytest.raises(Invalid, match="commission_percentage"):
            commission_rate(text, JANUARY.date())
    else:
        assert commission_rate(text, JANUARY.date()) is None
