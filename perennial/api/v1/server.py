"""What servers do to customers by v1: delete them, grant and revoke entitlements, choose their offering, act at the stores they bought in.

Secret keys only. The answer is the customer as they are since.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from litestar import Response, delete, post
from litestar.params import FromPath, JSONBody

from perennial import catalog, customers, subscriptions
from perennial.api.acts import act_on
from perennial.api.auth import HttpRequest, app_of, secret_caller
from perennial.api.deletion import delete_customer
from perennial.api.v1 import documents
from perennial.api.v1.answers import json_bytes, to_json
from perennial.api.v1.wire import Defer, Extend, Grant
from perennial.base.db import Tx
from perennial.base.errors import Invalid, NotFound
from perennial.base.ids import CustomerId
from perennial.base.time import from_ms, to_ms
from perennial.intake.model import ActKind
from perennial.subscriptions.model import Line

_CUSTOMER = "/v1/subscribers/{app_user_id:str}"
_SUBSCRIPTIONS = ("customer_information:subscriptions:read_write",)
_PURCHASES = ("customer_information:purchases:read_write",)
REFUNDED_WITHIN = timedelta(days=365)  # the vendor's limit, and Google's

Details = dict[str, str | int]


@delete(_CUSTOMER, operation_id="delete_subscriber", summary="Delete a customer", status_code=200)
async def delete_subscriber(request: HttpRequest, app_user_id: FromPath[str]) -> Response[bytes]:
    """By any of their ids. What they bought stays with a made-up one, so that stores still telling of it recreate nobody."""
    caller = await secret_caller(request)
    async with app_of(request).database.transaction(caller.project_id) as tx:
        pseudonym = await delete_customer(tx, app_user_id)
        await catalog.audit(tx, actor=caller.key_id, action="customer.delete", target=pseudonym)
    return to_json({"app_user_id": app_user_id, "deleted": True})


# Grants -----------------------------------------------------------------------------------------------------------------------


@post(
    _CUSTOMER + "/entitlements/{entitlement:str}/promotional",
    operation_id="grant_entitlement",
    summary="Grant an entitlement",
    status_code=201,
)
async def grant_entitlement(request: HttpRequest, app_user_id: FromPath[str], entitlement: FromPath[str], data: JSONBody[Grant]) -> Response[bytes]:
    """At once, until `end_time_ms` or for a `duration` counted from `start_time_ms` or now. One that would end as a running one does is that one."""
    caller = await secret_caller(request)
    async with app_of(request).database.transaction(caller.project_id) as tx:
        await _require_entitlement(tx, entitlement)
        until = _end(data, tx.now)
        ids, _ = await customers.ensure(tx, [app_user_id])
        await subscriptions.grant(tx, ids[app_user_id], entitlement, until=until, preset=None if data.end_time_ms is not None else data.duration)
        await catalog.audit(
            tx, actor=caller.key_id, action="customer.grant_entitlement", target=app_user_id, data={"entitlement": entitlement, "until": to_ms(until)}
        )
        return await _answer(tx, ids[app_user_id], 201)


def _end(data: Grant, now: datetime) -> datetime:
    if data.end_time_ms is not None:
        end = from_ms(data.end_time_ms)
    elif data.duration is not None:
        try:
            end = catalog.grant_end(data.duration, now if data.start_time_ms is None else from_ms(data.start_time_ms))
        except OverflowError as error:
            raise Invalid("start_time_ms is too far away: the grant would end after the year 9999", param="start_time_ms", code=7226) from error
    else:
        raise Invalid("send end_time_ms, or a duration: until when is it granted?", param="end_time_ms", code=7226)
    if end <= now:
        raise Invalid("the grant would be over already; its end must be in the future", param="end_time_ms", code=7226)
    return end


@post(
    _CUSTOMER + "/entitlements/{entitlement:str}/revoke_promotionals",
    operation_id="revoke_granted_entitlements",
    summary="Revoke what was granted",
    status_code=200,
)
async def revoke_granted_entitlements(request: HttpRequest, app_user_id: FromPath[str], entitlement: FromPath[str]) -> Response[bytes]:
    """Every grant of this entitlement. What stores sold stays."""
    caller = await secret_caller(request)
    async with app_of(request).database.transaction(caller.project_id) as tx:
        await _require_entitlement(tx, entitlement)
        customer = await customers.get(tx, app_user_id)
        await subscriptions.revoke_grants(tx, customer.customer_id, entitlement)
        await catalog.audit(
            tx, actor=caller.key_id, action="customer.revoke_granted_entitlement", target=app_user_id, data={"entitlement": entitlement}
        )
        return await _answer(tx, customer.customer_id)


async def _require_entitlement(tx: Tx, lookup_key: str) -> None:
    if not await catalog.get_entitlements(tx, lookup_keys=[lookup_key]):
        raise NotFound(f"no entitlement {lookup_key[:80]!r} in this project", param="entitlement", code=7226)


# Offerings --------------------------------------------------------------------------------------------------------------------


@post(_CUSTOMER + "/offerings/{offering_id:str}/override", operation_id="override_offering", summary="Choose a customer's offering", status_code=201)
async def override_offering(request: HttpRequest, app_user_id: FromPath[str], offering_id: FromPath[str]) -> Response[bytes]:
    """It is current for them, whatever is for others, until the choice is removed."""
    caller = await secret_caller(request)
    async with app_of(request).database.transaction(caller.project_id) as tx:
        await catalog.require_offering(tx, offering_id)
        customer = await customers.get(tx, app_user_id)
        await customers.set_offering_override(tx, customer.customer_id, offering_id)
        await catalog.audit(tx, actor=caller.key_id, action="customer.assign_offering", target=app_user_id, data={"offering_id": offering_id})
        return await _answer(tx, customer.customer_id, 201)


@delete(_CUSTOMER + "/offerings/override", operation_id="delete_offering_override", summary="Remove the choice", status_code=201)
async def delete_offering_override(request: HttpRequest, app_user_id: FromPath[str]) -> Response[bytes]:
    caller = await secret_caller(request)
    async with app_of(request).database.transaction(caller.project_id) as tx:
        customer = await customers.get(tx, app_user_id)
        await customers.clear_offering_override(tx, customer.customer_id)
        await catalog.audit(tx, actor=caller.key_id, action="customer.assign_offering", target=app_user_id, data={"offering_id": None})
        return await _answer(tx, customer.customer_id, 201)


# At the stores ----------------------------------------------------------------------------------------------------------------


@post(
    _CUSTOMER + "/subscriptions/{product:str}/revoke",
    opt={"permissions": _SUBSCRIPTIONS},
    operation_id="revoke_subscription",
    summary="Refund the last payment and end access",
    status_code=200,
)
async def revoke_subscription(request: HttpRequest, app_user_id: FromPath[str], product: FromPath[str]) -> Response[bytes]:
    def details(line: Line, now: datetime) -> Details:
        return {"transaction": line.held[-1].purchase.transaction}

    return await _act(request, app_user_id, lambda lines: _of_product(lines, product), "revoke", details)


@post(
    _CUSTOMER + "/subscriptions/{product:str}/defer",
    opt={"permissions": _SUBSCRIPTIONS},
    operation_id="defer_subscription",
    summary="Move the next payment to a later date",
    status_code=200,
)
async def defer_subscription(request: HttpRequest, app_user_id: FromPath[str], product: FromPath[str], data: JSONBody[Defer]) -> Response[bytes]:
    """`expiry_time_ms`, or `extend_by_days` from 1 to 365."""

    def details(line: Line, now: datetime) -> Details:
        return {"expires_at_ms": _deferred(data, line)}

    return await _act(request, app_user_id, lambda lines: _of_product(lines, product), "defer", details)


def _deferred(data: Defer, line: Line) -> int:
    end = line.held[-1].purchase.expires_at
    if end is None:
        raise Invalid("this purchase does not end, so there is nothing to defer", param="product", code=7226)
    if data.expiry_time_ms is None and data.extend_by_days is None:
        raise Invalid("send expiry_time_ms, or extend_by_days", param="expiry_time_ms", code=7226)
    wanted = from_ms(data.expiry_time_ms) if data.expiry_time_ms is not None else end + timedelta(days=data.extend_by_days or 0)
    if wanted <= end:
        raise Invalid("expiry_time_ms must be later than the subscription ends now", param="expiry_time_ms", code=7226)
    return to_ms(wanted)


@post(
    _CUSTOMER + "/subscriptions/{transaction:str}/cancel",
    opt={"permissions": _SUBSCRIPTIONS},
    operation_id="cancel_subscription",
    summary="Let it end with its period",
    status_code=200,
)
async def cancel_subscription(request: HttpRequest, app_user_id: FromPath[str], transaction: FromPath[str]) -> Response[bytes]:
    return await _act(request, app_user_id, lambda lines: _of_transaction(lines, transaction), "cancel")


@post(
    _CUSTOMER + "/subscriptions/{transaction:str}/extend",
    opt={"permissions": _SUBSCRIPTIONS},
    operation_id="extend_subscription",
    summary="Give days of a subscription away",
    status_code=200,
)
async def extend_subscription(
    request: HttpRequest, app_user_id: FromPath[str], transaction: FromPath[str], data: JSONBody[Extend]
) -> Response[bytes]:
    """1 to 90 days; the reason code is Apple's: 0 undeclared, 1 satisfaction, 2 other, 3 an outage."""

    def details(line: Line, now: datetime) -> Details:
        return {"days": data.extend_by_days, "reason_code": data.extend_reason_code}

    return await _act(request, app_user_id, lambda lines: _of_transaction(lines, transaction), "extend", details)


