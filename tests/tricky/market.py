"""A market where ada buys in several stores: a sandbox project on its own clock, and stores that speak through their real doors."""

import json
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx

from perennial import catalog, customers, intake, ledger, subscriptions
from perennial.app import App, open_app
from perennial.asgi import open_front
from perennial.base.db import Tx
from perennial.base.ids import AppId, CustomerId, new_uuid
from perennial.base.money import Money
from perennial.base.value import replace
from perennial.intake.model import StoreApp
from perennial.providers.amazon import AmazonAppstore
from perennial.providers.apple.signer import SigningAuthority
from perennial.providers.google import PlayStore
from perennial.providers.roku import RokuPay
from perennial.providers.simulated import app_store, play_store, stripe
from perennial.providers.simulated.play_store.actions import _pens
from perennial.providers.stripe import signature as stripe_signature
from perennial.subscriptions import Said
from perennial.subscriptions.model import Environment, Line, Purchase, Statement, Store
from tests import apple_messages
from tests import google_messages as google
from tests import other_stores as others
from tests.answering import Answering
from tests.flows.town import listening
from tests.rules.lives import Life
from tests.world import START, World, make_world, settings_for

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
PLAY_PACKAGE = google.PACKAGE
SOLD: dict[str, dict[str, tuple[str, str | None, int]]] = {
    "app_store": {
        "plus_monthly": ("subscription", "P1M", 1999),
        "pro_weekly": ("subscription", "P1W", 299),
    },
    "play_store": {
        "pro:monthly": ("subscription", "P1M", 999),
        "pro:yearly": ("subscription", "P1Y", 5999),
        "basic:monthly": ("subscription", "P1M", 499),
        "extra:monthly": ("subscription", "P1M", 199),
        "coins": ("consumable", None, 199),
    },
    "stripe": {
        "prod_pro": ("subscription", "P1M", 999),
        "prod_max": ("subscription", "P1M", 1999),
        "prod_year": ("subscription", "P1Y", 7999),
        "prod_life": ("non_consumable", None, 14999),
    },
    "amazon": {"pro": ("subscription", "P1M", 999)},
    "roku": {"pro": ("subscription", "P1M", 999)},
    "paddle": {"pri_1": ("subscription", "P1M", 999)},
}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


class Mall:
    """What all markets share: the application, its front, the addresses of the simulated stores, and what stands for the stores' published keys."""

    def __init__(self, app: App, http: httpx.AsyncClient, addresses: dict[Store, str]) -> None:
        self.app, self.http, self.addresses = app, http, addresses


@asynccontextmanager
async def open_mall(database_url: str, home: Path) -> AsyncIterator[Mall]:
    async with AsyncExitStack() as stack:
        keys, fake = Answering(), google.FakeGoogle()
        stack.callback(keys.close)
        stack.callback(fake.close)
        keys.answer(f"GET {others.CERTIFICATE_PATH}", others.sns_certificate(START - 10 * others.YEAR, START + 10 * others.YEAR))
        keys.answer("GET /keys.json", others.roku_keys(others.KEY_ID))
        keys.answer("GET /test-keys.json", others.roku_keys())
        fake.says("//certs", {"keys": [google.jwk(google.GOOGLES_KEY, google.GOOGLES_KEY_ID)]})
        app = await stack.enter_async_context(open_app(settings_for(database_url, home), connections=6))
        asked_here = {
            "amazon": AmazonAppstore(sns_address=keys.address),
            "roku": RokuPay(key_addresses=(f"{keys.address}/keys.json", f"{keys.address}/test-keys.json")),
            "play_store": PlayStore(certificates=f"{fake.address}/certs"),
        }
        for provider in asked_here.values():
            stack.push_async_callback(provider.close)
        asked_here["play_store"]._api._pauses = (
            0.0,
            0.0,
        )  # tries at once need no waiting here
        app = replace(app, providers={**app.providers, **asked_here})
        front = await stack.enter_async_context(open_front(app))
        transport = httpx.ASGITransport(app=front, raise_app_exceptions=False)
        http = await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://perennial.test"))
        addresses: dict[Store, str] = {
            "app_store": await stack.enter_async_context(listening(app_store.AppStoreServer(app.database, app.vault))),
            "play_store": await stack.enter_async_context(listening(play_store.PlayServer(app.database, app.vault))),
            "stripe": await stack.enter_async_context(listening(stripe.StripeServer(app.database, app.vault))),
        }
        yield Mall(app, http, addresses)


