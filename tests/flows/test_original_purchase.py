"""When something was first bought is the store's own word, whichever of its periods we heard of first."""

from datetime import timedelta

from perennial import customers, subscriptions
from perennial.base.time import iso, to_ms
from perennial.subscriptions import Said
from perennial.subscriptions.model import Purchase, Statement
from tests.contract.v2_caller import Caller
from tests.world import START, World

DAY = timedelta(days=1)
LONG_AGO = START - 400 * DAY


def renewal(**facts: object) -> Purchase:
    """The fourteenth period, which is the first we hear of."""
    known = {
        "transaction": "1014",
        "product": "pro_monthly",
        "kind": "subscription",
        "purchased_at": START,
        "expires_at": START + 30 * DAY,
        "as_of": START,
        "is_first": False,
        "is_renewal": True,
    }
    return Purchase(**{**known, **facts})  # type: ignore[arg-type]


async def hear(world: World, statement: Statement) -> None:
    async with world.app.database.transaction(world.project_id) as tx:
        ids, _ = await customers.ensure(tx, ["ada"])
        await subscriptions.record(tx, [Said(app_id=world.app_ids["app_store"], statement=statement, buyer=ids["ada"])])


async def test_the_stores_own_date_is_shown_by_v1_and_v2(world: World) -> None:
    v2 = Caller.of(world)
    stated = Statement(store="app_store", environment="production", line="1001", purchases=(renewal(),))
    await hear(world, stated)
    assert (await world.customer("ada"))["subscriptions"]["pro_monthly"]["original_purchase_date"] == iso(START)
    await hear(world, Statement(store="app_store", environment="production", line="1001", purchases=(), original_purchased_at=LONG_AGO))
    await hear(world, stated)
    shown = (await world.customer("ada"))["subscriptions"]["pro_monthly"]
    assert (shown["original_purchase_date"], shown["purchase_date"]) == (iso(LONG_AGO), iso(START))
    (held,) = (await v2.get("/customers/ada/subscriptions"))["items"]
    assert (held["starts_at"], held["current_period_starts_at"]) == (to_ms(LONG_AGO), to_ms(START))


async def test_what_was_bought_once_is_dated_so_too(world: World) -> None:
    again = renewal(transaction="2002", product="pro_lifetime", kind="non_consumable", expires_at=None, is_renewal=False)
    await hear(world, Statement(store="app_store", environment="production", line="2001", purchases=(again,), original_purchased_at=LONG_AGO))
    (shown,) = (await world.customer("ada"))["non_subscriptions"]["pro_lifetime"]
    assert (shown["original_purchase_date"], shown["purchase_date"]) == (iso(LONG_AGO), iso(START))
