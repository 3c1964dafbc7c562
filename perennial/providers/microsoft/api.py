"""The Microsoft Store's purchase service: whose subscriptions are how, and changing them.

The service signs in with the app's Entra credentials; which user is meant, a Store ID key says, which the user's device got and our caller
handed on. Source: "v8.0/b2b/recurrences" (Microsoft GDK documentation, 2026-03).
"""

from collections.abc import Mapping
from urllib.parse import quote

from perennial.base.errors import Invalid, NotConfigured, Unavailable
from perennial.base.http import Answer, Http
from perennial.base.secrets import Secret, conceal
from perennial.base.time import perf_counter
from perennial.intake.model import CannotAct, StoreApp
from perennial.providers.microsoft.payload import QueueKey, Recurrence, Recurrences, Token

ADDRESS = "https://purchase.mp.microsoft.com"
SIGN_IN = "https://login.microsoftonline.com"
AUDIENCE = "https://onestore.microsoft.com"
MOST_PAGES = 20
LONGEST_KEY = 16 * 1024

Credentials = tuple[str, str, Secret, str]  # tenant, client id, client secret, address

_MARGIN = 120.0  # seconds before its end at which a token is not used any more


class PurchaseService:
    """One pool of connections to Microsoft, shared by every app; access tokens are kept while they last."""

    def __init__(self, http: Http) -> None:
        self._http = http
        self._tokens: dict[Credentials, tuple[Secret, float]] = {}

    async def recurrences(self, app: StoreApp, store_id_key: str) -> list[Recurrence] | None:
        """Every subscription of the key's user, ended ones too; None where the key is not accepted. Raises `Unavailable`."""
        found: list[Recurrence] = []
        more: dict[str, str] = {}
        for _ in range(MOST_PAGES):
            answer = await self._post(app, "/v8.0/b2b/recurrences/query", {"b2bKey": store_id_key, **_sandbox(app), **more})
            if 400 <= answer.status < 500 and answer.status not in (401, 403, 429):
                return None
            if not answer.is_success:
                raise _trouble(answer)
            page = answer.decode(Recurrences)
            found += page.items
            if not page.continuation_token:
                return found
            more = {"continuationToken": page.continuation_token}
        raise Unavailable(f"Microsoft lists more than {MOST_PAGES} pages of one user's subscriptions; nothing is left out in silence")

    async def change(self, app: StoreApp, recurrence_id: str, store_id_key: str, change: Mapping[str, str]) -> None:
        """Raises `CannotAct` where Microsoft refuses for good, `Unavailable` for now."""
        path = f"/v8.0/b2b/recurrences/{quote(recurrence_id, safe='')}/change"
        answer = await self._post(app, path, {"b2bKey": store_id_key, **change, **_sandbox(app)})
        if answer.status in (401, 403, 429) or answer.status >= 500:
            raise _trouble(answer)
        if not answer.is_success:
            raise CannotAct(f"Microsoft refuses: {answer.status} {conceal(answer.content[:300].decode('utf-8', 'replace'))}")

    async def clawback_queue(self, app: StoreApp) -> str:
        """An address that opens the app's Clawback queue, for some hours. Raises `Unavailable`."""
        address = (app.api_base_url or ADDRESS).rstrip("/") + "/v8.0/b2b/clawback/sastoken"
        answer = await self._http.call("GET", address, headers={"Authorization": f"Bearer {await self._token(app)}"})
        if answer.status == 401:
            self._tokens.pop(_credentials(app), None)
        if not answer.is_success:
            raise Unavailable(
                f"the Microsoft Store opens no Clawback queue for this app: it answered {answer.status}. Is one set up for its client id?"
            )
        return answer.decode(QueueKey).uri

    async def _post(self, app: StoreApp, path: str, body: Mapping[str, str]) -> Answer:
        if not 0 < len(body["b2bKey"]) <= LONGEST_KEY:
            raise Invalid("not a Microsoft Store ID key", param="fetch_token")
        headers = {"Authorization": f"Bearer {await self._token(app)}"}
        answer = await self._http.call("POST", (app.api_base_url or ADDRESS).rstrip("/") + path, headers=headers, json=body)
        if answer.status == 401:  # withdrawn before its end: the next try signs in anew
            self._tokens.pop(_credentials(app), None)
        return answer

    async def _token(self, app: StoreApp) -> str:
        credentials = _credentials(app)
        token, good_until = self._tokens.get(credentials, (Secret(""), 0.0))
        if token and perf_counter() < good_until:
            return token.reveal()
        tenant, client_id, client_secret, _ = credentials
        form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": client_secret.reveal(), "resource": AUDIENCE}
        address = f"{(app.api_base_url or SIGN_IN).rstrip('/')}/{quote(tenant, safe='')}/oauth2/token"
        answer = await self._http.call("POST", address, form=form)
        if not answer.is_success:
            raise Unavailable(f"Microsoft Entra answered {answer.status}: check the app's tenant_id, client_id and client_secret")
        said = answer.decode(Token)
        self._tokens[credentials] = (Secret(said.access_token), perf_counter() + _lifetime(said) - _MARGIN)
        return said.access_token


def has_credentials(app: StoreApp) -> bool:
    return bool(app.settings.get("tenant_id") and app.settings.get("client_id") and app.secrets.get("client_secret"))


def _credentials(app: StoreApp) -> Credentials:
    if not has_credentials(app):
        raise NotConfigured(
            "the app lacks `tenant_id`, `client_id` or `client_secret`; Microsoft cannot be asked without them", param="client_secret"
        )
    return app.settings["tenant_id"], app.settings["client_id"], app.secrets["client_secret"], app.api_base_url or ""


def _sandbox(app: StoreApp) -> dict[str, str]:
    return {"sbx": app.settings["sandbox"]} if app.settings.get("sandbox") else {}


def _lifetime(token: Token) -> float:
    text = str(token.expires_in)
    return float(min(int(text), 86400)) if text.isascii() and text.isdigit() and len(text) < 10 else 0.0


def _trouble(answer: Answer) -> Unavailable:
    return Unavailable(f"the Microsoft Store answered {answer.status}")
