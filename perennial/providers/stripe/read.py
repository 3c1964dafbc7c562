"""From what Stripe holds of a subscription to what it states. Pure: values in, values out.

Where Stripe leaves a choice, this is ours:

- **Access follows the subscription's status and its items' current period; money follows invoices.** `active` and `trialing` are served, as Stripe's
  documents say, and `past_due` by the setting below; `unpaid`, `paused`, `incomplete`, `incomplete_expired` and `canceled` are not, also where a
  period that was paid for would run on.
- **A period is what an invoice's line says that was paid ahead.** A period that is served without one (anchored to a later date with the time
  until then free, metered without a first invoice) is a purchase for nothing, named by the subscription and its beginning. So is one whose
  invoice was voided or marked uncollectible while the subscription says `active`; it has its invoice's name. The first invoice, where it is to
  be paid later, gives its period at once, for nothing until it is paid.
- **Usage is billed when it was served.** The invoice that bills it is the transaction of the period that begins then; what it bills is its price. A
  last bill, when the subscription is over, is money alone.
- **The hour between a period's end and its collection** (the renewal's invoice is a draft, or its payment is on its way) is grace: Stripe calls the
  subscription active, so access goes on until the attempt was made, or until the invoice is due. The renewal is told when it is paid: Stripe's
  `current_period_end` runs on into a period before that is paid, and a failed payment is no renewal.
- **By events alone** (no API key) a subscription object says which period runs and until when it is served; the payment is told by its invoice's
  own event, and whichever comes first, they are one period. An end, a pause or `unpaid` in it ends access then.
- **A list that is cut** is fetched to its end. Where it cannot be, no end is concluded from it.
- **`past_due`** is decided by the app's setting of that name: `grace` (the default: access while Stripe has a next attempt planned, until then),
  `end` (access ends with the paid period), `keep` (access while it lasts).
- **A trial** is a line of nothing within the subscription's trial. A coupon of 100 % is not a trial: the line has its price.
- **A trial set while a paid period runs** is how Stripe moves a renewal date: the period grows longer, nobody pays, nothing is bought.
- **`ended_at` before the paid period's end** ends the period there.
- **A refund takes money, not access**: whoever wants both cancels too (`revoke`). A one-time payment given back in full is taken back: nothing else
  could end it.
- **A dispute** is money given back once it is lost; one that is won, or only an inquiry, is not.
- **A proration** is what an invoice charges or credits within a period that was paid for: revenue, and another product or quantity from
  then on, but no period. Of virtual currencies it gives what its charge covers, in cash: what is paid from a credit of before gives nothing.
  An item added within a period begins a line of its own with a part of its price, and gives that part. Where the billing cycle begins anew
  with a change, that is a period, and gives what of its price was not paid with the rest of the old one.
- **A change of price that is not invoiced at once** (its proration waits for the next invoice) is a proration for nothing: the new product
  counts from now, the money comes with the next invoice, and that renewal gives more by what its prorations charge. Credits on a renewal
  take nothing from what it gives.
- **`pause_collection`**: `void` stops the service after the paid period, a pause; `keep_as_draft` and `mark_uncollectible` give it away: the
  period's invoice counts as paid with nothing, and goes on to when the pause is over or the subscription ended, as far as we heard of it meanwhile.
- **Invoices for usage over a threshold**, and what is sold beside on an invoice of its own, make no period and are not told.
- **What was paid** is `amount_paid`: cash. A period paid from the customer's balance cost nothing now; that money came in before.
"""

from collections.abc import Sequence
from datetime import datetime

from perennial.base import reading
from perennial.base.errors import Invalid
from perennial.base.value import replace
from perennial.customers.model import is_app_user_id
from perennial.providers.stripe.accounts import Account, invoice_accounts, moment
from perennial.providers.stripe.charged import charged_ppm
from perennial.providers.stripe.money import readable
from perennial.providers.stripe.payload import Discount, Invoice, InvoiceLine, Page, Period, Price, Session, Subscription, id_of, whole
from perennial.providers.stripe.renewing import end_of, failed_renewal, renewal
from perennial.providers.stripe.served import Usage, bill, cut_line, is_served, is_usage, line_key, remembered, uncharged, usage_of, with_running
from perennial.providers.stripe.slots import Found, Slot, in_order, lines_of, slots_of
from perennial.subscriptions.model import Environment, Line, Offer, Purchase, Statement, change_of, changes_of, is_stand_in, stand_in

