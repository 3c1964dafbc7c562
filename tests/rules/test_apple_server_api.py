"""Asking the App Store: against a real server on this machine that answers what Apple documents."""

import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from perennial.base.errors import Invalid, NotConfigured, NotFound, Unavailable
from perennial.base.ids import AppId, ProjectId
from perennial.base.time import to_ms
from perennial.base.value import replace, value
from perennial.intake.model import Caught, Posted, Question, Reading, StoreApp, Untrusted
from perennial.providers.apple import AppStore, StoreUnavailable, TransactionNotFound, server_api
from perennial.providers.apple.signer import SigningAuthority
from perennial.subscriptions.model import Purchase, Renewal, Statement

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
AUTHORITY = SigningAuthority.create(NOW)
KEY = generate_private_key(SECP256R1())
DAY = timedelta(days=1)

HISTORY, STATUSES = "/inApps/v2/history/1001", "/inApps/v1/subscriptions/1001"
NOTIFICATIONS, TEST = "/inApps/v1/notifications/history", "/inApps/v1/notifications/test"


def pem(key: EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@value
class Asked:
    """One request as the server saw it."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: Any


class Apple:
    """Answers scripted per path, in order, the last one for ever; remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, list[tuple[int, dict[str, str], bytes]]] = {}
        self.asked: list[Asked] = []
        apple = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 65536  # head and body in one packet

            def do_GET(self) -> None:
                path = urlsplit(self.path)
                raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): content for name, content in self.headers.items()}
                body = json.loads(raw) if raw else None
                apple.asked.append(Asked(method=self.command, path=path.path, query=parse_qs(path.query), headers=headers, body=body))
                answers = apple.answers[path.path]
                status, extra, content = answers.pop(0) if len(answers) > 1 else answers[0]
                self.send_response(status)
                for name, said in {"Content-Type": "application/json", "Content-Length": str(len(content)), **extra}.items():
                    self.send_header(name, said)
                self.end_headers()
                self.wfile.write(content)

            do_POST = do_GET

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, path: str, *contents: object, status: int = 200, **headers: str) -> None:
        self.answers[path] = [(status, headers, one if isinstance(one, bytes) else json.dumps(one).encode()) for one in contents]


@pytest.fixture
def apple() -> Iterator[Apple]:
    server = Apple()
    yield server
    server.server.shutdown()
    server.server.server_close()


@pytest.fixture
async def store() -> AsyncIterator[AppStore]:
    asked = AppStore()
    yield asked
    await asked.close()


@pytest.fixture
def app(apple: Apple) -> StoreApp:
    return StoreApp(
        project_id=ProjectId("proj_1"),
        app_id=AppId("app_1"),
        store="app_store",
        bundle_id="com.example.app",
        api_key_id="KEY1",
        api_issuer="issuer-1",
        api_private_key=pem(KEY),
        api_base_url=apple.address + "/",
        simulated_roots=(AUTHORITY.root_der,),
    )


def transaction(**changes: object) -> str:
    said: dict[str, object] = {
        "environment": "Sandbox",
        "bundleId": "com.example.app",
        "transactionId": "1002",
        "originalTransactionId": "1001",
        "productId": "pro_monthly",
        "type": "Auto-Renewable Subscription",
        "purchaseDate": to_ms(NOW - DAY),
        "expiresDate": to_ms(NOW + DAY),
        "signedDate": to_ms(NOW),
        "transactionReason": "RENEWAL",
    }
    return AUTHORITY.sign(said | changes)


def renewal(**changes: object) -> str:
    said = {"environment": "Sandbox", "originalTransactionId": "1001", "productId": "pro_monthly", "autoRenewStatus": 0, "signedDate": to_ms(NOW)}
    return AUTHORITY.sign(said | changes)


