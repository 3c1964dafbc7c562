"""The vendor's Firebase extension, which keeps events and customers in Firestore and entitlements in Firebase Auth's custom claims.

Source: the public code of the extension (`firestore-revenuecat-purchases`): one request for each event, `{"token": ...}`, a JWT signed by HS256 with
the secret both sides share. Its claim `payload` is a JSON text of `api_version` (exactly the one the extension was made with), `event`, and
`customer_info`: who the event is of, as SDKs are answered. It writes `event.app_user_id` and `event.aliases`, which a transfer has none of in
webhooks: here it has the destination's, and `origin_app_user_id` and `origin_customer_info` of whom it takes from. The document of an event is
named by its id, so a repeat writes the same again.
"""

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from perennial.customers.model import is_anonymous
from perennial.providers.integrations import reading
from perennial.providers.integrations.model import CUSTOMERS, Event, Fields, Hidden, Item, Limits, Receiver, Request, Skipped

ISSUER = "https://firebase-extension.revenuecat.com/"
GOOD_FOR = timedelta(minutes=5)
_HEADER = {"typ": "JWT", "alg": "HS256"}


class Settings(Fields, frozen=True):
    url: str  # of the extension's function: https://<region>-<project>.cloudfunctions.net/ext-firestore-revenuecat-purchases-handler
    api_version: str = "0.1.4"  # the extension's own, which it holds each message to; it answers with it in X-EXTENSION-VERSION


class Secrets(Hidden, frozen=True):
    shared_secret: str


def address(settings: Settings, secrets: Secrets) -> str:
    return reading.check_base(settings.url, "settings.url")


def whose(event: Event) -> tuple[str, ...]:
    """Whose customer objects go with the event: of a transfer the destination's, then the origin's."""
    if event["type"] == "TRANSFER":
        return _name(event["transferred_to"]), _name(event["transferred_from"])
    return (event["app_user_id"],) if event.get("app_user_id") else ()


def _name(aliases: Sequence[str]) -> str:
    """The id to call a customer by: the newest that is not anonymous."""
    named = [alias for alias in aliases if not is_anonymous(alias)]
    return (named or list(aliases))[-1]


def item(event: Event) -> Item | Skipped:
    told, known = {name: one for name, one in event.items() if name != CUSTOMERS}, event.get(CUSTOMERS, {})
    ids = whose(event)
    if not ids:
        return Skipped(reason="skipped: this event is of no customer")
    if event["type"] != "TRANSFER":
        return {"event": told, "customer_info": known.get(ids[0]) or _nobody(ids[0])}
    if ids[0] not in known:
        return Skipped(reason=f"skipped: the customer {ids[0][:80]!r} is not known any more")
    moved = {"app_user_id": ids[0], "aliases": told["transferred_to"], "origin_app_user_id": ids[1]}
    return {"event": {**told, **moved}, "customer_info": known[ids[0]], "origin_customer_info": known.get(ids[1]) or _nobody(ids[1])}


def _nobody(app_user_id: str) -> dict[str, Any]:
    """Of a customer who is not there, or whom a test makes up: they have nothing."""
    return {"original_app_user_id": app_user_id, "entitlements": {}, "subscriptions": {}, "non_subscriptions": {}}


def request(settings: Settings, secrets: Secrets, items: Sequence[Item], sent_at: datetime) -> Request:
    (one,) = items
    payload = reading.encode({"api_version": settings.api_version, **one}).decode()
    issued_at = int(sent_at.timestamp())
    claims = {"iss": ISSUER, "iat": issued_at, "exp": issued_at + int(GOOD_FOR.total_seconds()), "jti": one["event"]["id"], "payload": payload}
    return Request(url=reading.check_base(settings.url, "settings.url"), body=reading.encode({"token": signed(claims, secrets.shared_secret)}))


def signed(claims: dict[str, Any], secret: str) -> str:
    """A JWT by HS256 (RFC 7515)."""
    said = b".".join(_base64url(reading.encode(part)) for part in (_HEADER, claims))
    return (said + b"." + _base64url(hmac.digest(secret.encode(), said, sha256))).decode()


def _base64url(content: bytes) -> bytes:
    return urlsafe_b64encode(content).rstrip(b"=")


RECEIVER = Receiver(
    kind="firestore",
    title="the Firebase extension",
    settings=Settings,
    secrets=Secrets,
    limits=Limits(events=1, bytes=8_000_000, each=1_000_000),
    address=address,
    item=item,
    request=request,
    whose=whose,
    refused=frozenset(),  # a wrong secret or version is the operator's to mend; the event is not at fault
)