APP_USER_ID = "app_user_id"  # the metadata by which a project's backend says who buys

_NO_PERIOD = frozenset(("subscription_threshold", "upcoming"))


def subscription_statements(found: Found, held: Line | None, as_of: datetime, *, past_due: str = "grace") -> tuple[Statement, ...]:
    """What is known of a subscription, one statement per thing it sells; none while nothing of it was ever paid or tried.

    `held` is what we know of one of its lines: changes of price that Stripe keeps no record of are remembered there.
    """
    slots = slots_of(found)
    statements = []
    for slot in slots:
        line = line_key(found, slot)
        known = held if held is not None and held.store_line == line else None
        billed, served = _purchases(found, slots, slot, known, as_of)
        goes_on = renewal(found, slot, [*billed, *([] if found.is_told else served)], as_of, past_due, since=_over_since(known))
        if billed or served or goes_on is not None:
            statements.append(
                Statement(
                    store="stripe",
                    environment=environment_of(live=found.subscription.livemode),
                    line=line,
                    purchases=billed if found.is_told else (*billed, *served),
                    running=served if found.is_told else (),
                    renewals=(goes_on,) if goes_on is not None else (),
                    app_user_id=app_user_id(found.subscription, found.session),
                    original_purchased_at=_original(found.subscription, slot),
                    last_charge=id_of(found.subscription.latest_invoice) if found.is_told else None,
                )
            )
    return tuple(statements)


def _over_since(held: Line | None) -> datetime | None:
    return held.renewals[-1].ended_at if held is not None and held.renewals else None


def app_user_id(subscription: Subscription | None, session: Session | None) -> str | None:
    """Who buys, by the word of the project's backend: the subscription's metadata, the checkout's, the customer's, then the checkout's reference.

    Of several names the first that can be an app user id; where none can, the first.
    """
    customers = [whole(one.customer) for one in (subscription, session) if one is not None]
    metadata = [one.metadata for one in (subscription, session, *customers) if one is not None]
    said = [found.get(APP_USER_ID) for found in metadata if found] + [session.client_reference_id if session is not None else None]
    names = [name for name in said if name]
    return next((name for name in names if is_app_user_id(name)), names[0] if names else None)


def environment_of(*, live: bool) -> Environment:
    return "production" if live else "sandbox"


def _original(subscription: Subscription, slot: Slot) -> datetime | None:
    """When a thing was first sold by the subscription: at its start, or when its item was added."""
    began = subscription.start_date or subscription.created
    if slot.suffix:
        began = slot.item.created if slot.item is not None and slot.item.id == slot.suffix else 0
    return moment(began) if began else None


# Purchases ------------------------------------------------------------------------------------------------------------------------


def _purchases(
    found: Found, slots: Sequence[Slot], slot: Slot, held: Line | None, as_of: datetime
) -> tuple[tuple[Purchase, ...], tuple[Purchase, ...]]:
    """What invoices say, and what the subscription serves beside them."""
    billed: list[Purchase] = []
    uncharged_ones = list(remembered(found, slot, held, as_of))
    for invoice in in_order(found.invoices):
        usage = usage_of(found, slot, invoice)
        main = _main_line(found, slot, invoice)
        if main is not None and main.is_proration and usage is not None:
            main = None  # of a thing billed for its use, prorations are part of the bill
        if (cut := cut_line(found, slot, invoice)) is not None:
            _add(billed, _of_line(found, slots, slot, invoice, cut, held, as_of, before=billed))
        elif main is not None:
            _add(billed, _of_line(found, slots, slot, invoice, main, held, as_of, before=[*uncharged_ones, *billed]))
        elif usage is not None:
            _add_usage(billed, found, slots, slot, invoice, usage, held, as_of)
    billed = _with_moved_renewal(found.subscription, billed)
    known = [*billed, *(one for one in uncharged_ones if all(one.transaction != other.transaction for other in billed))]
    known = sorted(known, key=lambda one: (one.purchased_at, one.transaction))
    everything = [_cut(one, found.subscription) for one in with_running(found, slot, known, as_of)]
    told = {one.transaction for one in billed if not is_stand_in(line_key(found, slot), one.transaction)}
    changes = _changes(found.subscription, slot, [one for one in everything if not one.gives_no_time], held, as_of)
    first = tuple(one for one in everything if not found.is_told or one.transaction in told)
    return (*first, *changes), tuple(one for one in everything if found.is_told and one.transaction not in told)


