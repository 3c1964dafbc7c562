"""What was found of a subscription, and the things it sells."""

from collections.abc import Sequence

from perennial.base.value import value
from perennial.providers.stripe.payload import Charge, Dispute, Invoice, InvoiceLine, Item, Session, Subscription, id_of

BEFORE_ITS_INVOICE = 60  # seconds: what an item is charged for at once is on an invoice of about its moment


@value
class Found:
    """A subscription and everything of it that was looked up. `is_whole`: the invoices reach back to the first.

    `is_told`: an event's object is all there is, and the API is not asked.
    """

    subscription: Subscription
    invoices: tuple[Invoice, ...] = ()
    charges: tuple[Charge, ...] = ()
    disputes: tuple[Dispute, ...] = ()
    session: Session | None = None
    is_whole: bool = True
    is_told: bool = False


@value
class Slot:
    """One of the things a subscription sells. The first speaks for the subscription; each further one is a line of its own.

    An item that takes the place of one that is gone takes its slot too: that is a change of product, not another purchase.
    """

    suffix: str  # "" for the first, else the id of the item that opened it
    items: frozenset[str]
    item: Item | None  # on the subscription now


def slots_of(found: Found) -> list[Slot]:
    """What the subscription sells and has sold, in the order it began."""
    present = present_items(found.subscription)
    steps: list[tuple[list[str], frozenset[str] | None]] = []
    for invoice in in_order(found.invoices):
        billed = {item for items, _ in steps for item in items}
        unbilled = [item.id for item in present if 0 < item.created < invoice.created - BEFORE_ITS_INVOICE and item.id not in billed]
        steps += [([item], None) for item in unbilled]  # what is billed for its use is sold before any invoice tells of it
        steps.append((_charged(found, invoice), _credited(found, invoice)))
    last_seen = {item: place for place, (items, _) in enumerate(steps) for item in items} | {item.id: len(steps) for item in present}
    suffixes: dict[str, str] = {}
    first: str | None = None
    for place, (items, gone) in enumerate([*steps, ([item.id for item in present], None)]):
        for item in items:
            if item not in suffixes:
                takes_over = first is None or (last_seen[first] < place and (gone is None or first in gone))
                suffixes[item] = "" if takes_over else item
                first = item if takes_over else first
    by_id = {item.id: item for item in present}
    return [_slot(suffix, [item for item, its in suffixes.items() if its == suffix], by_id) for suffix in dict.fromkeys(suffixes.values())]


def _slot(suffix: str, items: Sequence[str], present: dict[str, Item]) -> Slot:
    return Slot(suffix=suffix, items=frozenset(items), item=next((present[item] for item in items if item in present), None))


def lines_of(found: Found, slot: Slot, invoice: Invoice) -> list[InvoiceLine]:
    return [line for line in invoice.lines.data if line.is_of_subscription and _item_of(found, line) in slot.items]


def present_items(subscription: Subscription) -> list[Item]:
    """As they were added; what a subscription began with, by id: its invoices list those in any order, and do not say when each was made."""
    began = subscription.created + BEFORE_ITS_INVOICE
    return sorted(subscription.items.data, key=lambda item: (item.created if item.created > began else 0, item.id))


def in_order(invoices: Sequence[Invoice]) -> list[Invoice]:
    return sorted(invoices, key=lambda invoice: (invoice.created, invoice.id))


def _charged(found: Found, invoice: Invoice) -> list[str]:
    """By id: the order of an invoice's lines means nothing."""
    return sorted({_item_of(found, line) for line in invoice.lines.data if line.is_of_subscription and line.amount >= 0})


def _credited(found: Found, invoice: Invoice) -> frozenset[str] | None:
    """The items an invoice says are gone, at least in part; None for a renewal's, which names all that are left."""
    if invoice.billing_reason == "subscription_cycle":
        return None
    return frozenset(_item_of(found, line) for line in invoice.lines.data if line.is_of_subscription and line.amount < 0)


def _item_of(found: Found, line: InvoiceLine) -> str:
    """Prorations of older invoices name no item, only its price. A line that names neither is the first item's."""
    if line.item is not None:
        return line.item
    items = present_items(found.subscription)
    by_price = [item.id for item in items if id_of(item.price or item.plan) == line.price_id]
    return next(iter([*by_price, *(item.id for item in items)]), found.subscription.id)