class Market:
    """A project of its own for one test; ada is known to it by an id every store can carry."""

    def __init__(self, world: World, mall: Mall, ada: str) -> None:
        self.world, self.mall, self.ada = world, mall, ada

    @classmethod
    async def open(cls, mall: Mall, *, start: datetime = START) -> "Market":
        market = cls(await make_world(mall.app, mall.http, clock_at=start), mall, new_uuid())
        await market.world.customer(market.ada)
        return market

    def transaction(self) -> Any:
        return self.world.app.database.transaction(self.world.project_id)

    async def now(self) -> datetime:
        return await self.world.now()

    async def until(self, text: str) -> None:
        await self.world.advance(seconds=(at(text) - await self.now()).total_seconds())

    async def later(self, **span: float) -> None:
        await self.world.advance(**span)

    async def settle(self) -> None:
        await self.world.run_due()

    # What became of it

    async def has_access(self, who: str | None = None) -> bool:
        """By our own reckoning, and by what an SDK is answered: they may not differ."""
        who = who or self.ada
        lines, now = await self.world.lines(who), await self.now()
        reckoned = any(subscriptions.is_entitled(line, now) for line in lines)
        assert (await self.world.entitled(who) != []) == reckoned, "what an SDK is answered differs from what we hold"
        return reckoned

    async def told(self, store: Store | None = None, *, who: str | None = None) -> list[str]:
        """Types with their reasons, in order."""
        return [
            " ".join(filter(None, (body["type"], body.get("cancel_reason") or body.get("expiration_reason"))))
            for body in await self.world.bodies(who)
            if store is None or body["store"] == store.upper()
        ]

    async def bodies(self, kind: str) -> list[dict[str, Any]]:
        return [body for body in await self.world.bodies() if body["type"] == kind]

    async def posted(self, account: str, currency: str = "USD") -> list[int]:
        """Every transfer of an account in the order of what it is about: what came in counts up, what went out down."""
        async with self.transaction() as tx:
            history = await ledger.history(tx, account)
        return _signed([one.transfer for one in history if one.transfer.unit == ledger.money(currency)], account)

    async def outcomes(self) -> list[str]:
        """What became of each kept notification."""
        async with self.transaction() as tx:
            return [row["outcome"] for row in await tx.fetch("SELECT outcome FROM notification ORDER BY sent_at, message_id")]

    async def open_questions(self) -> list[dict[str, Any]]:
        async with self.transaction() as tx:
            return [dict(row) for row in await tx.fetch("SELECT subject, attempts, last_error, wake_at FROM inquiry")]

    # What is told without a door: where the case is about what we hold

    async def record(self, app_id: AppId, *statements: Statement, buyer: str | None = None) -> None:
        async with self.transaction() as tx:
            who: CustomerId | None = (await customers.ensure(tx, [buyer]))[0][buyer] if buyer else None
            await subscriptions.record(tx, [Said(app_id=app_id, statement=one, buyer=who) for one in statements])


def _signed(transfers: Sequence[ledger.Transfer], account: str) -> list[int]:
    amounts = [(one.happened_at, one.amount if one.to_account == account else -one.amount) for one in transfers]
    return [amount for _, amount in sorted(amounts)]


