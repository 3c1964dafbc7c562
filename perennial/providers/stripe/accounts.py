"""What an invoice or payment took and gave back: price, tax, Stripe's fee, refunds, lost disputes. Pure."""

from collections.abc import Sequence
from datetime import datetime
from fractions import Fraction

from perennial.base import reading
from perennial.base.money import Money
from perennial.base.value import replace, value
from perennial.providers.stripe.money import money
from perennial.providers.stripe.payload import Charge, Customer, Dispute, Invoice, Session, id_of, whole
from perennial.providers.stripe.slots import Found, Slot, lines_of
from perennial.subscriptions.model import Refund

_MONEY_BACK_FAILED = frozenset(("failed", "canceled"))


@value
class Account:
    """What one invoice took and gave back for one of the things on it."""

    price: Money
    tax: Money | None
    commission: Money | None
    refunds: tuple[Refund, ...]
    country: str | None


def moment(seconds: int) -> datetime:
    return reading.seconds(seconds, "created")


def invoice_accounts(found: Found, slots: Sequence[Slot], invoice: Invoice) -> dict[str, Account]:
    """By slot, shared by what the lines of each come to. What is sold beside the subscription counts with the first."""
    own = [sum(line.amount for line in lines_of(found, slot, invoice)) for slot in slots]
    beside = sum(line.amount for line in invoice.lines.data) - sum(own)
    weights = [max(0, amount + (beside if place == 0 else 0)) for place, amount in enumerate(own)]
    if not any(weights):
        weights = [1] * len(slots)
    paid = money(invoice.amount_paid if invoice.is_paid else 0, invoice.currency)
    charges = [charge for charge in found.charges if charge.ids & invoice.payment_ids or id_of(charge.invoice) == invoice.id]
    share = _share_of_charges(paid, charges)
    fee = _fee(charges, found.disputes, paid.currency)
    said = invoice.customer_address.country if invoice.customer_address is not None else None
    accounts = _shared(
        paid,
        weights,
        taxes=_tax(invoice, paid),
        fee=fee.times(share) if fee is not None else None,
        refunds=[replace(one, amount=one.amount.times(share)) for one in _refunds(charges, found.disputes, paid.currency)],
        country=_country(said, charges, found.subscription.customer),
    )
    return {slot.suffix: account for slot, account in zip(slots, accounts, strict=True)}


def payment_accounts(session: Session, charges: Sequence[Charge], disputes: Sequence[Dispute]) -> list[Account]:
    """By line of a checkout, shared by what each comes to."""
    lines = session.line_items.data if session.line_items is not None else []
    weights = [max(0, line.amount_total) for line in lines]
    paid = money(session.amount_total or 0, session.currency)
    address = session.customer_details.address if session.customer_details is not None else None
    accounts = _shared(
        paid,
        weights if any(weights) else [1] * len(lines),
        taxes=None,
        fee=_fee(charges, disputes, paid.currency),
        refunds=_refunds(charges, disputes, paid.currency),
        country=_country(address.country if address is not None else None, charges, session.customer),
    )
    taxes = [money(line.amount_tax, session.currency) if line.amount_tax is not None else None for line in lines]
    return [replace(account, tax=tax) for account, tax in zip(accounts, taxes, strict=True)]


def _shared(
    paid: Money, weights: Sequence[int], *, taxes: Money | None, fee: Money | None, refunds: Sequence[Refund], country: str | None
) -> list[Account]:
    def part(amount: Money | None, place: int) -> Money | None:
        return amount.split(weights)[place] if amount is not None else None

    return [
        Account(
            price=price,
            tax=part(taxes, place),
            commission=part(fee, place),
            refunds=tuple(replace(one, amount=one.amount.split(weights)[place]) for one in refunds),
            country=country,
        )
        for place, price in enumerate(paid.split(weights) if weights else [])
    ]


def _tax(invoice: Invoice, paid: Money) -> Money | None:
    """Taxes are part of the total; of what was paid of it they are the same part."""
    total = money(invoice.total, invoice.currency)
    if invoice.tax_amount is None or total.amount <= 0:
        return None
    return money(invoice.tax_amount, invoice.currency).times(Fraction(paid.amount, total.amount))


def _share_of_charges(paid: Money, charges: Sequence[Charge]) -> Fraction:
    """One payment may serve several invoices: then its fee and its refunds are theirs in proportion."""
    taken = sum(money(charge.amount, charge.currency).amount for charge in charges if charge.status != "failed")
    return min(Fraction(1), Fraction(paid.amount, taken)) if taken > 0 else Fraction(1)


def _fee(charges: Sequence[Charge], disputes: Sequence[Dispute], currency: str) -> Money | None:
    """What Stripe kept, for disputes too, in the charge's currency: fees are told in that of the settlement, beside what the charge became in it."""
    fees = []
    for charge in charges:
        settled = whole(charge.balance_transaction)
        if settled is not None and settled.amount > 0:
            disputed = [one for one in disputes if {id_of(one.charge), id_of(one.payment_intent)} & charge.ids]
            kept = settled.fee + sum(part.fee for one in disputed for part in one.balance_transactions)
            fees.append(money(charge.amount, charge.currency).times(Fraction(kept, settled.amount)).amount)
    return Money(amount=sum(fees), currency=currency) if fees else None


def _refunds(charges: Sequence[Charge], disputes: Sequence[Dispute], currency: str) -> list[Refund]:
    """Money that went back, by refund and by lost dispute, in time's order; what failed or was won is said too, as reversed."""
    ids = {one for charge in charges for one in charge.ids}
    given = [
        Refund(
            identifier=one.id,
            at=moment(one.created),
            amount=money(one.amount, one.currency or currency),
            is_reversed=one.status in _MONEY_BACK_FAILED,
        )
        for charge in charges
        for one in (charge.refunds.data if charge.refunds is not None else [])
    ]
    lost = [
        Refund(identifier=one.id, at=moment(one.created), amount=money(one.amount, one.currency or currency), is_reversed=one.status == "won")
        for one in disputes
        if one.status in ("won", "lost") and {id_of(one.charge), id_of(one.payment_intent)} & ids
    ]
    return sorted((one for one in [*given, *lost] if one.amount.currency == currency), key=lambda one: (one.at, one.identifier))


def _country(said: str | None, charges: Sequence[Charge], customer: str | Customer | None) -> str | None:
    known = whole(customer)
    of_customer = known.address.country if known is not None and known.address is not None else None
    found = said or next((charge.country for charge in charges if charge.country), None) or of_customer
    return reading.country(found)
