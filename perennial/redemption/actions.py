"""The verbs: issue a link for what somebody bought on the web, and redeem it in an app."""

from collections.abc import Sequence

from perennial import customers, subscriptions
from perennial.base.db import Tx
from perennial.base.errors import Conflict
from perennial.base.ids import CustomerId, new_token
from perennial.base.secrets import hash_key
from perennial.base.value import value
from perennial.customers.model import is_anonymous
from perennial.redemption import db, rules
from perennial.redemption.model import LIFE, Redemption, TokenExpired, TokenInvalid, TokenRedeemedByOther


@value
class Issued:
    """A new link. Its token is told this once: only its hash is kept."""

    token: str
    redemption: Redemption

    def __repr__(self) -> str:
        return f"Issued({self.redemption!r})"

    def url(self, scheme: str) -> str:
        """What opens the app: `scheme` is the one the app registered for redemption links."""
        return f"{scheme}://redeem_web_purchase?redemption_token={self.token}"


async def issue(tx: Tx, customer_id: CustomerId) -> Issued:
    """A link for everything the customer bought on the web; older ones of theirs end. `Conflict` where they bought nothing there.

    Sending it is the caller's affair: the e-mail address kept with it only tells later where it went.
    """
    customer = (await customers.load(tx, [customer_id]))[customer_id]
    if not rules.holds_web_purchase(await subscriptions.load_of_customers(tx, [customer_id])):
        raise Conflict(f"{customer.app_user_id} bought nothing on the web; a redemption link stands for such a purchase", param="customer_id")
    token = new_token(24)
    email = customer.attributes.get("$email")
    redemption = Redemption(
        token_hash=hash_key(token), buyer=customer_id, email=email.value if email else None, issued_at=tx.now, expires_at=tx.now + LIFE
    )
    await db.insert(tx, redemption)
    await db.expire_others(tx, redemption)
    return Issued(token=token, redemption=redemption)


async def redeem(tx: Tx, token: str, app_user_id: str) -> CustomerId:
    """What was bought on the web is `app_user_id`'s from now on. Raises `TokenInvalid`, `TokenExpired` or `TokenRedeemedByOther`."""
    redemption = await db.lock(tx, hash_key(token))
    if redemption is None:
        raise TokenInvalid
    found = await customers.find(tx, [app_user_id])
    buyer = (await customers.load(tx, [redemption.buyer]))[redemption.buyer]
    match rules.settle(redemption, found.get(app_user_id), tx.now, buyer_is_anonymous=all(is_anonymous(alias) for alias in buyer.aliases)):
        case "theirs":
            redeemer = found[app_user_id]
        case "others":
            raise TokenRedeemedByOther
        case "expired":
            raise TokenExpired(rules.obfuscated(redemption.email))
        case "join":
            redeemer = (await customers.ensure(tx, [app_user_id]))[0][app_user_id]
            await subscriptions.join(tx, redemption.buyer, redeemer)
    await db.mark_redeemed(tx, redemption.token_hash)
    return redeemer


async def forget_person(tx: Tx, customer_ids: Sequence[CustomerId]) -> None:
    """Every link someone was sent, and where it was sent to."""
    await db.delete_of_customers(tx, customer_ids)