def _add(billed: list[Purchase], purchase: Purchase | None) -> None:
    if purchase is None:
        return
    if billed and purchase.period_type == "trial" and purchase.product == billed[-1].product:
        billed[-1] = replace(billed[-1], expires_at=max(end_of(billed[-1]), end_of(purchase)))
    else:
        billed.append(purchase)


def _of_line(
    found: Found,
    slots: Sequence[Slot],
    slot: Slot,
    invoice: Invoice,
    main: InvoiceLine,
    held: Line | None,
    as_of: datetime,
    *,
    before: Sequence[Purchase],
) -> Purchase | None:
    """The period of a line that was billed ahead, or what a proration changed; None where nothing is served for it."""
    assert main.period is not None, "a main line has a period"
    transaction = _transaction(found, slot, invoice, main.period.start, held)
    is_given = _serves(found.subscription, invoice) or is_served(found, slot, invoice, main.period.end) or _was_given(held, transaction)
    if not is_given:
        return None
    account = invoice_accounts(found, slots, invoice)[slot.suffix]
    begins = moment(main.period.start)
    is_first = all(one.gives_no_time or one.purchased_at > begins for one in before)
    purchase = _purchase(found, slot, invoice, transaction, main, account, held, as_of, is_first=is_first)
    return replace(purchase, charged_ppm=charged_ppm(found, slot, invoice, main, [one for one in before if not one.gives_no_time]))


def _add_usage(
    billed: list[Purchase], found: Found, slots: Sequence[Slot], slot: Slot, invoice: Invoice, usage: Usage, held: Line | None, as_of: datetime
) -> None:
    """Usage is billed when it was served: the invoice begins the next period where there is one, and is a bill alone where there is none."""
    product = _product(invoice, next(line for line in lines_of(found, slot, invoice) if is_usage(found, invoice, line)), slot)
    if not found.is_told and all(end_of(one) <= moment(usage.period.start) for one in billed if not one.gives_no_time):
        is_first = not billed and found.is_whole
        used = uncharged(found, slot, usage.period, as_of, is_first=is_first, product=product, currency=invoice.currency)
        billed += [used] if used is not None else []
    opened = usage.opened if not found.is_told else None
    line = InvoiceLine(id=invoice.id, period=opened, quantity=1, price=Price(product=product), subscription_item=slot.suffix or None)
    purchase = _of_line(found, slots, slot, invoice, line, held, as_of, before=billed) if opened is not None else None
    if purchase is not None:
        billed.append(purchase)
    elif opened is None and invoice.is_paid:
        account = invoice_accounts(found, slots, invoice)[slot.suffix]
        if account.price.amount > 0 or account.refunds:
            billed.append(bill(invoice, _named(slot, invoice), product, usage.period, account, as_of))


def _serves(subscription: Subscription, invoice: Invoice) -> bool:
    """Whether an invoice gives its period: it is paid, or payment was waived."""
    if invoice.billing_reason in _NO_PERIOD:
        return False
    if invoice.is_paid:
        return True
    pause = subscription.pause_collection.behavior if subscription.pause_collection is not None else None
    is_waived = (pause, invoice.status) in (("keep_as_draft", "draft"), ("mark_uncollectible", "uncollectible"))
    return is_waived and subscription.status in ("active", "trialing")


def _was_given(held: Line | None, transaction: str) -> bool:
    """Given away while collection was paused. Stripe keeps no record of that once collection goes on or the subscription ends, so we do."""
    return held is not None and any(one.purchase.transaction == transaction for one in held.held)


def _transaction(found: Found, slot: Slot, invoice: Invoice, start: int, held: Line | None) -> str:
    """The invoice's name, but for a period that was heard of before it had one."""
    known = stand_in(line_key(found, slot), moment(start))
    return known if _was_given(held, known) else _named(slot, invoice)


def _named(slot: Slot, invoice: Invoice) -> str:
    return invoice.id + (f":{slot.suffix}" if slot.suffix else "")


