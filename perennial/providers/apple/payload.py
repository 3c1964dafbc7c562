"""What the App Store writes inside its signatures: wire types, lenient about what they do not know, strict about what they do.

Names and units are Apple's (App Store Server API 1.21): moments are epoch milliseconds, prices thousandths of the major unit,
percentages thousandths of a percent. Xcode writes moments with fractions, so numbers may be floats. Every field may be absent, as in
Apple's own schema; `read` says which it cannot do without.
"""

import msgspec

from perennial.base.reading import Name, Product, Word

Number = int | float


class Wire(msgspec.Struct, rename="camel", gc=False):
    """A JSON object in camel case; unknown fields are skipped."""


class TransactionCommitment(Wire):
    """Where a month stands in a 12-month commitment billed monthly."""

    billing_period_number: int | None = None
    total_billing_periods: int | None = None
    commitment_expires_date: Number | None = None
    commitment_price: Number | None = None


class Transaction(Wire):
    """`JWSTransactionDecodedPayload`: one charge, one period or one purchase."""

    environment: Word | None = None
    bundle_id: Word | None = None
    signed_date: Number | None = None
    transaction_id: Name | None = None
    original_transaction_id: Name | None = None
    web_order_line_item_id: str | None = None
    app_transaction_id: Name | None = None
    product_id: Product | None = None
    subscription_group_identifier: str | None = None
    type: Word | None = None
    purchase_date: Number | None = None
    original_purchase_date: Number | None = None
    expires_date: Number | None = None
    quantity: int | None = None
    revocation_date: Number | None = None
    revocation_reason: int | None = None
    revocation_type: Word | None = None
    revocation_percentage: Number | None = None
    is_upgraded: bool | None = None
    in_app_ownership_type: Word | None = None
    app_account_token: Name | None = None
    offer_type: int | None = None
    offer_identifier: Name | None = None
    offer_discount_type: Word | None = None
    offer_period: str | None = None
    storefront: Word | None = None
    storefront_id: str | None = None
    transaction_reason: Word | None = None
    currency: Word | None = None
    price: Number | None = None
    billing_plan_type: str | None = None
    commitment_info: TransactionCommitment | None = None

    @property
    def signed_ms(self) -> float | None:
        return self.signed_date

    @property
    def stated_environment(self) -> str | None:
        return self.environment


class RenewalCommitment(Wire):
    """What follows the present 12-month commitment."""

    commitment_auto_renew_product_id: Product | None = None
    commitment_auto_renew_status: int | None = None
    commitment_renewal_billing_plan_type: str | None = None
    commitment_renewal_date: Number | None = None
    commitment_renewal_price: Number | None = None


class RenewalInfo(Wire):
    """`JWSRenewalInfoDecodedPayload`: how a subscription will go on. It has no bundle id: only its transaction says whose it is."""

    environment: Word | None = None
    signed_date: Number | None = None
    original_transaction_id: Name | None = None
    app_transaction_id: Name | None = None
    app_account_token: Name | None = None
    product_id: Product | None = None
    auto_renew_product_id: Product | None = None
    auto_renew_status: int | None = None
    expiration_intent: int | None = None
    is_in_billing_retry_period: bool | None = None
    grace_period_expires_date: Number | None = None
    price_increase_status: int | None = None
    renewal_date: Number | None = None
    renewal_price: Number | None = None
    currency: Word | None = None
    offer_type: int | None = None
    offer_identifier: Name | None = None
    offer_discount_type: Word | None = None
    offer_period: str | None = None
    eligible_win_back_offer_ids: list[str] | None = None
    recent_subscription_start_date: Number | None = None
    renewal_billing_plan_type: str | None = None
    commitment_info: RenewalCommitment | None = None

    @property
    def signed_ms(self) -> float | None:
        return self.signed_date

    @property
    def stated_environment(self) -> str | None:
        return self.environment


class AppTransaction(Wire):
    """The signed proof that a device downloaded the app; it holds no purchase."""

    receipt_type: Word | None = None
    app_apple_id: int | None = None
    bundle_id: Word | None = None
    application_version: str | None = None
    version_external_identifier: int | None = None
    receipt_creation_date: Number | None = None
    original_purchase_date: Number | None = None
    original_application_version: Word | None = None
    preorder_date: Number | None = None
    app_transaction_id: Name | None = None
    original_platform: str | None = None

    @property
    def signed_ms(self) -> float | None:
        return self.receipt_creation_date

    @property
    def stated_environment(self) -> str | None:
        return self.receipt_type


