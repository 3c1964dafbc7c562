"""What is done to customers: deleting, blocking, transferring what they hold, granting entitlements, choosing their offering."""

from litestar.params import JSONBody

from perennial import catalog, checkout, customers, subscriptions
from perennial.api.auth import HttpRequest
from perennial.api.deletion import block_customer, delete_customer
from perennial.api.v2 import wire
from perennial.api.v2.customers import CUSTOMER, CUSTOMERS, TAGS, customer_shown
from perennial.api.v2.entry import Entry, entered
from perennial.api.v2.routes import PathId, delete, get, post
from perennial.base.errors import Invalid
from perennial.base.ids import AppId, CustomerId
from perennial.base.time import from_ms, to_ms

_WRITE = "customer_information:customers:read_write"
_BLOCKED = CUSTOMERS + "/blocked_customers"
_BLOCKED_ONE = _BLOCKED + "/{customer_id:str}"
MOST_BLOCKED_SHOWN = 1000


@delete(CUSTOMER, permission=_WRITE, operation_id="delete-customer", summary="Delete a customer", tags=TAGS, status_code=200)
async def delete_one(request: HttpRequest, project_id: PathId, customer_id: PathId) -> wire.DeletedObject:
    """Everything that says who they are. What they bought stays with a made-up id, so that stores still telling of it recreate nobody."""
    async with entered(request, project_id) as entry:
        pseudonym = await delete_customer(entry.tx, customer_id)
        await entry.audit("customer.delete", pseudonym)
        return wire.DeletedObject(object="customer", id=customer_id, deleted_at=to_ms(entry.tx.now))


@post(
    CUSTOMER + "/actions/transfer",
    permission=(_WRITE, "customer_information:subscriptions:read_write", "customer_information:purchases:read_write"),
    operation_id="transfer-customer-data",
    summary="Move what a customer holds to another",
    tags=TAGS,
    status_code=200,
)
async def transfer(request: HttpRequest, project_id: PathId, customer_id: PathId, data: JSONBody[wire.TransferTo]) -> wire.Transfer:
    """Told as TRANSFER, once for each app it was bought in. Moving it again moves nothing."""
    async with entered(request, project_id) as entry:
        source = await customers.get(entry.tx, customer_id)
        target = await customers.get(entry.tx, data.target_customer_id, param="target_customer_id")
        if source.customer_id == target.customer_id:
            raise Invalid("target_customer_id is the same customer, by another of their ids", param="target_customer_id")
        for app_id in data.app_ids or ():
            await catalog.require_app(entry.tx, app_id)
        app_ids = None if data.app_ids is None else [AppId(app_id) for app_id in data.app_ids]
        await subscriptions.transfer(entry.tx, source.customer_id, target.customer_id, app_ids=app_ids)
        await entry.audit("customer.transfer", customer_id, {"app_ids": data.app_ids})
        return wire.Transfer(
            source_customer=await customer_shown(entry.tx, customer_id), target_customer=await customer_shown(entry.tx, data.target_customer_id)
        )


@post(
    CUSTOMER + "/actions/grant_entitlement",
    permission=_WRITE,
    operation_id="grant-customer-entitlement",
    summary="Grant an entitlement",
    tags=TAGS,
    status_code=201,
)
async def grant_entitlement(request: HttpRequest, project_id: PathId, customer_id: PathId, data: JSONBody[wire.EntitlementGrant]) -> wire.Customer:
    """Beside what stores sell, until `expires_at`. Where a grant of it is running already, nothing is changed."""
    async with entered(request, project_id) as entry:
        customer = await customers.get(entry.tx, customer_id)
        entitlement = await catalog.require_entitlement(entry.tx, data.entitlement_id)
        until = from_ms(data.expires_at)
        if until <= entry.tx.now:
            raise Invalid("expires_at must be in the future", param="expires_at")
        await subscriptions.grant(entry.tx, customer.customer_id, entitlement.lookup_key, until=until, is_only=True)
        await entry.audit("customer.grant_entitlement", customer_id, {"entitlement_id": data.entitlement_id, "expires_at": data.expires_at})
        return await customer_shown(entry.tx, customer_id)


@post(
    CUSTOMER + "/actions/revoke_granted_entitlement",
    permission=_WRITE,
    operation_id="revoke-customer-granted-entitlement",
    summary="Revoke what was granted",
    tags=TAGS,
    status_code=200,
)
async def revoke_granted_entitlement(
    request: HttpRequest, project_id: PathId, customer_id: PathId, data: JSONBody[wire.GrantRevoke]
) -> wire.Customer:
    """Every grant of this entitlement. What stores sold stays."""
    async with entered(request, project_id) as entry:
        customer = await customers.get(entry.tx, customer_id)
        entitlement = await catalog.require_entitlement(entry.tx, data.entitlement_id)
        await subscriptions.revoke_grants(entry.tx, customer.customer_id, entitlement.lookup_key)
        await entry.audit("customer.revoke_granted_entitlement", customer_id, {"entitlement_id": data.entitlement_id})
        return await customer_shown(entry.tx, customer_id)


