"""The Test Store, as the SDKs know it: keys that begin with `test_`, tokens that begin with `test_`, no money, no account.

A token is the transaction; the product comes from our own catalog, with its price and duration. A subscription renews when its period
ends, like a real one, and stops after a year's worth of renewals, so that a forgotten demo does not grow for ever.
"""

import re
from collections.abc import AsyncIterator
from datetime import datetime

from perennial.base.errors import Invalid
from perennial.base.time import add, parse_duration
from perennial.catalog.model import Product
from perennial.intake.model import Envelope, Posted, Reading, StoreApp
from perennial.subscriptions.model import Environment, Line, Purchase, Renewal, Statement

MOST_RENEWALS = 12

_TOKEN = re.compile(r"test_[A-Za-z0-9_.\-]{1,200}")
_KINDS = {"subscription": "subscription", "consumable": "consumable", "non_renewing_subscription": "non_renewing"}


class TestStore:
    __test__ = False  # a store, not a test case

    def open(self, app: StoreApp, body: bytes, now: datetime) -> Envelope:
        raise Invalid("the Test Store sends no notifications")

    def read(self, app: StoreApp, body: bytes, now: datetime) -> Reading:
        raise Invalid("the Test Store sends no notifications")

    def read_receipt(self, app: StoreApp, token: str, posted: Posted, now: datetime) -> Reading:
        """Believes the token; the product must be in our catalog."""
        if _TOKEN.fullmatch(token) is None:
            raise Invalid("a Test Store token looks like test_1700000000000_...; the SDK makes it", param="fetch_token")
        if posted.line is not None:
            return Reading(statements=(_statement(token, (), ()),))
        if len(posted.products) != 1:
            raise Invalid("the Test Store needs exactly one product of the app's catalog; check product_id and its spelling", param="product_id")
        return Reading(statements=(_statement(token, (_first(token, posted.products[0], now),), ()),))

    def can_ask(self, app: StoreApp) -> bool:
        return True

    async def ask(self, app: StoreApp, line: Line, posted: Posted, now: datetime) -> Reading:
        """Plays the store's part: the next period where the subscription goes on, the end where it does not."""
        product = next((one for one in posted.products if one.store_identifier == line.held[-1].purchase.product), None)
        last = line.held[-1].purchase
        is_on = not line.renewals or line.renewals[-1].auto_renew is not False
        if product is None or product.duration is None or not is_on or len(line.held) > MOST_RENEWALS:
            end = Renewal(
                as_of=now,
                transaction=last.transaction,
                auto_renew=False,
                off_reason="unsubscribe",
                ended="unsubscribe" if _is_past(last, now) else None,
            )
            return Reading(statements=(_statement(line.store_line, (), (end,)),))
        return Reading(statements=(_statement(line.store_line, (_next(line, product, now),), ()),))

    async def sent_notifications(
        self, app: StoreApp, since: datetime, until: datetime, environment: Environment, now: datetime
    ) -> AsyncIterator[bytes]:
        nothing: tuple[bytes, ...] = ()
        for body in nothing:
            yield body


def cancel(line: Line, now: datetime) -> Statement:
    """The customer turns auto-renew off."""
    return _statement(
        line.store_line, (), (Renewal(as_of=now, transaction=line.held[-1].purchase.transaction, auto_renew=False, off_reason="unsubscribe"),)
    )


def _statement(token: str, purchases: tuple[Purchase, ...], renewals: tuple[Renewal, ...]) -> Statement:
    return Statement(store="test_store", environment="sandbox", line=token, purchases=purchases, renewals=renewals)


def _first(token: str, product: Product, now: datetime) -> Purchase:
    is_trial = product.trial_duration is not None
    period = product.trial_duration if is_trial else product.duration
    return Purchase(
        transaction=token,
        product=product.store_identifier,
        kind=_KINDS.get(product.type, "non_consumable"),  # type: ignore[arg-type]
        purchased_at=now,
        expires_at=add(now, parse_duration(period)) if product.type == "subscription" and period else None,
        as_of=now,
        is_first=True,
        is_renewal=False,
        period_type="trial" if is_trial and product.type == "subscription" else "normal",
        price=product.prices[0] if product.prices and not is_trial else None,
    )


def _next(line: Line, product: Product, now: datetime) -> Purchase:
    """Counted from the first paid period, so that month ends do not creep."""
    assert product.duration is not None
    paid = [held.purchase for held in line.held if held.purchase.period_type != "trial"]
    last = line.held[-1].purchase
    assert last.expires_at is not None
    anchor = paid[0].purchased_at if paid else last.expires_at
    return Purchase(
        transaction=f"{line.store_line}..{len(line.held)}",
        product=product.store_identifier,
        kind="subscription",
        purchased_at=last.expires_at,
        expires_at=add(anchor, parse_duration(product.duration), len(paid) + 1),
        as_of=now,
        is_first=False,
        is_renewal=True,
        price=product.prices[0] if product.prices else None,
    )


def _is_past(purchase: Purchase, now: datetime) -> bool:
    return purchase.expires_at is not None and purchase.expires_at <= now
