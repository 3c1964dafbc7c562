"""The External Purchases API: another system of the project's own tells what was bought there and how it stands.

What it says is believed as it is, so it takes a secret key. The bodies are the vendor's; instants may be ISO 8601 (UTC where no zone is
said) or epoch milliseconds.
"""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from litestar import Response, post
from litestar.params import FromQuery, JSONBody

from perennial import catalog, customers, intake
from perennial.api.auth import HttpRequest, app_of, secret_caller
from perennial.api.v1.answers import to_json
from perennial.base import reading
from perennial.base.db import Tx
from perennial.base.errors import Invalid
from perennial.base.ids import AppId
from perennial.base.money import Money
from perennial.customers.model import check_app_user_id
from perennial.intake import ExternalPayment, ExternalPurchase, ExternalStatus, ExternalSubscription
from perennial.subscriptions.model import Kind

_LARGEST_WHOLE = 2**53  # of metadata
_KINDS: dict[str, Kind] = {"consumable": "consumable", "non_renewing_subscription": "non_renewing"}

Instant = str | int
Amount = int | float | str
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern="^[^\\x00]*$")]
Environment = Literal["sandbox", "production"]
Word = Annotated[str, msgspec.Meta(max_length=2000)]
Metadata = Annotated[dict[Name, Word | int | float | bool | None], msgspec.Meta(max_length=100)]


class SubscriptionIn(msgspec.Struct, tag_field="object", tag="external_subscription", forbid_unknown_fields=True):
    customer_id: str
    source_subscription_identifier: Name
    source_product_identifier: Name
    updated_at: Instant
    current_period_ends_at: Instant
    gives_access: bool
    current_period_starts_at: Instant | None = None
    status: ExternalStatus | None = None
    environment: Environment | None = None
    auto_renewal_status: intake.AutoRenewal | None = None
    metadata: Metadata | None = None


class PurchaseIn(msgspec.Struct, tag_field="object", tag="external_purchase", forbid_unknown_fields=True):
    customer_id: str
    source_purchase_identifier: Name
    source_product_identifier: Name
    updated_at: Instant
    status: Literal["owned", "refunded"] | None = None
    environment: Environment | None = None
    metadata: Metadata | None = None


class AmountInUsd(msgspec.Struct, forbid_unknown_fields=True):
    """Positive for payments, negative for refunds."""

    gross: Amount
    tax: Amount | None = None
    commission: Amount | None = None


class AmountInLocalCurrency(msgspec.Struct, forbid_unknown_fields=True):
    currency: Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}$")]
    gross: Amount
    tax: Amount | None = None
    commission: Amount | None = None


class SubscriptionPaymentIn(msgspec.Struct, tag_field="object", tag="external_subscription_payment", forbid_unknown_fields=True):
    source_subscription_identifier: Name
    payment_identifier: Name
    processed_at: Instant | None = None
    country: Annotated[str, msgspec.Meta(pattern="^[A-Z]{2}$")] | None = None
    amount_in_local_currency: AmountInLocalCurrency | None = None
    amount_in_usd: AmountInUsd | None = None
    active_offer_type: intake.OfferType | None = None
    active_offer: Name | None = None

    @property
    def line(self) -> str:
        return self.source_subscription_identifier


class PurchasePaymentIn(msgspec.Struct, tag_field="object", tag="external_purchase_payment", forbid_unknown_fields=True):
    source_purchase_identifier: Name
    payment_identifier: Name
    amount_in_local_currency: AmountInLocalCurrency | None = None
    processed_at: Instant | None = None
    country: Annotated[str, msgspec.Meta(pattern="^[A-Z]{2}$")] | None = None
    amount_in_usd: AmountInUsd | None = None
    active_offer_type: intake.OfferType | None = None
    active_offer: Name | None = None

    @property
    def line(self) -> str:
        return self.source_purchase_identifier


class PostExternal(msgspec.Struct, forbid_unknown_fields=True):
    """How something stands, what was paid for it, or both."""

    purchase: SubscriptionIn | PurchaseIn | None = None
    payment: SubscriptionPaymentIn | PurchasePaymentIn | None = None


@post("/v1/receipts/external", operation_id="track_external_purchase", summary="Tell of a purchase made elsewhere", status_code=200)
async def post_external(request: HttpRequest, data: JSONBody[PostExternal], app_id: FromQuery[str | None] = None) -> Response[bytes]:
    """Answers with the ids of what was recorded, where something was.

    `app_id` (ours) names the app where the project has several of the store `external`.
    """
    caller = await secret_caller(request)
    _check(data)
    async with app_of(request).database.transaction(caller.project_id) as tx:
        app = await _external_app(tx, app_id)
        said = await _said(tx, app, data.purchase)
        buyer = None
        if data.purchase is not None:
            check_app_user_id(data.purchase.customer_id, param="customer_id")
            ids, _ = await customers.ensure(tx, [data.purchase.customer_id])
            buyer = ids[data.purchase.customer_id]
        line_id, payment = await intake.record_external(tx, app, said, buyer, _paid(data.payment, tx.now))
    return to_json({name: made for name, made in (("purchase", line_id), ("payment", payment)) if made is not None})


