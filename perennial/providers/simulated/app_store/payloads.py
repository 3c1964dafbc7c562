"""The simulated store's payloads, field by field as Apple signs them (App Store Server API 1.21), and the signed messages around them.

Moments are epoch milliseconds, prices thousandths of the major unit. What Apple leaves out is left out, not null.
"""

from datetime import datetime

import msgspec

from perennial.base.money import Money
from perennial.base.time import to_ms
from perennial.intake.model import StoreApp
from perennial.providers.apple import SigningAuthority
from perennial.providers.simulated.app_store.model import Charge, Draft, Offer, Payload, Subscription

ENVIRONMENT = "Sandbox"
GROUP = "20000000"  # all subscriptions of an app are in one group
ACTIVE, EXPIRED, BILLING_RETRY, GRACE, REVOKED = 1, 2, 3, 4, 5

_OFFER_TYPES = {"introductory": 1, "promotional": 2, "offer_code": 3, "win_back": 4}
_INTENTS = {"voluntary": 1, "billing": 2, "price_increase": 3, "revoked": None}
# Numbers of the storefronts asked for most; others go without, as in Apple's older payloads.
_STOREFRONT_IDS = {"USA": "143441", "FRA": "143442", "DEU": "143443", "GBR": "143444", "CAN": "143455", "AUS": "143460", "JPN": "143462"}


def milliunits(money: Money) -> int:
    return int(money.major * 1000)


def status(line: Subscription) -> int:
    """`data.status` of Apple: what the line is now."""
    if line.ending == "revoked":
        return REVOKED
    if line.ending is not None:
        return EXPIRED
    if current(line).revoked is not None:
        return REVOKED
    if line.trouble is not None:
        return GRACE if line.trouble.grace_until is not None and not line.trouble.is_grace_over else BILLING_RETRY
    return ACTIVE


def current(line: Subscription) -> Charge:
    """The charge that speaks for the line: the last one that no upgrade replaced."""
    return next(charge for charge in reversed(line.charges) if not charge.is_upgraded)


def transaction_payload(line: Subscription, charge: Charge, signed_at: datetime) -> Payload:
    """`JWSTransactionDecodedPayload` without the app's name."""
    is_subscription = line.type == "Auto-Renewable Subscription"
    payload: Payload = {
        "transactionId": charge.transaction,
        "originalTransactionId": line.store_line,
        "appTransactionId": _app_transaction_id(line),
        "webOrderLineItemId": "1" + charge.transaction[1:] if is_subscription else None,
        "productId": charge.product,
        "subscriptionGroupIdentifier": GROUP if is_subscription else None,
        "purchaseDate": to_ms(charge.purchased_at),
        "originalPurchaseDate": to_ms(line.charges[0].purchased_at),
        "expiresDate": to_ms(charge.expires_at) if charge.expires_at is not None else None,
        "quantity": 1,
        "type": line.type,
        "appAccountToken": line.app_account_token,
        "inAppOwnershipType": "FAMILY_SHARED" if line.is_family_shared else "PURCHASED",
        "signedDate": to_ms(signed_at),
        "environment": ENVIRONMENT,
        "transactionReason": "RENEWAL" if charge.is_renewal else "PURCHASE",
        "storefront": line.storefront,
        "storefrontId": _STOREFRONT_IDS.get(line.storefront),
        "price": milliunits(charge.price),
        "currency": charge.price.currency,
        "isUpgraded": charge.is_upgraded or None,
        **_offer_fields(charge.offer),
        **_revocation_fields(charge),
    }
    return _told(payload)


