"""The simulated Google Play's verbs: opt in, buy, everything that can be done to what was bought, and playing what is due.

Acts only change the store's own rows and plan what it will send. One thing posts: `play_due`, from the agenda, through the door a real push takes
(the provider opens it, token and all; `intake` keeps it), in the transaction that remembers having posted it.
"""

import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import msgspec

from perennial import catalog, intake
from perennial.base.db import Database, Tx
from perennial.base.errors import Conflict, Invalid, NotFound
from perennial.base.ids import AppId, ProjectId
from perennial.base.money import Money
from perennial.base.secrets import Vault
from perennial.base.value import replace
from perennial.catalog.model import Product
from perennial.intake.model import Message, StoreApp
from perennial.providers.simulated import db as stores
from perennial.providers.simulated.opting_in import address_of, require_app
from perennial.providers.simulated.play_store import db, payloads, rules
from perennial.providers.simulated.play_store.model import Bought, Failure, Happening, Life, Plan, Replacement
from perennial.providers.simulated.play_store.pen import PUSHER, Pen, new_key, pem
from perennial.providers.simulated.playing import Kept, play, post
from perennial.providers.simulated.products import duration_of, price_of, require_product, require_subscription

PATH = "/simulated/play_store"  # where `server.PlayServer` is mounted
PEN = "simulated_play_store.pen"  # what the vault binds the pen to
ACCOUNT = "simulated-publisher@perennial.invalid"
_CODE = re.compile(r"[0-9A-Z]{26}")

# Opting in --------------------------------------------------------------------------------------------------------------------


async def opt_in(tx: Tx, vault: Vault, app_id: str, address: str) -> str:
    """Points the app at a simulated Google Play behind this installation's `address` (http://127.0.0.1:8080), with keys of its own on both sides.

    Returns the address of its API. Again, it only moves the address. `Conflict` outside sandboxes, and for an app that has a real service account.
    """
    app = await require_app(tx, app_id, stores=("play_store",), stands_in="the simulated Google Play stands in for the Play Store")
    api = address_of(address, PATH, app_id)
    known = (await intake.store_apps(tx, vault, [app_id]))[app_id]
    if known.secrets and not is_simulated(known):
        raise Conflict(f"{app.name!r} has a service account of Google's; make another app for the simulated store")
    if not known.simulated_roots:
        pen = Pen.create(tx.now)
        await stores.insert_store(tx, app_id, pen=vault.seal(pen.dump(), PEN), root=pen.certificate)
    account = {"type": "service_account", "client_email": ACCOUNT, "private_key_id": "simulated", "private_key": pem(new_key())}
    await catalog.change_app(
        tx,
        vault,
        app_id,
        api_base_url=api,
        settings={"pubsub_audience": api, "pubsub_service_account": PUSHER},
        secrets={} if known.secrets else {"service_account": msgspec.json.encode(account).decode()},
    )
    return api


def is_simulated(app: StoreApp) -> bool:
    """Whether an app's Google Play is the simulated one."""
    return bool(app.simulated_roots) and (app.api_base_url or "").endswith(f"{PATH}/{app.app_id}")


async def require_store(tx: Tx, vault: Vault, app_id: str) -> StoreApp:
    apps = await intake.store_apps(tx, vault, [app_id])
    if app_id not in apps or not is_simulated(apps[app_id]):
        raise NotFound(f"the app {app_id!r} has no simulated Google Play; opt in first", param="app_id")
    return apps[app_id]


async def _pens(tx: Tx, vault: Vault, app_ids: Sequence[str]) -> dict[str, Pen]:
    found = await stores.stores(tx, app_ids)
    return {app_id: Pen.load(vault.unseal(row["pen"], PEN).reveal_bytes(), bytes(row["root"])) for app_id, row in found.items()}


# Buying -----------------------------------------------------------------------------------------------------------------------


