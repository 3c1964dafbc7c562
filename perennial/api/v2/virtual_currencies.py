"""Virtual currencies of a project, and the balances of its customers."""

from collections.abc import Sequence
from typing import Annotated

from litestar.params import JSONBody, QueryParameter
from msgspec import UNSET, UnsetType

from perennial import catalog, currencies, customers
from perennial.api.auth import HttpRequest
from perennial.api.v2 import wire
from perennial.api.v2.entry import Entry, entered
from perennial.api.v2.idempotency import HEADER
from perennial.api.v2.pages import AskedPage, whole
from perennial.api.v2.routes import PathId, delete, get, post
from perennial.base.ids import told_id
from perennial.base.time import to_ms
from perennial.catalog.model import MOST_CURRENCIES, ProductGrant, VirtualCurrency

_TAGS = ["Virtual currencies"]
_PATH = "/projects/{project_id:str}/virtual_currencies"
_ONE = _PATH + "/{virtual_currency_code:str}"
_BALANCES = "/projects/{project_id:str}/customers/{customer_id:str}/virtual_currencies"
_READ, _WRITE = "project_configuration:virtual_currencies:read", "project_configuration:virtual_currencies:read_write"
_READ_BALANCES, _WRITE_BALANCES = "customer_information:purchases:read", "customer_information:purchases:read_write"
_RATE = "virtual_currencies"

WithEmpty = Annotated[bool, QueryParameter(description="Also those the customer has nothing of")]


@get(_PATH, permission=_READ, operation_id="list-virtual-currencies", summary="List virtual currencies", tags=_TAGS)
async def list_currencies(request: HttpRequest, project_id: PathId, page: AskedPage) -> wire.ListOf[wire.VirtualCurrency]:
    """In the order of their codes."""
    async with entered(request, project_id) as entry:
        found = await catalog.get_currencies(entry.tx, after=page.after, limit=page.probe)
    return page.of(found, lambda one: one.code, lambda one: _show(one, project_id))


@post(_PATH, permission=_WRITE, operation_id="create-virtual-currency", summary="Create a virtual currency", tags=_TAGS)
async def create_currency(request: HttpRequest, project_id: PathId, data: JSONBody[wire.VirtualCurrencyCreate]) -> wire.VirtualCurrency:
    """Its products give it from now on: what was bought before gives nothing."""
    async with entered(request, project_id) as entry:
        currency = await catalog.create_currency(
            entry.tx, code=data.code, name=data.name, description=data.description, product_grants=_grants(data.product_grants)
        )
        await entry.audit("virtual_currency.create", data.code, {"name": data.name})
    return _show(currency, project_id)


@get(_ONE, permission=_READ, operation_id="get-virtual-currency", summary="Get a virtual currency", tags=_TAGS)
async def get_currency(request: HttpRequest, project_id: PathId, virtual_currency_code: PathId) -> wire.VirtualCurrency:
    async with entered(request, project_id) as entry:
        return _show(await catalog.require_currency(entry.tx, virtual_currency_code), project_id)


@post(
    _ONE,
    permission=_WRITE,
    operation_id="update-virtual-currency",
    summary="Update a virtual currency",
    tags=_TAGS,
    status_code=200,
)
async def update_currency(
    request: HttpRequest, project_id: PathId, virtual_currency_code: PathId, data: JSONBody[wire.VirtualCurrencyUpdate]
) -> wire.VirtualCurrency:
    """Product grants that are sent are all there are from now on. What was granted stays as it is."""
    async with entered(request, project_id) as entry:
        currency = await catalog.update_currency(
            entry.tx,
            virtual_currency_code,
            name=None if isinstance(data.name, UnsetType) else data.name,
            description=data.description,
            product_grants=None if isinstance(data.product_grants, UnsetType) else _grants(data.product_grants),
        )
        await entry.audit("virtual_currency.update", virtual_currency_code)
    return _show(currency, project_id)


@delete(
    _ONE,
    permission=_WRITE,
    operation_id="delete-virtual-currency",
    summary="Delete a virtual currency",
    tags=_TAGS,
    status_code=200,
)
async def delete_currency(request: HttpRequest, project_id: PathId, virtual_currency_code: PathId) -> wire.DeletedObject:
    """What customers have of it stays in the ledger, out of sight: it is there again should the code ever be."""
    async with entered(request, project_id) as entry:
        await catalog.delete_currency(entry.tx, virtual_currency_code)
        await entry.audit("virtual_currency.delete", virtual_currency_code)
        return wire.DeletedObject(object="virtual_currency", id=virtual_currency_code, deleted_at=to_ms(entry.tx.now))


# Balances ---------------------------------------------------------------------------------------------------------------------


