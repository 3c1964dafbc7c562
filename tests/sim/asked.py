"""A town whose store is asked rather than told: hints come doubled, shuffled, late or never, its API fails and answers late, workers die.

The town moves in steps of the project's clock, from minutes to weeks: an outage is a long one. At the end the store is asked to tell what was missed,
as an operator would after an outage.
"""

import asyncio
import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Protocol

import msgspec

from perennial import catalog, customers, events, intake, invariants, subscriptions
from perennial.app import App
from perennial.base.db import Database, Tx
from perennial.base.errors import Unavailable
from perennial.base.ids import AppId
from perennial.base.money import Money
from perennial.base.value import replace
from perennial.invariants import Violation
from perennial.providers.simulated import play_store, stripe
from perennial.providers.simulated.play_store import actions as play_actions
from perennial.providers.simulated.play_store import db as play_db
from perennial.providers.simulated.play_store import payloads as play_payloads
from perennial.providers.simulated.stripe import db as stripe_db
from perennial.providers.simulated.stripe import payloads as stripe_payloads
from perennial.providers.stripe import signature
from perennial.subscriptions.model import Line
from tests.sim.bad_api import BadApi
from tests.sim.lives import Lived, PlayStoreLife, StripeLife
from tests.sim.receiver import Receiver, all_delivered, reopened
from tests.sim.workers import crashing, run, work_until_done
from tests.world import START, World

WORKERS = 3
PRODUCTS = {"pro": 999, "max": 1999, "basic": 999}
STEPS = (timedelta(hours=2), timedelta(days=1), timedelta(days=4), timedelta(days=16), timedelta(days=40), timedelta(days=70))
PARKED = ("notifications-parked", "questions-parked", "purchases-unacknowledged", "deliveries-parked")
MOST_ROUNDS = 200  # until nothing is to be asked, at the end


class Shop(Protocol):
    """What a simulated store has of its own."""

    store: Any
    lived: Any
    base_plan: str

    def server(self, app: App) -> Any: ...

    async def open(self, tx: Tx, app: App, app_id: AppId, address: str) -> None: ...

    async def insert(self, tx: Tx, life: Any) -> None: ...

    async def lock(self, tx: Tx, app_id: AppId, code: str) -> Any: ...

    async def save(self, tx: Tx, lives: Sequence[Any]) -> None: ...

    def body(self, life: Any, happening: Any) -> bytes: ...

    def headers(self, body: bytes, now: datetime) -> dict[str, str]: ...

    def is_first_of_a_token(self, happening: Any) -> bool: ...

    def token(self, life: Any, happening: Any) -> str: ...


class PlayShop:
    store = "play_store"
    lived = PlayStoreLife
    base_plan = ":monthly"
    package = "com.example.play"

    def server(self, app: App) -> Any:
        return play_store.PlayServer(app.database, app.vault)

    async def open(self, tx: Tx, app: App, app_id: AppId, address: str) -> None:
        self.audience = await play_store.opt_in(tx, app.vault, app_id, address)
        self.pen = (await play_actions._pens(tx, app.vault, [app_id]))[app_id]
        self.signed = dict[datetime, str]()

    async def insert(self, tx: Tx, life: Any) -> None:
        await play_db.insert(tx, life, None)

    async def lock(self, tx: Tx, app_id: AppId, code: str) -> Any:
        return await play_db.lock(tx, app_id, code)

    async def save(self, tx: Tx, lives: Sequence[Any]) -> None:
        await play_db.save(tx, lives, [None] * len(lives))

    def body(self, life: Any, happening: Any) -> bytes:
        return play_payloads.push(self.package, life, happening)

    def headers(self, body: bytes, now: datetime) -> dict[str, str]:
        """One token serves all pushes of a moment."""
        if now not in self.signed:
            self.signed = {now: self.pen.push_token(self.audience, now)}
        return {"Authorization": f"Bearer {self.signed[now]}"}

    def is_first_of_a_token(self, happening: Any) -> bool:
        return happening.about == "subscription" and happening.type == 4

    def token(self, life: Any, happening: Any) -> str:
        return str(life.token_name(happening.token))


