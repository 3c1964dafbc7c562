"""Google Play's answers and pushes, written by its documented schemas, and a Google on this machine that gives them."""

import json
from base64 import b64encode, urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from perennial.base.ids import AppId, ProjectId
from perennial.base.time import to_ms
from perennial.base.value import value
from perennial.intake.model import StoreApp
from perennial.providers.google.api import sign
from perennial.subscriptions.model import Statement

PACKAGE = "com.example.play"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
AUDIENCE = "https://billing.example.com/hooks/play_store/app_1"
PUSHER = "pusher@example.iam.gserviceaccount.com"
SUBSCRIPTION = "projects/p/subscriptions/play"

ACCOUNT_KEY = generate_private_key(65537, 2048)
GOOGLES_KEY = generate_private_key(65537, 2048)  # stands for Google's own
GOOGLES_KEY_ID = "c0ffee"
FIRST = "GPA.3300-0000-0000-00001"


def pem(key: RSAPrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


SERVICE_ACCOUNT = json.dumps(
    {
        "type": "service_account",
        "client_email": "publisher@example.iam.gserviceaccount.com",
        "private_key_id": "key-1",
        "private_key": pem(ACCOUNT_KEY),
        "token_uri": "http://169.254.169.254/not-followed",
    }
)

APP = StoreApp(
    project_id=ProjectId("proj_1"),
    app_id=AppId("app_1"),
    store="play_store",
    bundle_id=PACKAGE,
    settings={"pubsub_audience": AUDIENCE, "pubsub_service_account": PUSHER},
    secrets={"service_account": SERVICE_ACCOUNT},
)


def stamp(moment: datetime) -> str:
    """As Google writes it."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def amount(text: str, currency: str = "EUR") -> dict[str, Any]:
    """`google.type.Money`; what is zero is left out."""
    number = Decimal(text)
    units, rest = divmod(abs(number), 1)
    whole = {"currencyCode": currency}
    sign = -1 if number < 0 else 1
    if units:
        whole["units"] = str(int(units) * sign)
    if rest:
        whole["nanos"] = int(rest * 10**9) * sign  # type: ignore[assignment]
    return whole


def said(**members: Any) -> dict[str, Any]:
    """Without what is None: Google leaves it out."""
    return {name: content for name, content in members.items() if content is not None}


def line_item(
    product: str = "pro",
    order: str | None = FIRST,
    until: datetime | None = NOW + 30 * DAY,
    *,
    plan: str | None = "monthly",
    auto: bool = True,
    **more: Any,
) -> dict[str, Any]:
    kind = {} if "prepaidPlan" in more else {"autoRenewingPlan": said(autoRenewEnabled=True if auto else None, recurringPrice=amount("9.99"))}
    item = said(
        productId=product,
        expiryTime=stamp(until) if until is not None else None,
        latestSuccessfulOrderId=order,
        offerDetails=said(basePlanId=plan) if plan else None,
    )
    return item | kind | more


def subscription(state: str = "ACTIVE", *items: dict[str, Any], **more: Any) -> dict[str, Any]:
    return said(
        kind="androidpublisher#subscriptionPurchaseV2",
        subscriptionState=f"SUBSCRIPTION_STATE_{state}",
        startTime=stamp(NOW),
        regionCode="DE",
        acknowledgementState="ACKNOWLEDGEMENT_STATE_ACKNOWLEDGED",
        lineItems=list(items) or [line_item()],
        etag="etag-1",
    ) | said(**more)


def order(
    order_id: str = FIRST,
    begins: datetime = NOW,
    ends: datetime | None = NOW + 30 * DAY,
    *,
    product: str = "pro",
    plan: str | None = "monthly",
    price: str = "9.99",
    tax: str = "1.60",
    revenue: str | None = "7.13",
    currency: str = "EUR",
    phase: str | None = "baseDetails",
    state: str = "PROCESSED",
    token: str = "token-a",
    history: dict[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    details = said(
        basePlanId=plan,
        servicePeriodStartTime=stamp(begins),
        servicePeriodEndTime=stamp(ends) if ends is not None else None,
        offerPhaseDetails={phase: {}} if phase is not None else None,
    )
    part = {"productId": product, "total": amount(price, currency), "tax": amount(tax, currency), "subscriptionDetails": details}
    return said(
        orderId=order_id,
        purchaseToken=token,
        state=state,
        createTime=stamp(begins),
        lastEventTime=stamp(begins),
        total=amount(price, currency),
        tax=amount(tax, currency),
        developerRevenueInBuyerCurrency=amount(revenue, currency) if revenue is not None else None,
        lineItems=[part],
        orderHistory=history,
    ) | said(**more)


def refunded(at: datetime) -> dict[str, Any]:
    """The history of an order given back as a whole."""
    return {"refundEvent": {"eventTime": stamp(at), "refundReason": "OTHER"}}


def bought_product(state: str = "PURCHASED", product: str = "coins", order_id: str | None = FIRST, **more: Any) -> dict[str, Any]:
    return said(
        kind="androidpublisher#productPurchaseV2",
        orderId=order_id,
        purchaseCompletionTime=stamp(NOW),
        purchaseStateContext={"purchaseState": state},
        acknowledgementState="ACKNOWLEDGEMENT_STATE_ACKNOWLEDGED",
        productLineItem=[{"productId": product, "productOfferDetails": {"quantity": 1, "consumptionState": "CONSUMPTION_STATE_YET_TO_BE_CONSUMED"}}],
        regionCode="DE",
    ) | said(**more)


def product_order(order_id: str = FIRST, *, product: str = "coins", price: str = "4.99", state: str = "PROCESSED", **more: Any) -> dict[str, Any]:
    part = {"productId": product, "total": amount(price), "tax": amount("0.80"), "oneTimePurchaseDetails": {"quantity": 1}}
    return said(
        orderId=order_id, state=state, createTime=stamp(NOW), lastEventTime=stamp(NOW), total=amount(price), tax=amount("0.80"), lineItems=[part]
    ) | said(**more)


# Pushes


def notification(**member: Any) -> dict[str, Any]:
    return {"version": "1.0", "packageName": PACKAGE, "eventTimeMillis": str(to_ms(NOW))} | member


def about_subscription(type: int, token: str = "token-a") -> dict[str, Any]:
    return notification(subscriptionNotification={"version": "1.0", "notificationType": type, "purchaseToken": token})


def push(content: dict[str, Any] | bytes, *, message_id: str | None = "136969346945", subscription: str = SUBSCRIPTION) -> bytes:
    """The body Pub/Sub posts."""
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    message = said(data=b64encode(data).decode(), messageId=message_id, publishTime=stamp(NOW), attributes={})
    return json.dumps({"message": message, "subscription": subscription}).encode()


def push_token(key: RSAPrivateKey = GOOGLES_KEY, key_id: str = GOOGLES_KEY_ID, *, alg: str = "RS256", **changes: Any) -> str:
    seconds = to_ms(NOW) // 1000
    claims = {"iss": "https://accounts.google.com", "aud": AUDIENCE, "email": PUSHER, "email_verified": True, "iat": seconds, "exp": seconds + 3600}
    return sign({"alg": alg, "kid": key_id, "typ": "JWT"}, said(**(claims | changes)), key)


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def jwk(key: RSAPrivateKey, key_id: str) -> dict[str, str]:
    numbers = key.public_key().public_numbers()

    def text(number: int) -> str:
        return urlsafe_b64encode(number.to_bytes((number.bit_length() + 7) // 8, "big")).rstrip(b"=").decode()

    return {"kid": key_id, "kty": "RSA", "alg": "RS256", "use": "sig", "n": text(numbers.n), "e": text(numbers.e)}


def certificate(key: RSAPrivateKey) -> bytes:
    """A certificate (DER) as a simulated store has one."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Simulated Google Play")])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(7)
    return made.not_valid_before(NOW - DAY).not_valid_after(NOW + 365 * DAY).sign(key, SHA256()).public_bytes(Encoding.DER)


