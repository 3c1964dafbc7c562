"""From what Paddle Billing holds to what it states. Pure: values in, values out.

A subscription says how things go on, its transactions say what was paid and until when. What it began with is the subscription's line (`sub_...`),
each further item a line of its own (`sub_...#pri_...`), known by its price and never by its place in a list (`lines`); what is bought once is
the line of its transaction. A credit (a negative quantity, or lines that come to less than nothing) is no purchase.

Where Paddle leaves a choice, this is ours:

- **A period is what a paid transaction says.** `current_billing_period` moves on to an unpaid period when a charge fails, and is gone once a
  subscription is paused or canceled; the end of access stays the last one that was paid for.
- **Products are prices** (`pri_...`): a product of Paddle's may be sold monthly and yearly. The setting `products_by` = `product` names them by
  `pro_...` instead.
- **`past_due`** is decided by the app's setting of that name: `grace` (the default: access for `grace_days`, 7 unless set, from the beginning of
  the unpaid period; Paddle leaves it to the seller), `end` (access ends with the paid period), `keep` (until the unpaid period's end).
- **The hour in which a renewal is collected** is grace: Paddle charges when the period is over.
- **A pause or cancellation before the period's end** ends the period there.
- **A subscription object alone** (imported, activated, resumed; no payment told with it) says that its period runs: it is served, without a price
  until its payment is told, and Paddle is asked where there is an API key. One that is `past_due` is served by the setting.
- **A trial** is the first transaction, for nothing, of a price that has a trial. A discount of 100 % is not a trial.
- **`subscription_update` and `subscription_charge`** are prorations: money, and a new product or quantity from then on, but no period. Of
  virtual currencies they give what their charge covers of a whole period's price. The first payment of a thing that was added within a
  period begins its line, once Paddle is asked. A change that was not billed shows as the running period's product once Paddle is asked, as
  the next product before; where Paddle cannot be asked, as a change within the period.
- **Adjustments** count when they are approved. A refund or chargeback takes money, not access; a one-time purchase given back in full is taken
  back: nothing else could end it. Credits stay within Paddle's balance of the customer and are not told.
- **What was paid** is `grand_total`, shared among the items by their totals; so are tax and Paddle's fee.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from fractions import Fraction
from functools import partial

from perennial.base import reading
from perennial.base.errors import Invalid
from perennial.base.money import Money
from perennial.base.reading import note
from perennial.base.value import replace, value
from perennial.catalog.model import Product
from perennial.intake.model import StoreApp
from perennial.providers.paddle import lines
from perennial.providers.paddle.api import environment
from perennial.providers.paddle.lines import Place, amount, strict_totals_by_price, totals_by_price
from perennial.providers.paddle.payload import Adjustment, Item, Subscription, Transaction
from perennial.subscriptions.model import EndReason, Kind, Line, Purchase, Refund, Renewal, Revocation, Statement, stand_in

APP_USER_ID = "app_user_id"  # the custom data by which a project's own website says who buys
PAST_DUE = ("grace", "end", "keep")
GRACE_DAYS = 7
COLLECTION = timedelta(hours=1)
PAID = frozenset(("completed", "paid"))
STATUSES = frozenset(("trialing", "active", "past_due", "paused", "canceled"))  # of a subscription

_BEGINS = frozenset(("web", "api"))
_WITHIN = frozenset(("subscription_update", "subscription_charge"))  # a period that runs
_NO_CHARGE = frozenset(("subscription_payment_method_change",))
_GIVEN_BACK = frozenset(("refund", "chargeback"))
_DONE = frozenset(("approved", "reversed"))
_KINDS: dict[str, Kind] = {"consumable": "consumable", "non_renewing_subscription": "non_renewing"}


@value
class Policy:
    """What the app's settings decide."""

    past_due: str
    grace: timedelta
    products_by: str

    @classmethod
    def of(cls, app: StoreApp) -> "Policy":
        past_due, days = app.settings.get("past_due", "grace"), app.settings.get("grace_days", str(GRACE_DAYS))
        products_by = app.settings.get("products_by", "price")
        if past_due not in PAST_DUE:
            raise Invalid(f"`past_due` is one of {', '.join(PAST_DUE)}, not {past_due!r}", param="past_due")
        if not days.isascii() or not days.isdigit() or len(days) > 3:
            raise Invalid(f"`grace_days` is a number of days up to 999, not {days!r}", param="grace_days")
        if products_by not in ("price", "product"):
            raise Invalid(f"`products_by` is price or product, not {products_by!r}", param="products_by")
        return cls(past_due=past_due, grace=timedelta(days=int(days)), products_by=products_by)