async def buy(
    tx: Tx,
    vault: Vault,
    app_id: str,
    *,
    product: str,
    account: str | None = None,
    free_trial: bool = False,
    is_prepaid: bool = False,
    price: Money | None = None,
    region: str = "US",
    is_silent: bool = False,
) -> Bought:
    """A customer buys `product` (the store's identifier, with its base plan). `price`: what it costs; None: the catalog's first price.

    `account` is what the app attaches to say who buys (obfuscatedAccountId). `is_silent`: its notifications are lost on the way. They follow by
    the agenda; the token is what the device posts as its receipt.
    """
    store = await require_store(tx, vault, app_id)
    if len(region) != 2 or not (region.isascii() and region.isalpha() and region.isupper()):
        raise Invalid("a region is a country in two capital letters, such as US", param="region")
    sold = await require_product(tx, app_id, product)
    await _refuse_twice(tx, app_id, sold, account)
    life = rules.buy(
        app_id=AppId(store.app_id),
        code=tx.new_id("life").partition("_")[2],
        plan=plan_of(sold, price, is_prepaid=is_prepaid),
        now=tx.now,
        trial=(sold.trial_duration or "P1W") if free_trial else None,
        account=account,
        region=region,
        is_silent=is_silent,
    )
    await db.insert(tx, life, rules.next_moment(life))
    return bought(life)


async def _refuse_twice(tx: Tx, app_id: str, sold: Product, account: str | None) -> None:
    """Google Play sells nobody what they own: what is bought once must be consumed before it is bought again."""
    if account is None or duration_of(sold) is not None:
        return
    for life in await db.of_account(tx, app_id, account, sold.store_identifier):
        if life.newest.ended_at is None and not life.newest.is_consumed:
            owned = life.token_name(life.newest.number)
            raise Conflict(f"ITEM_ALREADY_OWNED: {account!r} owns {sold.store_identifier!r} by {owned}; consume that first")


async def consume(tx: Tx, app_id: str, subject: str) -> Life:
    """What the device does with a consumable that it was told to consume."""
    return await act(tx, app_id, subject, lambda life: rules.consume(life, tx.now))


def bought(life: Life) -> Bought:
    """What the device holds of the newest token."""
    token = life.newest
    return Bought(token=life.token_name(token.number), order_id=token.paid_order, product=token.plan.subscription, expires_at=token.expires_at)


def plan_of(product: Product, price: Money | None = None, *, is_prepaid: bool = False) -> Plan:
    """A product with its terms. `price`: None: the catalog's first."""
    duration = duration_of(product)
    return Plan(product=product.store_identifier, price=price_of(product, price), duration=duration, is_prepaid=is_prepaid and duration is not None)


# What can be done -------------------------------------------------------------------------------------------------------------

Act = Callable[[Life], Life]


async def act(tx: Tx, app_id: str, subject: str, work: Act) -> Life:
    """What was due comes first. `subject`: any token or order of what was bought."""
    life = await db.lock(tx, app_id, code_of(subject))
    if life is None:
        raise NotFound(f"the simulated Google Play knows no {subject!r}", param="subject")
    life = replace(rules.play(work(rules.play(life, tx.now)), tx.now), played_at=tx.now)
    if life.is_silent:
        life, _ = rules.posted(life, tx.now)
    await db.save(tx, [life], [rules.next_moment(life)])
    return life


def code_of(subject: str) -> str:
    """The life a token or an order belongs to: `play.<code>.1`, `GPA.<code>-1..0`."""
    found = _CODE.search(subject)
    return found[0] if found else ""


async def cancel(tx: Tx, app_id: str, subject: str) -> Life:
    return await act(tx, app_id, subject, lambda life: rules.cancel(life, tx.now))


async def uncancel(tx: Tx, app_id: str, subject: str) -> Life:
    return await act(tx, app_id, subject, lambda life: rules.uncancel(life, tx.now))


async def restore(tx: Tx, app_id: str, subject: str) -> Life:
    return await act(tx, app_id, subject, lambda life: rules.restore(life, tx.now))


async def resubscribe(tx: Tx, app_id: str, subject: str, product: str, *, price: Money | None = None) -> Life:
    plan = await _plan_for(tx, app_id, product, price)
    return await act(tx, app_id, subject, lambda life: rules.resubscribe(life, plan, tx.now))


async def upgrade(tx: Tx, app_id: str, subject: str, product: str, *, price: Money | None = None, mode: Replacement = "CHARGE_FULL_PRICE") -> Life:
    plan = await _plan_for(tx, app_id, product, price)
    return await act(tx, app_id, subject, lambda life: rules.upgrade(life, plan, tx.now, mode=mode))


async def downgrade(tx: Tx, app_id: str, subject: str, product: str, *, price: Money | None = None) -> Life:
    plan = await _plan_for(tx, app_id, product, price)
    return await act(tx, app_id, subject, lambda life: rules.downgrade(life, plan, tx.now))


async def top_up(tx: Tx, app_id: str, subject: str) -> Life:
    return await act(tx, app_id, subject, lambda life: rules.top_up(life, tx.now))


