"""Which line of ours an item of a subscription is: by its price and by what is known of it, never by its place in a list. Pure.

The thing a subscription began with is the subscription's own line (`sub_...`); every other is a line by its price (`sub_...#pri_...`). The price of
the first changes when it is replaced, so its line has a key for each price it has had: a message that names a price alone leads to it.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from perennial.base import reading
from perennial.base.errors import Invalid
from perennial.base.value import value
from perennial.providers.paddle.payload import Item, Subscription, Transaction

_BEGINS = frozenset(("web", "api"))
_AT_ONCE = timedelta(minutes=10)  # an item and the word of it


def amount(text: str) -> int:
    """Minor units, as Paddle writes them."""
    return reading.minor(text, "XXX", "amount").amount


@value
class Place:
    """A line's key, and further keys of the same line."""

    line: str
    also: tuple[str, ...] = ()


def by_price(subscription_id: str, price_id: str) -> str:
    return f"{subscription_id}#{price_id}"


def own(subscription_id: str, price_ids: Iterable[str]) -> Place:
    """The subscription's own line, which has had these prices."""
    return Place(line=subscription_id, also=tuple(sorted(by_price(subscription_id, price) for price in set(price_ids))))


def recurring(items: Sequence[Item]) -> list[Item]:
    """What is sold for a time, each price once; a credit is none of it."""
    found: dict[str, Item] = {}
    for item in items:
        if item.price.billing_cycle is not None and item.quantity > 0:
            found.setdefault(item.price.id, item)
    return list(found.values())


def of_subscription(subscription: Subscription, as_of: datetime, *, is_new: bool) -> dict[str, Place]:
    """By price, of a subscription alone. Where it does not tell which thing it began with, each goes by its price: what is known of that decides."""
    items = recurring(subscription.items)
    first = _first(subscription, items, as_of, is_new=is_new)
    return {
        item.price.id: own(subscription.id, (item.price.id,)) if item is first else Place(line=by_price(subscription.id, item.price.id))
        for item in items
    }


def _first(subscription: Subscription, items: Sequence[Item], as_of: datetime, *, is_new: bool) -> Item | None:
    original = [item for item in items if _is_original(subscription, item)]
    if len(original) == 1:
        return original[0]
    if original and (is_new or all(item.created_at is not None for item in original)):
        # Paddle's ids are in the order in which they were made: a plan is older than its add-ons.
        return min(original, key=lambda item: item.price.id)
    if len(items) == 1 and items[0].created_at is not None and abs(as_of - items[0].created_at) <= _AT_ONCE:
        return items[0]  # it has just taken the place of what was there
    return None


def _is_original(subscription: Subscription, item: Item) -> bool:
    began = subscription.started_at
    return item.created_at is None or began is None or item.created_at <= began + _AT_ONCE


def of_transaction(transaction: Transaction, *, is_within: bool) -> dict[str, Place]:
    """By price, of what a transaction charged for. Within a period, what is credited beside one other thing was replaced by it."""
    subscription_id = transaction.subscription_id or ""
    charged, credited = charged_prices(transaction), credited_prices(transaction)
    if is_within:
        replaced = tuple(by_price(subscription_id, price) for price in credited) if len(charged) == len(credited) == 1 else ()
        return {price: Place(line=by_price(subscription_id, price), also=replaced) for price in charged}
    first = min(charged, default=None) if len(charged) == 1 or transaction.origin in _BEGINS else None
    first_place = own(subscription_id, [first]) if first is not None and transaction.origin in _BEGINS else Place(line=subscription_id)
    return {price: first_place if price == first else Place(line=by_price(subscription_id, price)) for price in charged}


def charged_prices(transaction: Transaction) -> list[str]:
    """What is sold for a time and was not only given back."""
    totals = totals_by_price(transaction)
    return [item.price.id for item in recurring(transaction.items) if totals.get(item.price.id, 0) >= 0]


def credited_prices(transaction: Transaction) -> list[str]:
    charged = charged_prices(transaction)
    every = dict.fromkeys(item.price.id for item in transaction.items if item.price.billing_cycle is not None)
    return [price for price in every if price not in charged]


def totals_by_price(transaction: Transaction) -> dict[str, int]:
    """What the lines of each price come to, charges and credits together; nothing where that cannot be read, which is noted with the shares."""
    try:
        return strict_totals_by_price(transaction)
    except Invalid:
        return {}


def strict_totals_by_price(transaction: Transaction) -> dict[str, int]:
    """Raises `Invalid` where an amount cannot be read."""
    totals: dict[str, int] = {}
    for line in transaction.details.line_items:
        totals[line.price_id] = totals.get(line.price_id, 0) + amount(line.totals.total)
    return totals


def of_everything(subscription: Subscription, transactions: Sequence[Transaction], held: Iterable[str], *, within: frozenset[str]) -> set[str]:
    """The prices that the subscription's own line has had, by all that is known. `held`: those we know it had."""
    present = [item.price.id for item in recurring(subscription.items)]
    ordered = sorted(transactions, key=lambda one: (one.billed_at or one.created_at, one.id))
    chain = set(held)
    began = next((one for one in ordered if one.origin in _BEGINS), ordered[0] if ordered else None)
    prices = charged_prices(began) if began is not None else []
    if prices and not chain & set(prices):  # what we hold of it has another price by now, or we hold nothing
        is_replaced = bool(chain)
        chain.add(min(prices, key=lambda price: ((price in present) == is_replaced, price)))
    if not chain:
        original = [item.price.id for item in recurring(subscription.items) if _is_original(subscription, item)]
        return {min(original or present)} if present else set()
    beside: set[str] = set()
    for one in ordered:
        charged, credited = charged_prices(one), credited_prices(one)
        if one.origin in within and len(charged) == 1 and chain & set(credited):
            chain |= set(charged)
        elif chain & set(charged):
            beside |= set(charged) - chain
    if not chain & set(present):
        chain |= set(sorted(price for price in present if price not in beside)[:1])
    return chain