class DeviceProof(Transaction):
    """Whatever a device posts as its signed proof: a transaction, or the app's own."""

    receipt_type: Word | None = None
    receipt_creation_date: Number | None = None
    original_application_version: Word | None = None

    @property
    def signed_ms(self) -> float | None:
        return self.signed_date if self.signed_date is not None else self.receipt_creation_date

    @property
    def stated_environment(self) -> str | None:
        return self.environment if self.environment is not None else self.receipt_type


class Data(Wire):
    """What a notification tells of one customer."""

    environment: Word | None = None
    bundle_id: Word | None = None
    app_apple_id: int | None = None
    bundle_version: str | None = None
    signed_transaction_info: str | None = None
    signed_renewal_info: str | None = None
    status: int | None = None
    consumption_request_reason: str | None = None


class Summary(Wire):
    """How a mass extension of renewal dates went."""

    environment: Word | None = None
    bundle_id: Word | None = None
    app_apple_id: int | None = None
    product_id: Product | None = None
    request_identifier: str | None = None
    storefront_country_codes: list[str] | None = None
    succeeded_count: int | None = None
    failed_count: int | None = None


class ExternalPurchaseToken(Wire):
    """A token for reporting purchases made outside the App Store."""

    external_purchase_id: str | None = None
    token_creation_date: Number | None = None
    bundle_id: Word | None = None
    app_apple_id: int | None = None

    @property
    def environment(self) -> str:
        """Apple marks the sandbox in the id alone: its ids begin with `SANDBOX`."""
        return "Sandbox" if (self.external_purchase_id or "").startswith("SANDBOX") else "Production"


class AppData(Wire):
    """What a notification tells of one download of the app."""

    environment: Word | None = None
    bundle_id: Word | None = None
    app_apple_id: int | None = None
    signed_app_transaction_info: str | None = None


Subject = Data | Summary | ExternalPurchaseToken | AppData


class Notification(Wire):
    """`ResponseBodyV2DecodedPayload`. Exactly one of `data`, `summary`, `external_purchase_token` and `app_data` is there."""

    notification_type: Word
    notification_uuid: Name = msgspec.field(name="notificationUUID")
    subtype: Word | None = None
    version: str | None = None
    signed_date: Number | None = None
    data: Data | None = None
    summary: Summary | None = None
    external_purchase_token: ExternalPurchaseToken | None = None
    app_data: AppData | None = None

    @property
    def kind(self) -> str:
        """`TYPE` or `TYPE/SUBTYPE`, as Apple spells them."""
        return self.notification_type if self.subtype is None else f"{self.notification_type}/{self.subtype}"

    @property
    def subject(self) -> Subject | None:
        """The one thing it speaks of; None when it names none, or more than one."""
        named = [part for part in (self.data, self.summary, self.external_purchase_token, self.app_data) if part is not None]
        return named[0] if len(named) == 1 else None

    @property
    def signed_ms(self) -> float | None:
        return self.signed_date

    @property
    def stated_environment(self) -> str | None:
        return self.subject.environment if self.subject is not None else None


class NotificationBody(msgspec.Struct):
    """The body Apple posts."""

    signed_payload: str = msgspec.field(name="signedPayload")


class SubscriptionStatus(Wire):
    """One subscription in the answer to Get All Subscription Statuses."""

    signed_transaction_info: str
    signed_renewal_info: str | None = None
    original_transaction_id: Name | None = None
    status: int | None = None


class SubscriptionGroup(Wire):
    last_transactions: list[SubscriptionStatus] = []


class StatusAnswer(Wire):
    """Get All Subscription Statuses: every group of one customer, not paged."""

    environment: Word | None = None
    bundle_id: Word | None = None
    app_apple_id: int | None = None
    data: list[SubscriptionGroup] = []


class HistoryAnswer(Wire):
    """One page of Get Transaction History V2."""

    revision: str | None = None
    has_more: bool = False
    signed_transactions: list[str] = []


class NotificationHistoryItem(Wire):
    signed_payload: str


class NotificationHistoryAnswer(Wire):
    """One page of Get Notification History."""

    pagination_token: str | None = None
    has_more: bool = False
    notification_history: list[NotificationHistoryItem] = []


class ExtendAnswer(msgspec.Struct, rename="camel"):
    success: bool = False


class TestNotificationAnswer(Wire):
    test_notification_token: str


class ApiError(Wire):
    error_code: int
    error_message: str = ""