@value
class Found:
    """A subscription and everything paid and given back for it, as the API answered."""

    subscription: Subscription
    transactions: tuple[Transaction, ...]
    adjustments: tuple[Adjustment, ...] = ()


# What a notification says by itself


def told_by_subscription(app: StoreApp, subscription: Subscription, as_of: datetime, *, is_alone: bool = False) -> tuple[Statement, ...]:
    """How every line of a subscription goes on; at its creation also that it began, without the price.

    `is_alone`: no answer of Paddle's with what was paid follows at once, so the period that runs is said too.
    """
    policy, items = Policy.of(app), lines.recurring(subscription.items)
    places = lines.of_subscription(subscription, as_of, is_new=subscription.transaction_id is not None)
    return tuple(
        Statement(
            store=app.store,
            environment=environment(app),
            line=places[item.price.id].line,
            also=places[item.price.id].also,
            purchases=_beginning(subscription, item, policy, as_of),
            running=_running(subscription, places[item.price.id].line, item, policy, as_of) if is_alone else (),
            renewals=_said(_told_end(_renewal(subscription, item, policy, as_of, paid="", was_failing=False), subscription)),
            app_user_id=_app_user_id(subscription.custom_data),
            original_purchased_at=_original(subscription, places[item.price.id].line, item),
        )
        for item in items
    )


def _told_end(stated: Renewal | None, subscription: Subscription) -> Renewal | None:
    """What was stopped before the end of its period ended then, whatever was paid and whenever it was told."""
    if stated is None:
        return None
    stopped_at = _stopped_at(subscription) or stated.as_of
    return replace(stated, ended_at=stopped_at) if stated.ended is not None and stopped_at <= stated.as_of else stated


def _stopped_at(subscription: Subscription) -> datetime | None:
    return {"canceled": subscription.canceled_at, "paused": subscription.paused_at}.get(subscription.status)


def told_by_transaction(
    app: StoreApp, transaction: Transaction, as_of: datetime, adjustments: Sequence[Adjustment] = (), products: Sequence[Product] = ()
) -> tuple[Statement, ...]:
    """What was paid with it. The first payment comes before its subscription is made, and again after: only then its periods are told."""
    placed = {price: place.line for price, place in lines.of_transaction(transaction, is_within=transaction.origin in _WITHIN).items()}
    purchases = _purchases(app, transaction, placed, adjustments, as_of, products)
    places = {place.line: place for place in lines.of_transaction(transaction, is_within=transaction.origin in _WITHIN).values()}
    return tuple(
        Statement(
            store=app.store,
            environment=environment(app),
            line=line,
            also=places[line].also if line in places else (),
            purchases=(purchase,),
            renewals=_paid_again(purchase, as_of),
            app_user_id=_app_user_id(transaction.custom_data),
        )
        for line, purchase in purchases.items()
    )


def _paid_again(purchase: Purchase, as_of: datetime) -> tuple[Renewal, ...]:
    """A renewal that was paid ends whatever failed before, also where the subscription's own word comes later."""
    return (Renewal(as_of=as_of, transaction=purchase.transaction, auto_renew=True),) if purchase.is_renewal else ()


# What the API says on the whole


