"""The verbs: show a customer the change of plan they ask for, and make it when they say yes."""

from hashlib import sha256

from perennial import catalog, customers, intake, subscriptions
from perennial.base.db import Database, Tx
from perennial.base.errors import StoreRefused
from perennial.base.ids import AppId, CustomerId, ProjectId, new_token
from perennial.base.money import Money
from perennial.base.secrets import Vault
from perennial.catalog.model import Product
from perennial.checkout import rules
from perennial.checkout.model import SESSION_LIVES, AlreadyOnPlan, Change, NotPossible, Refused, Started
from perennial.intake.model import Act
from perennial.subscriptions.model import Line


async def start_change(
    tx: Tx, vault: Vault, app_id: AppId, customer_id: CustomerId, product: str, *, subscription: str | None, from_product: str | None
) -> Started:
    """What a change to `product` would be. Nothing is done yet. Raises `NotPossible` or `AlreadyOnPlan`."""
    lines = await subscriptions.load_of_customers(tx, [customer_id])
    line = rules.line_to_change(lines, app_id, tx.now, subscription=subscription, product=from_product)
    if rules.is_planned(line, product):
        raise AlreadyOnPlan(product)
    wanted, current = await _products(tx, app_id, product, rules.product_of(line))
    currency = _currency(line, current)
    price, current_price = rules.price_in(wanted, currency), rules.price_in(current, currency, param="product_change")
    change = Change(
        project_id=tx.project_id,
        customer_id=customer_id,
        app_id=app_id,
        line_id=line.line_id,
        product=product,
        price=price,
        when=rules.when(line, current, current_price, wanted, price),
        nonce=new_token(8),
        expires_at=tx.now + SESSION_LIVES,
    )
    email = (await customers.load(tx, [customer_id]))[customer_id].attributes.get("$email")
    return Started(
        session=rules.seal_session(vault, change),
        change=change,
        current=current,
        current_price=current_price,
        wanted=wanted,
        email=email.value if email is not None else None,
    )


async def complete_change(
    database: Database, vault: Vault, providers: intake.Providers, project_id: ProjectId, customer_id: CustomerId, session: str
) -> Change:
    """Makes it at the store and records what the store says since. Twice is once. Raises `SessionOver`, `Refused` or `Unavailable`."""
    async with database.transaction(project_id) as tx:
        change = rules.open_session(vault, session, project_id, customer_id, tx.now)
        line = (await subscriptions.load_by_ids(tx, [change.line_id])).get(change.line_id)
    if line is None or line.customer_id != customer_id:
        raise NotPossible("the subscription is not this customer's any more; start again", param="operation_session_id")
    act = Act(
        act_id=f"act_{sha256(session.encode()).hexdigest()[:26]}",
        kind="change",
        environment=line.environment,
        subject=line.subject,
        details={"product": change.product, "amount": change.price.amount, "currency": change.price.currency, "when": change.when},
    )
    try:
        await intake.perform(database, vault, providers, project_id, change.app_id, act)
    except StoreRefused as error:
        raise Refused(error.message) from error
    return change


async def _products(tx: Tx, app_id: AppId, *identifiers: str) -> list[Product]:
    found = await catalog.find_products(tx, [(app_id, identifier) for identifier in identifiers])
    missing = next((identifier for identifier in identifiers if (app_id, identifier) not in found), None)
    if missing is not None:
        raise NotPossible(f"{missing[:80]!r} is not a product of this app in the catalog", param="product_id")
    return [found[app_id, identifier] for identifier in identifiers]


def _currency(line: Line, current: Product) -> str:
    """What the customer pays in: by the latest charge that names a price, else the catalog's first."""
    paid: list[Money] = [held.purchase.price for held in line.held if held.purchase.price is not None]
    if paid:
        return paid[-1].currency
    if not current.prices:
        raise NotPossible(f"{current.store_identifier} has no price in the catalog", param="product_change")
    return current.prices[0].currency
