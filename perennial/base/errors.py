"""The six kinds of trouble a caller can be told about.

`api/errors.py` alone knows which HTTP status and which SDK error number each becomes. What the world did
(a declined card, a bounced webhook) is a value, not an exception; a broken invariant is an `assert`.
"""


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


class Unauthorized(PerennialError):
    """401: we do not know who is asking."""


class Forbidden(PerennialError):
    """403: we know, and they may not."""


class NotFound(PerennialError):
    """404: there is no such thing, or not within the caller's walls."""


class Conflict(PerennialError):
    """409: it contradicts what is already so."""


class Unavailable(PerennialError):
    """503: the trouble is ours or passing; the same request may succeed later."""
