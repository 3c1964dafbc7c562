"""From a notification to the question it puts, and from an answer to what else must be asked and done. Pure.

A notification is a hint and states nothing itself: the answer counts (`subscription`, `one_time`). Every question's subject is the bare purchase
token, so that what we hold of its line is beside the answer. Its hint says what made us ask: the number of a subscription notification's type,
`product SKU`, or `voided ORDER MILLISECONDS full|part`; a line each where several messages put the same question.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from perennial.base.ids import told_id
from perennial.catalog.model import Product
from perennial.intake.model import Act, Question, Reading, StoreApp, Untrusted
from perennial.providers.google.one_time import environment_of_product, is_bought, is_consumed, product_kind
from perennial.providers.google.orders import orders_before, voided_hint, voided_of
from perennial.providers.google.payload import DeveloperNotification, ProductPurchase, Subscription, millis
from perennial.providers.google.push import kind, opened
from perennial.providers.google.subscription import RUNNING, environment_of, is_known, owned_items
from perennial.subscriptions.model import Environment, Line

PRODUCT = "product"  # begins the hint of a question about a one-time purchase
MOST_ORDERS_BEFORE = 12  # of a line first seen late, or that missed renewals
MOST_ORDERS_AGAIN = 12  # of those we hold, looked at again for what was given back since, when a notification made us ask
REFUNDABLE = timedelta(days=3 * 366)  # Google gives back no order older than three years

_PENDING_ACKNOWLEDGEMENT = "ACKNOWLEDGEMENT_STATE_PENDING"


# Notifications ----------------------------------------------------------------------------------------------------------------


def notified(app: StoreApp, body: bytes) -> Reading:
    """What to ask because of a notification. Raises `Invalid` where it cannot be read, `Untrusted` where it is another app's.

    Whether it was a licence tester's purchase is not known before the answer, so production is asked about; the answer puts it right.
    """
    push, notification = opened(body)
    if app.bundle_id is None or notification.package_name != app.bundle_id:
        raise Untrusted(f"a notification of the package {notification.package_name!r}, not of {app.bundle_id!r}", param="packageName")
    expected = app.settings.get("pubsub_subscription")
    if expected and push.subscription != expected:
        raise Untrusted(f"pushed by the subscription {push.subscription!r}, not by {expected!r}", param="subscription")
    found = _asked(notification)
    if found is None:
        return Reading(note=_note(notification))
    token, hint = found
    return Reading(questions=(Question(environment=first_guess(app), subject=token, hint=hint),))


def first_guess(app: StoreApp) -> Environment:
    """Where a token may be of either: a simulated store has licence testers only."""
    return "sandbox" if app.simulated_roots else "production"


def _asked(notification: DeveloperNotification) -> tuple[str, str] | None:
    """The token and the hint; None where it names no purchase."""
    if (subscription := notification.subscription_notification) is not None and subscription.purchase_token:
        return subscription.purchase_token, str(subscription.notification_type or "")
    if (product := notification.one_time_product_notification) is not None and product.purchase_token:
        return product.purchase_token, f"{PRODUCT} {product.sku or ''}".strip()
    if (voided := notification.voided_purchase_notification) is not None and voided.purchase_token and voided.order_id:
        at = millis(notification.event_time_millis, "eventTimeMillis")
        return voided.purchase_token, voided_hint(voided.order_id, at, is_full=voided.refund_type != 2)
    return None


def _note(notification: DeveloperNotification) -> str:
    if notification.test_notification is not None:
        return "TEST: carries no purchase"
    if (review := notification.pending_refund_review_notification) is not None:
        return f"PENDING_REFUND_REVIEW: Google asks for an opinion on a refund of {review.order_id} (reason {review.refund_reason})"
    return f"{kind(notification)}: names no purchase"


# Answers ----------------------------------------------------------------------------------------------------------------------


def said_at(line: Line | None, now: datetime) -> datetime:
    """When an answer counts as said: at the moment of asking, and after everything we held by then.

    It was said before we asked, so the answer is newer, even where a sandbox's clock stands still.
    """
    held = [one.purchase.as_of for one in line.held] if line is not None else []
    heard = [renewal.as_of for renewal in line.renewals] if line is not None else []
    last = max([*held, *heard], default=None)
    return now if last is None or last < now else last + timedelta(milliseconds=1)


# What to ask besides ----------------------------------------------------------------------------------------------------------


def known_orders(subscription: Subscription, line: Line | None, hint: str, now: datetime) -> list[str]:
    """Orders Google surely has: those it just named, the one it voided, and of those we hold the newest.

    Where no notification made us ask, it is to make up for what was not told (catching up, a silent end): then of those we hold all that could have
    been given back, as Google tells nobody of a refund that takes nothing.
    """
    named = [item.latest_successful_order_id for item in subscription.line_items if item.latest_successful_order_id]
    held = [one.purchase for one in line.held] if line is not None else []
    again = held[-MOST_ORDERS_AGAIN:] if hint else [one for one in held if one.purchased_at > now - REFUNDABLE]
    return list(dict.fromkeys([*named, *voided_of(hint), *(one.transaction for one in reversed(again))]))


def missed_orders(subscription: Subscription, line: Line | None) -> list[str]:
    """Orders numbered before the present one that we do not hold. Some of them may never have been."""
    held = {one.purchase.transaction for one in line.held} if line is not None else set()
    latest = [item.latest_successful_order_id for item in subscription.line_items if item.latest_successful_order_id]
    before = [order_id for one in latest for order_id in orders_before(one)[-MOST_ORDERS_BEFORE:]]
    return [order_id for order_id in dict.fromkeys(before) if order_id not in held]


# Acknowledging ----------------------------------------------------------------------------------------------------------------


def consumptions(token: str, purchase: ProductPurchase, products: Sequence[Product]) -> tuple[Act, ...]:
    """Consumes what can be bought again and was granted, so that it can be; consuming acknowledges it too.

    Only what a device has posted is consumed: the device no longer lists a consumed purchase, so nobody could claim it afterwards.
    """
    if not is_bought(purchase):
        return ()
    environment = environment_of_product(purchase)
    return tuple(
        Act(
            act_id=told_id("play_store", "consume", token, item.product_id or ""),
            kind="acknowledge",
            environment=environment,
            subject=token,
            details={"type": "one_time", "product": item.product_id or "", "consume": 1},
        )
        for item in purchase.product_line_item
        if item.product_id and product_kind(item, products) == "consumable" and not is_consumed(item)
    )


def acknowledgements(token: str, purchase: Subscription | ProductPurchase) -> tuple[Act, ...]:
    """What Google must hear of within three days, or it gives the money back: that a new token's purchase was granted. Renewals need none."""
    if purchase.acknowledgement_state != _PENDING_ACKNOWLEDGEMENT:
        return ()
    if isinstance(purchase, Subscription):
        owned = owned_items(purchase)
        if (purchase.subscription_state not in RUNNING and is_known(purchase)) or not owned:
            return ()
        return (_acknowledge(token, "subscription", owned[0].product_id or "", environment_of(purchase)),)
    products = [item.product_id for item in purchase.product_line_item if item.product_id]
    if not is_bought(purchase) or not products:
        return ()
    return (_acknowledge(token, "one_time", products[0], environment_of_product(purchase)),)


def _acknowledge(token: str, type: str, product: str, environment: Environment) -> Act:
    act_id = told_id("play_store", "acknowledge", token)
    return Act(act_id=act_id, kind="acknowledge", environment=environment, subject=token, details={"type": type, "product": product})
