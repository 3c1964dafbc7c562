"""Saying yes to an application of others: what it asks for, on a page, and the way back to it with a code.

Until client and address are proven nobody is sent anywhere, with what they asked or without. What is asked is checked again when the answer
comes: the form between is the browser's, not ours.
"""

from typing import Any
from urllib.parse import urlsplit

from litestar import Response, get, post
from litestar.params import URLEncodedBody
from litestar.response import Redirect

from perennial import access, catalog
from perennial.access.model import Authorization, OAuthClient, OAuthRefused
from perennial.api.auth import HttpRequest, app_of
from perennial.api.oauth import issuer_of
from perennial.base.db import Tx
from perennial.base.errors import NotFound
from perennial.dashboard.demo import require_demo
from perennial.dashboard.guard import HEADERS, demo_only, from_our_pages, from_this_machine
from perennial.dashboard.rendering import page

_GUARDS = [demo_only, from_this_machine, from_our_pages]
_ACTOR = "dashboard"
_CARRIED = ("response_type", "client_id", "redirect_uri", "scope", "state", "code_challenge", "code_challenge_method")


@get("/oauth/authorize", guards=_GUARDS)
async def ask(request: HttpRequest) -> Response[str] | Redirect:
    """What an application opens in somebody's browser."""
    app, asked = app_of(request), dict(request.query_params.items())
    demo = require_demo(app.settings)
    async with app.database.transaction(demo.project_id) as tx:
        client, redirect_uri = await _proven(tx, asked)
        project = await catalog.require_project(tx)
    try:
        wanted = access.authorization(client, redirect_uri, asked)
    except OAuthRefused as refused:
        return _refusal(request, redirect_uri, asked, refused.error, refused.message)
    shown = page("consent.html", project=project, wanted=wanted, carried={name: asked[name] for name in _CARRIED if name in asked})
    shown.headers["Content-Security-Policy"] = HEADERS["Content-Security-Policy"].replace("form-action 'self'", _form_action(wanted))
    return shown


@post("/oauth/authorize", guards=_GUARDS)
async def answer(request: HttpRequest, data: URLEncodedBody[dict[str, str]]) -> Redirect:
    """Yes or no, from the page."""
    app = app_of(request)
    demo, wall = require_demo(app.settings), app.database.clock()
    async with app.database.transaction(demo.project_id) as tx:
        client, redirect_uri = await _proven(tx, data)
        try:
            wanted = access.authorization(client, redirect_uri, data)
        except OAuthRefused as refused:
            return _refusal(request, redirect_uri, data, refused.error, refused.message)
        if data.get("answer") != "yes":
            return _refusal(request, redirect_uri, data, "access_denied", "the person said no")
        grant_id, code = await access.grant(tx, wanted, wall)
        told: dict[str, Any] = {"client_id": client.client_id, "permissions": wanted.permissions}
        await catalog.audit(tx, actor=_ACTOR, action="oauth_grant.create", target=grant_id, data=told)
    return Redirect(access.sent_back(redirect_uri, code=code, state=wanted.state, iss=issuer_of(request)), status_code=303)


async def _proven(tx: Tx, asked: dict[str, str]) -> tuple[OAuthClient, str]:
    """`NotFound` or `Invalid`, shown here, where the client is not this project's or the address not the client's."""
    if any("\x00" in text for text in asked.values()):
        raise NotFound("no such application in this project", param="client_id")
    client = await access.require_client(tx, asked.get("client_id", ""))
    return client, access.require_redirect_uri(client, asked.get("redirect_uri"))


def _refusal(request: HttpRequest, redirect_uri: str, asked: dict[str, str], error: str, message: str) -> Redirect:
    told = access.sent_back(redirect_uri, error=error, error_description=message, state=asked.get("state"), iss=issuer_of(request))
    return Redirect(told, status_code=303)


def _form_action(wanted: Authorization) -> str:
    """Browsers hold a form's redirect to it too, so the page must name where its answer leads."""
    parts = urlsplit(wanted.redirect_uri)
    origin = f"{parts.scheme}://{parts.netloc}" if parts.scheme in ("http", "https") else f"{parts.scheme}:"
    return f"form-action 'self' {origin}"


HANDLERS = [ask, answer]
