"""An App Store for measuring: lives that began a month ago, and the notifications it signed of them."""

from base64 import urlsafe_b64decode
from collections.abc import Iterable
from datetime import datetime, timedelta

from perennial.base.ids import AppId
from perennial.base.money import Money
from perennial.intake.model import StoreApp
from perennial.providers.apple import SigningAuthority
from perennial.providers.simulated.app_store import payloads, rules
from perennial.providers.simulated.app_store.model import Plan, Subscription

_PLAN = Plan(product="pro_monthly", duration="P1M", price=Money(amount=999, currency="USD"))


def bought(app_id: str, number: int, at: datetime) -> Subscription:
    return rules.buy(app_id=AppId(app_id), store_line=f"2{number:014d}", type="Auto-Renewable Subscription", plan=_PLAN, now=at)


def notifications(pen: SigningAuthority, app: StoreApp, numbers: Iterable[int], now: datetime) -> list[tuple[bytes, bytes]]:
    """Of each subscription, the posted body of its first purchase and that of its first renewal."""
    return [_told(pen, app, bought(app.app_id, number, now - timedelta(days=32)), now) for number in numbers]


def _told(pen: SigningAuthority, app: StoreApp, line: Subscription, now: datetime) -> tuple[bytes, bytes]:
    line, first = rules.advance(line, now - timedelta(days=31, hours=12))
    _, then = rules.advance(line, now)
    return payloads.body(pen, app, first[0]), payloads.body(pen, app, then[0])


def unbase64(text: bytes) -> bytes:
    return urlsafe_b64decode(text + b"=" * (-len(text) % 4))
