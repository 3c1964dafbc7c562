"""The simulated App Store's verbs: opt in, buy, everything that can be done to a line, and playing what is due.

Acts only change the store's own rows and plan what it will send. One thing posts: `play_due`, from the agenda, through the door a real
notification takes (the provider opens it, `intake` keeps it), in the transaction that remembers having posted it.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Literal, TypeVar

import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from perennial import intake
from perennial.base.db import Database, Tx
from perennial.base.errors import Invalid, NotFound, Unavailable
from perennial.base.ids import ProjectId, new_uuid, random_bytes
from perennial.base.money import Money
from perennial.base.secrets import Vault
from perennial.base.time import check_duration
from perennial.base.value import replace, value
from perennial.catalog.model import Product
from perennial.intake.model import Message, StoreApp
from perennial.providers.apple import SigningAuthority
from perennial.providers.simulated import db as stores
from perennial.providers.simulated.app_store import db, payloads, rules
from perennial.providers.simulated.app_store.model import (
    DESK,
    Bought,
    Credentials,
    Delivery,
    Desk,
    Failure,
    ItemType,
    Offer,
    Plan,
    Sent,
    Subscription,
)
from perennial.providers.simulated.opting_in import require_app
from perennial.providers.simulated.playing import Kept, play, post
from perennial.providers.simulated.products import duration_of, price_of, require_product, require_subscription

PATH = "/simulated/app_store"  # where `server.AppStoreServer` is mounted
PEN = "simulated_store.pen"  # what the vault binds the pen to
STORES = ("app_store", "mac_app_store")
_MOST_DRAWS = 10
_TYPES: dict[str, ItemType] = {
    "subscription": "Auto-Renewable Subscription",
    "consumable": "Consumable",
    "non_renewing_subscription": "Non-Renewing Subscription",
}

Sender = TypeVar("Sender", Subscription, Desk)


@value
class Pen:
    """What the simulated store signs with, and the key its API accepts."""

    authority: SigningAuthority
    credentials: Credentials


# Opting in --------------------------------------------------------------------------------------------------------------------


async def opt_in(tx: Tx, vault: Vault, app_id: str) -> bytes:
    """Gives the app a simulated store of its own, and returns its root (DER). Again, it returns the same. `Conflict` outside sandboxes."""
    await require_app(tx, app_id, stores=STORES, stands_in="the simulated App Store stands in for the App Store")
    found = await stores.stores(tx, [app_id])
    if app_id not in found:
        authority = SigningAuthority.create(tx.now)
        await stores.insert_store(tx, app_id, pen=vault.seal(_dump(authority), PEN), root=authority.root_der)
        found = await stores.stores(tx, [app_id])
    return bytes(found[app_id]["root"])


def _dump(authority: SigningAuthority) -> bytes:
    key = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    parts = {"authority": authority.dump().decode(), "key_id": random_bytes(5).hex().upper(), "issuer": new_uuid(), "private_key": key.decode()}
    return msgspec.json.encode(parts)


def _load(dumped: bytes) -> Pen:
    parts = msgspec.json.decode(dumped, type=dict[str, str])
    authority = SigningAuthority.load(parts.pop("authority").encode())
    return Pen(authority=authority, credentials=Credentials(**parts))


async def pens(tx: Tx, vault: Vault, app_ids: Sequence[str]) -> dict[str, Pen]:
    return {app_id: _load(vault.unseal(row["pen"], PEN).reveal_bytes()) for app_id, row in (await stores.stores(tx, app_ids)).items()}


async def require_pen(tx: Tx, vault: Vault, app_id: str) -> Pen:
    found = await pens(tx, vault, [app_id])
    if app_id not in found:
        raise NotFound(f"the app {app_id!r} has no simulated store; opt in first", param="app_id")
    return found[app_id]


async def credentials(tx: Tx, vault: Vault, app_id: str) -> Credentials:
    """Key id, issuer and private key for the simulated store's API."""
    return (await require_pen(tx, vault, app_id)).credentials


async def set_delivery(tx: Tx, app_id: str, delivery: Delivery) -> None:
    """How this store's notifications travel from now on."""
    desk = await db.lock_desk(tx, app_id)
    await _save(tx, replace(desk, outbox=replace(desk.outbox, delivery=delivery)))


# Buying -----------------------------------------------------------------------------------------------------------------------


