"""The stores somebody may rehearse at the demo: what each sells here, and what may be done to what it sold."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from hashlib import sha256
from typing import Generic, Protocol

from perennial import subscriptions
from perennial.base.db import Tx
from perennial.base.errors import Conflict, Invalid
from perennial.base.ids import LineId, new_uuid
from perennial.base.secrets import Vault
from perennial.base.time import to_ms
from perennial.base.value import replace, value
from perennial.catalog import granted_entitlement
from perennial.catalog.model import Product
from perennial.dashboard import acts
from perennial.dashboard.acts import Act, Life, Offered, Outlook
from perennial.intake import Receipt
from perennial.intake.model import StoreApp
from perennial.providers import test_store
from perennial.providers.simulated import app_store, play_store, stripe
from perennial.subscriptions import Said
from perennial.subscriptions.model import Line

AS_USUAL = ""  # the way everything can be bought; a free trial comes first where the product has one


class Store(Protocol):
    """A store as the demo's pages need it."""

    def ways_to_buy(self, app: StoreApp, product: Product) -> Mapping[str, str]:
        """Names and words of the ways; none where the app's store is a real one, which sells nothing here."""
        ...

    async def sell(self, tx: Tx, vault: Vault, product: Product, app_user_id: str, way: str) -> Receipt | None:
        """What the buyer's app posts as its proof; None where the store itself tells us who bought."""
        ...

    async def outlook(self, tx: Tx, lines: Sequence[Line], products: Sequence[Product]) -> dict[LineId, Outlook]:
        """What can be done now to these lines, all of one app, and how they are to go on; `products` are what the app sells."""
        ...

    async def act(self, tx: Tx, line: Line, products: Sequence[Product], name: str, way: str) -> None:
        """`Invalid` for what the store does not know, `Conflict` where it refuses."""
        ...


@value
class Simulated(Generic[Life]):
    """A store that is played here, by its table of acts."""

    opens: Callable[[StoreApp], bool]
    ways: Callable[[Product], Mapping[str, str]]
    sells: Callable[[Tx, Vault, Product, str, str], Awaitable[Receipt | None]]
    table: Callable[[Sequence[Product]], Sequence[Act[Life]]]
    ahead: Callable[[Life], Outlook]
    find: Callable[[Tx, str, Sequence[str]], Awaitable[dict[str, Life]]]
    do: Callable[[Tx, str, str, Callable[[Life], Life]], Awaitable[Life]]

    def ways_to_buy(self, app: StoreApp, product: Product) -> Mapping[str, str]:
        return self.ways(product) if self.opens(app) else {}

    async def sell(self, tx: Tx, vault: Vault, product: Product, app_user_id: str, way: str) -> Receipt | None:
        return await self.sells(tx, vault, product, app_user_id, way)

    async def outlook(self, tx: Tx, lines: Sequence[Line], products: Sequence[Product]) -> dict[LineId, Outlook]:
        """Nothing for what a real store sold: the simulated one does not know it."""
        table = self.table(products)
        lives = await self.find(tx, lines[0].app_id or "", [line.subject for line in lines])
        of_lines = {line.line_id: lives[line.subject] for line in lines if line.subject in lives}
        return {line_id: replace(self.ahead(life), acts=acts.offered(table, life, tx.now)) for line_id, life in of_lines.items()}

    async def act(self, tx: Tx, line: Line, products: Sequence[Product], name: str, way: str) -> None:
        work = acts.find_work(self.table(products), name, way)
        await self.do(tx, line.app_id or "", line.subject, lambda life: work(life, tx.now))


class TestStore:
    """It knows buying and cancelling alone."""

    __test__ = False  # a store, not a test case

    def ways_to_buy(self, app: StoreApp, product: Product) -> Mapping[str, str]:
        return {AS_USUAL: ""}

    async def sell(self, tx: Tx, vault: Vault, product: Product, app_user_id: str, way: str) -> Receipt | None:
        return Receipt(token=f"test_{to_ms(tx.now)}_{new_uuid()}", product_ids=(product.store_identifier,))

    async def outlook(self, tx: Tx, lines: Sequence[Line], products: Sequence[Product]) -> dict[LineId, Outlook]:
        cancel = Outlook(acts=(Offered(name="cancel", words="Cancel", by="customer"),))
        return {line.line_id: cancel for line in lines if self._renews(tx, line)}

    async def act(self, tx: Tx, line: Line, products: Sequence[Product], name: str, way: str) -> None:
        if name != "cancel":
            raise Invalid(f"the Test Store does not know {name[:40]!r}; buy in a simulated store for that", param="act")
        if not self._renews(tx, line):
            raise Conflict("there is nothing to cancel: it does not renew")
        await subscriptions.record(tx, [Said(app_id=line.app_id, statement=test_store.cancel(line, tx.now))])

    def _renews(self, tx: Tx, line: Line) -> bool:
        held = subscriptions.latest(line)
        is_running = held is not None and held.purchase.kind == "subscription" and subscriptions.status(line, tx.now) == "active"
        return is_running and subscriptions.auto_renew_off_at(line) is None


