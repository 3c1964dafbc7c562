"""A redemption link and what can be wrong with one. The error numbers are the SDKs'."""

from datetime import datetime, timedelta

from perennial.base.errors import Forbidden, Invalid
from perennial.base.ids import CustomerId
from perennial.base.value import value

LIFE = timedelta(minutes=60)
WEB_STORES = frozenset({"stripe", "paddle", "external", "test_store"})  # the Test Store stands for the web where nothing is paid


class TokenInvalid(Invalid):
    """7849: no link has this token."""

    def __init__(self) -> None:
        super().__init__("no redemption link has this token", param="redemption_token", code=7849)


class TokenRedeemedByOther(Forbidden):
    """7852: what the link stands for is somebody else's already."""

    def __init__(self) -> None:
        super().__init__("this purchase belongs to another app user id", param="redemption_token", code=7852)


class TokenExpired(Forbidden):
    """7853. `obfuscated_email` tells the customer which mailbox the link went to, without telling it to others; empty where none is known."""

    def __init__(self, obfuscated_email: str) -> None:
        super().__init__("this redemption link has expired; ask for a new one", param="redemption_token", code=7853)
        self.obfuscated_email = obfuscated_email


@value
class Redemption:
    token_hash: bytes
    buyer: CustomerId  # who bought on the web; by today's merges
    email: str | None
    issued_at: datetime
    expires_at: datetime
    redeemed_at: datetime | None = None
