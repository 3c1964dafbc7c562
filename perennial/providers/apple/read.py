"""From what the App Store signed to what it states.

Two steps, kept apart: first everything is verified (signature, app, environment, and that renewal information belongs to its transaction),
then the payloads are translated. The payloads decide; a notification's type only fills what they leave open.

Where the payloads leave a choice, this is ours:

- **A withdrawn product** (expirationIntent 4) is the developer's act: `developer`.
- **12-month commitments billed monthly**: switching auto-renew off stops the next commitment, not the months that remain. While months
  remain, `auto_renew` is True; in the last one `commitmentAutoRenewStatus` decides, where it is given.
- **Billing retry without grace** ends the period (`billing_error`): access is lost at its end, and a recovery is a new period.
- **Renewal information about another period** (refund messages carry an old transaction beside the newest renewal information) is bound to
  no transaction: `Renewal.transaction` is empty and means "whichever is newest".
- **Family members** pay nothing, so their purchases have no price.
- **What we do not know** costs nobody a purchase. A type we do not know is a subscription where it ends and lasts where it does not; an
  environment we do not know is of the sandbox, where no money is counted; an auto-renew status, offer or price we do not know leaves open what it
  would say. All of it is noted, and the store is asked.
- **REFUND_REVERSED** restores its transaction even where the payload still shows the refund's date: the message is the newer word.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

from perennial.base import reading
from perennial.base.errors import Invalid, NotConfigured
from perennial.base.money import Money
from perennial.base.reading import note
from perennial.base.value import replace
from perennial.customers.model import Download
from perennial.intake.model import Question, Reading, StoreApp, Untrusted
from perennial.providers.apple import jws
from perennial.providers.apple.countries import ALPHA_2
from perennial.providers.apple.payload import (
    AppData,
    AppTransaction,
    Data,
    DeviceProof,
    ExternalPurchaseToken,
    Notification,
    NotificationBody,
    Number,
    RenewalInfo,
    Summary,
    Transaction,
)
from perennial.subscriptions.model import EndReason, Environment, Kind, Offer, Ownership, PeriodType, Purchase, Renewal, Revocation, Statement

LARGEST_BODY = jws.LARGEST_JWS + 1024

ACTIVE, EXPIRED, BILLING_RETRY, GRACE, REVOKED = 1, 2, 3, 4, 5  # `data.status`, auto-renewable subscriptions only

_ENVIRONMENTS: dict[str, Environment] = {"Production": "production", "Sandbox": "sandbox"}
_KINDS: dict[str, Kind] = {
    "Auto-Renewable Subscription": "subscription",
    "Non-Consumable": "non_consumable",
    "Consumable": "consumable",
    "Non-Renewing Subscription": "non_renewing",
}
_OFFERS = {1: "introductory", 2: "promotional", 3: "offer_code", 4: "win_back"}
_INTENTS: dict[int, EndReason] = {1: "unsubscribe", 2: "billing_error", 3: "price_increase", 4: "developer", 5: "unknown"}
_EXPIRY_SUBTYPES: dict[str, EndReason] = {
    "VOLUNTARY": "unsubscribe",
    "BILLING_RETRY": "billing_error",
    "PRICE_INCREASE": "price_increase",
    "PRODUCT_NOT_FOR_SALE": "developer",
}
_BILLING_FAILED = frozenset(("DID_FAIL_TO_RENEW", "GRACE_PERIOD_EXPIRED"))  # as a whole kind: without the subtype GRACE_PERIOD
_MAY_CARRY_AN_OLD_TRANSACTION = frozenset(("REFUND", "REFUND_REVERSED", "REFUND_DECLINED", "CONSUMPTION_REQUEST"))
_ASK_AFTER = frozenset(("REFUND", "REFUND_REVERSED", "REVOKE"))
_RETRY_MS = 60 * 24 * 3600 * 1000  # Apple retries billing for at most 60 days
_MILLI, _WHOLE_PERCENTAGE = 1000, 100_000
_NOT_THE_STORES = frozenset(("Xcode", "LocalTesting"))  # environments that the App Store does not sign
_RENEWS = {0: False, 1: True}
_CONSENTS: dict[int, Literal["pending", "accepted"]] = {0: "pending", 1: "accepted"}

# Every type and its subtypes ("" for none), as Apple documents them (App Store Server Notifications 2.0, changelogs to 2026-06).
_SUBTYPES: dict[str, tuple[str, ...]] = {
    "SUBSCRIBED": ("INITIAL_BUY", "RESUBSCRIBE"),
    "DID_RENEW": ("", "BILLING_RECOVERY"),
    "DID_FAIL_TO_RENEW": ("", "GRACE_PERIOD"),
    "GRACE_PERIOD_EXPIRED": ("",),
    "DID_CHANGE_RENEWAL_STATUS": ("", "AUTO_RENEW_DISABLED", "AUTO_RENEW_ENABLED"),
    "DID_CHANGE_RENEWAL_PREF": ("", "UPGRADE", "DOWNGRADE"),
    "OFFER_REDEEMED": ("", "UPGRADE", "DOWNGRADE"),
    "PRICE_INCREASE": ("PENDING", "ACCEPTED"),
    "EXPIRED": ("", "VOLUNTARY", "BILLING_RETRY", "PRICE_INCREASE", "PRODUCT_NOT_FOR_SALE"),
    "REFUND": ("",),
    "REFUND_REVERSED": ("",),
    "REFUND_DECLINED": ("",),
    "CONSUMPTION_REQUEST": ("",),
    "REVOKE": ("",),
    "RENEWAL_EXTENDED": ("",),
    "RENEWAL_EXTENSION": ("SUMMARY", "FAILURE"),
    "ONE_TIME_CHARGE": ("",),
    "TEST": ("",),
    "EXTERNAL_PURCHASE_TOKEN": ("CREATED", "ACTIVE_TOKEN_REMINDER", "UNREPORTED"),
    "RESCIND_CONSENT": ("",),
    "PRICE_CHANGE": ("",),  # this one and those below: apps of the Advanced Commerce API only
    "METADATA_UPDATE": ("",),
    "MIGRATION": ("",),
    "MIGRATE": ("",),
}


# Verify


def verified_notification(app: StoreApp, body: bytes, now: datetime) -> Notification:
    """The notification in a posted body, when it is Apple's and for this app."""
    if len(body) > LARGEST_BODY:
        raise Invalid(f"a body of {len(body)} bytes is longer than the {LARGEST_BODY} we read")
    try:
        token = reading.decode(body, NotificationBody).signed_payload
    except Invalid as error:
        raise Invalid(
            "not an App Store notification of version 2: no `signedPayload`. Version 1 is not signed; choose version 2 in App Store Connect",
            param="signedPayload",
        ) from error
    notification = jws.verify(token, Notification, roots=app.simulated_roots, now=now)
    subject = notification.subject
    if subject is None:
        raise Invalid("a notification must have exactly one of `data`, `summary`, `externalPurchaseToken` and `appData`")
    _verify_environment(subject.environment, None)
    _verify_app(app, subject.bundle_id)
    if subject.environment == "Production" and app.app_apple_id is not None and subject.app_apple_id != app.app_apple_id:
        raise Untrusted(f"signed for the app with Apple ID {subject.app_apple_id}, not for {app.app_apple_id}", param="appAppleId")
    return notification