class Stall:
    """A store of the market: ada buys there, acts on what she bought, and everything takes the way of the real store."""

    def __init__(self, market: Market, store: Store, app_id: AppId, verbs: Any = None, environment: Environment = "sandbox") -> None:
        self.market, self.store, self.app_id, self.verbs, self.environment = market, store, app_id, verbs, environment
        self.receipts: dict[str, str] = {}  # by line: what the device posts

    async def buy(self, product: str, **more: Any) -> str:
        """Ada's purchase; gives the store's key of it."""
        market = self.market
        buyer: dict[str, Any] = {
            "app_store": {"app_account_token": market.ada},
            "play_store": {"account": sha256(market.ada.encode()).hexdigest()},
            "stripe": {"app_user_id": market.ada},
        }[self.store]
        async with market.transaction() as tx:
            bought = await self.verbs.buy(tx, market.world.app.vault, self.app_id, product=product, **{**buyer, **more})
        await market.settle()
        match self.store:
            case "app_store":
                self.receipts[bought.store_line] = bought.signed_transaction
                key: str = bought.store_line
            case "play_store":
                key = bought.token
            case _:
                key = bought.subscription or bought.payment
        return key

    async def do(self, verb: Any, key: str, *arguments: Any, **more: Any) -> Any:
        async with self.market.transaction() as tx:
            done = await verb(tx, self.app_id, key, *arguments, **more)
        await self.market.settle()
        return done

    async def resubscribe(self, key: str, product: str) -> None:
        async with self.market.transaction() as tx:
            await self.verbs.resubscribe(tx, self.market.world.app.vault, self.app_id, key, product)
        await self.market.settle()

    async def loses(self, *, lost: bool) -> None:
        """Whether the App Store's notifications are lost on the way from now on."""
        async with self.market.transaction() as tx:
            await app_store.set_delivery(tx, self.app_id, app_store.Delivery(lost=lost))

    async def line(self, key: str) -> Line:
        async with self.market.transaction() as tx:
            (line,) = await subscriptions.find(tx, [(self.store, self.environment, key)])
            return line

    async def status(self, key: str) -> str:
        return subscriptions.status(await self.line(key), await self.market.now())

    async def told(self) -> list[str]:
        return await self.market.told(self.store)

    async def sales(self, currency: str = "USD") -> list[int]:
        """What was booked as sold, net of nothing: every posting of its kind, corrections as what they take back."""
        return await self._posted(f"revenue/{self.store}", "sale", currency)

    async def refunds(self, currency: str = "USD") -> list[int]:
        """What was booked as given back; what came back after all stands beside it, negative."""
        return [-amount for amount in await self._posted(f"refunds/{self.store}", "refund", currency)]

    async def _posted(self, account: str, kind: str, currency: str) -> list[int]:
        account = f"sandbox/{account}" if self.environment == "sandbox" else account
        async with self.market.transaction() as tx:
            history = await ledger.history(tx, account)
        return _signed([one.transfer for one in history if one.transfer.kind == kind and one.transfer.unit == ledger.money(currency)], account)

    async def hook(self, body: bytes, **headers: str) -> httpx.Response:
        return await self.market.world.http.post(f"/hooks/{self.store}/{self.app_id}", content=body, headers=headers)

    async def receipt(self, token: str, who: str, **more: Any) -> httpx.Response:
        world = self.market.world
        body = {"app_user_id": who, "fetch_token": token, **more}
        return await world.http.post("/v1/receipts", headers=world.sdk(self.store, **{"X-Platform": "iOS"}), json=body)

    async def store_app(self) -> StoreApp:
        async with self.market.transaction() as tx:
            return (await intake.store_apps(tx, self.market.world.app.vault, [self.app_id]))[self.app_id]

    async def signs(self, body: bytes) -> dict[str, str]:
        """Stripe's signature of a webhook, with this app's own secret."""
        secret = (await self.store_app()).reveal("webhook_secret")
        return {stripe_signature.HEADER: stripe_signature.sign(body, secret=secret, now=await self.market.now())}


class Desk(Stall):
    """The App Store where the test writes the messages itself, and signs them."""

    def __init__(self, market: Market, pen: SigningAuthority) -> None:
        super().__init__(market, "app_store", market.world.app_ids["app_store"])
        self.pen = pen

    def life(self, clock: datetime, product: str = "pro_monthly") -> Life:
        return Life(clock=clock, product=product)

    def notification(self, statement: Statement, *, line: str = "7000", token: str | None = None) -> bytes:
        return apple_messages.notification(self.pen, statement, line=line, token=token)

    def signed(self, purchase: Purchase, *, line: str = "7000", **changes: Any) -> str:
        """What a device posts."""
        return self.pen.sign(apple_messages.transaction(purchase, line=line) | changes)

    def spliced(self, statement: Statement, line: str, other: str) -> bytes:
        """A notification whose renewal information is of another line than its transaction."""
        parts = [json.loads(unsigned(json.loads(self.notification(statement, line=one))["signedPayload"])) for one in (line, other)]
        mixed = parts[0] | {"data": parts[0]["data"] | {"signedRenewalInfo": parts[1]["data"]["signedRenewalInfo"]}}
        return json.dumps({"signedPayload": self.pen.sign(mixed)}).encode()

    async def post(self, statement: Statement, *, line: str = "7000", token: str | None = None) -> None:
        answer = await self.hook(self.notification(statement, line=line, token=token or self.market.ada))
        assert answer.status_code == 200, answer.text

    async def hear(self, life: Life, *, token: str | None = None, since: int = 0, line: str = "7000") -> None:
        """All that a life's store sent, from the message `since` on."""
        for statement in life.messages[since:]:
            await self.post(statement, line=line, token=token)
        await self.market.settle()