def _main_line(found: Found, slot: Slot, invoice: Invoice) -> InvoiceLine | None:
    """The line that says what is given, and until when: the period's own, or what a change of product added."""
    lines = [line for line in lines_of(found, slot, invoice) if line.period is not None and line.amount >= 0]
    own = [line for line in lines if not line.is_proration and not is_usage(found, invoice, line) and _has_length(line)]
    lines = [line for line in lines if line.is_proration]
    ends = [((line.period or Period()).end, line.amount, place) for place, line in enumerate(own or lines)]
    return (own or lines)[max(ends)[2]] if ends else None


def _has_length(line: InvoiceLine) -> bool:
    return line.period is not None and line.period.start < line.period.end


def _product(invoice: Invoice, line: InvoiceLine, slot: Slot) -> str:
    product = line.product or (slot.item.product if slot.item is not None else None)
    if not product:
        raise Invalid(f"the invoice {invoice.id} does not say which product it is for", param="lines")
    return product


def _purchase(
    found: Found,
    slot: Slot,
    invoice: Invoice,
    transaction: str,
    main: InvoiceLine,
    account: Account,
    held: Line | None,
    as_of: datetime,
    *,
    is_first: bool,
) -> Purchase:
    assert main.period is not None, "a main line has a period"
    is_trial = _is_trial(found, invoice, main, held, transaction)
    is_proration = main.is_proration and not _begins_line(found, slot, is_first=is_first)
    return Purchase(
        transaction=transaction,
        product=_product(invoice, main, slot),
        kind="subscription",
        purchased_at=moment(main.period.start),
        expires_at=moment(_trial_end(found.subscription, main.period) if is_trial else main.period.end),
        as_of=as_of,
        is_first=is_first if found.is_whole else invoice.billing_reason == "subscription_create",
        is_renewal=invoice.billing_reason == "subscription_cycle" and not is_proration,
        is_proration=is_proration,
        period_type="trial" if is_trial else "normal",
        price=readable(account.price),
        tax=readable(account.tax),
        commission=readable(account.commission),
        quantity=reading.quantity(main.quantity or None),
        offer=_offer(invoice),
        country=account.country,
        refunds=account.refunds,
        is_summary=found.is_told and invoice.lines.has_more,
    )


def _begins_line(found: Found, slot: Slot, *, is_first: bool) -> bool:
    """Whether the first charge that is known of a thing is its first: an item added within a period begins with a part of its price."""
    return is_first and (found.is_whole or bool(slot.suffix))


def _is_trial(found: Found, invoice: Invoice, main: InvoiceLine, held: Line | None, transaction: str) -> bool:
    """A subscription remembers its last trial only, so what we once knew to be a trial stays one."""
    if main.amount != 0 or main.period is None or (main.price is not None and main.price.is_metered):
        return False
    if held is not None and any(one.purchase.transaction == transaction and one.purchase.period_type == "trial" for one in held.held):
        return True
    if found.subscription.trial_start is not None and found.subscription.trial_end is not None:
        return _is_in_trial(found.subscription, main.period)
    return not found.is_whole and invoice.billing_reason == "subscription_create" and not invoice.discounts


def _is_in_trial(subscription: Subscription, period: Period) -> bool:
    start, end = subscription.trial_start, subscription.trial_end
    return start is not None and end is not None and start <= period.start < end


def _trial_end(subscription: Subscription, period: Period) -> int:
    """The trial may have been made longer or shorter since."""
    return subscription.trial_end if subscription.trial_end is not None and _is_in_trial(subscription, period) else period.end


def _with_moved_renewal(subscription: Subscription, purchases: list[Purchase]) -> list[Purchase]:
    """A trial set while a period ran moved its end."""
    if not purchases or subscription.status != "trialing" or subscription.trial_end is None or subscription.trial_start is None:
        return purchases
    last, until = purchases[-1], moment(subscription.trial_end)
    if until <= end_of(last) or moment(subscription.trial_start) < last.purchased_at:
        return purchases
    return [*purchases[:-1], replace(last, expires_at=until)]


def _cut(purchase: Purchase, subscription: Subscription) -> Purchase:
    """What ended before the end of what was paid for ended then."""
    if subscription.ended_at is None:
        return purchase
    return replace(purchase, expires_at=max(purchase.purchased_at, min(end_of(purchase), moment(subscription.ended_at))))


