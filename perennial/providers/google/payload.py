"""What Google Play sends and answers: wire types, lenient about what they do not know.

Names are Google's (Android Publisher API v3, discovery revision 20261026, and the Real-time developer notification reference). Moments are
RFC 3339 texts with up to nine digits of a second, or texts of epoch milliseconds; money is whole units as a text and billionths. Every field
may be absent, as Google leaves out what is empty, false or zero; `read` says which it cannot do without.
"""

from datetime import datetime
from typing import Any

import msgspec

from perennial.base import reading
from perennial.base.errors import Invalid
from perennial.base.money import Money, from_micros
from perennial.base.reading import Key, Product, Word

Number = str | int
Marker = dict[str, Any]  # an empty object: being there is all it says

_NANOS = 10**9


class Wire(msgspec.Struct, rename="camel", gc=False):
    """A JSON object in camel case; unknown fields are skipped."""


def moment(text: str | None, field: str) -> datetime:
    """RFC 3339; what is finer than a microsecond is dropped. Raises `Invalid` where it is absent or no moment."""
    if text is None:
        raise Invalid(f"Google's answer lacks `{field}`", param=field)
    return reading.instant(text, field)


def moment_or_none(text: str | None, field: str) -> datetime | None:
    """Of what Google may leave out: what is no moment is left aside."""
    return None if text is None else reading.aside(field, text, lambda: reading.instant(text, field))


def millis(number: Number | None, field: str) -> datetime:
    """Epoch milliseconds, as a text or a number."""
    return reading.milliseconds(number, field)


class WireMoney(Wire):
    """`google.type.Money`: 16.99 EUR is units "16" and nanos 990000000; either may be absent where it is zero."""

    currency_code: Word | None = None
    units: Number | None = None
    nanos: int | None = None


def money(said: WireMoney | None, field: str) -> Money | None:
    """None where it is not said, or is no amount that Google Play charges."""
    if said is None or not said.currency_code:
        return None
    return reading.aside(field, [said.units, said.nanos, said.currency_code], lambda: _money(said, field))


