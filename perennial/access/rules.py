"""The decisions of access: what a permission includes, what a third party may ask for, whether its proof holds. Pure."""

import base64
import re
from collections.abc import Collection, Sequence
from datetime import datetime
from hashlib import sha256
from urllib.parse import urlencode, urlsplit

from perennial.access.model import PERMISSIONS, RESOURCES, SCOPES, Authorization, Code, OAuthClient, OAuthRefused, PermissionUnknown
from perennial.base.errors import Invalid
from perennial.base.secrets import same

_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}", re.ASCII)
_LONGEST_STATE = 2000
_MOST_URIS = 20
_DANGEROUS = ("javascript", "data", "vbscript", "file", "blob", "about")


# Permissions ------------------------------------------------------------------------------------------------------------------


def lacking(granted: Collection[str] | None, needed: Sequence[str]) -> str | None:
    """The first needed permission that is not granted, or None. `granted` None is everything."""
    if granted is None:
        return None
    return next((one for one in needed if not (one in granted or (one.endswith(":read") and one + "_write" in granted))), None)


def normalized(permissions: Sequence[str]) -> tuple[str, ...]:
    """Checked and in order, the weaker left out beside the stronger. `domain:read` stands for all of a domain."""
    spelled = {full for one in permissions for full in _spelled(one)}
    return tuple(one for one in PERMISSIONS if one in spelled and not (one.endswith(":read") and one + "_write" in spelled))


def _spelled(permission: str) -> tuple[str, ...]:
    domain, _, verb = permission.partition(":")
    if domain in RESOURCES and verb in ("read", "read_write"):
        return tuple(f"{domain}:{resource}:{verb}" for resource in RESOURCES[domain])
    if permission not in PERMISSIONS:
        raise PermissionUnknown(
            f"there is no permission {permission[:80]!r}; they look like project_configuration:products:read (or read_write), "
            "or like project_configuration:read for all of a domain",
            param="permissions",
        )
    return (permission,)


# Third parties ----------------------------------------------------------------------------------------------------------------


def check_redirect_uris(uris: Sequence[str]) -> tuple[str, ...]:
    """https, a loopback address, or an app's own scheme (RFC 8252); compared letter by letter later."""
    if not 1 <= len(uris) <= _MOST_URIS:
        raise Invalid(f"give 1 to {_MOST_URIS} redirect URIs", param="redirect_uris")
    for uri in uris:
        if (problem := _problem_of(uri)) is not None:
            raise Invalid(f"the redirect URI {uri[:200]!r} {problem}", param="redirect_uris")
    return tuple(dict.fromkeys(uris))


def _problem_of(uri: str) -> str | None:
    try:
        parts = urlsplit(uri)
        host = parts.hostname
    except ValueError:
        return "is not a URI"
    if not uri.isascii() or not uri.isprintable() or any(character in uri for character in " \"'<>;\\"):
        return "has characters that a URI does not have"
    if "#" in uri or parts.username is not None or len(uri) > 2000:
        return "must have no fragment and no user, and at most 2000 characters"
    if parts.scheme == "https":
        return None if host else "names no host"
    if parts.scheme == "http":
        return None if host in ("127.0.0.1", "::1", "localhost") else "must be https, save on this machine"
    if parts.scheme in _DANGEROUS or "." not in parts.scheme:
        return "must be https, or an app's own scheme such as com.example.app:/callback"
    return None


def check_scopes(permissions: Sequence[str]) -> tuple[str, ...]:
    wanted = normalized(permissions)
    if not wanted:
        raise Invalid("say what it may do: at least one permission", param="permissions")
    if outside := [one for one in wanted if one not in SCOPES]:
        raise Invalid(f"{outside[0]} is not for third parties: a key they make would outlive what they were allowed", param="permissions")
    return wanted


def require_redirect_uri(client: OAuthClient, redirect_uri: str | None) -> str:
    """Letter by letter one of those registered: else nobody may be sent there, not even with an error."""
    if redirect_uri is None or not any(same(redirect_uri.encode(), one.encode()) for one in client.redirect_uris):
        raise Invalid("this redirect_uri is not one that the application registered", param="redirect_uri")
    return redirect_uri


def authorization(client: OAuthClient, redirect_uri: str, asked: dict[str, str]) -> Authorization:
    """What is asked for, checked. `OAuthRefused` is told to the client, at its redirect URI."""
    if asked.get("response_type") != "code":
        raise OAuthRefused("unsupported_response_type", "response_type must be code")
    if asked.get("code_challenge_method") != "S256" or _CHALLENGE.fullmatch(asked.get("code_challenge", "")) is None:
        raise OAuthRefused("invalid_request", "PKCE is needed: code_challenge_method=S256 and a code_challenge of 43 characters")
    if len(asked.get("state", "")) > _LONGEST_STATE:
        raise OAuthRefused("invalid_request", f"state has more than {_LONGEST_STATE} characters")
    return Authorization(
        client=client,
        redirect_uri=redirect_uri,
        permissions=_scope(client, asked.get("scope")),
        challenge=asked["code_challenge"],
        state=asked.get("state"),
    )


def _scope(client: OAuthClient, scope: str | None) -> tuple[str, ...]:
    """Without one, everything the client registered for."""
    if not scope:
        return client.permissions
    try:
        wanted = check_scopes(scope.split())
    except Invalid as error:
        raise OAuthRefused("invalid_scope", error.message) from error
    if (beyond := lacking(client.permissions, wanted)) is not None:
        raise OAuthRefused("invalid_scope", f"the application did not register for {beyond}")
    return wanted


def check_code(code: Code, *, redirect_uri: str, verifier: str, now: datetime) -> None:
    """`OAuthRefused` unless the code is for this address, still fresh, and the verifier is what its challenge was made of."""
    is_right = (
        same(code.redirect_uri.encode(), redirect_uri.encode())
        and _VERIFIER.fullmatch(verifier) is not None
        and same(challenge_of(verifier), code.challenge)
    )
    if not is_right or code.expires_at <= now or code.grant_revoked_at is not None:
        raise OAuthRefused("invalid_grant", "the code is not valid: it lives for a minute, for one client, one redirect_uri and one code_verifier")


def sent_back(redirect_uri: str, **answer: str | None) -> str:
    """Where the person goes next, with what the client is told."""
    told = urlencode({name: text for name, text in answer.items() if text is not None})
    return f"{redirect_uri}{'&' if '?' in redirect_uri else '?'}{told}"


def challenge_of(verifier: str) -> str:
    return base64.urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()