class StripeShop:
    store = "stripe"
    lived = StripeLife
    base_plan = ""

    def server(self, app: App) -> Any:
        return stripe.StripeServer(app.database, app.vault)

    async def open(self, tx: Tx, app: App, app_id: AppId, address: str) -> None:
        await stripe.opt_in(tx, app.vault, app_id, address)
        self.secret = (await intake.store_apps(tx, app.vault, [app_id]))[app_id].reveal("webhook_secret")

    async def insert(self, tx: Tx, life: Any) -> None:
        await stripe_db.insert(tx, life, None)

    async def lock(self, tx: Tx, app_id: AppId, code: str) -> Any:
        return await stripe_db.lock(tx, app_id, code)

    async def save(self, tx: Tx, lives: Sequence[Any]) -> None:
        await stripe_db.save(tx, lives, [None] * len(lives))

    def body(self, life: Any, happening: Any) -> bytes:
        return msgspec.json.encode(stripe_payloads.event(life, happening))

    def headers(self, body: bytes, now: datetime) -> dict[str, str]:
        return {"Stripe-Signature": signature.sign(body, secret=self.secret, now=now)}

    def is_first_of_a_token(self, happening: Any) -> bool:
        return False

    def token(self, life: Any, happening: Any) -> str:
        return f"sub_{life.code}"