def _revocation_fields(charge: Charge) -> Payload:
    revoked = charge.revoked
    if revoked is None:
        return {}
    fields: Payload = {"revocationDate": to_ms(revoked.at), "revocationReason": 0}
    if revoked.is_family:
        return fields | {"revocationType": "FAMILY_REVOKE"}
    kind = "REFUND_FULL" if revoked.share_ppm == 1_000_000 else "REFUND_PRORATED"
    return fields | {"revocationType": kind, "revocationPercentage": revoked.share_ppm // 10}


def renewal_payload(line: Subscription, signed_at: datetime) -> Payload:
    """`JWSRenewalInfoDecodedPayload`. There is no renewal price where auto-renew is off."""
    now, following = current(line), line.next_plan or line.plan
    in_grace = status(line) == GRACE
    payload: Payload = {
        "originalTransactionId": line.store_line,
        "appTransactionId": _app_transaction_id(line),
        "appAccountToken": line.app_account_token,
        "productId": now.product,
        "autoRenewProductId": following.product,
        "autoRenewStatus": int(line.auto_renew),
        "signedDate": to_ms(signed_at),
        "environment": ENVIRONMENT,
        "recentSubscriptionStartDate": to_ms(line.run_started_at),
        "renewalDate": to_ms(now.expires_at) if now.expires_at is not None else None,
        "renewalPrice": milliunits(_next_price(line)) if line.auto_renew else None,
        "currency": following.price.currency,
        "expirationIntent": _intent(line),
        "isInBillingRetryPeriod": True if line.trouble is not None else False if line.ending is not None else None,
        "gracePeriodExpiresDate": to_ms(line.trouble.grace_until) if in_grace and line.trouble is not None and line.trouble.grace_until else None,
        "priceIncreaseStatus": int(line.price_notice.is_accepted) if line.price_notice is not None else None,
        **(_offer_fields(line.next_offer) if line.auto_renew else {}),
    }
    return _told(payload)


def _next_price(line: Subscription) -> Money:
    """What the next renewal will cost: by the offer, the new price, or the plan."""
    plan = line.next_plan or line.plan
    if line.next_offer is not None:
        return line.next_offer.price or Money(amount=0, currency=plan.price.currency)
    return line.price_notice.price if line.price_notice is not None and line.next_plan is None else plan.price


def _intent(line: Subscription) -> int | None:
    if line.ending is not None:
        return _INTENTS[line.ending]
    return _INTENTS["billing"] if status(line) == BILLING_RETRY else None


def _offer_fields(offer: Offer | None) -> Payload:
    if offer is None:
        return {}
    return {
        "offerType": _OFFER_TYPES[offer.kind],
        "offerIdentifier": offer.identifier if offer.kind != "introductory" else None,
        "offerDiscountType": offer.discount,
        "offerPeriod": offer.period,
    }


def _app_transaction_id(line: Subscription) -> str:
    return "7" + line.store_line[1:]


def _told(payload: Payload) -> Payload:
    return {name: content for name, content in payload.items() if content is not None}


# Signing ----------------------------------------------------------------------------------------------------------------------


def sign_transaction(pen: SigningAuthority, app: StoreApp, payload: Payload) -> str:
    return pen.sign(payload | {"bundleId": app.bundle_id})


def notification(pen: SigningAuthority, app: StoreApp, draft: Draft) -> str:
    """The `signedPayload` of a notification: the outer signature around the inner ones."""
    data: Payload = {
        "environment": ENVIRONMENT,
        "appAppleId": app.app_apple_id,
        "bundleId": app.bundle_id,
        "bundleVersion": "1",
        "signedTransactionInfo": sign_transaction(pen, app, draft.transaction) if draft.transaction is not None else None,
        "signedRenewalInfo": pen.sign(draft.renewal) if draft.renewal is not None else None,
        "status": draft.status,
        "consumptionRequestReason": draft.consumption_request_reason,
    }
    outer: Payload = {
        "notificationType": draft.type,
        "subtype": draft.subtype,
        "notificationUUID": draft.uuid,
        "version": "2.0",
        "signedDate": to_ms(draft.signed_at),
        "data": _told(data),
    }
    return pen.sign(_told(outer))


def body(pen: SigningAuthority, app: StoreApp, draft: Draft) -> bytes:
    """What the App Store posts."""
    return msgspec.json.encode({"signedPayload": notification(pen, app, draft)})
