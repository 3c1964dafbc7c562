"""Genuine messages of Amazon, Roku and Paddle, signed with keys made here, and lines as we would hold them after hearing statements."""

import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from perennial.base.ids import AppId, CustomerId, LineId, ProjectId
from perennial.base.time import to_ms
from perennial.intake.model import StoreApp
from perennial.providers.paddle import signature
from perennial.providers.roku import push
from perennial.subscriptions.model import Line, Statement, Store
from perennial.subscriptions.rules import merge
from perennial.subscriptions.telling import tell

TOPIC = "arn:aws:sns:us-east-1:033616359524:rtn"
CERTIFICATE_PATH = "/SimpleNotificationService-0123456789abcdef.pem"
CERTIFICATE_URL = f"https://sns.us-east-1.amazonaws.com{CERTIFICATE_PATH}"
KEY_ID = "ROKU-PARTNER-SERVICE-2026-01-01"
PADDLE_SECRET = "pdl_ntfset_secret"
GENUINE = "genuine"  # the name of the key the store signs with; any other is a forger's


def app(store: Store, *, bundle_id: str | None = None, address: str | None = None, settings: Any = None, secrets: Any = None) -> StoreApp:
    return StoreApp(
        project_id=ProjectId("proj_1"),
        app_id=AppId("app_1"),
        store=store,
        bundle_id=bundle_id,
        api_base_url=address,
        settings=settings or {},
        secrets=secrets or {},
    )


def hear(statements: Sequence[Statement], now: datetime, line: Line | None = None) -> Line:
    """The line as it stands once these statements of it were recorded and told."""
    if line is not None and not statements:
        return line
    first = statements[0]
    known = line or Line(
        line_id=LineId("line_1"),
        customer_id=CustomerId("cust_1"),
        app_id=AppId("app_1"),
        store=first.store,
        environment=first.environment,
        store_line=first.line,
        heard_at=now,
    )
    for statement in statements:
        known = merge(known, statement, now)
    return tell(known, now)[0]


def told(statements: Sequence[Statement], now: datetime, line: Line) -> list[str]:
    """The events these statements make of a line that was told before."""
    for statement in statements:
        line = merge(line, statement, now)
    return [one.type if one.reason is None else f"{one.type} {one.reason}" for one in tell(line, now)[1]]


@cache
def rsa_key(name: str) -> RSAPrivateKey:
    return generate_private_key(public_exponent=65537, key_size=2048)


# Amazon


@cache
def sns_certificate(begins: datetime, ends: datetime) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sns.amazonaws.com")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(rsa_key(GENUINE).public_key()).serial_number(7)
    return builder.not_valid_before(begins).not_valid_after(ends).sign(rsa_key(GENUINE), SHA256()).public_bytes(Encoding.PEM)


SIGNED_FIELDS = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    "UnsubscribeConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}


def sns_message(message: object, now: datetime, *, key: str = GENUINE, version: str = "1", **changes: str) -> bytes:
    """A message as SNS posts it; `changes` are made before it is signed."""
    fields = {
        "Type": "Notification",
        "MessageId": "22b80b92-0000-4c2c-8f9d-38a913c2f0da",
        "TopicArn": TOPIC,
        "Message": message if isinstance(message, str) else json.dumps(message),
        "Timestamp": now.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "SignatureVersion": version,
        "SigningCertURL": CERTIFICATE_URL,
        **changes,
    }
    covered = "".join(f"{name}\n{fields[name]}\n" for name in SIGNED_FIELDS[fields["Type"]] if name in fields)
    signed = rsa_key(key).sign(covered.encode(), PKCS1v15(), SHA1() if version == "1" else SHA256())
    return json.dumps({**fields, "Signature": b64encode(signed).decode()}).encode()


def rtn(kind: str, now: datetime, **changes: object) -> dict[str, object]:
    """A real-time notification about a receipt."""
    return {
        "notificationType": kind,
        "receiptId": "rcpt-1:3:11",
        "relatedReceipts": {},
        "appUserId": "amzn-user=",
        "appPackageName": "com.example.app",
        "timestamp": to_ms(now),
        "betaProductTransaction": False,
        **changes,
    }


# Roku


def base64url(content: bytes) -> str:
    return urlsafe_b64encode(content).rstrip(b"=").decode()


def roku_keys(*key_ids: str) -> dict[str, object]:
    """A key set as Roku publishes it."""
    numbers = rsa_key(GENUINE).public_key().public_numbers()
    n, e = (base64url(number.to_bytes((number.bit_length() + 7) // 8, "big")) for number in (numbers.n, numbers.e))
    return {"keys": [{"kty": "RSA", "alg": "RS256", "kid": one, "n": n, "e": e} for one in key_ids]}


def roku_push(kind: str, now: datetime, **changes: object) -> dict[str, object]:
    return {
        "customerId": "2df58f54b4f7540ca3aa31ce8bec1fe7",
        "transactionType": kind,
        "transactionId": "T2",
        "channelId": "251682",
        "productCode": "pro_monthly",
        "originalTransactionId": "T-1",
        "eventDate": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "comments": "New order processed.",
        "responseKey": "d4dd12df0c8445afa8860895061e72f9",
        "isFreeTrial": False,
        **changes,
    }


def roku_jws(message: object, now: datetime, *, key: str = GENUINE, header: Any = None, **claims: object) -> bytes:
    """A push as Roku posts it; `claims` are spelled with underscores for dashes."""
    seconds = to_ms(now) // 1000
    content = message if isinstance(message, bytes) else json.dumps(message).encode()
    said = {
        "iss": push.ISSUER,
        "exp": seconds + 86400,
        "nbf": seconds - 3600,
        "x-Roku-message": base64url(content),
        "x-Roku-message-encoding": "base64-utf8",
        "x-Roku-message-key": "key-1",
        "x-Roku-message-type": "roku.rpay.push",
        **{name.replace("_", "-"): one for name, one in claims.items()},
    }
    head = base64url(json.dumps({"typ": "JWT", "alg": "RS256", "kid": KEY_ID, **(header or {})}).encode())
    covered = f"{head}.{base64url(json.dumps(said).encode())}"
    return f"{covered}.{base64url(rsa_key(key).sign(covered.encode(), PKCS1v15(), SHA256()))}".encode()


# Paddle


def paddle_event(kind: str, data: object, now: datetime, event_id: str = "evt_1") -> bytes:
    return json.dumps({"event_id": event_id, "event_type": kind, "occurred_at": now.isoformat(), "notification_id": "ntf_1", "data": data}).encode()


def paddle_headers(body: bytes, now: datetime, secret: str = PADDLE_SECRET) -> dict[str, str]:
    return {signature.HEADER: signature.sign(body, secret=secret, now=now)}


YEAR = timedelta(days=365)