def verified_transaction(app: StoreApp, token: str, now: datetime, *, environment: str | None = None) -> Transaction:
    """A signed transaction of this app; of `environment` (as Apple spells it), where the caller knows it."""
    transaction = jws.verify(token, Transaction, roots=app.simulated_roots, now=now)
    _verify_environment(transaction.environment, environment)
    _verify_app(app, transaction.bundle_id)
    return transaction


def verified_renewal(app: StoreApp, token: str, transaction: Transaction, now: datetime) -> RenewalInfo:
    """Signed renewal information of `transaction`. It names no app itself, so another app's would pass without this tie."""
    renewal = jws.verify(token, RenewalInfo, roots=app.simulated_roots, now=now)
    _verify_environment(renewal.environment, transaction.environment)
    if renewal.original_transaction_id is None or renewal.original_transaction_id != transaction.original_transaction_id:
        raise Untrusted("the renewal information belongs to another subscription than the transaction beside it", param="originalTransactionId")
    return renewal


def _verify_app(app: StoreApp, bundle_id: str | None) -> None:
    if app.bundle_id is None:
        raise NotConfigured("the app has no bundle id; set it to read what the App Store signs for it", param="bundle_id")
    if bundle_id != app.bundle_id:
        raise Untrusted(f"signed for the app {bundle_id!r}, not for {app.bundle_id!r}", param="bundleId")


