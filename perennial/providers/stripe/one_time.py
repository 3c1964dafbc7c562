"""What a paid checkout of one-time products states: a line for each thing bought, named by the payment. Pure."""

from collections.abc import Sequence
from datetime import datetime
from fractions import Fraction

from perennial.base import reading
from perennial.base.errors import Invalid
from perennial.base.time import parse_duration
from perennial.catalog.model import Product
from perennial.providers.stripe.accounts import Account, moment, payment_accounts
from perennial.providers.stripe.money import readable
from perennial.providers.stripe.payload import Charge, Dispute, Session, SessionLine, id_of
from perennial.providers.stripe.read import app_user_id, environment_of
from perennial.subscriptions.model import Kind, Purchase, Refund, Revocation, Statement

# What our catalog calls it decides what it is; a subscription's product sold once gives its duration, once.
_KINDS: dict[str, Kind] = {"consumable": "consumable", "non_renewing_subscription": "non_renewing", "subscription": "non_renewing"}


def session_statements(
    session: Session, charges: Sequence[Charge], disputes: Sequence[Dispute], products: Sequence[Product], as_of: datetime
) -> tuple[Statement, ...]:
    """`charges` and `disputes` are those of the checkout's payment. The first line, by id, goes by the payment's id, further ones add their own."""
    payment = id_of(session.payment_intent) or session.id
    if session.line_items is not None:
        session.line_items.data.sort(key=lambda line: line.id)
    lines = session.line_items.data if session.line_items is not None else []
    bought = zip(lines, payment_accounts(session, charges, disputes), strict=True)
    keys = [payment if place == 0 else f"{payment}#{line.id}" for place, line in enumerate(lines)]
    return tuple(
        Statement(
            store="stripe",
            environment=environment_of(live=session.livemode),
            line=key,
            purchases=(_purchase(session, line, key, account, charges, products, as_of),),
            app_user_id=app_user_id(None, session),
        )
        for key, (line, account) in zip(keys, bought, strict=True)
    )


def _purchase(
    session: Session, line: SessionLine, key: str, account: Account, charges: Sequence[Charge], products: Sequence[Product], as_of: datetime
) -> Purchase:
    product = id_of(line.price.product) if line.price is not None else None
    if not product:
        raise Invalid(f"the checkout {session.id} does not say which product it sold", param="line_items")
    known = next((one for one in products if one.store_identifier == product), None)
    kind = _KINDS.get(known.type, "non_consumable") if known is not None else "non_consumable"
    purchased_at = moment(min((charge.created for charge in charges if charge.status != "failed" and charge.created), default=session.created))
    duration = known.duration if known is not None and kind == "non_renewing" else None
    revocation, refunds = _taken_back(account)
    return Purchase(
        transaction=key,
        product=product,
        kind=kind,
        purchased_at=purchased_at,
        expires_at=reading.later(purchased_at, parse_duration(duration)) if duration else None,
        as_of=as_of,
        is_first=True,
        is_renewal=False,
        price=readable(account.price),
        tax=readable(account.tax),
        commission=readable(account.commission),
        quantity=reading.quantity(line.quantity or None),
        country=account.country,
        revocation=revocation,
        refunds=refunds,
    )


def _taken_back(account: Account) -> tuple[Revocation | None, tuple[Refund, ...]]:
    """Given back in full, it is taken back, by the refund that completed it; the parts before stay what they were."""
    total = 0
    for refund in account.refunds:
        total += 0 if refund.is_reversed else refund.amount.amount
        if not refund.is_reversed and 0 < account.price.amount <= total:
            share = Fraction(refund.amount.amount, account.price.amount)
            others = tuple(one for one in account.refunds if one.identifier != refund.identifier)
            return Revocation(at=refund.at, refunded=True, share_ppm=min(1_000_000, round(share * 1_000_000))), others
    return None, account.refunds
