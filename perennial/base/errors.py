"""The six kinds of trouble a caller can be told about, and the few that callers of v2 tell apart further.

`api/errors.py` alone knows which HTTP status and which SDK error number each becomes. What the world did
(a declined card, a bounced webhook) is a value, not an exception; a broken invariant is an `assert`.
"""

from typing import Literal, TypeAlias

Outcome: TypeAlias = Literal["not_done", "unknown"]


class PerennialError(Exception):
    """Carries a sentence for a person: which field, what is wrong with it, what to do.

    `param` names the offending field where there is one; `code` is the SDKs' error number where the wire contract has one.
    """

    def __init__(self, message: str, *, param: str | None = None, code: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code


class Invalid(PerennialError):
    """400: the request cannot be right as it stands."""


class NotJson(Invalid):
    """The body is not said to be JSON. v2 calls this one an `invalid_request`."""


class Unauthorized(PerennialError):
    """401: we do not know who is asking."""


class Forbidden(PerennialError):
    """403: we know, and they may not."""


class NotFound(PerennialError):
    """404: there is no such thing, or not within the caller's walls."""


class Conflict(PerennialError):
    """409, and to callers of v2 422: it contradicts what is already so."""


class AlreadyExists(Conflict):
    """Its name is taken. Of the conflicts, v2 answers this one with 409."""


class KeyReused(Conflict):
    """An Idempotency-Key stands for one request, and this is another; or what became of the first cannot be known."""


class Locked(Conflict):
    """423: somebody is at it at this very moment; it may be asked again shortly."""


class StoreRefused(Conflict):
    """422: a store was asked, and refused for good. The message has the store's words."""


class Unavailable(PerennialError):
    """503: the trouble is ours or passing; the same request may succeed later.

    `outcome` says what became of a write, where that is known: `not_done`, or `unknown` where the database was told to commit and did
    not answer. None: nothing was to be written, or somebody else would have to say.
    """

    def __init__(self, message: str, *, param: str | None = None, code: int | None = None, outcome: Outcome | None = None) -> None:
        super().__init__(message, param=param, code=code)
        self.outcome = outcome


class NotPrepared(Unavailable):
    """503: the database lacks what this version needs, until somebody migrates it."""


class NotConfigured(Unavailable):
    """503: an app lacks a setting or credential that its store needs, for the operator to add.

    A 4xx would make a device finish its purchase with the store and never post it again.
    """


class TooMany(Unavailable):
    """429: more requests than the caller's limit; `wait` says how many seconds until there is room again."""

    def __init__(self, message: str, *, wait: int) -> None:
        super().__init__(message)
        self.wait = wait