def _verify_environment(stated: str | None, expected: str | None) -> None:
    if not stated or stated in _NOT_THE_STORES:
        raise Untrusted(f"of the environment {stated!r}; only Production and Sandbox are signed by the App Store", param="environment")
    if expected is not None and stated != expected:
        raise Untrusted(f"of the environment {stated!r} inside a message of {expected!r}", param="environment")


def _environment(stated: str) -> Environment:
    """One that Apple has come to sign since is of the sandbox: access is given, and no money is counted."""
    if stated not in _ENVIRONMENTS:
        note("environment", stated)
    return _ENVIRONMENTS.get(stated, "sandbox")


# Read


def read_notification(app: StoreApp, notification: Notification, now: datetime) -> Reading:
    """What a verified notification states. Everything signed inside it is verified here."""
    is_known = (notification.subtype or "") in _SUBTYPES.get(notification.notification_type, ())
    match notification.subject:
        case Data() as data if data.signed_transaction_info is not None:
            transaction = verified_transaction(app, data.signed_transaction_info, now, environment=data.environment)
            token = data.signed_renewal_info
            renewal = verified_renewal(app, token, transaction, now) if token is not None else None
            try:
                stated = statement(app, transaction, renewal, status=data.status, notification=notification)
            except Invalid as error:
                return _left_to_the_store(notification, transaction, error)
            should_ask = not is_known or notification.notification_type in _ASK_AFTER or not _is_understood(transaction, renewal)
            return Reading(statements=(stated,), questions=(about(stated, transaction),) if should_ask else ())
        case AppData() as download if download.signed_app_transaction_info is not None:
            _verify_app_transaction(app, download.signed_app_transaction_info, download.environment, now)
    return Reading(note=_note(notification))


def _left_to_the_store(notification: Notification, transaction: Transaction, error: Invalid) -> Reading:
    """Of what cannot be stated the store is asked, where at least the line has a name."""
    line = transaction.original_transaction_id
    if not line:
        raise error
    note(error.param or "data", None)
    environment = _environment(_needed(transaction.environment, "environment"))
    return Reading(note=f"{notification.kind}: {error.message}", questions=(Question(environment=environment, subject=line),))


def _is_understood(transaction: Transaction, renewal: RenewalInfo | None) -> bool:
    """Whether every word that decides about access is one we know."""
    has_known_status = renewal is None or renewal.auto_renew_status is None or renewal.auto_renew_status in _RENEWS
    return transaction.type in _KINDS and transaction.environment in _ENVIRONMENTS and has_known_status


def _verify_app_transaction(app: StoreApp, token: str, environment: str | None, now: datetime) -> None:
    proof = jws.verify(token, AppTransaction, roots=app.simulated_roots, now=now)
    _verify_environment(proof.receipt_type, environment)
    _verify_app(app, proof.bundle_id)


def _note(notification: Notification) -> str:
    """Why a notification changes nothing of what a customer holds."""
    match notification.subject:
        case Summary() as summary:
            return f"{notification.kind}: {summary.succeeded_count} renewal dates of {summary.product_id} extended, {summary.failed_count} failed"
        case ExternalPurchaseToken():
            return f"{notification.kind}: about reporting purchases made outside the App Store"
        case AppData():
            return f"{notification.kind}: about a download of the app"
        case Data(signed_renewal_info=str()):
            return f"{notification.kind}: renewal information without the transaction that says whose it is"
    return f"{notification.kind}: carries no transaction"