async def pause(tx: Tx, app_id: str, subject: str, months: int = 1) -> Life:
    return await act(tx, app_id, subject, lambda life: rules.pause(life, months, tx.now))


async def resume(tx: Tx, app_id: str, subject: str) -> Life:
    return await act(tx, app_id, subject, lambda life: rules.resume(life, tx.now))


async def fail_next_renewal(tx: Tx, app_id: str, subject: str, *, grace_days: int = 0, recover_after_days: int | None = None) -> Life:
    """`recover_after_days` counts from the end of the period; None: the charge never succeeds."""
    failure = Failure(grace_days=grace_days, recover_after_days=recover_after_days)
    return await act(tx, app_id, subject, lambda life: rules.fail_next_renewal(life, failure))


async def revert_failure(tx: Tx, app_id: str, subject: str) -> Life:
    """Takes back a failure that was planned for the next renewal."""
    return await act(tx, app_id, subject, rules.revert_failure)


async def refund(tx: Tx, app_id: str, subject: str, order_id: str | None = None, *, revoke: bool = False) -> Life:
    """Gives back an order; None: the one whose period runs. `revoke` takes what it paid for, too."""
    return await act(tx, app_id, subject, lambda life: rules.refund(life, order_id, tx.now, revoke=revoke))


async def defer(tx: Tx, app_id: str, subject: str, by: timedelta) -> Life:
    return await act(tx, app_id, subject, lambda life: rules.defer(life, by, tx.now))


async def set_silent(tx: Tx, app_id: str, subject: str, *, is_silent: bool) -> Life:
    """Whether its notifications are lost from now on; those that were stay lost."""
    return await act(tx, app_id, subject, lambda life: replace(life, is_silent=is_silent))


async def _plan_for(tx: Tx, app_id: str, product: str, price: Money | None) -> Plan:
    return plan_of(await require_subscription(tx, app_id, product), price)


async def find(tx: Tx, app_id: str, subjects: Sequence[str]) -> dict[str, Life]:
    """By any tokens or orders of what was bought, with what is due played for the reader's eyes only."""
    found = {life.code: life for life in await db.find_all(tx, app_id, sorted({code_of(subject) for subject in subjects}))}
    return {subject: rules.play(found[code_of(subject)], tx.now) for subject in subjects if code_of(subject) in found}


async def lives(tx: Tx, app_id: str, *, before: str | None = None, limit: int = 100) -> list[Life]:
    """A page of what was bought, newest first, with what is due played for the reader's eyes only."""
    return [rules.play(life, tx.now) for life in await db.newest(tx, app_id, before=before, limit=limit)]


def status(life: Life) -> str:
    """In words, for people."""
    return (
        rules.state(life, life.newest).lower().replace("_", " ")
        if rules.is_subscription(life)
        else "taken back"
        if life.newest.ended_at
        else "bought"
    )


# Playing ----------------------------------------------------------------------------------------------------------------------


async def play_due(database: Database, vault: Vault, providers: intake.Providers, project_id: ProjectId, limit: int = 100) -> int:
    """Plays what is due and posts what it sends. Returns how many rows were handled.

    Twice does no harm (what was played is not due), late neither: it catches up. What cannot be played steps aside for an hour.
    """
    async with database.transaction(project_id) as tx:
        due = await db.claim_due(tx, limit)
        if due:
            await _play(tx, vault, providers, due)
        return len(due)


async def _play(tx: Tx, vault: Vault, providers: intake.Providers, due: Sequence[Kept]) -> None:
    app_ids = sorted({one.app_id for one in due})
    apps, pens = await intake.store_apps(tx, vault, app_ids), await _pens(tx, vault, app_ids)

    def play_one(one: Kept) -> tuple[Life, list[Message]]:
        life, waiting = rules.posted(rules.play(db.life_of(one.state), tx.now), tx.now)
        sent = (_post(providers, apps[one.app_id], pens[one.app_id], life, happening, tx.now) for happening in waiting)
        return life, [message for message in sent if message is not None]

    played = await play(tx, due, play_one, db.postpone)
    await db.save(tx, played, [rules.next_moment(life) for life in played])


def _post(providers: intake.Providers, app: StoreApp, pen: Pen, life: Life, happening: Happening, now: datetime) -> Message | None:
    body = payloads.push(app.bundle_id or "", life, happening)
    headers = {"authorization": f"Bearer {pen.push_token(app.settings.get('pubsub_audience', ''), now)}"}
    return post(providers, app, body, headers, now, kind=str(happening.type))