def statements(app: StoreApp, found: Found, line: Line | None, now: datetime, products: Sequence[Product] = ()) -> tuple[Statement, ...]:
    """Every line of a subscription, from its first payment on."""
    subscription, policy = found.subscription, Policy.of(app)
    held = _held_prices(found, line, policy)
    own = lines.own(subscription.id, lines.of_everything(subscription, found.transactions, held, within=_WITHIN))
    places = dict.fromkeys(own.also, own)

    def place(price_id: str) -> Place:
        by_price = lines.by_price(subscription.id, price_id)
        return places.get(by_price, Place(line=by_price))

    items = {place(item.price.id).line: item for item in lines.recurring(subscription.items)}
    paid: dict[str, list[Purchase]] = {key: [] for key in items}
    for transaction in found.transactions:
        placed = {price: place(price).line for price in lines.charged_prices(transaction)}
        for key, purchase in _purchases(app, transaction, placed, found.adjustments, now, products).items():
            paid.setdefault(key, []).append(purchase)
    was_failing = line is not None and bool(line.renewals) and line.renewals[-1].in_billing_retry
    user = _app_user_id(subscription.custom_data)
    return tuple(
        Statement(
            store=app.store,
            environment=environment(app),
            line=key,
            also=own.also if key == own.line else (),
            purchases=_as_they_are(subscription, items.get(key), purchases, policy),
            running=_unpaid_for(_running(subscription, key, items[key], policy, now), purchases) if key in items else (),
            renewals=_renewals(subscription, key, items.get(key), purchases, policy, now, was_failing=was_failing),
            app_user_id=user,
            original_purchased_at=_original(subscription, key, items.get(key)),
        )
        for key, purchases in paid.items()
    )


def _held_prices(found: Found, line: Line | None, policy: Policy) -> set[str]:
    """The prices that the subscription's own line had, as far as we hold it."""
    if line is None or line.store_line != found.subscription.id:
        return set()
    products = {one.purchase.product for one in line.held}
    every = [*found.subscription.items, *(item for one in found.transactions for item in one.items)]
    return {item.price.id for item in every if _product(item, policy) in products}


def _original(subscription: Subscription, line: str, item: Item | None) -> datetime | None:
    """When a line was first bought: with its subscription, or when its item was added."""
    if line == subscription.id:
        return subscription.started_at or subscription.first_billed_at
    return item.created_at if item is not None and line.startswith(subscription.id) else None


def _renewals(
    subscription: Subscription,
    key: str,
    item: Item | None,
    purchases: Sequence[Purchase],
    policy: Policy,
    now: datetime,
    *,
    was_failing: bool,
) -> tuple[Renewal, ...]:
    if item is not None:
        paid = max(purchases, key=lambda one: (one.purchased_at, one.transaction)).transaction if purchases else ""
        return _said(_told_end(_renewal(subscription, item, policy, now, paid=paid, was_failing=was_failing), subscription))
    if not key.startswith(subscription.id):  # bought once, beside
        return ()
    is_over = all(one.expires_at is not None and one.expires_at <= now for one in purchases)
    return (Renewal(as_of=now, transaction="", auto_renew=False, off_reason="unsubscribe", ended="unsubscribe" if is_over else None),)


def _as_they_are(subscription: Subscription, item: Item | None, purchases: Sequence[Purchase], policy: Policy) -> tuple[Purchase, ...]:
    """The running period with the product it serves now, and cut where the subscription was stopped within it."""
    ordered = sorted(purchases, key=lambda one: (one.purchased_at, one.transaction))
    if not ordered or ordered[-1].kind != "subscription":
        return tuple(ordered)
    if ordered[0].is_proration:  # added within a period
        ordered[0] = replace(ordered[0], is_first=True, is_proration=False)
    last, stopped_at = ordered[-1], _stopped_at(subscription)
    if stopped_at is not None:
        return tuple(_cut(one, stopped_at) for one in ordered)
    if item is not None and subscription.status in ("active", "trialing"):
        last = replace(last, product=_product(item, policy))
    return (*ordered[:-1], last)