def read_device_proof(app: StoreApp, token: str, now: datetime) -> Reading:
    """What a signed transaction posted by a device states. The app's own transaction is genuine, but holds no purchase."""
    proof = jws.verify(token, DeviceProof, roots=app.simulated_roots, now=now)
    _verify_environment(proof.stated_environment, None)
    _verify_app(app, proof.bundle_id)
    if proof.transaction_id is None and proof.receipt_type is not None:
        return Reading(note="the app's own transaction: it proves a download, not a purchase", download=_download(proof))
    stated = statement(app, proof, None)
    is_open = any(purchase.kind == "subscription" for purchase in stated.purchases) or not _is_understood(proof, None)
    return Reading(statements=(stated,), questions=(about(stated, proof),) if is_open else ())  # a device does not post how it will go on


def read_download(app: StoreApp, token: str, now: datetime) -> Download | None:
    """What the app's own transaction, as a device posts it beside another proof, says of the download."""
    proof = jws.verify(token, DeviceProof, roots=app.simulated_roots, now=now)
    _verify_environment(proof.stated_environment, None)
    _verify_app(app, proof.bundle_id)
    return _download(proof) if proof.transaction_id is None else None


def _download(proof: DeviceProof) -> Download | None:
    if not proof.original_application_version or proof.original_purchase_date is None:
        return None
    return Download(version=proof.original_application_version, at=reading.milliseconds(proof.original_purchase_date, "originalPurchaseDate"))


ELSEWHERE = "of the environment "  # begins the hint of a question about what may be of either


def about(statement: Statement, transaction: Transaction | None = None) -> Question:
    said = transaction.environment if transaction is not None else None
    hint = f"{ELSEWHERE}{said}" if said is not None and said not in _ENVIRONMENTS else ""
    return Question(environment=statement.environment, subject=statement.line, hint=hint)


def gathered(statements: Iterable[Statement]) -> tuple[Statement, ...]:
    """One statement per line, in the order the lines first appear, nothing twice."""
    lines: dict[str, list[Statement]] = {}
    for one in statements:
        lines.setdefault(one.line, []).append(one)
    return tuple(parts[0] if len(parts) == 1 else _joined(parts) for parts in lines.values())


def _joined(parts: list[Statement]) -> Statement:
    return replace(
        parts[0],
        purchases=tuple(dict.fromkeys(purchase for part in parts for purchase in part.purchases)),
        renewals=tuple(dict.fromkeys(renewal for part in parts for renewal in part.renewals)),
        customer_hint=next((part.customer_hint for part in parts if part.customer_hint is not None), None),
        original_purchased_at=min((part.original_purchased_at for part in parts if part.original_purchased_at is not None), default=None),
    )


# Translate


def statement(
    app: StoreApp,
    transaction: Transaction,
    renewal: RenewalInfo | None,
    *,
    status: int | None = None,
    notification: Notification | None = None,
) -> Statement:
    """What a verified transaction and its renewal information state, in our words."""
    token = transaction.app_account_token or (renewal.app_account_token if renewal is not None else None)
    is_reversed = notification is not None and notification.notification_type == "REFUND_REVERSED"
    return Statement(
        store=app.store,
        environment=_environment(_needed(transaction.environment, "environment")),
        line=_needed(transaction.original_transaction_id, "originalTransactionId"),
        purchases=(_purchase(transaction, is_reversed=is_reversed),),
        renewals=(_renewal(transaction, renewal, status, notification),) if renewal is not None else (),
        customer_hint=token.lower() if token else None,
        original_purchased_at=_original(transaction),
    )


def _original(transaction: Transaction) -> datetime | None:
    said = transaction.original_purchase_date
    return None if said is None else reading.aside("originalPurchaseDate", said, lambda: reading.milliseconds(said, "originalPurchaseDate"))


def _purchase(transaction: Transaction, *, is_reversed: bool) -> Purchase:
    identifier = _needed(transaction.transaction_id, "transactionId")
    kind = _kind(transaction)
    is_first = identifier == transaction.original_transaction_id
    ownership: Ownership = "family_shared" if transaction.in_app_ownership_type == "FAMILY_SHARED" else "purchased"
    return Purchase(
        transaction=identifier,
        product=_needed(transaction.product_id, "productId"),
        kind=kind,
        purchased_at=_moment(transaction.purchase_date, "purchaseDate"),
        expires_at=_expiry(transaction, kind),
        as_of=_moment(transaction.signed_date, "signedDate"),
        is_first=is_first,
        is_renewal=_is_renewal(transaction, kind, is_first=is_first),
        period_type=_period_type(transaction),
        ownership=ownership,
        price=_price(transaction) if ownership == "purchased" else None,
        quantity=reading.quantity(transaction.quantity),
        offer=_offer(transaction),
        country=ALPHA_2.get(transaction.storefront or ""),
        revocation=None if is_reversed else _revocation(transaction, ownership),
        is_superseded=transaction.is_upgraded is True,  # absent, not false, when not upgraded
    )


