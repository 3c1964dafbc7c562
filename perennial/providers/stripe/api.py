"""Stripe's API: asking, and acting, with the version this code was written for.

The official library brings its own models and pins the version it was generated for, and we would use a few of its calls. An answer is believed: it
comes over TLS from whom we asked with the account's own key.

Every POST and DELETE carries an idempotency key: asked twice, it is done once. What passes (429, 5xx, a lost connection) is tried again a few times
at once, then said to be `Unavailable`: whoever asked comes back later.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import NoReturn, TypeVar
from urllib.parse import quote

import msgspec

from perennial.base.errors import Invalid, NotConfigured, NotFound, Unavailable
from perennial.base.http import Http
from perennial.base.reading import decode
from perennial.intake.model import StoreApp
from perennial.providers.stripe.payload import ErrorAnswer, ErrorDetails, Identified, Page, RawPage
from perennial.subscriptions.model import Environment

ADDRESS = "https://api.stripe.com"
VERSION = "2026-10-28.endive"
PAGE = 100  # the most Stripe gives at once

_PAUSES = (0.5, 2.0)  # seconds before the second and the third try

Answer = TypeVar("Answer", bound=msgspec.Struct)
One = TypeVar("One", bound=Identified)
Fields = Sequence[tuple[str, str | int]]  # in the order sent; names as `expand[]` and `created[gte]`


class Refused(Invalid):
    """Stripe will not, now or later: the message says why, in its words. `reason` is Stripe's code of it."""

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class StripeApi:
    """One pool of connections to Stripe, shared by every app. Close it when the process ends."""

    def __init__(self, *, pauses: Sequence[float] = _PAUSES) -> None:
        self._http = Http("Stripe")
        self._pauses = pauses

    async def close(self) -> None:
        await self._http.close()

    async def get(self, app: StoreApp, path: str, answer: type[Answer], query: Fields = ()) -> Answer:
        return await self._call(app, "GET", path, answer, query=query)

    async def post(self, app: StoreApp, path: str, answer: type[Answer], form: Fields, *, key: str) -> Answer:
        return await self._call(app, "POST", path, answer, form=form, key=key)

    async def delete(self, app: StoreApp, path: str, answer: type[Answer], form: Fields = (), *, key: str) -> Answer:
        return await self._call(app, "DELETE", path, answer, form=form, key=key)

    async def pages(
        self, app: StoreApp, path: str, answer: type[Page[One]], query: Fields, *, most: int, must_end: bool = False
    ) -> AsyncIterator[list[One]]:
        """A list, page by page, newest first as Stripe orders it: at most `most` pages of a hundred. `must_end`: more than that is `Invalid`."""
        after: Fields = ()
        for _ in range(most):
            page = await self.get(app, path, answer, (*query, ("limit", PAGE), *after))
            if page.data:
                yield page.data
            if not page.has_more:
                return
            if not page.data:
                raise Unavailable(f"Stripe says that there is more of {path}, and lists nothing")
            after = (("starting_after", page.data[-1].id),)
        if must_end:
            raise Invalid(f"more than {most * PAGE} of {path} in that span; ask for a shorter one", param="since")

    async def events(self, app: StoreApp, query: Fields, *, most: int) -> AsyncIterator[bytes]:
        """Events as Stripe would post them, newest first. More than `most` pages are `Invalid`: nothing is left out in silence."""
        after: Fields = ()
        for _ in range(most):
            page = await self.get(app, "/v1/events", RawPage, (*query, ("limit", PAGE), *after))
            for event in page.data:
                yield bytes(event)
            if not page.has_more:
                return
            if not page.data:
                raise Unavailable("Stripe says that there are more events, and lists none")
            after = (("starting_after", decode(bytes(page.data[-1]), Identified).id),)
        raise Invalid(f"more than {most * PAGE} events in that span; ask for a shorter one", param="since")

    async def _call(
        self, app: StoreApp, method: str, path: str, answer: type[Answer], *, query: Fields = (), form: Fields = (), key: str | None = None
    ) -> Answer:
        for pause in self._pauses:
            try:
                return await self._once(app, method, path, answer, query, form, key)
            except NotConfigured:
                raise  # it does not pass by itself
            except Unavailable:
                await asyncio.sleep(pause)
        return await self._once(app, method, path, answer, query, form, key)

    async def _once(self, app: StoreApp, method: str, path: str, answer: type[Answer], query: Fields, form: Fields, key: str | None) -> Answer:
        address = (app.api_base_url or ADDRESS).rstrip("/") + path
        headers = {"Authorization": f"Bearer {_api_key(app)}", "Stripe-Version": VERSION}
        if key is not None:
            headers["Idempotency-Key"] = key
        if account := app.settings.get("connected_account"):
            headers["Stripe-Account"] = _plain(account, "connected_account")
        said = await self._http.call(method, address, query=_numbered(query) or None, headers=headers, form=_numbered(form) or None)
        if not said.is_success:
            _refuse(said.status, _error(said.content))
        return said.decode(answer)


def _numbered(fields: Fields) -> dict[str, str]:
    """Each field once: what is said several times as `expand[]` goes as `expand[0]`, `expand[1]`, which is the same to Stripe."""
    named: dict[str, str] = {}
    for name, content in fields:
        place = sum(one.startswith(name[:-1]) for one in named) if name.endswith("[]") else 0
        named[f"{name[:-1]}{place}]" if name.endswith("[]") else name] = str(content)
    return named


def path_of(collection: str, identifier: str) -> str:
    return f"/v1/{collection}/{quote(identifier, safe='')}"


def can_call(app: StoreApp) -> bool:
    return bool(app.secrets.get("api_key"))


def check_mode(app: StoreApp, environment: Environment) -> None:
    """A key opens one mode: asked about the other, Stripe would only say it knows no such thing."""
    is_test_key = "_test_" in app.reveal("api_key")
    if is_test_key != (environment == "sandbox") and app.api_base_url is None:
        wanted, given = ("live", "test") if is_test_key else ("test", "live")
        raise Invalid(f"a question about {wanted} mode, and the app's api_key is of {given} mode; make an app for each mode", param="api_key")


def _api_key(app: StoreApp) -> str:
    key = app.reveal("api_key").strip()
    if not key:
        raise NotConfigured("the app has no `api_key`; Stripe cannot be asked without a secret or restricted key", param="api_key")
    return _plain(key, "api_key")


def _plain(text: str, name: str) -> str:
    """What goes into a header. The text itself is not repeated: it may be a secret."""
    if not text.isascii() or not text.isprintable():
        raise NotConfigured(f"the app's `{name}` is not one of Stripe's: they are plain letters, digits and underscores", param=name)
    return text


def _refuse(status: int, error: ErrorDetails) -> NoReturn:
    """Stripe's refusal as one of ours. 409: the same request is still being handled, or the object is held by another."""
    said = f"Stripe answered {status}" + (f": {error.message}" if error.message else "") + (f" ({error.code})" if error.code else "")
    if status == 429 or status == 409 or status >= 500 or status < 400:
        raise Unavailable(said)
    if status == 401:
        raise NotConfigured(f"{said}. Check the app's api_key: it may have been rolled or deleted", param="api_key")
    if status == 403:
        raise NotConfigured(f"{said}. A restricted key must be allowed what we ask: `providers/stripe` lists it", param="api_key")
    if status == 404:
        raise NotFound(said)
    raise Refused(said, reason=error.code or error.type or "")


def _error(content: bytes) -> ErrorDetails:
    try:
        return decode(content, ErrorAnswer).error
    except Invalid:
        return ErrorDetails()
