"""What the ledger should have of what customers bought, and the transfers that bring it there: pure.

Every sale is booked from what its store says of it, in the purchase's own currency. What is due is computed anew from all we know, what was
booked is subtracted, and the rest is posted: so it does not matter in which order, how late or how often a store tells it, and a correction
(a price learned later, a refund reversed) is a transfer the other way.

    sale        customers/receivable  ->  revenue/<store>             what the customer paid, taxes included
    tax         revenue/<store>       ->  taxes                       as far as the store says it; a refund gives its part of it back
    commission  revenue/<store>       ->  stores/<store>/commission   what the store kept, by its own word, also after a refund
    refund      refunds/<store>       ->  customers/receivable        never more than the sale

So revenue and refunds of a store together are what is left of its sales. Sandbox purchases go to the same accounts under `sandbox/`. Nothing
is booked of what was shared in a family, of what was granted by hand, and of the Test Store: there no money moved. Whether a trial cost
something (a setup fee) is said by its price, and so is what a proration cost.
"""

from collections.abc import Iterator
from datetime import datetime
from fractions import Fraction
from typing import Literal

from perennial.base.ids import told_id
from perennial.base.money import Money
from perennial.base.value import replace
from perennial.ledger.model import Transfer, money
from perennial.subscriptions.model import Booked, Held, Line, Purchase

Part = Literal["gross", "tax", "commission", "refunded"]
_KINDS: dict[Part, str] = {"gross": "sale", "tax": "tax", "commission": "commission", "refunded": "refund"}
_NO_MONEY = ("test_store", "promotional")
_NOTHING = Booked()


def book(line: Line) -> tuple[Line, list[Transfer]]:
    """The transfers still missing for everything held, and the line that remembers them."""
    posted = [_book(line, held) for held in line.held]
    transfers = [transfer for _, missing in posted for transfer in missing]
    return (replace(line, held=tuple(held for held, _ in posted)), transfers) if transfers else (line, [])


def _book(line: Line, held: Held) -> tuple[Held, list[Transfer]]:
    due = _due(line, held.purchase, postings=held.booked.postings + 1)
    if _amounts(due) == _amounts(held.booked):
        return held, []
    transfers = [_transfer(line, held, part, missing) for part, missing in _missing(held.booked, due)]
    return replace(held, booked=due), transfers


def _amounts(booked: Booked) -> tuple[int | str | None, ...]:
    return (booked.gross, booked.tax, booked.commission, booked.refunded, booked.currency)


def _missing(booked: Booked, due: Booked) -> Iterator[tuple[Part, Money]]:
    """What is due less what was booked. Where the currency itself was corrected, all of the old one goes back."""
    steps = [(booked, due)] if None in (booked.currency, due.currency) or booked.currency == due.currency else [(booked, _NOTHING), (_NOTHING, due)]
    for before, after in steps:
        currency = after.currency or before.currency
        assert currency is not None
        for part in _KINDS:
            if difference := getattr(after, part) - getattr(before, part):
                yield part, Money(amount=difference, currency=currency)


# What is due ------------------------------------------------------------------------------------------------------------------


def _due(line: Line, purchase: Purchase, *, postings: int) -> Booked:
    price = purchase.price
    if price is None or price.amount <= 0 or not _is_sale(line, purchase):
        return Booked(postings=postings)
    refunded = refunded_of(purchase, price)
    return Booked(
        gross=price.amount,
        tax=_kept(purchase.tax, refunded, price).amount if purchase.tax else 0,
        commission=purchase.commission.amount if purchase.commission else 0,
        refunded=refunded.amount,
        currency=price.currency,
        postings=postings,
    )


def _kept(tax: Money, refunded: Money, price: Money) -> Money:
    return tax.times(1 - Fraction(refunded.amount, price.amount)) if refunded.amount else tax


def _is_sale(line: Line, purchase: Purchase) -> bool:
    return line.store not in _NO_MONEY and purchase.ownership == "purchased" and purchase.period_type != "promotional"


def refunded_of(purchase: Purchase, price: Money) -> Money:
    """What was given back of the price and did not come back since: with a revocation and without, all together at most the price."""
    total = Money(amount=0, currency=price.currency)
    if purchase.revocation is not None and purchase.revocation.refunded:
        total += price.times(Fraction(purchase.revocation.share_ppm, 1_000_000))
    for refund in purchase.refunds:
        if not refund.is_reversed:
            total += refund.amount
    return total if total.amount < price.amount else price


# Transfers --------------------------------------------------------------------------------------------------------------------


def _transfer(line: Line, held: Held, part: Part, missing: Money) -> Transfer:
    source, target = _ends(line, part) if missing.amount > 0 else reversed(_ends(line, part))
    return Transfer(
        key=told_id(
            line.store,
            line.environment,
            line.store_line,
            held.purchase.product,
            held.purchase.transaction,
            part,
            missing.currency,
            str(held.booked.postings),
        ),
        from_account=source,
        to_account=target,
        amount=abs(missing.amount),
        unit=money(missing.currency),
        kind=_KINDS[part],
        happened_at=_happened_at(held, part),
        reference=held.purchase.transaction,
    )


def _ends(line: Line, part: Part) -> tuple[str, str]:
    """From where, and to where, what is booked for the first time goes."""
    apart = "sandbox/" if line.environment == "sandbox" else ""
    customers, revenue = f"{apart}customers/receivable", f"{apart}revenue/{line.store}"
    match part:
        case "gross":
            return customers, revenue
        case "tax":
            return revenue, f"{apart}taxes"
        case "commission":
            return revenue, f"{apart}stores/{line.store}/commission"
        case "refunded":
            return f"{apart}refunds/{line.store}", customers


def _happened_at(held: Held, part: Part) -> datetime:
    """A sale is of its purchase, a refund of its last; a correction is of the moment the store spoke."""
    purchase = held.purchase
    if held.booked == _NOTHING and part != "refunded":
        return purchase.purchased_at
    if part != "refunded":
        return purchase.as_of
    given_back = [refund.at for refund in purchase.refunds if not refund.is_reversed]
    if purchase.revocation is not None and purchase.revocation.refunded:
        given_back.append(purchase.revocation.at)
    return max(given_back, default=purchase.as_of)