# A Google on this machine


@value
class Asked:
    """One request as the server saw it."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: Any


class FakeGoogle:
    """Answers scripted per path, in order, the last one for ever; unscripted paths are 404. Remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, list[tuple[int, dict[str, str], bytes]]] = {}
        self.asked: list[Asked] = []
        self.tokens_given = 0
        google = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 65536

            def do_GET(self) -> None:
                split = urlsplit(self.path)
                raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                status, extra, content = google.answer(self.command, unquote(split.path), parse_qs(split.query), dict(self.headers.items()), raw)
                self.send_response(status)
                for name, text in {"Content-Type": "application/json", "Content-Length": str(len(content)), **extra}.items():
                    self.send_header(name, text)
                self.end_headers()
                self.wfile.write(content)

            do_POST = do_GET

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def says(self, path: str, *answers: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        """Scripts a path below the application; `//` begins one from the root."""
        key = path[1:] if path.startswith("//") else f"/androidpublisher/v3/applications/{PACKAGE}{path}"
        encoded = [answer if isinstance(answer, bytes) else json.dumps(answer).encode() for answer in answers or ({},)]
        self.answers.setdefault(key, []).extend((status, headers or {}, content) for content in encoded)

    def refuses(self, path: str, status: int, reason: str = "", message: str = "no", **headers: str) -> None:
        body = {"error": {"code": status, "message": message, "errors": [{"domain": "androidpublisher", "reason": reason}]}}
        self.says(path, body, status=status, headers=headers)

    def has(self, *orders: dict[str, Any]) -> None:
        """Orders by their own path and in every batch."""
        for one in orders:
            self.says(f"/orders/{one['orderId']}", one)
        self.says("/orders:batchGet", {"orders": list(orders)})

    def answer(self, method: str, path: str, query: dict[str, list[str]], headers: dict[str, str], raw: bytes) -> tuple[int, dict[str, str], bytes]:
        if path == "/token":
            self.tokens_given += 1
            self.grants = parse_qs(raw.decode())
            return 200, {}, json.dumps({"access_token": f"access-{self.tokens_given}", "expires_in": 3600, "token_type": "Bearer"}).encode()
        lower = {name.lower(): text for name, text in headers.items()}
        self.asked.append(Asked(method=method, path=path, query=query, headers=lower, body=json.loads(raw) if raw else None))
        scripted = self.answers.get(path)
        if not scripted:
            return 404, {}, json.dumps({"error": {"code": 404, "message": "not found", "errors": [{"reason": "notFound"}]}}).encode()
        return scripted.pop(0) if len(scripted) > 1 else scripted[0]

    def paths(self) -> list[str]:
        prefix = f"/androidpublisher/v3/applications/{PACKAGE}"
        return [f"{one.method} {one.path.removeprefix(prefix)}" for one in self.asked]


def tokens(statement: Statement) -> tuple[str, ...]:
    """The keys a statement names beside its own, but for the first orders by which an import may know it."""
    return tuple(key for key in statement.also if not key.startswith("GPA."))