def unsigned(jws: str) -> bytes:
    """The payload of a JWS."""
    part = jws.split(".")[1]
    return urlsafe_b64decode(part + "=" * (-len(part) % 4))


async def open_desk(market: Market) -> Desk:
    pen = SigningAuthority.create(await market.now())
    await apple_messages.trust(market.world, pen)
    return Desk(market, pen)


class PlayStall(Stall):
    async def push(self, token: str, type: int, *, message_id: str) -> None:
        """A notification about a token, as Google's Pub/Sub posts it: by the key of the simulated store, or by the one that stands for Google's."""
        store = await self.store_app()
        async with self.market.transaction() as tx:
            pens = await _pens(tx, self.market.world.app.vault, [self.app_id]) if store.simulated_roots else {}
            now = tx.now
        if pens:
            signed = pens[self.app_id].push_token(store.settings["pubsub_audience"], now)
        else:
            seconds = int(now.timestamp())
            signed = google.push_token(iat=seconds, exp=seconds + 3600)
        body = google.push(google.about_subscription(type, token), message_id=message_id)
        answer = await self.hook(body, **google.bearer(signed))
        assert answer.status_code == 200, answer.text
        await self.market.settle()


async def open_stall(market: Market, store: Store) -> Stall:
    """A simulated store: opted in, with its products, all of which give `pro`."""
    world, vault = market.world, market.world.app.vault
    async with market.transaction() as tx:
        if store == "app_store":
            app_id = world.app_ids["app_store"]
        else:
            app, key = await catalog.create_app(tx, vault, name=store, store=store, bundle_id=PLAY_PACKAGE if store == "play_store" else None)
            app_id = app.app_id
            assert key.public_key is not None
            world.keys[store] = key.public_key
        await sell(tx, app_id, SOLD[store])
        match store:
            case "app_store":
                await app_store.opt_in(tx, vault, app_id)
                given = await app_store.credentials(tx, vault, app_id)
                address = f"{market.mall.addresses[store]}/simulated/app_store/{app_id}"
                await catalog.change_app(
                    tx, vault, app_id, api_key_id=given.key_id, api_issuer=given.issuer, api_private_key=given.private_key, api_base_url=address
                )
            case "play_store":
                await play_store.opt_in(tx, vault, app_id, market.mall.addresses[store])
            case _:
                await stripe.opt_in(tx, vault, app_id, market.mall.addresses[store])
    verbs = {"app_store": app_store, "play_store": play_store, "stripe": stripe}[store]
    return (PlayStall if store == "play_store" else Stall)(market, store, app_id, verbs)


async def open_scripted(
    market: Market,
    store: Store,
    address: str | None,
    *,
    bundle_id: str | None = None,
    settings: dict[str, str] | None = None,
    secrets: dict[str, str] | None = None,
    environment: Environment = "production",
) -> Stall:
    """A store whose answers the test writes itself."""
    vault = market.world.app.vault
    async with market.transaction() as tx:
        app, key = await catalog.create_app(
            tx, vault, name=store, store=store, bundle_id=bundle_id, settings=settings or {}, secrets=secrets or {}, api_base_url=address
        )
        assert key.public_key is not None
        market.world.keys[store] = key.public_key
        await sell(tx, app.app_id, SOLD[store])
    return (PlayStall if store == "play_store" else Stall)(market, store, app.app_id, environment=environment)


async def open_google(market: Market, fake: google.FakeGoogle) -> PlayStall:
    stall = await open_scripted(
        market,
        "play_store",
        fake.address,
        bundle_id=PLAY_PACKAGE,
        settings={"pubsub_audience": google.AUDIENCE, "pubsub_service_account": google.PUSHER},
        secrets={"service_account": google.SERVICE_ACCOUNT},
    )
    assert isinstance(stall, PlayStall)
    return stall


async def sell(tx: Tx, app_id: AppId, products: dict[str, tuple[str, str | None, int]]) -> None:
    pro = next(one for one in await catalog.get_entitlements(tx) if one.lookup_key == "pro")
    for identifier, (kind, duration, cents) in products.items():
        price = Money(amount=cents, currency="USD")
        product = await catalog.create_product(
            tx,
            app_id=app_id,
            store_identifier=identifier,
            type=kind,
            duration=duration,
            trial_duration="P1W" if duration is not None else None,
            prices=[price],
        )
        if kind != "consumable":
            await catalog.attach_products(tx, pro.entitlement_id, [product.product_id])
