"""What a person at the demo does: buy, act on what was bought, try again what was parked, move the clock. The stores' own verbs do it."""

import asyncio

from perennial import agenda, catalog, events, intake, subscriptions
from perennial.api.auth import HttpRequest
from perennial.app import App
from perennial.base.errors import Invalid, NotFound
from perennial.base.ids import LineId, ProjectId
from perennial.base.time import add, parse_duration
from perennial.dashboard.stores import STORES

STEPS = {"day": "P1D", "month": "P1M", "year": "P1Y"}
MOST_PRODUCTS = 1000

# What follows at once is done before the page is shown again. Webhooks are the worker's: a slow receiver must not hold up a page.
_AT_ONCE = ("simulation", "money")


async def buy(app: App, project_id: ProjectId, app_user_id: str, product_id: str, way: str) -> None:
    """As in the world: the store sells, and the buyer's app posts the proof or the store tells us. Starts with the trial where there is one."""
    async with app.database.transaction(project_id) as tx:
        product = await catalog.require_product(tx, product_id)
        sold_by = (await intake.store_apps(tx, app.vault, [product.app_id])).get(product.app_id)
        store = STORES.get(sold_by.store) if sold_by is not None else None
        ways = store.ways_to_buy(sold_by, product) if store is not None and sold_by is not None else {}
        if store is None or way not in ways:
            raise Invalid("this cannot be bought here so; choose the Test Store or one of the simulated stores", param="product_id")
        proof = await store.sell(tx, app.vault, product, app_user_id, way)
    if proof is not None:
        await intake.post_receipt(app.database, app.vault, app.providers, project_id, product.app_id, proof, app_user_id, intake.nothing_more)
    await agenda.run_due(app, project_id, _AT_ONCE)


async def act(app: App, project_id: ProjectId, line_id: str, name: str, way: str) -> None:
    """One of its store's acts on a line. `Conflict` where its store says that it cannot be."""
    async with app.database.transaction(project_id) as tx:
        line = (await subscriptions.load_by_ids(tx, [LineId(line_id)])).get(LineId(line_id))
        if line is None:
            raise NotFound(f"no line {line_id[:80]!r} in this project", param="line_id")
        if line.store not in STORES:
            raise Invalid(f"nothing can be done here to what {line.store} sold", param="line_id")
        products = await catalog.get_products(tx, app_id=line.app_id, limit=MOST_PRODUCTS) if line.app_id is not None else []
        await STORES[line.store].act(tx, line, products, name, way)
    await agenda.run_due(app, project_id, _AT_ONCE)


async def try_again(app: App, project_id: ProjectId, kind: str, place: str, key: str, environment: str) -> None:
    """What was parked is due once more, from its first attempt on. `NotFound` where it is not parked any more."""
    async with app.database.transaction(project_id) as tx:
        match kind:
            case "notification":
                is_woken = await intake.wake_message(tx, place, key)
            case "inquiry":
                is_woken = await intake.wake_inquiry(tx, place, environment, key)
            case "store_act":
                is_woken = await intake.wake_act(tx, place, key)
            case "delivery":
                is_woken = await events.replay(tx, place, event_ids=[key]) > 0
            case "shipment":
                is_woken = await events.replay_integration(tx, place, event_ids=[key]) > 0
            case _:
                raise Invalid(f"nothing of the kind {kind[:40]!r} is ever parked", param="kind")
        if not is_woken:
            raise NotFound("this is not parked any more", param="key")
    await agenda.run_due(app, project_id, _AT_ONCE)


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