def _cut(purchase: Purchase, stopped_at: datetime) -> Purchase:
    """Whichever period would run on: one that was renewed early outlives no end."""
    if purchase.expires_at is None or purchase.purchased_at > stopped_at:
        return purchase
    return replace(purchase, expires_at=min(purchase.expires_at, stopped_at))


# How it goes on


def _renewal(subscription: Subscription, item: Item, policy: Policy, as_of: datetime, *, paid: str, was_failing: bool) -> Renewal | None:
    """`paid` is the transaction of the last paid period. A notification names none: it speaks of the period running at `as_of`."""
    change = subscription.scheduled_change
    is_cancelling = change is not None and change.action == "cancel"
    is_pausing = change is not None and change.action == "pause"
    stated = Renewal(
        as_of=as_of,
        transaction=paid,
        auto_renew=not is_cancelling,
        next_product=_product(item, policy) if subscription.status in ("active", "trialing") else None,
        off_reason="unsubscribe" if is_cancelling else None,
        pause="scheduled" if is_pausing else None,
        resumes_at=change.resume_at if change is not None and is_pausing else None,
    )
    period = subscription.current_billing_period
    match subscription.status:
        case "active" | "trialing":
            return stated if is_cancelling or is_pausing or period is None else replace(stated, grace_until=period.ends_at + COLLECTION)
        case "past_due":
            return _past_due(stated, subscription, policy)
        case "paused":
            resumes_at = change.effective_at if change is not None and change.action == "resume" else None
            return replace(stated, pause="in_force", resumes_at=resumes_at, ended="subscription_paused")
        case "canceled":
            reason: EndReason = "billing_error" if was_failing else "unsubscribe"
            return replace(stated, auto_renew=False, off_reason=reason, ended=reason)
    note("status", subscription.status)  # nothing is concluded from it: what was paid for goes on to its end
    return None


def _said(renewal: Renewal | None) -> tuple[Renewal, ...]:
    return (renewal,) if renewal is not None else ()


def _past_due(stated: Renewal, subscription: Subscription, policy: Policy) -> Renewal:
    """The end of access is said only of a period that is named: said of whichever runs, it would hold for the one that is paid late."""
    unpaid = subscription.current_billing_period
    if policy.past_due == "end" or unpaid is None:
        return replace(stated, in_billing_retry=True, ended="billing_error" if policy.past_due == "end" and stated.transaction else None)
    until = unpaid.ends_at if policy.past_due == "keep" else unpaid.starts_at + policy.grace
    return replace(stated, in_billing_retry=True, grace_until=until)


def _beginning(subscription: Subscription, item: Item, policy: Policy, as_of: datetime) -> tuple[Purchase, ...]:
    period = subscription.current_billing_period
    if subscription.transaction_id is None or period is None:
        return ()
    return (
        Purchase(
            transaction=subscription.transaction_id,
            product=_product(item, policy),
            kind="subscription",
            purchased_at=period.starts_at,
            expires_at=period.ends_at,
            as_of=as_of,
            is_first=True,
            is_renewal=False,
            period_type="trial" if subscription.status == "trialing" else "normal",
            quantity=_quantity(item),
            is_summary=True,
        ),
    )


def _running(subscription: Subscription, line: str, item: Item, policy: Policy, as_of: datetime) -> tuple[Purchase, ...]:
    """The period that a subscription says runs, for where no payment tells it. One that is not paid is served by the app's setting."""
    period = subscription.current_billing_period
    until = period.ends_at if period is not None else None
    if period is not None and subscription.status == "past_due":
        unpaid = _past_due(Renewal(as_of=as_of, transaction="", auto_renew=True), subscription, policy).grace_until
        until = min(unpaid, period.ends_at) if unpaid is not None else None
    if period is None or until is None or subscription.status not in ("active", "trialing", "past_due"):
        return ()
    began = subscription.started_at
    is_first = began is not None and abs(period.starts_at - began) <= COLLECTION
    was_added = item.created_at is not None and period.starts_at + COLLECTION < item.created_at < until
    begins = item.created_at if was_added and item.created_at is not None else period.starts_at
    return (
        Purchase(
            transaction=subscription.transaction_id or stand_in(line, begins),
            product=_product(item, policy),
            kind="subscription",
            purchased_at=begins,
            expires_at=until,
            as_of=as_of,
            is_first=is_first or was_added,
            is_renewal=not is_first and not was_added,
            period_type="trial" if subscription.status == "trialing" else "normal",
            quantity=_quantity(item),
            is_summary=True,
        ),
    )


