"""OAuth 2.1 for applications of others: the metadata, tokens for codes, new tokens for old, revocation.

The authorization code flow with PKCE, S256 alone. Applications are registered by whoever runs the project (`perennial oauth register`), people say
yes on the dashboard's page (`dashboard/consent.py`) or with `perennial oauth approve`, and the tokens are keys of v2 within their permissions.
"""

import base64
import binascii
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote_plus

import msgspec
from litestar import Request, Response, Router, get, post
from msgspec import Struct

from perennial import access, catalog
from perennial.access.model import ACCESS_LIVES, SCOPES, OAuthClient, OAuthRefused, Tokens
from perennial.api.auth import HttpRequest, app_of
from perennial.api.documented import Refusal, documented, spec
from perennial.api.errors import on_perennial_error
from perennial.app import App
from perennial.base.db import Tx
from perennial.base.errors import PerennialError
from perennial.base.ids import ProjectId
from perennial.base.secrets import hash_key

_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


@get("/.well-known/oauth-authorization-server", operation_id="oauth-metadata", summary="How applications ask for access (RFC 8414)")
async def metadata(request: HttpRequest) -> Response[bytes]:
    issuer = issuer_of(request)
    document = {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/oauth/authorize",
        "token_endpoint": f"{issuer}/oauth/token",
        "revocation_endpoint": f"{issuer}/oauth/revoke",
        "scopes_supported": list(SCOPES),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_methods_supported": ["none", "client_secret_basic", "client_secret_post"],
        "revocation_endpoint_auth_methods_supported": ["none", "client_secret_basic", "client_secret_post"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
    }
    return _json(document)


def issuer_of(request: HttpRequest) -> str:
    return app_of(request).settings.public_url or str(request.base_url).rstrip("/")


@post("/oauth/token", operation_id="oauth-token", summary="Get an access token", status_code=200)
async def token(request: HttpRequest) -> Response[bytes]:
    """A form: `grant_type` is `authorization_code` (with `code`, `redirect_uri`, `code_verifier`) or `refresh_token` (with `refresh_token`)."""
    app, form = app_of(request), await _form_of(request)
    match form.get("grant_type"):
        case "authorization_code":
            return _answer(await _redeem(app, request, form))
        case "refresh_token":
            return _answer(await _refresh(app, request, form))
        case _:
            raise OAuthRefused("unsupported_grant_type", "grant_type must be authorization_code or refresh_token")


async def _redeem(app: App, request: HttpRequest, form: dict[str, str]) -> Tokens:
    code, redirect_uri, verifier = (_needed(form, name) for name in ("code", "redirect_uri", "code_verifier"))
    async with app.database.transaction(await _project_of(app, code)) as tx:
        client = await _client_of(tx, request, form)
        given = await access.redeem(tx, client, code=code, redirect_uri=redirect_uri, verifier=verifier, wall=app.database.clock())
        await _note(tx, client, given)
    return _or_refused(given)


async def _refresh(app: App, request: HttpRequest, form: dict[str, str]) -> Tokens:
    refresh_token = _needed(form, "refresh_token")
    async with app.database.transaction(await _project_of(app, refresh_token)) as tx:
        client = await _client_of(tx, request, form)
        given = await access.refresh(tx, client, refresh_token=refresh_token, wall=app.database.clock())
        await _note(tx, client, given)
    return _or_refused(given)


async def _note(tx: Tx, client: OAuthClient, given: Tokens | OAuthRefused) -> None:
    """Every token there is can be found in the audit log, and so can a refusal, which may be a theft."""
    if isinstance(given, Tokens):
        await catalog.audit(tx, actor=client.client_id, action="oauth_token.issue", target=client.client_id)
    else:
        await catalog.audit(tx, actor=client.client_id, action="oauth_token.refuse", target=client.client_id, data={"error": given.error})


def _or_refused(given: Tokens | OAuthRefused) -> Tokens:
    if isinstance(given, OAuthRefused):
        raise given
    return given


@post("/oauth/revoke", operation_id="oauth-revoke", summary="Give a token back (RFC 7009)", status_code=200)
async def revoke(request: HttpRequest) -> Response[bytes]:
    """A form with `token`. Of a refresh token, everything that came of it ends. What we do not know is answered alike."""
    app, form = app_of(request), await _form_of(request)
    given = _needed(form, "token")
    project_id = await access.project_of_secret(app.database, hash_key(given))
    if project_id is not None:
        async with app.database.transaction(project_id) as tx:
            client = await _client_of(tx, request, form)
            await access.revoke_token(tx, client, given, app.database.clock())
            await catalog.audit(tx, actor=client.client_id, action="oauth_token.revoke", target=client.client_id)
    return _json({})


# What they send ---------------------------------------------------------------------------------------------------------------


async def _form_of(request: HttpRequest) -> dict[str, str]:
    if request.content_type[0] != "application/x-www-form-urlencoded":
        raise OAuthRefused("invalid_request", "send a form: Content-Type: application/x-www-form-urlencoded")
    try:
        fields = parse_qsl((await request.body()).decode(), keep_blank_values=True, max_num_fields=50)
    except ValueError as error:
        raise OAuthRefused("invalid_request", "the body is not a form") from error
    form = dict(fields)
    if len(form) != len(fields) or any("\x00" in text for field in fields for text in field):
        raise OAuthRefused("invalid_request", "a field is there twice, or has a NUL character in it")
    return form


def _needed(form: dict[str, str], name: str) -> str:
    if not form.get(name):
        raise OAuthRefused("invalid_request", f"{name} is missing")
    return form[name]


async def _project_of(app: App, secret: str) -> ProjectId:
    project_id = await access.project_of_secret(app.database, hash_key(secret))
    if project_id is None:
        raise OAuthRefused("invalid_grant", "the code or refresh token is not known here")
    return project_id


async def _client_of(tx: Tx, request: HttpRequest, form: dict[str, str]) -> OAuthClient:
    """Who sends it, proven: by the form, or by the Authorization header."""
    client_id, secret = _basic(request) or (form.get("client_id", ""), form.get("client_secret"))
    found = await access.get_clients(tx, client_id=client_id)
    if not found:
        raise OAuthRefused("invalid_client", "the client is not known, or its secret is not right")
    access.check_secret(found[0], secret)
    return found[0]


def _basic(request: HttpRequest) -> tuple[str, str] | None:
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        client_id, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, ValueError) as error:
        raise OAuthRefused("invalid_client", "the Authorization header is not as RFC 6749 says") from error
    return unquote_plus(client_id), unquote_plus(secret)


