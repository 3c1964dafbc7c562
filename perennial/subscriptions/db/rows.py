"""How a line, a purchase and a renewal snapshot are read from their rows and written to them."""

from datetime import datetime
from typing import Any

from perennial.base.db import Row, Tx
from perennial.base.money import Money
from perennial.subscriptions.model import Booked, Held, Line, Noted, Offer, Purchase, Refund, Renewal, Revocation, Told, ToldLine, Unclaimed


def line_of(row: Row, held: list[Held], renewals: list[Renewal]) -> Line:
    return Line(
        line_id=row["line_id"],
        customer_id=row["customer_id"],
        app_id=row["app_id"],
        store=row["store"],
        environment=row["environment"],
        store_line=row["store_line"],
        heard_at=row["heard_at"],
        held=tuple(held),
        renewals=tuple(renewals),
        wake_at=row["wake_at"],
        newest_key=row["newest_key"],
        store_user=row["store_user"],
        noted=None if row["noted"] is None else Noted(as_of=row["noted_at"], words=row["noted"]),
        original_purchased_at=row["original_purchased_at"],
        refused_name=row["refused_name"],
        unclaimed=None if row["unclaimed_since"] is None else Unclaimed(since=row["unclaimed_since"], told_at=row["tell_unclaimed_at"]),
        told=ToldLine(auto_renew=row["told_auto_renew"], next_product=row["told_next_product"], paused=row["told_paused"]),
    )


def held_of(row: Row) -> Held:
    return Held(
        purchase=Purchase(
            transaction=row["transaction"],
            product=row["product"],
            kind=row["kind"],
            purchased_at=row["purchased_at"],
            expires_at=row["expires_at"],
            as_of=row["as_of"],
            is_first=row["is_first"],
            is_renewal=row["is_renewal"],
            period_type=row["period_type"],
            ownership=row["ownership"],
            price=_money(row["price_amount"], row["price_currency"]),
            tax=_money(row["tax_amount"], row["price_currency"]),
            commission=_money(row["commission_amount"], row["price_currency"]),
            quantity=row["quantity"],
            offer=Offer(kind=row["offer_kind"], identifier=row["offer_identifier"]) if row["offer_kind"] else None,
            country=row["country"],
            revocation=_revocation(row),
            refunds=tuple(_refund(refund) for refund in row["refunds"]),
            is_superseded=row["is_superseded"],
            is_proration=row["is_proration"] is True,
            charged_ppm=row["charged_ppm"],
            is_summary=row["is_summary"],
        ),
        told=Told(
            purchased=row["told_purchased"],
            expires_at=row["told_expires_at"],
            revoked_at=row["told_revoked_at"],
            expired=row["told_expired"],
            reversals=row["told_reversals"],
            billing_issue=row["told_billing_issue"],
            refunds=tuple(row["told_refunds"]),
            quietly=row["told_quietly"],
        ),
        booked=Booked(
            gross=row["booked_gross"],
            tax=row["booked_tax"],
            commission=row["booked_commission"],
            refunded=row["booked_refunded"],
            currency=row["booked_currency"],
            postings=row["booked_postings"],
        ),
        presented_offering=row["presented_offering"],
    )


def _money(amount: int | None, currency: str | None) -> Money | None:
    return None if amount is None or currency is None else Money(amount=amount, currency=currency)


def _revocation(row: Row) -> Revocation | None:
    at: datetime | None = row["revoked_at"]
    return None if at is None else Revocation(at=at, refunded=row["revoked_refunded"], share_ppm=row["revoked_share_ppm"])


def _refund(refund: dict[str, Any]) -> Refund:
    return Refund(
        identifier=refund["identifier"],
        at=datetime.fromisoformat(refund["at"]),
        amount=Money(amount=refund["amount"], currency=refund["currency"]),
        is_reversed=refund["is_reversed"],
    )


def renewal_of(row: Row) -> Renewal:
    return Renewal(
        as_of=row["as_of"],
        transaction=row["transaction"],
        auto_renew=row["auto_renew"],
        next_product=row["next_product"],
        off_reason=row["off_reason"],
        in_billing_retry=row["in_billing_retry"],
        grace_until=row["grace_until"],
        ended=row["ended"],
        ended_at=row["ended_at"],
        price_consent=row["price_consent"],
        pause=row["pause"],
        resumes_at=row["resumes_at"],
    )


