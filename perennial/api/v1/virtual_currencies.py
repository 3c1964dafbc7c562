"""What a customer has of the project's virtual currencies, as SDKs ask for it."""

from typing import Any

from litestar import Response, get
from litestar.params import FromPath

from perennial import catalog, currencies, customers
from perennial.api.auth import HttpRequest, app_of, caller_of
from perennial.api.v1.answers import to_json
from perennial.catalog.model import MOST_CURRENCIES, VirtualCurrency
from perennial.customers.model import check_app_user_id


@get(
    "/v1/subscribers/{app_user_id:str}/virtual_currencies",
    operation_id="get_virtual_currencies",
    summary="A customer's balances of virtual currencies",
)
async def get_virtual_currencies(request: HttpRequest, app_user_id: FromPath[str]) -> Response[bytes]:
    """All currencies of the project, in the order of their codes. The user need not exist: then all balances are 0."""
    caller = await caller_of(request)
    check_app_user_id(app_user_id)
    async with app_of(request).database.transaction(caller.project_id) as tx:
        known = await catalog.get_currencies(tx, limit=MOST_CURRENCIES)
        found = await customers.find(tx, [app_user_id]) if known else {}
        held = await currencies.balances(tx, found.values())
    balances = held[found[app_user_id]] if app_user_id in found else {}
    return to_json({"virtual_currencies": {one.code: _show(one, balances.get(one.code, 0)) for one in known}})


def _show(currency: VirtualCurrency, balance: int) -> dict[str, Any]:
    shown: dict[str, Any] = {"balance": balance, "name": currency.name, "code": currency.code}
    return shown if currency.description is None else shown | {"description": currency.description}


HANDLERS = [get_virtual_currencies]
