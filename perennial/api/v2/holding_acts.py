"""What is done to subscriptions and purchases at the stores that sold them. Each answers when the store has done it and said how things stand."""

from perennial import intake, subscriptions
from perennial.api.acts import act_on
from perennial.api.auth import HttpRequest, app_of
from perennial.api.v2 import wire
from perennial.api.v2.entry import entered
from perennial.api.v2.holdings import is_purchase, is_subscription, show_purchase, show_subscription, show_transaction
from perennial.api.v2.routes import PathId, get, post
from perennial.api.v2.subscriptions import PURCHASE, SUBSCRIPTION, purchase_of, subscription_of
from perennial.base.errors import NotFound
from perennial.base.ids import LineId, ProjectId
from perennial.intake.model import ActKind
from perennial.subscriptions.model import Line

_SUBSCRIPTIONS_WRITE = "customer_information:subscriptions:read_write"
_PURCHASES_WRITE = "customer_information:purchases:read_write"


@post(
    SUBSCRIPTION + "/actions/cancel",
    permission=_SUBSCRIPTIONS_WRITE,
    goes_outside=True,
    operation_id="cancel-subscription",
    summary="Let it end with its period",
    tags=["Subscriptions"],
    status_code=200,
)
async def cancel_subscription(request: HttpRequest, project_id: PathId, subscription_id: PathId) -> wire.Subscription:
    """Access goes on until then. Stores that leave this to the customer alone (the App Store) refuse: `store_error`."""
    await _act(request, project_id, await _subscription_line(request, project_id, subscription_id), "cancel", {})
    return show_subscription(*await subscription_of(request, project_id, subscription_id))


@post(
    SUBSCRIPTION + "/actions/refund",
    permission=_SUBSCRIPTIONS_WRITE,
    goes_outside=True,
    operation_id="refund-subscription",
    summary="Refund the last payment and end access",
    tags=["Subscriptions"],
    status_code=200,
)
async def refund_subscription(request: HttpRequest, project_id: PathId, subscription_id: PathId) -> wire.Subscription:
    line = await _subscription_line(request, project_id, subscription_id)
    await _act(request, project_id, line, "revoke", {"transaction": line.held[-1].purchase.transaction})
    return show_subscription(*await subscription_of(request, project_id, subscription_id))


@post(
    SUBSCRIPTION + "/transactions/{transaction_id:str}/actions/refund",
    permission=_SUBSCRIPTIONS_WRITE,
    goes_outside=True,
    operation_id="refund-subscription-transaction",
    summary="Refund one of its payments",
    tags=["Subscriptions"],
    status_code=200,
)
async def refund_transaction(
    request: HttpRequest, project_id: PathId, subscription_id: PathId, transaction_id: PathId
) -> wire.SubscriptionTransaction:
    """Money alone: access goes on. To end it as well, refund the subscription."""
    line = await _subscription_line(request, project_id, subscription_id)
    _require_transaction(line, transaction_id)
    await _act(request, project_id, line, "refund", {"transaction": transaction_id})
    line, _ = await subscription_of(request, project_id, subscription_id)
    return show_transaction(line, next(held for held in line.held if held.purchase.transaction == transaction_id))


@get(
    SUBSCRIPTION + "/authenticated_management_url",
    permission="customer_information:subscriptions:read",
    operation_id="get-authorized-subscription-management-url",
    summary="Get an address where the customer manages it",
    tags=["Subscriptions"],
)
async def get_management_url(request: HttpRequest, project_id: PathId, subscription_id: PathId) -> wire.AuthenticatedManagementUrl:
    """Stripe and Paddle have a portal: each time a new address is made, which signs the customer in and is good for a short while only.

    It is whole, and so may be longer than the 255 characters of the vendor's schema. Other stores have one page for everybody, the
    subscription's `management_url`: for theirs this is refused (422).
    """
    line, _ = await subscription_of(request, project_id, subscription_id)
    app = app_of(request)
    url = await intake.management_url(app.database, app.vault, app.providers, ProjectId(project_id), line)
    return wire.AuthenticatedManagementUrl(management_url=url)


@post(
    PURCHASE + "/actions/refund",
    permission=_PURCHASES_WRITE,
    goes_outside=True,
    operation_id="refund-purchase",
    summary="Refund it and end access",
    tags=["Purchases"],
    status_code=200,
)
async def refund_purchase(request: HttpRequest, project_id: PathId, purchase_id: PathId) -> wire.Purchase:
    line = await _line(request, project_id, purchase_id)
    if line is None or not is_purchase(line):
        raise NotFound(f"no purchase {purchase_id[:80]!r} in this project", param="purchase_id")
    await _act(request, project_id, line, "revoke", {"transaction": line.held[-1].purchase.transaction})
    return show_purchase(*await purchase_of(request, project_id, purchase_id))


async def _subscription_line(request: HttpRequest, project_id: str, subscription_id: str) -> Line:
    line = await _line(request, project_id, subscription_id)
    if line is None or not is_subscription(line):
        raise NotFound(f"no subscription {subscription_id[:80]!r} in this project", param="subscription_id")
    return line


async def _line(request: HttpRequest, project_id: str, line_id: str) -> Line | None:
    async with entered(request, project_id) as entry:
        return (await subscriptions.load_by_ids(entry.tx, [LineId(line_id)])).get(LineId(line_id))


def _require_transaction(line: Line, transaction: str) -> None:
    if all(held.purchase.transaction != transaction for held in line.held):
        raise NotFound(f"this subscription has no transaction {transaction[:80]!r}", param="transaction_id")


async def _act(request: HttpRequest, project_id: str, line: Line, kind: ActKind, details: dict[str, str | int]) -> None:
    """Written down first, then done, with no transaction open."""
    async with entered(request, project_id) as entry:
        await entry.audit(f"subscription.{kind}", line.line_id, dict(details))
        app = entry.app
    await act_on(app, ProjectId(project_id), line, kind, details)


HANDLERS = [cancel_subscription, refund_subscription, refund_transaction, get_management_url, refund_purchase]