def _changes(subscription: Subscription, slot: Slot, purchases: Sequence[Purchase], held: Line | None, as_of: datetime) -> list[Purchase]:
    """Changes of product within the running period that no invoice tells: those we know of, and one that is new."""
    if not purchases:
        return []
    last = purchases[-1]
    known = [one.purchase for one in held.held if one.purchase.transaction.startswith(changes_of(last.transaction))] if held is not None else []
    changes = [replace(one, expires_at=max(one.purchased_at, end_of(last)), as_of=as_of, is_proration=True, charged_ppm=0) for one in known]
    present = changes[-1] if changes else last
    runs = subscription.status in ("active", "trialing", "past_due") and last.purchased_at < as_of < end_of(last)
    if runs and slot.item is not None and slot.item.product not in (None, present.product):
        quantity = reading.quantity(slot.item.quantity or None)
        changes.append(change_of(last, slot.item.product, quantity, number=len(changes) + 1, at=as_of))
    return changes


def _offer(invoice: Invoice) -> Offer | None:
    """The coupon, where the answer told it whole; one entered as a code is named by the coupon behind it."""
    for discount in invoice.discounts or []:
        if isinstance(discount, Discount) and discount.coupon_id is not None:
            return Offer(kind="offer_code" if discount.promotion_code is not None else "promotional", identifier=discount.coupon_id)
    return None


# What an event alone tells, where the API cannot be asked -------------------------------------------------------------------------


def told_by_subscription(subscription: Subscription, as_of: datetime, *, past_due: str) -> tuple[Statement, ...]:
    """What a subscription says without its invoices: how it goes on, and its trial."""
    invoices = (_trial_invoice(subscription),) if subscription.status == "trialing" and id_of(subscription.latest_invoice) else ()
    stated = subscription_statements(
        Found(subscription=subscription, invoices=invoices, is_whole=False, is_told=True), None, as_of, past_due=past_due
    )
    return tuple(replace(one, purchases=tuple(_without_money(purchase) for purchase in one.purchases)) for one in stated)


def _without_money(purchase: Purchase) -> Purchase:
    """What a subscription does not say of its trial: a setup fee may have been paid for it."""
    return replace(purchase, price=None, tax=None, commission=None)


def told_by_invoice(invoice: Invoice, as_of: datetime) -> tuple[Statement, ...]:
    """What a paid invoice says without its subscription: a period, and what was paid for it."""
    known = Subscription(id=invoice.subscription_id or "", livemode=invoice.livemode, metadata=invoice.subscription_metadata)
    return subscription_statements(Found(subscription=known, invoices=(invoice,), is_whole=False, is_told=True), None, as_of)


def told_by_failed_invoice(invoice: Invoice, as_of: datetime, *, past_due: str) -> tuple[Statement, ...]:
    """What a renewal's invoice that could not be paid says: until when Stripe goes on trying, by the app's setting."""
    if invoice.billing_reason != "subscription_cycle" or invoice.is_paid or not invoice.subscription_id:
        return ()
    known = Subscription(id=invoice.subscription_id, livemode=invoice.livemode, metadata=invoice.subscription_metadata)
    found = Found(subscription=known, invoices=(invoice,), is_whole=False, is_told=True)
    return tuple(
        Statement(
            store="stripe",
            environment=environment_of(live=invoice.livemode),
            line=line_key(found, slot),
            purchases=(),
            renewals=(failed_renewal(_main_line(found, slot, invoice), invoice, as_of, past_due),),
            app_user_id=app_user_id(known, None),
        )
        for slot in slots_of(found)
    )


def _trial_invoice(subscription: Subscription) -> Invoice:
    """The invoice of nothing that Stripe makes for a trial, as far as the subscription tells it."""
    period = Period(start=subscription.trial_start or 0, end=subscription.trial_end or 0)
    prices = [item.price or item.plan for item in subscription.items.data]
    lines = [
        InvoiceLine(id=item.id, period=period, quantity=item.quantity, price=price, subscription_item=item.id, type="subscription")
        for item, price in zip(subscription.items.data, prices, strict=True)
    ]
    return Invoice(
        id=id_of(subscription.latest_invoice) or "",
        status="paid",
        livemode=subscription.livemode,
        created=period.start,
        currency=next((price.currency for price in prices if price is not None), None),
        billing_reason="subscription_create",
        lines=Page(data=lines),
    )
