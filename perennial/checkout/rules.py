"""What a change of plan is, when it takes effect, and the sealed papers that say who asked for it."""

import base64
from collections.abc import Sequence
from datetime import datetime
from fractions import Fraction
from typing import TypeVar

import msgspec

from perennial import subscriptions
from perennial.base.errors import Invalid
from perennial.base.ids import CustomerId, ProjectId
from perennial.base.money import Money
from perennial.base.secrets import Vault
from perennial.base.time import parse_duration
from perennial.catalog.model import Product
from perennial.checkout.model import CHANGED_AT, TOKEN_LIVES, Change, NotPossible, SessionOver, SubscriberToken, TokenRefused, When
from perennial.subscriptions.model import Line

_TOKEN, _SESSION = "checkout.subscriber_token", "checkout.session"  # what the vault binds each paper to
_LONGEST = 2000  # characters of a paper: ours have a few hundred
_DAYS_OF_A_MONTH = Fraction(365, 12)

Paper = TypeVar("Paper", SubscriberToken, Change)


def line_to_change(lines: Sequence[Line], app_id: str, now: datetime, *, subscription: str | None, product: str | None) -> Line:
    """The one subscription of this app that runs and is meant: by its id, ours or the store's, by its product, or because there is no other."""
    running = [line for line in lines if line.app_id == app_id and line.store in CHANGED_AT and _is_running(line, now)]
    if subscription is not None:
        running = [line for line in running if subscription in (line.line_id, line.store_line, line.store_line.partition("#")[0])]
    if product is not None:
        running = [line for line in running if product_of(line) == product]
    if not running:
        raise NotPossible(
            "the customer has no running subscription here that could be changed, and new ones are bought at the store's own checkout",
            param="product_change",
        )
    if len(running) > 1:
        raise NotPossible(
            "the customer has several running subscriptions; say which with product_change.subscription_id or from_product_id", param="product_change"
        )
    return running[0]


def _is_running(line: Line, now: datetime) -> bool:
    held = subscriptions.latest(line)
    return held is not None and held.purchase.kind == "subscription" and subscriptions.status(line, now) == "active"


def product_of(line: Line) -> str:
    held = subscriptions.latest(line)
    assert held is not None
    return held.purchase.product


def is_planned(line: Line, product: str) -> bool:
    """Whether it is the line's product, or will be from the next period on."""
    return product == product_of(line) or (bool(line.renewals) and line.renewals[-1].next_product == product)


def when(line: Line, current: Product, current_price: Money, wanted: Product, price: Money) -> When:
    """At once where the customer pays more a month, or nothing was charged yet; else when what they paid for is over."""
    held = subscriptions.latest(line)
    if held is not None and held.purchase.period_type == "trial":
        return "immediate"
    return "immediate" if monthly(price, wanted) > monthly(current_price, current) else "deferred"


def monthly(price: Money, product: Product) -> Fraction:
    """What it costs a month, in minor units."""
    if product.duration is None:
        raise NotPossible(f"{product.store_identifier} has no duration in the catalog, so it cannot be compared; give it one", param="product_id")
    duration = parse_duration(product.duration)
    months = duration.months + Fraction(duration.days) / _DAYS_OF_A_MONTH + Fraction(duration.seconds, 86_400) / _DAYS_OF_A_MONTH
    return Fraction(price.amount) / months


def price_in(product: Product, currency: str, *, param: str = "product_id") -> Money:
    found = next((price for price in product.prices if price.currency == currency), None)
    if found is None:
        raise NotPossible(f"{product.store_identifier} has no price in {currency} in the catalog, which the customer pays in", param=param)
    return found


# Papers -------------------------------------------------------------------------------------------------------------------------


def mint(vault: Vault, project_id: ProjectId, customer_id: CustomerId, now: datetime) -> tuple[str, datetime]:
    """A customer's token, and when it ends."""
    token = SubscriberToken(project_id=project_id, customer_id=customer_id, expires_at=now + TOKEN_LIVES)
    return _sealed(vault, token, _TOKEN), token.expires_at


def open_token(vault: Vault, text: str | None, project_id: ProjectId, now: datetime) -> CustomerId:
    """Whose it is. Raises `TokenRefused`."""
    token = _opened(vault, text or "", SubscriberToken, _TOKEN)
    if token is None or token.project_id != project_id or token.expires_at <= now:
        raise TokenRefused
    return token.customer_id


def seal_session(vault: Vault, change: Change) -> str:
    return _sealed(vault, change, _SESSION)


def open_session(vault: Vault, text: str, project_id: ProjectId, customer_id: CustomerId, now: datetime) -> Change:
    """Raises `SessionOver`, of somebody else's session too."""
    change = _opened(vault, text, Change, _SESSION)
    if change is None or change.project_id != project_id or change.customer_id != customer_id or change.expires_at <= now:
        raise SessionOver
    return change


def _sealed(vault: Vault, paper: Paper, purpose: str) -> str:
    return base64.urlsafe_b64encode(vault.seal(msgspec.json.encode(paper), purpose)).decode().rstrip("=")


def _opened(vault: Vault, text: str, kind: type[Paper], purpose: str) -> Paper | None:
    if not text.isascii() or not 40 <= len(text) <= _LONGEST:
        return None
    try:
        return msgspec.json.decode(vault.unseal(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), purpose).reveal_bytes(), type=kind)
    except (Invalid, ValueError):
        return None