def _unpaid_for(running: tuple[Purchase, ...], paid: Sequence[Purchase]) -> tuple[Purchase, ...]:
    """What no payment tells: of a subscription that was imported, or is served until it is paid."""
    ends = [one.expires_at for one in paid if one.expires_at is not None]
    return tuple(one for one in running if all(end < one.purchased_at for end in ends))


# What was paid


def _purchases(
    app: StoreApp,
    transaction: Transaction,
    placed: Mapping[str, str],
    adjustments: Sequence[Adjustment],
    as_of: datetime,
    products: Sequence[Product],
) -> dict[str, Purchase]:
    """By line; `placed` has that of each price charged. Nothing where nothing was paid, or it is not known yet for which subscription."""
    if transaction.status not in PAID or transaction.origin in _NO_CHARGE:
        return {}
    policy, totals = Policy.of(app), totals_by_price(transaction)
    shares = reading.aside("details", transaction.details, lambda: _shares(transaction)) or {}
    stated: dict[str, Purchase] = {}
    for item in transaction.items:
        if item.quantity <= 0 or totals.get(item.price.id, 0) < 0:
            continue  # a credit
        charge = _Charge(transaction=transaction, item=item, share=shares.get(item.price.id, _Share()), as_of=as_of)
        refunds = _refunds(transaction, item, adjustments)
        if item.price.billing_cycle is None:
            line = transaction.id if len(transaction.items) == 1 else f"{transaction.id}#{item.price.id}"
            stated[line] = _one_time(charge, line, policy, refunds, products)
        elif transaction.subscription_id is not None and transaction.billing_period is not None:
            stated[placed[item.price.id]] = _period(charge, policy, refunds)
    return stated


@value
class _Share:
    price: Money | None = None
    tax: Money | None = None
    fee: Money | None = None


@value
class _Charge:
    transaction: Transaction
    item: Item
    share: _Share
    as_of: datetime


def _period(charge: _Charge, policy: Policy, refunds: tuple[Refund, ...]) -> Purchase:
    transaction, item, share = charge.transaction, charge.item, charge.share
    period = transaction.billing_period
    assert period is not None, "the caller looked"
    is_within = transaction.origin in _WITHIN
    is_trial = transaction.origin in _BEGINS and item.price.trial_period is not None and (share.price is None or share.price.amount == 0)
    begins = period.starts_at
    if is_within:
        begins = min(max(begins, transaction.billed_at or transaction.created_at), period.ends_at)
    return Purchase(
        transaction=transaction.id,
        product=_product(item, policy),
        kind="subscription",
        purchased_at=begins,
        expires_at=period.ends_at,
        as_of=charge.as_of,
        is_first=transaction.origin in _BEGINS,
        is_renewal=transaction.origin == "subscription_recurring",
        is_proration=is_within,
        charged_ppm=_charged_ppm(item, share) if is_within else None,
        period_type="trial" if is_trial else "normal",
        price=share.price,
        tax=share.tax,
        commission=share.fee,
        quantity=_quantity(item),
        refunds=refunds,
    )


def _charged_ppm(item: Item, share: _Share) -> int | None:
    """Of the full price of a period, in millionths. None where Paddle does not say the price in the currency that was paid."""
    unit = item.price.unit_price
    if share.price is None or share.price.amount <= 0:
        return 0
    if unit is None or unit.currency_code != share.price.currency or (full := _amount_or_nothing(unit.amount) * _quantity(item)) <= 0:
        return None
    taxes = share.tax.amount if share.tax is not None and item.price.tax_mode != "internal" else 0
    return min(1_000_000, max(0, round(Fraction((share.price.amount - taxes) * 1_000_000, full))))