FIRST = {"transactionId": "1001", "transactionReason": "PURCHASE", "purchaseDate": to_ms(NOW - 3 * DAY), "expiresDate": to_ms(NOW - DAY)}
PURCHASE = Purchase(
    transaction="1002",
    product="pro_monthly",
    kind="subscription",
    purchased_at=NOW - DAY,
    expires_at=NOW + DAY,
    as_of=NOW,
    is_first=False,
    is_renewal=True,
)
FIRST_PURCHASE = replace(PURCHASE, transaction="1001", purchased_at=NOW - 3 * DAY, expires_at=NOW - DAY, is_first=True, is_renewal=False)
QUESTION = Question(environment="sandbox", subject="1001")


def page(*signed: str, more: str | None = None) -> dict[str, object]:
    return {"signedTransactions": signed, "hasMore": more is not None, "revision": more or "end", "environment": "Sandbox"}


def present(*items: dict[str, object]) -> dict[str, object]:
    return {"environment": "Sandbox", "bundleId": "com.example.app", "data": [{"subscriptionGroupIdentifier": "21", "lastTransactions": items}]}


def status(number: int, of: str, renews: str | None = None) -> dict[str, object]:
    return {"status": number, "originalTransactionId": "1001", "signedTransactionInfo": of, "signedRenewalInfo": renews}


# Asking about a line


async def test_a_line_is_its_history_and_its_present_state(apple: Apple, app: StoreApp, store: AppStore) -> None:
    apple.answer(HISTORY, page(transaction(), more="r1"), page(transaction(**FIRST)))
    apple.answer(STATUSES, present(status(2, transaction(), renewal(expirationIntent=1))))
    assert await store.ask(app, QUESTION, Posted(), NOW) == Reading(
        statements=(
            Statement(
                store="app_store",
                environment="sandbox",
                line="1001",
                purchases=(PURCHASE, FIRST_PURCHASE),
                renewals=(Renewal(as_of=NOW, transaction="1002", auto_renew=False, off_reason="unsubscribe", ended="unsubscribe"),),
            ),
        )
    )
    assert [(one.method, one.path, one.query) for one in apple.asked] == [
        ("GET", HISTORY, {"sort": ["DESCENDING"]}),
        ("GET", HISTORY, {"sort": ["DESCENDING"], "revision": ["r1"]}),
        ("GET", STATUSES, {}),
    ]


async def test_other_lines_of_the_same_customer_are_left_out(apple: Apple, app: StoreApp, store: AppStore) -> None:
    other = {"transactionId": "2001", "originalTransactionId": "2001"}
    apple.answer(HISTORY, page(transaction(), transaction(**other)))
    apple.answer(STATUSES, present(status(1, transaction(**other))))
    assert [one.line for one in (await store.ask(app, QUESTION, Posted(), NOW)).statements] == ["1001"]


async def test_a_line_is_found_by_any_of_its_transactions(apple: Apple, app: StoreApp, store: AppStore) -> None:
    apple.answer("/inApps/v2/history/1002", page(transaction()))
    apple.answer("/inApps/v1/subscriptions/1002", present())
    assert [one.line for one in (await store.look_up(app, "1002", "sandbox", NOW)).statements] == ["1001"]


async def test_a_one_time_purchase_has_no_status(apple: Apple, app: StoreApp, store: AppStore) -> None:
    apple.answer(HISTORY, page(transaction(type="Consumable", transactionId="1001", expiresDate=None)))
    apple.answer(STATUSES, {"errorCode": 4040005, "errorMessage": "Original transaction id not found."}, status=404)
    (stated,) = (await store.ask(app, QUESTION, Posted(), NOW)).statements
    assert [(one.transaction, one.kind) for one in stated.purchases] == [("1001", "consumable")]