async def buy(
    tx: Tx,
    vault: Vault,
    app_id: str,
    *,
    product: str,
    app_account_token: str | None = None,
    offer: Offer | Literal["free_trial"] | None = None,
    price: Money | None = None,
    storefront: str = "USA",
    family_shared: bool = False,
) -> Bought:
    """A customer buys `product` (the store's identifier). `price`: what the storefront charges; None: the catalog's first price.

    The notification follows by the agenda; the signed transaction is what the device posts as its receipt.
    """
    pen = await require_pen(tx, vault, app_id)
    if len(storefront) != 3 or not (storefront.isascii() and storefront.isalpha() and storefront.isupper()):
        raise Invalid("a storefront is a country in three capital letters, such as USA", param="storefront")
    sold = await require_product(tx, app_id, product)
    delivery = (await db.find_desk(tx, app_id)).outbox.delivery
    for _ in range(_MOST_DRAWS):
        line = rules.buy(
            app_id=sold.app_id,
            store_line=_draw(),
            type=_TYPES.get(sold.type, "Non-Consumable"),
            plan=plan_of(sold, price),
            now=tx.now,
            offer=_offer(offer, sold),
            app_account_token=app_account_token,
            storefront=storefront,
            is_family_shared=family_shared,
            delivery=delivery,
        )
        if await db.insert(tx, line, rules.next_moment(line)):
            return await _bought(tx, vault, pen, line)
    raise Unavailable("could not draw a free transaction number; try again")


def _draw() -> str:
    """Nineteen digits that end in 000, as an originalTransactionId: a line's further transactions count on from it."""
    return f"2{int.from_bytes(random_bytes(8), 'big') % 10**15:015}000"


async def _bought(tx: Tx, vault: Vault, pen: Pen, line: Subscription) -> Bought:
    charge = payloads.current(line)
    app = (await intake.store_apps(tx, vault, [line.app_id]))[line.app_id]
    assert line.outbox.last_signed_at is not None, "a purchase is announced"
    payload = payloads.transaction_payload(line, charge, line.outbox.last_signed_at)
    return Bought(
        store_line=line.store_line,
        transaction=charge.transaction,
        signed_transaction=payloads.sign_transaction(pen.authority, app, payload),
        expires_at=charge.expires_at,
    )


def plan_of(product: Product, price: Money | None = None) -> Plan:
    """A product with its terms. `price`: None: the catalog's first."""
    return Plan(product=product.store_identifier, duration=duration_of(product), price=price_of(product, price))


def _offer(offer: Offer | Literal["free_trial"] | None, product: Product) -> Offer | None:
    if offer == "free_trial":
        return Offer(kind="introductory", discount="FREE_TRIAL", period=product.trial_duration or "P1W")
    if isinstance(offer, Offer):
        check_duration(offer.period, "offer.period")
        if not 1 <= offer.periods <= 12:
            raise Invalid("an offer lasts 1 to 12 periods", param="offer")
        return offer
    if offer is not None:
        raise Invalid(f"{offer!r} is not an offer the simulated store knows; pass an Offer, or free_trial", param="offer")
    return None


# What can be done to a line ---------------------------------------------------------------------------------------------------

Act = Callable[[Subscription], Subscription]


async def act(tx: Tx, app_id: str, store_line: str, work: Act) -> Subscription:
    """What was due comes first, and what follows at once (a cancelled retry ends) comes with it."""
    line = await require_line(tx, app_id, store_line)
    line = rules.play(work(rules.play(line, tx.now)), tx.now)
    await _save(tx, line)
    return line


async def require_line(tx: Tx, app_id: str, store_line: str) -> Subscription:
    """The line, ours until the transaction ends."""
    line = await db.lock_line(tx, app_id, store_line)
    if line is None:
        raise NotFound(f"the simulated store has no line {store_line!r}", param="store_line")
    return line


async def _plan_for(tx: Tx, app_id: str, product: str, price: Money | None) -> tuple[Plan, Product]:
    found = await require_subscription(tx, app_id, product)
    return plan_of(found, price), found


async def cancel(tx: Tx, app_id: str, store_line: str) -> Subscription:
    return await act(tx, app_id, store_line, lambda line: rules.cancel(line, tx.now))


async def uncancel(tx: Tx, app_id: str, store_line: str) -> Subscription:
    return await act(tx, app_id, store_line, lambda line: rules.uncancel(line, tx.now))


