"""Changing the plan of a subscription at Stripe: at once, by the customer's yes, or when the period they paid for is over.

At once is an update of the item, whose difference is charged at once; where that payment fails the update waits and nothing is changed. Later
is a schedule of two phases: the period that runs, and one of the new plan, after which the subscription goes on by itself.
"""

from perennial.base.money import Money
from perennial.intake.model import Act, CannotAct, StoreApp
from perennial.providers.stripe.api import Fields, StripeApi, path_of
from perennial.providers.stripe.money import to_stripe
from perennial.providers.stripe.payload import Item, Page, Price, Schedule, Subscription, id_of

# How long the second phase lasts: any length will do, as the subscription goes on with its items when it is over.
_SECOND: Fields = (("phases[1][duration][interval]", "month"), ("phases[1][duration][interval_count]", 1))

MOST_PRICES = 3  # pages of a hundred, of one product


async def change(api: StripeApi, app: StoreApp, wanted: Act) -> None:
    """Raises `CannotAct` where no price of the product costs what the customer was shown."""
    subject, _, slot = wanted.subject.partition("#")
    subscription = await api.get(app, path_of("subscriptions", subject), Subscription)
    item = next((one for one in subscription.items.data if one.id == slot or not slot), None)
    if item is None:
        raise CannotAct(f"{wanted.subject} has no such item any more")
    price = await _price(
        api, app, str(wanted.details["product"]), Money(amount=int(wanted.details["amount"]), currency=str(wanted.details["currency"]))
    )
    if id_of(item.price) == price:
        return  # done already
    if wanted.details["when"] == "immediate":
        await _at_once(api, app, wanted, subscription, item, price)
    else:
        await _later(api, app, wanted, subscription, item, price)


async def _price(api: StripeApi, app: StoreApp, product: str, shown: Money) -> str:
    query: Fields = (("product", product), ("active", "true"), ("type", "recurring"), ("currency", shown.currency.lower()))
    async for page in api.pages(app, "/v1/prices", Page[Price], query, most=MOST_PRICES):
        for price in page:
            if price.unit_amount == to_stripe(shown):
                return price.id
    raise CannotAct(f"{product} has no active price of {shown.major} {shown.currency} at Stripe; bring the catalog's price in line with Stripe's")


async def _at_once(api: StripeApi, app: StoreApp, wanted: Act, subscription: Subscription, item: Item, price: str) -> None:
    form: Fields = (
        ("items[0][id]", item.id),
        ("items[0][price]", price),
        ("proration_behavior", "always_invoice"),
        ("payment_behavior", "pending_if_incomplete"),
    )
    await api.post(app, path_of("subscriptions", subscription.id), Subscription, form, key=wanted.act_id)


async def _later(api: StripeApi, app: StoreApp, wanted: Act, subscription: Subscription, item: Item, price: str) -> None:
    start, end = item.current_period_start, subscription.period_end(item)
    if start is None or end is None:
        raise CannotAct("the subscription has no period at whose end it could be changed")
    schedule = id_of(subscription.schedule)
    if schedule is None:
        made = await api.post(app, "/v1/subscription_schedules", Schedule, (("from_subscription", subscription.id),), key=f"{wanted.act_id}-schedule")
        schedule = made.id
    now, then = _items(subscription, {}, 0), _items(subscription, {item.id: price}, 1)
    bounds: Fields = (("phases[0][start_date]", start), ("phases[0][end_date]", end), *_SECOND)
    form: Fields = (("end_behavior", "release"), ("proration_behavior", "none"), *bounds, *now, *then)
    await api.post(app, path_of("subscription_schedules", schedule), Schedule, form, key=wanted.act_id)


def _items(subscription: Subscription, instead: dict[str, str], phase: int) -> Fields:
    """Every item of the subscription, as a phase must name them all."""
    named: list[tuple[str, str | int]] = []
    for number, item in enumerate(subscription.items.data):
        price = instead.get(item.id) or id_of(item.price)
        if price is not None:
            named += [(f"phases[{phase}][items][{number}][price]", price), (f"phases[{phase}][items][{number}][quantity]", item.quantity or 1)]
    return named