async def test_connections_are_used_again(apple: Apple, app: StoreApp, store: AppStore) -> None:
    ports: list[int] = []
    get_request = apple.server.get_request

    def counted() -> Any:
        connection, address = get_request()
        ports.append(address[1])
        return connection, address

    apple.server.get_request = counted  # type: ignore[method-assign]
    apple.answer(HISTORY, page(transaction()))
    apple.answer(STATUSES, present())
    await store.ask(app, QUESTION, Posted(), NOW)
    await store.ask(app, QUESTION, Posted(), NOW)
    assert (len(apple.asked), len(ports)) == (4, 1)


async def test_a_very_long_history_is_bounded_and_says_so(apple: Apple, app: StoreApp, store: AppStore) -> None:
    apple.answer(HISTORY, page(transaction(), more="again"))
    apple.answer(STATUSES, present())
    reading = await store.ask(app, QUESTION, Posted(), NOW)
    assert len(apple.asked) == server_api.MOST_HISTORY_PAGES + 1 == 101
    assert reading.note == "only the 100 transactions changed last were read"
    assert reading.statements[0].purchases == (PURCHASE,)


async def test_a_page_that_promises_more_but_not_where_is_the_last(apple: Apple, app: StoreApp, store: AppStore) -> None:
    apple.answer(HISTORY, page(transaction()) | {"hasMore": True, "revision": None})
    apple.answer(STATUSES, present())
    assert (await store.ask(app, QUESTION, Posted(), NOW)).note is None
    assert [one.path for one in apple.asked] == [HISTORY, STATUSES]


