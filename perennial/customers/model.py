"""Who customers are: one person, the app user ids that lead to them, and what the app noted about them."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from string import hexdigits
from typing import Literal

from perennial.base.errors import AlreadyExists, Forbidden, Invalid, NotFound
from perennial.base.ids import CustomerId, ProjectId
from perennial.base.text import forbidden_in
from perennial.base.time import EPOCH
from perennial.base.value import field, value

MAX_APP_USER_ID = 100
MAX_ALIASES = 500  # that apps give a customer; stores, imports and merges may add to them
MAX_ATTRIBUTES = 50
MAX_ATTRIBUTE_NAME = 40
MAX_ATTRIBUTE_VALUE = 500

_ANONYMOUS = re.compile(r"\$RCAnonymousID:[a-z0-9]{32}")
_NOT_AN_ID = frozenset({"", "no_user", "null", "none", "nil", "(null)", "NaN", "\\x00", "unidentified", "undefined", "unknown"})


class CustomerMissing(NotFound):
    """No customer has that id."""


class CustomerExists(AlreadyExists):
    """The id is taken."""


class CustomerBlocked(Forbidden):
    """Nobody may use the id: its project blocked it."""

    def __init__(self, app_user_id: str) -> None:
        super().__init__(f"the app user id {app_user_id[:80]!r} is blocked in this project", param="app_user_id", code=7256)


# Whom we made up for a purchase nobody named a buyer of: `hidden` while nobody has claimed it, `known` once it was told as theirs.
Placeholder = Literal["hidden", "known"]


@value
class Attribute:
    value: str | None  # None: deleted
    updated_at: datetime


@value
class Download:
    """How a customer first got the app, by its store's word: which version (on iOS the build number), and when."""

    version: str
    at: datetime


@value
class Customer:
    customer_id: CustomerId
    original_app_user_id: str
    first_seen_at: datetime
    last_seen_at: datetime | None
    version: int
    aliases: tuple[str, ...]  # every app user id, oldest first
    attributes: dict[str, Attribute]
    last_seen_platform: str | None = None
    last_seen_platform_version: str | None = None
    last_seen_app_version: str | None = None
    last_seen_country: str | None = None
    download: Download | None = None
    deleted_at: datetime | None = None  # the person is gone; what is left goes by a made-up id
    placeholder: Placeholder | None = None  # None: a person

    @property
    def is_anonymous(self) -> bool:
        return all(is_anonymous(alias) for alias in self.aliases)

    @property
    def app_user_id(self) -> str:
        """The id to call them by: the newest that is not anonymous."""
        named = [alias for alias in self.aliases if not is_anonymous(alias)]
        return (named or list(self.aliases))[-1]


# Who was seen so lately need not be written down again.
SEEN_LATELY = timedelta(minutes=10)


@value
class Sighting:
    """A customer was seen by an SDK. Written in batches, never by the read itself."""

    project_id: ProjectId
    customer_id: CustomerId
    seen_at: datetime
    platform: str | None = None
    platform_version: str | None = None
    app_version: str | None = None
    country: str | None = None


@value
class Newcomer:
    """A customer as another system knew them. `bought_at` is the newest thing they bought, as far as it is told."""

    app_user_id: str
    aliases: tuple[str, ...] = ()
    first_seen_at: datetime | None = None
    bought_at: datetime = EPOCH
    country: str | None = None
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    placeholder: Placeholder | None = None


@value
class Arrivals:
    """Who newcomers are here, by the id they came with; whose ids led to two customers, who may be one; and which are new to us.

    All of them are held until the transaction ends.
    """

    customer_ids: Mapping[str, CustomerId]
    doubles: tuple[tuple[CustomerId, CustomerId], ...]
    new: tuple[str, ...]


@value
class Forgotten:
    """Someone who was deleted: the rows that were about them, the ids they went by, and the made-up one for what is left."""

    customer_ids: tuple[CustomerId, ...]
    aliases: tuple[str, ...]
    pseudonym: str


@value
class Blocked:
    """An app user id nobody may use, and since when."""

    app_user_id: str
    blocked_at: datetime


def is_anonymous(app_user_id: str) -> bool:
    return _ANONYMOUS.fullmatch(app_user_id) is not None


def is_sha256(text: str) -> bool:
    """Whether it could be the SHA-256, in hex, of an app user id."""
    return len(text) == 64 and all(character in hexdigits for character in text)


def is_app_user_id(text: str) -> bool:
    """Whether a customer may have it as their id, as far as the text itself says."""
    try:
        check_app_user_id(text)
    except Invalid:
        return False
    return True


def why_refused(name: str) -> str:
    """Why a name that somebody gave a buyer is no customer's here."""
    try:
        check_app_user_id(name, param="the name")
    except Invalid as error:
        return error.message.partition(";")[0]
    return f"the name {name!r} was blocked in this project"


def check_app_user_id(app_user_id: str, *, param: str = "app_user_id") -> str:
    """The id as it is, or `Invalid` (7220 empty, 7256 not allowed) saying why."""
    if not app_user_id.strip():
        raise Invalid(f"{param} is empty; send the id of the user, or the SDK's anonymous id", param=param, code=7220)
    if len(app_user_id) > MAX_APP_USER_ID:
        raise Invalid(f"{param} is longer than {MAX_APP_USER_ID} characters", param=param, code=7256)
    problem = "it names nobody" if app_user_id in _NOT_AN_ID else "it holds a '/'" if "/" in app_user_id else None
    if problem is None and (forbidden := forbidden_in(app_user_id)) is not None:
        problem = f"it holds {forbidden}"
    if problem is not None:
        text = f"{param} {app_user_id!r} cannot be an app user id: {problem}; send a stable id of the user without it"
        raise Invalid(text, param=param, code=7256)
    return app_user_id
