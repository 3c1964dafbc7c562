"""The simulated Google Play's bodies, field by field as Google documents them (androidpublisher v3), and its notifications.

Moments are RFC 3339, money units and billionths. What is empty, false or zero is left out, as Google leaves it out.
"""

from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import msgspec

from perennial.base.money import Money, to_micros
from perennial.base.time import to_ms
from perennial.providers.simulated.play_store import rules
from perennial.providers.simulated.play_store.model import Happening, Life, Order, Plan, Token

Body = dict[str, Any]

TAX_PERCENT = 19  # included in every price
FEE_PERCENT = 15  # of the price without tax
SUBSCRIPTION = "projects/simulated/subscriptions/play"

_PHASES = {"base": "baseDetails", "trial": "freeTrialDetails", "proration": "prorationPeriodDetails"}
_ITEM_PHASES = {"base": "basePrice", "trial": "freeTrial", "proration": "prorationPeriod"}


def told(body: Mapping[str, Any]) -> Body:
    return {name: content for name, content in body.items() if content is not None}


def moment(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def money(amount: Money) -> Body:
    units, micros = divmod(to_micros(amount), 1_000_000)
    return told({"currencyCode": amount.currency, "units": str(units) if units else None, "nanos": micros * 1000 or None})


# Purchases --------------------------------------------------------------------------------------------------------------------


def subscription(life: Life, token: Token) -> Body:
    """`SubscriptionPurchaseV2`."""
    state = rules.state(life, token)
    lapsed = _lapsed(life, token)
    return told(
        {
            "kind": "androidpublisher#subscriptionPurchaseV2",
            "startTime": moment(token.started_at),
            "regionCode": life.region,
            "subscriptionState": f"SUBSCRIPTION_STATE_{state}",
            "acknowledgementState": _acknowledgement(token),
            "linkedPurchaseToken": life.token_name(token.linked) if token.linked is not None else None,
            "externalAccountIdentifiers": _identifiers(life) if lapsed is None else None,
            "outOfAppPurchaseContext": lapsed,
            "canceledStateContext": _canceled(token) if state in ("CANCELED", "EXPIRED") else None,
            "pausedStateContext": _paused(life) if state == "PAUSED" else None,
            "inGracePeriodStateContext": _declined(life) if state == "IN_GRACE_PERIOD" else None,
            "onHoldStateContext": _declined(life) if state == "ON_HOLD" else None,
            "testPurchase": {},
            "etag": etag(life),
            "lineItems": _line_items(life, token),
        }
    )


def _line_items(life: Life, token: Token) -> list[Body]:
    assert token.expires_at is not None, "a subscription ends"
    paid = rules.find_order(life, token.paid_order)
    item = _item(token.plan, auto_renew=token.auto_renew) | {"expiryTime": moment(token.expires_at), "latestSuccessfulOrderId": token.paid_order}
    if token.ended_at is None:
        item["offerPhase"] = {_ITEM_PHASES[paid.phase]: {}}
    if token.replacement is not None and token.linked is not None:
        before = life.tokens[token.linked - 1].plan
        item["itemReplacement"] = {"productId": before.subscription, "replacementMode": token.replacement}
    if token.next_plan is None:
        return [item]
    return [item | {"deferredItemReplacement": {"productId": token.next_plan.subscription}}, _item(token.next_plan, auto_renew=True)]


def _item(plan: Plan, *, auto_renew: bool) -> Body:
    if plan.is_prepaid:
        kind: Body = {"prepaidPlan": {}}
    else:
        kind = {"autoRenewingPlan": told({"autoRenewEnabled": auto_renew or None, "recurringPrice": money(plan.price)})}
    return {"productId": plan.subscription, **kind, "offerDetails": told({"basePlanId": plan.base_plan})}


def _identifiers(life: Life) -> Body | None:
    return {"obfuscatedExternalAccountId": life.account} if life.account is not None else None


def _lapsed(life: Life, token: Token) -> Body | None:
    if token.lapsed is None:
        return None
    return told({"expiredExternalAccountIdentifiers": _identifiers(life), "expiredPurchaseToken": life.token_name(token.lapsed)})


def _canceled(token: Token) -> Body | None:
    return (
        {f"{token.cancellation}InitiatedCancellation" if token.cancellation != "replacement" else "replacementCancellation": {}}
        if (token.cancellation is not None)
        else None
    )


def _paused(life: Life) -> Body:
    assert life.pause is not None and life.pause.resumes_at is not None, "what is paused resumes"
    return {"autoResumeTime": moment(life.pause.resumes_at)}


def _declined(life: Life) -> Body:
    unpaid = next((order for order in life.orders if order.state == "PENDING"), None)
    return {"renewalDeclined": told({"pendingOrderId": unpaid.order_id if unpaid is not None else None})}


def _acknowledgement(token: Token) -> str:
    return f"ACKNOWLEDGEMENT_STATE_{'ACKNOWLEDGED' if token.is_acknowledged else 'PENDING'}"


def etag(life: Life) -> str:
    """Changes with everything that does."""
    return sha256(msgspec.json.encode([life.tokens, life.orders, life.trouble, life.pause])).hexdigest()[:16]


def product(life: Life, token: Token) -> Body:
    """`ProductPurchaseV2`."""
    consumption = "CONSUMED" if token.is_consumed else "YET_TO_BE_CONSUMED"
    return told(
        {
            "kind": "androidpublisher#productPurchaseV2",
            "orderId": token.paid_order,
            "purchaseCompletionTime": moment(token.started_at),
            "purchaseStateContext": {"purchaseState": "CANCELLED" if token.ended_at is not None else "PURCHASED"},
            "acknowledgementState": _acknowledgement(token),
            "productLineItem": [
                {
                    "productId": token.plan.product,
                    "productOfferDetails": {"quantity": 1, "consumptionState": f"CONSUMPTION_STATE_{consumption}"},
                }
            ],
            "obfuscatedExternalAccountId": life.account,
            "regionCode": life.region,
            "testPurchaseContext": {"fopType": "TEST"},
        }
    )


# Orders -----------------------------------------------------------------------------------------------------------------------


def order(life: Life, one: Order) -> Body:
    """`Order`. The tax is within the total; what is left without it and without Google's fee is the developer's."""
    token = life.tokens[one.token - 1]
    tax = Money(amount=round(one.price.amount * TAX_PERCENT / (100 + TAX_PERCENT)), currency=one.price.currency)
    net = one.price - tax
    revenue = net - Money(amount=round(net.amount * FEE_PERCENT / 100), currency=net.currency)
    base_plan = one.product.partition(":")[2] or None
    span = told({"servicePeriodStartTime": moment(one.starts_at), "servicePeriodEndTime": moment(one.ends_at) if one.ends_at is not None else None})
    details = told({"basePlanId": base_plan, "offerPhaseDetails": {_PHASES[one.phase]: {}}, **span})
    paid_for = {"subscriptionDetails": details} if token.plan.duration is not None else {"oneTimePurchaseDetails": {"quantity": 1}}
    history = {"refundEvent": {"eventTime": moment(one.refunded_at), "refundReason": "OTHER"}} if one.refunded_at is not None else None
    return told(
        {
            "orderId": one.order_id,
            "purchaseToken": life.token_name(one.token),
            "state": one.state,
            "createTime": moment(one.created_at),
            "lastEventTime": moment(one.refunded_at or one.created_at),
            "buyerAddress": {"buyerCountry": life.region},
            "total": money(one.price),
            "tax": money(tax),
            "developerRevenueInBuyerCurrency": money(revenue if one.refunded_at is None else Money(amount=0, currency=net.currency)),
            "lineItems": [{"productId": one.product.split(":")[0], "total": money(one.price), "tax": money(tax), **paid_for}],
            "orderHistory": history,
        }
    )


def voided(life: Life, one: Order) -> Body:
    assert one.voided_at is not None, "only what was taken back is listed"
    return {
        "kind": "androidpublisher#voidedPurchase",
        "orderId": one.order_id,
        "purchaseToken": life.token_name(one.token),
        "purchaseTimeMillis": str(to_ms(one.created_at)),
        "voidedTimeMillis": str(to_ms(one.voided_at)),
        "voidedSource": 1,
        "voidedReason": one.voided_reason,
    }


# Notifications ----------------------------------------------------------------------------------------------------------------


def push(package: str, life: Life, happening: Happening) -> bytes:
    """The body Pub/Sub posts."""
    data = {"version": "1.0", "packageName": package, "eventTimeMillis": str(to_ms(happening.at)), **_member(life, happening)}
    message = {
        "data": b64encode(msgspec.json.encode(data)).decode(),
        "messageId": f"{life.code}-{happening.number}",
        "publishTime": moment(happening.at),
        "attributes": {},
    }
    return msgspec.json.encode({"message": message, "subscription": SUBSCRIPTION})


def _member(life: Life, happening: Happening) -> Body:
    token, plan = life.token_name(happening.token), life.tokens[happening.token - 1].plan
    named = {"version": "1.0", "notificationType": happening.type, "purchaseToken": token}
    match happening.about:
        case "subscription":
            return {"subscriptionNotification": named}
        case "product":
            return {"oneTimeProductNotification": named | {"sku": plan.product}}
        case "voided":
            kind = 1 if plan.duration is not None else 2
            return {"voidedPurchaseNotification": {"purchaseToken": token, "orderId": happening.order_id, "productType": kind, "refundType": 1}}
        case "test":
            return {"testNotification": {"version": "1.0"}}
