"""Which share of the full price of what its period sells an invoice charged for a thing: pure. `read` says which rules are ours."""

from collections.abc import Sequence
from fractions import Fraction

from perennial.providers.stripe.payload import Invoice, InvoiceLine, Price, id_of, whole
from perennial.providers.stripe.slots import Found, Slot, lines_of
from perennial.subscriptions.model import Purchase

WHOLE = 1_000_000  # parts per million
MAX_PPM = 100 * WHOLE


def charged_ppm(found: Found, slot: Slot, invoice: Invoice, main: InvoiceLine, before: Sequence[Purchase]) -> int | None:
    """In millionths; None where nothing was prorated, or where the full price cannot be told. `before`: what was bought of the thing earlier."""
    prorated = sum(line.amount for line in lines_of(found, slot, invoice) if line.is_proration)
    if main.is_proration:
        return _of_proration(found, slot, invoice, main, before, prorated)
    if not prorated or main.amount <= 0:
        return None
    more = max(0, prorated) if invoice.billing_reason == "subscription_cycle" else prorated
    return _ppm(Fraction(main.amount + more, main.amount))


def _of_proration(found: Found, slot: Slot, invoice: Invoice, main: InvoiceLine, before: Sequence[Purchase], prorated: int) -> int | None:
    """Of what is charged beyond the credits, the part that was paid in cash."""
    if prorated <= 0 or invoice.amount_paid <= 0 or not invoice.is_paid:
        return 0
    full = _full_amount(found, slot, invoice, main, before)
    if full is None or full <= 0:
        return None
    in_cash = min(Fraction(1), Fraction(invoice.amount_paid, invoice.total)) if invoice.total > 0 else Fraction(1)
    return min(WHOLE, _ppm(Fraction(prorated) * in_cash / full))


def _ppm(share: Fraction) -> int:
    return min(MAX_PPM, max(0, round(share * WHOLE)))


def _full_amount(found: Found, slot: Slot, invoice: Invoice, main: InvoiceLine, before: Sequence[Purchase]) -> Fraction | None:
    """What a whole period of it costs: by its price, by what a whole period of it was billed, or by the time the proration is for."""
    quantity = max(1, main.quantity or 1)
    unit = _unit_amount(found, invoice, main)
    if unit is not None:
        return Fraction(unit * quantity)
    for other in found.invoices:
        for line in lines_of(found, slot, other):
            if line.amount > 0 and not line.is_proration and line.price_id == main.price_id and other.currency == invoice.currency:
                return Fraction(line.amount * quantity, max(1, line.quantity or 1))
    periods = [one for one in before if not one.is_proration and one.expires_at is not None]
    if not periods or main.period is None or main.amount <= 0 or main.period.end <= main.period.start:
        return None
    last = periods[-1]
    assert last.expires_at is not None, "only those with an end were taken"
    lasts = round((last.expires_at - last.purchased_at).total_seconds())
    return Fraction(main.amount * max(lasts, main.period.end - main.period.start), main.period.end - main.period.start)


def _unit_amount(found: Found, invoice: Invoice, main: InvoiceLine) -> int | None:
    """By the line's own price where it is told whole, else by that of an item of the subscription."""
    details = main.pricing.price_details if main.pricing is not None else None
    of_line = [whole(details.price) if details is not None else None, main.price, main.plan]
    of_items = [item.price or item.plan for item in found.subscription.items.data]
    known: list[Price] = [price for price in (*of_line, *of_items) if price is not None and id_of(price) == main.price_id]
    return next((price.unit_amount for price in known if price.unit_amount is not None and price.currency == invoice.currency), None)
