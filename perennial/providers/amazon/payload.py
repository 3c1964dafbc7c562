"""What Amazon writes: SNS envelopes, real-time notifications, and receipts of the Receipt Verification Service (RVS 1.0).

Names and units are Amazon's: moments of receipts and notifications are epoch milliseconds, those of SNS ISO 8601. Unknown fields are
skipped; `read` says what it cannot do without.
"""

import msgspec

from perennial.base.reading import Key, Product, Word

Number = int | float


class SnsMessage(msgspec.Struct, frozen=True):
    """The outer envelope (Amazon SNS, HTTP/HTTPS delivery). `message` is a text of its own: JSON for notifications."""

    type: str = msgspec.field(name="Type")
    message_id: str = msgspec.field(name="MessageId")
    topic_arn: str = msgspec.field(name="TopicArn")
    message: str = msgspec.field(name="Message")
    timestamp: str = msgspec.field(name="Timestamp")
    signature_version: str = msgspec.field(name="SignatureVersion")
    signature: str = msgspec.field(name="Signature")
    signing_cert_url: str = msgspec.field(name="SigningCertURL")
    subject: str | None = msgspec.field(name="Subject", default=None)
    subscribe_url: str | None = msgspec.field(name="SubscribeURL", default=None)
    token: str | None = msgspec.field(name="Token", default=None)


class RelatedReceipts(msgspec.Struct, frozen=True, rename="camel"):
    cancelled_receipt_id: Key | None = None


class Notification(msgspec.Struct, frozen=True, rename="camel"):
    """A real-time notification: it names a receipt and why to look at it again."""

    receipt_id: Key
    app_user_id: Key
    notification_type: Word = "unknown"
    app_package_name: Word | None = None
    beta_product_transaction: bool | None = None
    related_receipts: RelatedReceipts | None = None


class Promotion(msgspec.Struct, frozen=True, rename="camel"):
    promotion_type: Word | None = None
    promotion_status: Word | None = None


class Receipt(msgspec.Struct, frozen=True, rename="camel"):
    """What RVS answers: the present state of a receipt. One receipt lives through all renewals; it tells no price."""

    receipt_id: Key
    product_id: Product
    purchase_date: Number
    product_type: Word | None = None
    term_sku: Product | None = None
    term: Word | None = None
    renewal_date: Number | None = None
    cancel_date: Number | None = None
    cancel_reason: int | None = None
    auto_renewing: bool | None = None
    free_trial_end_date: Number | None = None
    grace_period_end_date: Number | None = None
    deferred_date: Number | None = None
    deferred_sku: Product | None = None
    promotions: list[Promotion] | None = None
    country_code: Word | None = None
    quantity: int | None = None
    beta_product: bool | None = None
    test_transaction: bool | None = None
