"""Keys and collaborators."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from perennial.api.v2.wire.common import Name

PermissionNames = Annotated[list[Annotated[str, Meta(max_length=100)]], Meta(min_length=1, max_length=100)]


class ApiKey(Struct):
    """Ours: a key of a project. `permissions` null: everything. `key` is shown of public keys; of a secret one in the answer that makes it."""

    id: str
    project_id: str
    label: str
    type: Literal["public", "secret"]
    app_id: str | None
    permissions: list[str] | None
    created_at: int
    revoked_at: int | None
    key: str | None = None
    object: Literal["api_key"] = "api_key"


class ApiKeyCreate(Struct):
    """Ours. Without `permissions`, all that the key you ask with may do. `domain:read` and `domain:read_write` stand for all of a domain."""

    label: Name
    permissions: PermissionNames | None = None


class Collaborator(Struct):
    """`has_mfa` is false: nobody signs in with a password here yet."""

    id: str
    email: str
    role: str
    accepted_at: int | None
    has_mfa: bool
    name: str | None = None
    object: Literal["collaborator"] = "collaborator"


class CollaboratorCreate(Struct):
    """Ours."""

    email: Annotated[str, Meta(min_length=3, max_length=320)]
    role: Literal["owner", "admin", "developer", "growth", "support", "view_only"]
    name: Name | None = None
