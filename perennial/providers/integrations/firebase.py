"""Google Analytics for Firebase, by the Measurement Protocol of GA4, for app streams.

Source: Google's documentation of the protocol: `POST /mp/collect?firebase_app_id=&api_secret=`, of one app instance; at most 25 parameters an
event, texts of at most 100 characters; it answers 204 whatever it is sent, so a test event goes to its validation server, which says what is
wrong. Names and parameters are the vendor's: money is a `purchase`, money given back a `refund`, whose `value` Google wants positive.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from perennial.base.outgoing import Reply
from perennial.base.time import EPOCH, from_ms
from perennial.providers.integrations import reading
from perennial.providers.integrations.model import Event, Fields, Hidden, Item, Judgement, Limits, Receiver, Request, Skipped

LONGEST_TEXT = 100
_ANONYMOUS = "$RCAnonymousID:"
_NAMES = {
    "CANCELLATION": "rc_cancellation",
    "UNCANCELLATION": "rc_uncancellation",
    "SUBSCRIPTION_PAUSED": "rc_subscription_paused",
    "EXPIRATION": "rc_expiration",
    "BILLING_ISSUE": "rc_billing_issue",
    "PRODUCT_CHANGE": "rc_product_change",
}
_PURCHASES = frozenset({"INITIAL_PURCHASE", "RENEWAL", "NON_RENEWING_PURCHASE"})
_KEPT = (
    "product_id",
    "period_type",
    "environment",
    "presented_offering_id",
    "transaction_id",
    "original_transaction_id",
    "original_app_user_id",
    "app_id",
    "cancel_reason",
    "expiration_reason",
    "new_product_id",
)
_MOMENTS = {
    "purchased_at_ms": "purchased_at",
    "expiration_at_ms": "expiration_at",
    "auto_resume_at_ms": "auto_resumes_at",
    "grace_period_expiration_at_ms": "grace_period_expires_at",
}

NO_INSTANCE = Skipped(reason="skipped: the customer has no attribute $firebaseAppInstanceId, by which Google Analytics knows them")


class Settings(Fields, frozen=True):
    firebase_app_id: str  # `1:1234567890:ios:...`: one integration for each app, narrowed to it by app_id
    base_url: str = "https://www.google-analytics.com"  # EU: https://region1.google-analytics.com


class Secrets(Hidden, frozen=True):
    api_secret: str


def address(settings: Settings, secrets: Secrets) -> str:
    return reading.check_base(settings.base_url, "settings.base_url")


def item(event: Event) -> Item | Skipped:
    is_test = event["type"] == "TEST"
    instance = "0" * 32 if is_test else reading.attributes(event).get("$firebaseAppInstanceId")
    if not instance:
        return NO_INSTANCE
    user = event.get("app_user_id")
    return {
        "app_instance_id": instance,
        **({"user_id": user} if user and not user.startswith(_ANONYMOUS) else {}),
        "timestamp_micros": (reading.happened_at(event) - EPOCH) // timedelta(microseconds=1),
        "events": _events(event),
        **({"validation_behavior": "ENFORCE_RECOMMENDATIONS"} if is_test else {}),
    }


def _events(event: Event) -> list[dict[str, Any]]:
    """A refund that ends a subscription is both: what happened, and money."""
    amount = reading.revenue(event)
    if event["type"] in _PURCHASES and (amount or not _is_trial(event)):  # a trial may cost a setup fee
        return [_named("purchase", {**_parameters(event), **_sale(event, amount), **_turn(event)})]
    if event["type"] == "PRODUCT_CHANGE" and amount:  # charged within the period
        return [_named(_name(event), _parameters(event)), _named("purchase", {**_parameters(event), **_sale(event, amount), **_turn(event)})]
    refund = [_named("refund", {**_parameters(event), **_sale(event, -amount)})] if amount is not None and amount < 0 else []
    return refund if event["type"] == "REFUND" and refund else [_named(_name(event), _parameters(event)), *refund]


def _is_trial(event: Event) -> bool:
    return event["type"] == "INITIAL_PURCHASE" and event.get("period_type") == "TRIAL"


def _name(event: Event) -> str:
    if _is_trial(event):
        return "rc_trial_start"
    return _NAMES.get(event["type"], f"rc_{event['type'].lower()}_event"[:40])


def _parameters(event: Event) -> dict[str, Any]:
    return {
        "event_id": event["id"],
        **{key: event.get(key) for key in _KEPT},
        "affiliation": event.get("store"),
        **{name: _micros(event[key]) for key, name in _MOMENTS.items() if event.get(key) is not None},
    }


def _sale(event: Event, amount: float | None) -> dict[str, Any]:
    thing = {"item_id": event.get("product_id"), "affiliation": event.get("store"), "price": amount, "quantity": 1}
    return {
        "currency": event.get("currency") if amount is not None else None,
        "value": amount,
        "coupon": event.get("offer_code"),
        "items": [{key: one for key, one in thing.items() if one is not None}],
    }


def _turn(event: Event) -> dict[str, Any]:
    return {"is_renewal": event["type"] == "RENEWAL", "is_trial_conversion": bool(event.get("is_trial_conversion"))}


def _named(name: str, parameters: dict[str, Any]) -> dict[str, Any]:
    fitting = {key: one[:LONGEST_TEXT] if isinstance(one, str) else one for key, one in parameters.items() if one is not None}
    return {"name": name, "params": fitting}


def _micros(milliseconds: int) -> int:
    return (from_ms(milliseconds) - EPOCH) // timedelta(microseconds=1)


def request(settings: Settings, secrets: Secrets, items: Sequence[Item], sent_at: datetime) -> Request:
    (one,) = items
    path = "/debug/mp/collect" if "validation_behavior" in one else "/mp/collect"
    asked = reading.query(firebase_app_id=settings.firebase_app_id, api_secret=secrets.api_secret)
    return Request(url=f"{address(settings, secrets)}{path}?{asked}", body=reading.encode(one))


class _Message(msgspec.Struct):
    description: str = ""


class _Validation(msgspec.Struct):
    messages: list[_Message] = msgspec.field(default_factory=list, name="validationMessages")


def judge(reply: Reply) -> Judgement | None:
    """Only the validation server writes anything."""
    if reply.status != 200 or not reply.content:
        return None
    try:
        messages = msgspec.json.decode(reply.content, type=_Validation).messages
    except msgspec.MsgspecError:
        return None
    return Judgement(refused={0: f"not valid: {messages[0].description[:300]}"}, took_the_others=True) if messages else None


RECEIVER = Receiver(
    kind="firebase",
    title="Google Analytics for Firebase",
    settings=Settings,
    secrets=Secrets,
    limits=Limits(events=1, bytes=130_000, each=130_000),
    address=address,
    item=item,
    request=request,
    judge=judge,
)