class Town:
    """A project, its app at the simulated store, and the lives there."""

    def __init__(self, world: World, shop: Shop, chance: random.Random, app: App, api: BadApi) -> None:
        self.world, self.shop, self.chance, self.app, self.api = world, shop, chance, app, api
        self.receiver = Receiver(chance)
        self.lives: dict[str, Lived] = {}
        self.heard: dict[str, int] = {}  # of each life's notifications, how many there have been
        self.late: list[bytes] = []
        self.lost = self.crashes = 0
        self.clock = START
        self.app_id, self.key = AppId(""), ""
        self.workers: list[App] = []

    def transaction(self) -> Any:
        return self.app.database.transaction(self.world.project_id)

    async def open(self, address: str) -> None:
        async with self.transaction() as tx:
            bundle = PlayShop.package if self.shop.store == "play_store" else None
            made, key = await catalog.create_app(tx, self.app.vault, name="sim", store=self.shop.store, bundle_id=bundle)
            pro = next(one for one in await catalog.get_entitlements(tx) if one.lookup_key == "pro")
            for name, cents in PRODUCTS.items():
                product = await catalog.create_product(
                    tx,
                    app_id=made.app_id,
                    store_identifier=name + self.shop.base_plan,
                    type="subscription",
                    duration="P1M",
                    prices=[Money(amount=cents, currency="USD")],
                )
                await catalog.attach_products(tx, pro.entitlement_id, [product.product_id])
            await self.shop.open(tx, self.app, made.app_id, address)
            await events.create_endpoint(tx, self.app.vault, name="all", url="http://127.0.0.1:9/never", event_types=None)
        assert key.public_key is not None
        self.app_id, self.key = made.app_id, key.public_key

    async def settle_in(self, lives: dict[str, Lived]) -> None:
        self.lives = lives
        async with self.transaction() as tx:
            await customers.ensure(tx, list(lives))
            for code, lived in lives.items():
                await self.shop.insert(tx, replace(lived.bought, app_id=self.app_id))  # type: ignore[attr-defined]
                self.heard[code] = 0

    # Steps

    async def step(self, until: datetime) -> list[Violation]:
        """The clock moves, the store's lives go on, some of what it sends arrives, and the workers do what is due."""
        hints, tokens = await self._go_on(until)
        arriving = self._through_bad_weather(hints)
        posts = [*(partial(self._post, body) for body in arriving), *(partial(self._present, *token) for token in tokens)]
        self.chance.shuffle(posts)
        half = len(posts) // 2
        await asyncio.gather(*(post() for post in posts[:half]))
        others = asyncio.gather(*(post() for post in posts[half:]))
        await self.work()
        await others
        await self._all_answered()
        return await self.trouble()

    async def work(self) -> None:
        self.crashes += sum(await asyncio.gather(*(work_until_done(worker, self.world.project_id) for worker in self.workers)))

    async def trouble(self) -> list[Violation]:
        """A person looks at what was given up, and has it tried again before days go by; nothing else may be wrong."""
        async with self.transaction() as tx:
            await tx.execute("UPDATE inquiry SET attempts = 0, wake_at = %(now)s WHERE wake_at IS NULL", now=tx.now)
            await tx.execute("UPDATE store_act SET attempts = 0, wake_at = %(now)s WHERE wake_at IS NULL AND done_at IS NULL", now=tx.now)
            await reopened(tx)
        await self._all_answered()
        found = await invariants.run(self.app.database, self.world.project_id, self.clock)
        return [one for one in found if one.name not in PARKED]

    async def _go_on(self, until: datetime) -> tuple[list[bytes], list[tuple[str, str]]]:
        """What the store sends of the time that passes, and the tokens it gives to devices."""
        hints, tokens, states = list[bytes](), list[tuple[str, str]](), list[Any]()
        since, self.clock = self.clock, until
        async with self.transaction() as tx:
            await tx.execute("UPDATE project SET clock_at = %(at)s", at=until)
            for code, lived in sorted(self.lives.items()):
                state = lived.relive(await self.shop.lock(tx, self.app_id, code), since, until)
                states.append(state)
                for happening in state.happenings[self.heard[code] :]:
                    body = self.shop.body(state, happening)
                    is_first = self.shop.is_first_of_a_token(happening)
                    hints += [body] if not is_first else []
                    if is_first:  # whoever has no device left is heard of by the notification, at the latest
                        tokens.append((code, self.shop.token(state, happening)))
                        self.late.append(body)
                self.heard[code] = len(state.happenings)
            await self.shop.save(tx, states)
        return hints, tokens

    def _through_bad_weather(self, hints: list[bytes]) -> list[bytes]:
        """One in five is lost, one in five comes with a later step, one in five twice."""
        arriving, still_late = list[bytes](), list[bytes]()
        for body in self.late:
            (still_late if self.chance.random() < 0.3 else arriving).append(body)
        for body in hints:
            dice = self.chance.random()
            if dice < 0.2:
                self.lost += 1
            elif dice < 0.4:
                still_late.append(body)
            else:
                arriving += [body] * (2 if dice > 0.8 else 1)
        self.late = still_late
        self.chance.shuffle(arriving)
        return arriving

    async def _post(self, body: bytes) -> None:
        headers = self.shop.headers(body, self.clock)
        answer = await self.world.http.post(f"/hooks/{self.shop.store}/{self.app_id}", content=body, headers=headers)
        assert answer.status_code == 200, answer.text

    async def _present(self, code: str, token: str) -> None:
        """One device in three posts what it bought. Where the store is out of reach it would try again; here the notification comes."""
        if self.chance.random() < 0.3:
            headers = {"Authorization": f"Bearer {self.key}", "X-Platform": "android"}
            posted = {"app_user_id": code, "fetch_token": token, "product_ids": ["pro"]}
            answer = await self.world.http.post("/v1/receipts", headers=headers, json=posted)
            assert answer.status_code in (200, 503), answer.text

    # The end

    async def come_to_an_end(self) -> list[Violation]:
        """What is late arrives, the store is asked what was missed, and every question is answered; then everything is delivered."""
        self.api.odds = 0.0
        late, self.late = self.late, []
        await asyncio.gather(*(self._post(body) for body in late))
        await self.work()
        await self._catch_up()
        await self._all_answered()
        trouble = await self.trouble()
        tellers = [partial(run, worker, self.world.project_id, ["telling"]) for worker in self.workers]
        await all_delivered(self.app.database, self.world.project_id, tellers)
        return trouble

    async def _catch_up(self) -> None:
        for _ in range(50):
            try:
                async for _ in intake.catch_up(
                    self.app.database, self.app.vault, self.app.providers, self.world.project_id, self.app_id, START - timedelta(days=1), "sandbox"
                ):
                    pass
                return
            except Unavailable:
                continue
        raise AssertionError("catching up never came to an end")

    async def _all_answered(self) -> None:
        """Questions that failed, and what dead workers had claimed, are tried again until they are answered: minutes, not days."""
        for _ in range(MOST_ROUNDS):
            await self.work()
            async with self.transaction() as tx:
                waiting = await tx.fetch_value(
                    "SELECT min(wake_at) FROM agenda WHERE kind IN ('inquiry', 'notification', 'store_act') AND wake_at < %(soon)s",
                    soon=tx.now + timedelta(hours=3),
                )
                if waiting is None:
                    return
            hints, _ = await self._go_on(max(self.clock, waiting))
            self.late += hints
        raise AssertionError("questions never came to an end")

    async def lines(self) -> dict[str, list[Line]]:
        """By life: what was bought anew after an end may be a line of its own."""
        async with self.transaction() as tx:
            rows = await tx.fetch("SELECT store, environment, store_line FROM line")
            found = await subscriptions.find(tx, [(row["store"], row["environment"], row["store_line"]) for row in rows])
        return {code: [line for line in found if code in line.store_line] for code in self.lives}


async def open_workers(town: Town, database_url: str, odds: float) -> list[Database]:
    databases = [await Database.open(database_url, connections=2) for _ in range(WORKERS)]
    town.workers = [crashing(town.app, database, town.chance, town.receiver, odds) for database in databases]
    return databases