async def test_each_environment_has_its_own_address(apple: Apple, app: StoreApp, store: AppStore, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Apple()
    monkeypatch.setattr(server_api, "ADDRESSES", {"production": other.address, "sandbox": apple.address})
    for one, token in ((other, "of production"), (apple, "of the sandbox")):
        one.answer(TEST, {"testNotificationToken": token})
    real = replace(app, api_base_url=None)
    assert await store.request_test_notification(real, "production", NOW) == "of production"
    assert await store.request_test_notification(real, "sandbox", NOW) == "of the sandbox"
    other.server.shutdown()
    other.server.server_close()


@pytest.mark.parametrize(
    ("history", "statuses"),
    [
        (page(transaction(bundleId="com.other")), present()),
        (page(transaction(environment="Production")), present()),
        (page(SigningAuthority.create(NOW).sign({"environment": "Sandbox", "signedDate": to_ms(NOW)})), present()),
        (page(transaction()), present(status(1, transaction(bundleId="com.other")))),
        (page(transaction()), present(status(1, transaction(), renewal(originalTransactionId="2001")))),
        (page(transaction()), present(status(1, transaction(), renewal()[:-6] + "AAAAAA"))),
    ],
)
async def test_nothing_unsigned_is_believed_because_the_store_answered_it(
    history: object, statuses: object, apple: Apple, app: StoreApp, store: AppStore
) -> None:
    apple.answer(HISTORY, history)
    apple.answer(STATUSES, statuses)
    with pytest.raises(Untrusted):
        await store.ask(app, QUESTION, Posted(), NOW)


async def test_an_answer_of_another_environment_is_not_believed(apple: Apple, app: StoreApp, store: AppStore) -> None:
    apple.answer(HISTORY, page(transaction()))
    apple.answer(STATUSES, present())
    with pytest.raises(Untrusted, match="'Sandbox' inside a message of 'Production'"):
        await store.ask(app, replace(QUESTION, environment="production"), Posted(), NOW)


async def test_where_the_environment_is_unknown_the_sandbox_comes_second(apple: Apple, app: StoreApp, store: AppStore) -> None:
    missing: tuple[int, dict[str, str], bytes] = (404, {}, json.dumps({"errorCode": 4040010, "errorMessage": "Transaction id not found."}).encode())
    apple.answer(HISTORY, page(transaction()))
    apple.answers[HISTORY].insert(0, missing)
    apple.answer(STATUSES, present())
    assert [one.environment for one in (await store.find(app, "1001", NOW)).statements] == ["sandbox"]
    assert [one.path for one in apple.asked] == [HISTORY, HISTORY, STATUSES]


async def test_only_a_missing_transaction_is_looked_for_elsewhere(apple: Apple, app: StoreApp, store: AppStore) -> None:
    apple.answer(HISTORY, {"errorCode": 4040001, "errorMessage": "Account not found."}, status=404)
    with pytest.raises(NotFound, match="4040001: Account not found"):
        await store.find(app, "1001", NOW)
    assert len(apple.asked) == 1


async def test_an_id_cannot_lead_to_another_call(apple: Apple, app: StoreApp, store: AppStore) -> None:
    apple.answer("/inApps/v2/history/..%2F1%3Fa", page())
    apple.answer("/inApps/v1/subscriptions/..%2F1%3Fa", present())
    assert (await store.look_up(app, "../1?a", "sandbox", NOW)).statements == ()


# Who asks


async def test_the_token_is_the_one_apple_asks_for(apple: Apple, app: StoreApp, store: AppStore) -> None:
    apple.answer(TEST, {"testNotificationToken": "token-1"})
    assert await store.request_test_notification(app, "sandbox", NOW) == "token-1"
    (asked,) = apple.asked
    assert (asked.method, asked.body) == ("POST", None)
    token = asked.headers["authorization"].removeprefix("Bearer ")
    unclocked: Any = {"verify_exp": False, "verify_iat": False}
    claims = jwt.decode(token, KEY.public_key(), algorithms=["ES256"], audience="appstoreconnect-v1", options=unclocked)
    began = to_ms(NOW) // 1000
    assert claims == {"iss": "issuer-1", "iat": began - 60, "exp": began + 300, "aud": "appstoreconnect-v1", "bid": "com.example.app"}
    assert jwt.get_unverified_header(token) == {"alg": "ES256", "kid": "KEY1", "typ": "JWT"}


@pytest.mark.parametrize("missing", ["api_key_id", "api_issuer", "api_private_key", "bundle_id"])
async def test_without_its_settings_the_store_cannot_be_asked(missing: str, apple: Apple, app: StoreApp, store: AppStore) -> None:
    assert store.can_ask(app) is True
    nothing: dict[str, Any] = {missing: None}
    bare = replace(app, **nothing)
    assert store.can_ask(bare) is False
    with pytest.raises(NotConfigured) as caught:
        await store.ask(bare, QUESTION, Posted(), NOW)
    assert caught.value.param == missing
    assert apple.asked == []


@pytest.mark.parametrize(
    "key",
    ["hello", pem(generate_private_key(SECP384R1())), pem(KEY)[:100], "-----BEGIN PRIVATE KEY-----\n"],
    ids=["words", "another curve", "half of one", "only its first line"],
)
async def test_a_key_that_is_none_is_named(key: str, app: StoreApp, store: AppStore) -> None:
    with pytest.raises(Invalid, match=r"paste the whole \.p8") as caught:
        await store.ask(replace(app, api_private_key=key), QUESTION, Posted(), NOW)
    assert caught.value.param == "api_private_key"


# What it may answer


@pytest.mark.parametrize(
    ("number", "content", "kind"),
    [
        (400, {"errorCode": 4000006, "errorMessage": "Invalid transaction id."}, Invalid),
        (401, b"", NotConfigured),
        (403, {"errorCode": 4030004, "errorMessage": "No."}, Invalid),
        (404, {"errorCode": 4040010, "errorMessage": "Transaction id not found."}, TransactionNotFound),
        (404, {"errorCode": 4040001, "errorMessage": "Account not found."}, NotFound),
        (404, b"<html>", NotFound),
        (404, {"errorCode": 4040002, "errorMessage": "Account not found. Please try again."}, StoreUnavailable),
        (404, {"errorCode": 4040004, "errorMessage": "App not found. Please try again."}, StoreUnavailable),
        (404, {"errorCode": 4040006, "errorMessage": "Not found. Please try again."}, StoreUnavailable),
        (429, {"errorCode": 4290000, "errorMessage": "Rate limit exceeded."}, StoreUnavailable),
        (500, {"errorCode": 5000000, "errorMessage": "An unknown error occurred."}, StoreUnavailable),
        (500, {"errorCode": 5000001, "errorMessage": "An unknown error occurred. Please try again."}, StoreUnavailable),
        (503, b"", StoreUnavailable),
        (302, b"", StoreUnavailable),
        (200, b"", StoreUnavailable),
        (200, b"[]", StoreUnavailable),
        (200, {"signedTransactions": "x"}, StoreUnavailable),
        (200, b"[" * 200_000, StoreUnavailable),
    ],
)
async def test_each_refusal_is_one_of_ours(number: int, content: object, kind: type[Exception], apple: Apple, app: StoreApp, store: AppStore) -> None:
    apple.answer(HISTORY, content, status=number)
    with pytest.raises(kind) as caught:
        await store.ask(app, QUESTION, Posted(), NOW)
    assert type(caught.value) is kind
    assert isinstance(caught.value, Unavailable) is (kind in (StoreUnavailable, NotConfigured))


async def test_a_refused_token_says_what_to_check(apple: Apple, app: StoreApp, store: AppStore) -> None:
    apple.answer(HISTORY, b"", status=401)
    with pytest.raises(
        NotConfigured, match=r"^the App Store Server API answered 401: it did not accept our token\. Check the app's in-app purchase key"
    ):
        await store.ask(app, QUESTION, Posted(), NOW)


@pytest.mark.parametrize(
    ("header", "retry_at"),
    [
        (str(to_ms(NOW + timedelta(seconds=7))), NOW + timedelta(seconds=7)),
        ("120", NOW + timedelta(seconds=120)),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
        ("-1", None),
        ("²", None),
        ("9" * 40, None),
        (None, None),
    ],
)
async def test_apple_says_when_to_come_back(header: str | None, retry_at: datetime | None, apple: Apple, app: StoreApp, store: AppStore) -> None:
    apple.answer(HISTORY, {"errorCode": 4290000}, status=429, **({"Retry-After": header} if header is not None else {}))
    with pytest.raises(StoreUnavailable) as caught:
        await store.ask(app, QUESTION, Posted(), NOW)
    assert caught.value.retry_at == retry_at


async def test_a_store_that_does_not_answer_is_unavailable(apple: Apple, app: StoreApp, store: AppStore) -> None:
    closed = Apple()
    closed.server.shutdown()
    closed.server.server_close()
    with pytest.raises(StoreUnavailable, match="did not answer: ConnectError"):
        await store.ask(replace(app, api_base_url=closed.address), QUESTION, Posted(), NOW)


@pytest.mark.parametrize("address", ["http://a:b", "ftp://example", "nonsense"])
async def test_an_address_that_is_none_is_named(address: str, app: StoreApp, store: AppStore) -> None:
    with pytest.raises(Invalid) as caught:
        await store.ask(replace(app, api_base_url=address), QUESTION, Posted(), NOW)
    assert caught.value.param == "api_base_url"


async def test_an_answer_without_end_is_cut(apple: Apple, app: StoreApp, store: AppStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_api, "_LARGEST_ANSWER", 1000)
    apple.answer(HISTORY, b'{"a":"' + b"x" * 1000 + b'"}')
    with pytest.raises(StoreUnavailable, match="more than the 1000 bytes"):
        await store.ask(app, QUESTION, Posted(), NOW)


def test_apples_addresses() -> None:
    assert server_api.ADDRESSES == {"production": "https://api.storekit.apple.com", "sandbox": "https://api.storekit-sandbox.apple.com"}


# What Apple has sent


def sent(*payloads: str, more: str | None = None) -> dict[str, object]:
    items = [{"signedPayload": one, "sendAttempts": [{"attemptDate": 1, "sendAttemptResult": "SUCCESS"}]} for one in payloads]
    return {"notificationHistory": items, "hasMore": more is not None, "paginationToken": more}


def signed(uuid: str) -> str:
    """A notification as Apple keeps it."""
    subject = {"environment": "Sandbox", "bundleId": "com.example.app", "signedTransactionInfo": transaction()}
    return AUTHORITY.sign({"notificationType": "DID_RENEW", "notificationUUID": uuid, "signedDate": to_ms(NOW), "data": subject})


async def caught(store: AppStore, app: StoreApp, days: float, **options: Any) -> list[str]:
    told = [one async for one in store.missed(app, NOW - days * DAY, NOW, options.pop("environment", "sandbox"), NOW, **options)]
    return [one.envelope.message_id for one in told if isinstance(one, Caught)]


async def test_what_apple_sent_comes_back_as_the_bodies_it_posts(apple: Apple, app: StoreApp, store: AppStore) -> None:
    apple.answer(NOTIFICATIONS, sent(signed("u-1"), signed("u-2"), more="p2"), sent(signed("u-3")))
    assert await caught(store, app, 3, only_failures=True) == ["u-1", "u-2", "u-3"]
    span = {"startDate": to_ms(NOW - 3 * DAY), "endDate": to_ms(NOW), "onlyFailures": True}
    assert [(one.method, one.query, one.body) for one in apple.asked] == [("POST", {}, span), ("POST", {"paginationToken": ["p2"]}, span)]


@pytest.mark.parametrize("end", [{"hasMore": False, "paginationToken": "p2"}, {"hasMore": True, "paginationToken": None}])
async def test_the_last_page_is_the_one_without_more_or_without_a_token(end: dict[str, Any], apple: Apple, app: StoreApp, store: AppStore) -> None:
    apple.answer(NOTIFICATIONS, sent(signed("u-1")) | end)
    assert await caught(store, app, 1) == ["u-1"]
    assert len(apple.asked) == 1


async def test_a_body_from_the_history_reads_like_a_posted_one(apple: Apple, app: StoreApp, store: AppStore) -> None:
    apple.answer(NOTIFICATIONS, sent(signed("u-1")))
    (one,) = [one async for one in store.missed(app, NOW - DAY, NOW, "sandbox", NOW)]
    assert isinstance(one, Caught)
    assert store.open(app, one.body, {}, NOW) == one.envelope
    assert store.read(app, one.body, NOW).statements[0].purchases == (PURCHASE,)


async def test_what_comes_back_forged_is_not_believed(apple: Apple, app: StoreApp, store: AppStore) -> None:
    apple.answer(
        NOTIFICATIONS, sent(SigningAuthority.create(NOW).sign({"notificationType": "DID_RENEW", "notificationUUID": "u", "signedDate": to_ms(NOW)}))
    )
    with pytest.raises(Untrusted):
        await caught(store, app, 1)


@pytest.mark.parametrize(("environment", "days"), [("production", 180), ("sandbox", 30)])
async def test_no_more_is_asked_for_than_apple_keeps(environment: Any, days: int, apple: Apple, app: StoreApp, store: AppStore) -> None:
    apple.answer(NOTIFICATIONS, sent())
    assert await caught(store, app, 400, environment=environment) == []
    assert apple.asked[0].body["startDate"] == to_ms(NOW - days * DAY + timedelta(hours=1))


async def test_a_span_too_long_is_refused_not_cut(apple: Apple, app: StoreApp, store: AppStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_api, "MOST_NOTIFICATION_PAGES", 3)
    apple.answer(NOTIFICATIONS, sent(signed("u-1"), more="again"))
    told = aiter(store.missed(app, NOW - DAY, NOW, "sandbox", NOW))
    for _ in range(3):
        assert isinstance(await anext(told), Caught)
    with pytest.raises(Invalid, match="ask for a shorter one"):
        await anext(told)
