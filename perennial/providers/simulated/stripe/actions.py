"""The simulated Stripe's verbs: opt in, buy, everything that can be done to what was bought, and playing what is due.

Acts only change the store's own rows and plan what it will send. One thing posts: `play_due`, from the agenda, through the door a real webhook
takes (the provider opens it, signature and all; `intake` keeps it), in the transaction that remembers having posted it.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Literal

import msgspec

from perennial import catalog, intake
from perennial.base.db import Database, Tx
from perennial.base.errors import Conflict, Invalid, NotFound
from perennial.base.ids import ProjectId, new_token
from perennial.base.money import Money
from perennial.base.secrets import Vault
from perennial.base.value import replace
from perennial.catalog.model import Product
from perennial.intake.model import Message, StoreApp
from perennial.providers.simulated.opting_in import address_of, require_app
from perennial.providers.simulated.playing import Kept, play, post
from perennial.providers.simulated.products import duration_of, price_of, require_product, require_subscription
from perennial.providers.simulated.stripe import db, payloads, rules
from perennial.providers.simulated.stripe.model import Behavior, Bought, Failure, GivenUp, Happening, Life, Plan
from perennial.providers.stripe import signature

PATH = "/simulated/stripe"  # where `server.StripeServer` is mounted
MAX_SETUP_FEE = 99_999_999  # the most Stripe charges at once


# Opting in --------------------------------------------------------------------------------------------------------------------


async def opt_in(tx: Tx, vault: Vault, app_id: str, address: str) -> str:
    """Points the app at a simulated Stripe behind this installation's `address` (http://127.0.0.1:8080), with a key and a signing secret of its own.

    Returns the address of its API. Again, it only moves the address. `Conflict` outside sandboxes, and for an app that has a real key.
    """
    app = await require_app(tx, app_id, stores=("stripe",), stands_in="the simulated Stripe stands in for Stripe")
    api = address_of(address, PATH, app_id)
    known = (await intake.store_apps(tx, vault, [app_id]))[app_id]
    if known.secrets and not is_simulated(known):
        raise Conflict(f"{app.name!r} has a key of a real Stripe account; make another app for the simulated one")
    made = {"api_key": f"sk_test_simulated{new_token(18)}", "webhook_secret": f"whsec_{new_token(24)}"}
    await catalog.change_app(tx, vault, app_id, api_base_url=api, secrets={} if known.secrets else made)
    return api


def is_simulated(app: StoreApp) -> bool:
    """Whether an app's Stripe is the simulated one."""
    return (app.api_base_url or "").endswith(f"{PATH}/{app.app_id}")


async def require_store(tx: Tx, vault: Vault, app_id: str) -> StoreApp:
    apps = await intake.store_apps(tx, vault, [app_id])
    if app_id not in apps or not is_simulated(apps[app_id]):
        raise NotFound(f"the app {app_id!r} has no simulated Stripe; opt in first", param="app_id")
    return apps[app_id]


# Buying -----------------------------------------------------------------------------------------------------------------------


def _fee_of(setup_fee: int, type: str) -> int:
    if setup_fee and type != "subscription":
        raise Invalid("only a subscription is sold with a setup fee", param="setup_fee")
    if not 0 <= setup_fee <= MAX_SETUP_FEE:
        raise Invalid(f"a setup fee is from 0 to {MAX_SETUP_FEE} in minor units, not {setup_fee}", param="setup_fee")
    return setup_fee


