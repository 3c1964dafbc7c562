"""Who may do what: permissions, the third parties a project lets in, the people who work on it, answers kept for those who ask again.

A permission is `domain:resource:read` or `domain:resource:read_write`, as the vendor names them; the second includes the first.
"""

from datetime import datetime, timedelta
from typing import Literal, get_args

from perennial.base.errors import AlreadyExists, Invalid, NotFound
from perennial.base.value import value

# By domain, which is also what requests are counted by. `api_keys` is ours.
RESOURCES: dict[str, tuple[str, ...]] = {
    "charts_metrics": ("charts", "overview"),
    "customer_information": ("customers", "invoices", "purchases", "subscriptions"),
    "project_configuration": (
        "api_keys",
        "apps",
        "audit_logs",
        "collaborators",
        "entitlements",
        "integrations",
        "offerings",
        "packages",
        "products",
        "projects",
        "virtual_currencies",
    ),
}
PERMISSIONS = tuple(f"{domain}:{resource}:{verb}" for domain, names in RESOURCES.items() for resource in names for verb in ("read", "read_write"))
READ_ONLY = tuple(permission for permission in PERMISSIONS if permission.endswith(":read"))

# What third parties may be given. Not the making of keys: such a key would outlive what the third party was allowed.
SCOPES = tuple(permission for permission in PERMISSIONS if ":api_keys:" not in permission)

Role = Literal["owner", "admin", "developer", "growth", "support", "view_only"]
ROLES: tuple[Role, ...] = get_args(Role)

CODE_LIVES = timedelta(seconds=60)
ACCESS_LIVES = timedelta(hours=1)
REFRESH_LIVES = timedelta(days=60)
ACCESS_PREFIX = "atk_"
REFRESH_PREFIX = "rtk_"

ANSWERS_KEPT = timedelta(hours=24)
CLAIM_LASTS = timedelta(minutes=5)  # of a request that speaks to others; every call it makes has a shorter limit


class PermissionUnknown(Invalid):
    """There is no such permission."""


class CollaboratorMissing(NotFound):
    """No such person works on this project."""


class CollaboratorExists(AlreadyExists):
    """A person is on a project once."""


class ClientMissing(NotFound):
    """No such third party in this project."""


class OAuthRefused(Invalid):
    """What a third party is told, in the words of RFC 6749: `error` is its code."""

    def __init__(self, error: str, message: str) -> None:
        super().__init__(message)
        self.error = error


@value
class Collaborator:
    collaborator_id: str
    email: str
    role: Role
    created_at: datetime
    name: str | None = None
    accepted_at: datetime | None = None


@value
class KeptAnswer:
    """What a request was answered. `status` None: it is being worked on until `claimed_until`, or its worker died."""

    request_hash: bytes
    status: int | None = None
    body: bytes | None = None  # sealed
    claimed_until: datetime | None = None


@value
class OAuthClient:
    client_id: str
    name: str
    redirect_uris: tuple[str, ...]
    permissions: tuple[str, ...]  # the most it may ask for
    created_at: datetime
    secret_hash: bytes | None = None  # None: a public client


@value
class Authorization:
    """What a client asks a person for, checked: it can be granted as it stands."""

    client: OAuthClient
    redirect_uri: str
    permissions: tuple[str, ...]
    challenge: str
    state: str | None = None


@value
class Code:
    grant_id: str
    client_id: str
    permissions: tuple[str, ...]
    redirect_uri: str
    challenge: str
    expires_at: datetime
    used_at: datetime | None
    grant_revoked_at: datetime | None


@value
class Token:
    grant_id: str
    client_id: str
    kind: Literal["access", "refresh"]
    expires_at: datetime
    used_at: datetime | None
    grant_revoked_at: datetime | None
    permissions: tuple[str, ...]


@value
class Tokens:
    """Shown once: only their hashes are kept."""

    access: str
    refresh: str
    permissions: tuple[str, ...]


@value
class AccessToken:
    """Who asks with a token: as the project's third party, within what was granted."""

    project_id: str
    grant_id: str
    permissions: tuple[str, ...]
