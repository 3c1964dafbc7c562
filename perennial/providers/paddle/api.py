"""Paddle's API: the present state of a subscription, everything paid for it, everything given back, and the list of events.

Lists are read page by page from the last id seen: the address of a next page, which an answer offers, is not followed.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import msgspec

from perennial.base.errors import Invalid, NotConfigured, Unavailable
from perennial.base.http import Answer, Http
from perennial.intake.model import CannotAct, StoreApp
from perennial.providers.paddle.payload import Adjustment, ErrorAnswer, Event, Meta, PortalSession, Subscription, Transaction
from perennial.subscriptions.model import Environment

ADDRESSES: dict[Environment, str] = {"production": "https://api.paddle.com", "sandbox": "https://sandbox-api.paddle.com"}
MOST_PAGES = 100

E = TypeVar("E")
L = TypeVar("L", Transaction, Adjustment, Event)


class One(msgspec.Struct, Generic[E]):
    data: E


class Page(msgspec.Struct, Generic[E]):
    data: list[E]
    meta: Meta = Meta()


def environment(app: StoreApp) -> Environment:
    """What the app's setting says, else what its API key does (`pdl_sdbx_...`)."""
    said = app.settings.get("environment")
    is_sandbox = said == "sandbox" if said else app.reveal("api_key").startswith("pdl_sdbx_")
    return "sandbox" if is_sandbox else "production"


class Api:
    """One pool of connections to Paddle, shared by every app. What is not there is None. Raises `Unavailable`."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def subscription(self, app: StoreApp, subscription_id: str) -> Subscription | None:
        answer = await self._get(app, f"/subscriptions/{_quoted(subscription_id, 'sub_')}", {})
        return None if answer is None else answer.decode(One[Subscription]).data

    async def transaction(self, app: StoreApp, transaction_id: str) -> Transaction | None:
        answer = await self._get(app, f"/transactions/{_quoted(transaction_id, 'txn_')}", {})
        return None if answer is None else answer.decode(One[Transaction]).data

    async def transactions(self, app: StoreApp, subscription_id: str) -> list[Transaction]:
        """Everything paid for a subscription, oldest first."""
        query = {"subscription_id": subscription_id, "status": "completed,paid", "order_by": "id[ASC]", "per_page": "30"}
        return [one async for one in self._list(app, "/transactions", query, Page[Transaction])]

    async def adjustments(self, app: StoreApp, query: Mapping[str, str]) -> list[Adjustment]:
        return [one async for one in self._list(app, "/adjustments", {**query, "order_by": "id[ASC]", "per_page": "50"}, Page[Adjustment])]

    def events(self, app: StoreApp) -> AsyncIterator[Event]:
        """Every event Paddle still remembers (90 days), latest first."""
        return self._list(app, "/events", {"order_by": "id[DESC]", "per_page": "200"}, Page[Event])

    async def post(self, app: StoreApp, path: str, body: Mapping[str, object]) -> None:
        """Raises `CannotAct` where Paddle refuses for good, `Unavailable` for now."""
        await self._post(app, path, body)

    async def portal_session(self, app: StoreApp, customer_id: str, subscription_id: str) -> PortalSession:
        """A new session of the customer portal, with links to one subscription besides. Raises as `post` does."""
        path = f"/customers/{_quoted(customer_id, 'ctm_')}/portal-sessions"
        return (await self._post(app, path, {"subscription_ids": [subscription_id]})).decode(One[PortalSession]).data

    async def _post(self, app: StoreApp, path: str, body: Mapping[str, object]) -> Answer:
        answer = await self._http.call("POST", _address(app) + path, headers=_authorization(app), json=body)
        if answer.status == 429 or answer.status >= 500 or answer.status in (401, 403):
            raise _trouble(answer)
        if not answer.is_success:
            raise CannotAct(f"Paddle refuses: {_said(answer)}")
        return answer

    async def _list(self, app: StoreApp, path: str, query: Mapping[str, str], page: type[Page[L]]) -> AsyncIterator[L]:
        after: dict[str, str] = {}
        for _ in range(MOST_PAGES):
            answer = await self._get(app, path, {**query, **after})
            if answer is None:
                return
            decoded = answer.decode(page)
            for one in decoded.data:
                yield one
            if not decoded.meta.pagination.has_more:
                return
            if not decoded.data:
                raise Unavailable(f"Paddle says that there is more of {path}, and lists nothing; nothing is left out in silence")
            last: Any = decoded.data[-1]
            after = {"after": last.event_id if isinstance(last, Event) else last.id}
        raise Unavailable(f"Paddle lists more than {MOST_PAGES} pages of {path}; nothing is left out in silence")

    async def _get(self, app: StoreApp, path: str, query: Mapping[str, str]) -> Answer | None:
        answer = await self._http.call("GET", _address(app) + path, query=query or None, headers=_authorization(app))
        if answer.status == 404:
            return None
        if not answer.is_success:
            raise _trouble(answer)
        return answer


def _address(app: StoreApp) -> str:
    return (app.api_base_url or ADDRESSES[environment(app)]).rstrip("/")


def _authorization(app: StoreApp) -> dict[str, str]:
    key = app.reveal("api_key")
    if not key:
        raise NotConfigured("the app has no `api_key`; Paddle cannot be asked without it", param="api_key")
    return {"Authorization": f"Bearer {key}"}


def _quoted(identifier: str, prefix: str) -> str:
    if not identifier.startswith(prefix) or len(identifier) > 100:
        raise Invalid(f"{identifier[:100]!r} is not an id of Paddle's that begins with {prefix}", param="fetch_token")
    return quote(identifier, safe="")


def _trouble(answer: Answer) -> Unavailable:
    return Unavailable(f"Paddle answered {answer.status}: {_said(answer)}")


def _said(answer: Answer) -> str:
    try:
        error = msgspec.json.decode(answer.content, type=ErrorAnswer).error
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return "nothing we can read"
    return f"{error.code}: {error.detail}"[:500]