async def buy(
    tx: Tx,
    vault: Vault,
    app_id: str,
    *,
    product: str,
    app_user_id: str | None = None,
    is_told_by_session: bool = False,
    quantity: int = 1,
    free_trial: bool = False,
    setup_fee: int = 0,
    price: Money | None = None,
    country: str | None = None,
    is_declined: bool = False,
    is_silent: bool = False,
) -> Bought:
    """A checkout of `product` (the store's identifier). `price`: what it costs; None: the catalog's first price. The webhooks follow by the agenda.

    `setup_fee`, in the price's minor unit, is charged once, with the first invoice. `is_told_by_session`: who buys stands in the checkout's
    reference alone. `is_silent`: its webhooks are lost on the way.
    """
    store = await require_store(tx, vault, app_id)
    sold = await require_product(tx, app_id, product)
    if not 1 <= quantity <= 1_000_000:
        raise Invalid("a quantity is a whole number from 1", param="quantity")
    life = rules.buy(
        app_id=store.app_id,
        code=tx.new_id("life").partition("_")[2],
        plan=plan_of(sold, price),
        now=tx.now,
        app_user_id=app_user_id,
        is_told_by_session=is_told_by_session,
        quantity=quantity,
        trial=(sold.trial_duration or "P1W") if free_trial else None,
        setup_fee=_fee_of(setup_fee, sold.type),
        country=country,
        is_declined=is_declined,
        is_silent=is_silent,
    )
    await db.insert(tx, life, rules.next_moment(life))
    paid_once = payloads.payment_id(life, life.invoices[0]) if life.mode == "payment" else None
    return Bought(session=f"cs_test_{life.code}", subscription=f"sub_{life.code}" if life.mode == "subscription" else None, payment=paid_once)


def plan_of(product: Product, price: Money | None = None) -> Plan:
    """A product with its terms. `price`: None: the catalog's first."""
    return Plan(product=product.store_identifier, duration=duration_of(product), price=price_of(product, price))


# What can be done -------------------------------------------------------------------------------------------------------------

Act = Callable[[Life], Life]


async def act(tx: Tx, app_id: str, subject: str, work: Act) -> Life:
    """`subject`: any id of what was bought."""
    life = await db.lock(tx, app_id, code_of(subject))
    if life is None:
        raise NotFound(f"the simulated Stripe knows no {subject!r}", param="subject")
    life = rules.act(life, tx.now, work)
    if life.is_silent:
        life, _ = rules.posted(life)
    await db.save(tx, [life], [rules.next_moment(life)])
    return life


def code_of(subject: str) -> str:
    """The life an id belongs to: `sub_<code>`, `sub_sched_<code>`, `cs_test_<code>`, `in_<code>_1`, `re_<code>_1_1`, `sub_<code>#si_<code>`."""
    parts = subject.partition("#")[0].split("_")
    return next((part for part in parts[1:] if part not in ("test", "sched")), "")


async def cancel(tx: Tx, app_id: str, subject: str) -> Life:
    return await act(tx, app_id, subject, lambda life: rules.cancel(life, tx.now))


async def uncancel(tx: Tx, app_id: str, subject: str) -> Life:
    return await act(tx, app_id, subject, lambda life: rules.uncancel(life, tx.now))


async def cancel_now(tx: Tx, app_id: str, subject: str) -> Life:
    return await act(tx, app_id, subject, lambda life: rules.end(life, tx.now))


async def fail_next_charge(tx: Tx, app_id: str, subject: str, *, recover_at_retry: int | None = None, then: GivenUp = "canceled") -> Life:
    """`recover_at_retry`: which of the three retries succeeds; None: none. `then`: what becomes of it when all failed."""
    failure = Failure(recover_at_retry=recover_at_retry, then=then)
    return await act(tx, app_id, subject, lambda life: rules.fail_next_charge(life, failure))


async def revert_failure(tx: Tx, app_id: str, subject: str) -> Life:
    """Takes back the failure of charges to come, retries included."""
    return await act(tx, app_id, subject, rules.revert_failure)


async def pay(tx: Tx, app_id: str, subject: str) -> Life:
    return await act(tx, app_id, subject, lambda life: rules.pay(life, tx.now))


async def pause(tx: Tx, app_id: str, subject: str, behavior: Behavior = "void", *, resumes_at: datetime | None = None) -> Life:
    return await act(tx, app_id, subject, lambda life: rules.pause(life, behavior, resumes_at, tx.now))


async def resume(tx: Tx, app_id: str, subject: str) -> Life:
    return await act(tx, app_id, subject, lambda life: rules.resume(life, tx.now))


