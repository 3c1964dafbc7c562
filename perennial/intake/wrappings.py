"""Pushes in the wrong wrapping: a store's true notifications in a form of an older product, or without the envelope that proves their sender.

Such a push is refused with what to change in the store's settings, kept as an alarm (one row per app and form), and shown by `perennial doctor`.
Nothing in it is believed: its form alone is looked at. Refused, a store sends it again, and once the setting is right it comes as it must.
"""

from collections.abc import Mapping
from typing import Literal, get_args
from urllib.parse import parse_qs

import msgspec

Wrapping = Literal["google_unwrapped", "sns_raw", "app_store_v1", "stripe_thin", "paddle_classic"]
WRAPPINGS: tuple[Wrapping, ...] = get_args(Wrapping)

ADVICE: dict[Wrapping, str] = {
    "google_unwrapped": (
        "Pub/Sub pushes the message without its envelope; in the push subscription, turn 'Enable payload unwrapping' off (no_wrapper)"
    ),
    "sns_raw": "Amazon SNS delivers the message raw, without its signature; in the SNS subscription, turn 'raw message delivery' off",
    "app_store_v1": (
        "Apple sends App Store Server Notifications of version 1, which are not signed; in App Store Connect, under App Information, choose version 2"
    ),
    "stripe_thin": (
        "Stripe sends thin events (of its API v2), which hold no object; in the event destination, choose the payload style 'snapshot' and v1 events"
    ),
    "paddle_classic": (
        "this is an alert of Paddle Classic; add a notification destination of Paddle Billing (Developer tools, Notifications) for this address"
    ),
}

_LARGEST = 256 * 1024  # bytes that are looked at; notifications are a few kB
_OF_GOOGLE = (
    "subscriptionNotification",
    "oneTimeProductNotification",
    "voidedPurchaseNotification",
    "testNotification",
    "pendingRefundReviewNotification",
)


def wrapping_of(store: str, body: bytes, headers: Mapping[str, str]) -> Wrapping | None:
    """The form of a push that this store's reader cannot take, or None: it looks as it must, or like nothing known. `headers` are in lower case."""
    if len(body) > _LARGEST:
        return None
    if store == "amazon" and headers.get("x-amz-sns-rawdelivery", "").lower() == "true":
        return "sns_raw"
    if store == "paddle":
        return "paddle_classic" if _is_paddle_classic(body) else None
    said = _members(body)
    match store:
        case "play_store" if "message" not in said and "packageName" in said and any(name in said for name in _OF_GOOGLE):
            return "google_unwrapped"
        case "amazon" if "Type" not in said and "appPackageName" in said and "notificationType" in said:
            return "sns_raw"
        case "app_store" | "mac_app_store" if "signedPayload" not in said and "notification_type" in said:
            return "app_store_v1"
        case "stripe" if said.get("object") == "v2.core.event" or (said.get("object") == "event" and "related_object" in said and "data" not in said):
            return "stripe_thin"
    return None


def _members(body: bytes) -> dict[str, object]:
    try:
        return msgspec.json.decode(body, type=dict[str, object])
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return {}


def _is_paddle_classic(body: bytes) -> bool:
    if not body.isascii() or b"alert_name=" not in body:
        return False
    try:
        fields = parse_qs(body.decode("ascii"), max_num_fields=500)
    except ValueError:
        return False
    return "alert_name" in fields and "p_signature" in fields