def line_row(line: Line, tx: Tx) -> dict[str, Any]:
    return {
        "project_id": tx.project_id,
        "customer_id": line.customer_id,
        "line_id": line.line_id,
        "app_id": line.app_id,
        "store": line.store,
        "environment": line.environment,
        "store_line": line.store_line,
        "told_auto_renew": line.told.auto_renew,
        "told_next_product": line.told.next_product,
        "told_paused": line.told.paused,
        "heard_at": line.heard_at,
        "wake_at": line.wake_at,
        "newest_key": line.newest_key,
        "noted": None if line.noted is None else dict(line.noted.words),
        "noted_at": None if line.noted is None else line.noted.as_of,
        "original_purchased_at": line.original_purchased_at,
        "refused_name": line.refused_name,
        "unclaimed_since": None if line.unclaimed is None else line.unclaimed.since,
        "tell_unclaimed_at": None if line.unclaimed is None else line.unclaimed.told_at,
        "store_user": None if line.store_user is None else "\\x" + line.store_user.hex(),
    }


def purchase_row(line: Line, held: Held, tx: Tx) -> dict[str, Any]:
    purchase, told = held.purchase, held.told
    price, offer, revocation = purchase.price, purchase.offer, purchase.revocation
    return {
        "project_id": tx.project_id,
        "customer_id": line.customer_id,
        "line_id": line.line_id,
        "recorded_at": tx.now,
        "transaction": purchase.transaction,
        "product": purchase.product,
        "kind": purchase.kind,
        "purchased_at": purchase.purchased_at,
        "expires_at": purchase.expires_at,
        "as_of": purchase.as_of,
        "is_first": purchase.is_first,
        "is_renewal": purchase.is_renewal,
        "period_type": purchase.period_type,
        "ownership": purchase.ownership,
        "quantity": purchase.quantity,
        "country": purchase.country,
        "price_amount": price.amount if price else None,
        "price_currency": price.currency if price else None,
        "tax_amount": purchase.tax.amount if purchase.tax else None,
        "commission_amount": purchase.commission.amount if purchase.commission else None,
        "refunds": [_refund_row(refund) for refund in purchase.refunds],
        "offer_kind": offer.kind if offer else None,
        "offer_identifier": offer.identifier if offer else None,
        "revoked_at": revocation.at if revocation else None,
        "revoked_refunded": revocation.refunded if revocation else None,
        "revoked_share_ppm": revocation.share_ppm if revocation else None,
        "is_superseded": purchase.is_superseded,
        "is_proration": purchase.is_proration,
        "charged_ppm": purchase.charged_ppm,
        "is_summary": purchase.is_summary,
        "presented_offering": held.presented_offering,
        "told_purchased": told.purchased,
        "told_expires_at": told.expires_at,
        "told_revoked_at": told.revoked_at,
        "told_expired": told.expired,
        "told_reversals": told.reversals,
        "told_billing_issue": told.billing_issue,
        "told_refunds": list(told.refunds),
        "told_quietly": told.quietly,
        "booked_gross": held.booked.gross,
        "booked_tax": held.booked.tax,
        "booked_commission": held.booked.commission,
        "booked_refunded": held.booked.refunded,
        "booked_currency": held.booked.currency,
        "booked_postings": held.booked.postings,
    }


def _refund_row(refund: Refund) -> dict[str, Any]:
    money = refund.amount
    return {
        "identifier": refund.identifier,
        "at": refund.at.isoformat(),
        "amount": money.amount,
        "currency": money.currency,
        "is_reversed": refund.is_reversed,
    }


def renewal_row(line: Line, renewal: Renewal, tx: Tx) -> dict[str, Any]:
    return {
        "project_id": tx.project_id,
        "customer_id": line.customer_id,
        "line_id": line.line_id,
        "as_of": renewal.as_of,
        "transaction": renewal.transaction,
        "auto_renew": renewal.auto_renew,
        "next_product": renewal.next_product,
        "off_reason": renewal.off_reason,
        "in_billing_retry": renewal.in_billing_retry,
        "grace_until": renewal.grace_until,
        "ended": renewal.ended,
        "ended_at": renewal.ended_at,
        "price_consent": renewal.price_consent,
        "pause": renewal.pause,
        "resumes_at": renewal.resumes_at,
    }