async def upgrade(tx: Tx, app_id: str, store_line: str, product: str, *, price: Money | None = None) -> Subscription:
    plan, _ = await _plan_for(tx, app_id, product, price)
    return await act(tx, app_id, store_line, lambda line: rules.upgrade(line, plan, tx.now))


async def downgrade(tx: Tx, app_id: str, store_line: str, product: str, *, price: Money | None = None) -> Subscription:
    plan, _ = await _plan_for(tx, app_id, product, price)
    return await act(tx, app_id, store_line, lambda line: rules.downgrade(line, plan, tx.now))


async def revert_downgrade(tx: Tx, app_id: str, store_line: str) -> Subscription:
    return await act(tx, app_id, store_line, lambda line: rules.revert_downgrade(line, tx.now))


async def resubscribe(
    tx: Tx,
    vault: Vault,
    app_id: str,
    store_line: str,
    product: str,
    *,
    offer: Offer | Literal["free_trial"] | None = None,
    price: Money | None = None,
) -> Bought:
    """A new purchase on an old line, so there is something to post as a receipt."""
    plan, sold = await _plan_for(tx, app_id, product, price)
    line = await act(tx, app_id, store_line, lambda line: rules.resubscribe(line, plan, tx.now, offer=_offer(offer, sold)))
    return await _bought(tx, vault, await require_pen(tx, vault, app_id), line)


async def redeem_offer(
    tx: Tx,
    app_id: str,
    store_line: str,
    offer: Offer,
    *,
    product: str | None = None,
    change: Literal["upgrade", "downgrade"] | None = None,
    price: Money | None = None,
) -> Subscription:
    plan = (await _plan_for(tx, app_id, product, price))[0] if product is not None else None
    return await act(tx, app_id, store_line, lambda line: rules.redeem_offer(line, offer, tx.now, plan=plan, change=change))


async def refund(tx: Tx, app_id: str, store_line: str, transaction: str | None = None, *, share_ppm: int = 1_000_000) -> Subscription:
    """Refunds a transaction of the line; None: the current one."""
    return await act(tx, app_id, store_line, lambda line: rules.refund(line, transaction, tx.now, share_ppm=share_ppm))


async def reverse_refund(tx: Tx, app_id: str, store_line: str, transaction: str | None = None) -> Subscription:
    return await act(tx, app_id, store_line, lambda line: rules.reverse_refund(line, transaction, tx.now))


async def request_refund(tx: Tx, app_id: str, store_line: str, transaction: str | None = None) -> Subscription:
    return await act(tx, app_id, store_line, lambda line: rules.request_refund(line, transaction, tx.now))


async def decline_refund(tx: Tx, app_id: str, store_line: str, transaction: str | None = None) -> Subscription:
    return await act(tx, app_id, store_line, lambda line: rules.decline_refund(line, transaction, tx.now))


async def fail_next_renewal(tx: Tx, app_id: str, store_line: str, *, grace_days: int = 0, recover_after_days: int | None = None) -> Subscription:
    """`recover_after_days` counts from the end of the period; None: the charge never succeeds."""
    failure = Failure(grace_days=grace_days, recover_after_days=recover_after_days)
    return await act(tx, app_id, store_line, lambda line: rules.fail_next_renewal(line, failure))


async def revert_failure(tx: Tx, app_id: str, store_line: str) -> Subscription:
    """Takes back a failure that was planned for the next renewal."""
    return await act(tx, app_id, store_line, rules.revert_failure)


async def extend(tx: Tx, app_id: str, store_line: str, days: int) -> Subscription:
    return await act(tx, app_id, store_line, lambda line: rules.extend(line, days, tx.now))


async def raise_price(tx: Tx, app_id: str, store_line: str, price: Money, *, needs_consent: bool) -> Subscription:
    return await act(tx, app_id, store_line, lambda line: rules.raise_price(line, price, tx.now, needs_consent=needs_consent))


async def consent(tx: Tx, app_id: str, store_line: str) -> Subscription:
    return await act(tx, app_id, store_line, lambda line: rules.consent(line, tx.now))


async def revoke_family(tx: Tx, app_id: str, store_line: str) -> Subscription:
    return await act(tx, app_id, store_line, lambda line: rules.revoke_family(line, tx.now))


async def test_notification(tx: Tx, app_id: str) -> str:
    """Plans a TEST notification and returns its UUID."""
    desk = await db.lock_desk(tx, app_id)
    draft = rules.draft_test(desk, tx.now)
    await _save(tx, replace(desk, outbox=rules.put(desk.outbox, draft, tx.now)))
    return draft.uuid