def _kind(transaction: Transaction) -> Kind:
    kind = _KINDS.get(transaction.type or "")
    if kind is not None:
        return kind
    note("type", transaction.type)
    return "subscription" if transaction.expires_date is not None else "non_consumable"


def _expiry(transaction: Transaction, kind: Kind) -> datetime | None:
    if kind == "subscription" or transaction.expires_date is not None:
        return _moment(transaction.expires_date, "expiresDate")
    return None


def _is_renewal(transaction: Transaction, kind: Kind, *, is_first: bool) -> bool:
    """Transactions from before 2023 have no reason: every charge of a subscription after its first counts as a renewal then."""
    if transaction.transaction_reason is not None:
        return transaction.transaction_reason == "RENEWAL"
    return kind == "subscription" and not is_first


def _period_type(transaction: Transaction) -> PeriodType:
    """Free is what the discount says, whichever offer gave it. Old transactions name only the offer; an introductory one counts as paid."""
    if transaction.offer_discount_type == "FREE_TRIAL":
        return "trial"
    return "intro" if transaction.offer_type == 1 else "normal"


def _offer(transaction: Transaction) -> Offer | None:
    if transaction.offer_type is None:
        return None
    if transaction.offer_type not in _OFFERS:
        note("offerType", transaction.offer_type)
    unknown = f"unknown_{transaction.offer_type}" if 0 <= transaction.offer_type < 100 else "unspecified"
    return Offer(kind=_OFFERS.get(transaction.offer_type, unknown), identifier=transaction.offer_identifier)


def _price(transaction: Transaction) -> Money | None:
    """Transactions from before the App Store Server API 1.10 have neither price nor currency."""
    price, currency = transaction.price, transaction.currency
    if price is None or currency is None:
        return None
    if not price >= 0:
        note("price", price)
        return None
    whole = round(price) if price < reading.MOST_MAJOR * _MILLI else price
    return reading.aside("price", {"price": price, "currency": currency}, lambda: reading.parts(whole, _MILLI, currency, "price"))


def _revocation(transaction: Transaction, ownership: Ownership) -> Revocation | None:
    """`revocationPercentage` counts thousandths of a percent: 50000 is half the price. Without one, all of it was given back."""
    if transaction.revocation_date is None:
        return None
    at = _moment(transaction.revocation_date, "revocationDate")
    if ownership == "family_shared" or transaction.revocation_type == "FAMILY_REVOKE":
        return Revocation(at=at, refunded=False)
    percentage = transaction.revocation_percentage
    if percentage is None:
        return Revocation(at=at, refunded=True)
    if not 0 <= percentage <= _WHOLE_PERCENTAGE:
        note("revocationPercentage", percentage)
    return Revocation(at=at, refunded=True, share_ppm=round(min(max(percentage, 0), _WHOLE_PERCENTAGE) * 10))


def _renewal(transaction: Transaction, renewal: RenewalInfo, status: int | None, notification: Notification | None) -> Renewal:
    as_of = _moment(renewal.signed_date, "signedDate")
    is_elsewhere = _is_about_another_period(transaction, renewal, notification)
    ended = _ended(renewal, status, notification, is_elsewhere=is_elsewhere)
    auto_renew = _auto_renew(transaction, renewal, has_ended=ended is not None)
    grace_until = _moment(renewal.grace_period_expires_date, "gracePeriodExpiresDate") if renewal.grace_period_expires_date is not None else None
    revoked_at = None if is_elsewhere else _revoked_at(transaction, status, notification)
    return Renewal(
        as_of=as_of,
        transaction="" if is_elsewhere else _needed(transaction.transaction_id, "transactionId"),
        auto_renew=auto_renew,
        next_product=_next_product(transaction, renewal),
        off_reason=_INTENTS.get(renewal.expiration_intent or 1, "unknown") if auto_renew is False else None,
        in_billing_retry=renewal.is_in_billing_retry_period is True or status in (BILLING_RETRY, GRACE),
        grace_until=min(grace_until, as_of) if grace_until is not None and ended is not None else grace_until,  # an end ends grace too
        ended="customer_support" if revoked_at is not None else ended,
        ended_at=revoked_at,
        price_consent=_CONSENTS.get(renewal.price_increase_status) if renewal.price_increase_status is not None else None,
    )