@post(
    _CUSTOMER + "/transactions/{transaction:str}/refund",
    opt={"permissions": _PURCHASES},
    operation_id="refund_transaction",
    summary="Refund a purchase and end access",
    status_code=200,
)
async def refund_transaction(request: HttpRequest, app_user_id: FromPath[str], transaction: FromPath[str]) -> Response[bytes]:
    """Subscriptions and one-time purchases alike, within a year of the payment."""

    def details(line: Line, now: datetime) -> Details:
        paid = [held.purchase for held in line.held if _is_called(held.purchase.transaction, transaction)] or [line.held[-1].purchase]
        if paid[-1].purchased_at < now - REFUNDED_WITHIN:
            raise Invalid(f"this was paid more than {REFUNDED_WITHIN.days} days ago and cannot be refunded here", param="transaction", code=7226)
        return {"transaction": paid[-1].transaction}

    return await _act(request, app_user_id, lambda lines: _of_transaction(lines, transaction), "revoke", details)


async def _act(
    request: HttpRequest,
    app_user_id: str,
    choose: Callable[[Sequence[Line]], Line],
    kind: ActKind,
    details: Callable[[Line, datetime], Details] = lambda line, now: {},
) -> Response[bytes]:
    """Finds the line, has its store act, and answers with the customer since. No transaction is open while the store is asked."""
    caller, app = await secret_caller(request), app_of(request)
    async with app.database.transaction(caller.project_id) as tx:
        customer = await customers.get(tx, app_user_id)
        line = choose(await subscriptions.load_of_customers(tx, [customer.customer_id]))
        wanted = details(line, tx.now)
        await catalog.audit(tx, actor=caller.key_id, action=f"subscription.{kind}", target=line.line_id, data=dict(wanted))
    await act_on(app, caller.project_id, line, kind, wanted)
    async with app.database.transaction(caller.project_id) as tx:
        return await _answer(tx, customer.customer_id)