@post(
    CUSTOMER + "/actions/authenticate",
    permission=_WRITE,
    operation_id="authenticate-customer",
    summary="Vouch for a customer",
    tags=TAGS,
    status_code=200,
)
async def authenticate(request: HttpRequest, project_id: PathId, customer_id: PathId) -> wire.CustomerAuthentication:
    """A token, good for an hour, for the page of a customer whom your backend knows to be signed in. The web SDK sends it as `X-RC-Subscriber-Token`
    where only the customer themselves may act: to change their plan."""
    async with entered(request, project_id) as entry:
        customer = await customers.get(entry.tx, customer_id)
        return await _vouched(entry, customer.customer_id, customer_id)


@post(
    "/projects/{project_id:str}/apps/{app_id:str}/authenticate",
    permission=_WRITE,
    operation_id="authenticate-app-customer",
    summary="Vouch for a customer of an app",
    tags=TAGS,
    status_code=200,
)
async def authenticate_in_app(
    request: HttpRequest, project_id: PathId, app_id: PathId, data: JSONBody[wire.Authenticate]
) -> wire.CustomerAuthentication:
    """Where the vendor's token server asks for the same token. A customer who was never seen is made."""
    async with entered(request, project_id) as entry:
        await catalog.require_app(entry.tx, app_id)
        found, _ = await customers.ensure(entry.tx, [data.app_user_id])
        return await _vouched(entry, found[data.app_user_id], data.app_user_id)


async def _vouched(entry: Entry, customer_id: CustomerId, app_user_id: str) -> wire.CustomerAuthentication:
    token, expires_at = checkout.mint(entry.app.vault, entry.project_id, customer_id, entry.tx.now)
    await entry.audit("customer.authenticate", app_user_id)
    return wire.CustomerAuthentication(access_token=token, token=token, expires_at=to_ms(expires_at))


@post(
    CUSTOMER + "/actions/assign_offering",
    permission=("project_configuration:offerings:read", _WRITE),
    operation_id="assign-customer-offering",
    summary="Choose a customer's offering",
    tags=TAGS,
    status_code=200,
)
async def assign_offering(request: HttpRequest, project_id: PathId, customer_id: PathId, data: JSONBody[wire.OfferingAssign]) -> dict[str, str]:
    """Current for them, whatever is for others; null undoes it. The answer is an empty object."""
    async with entered(request, project_id) as entry:
        customer = await customers.get(entry.tx, customer_id)
        if data.offering_id is None:
            await customers.clear_offering_override(entry.tx, customer.customer_id)
        else:
            await catalog.require_offering(entry.tx, data.offering_id)
            await customers.set_offering_override(entry.tx, customer.customer_id, data.offering_id)
        await entry.audit("customer.assign_offering", customer_id, {"offering_id": data.offering_id})
    return {}


# Blocking -------------------------------------------------------------------------------------------------------------------------


@get(_BLOCKED, permission="customer_information:customers:read", operation_id="list-blocked-customers", summary="List blocked ids", tags=TAGS)
async def list_blocked(request: HttpRequest, project_id: PathId) -> dict[str, str | wire.BlockedSince]:
    """One field for each blocked id, beside `object`."""
    async with entered(request, project_id) as entry:
        found = await customers.blocked(entry.tx, MOST_BLOCKED_SHOWN)
    shown: dict[str, str | wire.BlockedSince] = {one.app_user_id: wire.BlockedSince(updated_at_ms=to_ms(one.blocked_at)) for one in found}
    return shown | {"object": "blocked_customer"}


@post(_BLOCKED_ONE, permission=_WRITE, operation_id="block-customer", summary="Block an app user id", tags=TAGS, status_code=200)
async def block(request: HttpRequest, project_id: PathId, customer_id: PathId) -> dict[str, str]:
    """Deletes whoever has it, and refuses it (403) from then on. Blocking it again changes nothing. The answer is an empty object."""
    async with entered(request, project_id) as entry:
        pseudonym = await block_customer(entry.tx, customer_id)
        await entry.audit("customer.block", pseudonym)
    return {}


@delete(_BLOCKED_ONE, permission=_WRITE, operation_id="unblock-customer", summary="Unblock it", tags=TAGS, status_code=204)
async def unblock(request: HttpRequest, project_id: PathId, customer_id: PathId) -> None:
    """It may be used again, by somebody new: nothing that was deleted comes back, but purchases can be restored."""
    async with entered(request, project_id) as entry:
        await customers.unblock(entry.tx, customer_id)
        await entry.audit("customer.unblock", customer_id)


HANDLERS = [
    authenticate,
    authenticate_in_app,
    list_blocked,
    block,
    unblock,
    delete_one,
    transfer,
    grant_entitlement,
    revoke_granted_entitlement,
    assign_offering,
]