def _revoked_at(transaction: Transaction, status: int | None, notification: Notification | None) -> datetime | None:
    """Since when the line as a whole is revoked, earlier periods that still run with it: a family's sharing ended, or Apple calls it revoked."""
    kind = notification.notification_type if notification is not None else ""
    if transaction.revocation_date is None or transaction.expires_date is None or kind == "REFUND_REVERSED":
        return None
    is_family = transaction.in_app_ownership_type == "FAMILY_SHARED" or transaction.revocation_type == "FAMILY_REVOKE"
    is_over = is_family or status == REVOKED or kind == "REVOKE"
    return _moment(transaction.revocation_date, "revocationDate") if is_over else None


def _is_about_another_period(transaction: Transaction, renewal: RenewalInfo, notification: Notification | None) -> bool:
    """`renewalDate` is the end of the newest period (later while billing is retried), `productId` its product."""
    if notification is not None and notification.notification_type in _MAY_CARRY_AN_OLD_TRANSACTION:
        return True
    if renewal.product_id is not None and renewal.product_id != transaction.product_id:
        return True
    if renewal.renewal_date is None or transaction.expires_date is None:
        return False
    later_by = renewal.renewal_date - transaction.expires_date
    return not (later_by == 0 or (renewal.is_in_billing_retry_period is True and 0 < later_by <= _RETRY_MS))


def _ended(renewal: RenewalInfo, status: int | None, notification: Notification | None, *, is_elsewhere: bool) -> EndReason | None:
    """The store's own word that a period ended and nothing followed; of another period only where the status itself says expired."""
    kind, has_expired = (notification.kind, notification.notification_type == "EXPIRED") if notification is not None else ("", False)
    if status == EXPIRED or (has_expired and not is_elsewhere):
        by_subtype = _EXPIRY_SUBTYPES.get(notification.subtype or "", "unknown") if notification is not None and has_expired else "unknown"
        return _INTENTS.get(renewal.expiration_intent or 0, by_subtype)
    if not is_elsewhere and (status == BILLING_RETRY or kind in _BILLING_FAILED):
        return "billing_error"
    return None


def _auto_renew(transaction: Transaction, renewal: RenewalInfo, *, has_ended: bool) -> bool | None:
    """Whether another charge follows. Months of a commitment that remain are charged whatever the customer chose for the time after."""
    status = renewal.auto_renew_status
    commitment = transaction.commitment_info
    if commitment is not None and commitment.billing_period_number is not None and commitment.total_billing_periods is not None and not has_ended:
        if commitment.billing_period_number < commitment.total_billing_periods:
            return True
        if renewal.commitment_info is not None and renewal.commitment_info.commitment_auto_renew_status is not None:
            status = renewal.commitment_info.commitment_auto_renew_status
    if status is not None and status not in _RENEWS:
        note("autoRenewStatus", status)
    return None if status is None else _RENEWS.get(status)


def _next_product(transaction: Transaction, renewal: RenewalInfo) -> str | None:
    present = renewal.product_id or transaction.product_id
    return renewal.auto_renew_product_id if renewal.auto_renew_product_id not in (None, present) else None


def _moment(milliseconds: Number | None, field: str) -> datetime:
    if milliseconds is None:
        raise Invalid(f"the signed payload lacks `{field}`", param=field)
    return reading.milliseconds(milliseconds, field)


def _needed(text: str | None, field: str) -> str:
    if not text:
        raise Invalid(f"the signed payload lacks `{field}`", param=field)
    return text
