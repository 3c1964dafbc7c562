"""App Store Connect on this machine: it checks tokens with the key's public half and keeps what is made, in Apple's JSON:API shapes."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.world import BUNDLE

KEY = generate_private_key(SECP256R1())
SETTINGS = {"app_store_connect_api_key_id": "KEY1234567", "app_store_connect_api_key_issuer": "57246542-96fe-1a63-e053-0824d011072a"}
SECRETS = {"app_store_connect_api_key": KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()}
APP = "6446000001"
LONGEST_NAME = 64
PERIODS = {"ONE_WEEK", "ONE_MONTH", "TWO_MONTHS", "THREE_MONTHS", "SIX_MONTHS", "ONE_YEAR"}
TYPES = {"CONSUMABLE", "NON_CONSUMABLE", "NON_RENEWING_SUBSCRIPTION"}


class Refusal(Exception):
    def __init__(self, status: int, code: str, title: str, detail: str, pointer: str | None = None) -> None:
        error = {"id": "1b2c", "status": str(status), "code": code, "title": title, "detail": detail}
        super().__init__(detail)
        self.status, self.body = status, {"errors": [error | ({"source": {"pointer": pointer}} if pointer else {})]}


class AppStoreConnect:
    """One app, and its groups, subscriptions and purchases. `page` is how many groups one answer holds."""

    def __init__(self, *, page: int = 200) -> None:
        self.page, self.busy = page, False
        self.groups: list[dict[str, Any]] = []
        self.made: list[dict[str, Any]] = []  # subscriptions and purchases
        self.calls: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                outer.calls.append(f"{self.command} {parts.path}")
                try:
                    check_token(self.headers.get("Authorization", ""))
                    status, body = outer.answer(self.command, parts.path, dict(parse_qsl(parts.query)), json.loads(raw) if raw else None)
                except Refusal as refusal:
                    status, body = refusal.status, refusal.body
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
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

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        if self.busy:
            raise Refusal(429, "RATE_LIMIT_EXCEEDED", "The request rate limit has been reached.", "Try later.")
        match method, path.split("/")[1:]:
            case "GET", ["v1", "apps"]:
                apps = [resource("apps", APP, bundleId=BUNDLE), resource("apps", "2", bundleId=f"{BUNDLE}.other")]
                return 200, {"data": [one for one in apps if one["attributes"]["bundleId"].startswith(query["filter[bundleId]"])], "links": {}}
            case "GET", ["v1", "apps", app, "subscriptionGroups"] if app == APP:
                return 200, self.some_groups(int(query.get("cursor", "0")))
            case "POST", ["v1", "subscriptionGroups"]:
                return 201, {"data": self.make(self.groups, body, "subscriptionGroups", {"referenceName"}, ("app", "apps", APP))}
            case "POST", ["v1", "subscriptions"]:
                groups = [group["id"] for group in self.groups]
                self.check(body, "subscriptionPeriod", PERIODS)
                wanted = body["data"]["relationships"]["group"]["data"]["id"]
                if wanted not in groups:
                    raise Refusal(
                        404, "NOT_FOUND", "The specified resource does not exist", f"There is no resource of type 'subscriptionGroups' {wanted}"
                    )
                attributes = {"name", "productId", "subscriptionPeriod"}
                return 201, {"data": self.make(self.made, body, "subscriptions", attributes, ("group", "subscriptionGroups", wanted))}
            case "POST", ["v2", "inAppPurchases"]:
                self.check(body, "inAppPurchaseType", TYPES)
                attributes = {"name", "productId", "inAppPurchaseType"}
                return 201, {"data": self.make(self.made, body, "inAppPurchases", attributes, ("app", "apps", APP))}
        raise Refusal(404, "NOT_FOUND", "The specified resource does not exist", f"The path provided does not match a defined resource type: {path}")

    def some_groups(self, start: int) -> dict[str, Any]:
        end = start + self.page
        links = {"next": f"https://api.appstoreconnect.apple.com/v1/apps/{APP}/subscriptionGroups?limit=200&cursor={end}"}
        return {"data": self.groups[start:end], "links": links if end < len(self.groups) else {}}

    def make(self, kept: list[dict[str, Any]], body: Any, kind: str, names: set[str], related: tuple[str, str, str]) -> dict[str, Any]:
        data, (relation, type, identifier) = body["data"], related
        assert (data["type"], set(data["attributes"])) == (kind, names)
        assert data["relationships"] == {relation: {"data": {"type": type, "id": identifier}}}
        made = resource(kind, str(6480000000 + len(self.groups) + len(self.made)), **data["attributes"])
        kept.append(made)
        return made

    def check(self, body: Any, name: str, known: set[str]) -> None:
        attributes = body["data"]["attributes"]
        if attributes[name] not in known:
            raise Refusal(409, "ENTITY_ERROR.ATTRIBUTE.TYPE", "An attribute value has the wrong type", f"{attributes[name]} is no {name}")
        if len(attributes["name"]) > LONGEST_NAME:
            detail = f"'name' can be no more than {LONGEST_NAME} characters"
            raise Refusal(409, "ENTITY_ERROR.ATTRIBUTE.INVALID.TOO_LONG", "An attribute value is too long.", detail, "/data/attributes/name")
        for field in ("productId", "name"):
            if any(one["attributes"][field] == attributes[field] for one in self.made):
                detail = f"The {field} you entered has already been used."
                title = "The provided entity includes an attribute with a value that has already been used"
                raise Refusal(409, "ENTITY_ERROR.ATTRIBUTE.INVALID.DUPLICATE", title, detail, f"/data/attributes/{field}")


def resource(type: str, identifier: str, **attributes: Any) -> dict[str, Any]:
    return {
        "type": type,
        "id": identifier,
        "attributes": attributes,
        "links": {"self": f"https://api.appstoreconnect.apple.com/v1/{type}/{identifier}"},
    }


def check_token(authorization: str) -> None:
    """As Apple does: signed by the key, of the issuer, for this API, and valid for twenty minutes at most."""
    scheme, _, token = authorization.partition(" ")
    try:
        assert scheme == "Bearer" and jwt.get_unverified_header(token) == {
            "alg": "ES256",
            "kid": SETTINGS["app_store_connect_api_key_id"],
            "typ": "JWT",
        }
        claims = jwt.decode(
            token, KEY.public_key(), algorithms=["ES256"], audience="appstoreconnect-v1", issuer=SETTINGS["app_store_connect_api_key_issuer"]
        )
        assert claims["exp"] - claims["iat"] <= 20 * 60 and "bid" not in claims
    except (jwt.InvalidTokenError, AssertionError) as error:
        detail = "Provide a properly configured and signed bearer token, and make sure that it has not expired."
        raise Refusal(401, "NOT_AUTHORIZED", "Authentication credentials are missing or invalid.", detail) from error