def _check(data: PostExternal) -> None:
    if data.purchase is None and data.payment is None:
        raise Invalid("send a purchase, a payment, or both", param="purchase", code=7226)
    if data.purchase is None or data.payment is None:
        return
    line = data.purchase.source_subscription_identifier if isinstance(data.purchase, SubscriptionIn) else data.purchase.source_purchase_identifier
    if data.payment.line != line:
        raise Invalid(f"the payment is for {data.payment.line[:80]!r}, which is not the purchase it came with", param="payment", code=7226)


async def _external_app(tx: Tx, app_id: str | None) -> AppId:
    apps = [app for app in await catalog.get_apps(tx) if app.store == "external" and app_id in (None, app.app_id)]
    if len(apps) != 1:
        found = "no app of the store external" if not apps else f"{len(apps)} apps of the store external"
        raise Invalid(f"this project has {found}{' by that id' if app_id else ''}; make one, or name one as app_id", param="app_id", code=7226)
    return apps[0].app_id


async def _said(tx: Tx, app_id: AppId, posted: SubscriptionIn | PurchaseIn | None) -> ExternalSubscription | ExternalPurchase | None:
    """What is said of a moment that has not come is said of now: nothing could correct it until then."""
    match posted:
        case SubscriptionIn():
            return ExternalSubscription(
                line=posted.source_subscription_identifier,
                product=posted.source_product_identifier,
                environment=posted.environment or "production",
                as_of=min(_instant(posted.updated_at, "updated_at"), tx.now),
                starts_at=_instant(posted.current_period_starts_at, "current_period_starts_at") if posted.current_period_starts_at else None,
                ends_at=_instant(posted.current_period_ends_at, "current_period_ends_at"),
                gives_access=posted.gives_access,
                status=posted.status or "unknown",
                auto_renewal=posted.auto_renewal_status or "unknown",
                metadata=_metadata(posted.metadata),
            )
        case PurchaseIn():
            key = (app_id, posted.source_product_identifier)
            product = (await catalog.find_products(tx, [key])).get(key)
            return ExternalPurchase(
                line=posted.source_purchase_identifier,
                product=posted.source_product_identifier,
                kind=_KINDS.get(product.type, "non_consumable") if product else "non_consumable",
                environment=posted.environment or "production",
                as_of=min(_instant(posted.updated_at, "updated_at"), tx.now),
                is_refunded=posted.status == "refunded",
                metadata=_metadata(posted.metadata),
            )
        case None:
            return None


def _paid(posted: SubscriptionPaymentIn | PurchasePaymentIn | None, now: datetime) -> ExternalPayment | None:
    """In the currency it was paid in, or in dollars where that is all that was said."""
    if posted is None:
        return None
    amount = posted.amount_in_local_currency or posted.amount_in_usd
    if amount is None:
        raise Invalid("send amount_in_local_currency, or amount_in_usd", param="payment.amount_in_local_currency", code=7226)
    currency = amount.currency if isinstance(amount, AmountInLocalCurrency) else "USD"
    return ExternalPayment(
        identifier=posted.payment_identifier,
        line=posted.line,
        gross=_money(amount.gross, currency, "gross"),
        tax=_money(amount.tax or 0, currency, "tax"),
        commission=_money(amount.commission or 0, currency, "commission"),
        paid_at=min(_instant(posted.processed_at, "processed_at"), now) if posted.processed_at else None,
        country=posted.country,
        offer_type=posted.active_offer_type or ("unspecified_offer" if posted.active_offer else None),
        offer=posted.active_offer,
    )


def _metadata(posted: dict[str, str | int | float | bool | None] | None) -> dict[str, str | int | float | bool | None] | None:
    """Whole numbers past what every JSON reader keeps exactly would come back as others."""
    for name, word in (posted or {}).items():
        if "\x00" in name or (isinstance(word, str) and "\x00" in word):
            raise Invalid("metadata has a NUL character in it, which cannot be kept", param="purchase.metadata", code=7226)
        if isinstance(word, int) and abs(word) > _LARGEST_WHOLE:
            raise Invalid(
                f"metadata: {name[:40]!r} is a number too large to be kept exactly; send it as a text", param="purchase.metadata", code=7226
            )
    return posted


def _money(amount: Amount, currency: str, param: str) -> Money:
    try:
        return reading.money(amount, currency, param)
    except Invalid as error:
        raise Invalid(f"{param} is not an amount of money in major units: {error.message}", param=param, code=7226) from error


def _instant(said: Instant, param: str) -> datetime:
    try:
        return reading.milliseconds(said, param) if isinstance(said, int) else reading.instant(said, param)
    except Invalid as error:
        raise Invalid(error.message, param=param, code=7226) from error


HANDLERS = [post_external]