def _one_time(charge: _Charge, line: str, policy: Policy, refunds: tuple[Refund, ...], products: Sequence[Product]) -> Purchase:
    product, share = _product(charge.item, policy), charge.share
    known = next((one for one in products if one.store_identifier == product), None)
    given = sum(one.amount.amount for one in refunds if not one.is_reversed)
    is_given_back = share.price is not None and 0 < share.price.amount <= given
    return Purchase(
        transaction=line,
        product=product,
        kind=_KINDS.get(known.type, "non_consumable") if known is not None else "non_consumable",
        purchased_at=charge.transaction.billed_at or charge.transaction.created_at,
        expires_at=None,
        as_of=charge.as_of,
        is_first=True,
        is_renewal=False,
        price=share.price,
        tax=share.tax,
        commission=share.fee,
        quantity=_quantity(charge.item),
        revocation=Revocation(at=max(one.at for one in refunds), refunded=False) if is_given_back else None,
        refunds=refunds,
    )


def _shares(transaction: Transaction) -> Mapping[str, _Share]:
    """Each price's part of what was paid, of the tax and of the fee, by its total: the parts sum to the whole."""
    totals, currency = transaction.details.totals, transaction.currency_code
    by_price = strict_totals_by_price(transaction)
    weights = [max(0, total) for total in by_price.values()]
    price = _money(totals.grand_total or totals.total, currency)
    whole = [price, *(reading.aside("details.totals", one, partial(_money, one, currency)) for one in (totals.tax, totals.fee))]
    if sum(weights) == 0:
        return {price: _Share(price=reading.minor(0, currency, "amount")) for price in by_price}
    paid, tax, fee = ([None] * len(weights) if one is None else one.split(weights) for one in whole)
    return {price: _Share(price=paid[place], tax=tax[place], fee=fee[place]) for place, price in enumerate(by_price)}


def _refunds(transaction: Transaction, item: Item, adjustments: Sequence[Adjustment]) -> tuple[Refund, ...]:
    """What was given back of one item: approved refunds and chargebacks. A reversal gives the oldest chargeback back again."""
    names = {line.id for line in transaction.details.line_items if line.price_id == item.price.id}
    ours = sorted((one for one in adjustments if one.transaction_id == transaction.id and one.status in _DONE), key=lambda one: one.created_at)
    reversals = sum(one.action == "chargeback_reverse" for one in ours)
    refunds: list[Refund] = []
    for one in ours:
        given = sum(_amount_or_nothing(part.totals.total) for part in one.items if part.item_id in names)
        if one.action not in _GIVEN_BACK or given <= 0:
            continue
        is_reversed = one.status == "reversed" or (one.action == "chargeback" and reversals > 0)
        reversals -= one.action == "chargeback"
        money = reading.aside("currency_code", transaction.currency_code, partial(reading.minor, given, transaction.currency_code, "total"))
        if money is not None:
            refunds.append(Refund(identifier=one.id, at=one.updated_at or one.created_at, amount=money, is_reversed=is_reversed))
    return tuple(refunds)


# Small things


def _product(item: Item, policy: Policy) -> str:
    if policy.products_by == "product" and item.price.product_id:
        return item.price.product_id
    return item.price.id


def _quantity(item: Item) -> int:
    return reading.quantity(item.quantity or None)


def _app_user_id(custom_data: Mapping[str, object] | None) -> str | None:
    said = (custom_data or {}).get(APP_USER_ID)
    return said if isinstance(said, str) and said and reading.is_text(said) else None


def _money(text: str | None, currency: str) -> Money | None:
    return None if text is None else reading.minor(text, currency, "amount")


def _amount_or_nothing(text: str) -> int:
    return reading.aside("totals.total", text, lambda: amount(text)) or 0