async def resend_lost(tx: Tx, app_id: str) -> int:
    """Sends what was lost once more, and says how many that were."""
    total, after = 0, ""
    while lines := await db.all_lines(tx, app_id, after=after):
        after = lines[-1].store_line
        for line in lines:
            total += await _resend(tx, await require_line(tx, app_id, line.store_line))
    return total + await _resend(tx, await db.lock_desk(tx, app_id))


async def _resend(tx: Tx, sender: Sender) -> int:
    outbox, count = rules.resend_lost(sender.outbox, tx.now)
    if count:
        await _save(tx, replace(sender, outbox=outbox))
    return count


async def find(tx: Tx, app_id: str, store_lines: Sequence[str]) -> dict[str, Subscription]:
    """Lines by their numbers, with what is due played for the reader's eyes only."""
    return {line.store_line: rules.play(line, tx.now) for line in await db.find_lines(tx, app_id, store_lines)}


async def lines(tx: Tx, app_id: str, *, after: str = "", limit: int = 100) -> list[Subscription]:
    """A page of the store's lines, with what is due played for the reader's eyes only."""
    return [rules.play(line, tx.now) for line in await db.all_lines(tx, app_id, after=after, limit=limit)]


async def notification_history(tx: Tx, vault: Vault, app_id: str) -> list[tuple[Sent, bytes]]:
    """What this store sent or tried to (Apple keeps 180 days of it), oldest first, each with the body it posts."""
    pen = await require_pen(tx, vault, app_id)
    app = (await intake.store_apps(tx, vault, [app_id]))[app_id]
    sent = [*(await db.find_desk(tx, app_id)).outbox.sent]
    after = ""
    while page := await db.all_lines(tx, app_id, after=after):
        after = page[-1].store_line
        sent += [one for line in page for one in line.outbox.sent]
    kept = [one for one in sent if one.draft.signed_at > tx.now - rules.KEPT]
    return [(one, payloads.body(pen.authority, app, one.draft)) for one in sorted(kept, key=lambda one: (one.draft.signed_at, one.draft.uuid))]


async def _save(tx: Tx, *senders: Subscription | Desk) -> None:
    await db.save(tx, senders, [_wake_at(sender) for sender in senders])


def _wake_at(sender: Subscription | Desk) -> datetime | None:
    return rules.next_moment(sender) if isinstance(sender, Subscription) else rules.next_posting(sender)


# Playing ----------------------------------------------------------------------------------------------------------------------


async def play_due(database: Database, vault: Vault, providers: intake.Providers, project_id: ProjectId, limit: int = 100) -> int:
    """Plays lines whose moment has come and posts what they send. Returns how many rows were handled.

    Twice does no harm (a line that was played is not due), late neither: it catches up. What cannot be played steps aside for an hour.
    """
    async with database.transaction(project_id) as tx:
        due = await db.claim_due(tx, limit)
        if due:
            await _play(tx, vault, providers, due)
        return len(due)


async def _play(tx: Tx, vault: Vault, providers: intake.Providers, due: Sequence[Kept]) -> None:
    app_ids = sorted({one.app_id for one in due})
    apps, found = await intake.store_apps(tx, vault, app_ids), await pens(tx, vault, app_ids)
    desks = {app_id: await db.find_desk(tx, app_id) for app_id in app_ids}

    def play_one(one: Kept) -> tuple[Subscription | Desk, list[Message]]:
        return _play_one(tx, providers, apps[one.app_id], found[one.app_id], desks[one.app_id], one)

    await _save(tx, *await play(tx, due, play_one, db.postpone))


def _play_one(tx: Tx, providers: intake.Providers, app: StoreApp, pen: Pen, desk: Desk, one: Kept) -> tuple[Subscription | Desk, list[Message]]:
    sender: Subscription | Desk
    if one.key == DESK:
        sender, drafts = rules.take_due(desk, tx.now)
    else:
        sender, drafts = rules.advance(db.under(desk, db.line_of(one.state)), tx.now)
    messages: list[Message] = []
    for draft in drafts:
        message = post(providers, app, payloads.body(pen.authority, app, draft), {}, tx.now, kind=draft.type)
        if message is not None:
            messages.append(message)
        sender = replace(sender, outbox=rules.mark_posted(sender.outbox, draft.uuid, is_delivered=message is not None))
    return sender, messages