def _money(said: WireMoney, field: str) -> Money:
    units = reading.parts(said.units or 0, 1, said.currency_code, field)
    if abs(said.nanos or 0) >= _NANOS:
        raise Invalid(f"`{field}` is not an amount: {str(said.nanos)[:40]} nanos", param=field)
    return from_micros(int(units.major) * 1_000_000 + (said.nanos or 0) // 1000, units.currency)


# Notifications ----------------------------------------------------------------------------------------------------------------


class PubsubMessage(Wire):
    data: str | None = None
    message_id: Word | None = None
    publish_time: str | None = None


class PushEnvelope(Wire):
    """The body Pub/Sub posts."""

    message: PubsubMessage
    subscription: str | None = None


class SubscriptionNotification(Wire):
    notification_type: int | None = None
    purchase_token: Key | None = None


class OneTimeProductNotification(Wire):
    notification_type: int | None = None
    purchase_token: Key | None = None
    sku: Product | None = None


class VoidedPurchaseNotification(Wire):
    purchase_token: Key | None = None
    order_id: Key | None = None
    product_type: int | None = None  # 1 subscription, 2 one-time
    refund_type: int | None = None  # 1 full, 2 part of a quantity


class PendingRefundReviewNotification(Wire):
    order_id: Key | None = None
    refund_reason: int | None = None


class DeveloperNotification(Wire):
    """What Google Play publishes. Exactly one of the members is there."""

    package_name: Word | None = None
    event_time_millis: Number | None = None
    subscription_notification: SubscriptionNotification | None = None
    one_time_product_notification: OneTimeProductNotification | None = None
    voided_purchase_notification: VoidedPurchaseNotification | None = None
    pending_refund_review_notification: PendingRefundReviewNotification | None = None
    test_notification: Marker | None = None


# Subscriptions ----------------------------------------------------------------------------------------------------------------


class ExternalAccountIdentifiers(Wire):
    obfuscated_external_account_id: Word | None = None


class OutOfAppPurchaseContext(Wire):
    """Whose the lapsed subscription was that was bought again in Google's own subscription centre. Gone once acknowledged."""

    expired_external_account_identifiers: ExternalAccountIdentifiers | None = None
    expired_purchase_token: Key | None = None


class CanceledStateContext(Wire):
    user_initiated_cancellation: Marker | None = None
    system_initiated_cancellation: Marker | None = None
    developer_initiated_cancellation: Marker | None = None
    replacement_cancellation: Marker | None = None


class PausedStateContext(Wire):
    auto_resume_time: str | None = None


class PriceChangeDetails(Wire):
    price_change_mode: str | None = None
    price_change_state: str | None = None


class PriceStepUpConsentDetails(Wire):
    state: Word | None = None


class InstallmentDetails(Wire):
    pending_cancellation: Marker | None = None


class AutoRenewingPlan(Wire):
    auto_renew_enabled: bool = False  # absent is false
    recurring_price: WireMoney | None = None  # of a whole period, without taxes and discounts
    price_change_details: PriceChangeDetails | None = None
    price_step_up_consent_details: PriceStepUpConsentDetails | None = None
    installment_details: InstallmentDetails | None = None


class OfferDetails(Wire):
    base_plan_id: Product | None = None
    offer_id: Word | None = None


class ProrationPeriod(Wire):
    original_offer_phase_type: str | None = None


class OfferPhase(Wire):
    """Present since January 2026; exactly one is there."""

    base_price: Marker | None = None
    free_trial: Marker | None = None
    introductory_price: Marker | None = None
    proration_period: ProrationPeriod | None = None


class DeferredItemReplacement(Wire):
    product_id: Product | None = None


class ItemReplacement(Wire):
    """The item of the linked subscription that this one took the place of. Google keeps it for 60 days."""

    product_id: Product | None = None
    replacement_mode: Word | None = None


class VanityCode(Wire):
    promotion_code: Word | None = None


class SignupPromotion(Wire):
    one_time_code: Marker | None = None
    vanity_code: VanityCode | None = None


class SubscriptionItem(Wire):
    product_id: Product | None = None
    expiry_time: str | None = None
    latest_successful_order_id: Key | None = None
    auto_renewing_plan: AutoRenewingPlan | None = None
    prepaid_plan: Marker | None = None
    offer_details: OfferDetails | None = None
    offer_phase: OfferPhase | None = None
    deferred_item_replacement: DeferredItemReplacement | None = None
    deferred_item_removal: Marker | None = None
    item_replacement: ItemReplacement | None = None
    signup_promotion: SignupPromotion | None = None


class Subscription(Wire):
    """`SubscriptionPurchaseV2`: what a purchase token stands for, now.

    Who signed up with Google (`subscribeWithGoogleInfo`) is not read, nor `latestOrderId`: in grace it is an order that nobody paid.
    """

    subscription_state: Word | None = None
    acknowledgement_state: Word | None = None
    start_time: str | None = None
    region_code: Word | None = None
    etag: str | None = None
    linked_purchase_token: Key | None = None
    line_items: list[SubscriptionItem] = []
    external_account_identifiers: ExternalAccountIdentifiers | None = None
    out_of_app_purchase_context: OutOfAppPurchaseContext | None = None
    canceled_state_context: CanceledStateContext | None = None
    paused_state_context: PausedStateContext | None = None
    test_purchase: Marker | None = None


# One-time products ------------------------------------------------------------------------------------------------------------


class PurchaseStateContext(Wire):
    purchase_state: Word | None = None


class ProductOfferDetails(Wire):
    offer_id: Word | None = None
    quantity: int | None = None
    consumption_state: Word | None = None


class ProductItem(Wire):
    product_id: Product | None = None
    product_offer_details: ProductOfferDetails | None = None


class ProductPurchase(Wire):
    """`ProductPurchaseV2`."""

    order_id: Key | None = None
    purchase_completion_time: str | None = None
    purchase_state_context: PurchaseStateContext | None = None
    acknowledgement_state: Word | None = None
    product_line_item: list[ProductItem] = []
    obfuscated_external_account_id: Word | None = None
    region_code: Word | None = None
    test_purchase_context: Marker | None = None


class ProductPurchaseV1(Wire):
    """`ProductPurchase`, which the second version replaced: states are numbers."""

    order_id: Key | None = None
    purchase_time_millis: Number | None = None
    purchase_state: int | None = None
    consumption_state: int | None = None
    acknowledgement_state: int | None = None
    product_id: Product | None = None
    quantity: int | None = None
    purchase_type: int | None = None
    obfuscated_external_account_id: Word | None = None
    region_code: Word | None = None


def _state(number: int | None) -> str:
    """The second version's word; one that we do not know stays its number."""
    return {0: "PURCHASED", 1: "CANCELLED", 2: "PENDING"}.get(number or 0, str(number)[:40])


def second_version(purchase: ProductPurchaseV1, sku: str) -> ProductPurchase:
    """The same in the words of the second version. An empty answer stays empty: it proves no purchase."""
    is_told = purchase.purchase_time_millis is not None and purchase.purchase_state is not None
    details = ProductOfferDetails(
        quantity=purchase.quantity,
        consumption_state="CONSUMPTION_STATE_CONSUMED" if purchase.consumption_state == 1 else "CONSUMPTION_STATE_YET_TO_BE_CONSUMED",
    )
    return ProductPurchase(
        order_id=purchase.order_id,
        purchase_completion_time=millis(purchase.purchase_time_millis, "purchaseTimeMillis").isoformat() if is_told else None,
        purchase_state_context=PurchaseStateContext(purchase_state=_state(purchase.purchase_state)) if is_told else None,
        acknowledgement_state="ACKNOWLEDGEMENT_STATE_PENDING" if purchase.acknowledgement_state == 0 else None,
        product_line_item=[ProductItem(product_id=purchase.product_id or sku, product_offer_details=details)],
        obfuscated_external_account_id=purchase.obfuscated_external_account_id,
        region_code=purchase.region_code,
        test_purchase_context={} if purchase.purchase_type == 0 else None,
    )


# Orders -----------------------------------------------------------------------------------------------------------------------


class ProrationPeriodDetails(Wire):
    original_offer_phase: str | None = None


class OfferPhaseDetails(Wire):
    """The phase an order paid for; exactly one is there."""

    base_details: Marker | None = None
    free_trial_details: Marker | None = None
    introductory_price_details: Marker | None = None
    proration_period_details: ProrationPeriodDetails | None = None


class SubscriptionDetails(Wire):
    base_plan_id: Product | None = None
    offer_id: Word | None = None
    offer_phase: str | None = None  # the deprecated way to say it
    offer_phase_details: OfferPhaseDetails | None = None
    service_period_start_time: str | None = None
    service_period_end_time: str | None = None


class OrderItem(Wire):
    product_id: Product | None = None
    listing_price: WireMoney | None = None
    total: WireMoney | None = None
    tax: WireMoney | None = None
    subscription_details: SubscriptionDetails | None = None


class RefundDetails(Wire):
    total: WireMoney | None = None


class PartialRefundEvent(Wire):
    create_time: str | None = None
    process_time: str | None = None
    state: Word | None = None
    refund_details: RefundDetails | None = None


class RefundEvent(Wire):
    event_time: str | None = None


class OrderHistory(Wire):
    partial_refund_events: list[PartialRefundEvent] = []
    refund_event: RefundEvent | None = None


class BuyerAddress(Wire):
    """Only the country is read of it."""

    buyer_country: str | None = None


class Order(Wire):
    order_id: Key | None = None
    purchase_token: Key | None = None
    state: Word | None = None
    create_time: str | None = None
    last_event_time: str | None = None
    total: WireMoney | None = None
    tax: WireMoney | None = None
    developer_revenue_in_buyer_currency: WireMoney | None = None
    buyer_address: BuyerAddress | None = None
    line_items: list[OrderItem] = []
    order_history: OrderHistory | None = None


class Orders(Wire):
    """`BatchGetOrdersResponse`."""

    orders: list[Order] = []


# Voided purchases -------------------------------------------------------------------------------------------------------------


class VoidedPurchase(Wire):
    order_id: Key | None = None
    purchase_token: Key | None = None
    voided_time_millis: Number | None = None
    voided_quantity: int | None = None
    voided_reason: int | None = None  # 7 chargeback, 8 never acknowledged


class TokenPagination(Wire):
    next_page_token: str | None = None


class VoidedPurchases(Wire):
    voided_purchases: list[VoidedPurchase] = []
    token_pagination: TokenPagination | None = None


# Access tokens, errors, pulled messages ---------------------------------------------------------------------------------------


class AccessToken(Wire, rename=None):
    access_token: str
    expires_in: int = 3600

    def __repr__(self) -> str:
        return "AccessToken(***)"


class ErrorItem(Wire):
    reason: str | None = None


class ErrorBody(Wire):
    message: str = ""
    errors: list[ErrorItem] = []


class ErrorAnswer(Wire):
    error: ErrorBody


class ReceivedMessage(Wire):
    ack_id: str
    message: PubsubMessage


class PullAnswer(Wire):
    received_messages: list[ReceivedMessage] = []


class Nothing(Wire):
    """An answer whose body is empty, or not needed."""