class Grants:
    """What was granted by hand: nothing is sold, and it can be taken back."""

    def ways_to_buy(self, app: StoreApp, product: Product) -> Mapping[str, str]:
        return {}

    async def sell(self, tx: Tx, vault: Vault, product: Product, app_user_id: str, way: str) -> Receipt | None:
        raise Invalid("what is granted by hand cannot be bought", param="product_id")

    async def outlook(self, tx: Tx, lines: Sequence[Line], products: Sequence[Product]) -> dict[LineId, Outlook]:
        revoke = Outlook(acts=(Offered(name="revoke", words="Take back", by="store"),))
        return {line.line_id: revoke for line in lines if subscriptions.is_entitled(line, tx.now)}

    async def act(self, tx: Tx, line: Line, products: Sequence[Product], name: str, way: str) -> None:
        """Every running grant of the entitlement goes with it, as when a server asks for that."""
        if name != "revoke":
            raise Invalid(f"what was granted by hand can only be taken back, not {name[:40]!r}", param="act")
        if not subscriptions.is_entitled(line, tx.now):
            raise Conflict("this grant is over already")
        lookup_key = granted_entitlement(line.held[-1].purchase.product)
        assert lookup_key is not None, "a grant is named by its entitlement"
        await subscriptions.revoke_grants(tx, line.customer_id, lookup_key)


# How each sells ---------------------------------------------------------------------------------------------------------------


def _as_usual(product: Product) -> Mapping[str, str]:
    return {AS_USUAL: ""}


def _of_play_store(product: Product) -> Mapping[str, str]:
    return {AS_USUAL: "", "prepaid": "prepaid"} if product.type == "subscription" else {AS_USUAL: ""}


async def _sell_in_app_store(tx: Tx, vault: Vault, product: Product, app_user_id: str, way: str) -> Receipt | None:
    offer = app_store.Offer(kind="introductory", discount="FREE_TRIAL", period=product.trial_duration) if product.trial_duration else None
    bought = await app_store.buy(tx, vault, product.app_id, product=product.store_identifier, offer=offer)
    return Receipt(token=bought.signed_transaction, product_ids=(product.store_identifier,))


async def _sell_in_play_store(tx: Tx, vault: Vault, product: Product, app_user_id: str, way: str) -> Receipt | None:
    """The SDK attaches the app user id's hash, and posts the token."""
    account, is_prepaid = sha256(app_user_id.encode()).hexdigest(), way == "prepaid"
    free_trial = product.trial_duration is not None and not is_prepaid
    bought = await play_store.buy(
        tx, vault, product.app_id, product=product.store_identifier, account=account, free_trial=free_trial, is_prepaid=is_prepaid
    )
    return Receipt(token=bought.token, product_ids=(bought.product,))


async def _sell_at_stripe(tx: Tx, vault: Vault, product: Product, app_user_id: str, way: str) -> Receipt | None:
    """The project's own backend makes the checkout, and writes into it who buys."""
    free_trial = product.trial_duration is not None
    await stripe.buy(tx, vault, product.app_id, product=product.store_identifier, app_user_id=app_user_id, free_trial=free_trial)
    return None


def _is_simulated_app_store(app: StoreApp) -> bool:
    return bool(app.simulated_roots)


_APP_STORE = Simulated(
    opens=_is_simulated_app_store,
    ways=_as_usual,
    sells=_sell_in_app_store,
    table=acts.of_app_store,
    ahead=acts.ahead_in_app_store,
    find=app_store.find,
    do=app_store.act,
)

# In the order the page shows them.
STORES: Mapping[str, Store] = {
    "test_store": TestStore(),
    "app_store": _APP_STORE,
    "mac_app_store": _APP_STORE,
    "play_store": Simulated(
        opens=play_store.is_simulated,
        ways=_of_play_store,
        sells=_sell_in_play_store,
        table=acts.of_play_store,
        ahead=acts.ahead_in_play_store,
        find=play_store.find,
        do=play_store.act,
    ),
    "stripe": Simulated(
        opens=stripe.is_simulated,
        ways=_as_usual,
        sells=_sell_at_stripe,
        table=acts.of_stripe,
        ahead=acts.ahead_at_stripe,
        find=stripe.find,
        do=stripe.act,
    ),
    "promotional": Grants(),
}


async def outlook(tx: Tx, lines: Sequence[Line], products: Sequence[Product]) -> dict[LineId, Outlook]:
    """What the stores know of a customer's lines, whoever sold them; `products` are the catalog's."""
    found: dict[LineId, Outlook] = {}
    for store, app_id in sorted({(line.store, line.app_id) for line in lines if line.store in STORES}, key=str):
        of_app = [line for line in lines if (line.store, line.app_id) == (store, app_id)]
        found |= await STORES[store].outlook(tx, of_app, [product for product in products if product.app_id == app_id])
    return found
