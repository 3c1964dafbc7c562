"""What the stores send and answer, signed by keys made here: of each store new subscriptions, a notification each."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from hmac import digest
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, HashAlgorithm

from bench.answers import HOLE
from perennial.base.time import to_ms
from perennial.base.value import field, value
from perennial.intake.model import Provider
from perennial.providers.amazon import AmazonAppstore
from perennial.providers.google import PlayStore
from perennial.providers.microsoft import MicrosoftStore
from perennial.providers.paddle import PaddleBilling
from perennial.providers.roku import RokuPay
from perennial.providers.stripe import StripeBilling
from perennial.providers.stripe import signature as stripe_signature
from tests import google_messages as google
from tests import other_stores as other
from tests import stripe_objects as stripe

MONTH = timedelta(days=30)
_HOLE = HOLE.decode()

Signed = tuple[Mapping[str, str], bytes]  # headers and body
Answer = tuple[str, bytes]  # what a request contains, and what is answered to it
Check = Callable[[], object]


@value
class Kit:
    """A store's app, provider and messages. `check` is one bare check of a signature as the store makes it, of the same bytes.

    `asked` is the path of a question to its API, where its messages put one.
    """

    store: str
    product: str
    provider: Provider
    bundle_id: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    checked: str = ""
    check: Check = bool
    messages: tuple[Signed, ...] = ()
    asked: str | None = None


Open = Callable[[str, Sequence[int], datetime], Kit]  # the address of the API, numbers of the subscriptions, the moment


def _json(content: object) -> bytes:
    return msgspec.json.encode(content)


def _rsa(key: RSAPrivateKey, covered: bytes, algorithm: HashAlgorithm) -> Check:
    signature, public, padding = key.sign(covered, PKCS1v15(), algorithm), key.public_key(), PKCS1v15()
    return lambda: public.verify(signature, covered, padding, algorithm)


def _hmac(secret: str, covered: bytes) -> Check:
    return lambda: digest(secret.encode(), covered, sha256)


# Google Play ------------------------------------------------------------------------------------------------------------------


def play_store(address: str, numbers: Sequence[int], now: datetime) -> Kit:
    seconds = to_ms(now) // 1000
    token = google.push_token(iat=seconds, exp=seconds + 3600)
    return Kit(
        store="play_store",
        product="pro:monthly",
        provider=PlayStore(certificates=f"{address}/certs"),
        bundle_id=google.PACKAGE,
        settings=google.APP.settings,
        secrets=google.APP.secrets,
        checked="RSA-2048",
        check=_rsa(google.GOOGLES_KEY, token.rpartition(".")[0].encode(), SHA256()),
        messages=tuple((google.bearer(token), _play_store_push(number, now)) for number in numbers),
        asked="/androidpublisher/v3/applications/p/purchases/subscriptionsv2/tokens/token-00000001",
    )


def _play_store_push(number: int, now: datetime) -> bytes:
    about = {"version": "1.0", "notificationType": 4, "purchaseToken": f"token-{number:08d}"}
    return google.push(google.notification(eventTimeMillis=str(to_ms(now)), subscriptionNotification=about), message_id=f"{number:08d}")


def play_store_answers(now: datetime) -> list[Answer]:
    order_id, ends = f"GPA.3300-0000-0000-{_HOLE}", now + MONTH
    subscription = google.subscription("ACTIVE", google.line_item(order=order_id, until=ends), startTime=google.stamp(now))
    return [
        ("GET /certs", _json({"keys": [google.jwk(google.GOOGLES_KEY, google.GOOGLES_KEY_ID)]})),
        ("POST /token", _json({"access_token": "access", "expires_in": 3600, "token_type": "Bearer"})),
        ("/subscriptionsv2/tokens/", _json(subscription)),
        ("/orders:batchGet", _json({"orders": [google.order(order_id, now, ends, token=f"token-{_HOLE}")]})),
    ]


# Stripe -----------------------------------------------------------------------------------------------------------------------


def stripe_billing(address: str, numbers: Sequence[int], now: datetime) -> Kit:
    bodies = [
        stripe.event("customer.subscription.created", _stripe_subscription(f"{number:08d}", now), id=f"evt_{number:08d}", created=_seconds(now))
        for number in numbers
    ]
    return Kit(
        store="stripe",
        product="prod_pro",
        provider=StripeBilling(),
        secrets={"webhook_secret": stripe.SECRET, "api_key": "sk_test_key"},
        checked="HMAC-SHA256",
        check=_hmac(stripe.SECRET, bodies[0]),
        messages=tuple(({stripe_signature.HEADER: stripe_signature.sign(body, secret=stripe.SECRET, now=now)}, body) for body in bodies),
        asked="/v1/subscriptions/sub_00000001",
    )


def _stripe_subscription(number: str, now: datetime) -> dict[str, Any]:
    begins, ends = _seconds(now), _seconds(now + MONTH)
    item = stripe.item(f"si_{number}", created=begins, end=ends) | {"current_period_start": begins}
    return stripe.subscription(
        item,
        id=f"sub_{number}",
        created=begins,
        start_date=begins,
        customer=f"cus_{number}",
        latest_invoice=f"in_{number}",
        metadata={"app_user_id": f"user-{number}"},
    )


def stripe_answers(now: datetime) -> list[Answer]:
    line = stripe.line(start=_seconds(now), end=_seconds(now + MONTH), item=f"si_{_HOLE}")
    line["parent"]["subscription_item_details"]["subscription"] = f"sub_{_HOLE}"
    parent = {"type": "subscription_details", "subscription_details": {"subscription": f"sub_{_HOLE}", "metadata": {}}}
    invoice = stripe.invoice(f"in_{_HOLE}", line, parent=parent)
    charge = stripe.charge(f"pi_in_{_HOLE}", created=_seconds(now))
    return [
        ("/v1/subscriptions/", _json(_stripe_subscription(_HOLE, now))),
        ("/v1/invoices", _json(_list(invoice))),
        ("/v1/charges", _json(_list(charge))),
    ]


def _list(*data: object) -> dict[str, object]:
    return {"object": "list", "data": data, "has_more": False}


def _seconds(at: datetime) -> int:
    return to_ms(at) // 1000


# Amazon -----------------------------------------------------------------------------------------------------------------------


def amazon(address: str, numbers: Sequence[int], now: datetime) -> Kit:
    bodies = [
        other.sns_message(other.rtn("SUBSCRIPTION_PURCHASED", now, receiptId=f"r-{number:08d}"), now, MessageId=f"message-{number:08d}")
        for number in numbers
    ]
    return Kit(
        store="amazon",
        product="pro_monthly",
        provider=AmazonAppstore(sns_address=address),
        bundle_id="com.example.app",
        settings={"sns_topic_arn": other.TOPIC},
        secrets={"shared_secret": "secret"},
        checked="RSA-2048",
        check=_rsa(other.rsa_key(other.GENUINE), bodies[0], SHA1()),
        messages=tuple(({}, body) for body in bodies),
        asked="/version/1.0/verifyReceiptId/developer/secret/user/amzn-user/receiptId/r-00000001",
    )


def amazon_answers(now: datetime) -> list[Answer]:
    receipt = {
        "receiptId": f"r-{_HOLE}",
        "productId": "pro_monthly",
        "productType": "SUBSCRIPTION",
        "purchaseDate": to_ms(now),
        "renewalDate": to_ms(now + MONTH),
        "autoRenewing": True,
        "countryCode": "US",
    }
    return [(other.CERTIFICATE_PATH, other.sns_certificate(now - other.YEAR, now + other.YEAR)), ("/verifyReceiptId/", _json(receipt))]


# Roku -------------------------------------------------------------------------------------------------------------------------


def roku(address: str, numbers: Sequence[int], now: datetime) -> Kit:
    bodies = [_roku_sale(f"t{number:08d}", now) for number in numbers]
    return Kit(
        store="roku",
        product="pro_monthly",
        provider=RokuPay(key_addresses=(f"{address}/keys.json", f"{address}/test-keys.json")),
        bundle_id="251682",
        secrets={"api_key": "key"},
        checked="RSA-2048",
        check=_rsa(other.rsa_key(other.GENUINE), bodies[0].rpartition(b".")[0], SHA256()),
        messages=tuple(({}, body) for body in bodies),
        asked="/validate-transaction/key/t00000001",
    )


def _roku_sale(identifier: str, now: datetime) -> bytes:
    said = other.roku_push("Sale", now, transactionId=identifier, originalTransactionId=identifier)
    return other.roku_jws(said, now, x_Roku_message_key=f"key-{identifier}")


def roku_answers(now: datetime) -> list[Answer]:
    begins, ends = (f"/Date({to_ms(moment)}+0000)/" for moment in (now, now + MONTH))
    transaction = {
        "status": 0,
        "transactionId": f"t{_HOLE}",
        "OriginalTransactionId": f"t{_HOLE}",
        "channelId": 251682,
        "productId": "pro_monthly",
        "purchaseDate": begins,
        "originalPurchaseDate": begins,
        "expirationDate": ends,
        "isEntitled": True,
        "cancelled": False,
        "amount": 4.99,
        "tax": 0.5,
        "total": 5.49,
        "currency": "usd",
        "quantity": 1,
    }
    return [
        ("GET /keys.json", _json(other.roku_keys(other.KEY_ID))),
        ("GET /test-keys.json", _json(other.roku_keys())),
        ("/validate-transaction/", _json(transaction)),
    ]


# Paddle -----------------------------------------------------------------------------------------------------------------------


def paddle(address: str, numbers: Sequence[int], now: datetime) -> Kit:
    """Its notification carries the paid transaction itself: nothing is asked."""
    bodies = [other.paddle_event("transaction.completed", _paddle_transaction(f"{number:08d}", now), now, f"evt_{number:08d}") for number in numbers]
    return Kit(
        store="paddle",
        product="pri_pro",
        provider=PaddleBilling(),
        secrets={"notification_secret": other.PADDLE_SECRET, "api_key": "pdl_live_key"},
        checked="HMAC-SHA256",
        check=_hmac(other.PADDLE_SECRET, bodies[0]),
        messages=tuple((other.paddle_headers(body, now), body) for body in bodies),
    )


def _paddle_transaction(number: str, now: datetime) -> dict[str, Any]:
    price = {"id": "pri_pro", "product_id": "pro_pro", "billing_cycle": {"interval": "month", "frequency": 1}, "trial_period": None}
    totals = {"subtotal": "832", "tax": "167", "total": "999", "grand_total": "999", "fee": "90", "currency_code": "USD"}
    return {
        "id": f"txn_{number}",
        "status": "completed",
        "origin": "web",
        "items": [{"price": price, "quantity": 1}],
        "details": {"totals": totals, "line_items": [{"id": f"txnitm_{number}", "price_id": "pri_pro", "totals": {"total": "999", "tax": "167"}}]},
        "currency_code": "USD",
        "created_at": now.isoformat(),
        "billed_at": now.isoformat(),
        "subscription_id": f"sub_{number}",
        "billing_period": {"starts_at": now.isoformat(), "ends_at": (now + MONTH).isoformat()},
        "custom_data": {"app_user_id": f"user-{number}"},
    }


def no_answers(now: datetime) -> list[Answer]:
    return []


# Microsoft --------------------------------------------------------------------------------------------------------------------


def microsoft(address: str, numbers: Sequence[int], now: datetime) -> Kit:
    """Sends nothing: it is asked, with the key each user's device got from it."""
    return Kit(
        store="microsoft",
        product="9NBLGGH42CFD",
        provider=MicrosoftStore(),
        bundle_id="9NBLGGH42CFC",
        settings={"tenant_id": "tenant", "client_id": "client"},
        secrets={"client_secret": "secret"},
        asked="/v8.0/b2b/recurrences/query",
    )


def microsoft_recurrence(number: str, begins: datetime, ends: datetime) -> dict[str, Any]:
    return {
        "id": f"mdr:0:{number}",
        "productId": "9NBLGGH42CFD",
        "recurrenceState": "Active",
        "startTime": begins.isoformat(),
        "expirationTime": ends.isoformat(),
        "autoRenew": True,
        "market": "US",
    }


def microsoft_answers(now: datetime) -> list[Answer]:
    """Lines that began a month ago, renewed now."""
    return [
        ("/oauth2/token", _json({"access_token": "access", "expires_in": "3599"})),
        ("/v8.0/b2b/recurrences/query", _json({"items": [microsoft_recurrence(_HOLE, now - MONTH, now + MONTH)]})),
    ]


KITS: dict[str, tuple[Open, Callable[[datetime], list[Answer]]]] = {
    "play_store": (play_store, play_store_answers),
    "stripe": (stripe_billing, stripe_answers),
    "amazon": (amazon, amazon_answers),
    "roku": (roku, roku_answers),
    "paddle": (paddle, no_answers),
}
