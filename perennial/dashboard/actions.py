"""What a person at the demo does: buy, cancel, refund, let a renewal fail, move the clock. The stores' own verbs do it."""

import asyncio

from perennial import agenda, catalog, customers, intake, subscriptions
from perennial.api.auth import HttpRequest
from perennial.app import App
from perennial.base.db import Tx
from perennial.base.errors import Invalid, NotFound
from perennial.base.ids import LineId, ProjectId, new_uuid
from perennial.base.time import add, parse_duration, to_ms
from perennial.catalog.model import Product
from perennial.intake import Receipt
from perennial.providers import simulated, test_store
from perennial.subscriptions import Said
from perennial.subscriptions.model import Line

STEPS = {"day": "P1D", "month": "P1M", "year": "P1Y"}
ACTS = ("cancel", "uncancel", "refund", "reverse_refund", "fail_next_renewal")

# How a renewal may fail: days of grace, and the days after which the charge goes through; None: never.
FAILURES: dict[str, tuple[int, int | None]] = {"recovers": (0, 3), "recovers_in_grace": (16, 5), "never": (0, None)}

# What follows at once is done before the page is shown again. Webhooks are the worker's: a slow receiver must not hold up a page.
_AT_ONCE = ("simulation", "money")


async def buy(app: App, project_id: ProjectId, app_user_id: str, product_id: str) -> None:
    """As an app would: the store sells, the app posts the proof. Starts with the trial where the product has one."""
    async with app.database.transaction(project_id) as tx:
        product = await catalog.require_product(tx, product_id)
        proof = await _proof(app, tx, product)
    reading = await intake.read_receipt(app.database, app.vault, app.providers, project_id, product.app_id, proof)
    async with app.database.transaction(project_id) as tx:
        ids, _ = await customers.ensure(tx, [app_user_id])
        await intake.record_receipt(tx, app.vault, app.providers, product.app_id, proof, reading, ids[app_user_id])
    await agenda.run_due(app, project_id, _AT_ONCE)


async def _proof(app: App, tx: Tx, product: Product) -> Receipt:
    store = (await catalog.require_app(tx, product.app_id)).store
    if store == "test_store":
        return Receipt(token=f"test_{to_ms(tx.now)}_{new_uuid()}", product_ids=(product.store_identifier,))
    if store in ("app_store", "mac_app_store"):
        offer: simulated.Offer | None = None
        if product.trial_duration is not None:
            offer = simulated.Offer(kind="introductory", discount="FREE_TRIAL", period=product.trial_duration)
        bought = await simulated.buy(tx, app.vault, product.app_id, product=product.store_identifier, offer=offer)
        return Receipt(token=bought.signed_transaction, product_ids=(product.store_identifier,))
    raise Invalid(f"nothing can be bought here in a {store} app; choose the Test Store or the simulated App Store", param="product_id")


async def act(app: App, project_id: ProjectId, line_id: str, name: str, failure: str) -> None:
    """One of `ACTS` on a line. `Conflict` where its store says that it cannot be."""
    async with app.database.transaction(project_id) as tx:
        line = (await subscriptions.load_by_ids(tx, [LineId(line_id)])).get(LineId(line_id))
        if line is None:
            raise NotFound(f"no line {line_id[:80]!r} in this project", param="line_id")
        if line.store == "test_store":
            await _act_in_test_store(tx, line, name)
        else:
            await _act_in_app_store(tx, line, name, failure)
    await agenda.run_due(app, project_id, _AT_ONCE)


async def _act_in_test_store(tx: Tx, line: Line, name: str) -> None:
    if name != "cancel":
        raise Invalid(f"the Test Store does not know {name!r}; buy in the simulated App Store for that", param="act")
    await subscriptions.record(tx, [Said(app_id=line.app_id, statement=test_store.cancel(line, tx.now))])


async def _act_in_app_store(tx: Tx, line: Line, name: str, failure: str) -> None:
    if line.app_id is None:
        raise Invalid("this was granted by hand; revoke it by the API", param="line_id")
    match name:
        case "cancel":
            await simulated.cancel(tx, line.app_id, line.store_line)
        case "uncancel":
            await simulated.uncancel(tx, line.app_id, line.store_line)
        case "refund":
            await simulated.refund(tx, line.app_id, line.store_line)
        case "reverse_refund":
            await simulated.reverse_refund(tx, line.app_id, line.store_line)
        case "fail_next_renewal":
            if failure not in FAILURES:
                raise Invalid(f"failure must be one of {', '.join(FAILURES)}, not {failure[:40]!r}", param="failure")
            grace_days, recover_after_days = FAILURES[failure]
            await simulated.fail_next_renewal(tx, line.app_id, line.store_line, grace_days=grace_days, recover_after_days=recover_after_days)
        case _:
            raise Invalid(f"act must be one of {', '.join(ACTS)}, not {name[:40]!r}", param="act")


async def advance(request: HttpRequest, app: App, project_id: ProjectId, step: str) -> int:
    """Moves the sandbox clock by a step. Returns how many things happened on the way. One at a time: two would pull in two directions."""
    if step not in STEPS:
        raise Invalid(f"by must be one of {', '.join(STEPS)}, not {step[:40]!r}", param="by")
    async with _clock_lock(request):
        async with app.database.transaction(project_id) as tx:
            now = tx.now
        try:
            to = add(now, parse_duration(STEPS[step]))
        except OverflowError as error:
            raise Invalid("the calendar ends with the year 9999", param="by") from error
        return await agenda.advance(app, project_id, to)


def _clock_lock(request: HttpRequest) -> asyncio.Lock:
    state = request.app.state
    if "clock_lock" not in state:
        state["clock_lock"] = asyncio.Lock()
    lock: asyncio.Lock = state["clock_lock"]
    return lock
