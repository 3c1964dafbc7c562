"""The Receipt Verification Service (RVS 1.0): asking Amazon what a receipt is worth now.

The developer's shared secret is part of the address: it travels as a secret path and is in no log. The sandbox accepts any secret, so it
never gets the real one; it is asked only where the app says so (`rvs_sandbox`), and what it says is of the sandbox for ever.
"""

from typing import Literal
from urllib.parse import quote, urlsplit

from perennial.base.errors import Invalid, NotConfigured, Unavailable
from perennial.base.http import Http
from perennial.base.value import value
from perennial.intake.model import StoreApp
from perennial.providers.amazon.payload import Receipt
from perennial.subscriptions.model import Environment

ADDRESS = "https://appstore-sdk.amazon.com"
SANDBOX_SECRET = "sandbox"  # noqa: S105  what the sandbox gets instead

_LONGEST_ID = 1000  # the longest seen have 350; together they are a key of ours


@value
class Verified:
    """A receipt, and whether the sandbox vouched for it."""

    receipt: Receipt
    is_sandbox: bool
    raw: bytes = b""  # Amazon's JSON


Refusal = Literal["unknown", "gone"]


async def verify(http: Http, app: StoreApp, user_id: str, receipt_id: str, environment: Environment | None) -> Verified | Refusal:
    """What Amazon says of a user's receipt: `unknown` where it is none of this user, `gone` where it was cancelled and is kept no more.

    The sandbox is asked after production knew nothing, and not for what is of production. Raises `Unavailable`.
    """
    said = await _ask(http, app, user_id, receipt_id, is_sandbox=False)
    if said == "unknown" and environment != "production" and app.settings.get("rvs_sandbox") == "yes":
        return await _ask(http, app, user_id, receipt_id, is_sandbox=True)
    return said


async def _ask(http: Http, app: StoreApp, user_id: str, receipt_id: str, *, is_sandbox: bool) -> Verified | Refusal:
    secret = SANDBOX_SECRET if is_sandbox else app.reveal("shared_secret")
    if not secret:
        raise NotConfigured("the app has no `shared_secret`; Amazon cannot be asked without it", param="shared_secret")
    if any(not 0 < len(one) <= _LONGEST_ID or not one.isascii() or not one.isprintable() for one in (user_id, receipt_id)):
        raise Invalid("not a receipt id and a user id as Amazon gives them", param="fetch_token")
    address = (app.api_base_url or ADDRESS).rstrip("/") + ("/sandbox" if is_sandbox else "") + "/version/1.0/verifyReceiptId"
    named = (f"/{name}/{quote(one, safe='')}" for name, one in (("developer", secret), ("user", user_id), ("receiptId", receipt_id)))
    answer = await http.call("GET", address, secret_path=urlsplit(address).path + "".join(named))
    match answer.status:
        case 200:
            return Verified(receipt=answer.decode(Receipt), is_sandbox=is_sandbox, raw=answer.content)
        case 400 | 497:
            return "unknown"
        case 410:
            return "gone"
        case 496:
            raise Unavailable("Amazon does not accept the app's `shared_secret`; copy it again from the developer console")
    raise answer.unavailable()