@get(
    _BALANCES,
    permission=_READ_BALANCES,
    operation_id="list-virtual-currencies-balances",
    summary="List a customer's balances",
    tags=_TAGS,
)
async def list_balances(
    request: HttpRequest, project_id: PathId, customer_id: PathId, page: AskedPage, include_empty_balances: WithEmpty = False
) -> wire.ListOf[wire.VirtualCurrencyBalance]:
    async with entered(request, project_id) as entry:
        customer = await customers.get(entry.tx, customer_id)
        held = (await currencies.balances(entry.tx, [customer.customer_id]))[customer.customer_id]
        known = await catalog.get_currencies(entry.tx, limit=MOST_CURRENCIES)
    shown = [one for one in known if include_empty_balances or held.get(one.code)]
    return page.part_of(shown, lambda one: one.code, lambda one: _show_balance(one, held.get(one.code, 0)))


@post(
    _BALANCES + "/transactions",
    permission=_WRITE_BALANCES,
    rate=_RATE,
    operation_id="create-virtual-currencies-transaction",
    summary="Add to a customer's balances, or take from them",
    tags=_TAGS,
    status_code=200,
)
async def create_transaction(
    request: HttpRequest, project_id: PathId, customer_id: PathId, data: JSONBody[wire.BalancesAdjust], include_empty_balances: WithEmpty = False
) -> wire.ListOf[wire.VirtualCurrencyBalance]:
    """All of it or nothing: 422 where the customer has not enough. Told by an event. Answers with the balances it changed."""
    return await _adjust(request, project_id, customer_id, data, is_told=True, with_empty=include_empty_balances)


@post(
    _BALANCES + "/update_balance",
    permission=_WRITE_BALANCES,
    rate=_RATE,
    operation_id="update-virtual-currencies-balance",
    summary="Change a customer's balances in silence",
    tags=_TAGS,
    status_code=200,
)
async def update_balance(
    request: HttpRequest, project_id: PathId, customer_id: PathId, data: JSONBody[wire.BalancesAdjust], include_empty_balances: WithEmpty = False
) -> wire.ListOf[wire.VirtualCurrencyBalance]:
    """Like a transaction, but no event tells it."""
    return await _adjust(request, project_id, customer_id, data, is_told=False, with_empty=include_empty_balances)


async def _adjust(
    request: HttpRequest, project_id: str, customer_id: str, data: wire.BalancesAdjust, *, is_told: bool, with_empty: bool
) -> wire.ListOf[wire.VirtualCurrencyBalance]:
    async with entered(request, project_id) as entry:
        customer = await customers.get(entry.tx, customer_id)
        held = await currencies.adjust(
            entry.tx,
            customer.customer_id,
            data.adjustments,
            adjustment_id=_adjustment_id(request, entry),
            reference=data.reference,
            is_told=is_told,
        )
        await entry.audit("virtual_currency.adjust", customer_id, {"adjustments": data.adjustments, "reference": data.reference})
        known = await catalog.get_currencies(entry.tx, codes=held)
    shown = [_show_balance(one, held[one.code]) for one in known if with_empty or held[one.code]]
    return whole(shown, request.scope["path"].rsplit("/", 1)[0])


def _adjustment_id(request: HttpRequest, entry: Entry) -> str:
    """By its Idempotency-Key an adjustment is known for ever, also when the answers kept for those keys are gone."""
    key = request.headers.get(HEADER)
    return entry.tx.new_id("adj") if key is None else told_id(entry.project_id, entry.key_id, key)


# Shapes -----------------------------------------------------------------------------------------------------------------------


def _grants(sent: Sequence[wire.VirtualCurrencyProductGrantInput] | None) -> list[ProductGrant]:
    return [
        ProductGrant(
            product_ids=tuple(one.product_ids),
            amount=one.amount,
            trial_amount=one.trial_amount or 0,
            expire_at_cycle_end=bool(one.expire_at_cycle_end),
        )
        for one in sent or ()
    ]


def _show(currency: VirtualCurrency, project_id: str) -> wire.VirtualCurrency:
    return wire.VirtualCurrency(
        project_id=project_id,
        code=currency.code,
        name=currency.name,
        created_at=to_ms(currency.created_at),
        description=currency.description,
        product_grants=[
            wire.VirtualCurrencyProductGrant(
                product_ids=list(grant.product_ids),
                amount=grant.amount,
                trial_amount=grant.trial_amount,
                expire_at_cycle_end=grant.expire_at_cycle_end,
            )
            for grant in currency.product_grants
        ],
    )


def _show_balance(currency: VirtualCurrency, balance: int) -> wire.VirtualCurrencyBalance:
    return wire.VirtualCurrencyBalance(
        currency_code=currency.code,
        balance=balance,
        name=currency.name,
        description=UNSET if currency.description is None else currency.description,
    )


HANDLERS = [
    list_currencies,
    create_currency,
    get_currency,
    update_currency,
    delete_currency,
    list_balances,
    create_transaction,
    update_balance,
]