def _of_product(lines: Sequence[Line], product: str) -> Line:
    """The subscription of a product that lasts longest; a product of Google Play may be named without its base plan."""
    found = [
        line for line in lines if line.held and line.held[-1].purchase.kind == "subscription" and product in _names(line.held[-1].purchase.product)
    ]
    if not found:
        raise NotFound(f"this customer has no subscription to {product[:80]!r}", param="product", code=7259)
    return max(found, key=lambda line: (subscriptions.access_until(line), line.line_id))


def _names(product: str) -> set[str]:
    return {product, product.split(":")[0]}


def _of_transaction(lines: Sequence[Line], transaction: str) -> Line:
    """By the id of any of its payments, or of the whole."""
    for line in lines:
        if line.held and any(_is_called(one, transaction) for one in (line.store_line, *(held.purchase.transaction for held in line.held))):
            return line
    raise NotFound(f"this customer has no purchase {transaction[:80]!r}", param="transaction", code=7259)


def _is_called(transaction: str, name: str) -> bool:
    """Google counts the renewals of an order behind two dots; the bare order stands for the whole."""
    return name in (transaction, transaction.split("..")[0])


async def _answer(tx: Tx, customer_id: CustomerId, status: int = 200) -> Response[bytes]:
    return json_bytes(await documents.answer(tx, customer_id, with_attributes=True), status)


HANDLERS = [
    delete_subscriber,
    grant_entitlement,
    revoke_granted_entitlements,
    override_offering,
    delete_offering_override,
    revoke_subscription,
    defer_subscription,
    cancel_subscription,
    extend_subscription,
    refund_transaction,
]