# What they are told -----------------------------------------------------------------------------------------------------------


def _answer(tokens: Tokens) -> Response[bytes]:
    return _json(
        {
            "access_token": tokens.access,
            "token_type": "Bearer",
            "expires_in": int(ACCESS_LIVES.total_seconds()),
            "refresh_token": tokens.refresh,
            "scope": " ".join(tokens.permissions),
        }
    )


def _json(document: dict[str, Any], status: int = 200, **headers: str) -> Response[bytes]:
    return Response(content=msgspec.json.encode(document), status_code=status, media_type="application/json", headers={**_NO_STORE, **headers})


def on_refused(request: Request[Any, Any, Any], error: OAuthRefused) -> Response[bytes]:
    document = {"error": error.error, "error_description": error.message}
    if error.error == "invalid_client":
        return _json(document, 401, **{"WWW-Authenticate": 'Basic realm="perennial"'})
    return _json(document, 400)


def on_trouble(request: Request[Any, Any, Any], error: PerennialError) -> Response[bytes]:
    if isinstance(error, OAuthRefused):
        return on_refused(request, error)
    return on_perennial_error(request, error)


class Refused(Struct):
    """RFC 6749, 5.2."""

    error: str
    error_description: str


class Given(Struct):
    access_token: str
    token_type: Literal["Bearer"]
    expires_in: int  # seconds
    refresh_token: str
    scope: str

    def __repr__(self) -> str:
        return "Given(***)"


_ANSWERS = {
    "oauth-token": {200: spec(Given, "The tokens"), 503: spec(Refusal, "The trouble is ours; try again")},
    "oauth-revoke": {200: spec(dict[str, str], "It is worth nothing any more")},
}

router = Router(
    path="/",
    route_handlers=documented([metadata, token, revoke], _ANSWERS, refusal=Refused),
    exception_handlers={PerennialError: on_trouble},
    security=[{}],
    tags=["OAuth"],
)

__all__ = ["issuer_of", "router"]