async def upgrade(tx: Tx, app_id: str, subject: str, product: str, *, price: Money | None = None, invoiced: Literal["now", "later"] = "now") -> Life:
    plan = await _plan_for(tx, app_id, product, price)
    return await act(tx, app_id, subject, lambda life: rules.upgrade(life, plan, tx.now, invoiced=invoiced))


async def downgrade(tx: Tx, app_id: str, subject: str, product: str, *, price: Money | None = None) -> Life:
    plan = await _plan_for(tx, app_id, product, price)
    return await act(tx, app_id, subject, lambda life: rules.downgrade(life, plan, tx.now))


async def revert_downgrade(tx: Tx, app_id: str, subject: str) -> Life:
    return await act(tx, app_id, subject, lambda life: rules.revert_downgrade(life, tx.now))


async def set_quantity(tx: Tx, app_id: str, subject: str, quantity: int, *, invoiced: Literal["now", "later"] = "now") -> Life:
    return await act(tx, app_id, subject, lambda life: rules.set_quantity(life, quantity, tx.now, invoiced=invoiced))


async def refund(tx: Tx, app_id: str, subject: str, *, invoice: int | None = None, amount: int | None = None) -> Life:
    """All of the newest paid invoice, or of the one of that number, or a part of it in minor units."""
    return await act(tx, app_id, subject, lambda life: rules.refund(life, invoice, amount, tx.now))


async def fail_refund(tx: Tx, app_id: str, subject: str, *, invoice: int | None = None) -> Life:
    return await act(tx, app_id, subject, lambda life: rules.fail_refund(life, invoice, tx.now))


async def dispute(tx: Tx, app_id: str, subject: str, *, invoice: int | None = None) -> Life:
    return await act(tx, app_id, subject, lambda life: rules.dispute(life, invoice, tx.now))


async def close_dispute(tx: Tx, app_id: str, subject: str, outcome: Literal["won", "lost"], *, invoice: int | None = None) -> Life:
    return await act(tx, app_id, subject, lambda life: rules.close_dispute(life, invoice, outcome, tx.now))


async def set_silent(tx: Tx, app_id: str, subject: str, *, is_silent: bool) -> Life:
    """Whether its webhooks are lost from now on; those that were stay lost."""
    return await act(tx, app_id, subject, lambda life: replace(life, is_silent=is_silent))


async def _plan_for(tx: Tx, app_id: str, product: str, price: Money | None) -> Plan:
    return plan_of(await require_subscription(tx, app_id, product), price)


async def find(tx: Tx, app_id: str, subjects: Sequence[str]) -> dict[str, Life]:
    """By any ids of what was bought, with what is due played for the reader's eyes only."""
    found = {life.code: life for life in await db.find_all(tx, app_id, sorted({code_of(subject) for subject in subjects}))}
    return {subject: rules.play(found[code_of(subject)], tx.now) for subject in subjects if code_of(subject) in found}


async def lives(tx: Tx, app_id: str, *, before: str | None = None, limit: int = 100) -> list[Life]:
    """A page of what was bought, newest first, with what is due played for the reader's eyes only."""
    return [rules.play(life, tx.now) for life in await db.newest(tx, app_id, before=before, limit=limit)]


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
    apps = await intake.store_apps(tx, vault, sorted({one.app_id for one in due}))

    def play_one(one: Kept) -> tuple[Life, list[Message]]:
        life, waiting = rules.posted(rules.play(db.life_of(one.state), tx.now))
        sent = (_post(providers, apps[one.app_id], life, event, tx.now) for event in waiting)
        return life, [message for message in sent if message is not None]

    played = await play(tx, due, play_one, db.postpone)
    await db.save(tx, played, [rules.next_moment(life) for life in played])


def _post(providers: intake.Providers, app: StoreApp, life: Life, event: Happening, now: datetime) -> Message | None:
    body = msgspec.json.encode(payloads.event(life, event))
    headers = {signature.HEADER: signature.sign(body, secret=app.reveal("webhook_secret"), now=now)}
    return post(providers, app, body, headers, now, kind=event.type)
