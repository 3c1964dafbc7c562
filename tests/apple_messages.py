"""The messages of a `Life` as Apple signs them: real JWS, with a root of the test's own that its sandbox project trusts."""

from typing import Any

import msgspec

from perennial.base.ids import told_id
from perennial.base.time import to_ms
from perennial.providers.apple.signer import SigningAuthority
from perennial.subscriptions.model import Purchase, Renewal, Statement
from tests.world import BUNDLE, World

_INTENTS = {"unsubscribe": 1, "billing_error": 2, "price_increase": 3, "developer": 4}


def notification(pen: SigningAuthority, statement: Statement, *, line: str, token: str | None = None) -> bytes:
    """The body Apple would post for what this statement says, under another line id so that many lives stay apart."""
    [purchase] = statement.purchases
    renewal = statement.renewals[0] if statement.renewals else None
    kind, subtype, status = _kind(purchase, renewal)
    data: dict[str, Any] = {
        "environment": "Sandbox",
        "bundleId": BUNDLE,
        "signedTransactionInfo": pen.sign(transaction(purchase, line=line, token=token)),
    }
    if renewal is not None:
        data |= {"status": status, "signedRenewalInfo": pen.sign(_renewal(purchase, renewal, line=line))}
    payload = {
        "notificationType": kind,
        "subtype": subtype,
        "notificationUUID": told_id("notification", line, repr(statement)),
        "version": "2.0",
        "signedDate": to_ms(purchase.as_of),
        "data": data,
    }
    return msgspec.json.encode({"signedPayload": pen.sign({name: one for name, one in payload.items() if one is not None})})


def _kind(purchase: Purchase, renewal: Renewal | None) -> tuple[str, str | None, int]:
    if renewal is None:
        return ("REFUND" if purchase.revocation else "DID_CHANGE_RENEWAL_PREF" if purchase.is_superseded else "REFUND_REVERSED"), None, 1
    if renewal.ended and not renewal.in_billing_retry:
        return "EXPIRED", "BILLING_RETRY" if renewal.ended == "billing_error" else "VOLUNTARY", 2
    if renewal.in_billing_retry:
        return ("DID_FAIL_TO_RENEW", None, 3) if renewal.ended else ("DID_FAIL_TO_RENEW", "GRACE_PERIOD", 4)
    if renewal.auto_renew is False:
        return "DID_CHANGE_RENEWAL_STATUS", "AUTO_RENEW_DISABLED", 1
    return ("SUBSCRIBED", "INITIAL_BUY", 1) if purchase.is_first else ("DID_RENEW", None, 1)


def transaction(purchase: Purchase, *, line: str, token: str | None = None) -> dict[str, Any]:
    """The payload of one signed transaction."""
    payload: dict[str, Any] = {
        "transactionId": line if purchase.is_first else f"{line}{purchase.transaction}",
        "originalTransactionId": line,
        "bundleId": BUNDLE,
        "productId": purchase.product,
        "type": "Auto-Renewable Subscription",
        "purchaseDate": to_ms(purchase.purchased_at),
        "expiresDate": to_ms(purchase.expires_at) if purchase.expires_at else None,
        "quantity": 1,
        "signedDate": to_ms(purchase.as_of),
        "inAppOwnershipType": "PURCHASED",
        "environment": "Sandbox",
        "transactionReason": "RENEWAL" if purchase.is_renewal else "PURCHASE",
        "storefront": "USA",
        "appAccountToken": token,
    }
    if purchase.price is not None:
        payload |= {"price": purchase.price.amount * 10, "currency": purchase.price.currency}
    if purchase.period_type == "trial":
        payload |= {"offerType": 1, "offerDiscountType": "FREE_TRIAL"}
    if purchase.revocation is not None:
        payload |= {"revocationDate": to_ms(purchase.revocation.at), "revocationReason": 0, "revocationType": "REFUND_FULL"}
    if purchase.is_superseded:
        payload["isUpgraded"] = True
    return {name: one for name, one in payload.items() if one is not None}


def _renewal(purchase: Purchase, renewal: Renewal, *, line: str) -> dict[str, Any]:
    payload: dict[str, Any] = {
        "originalTransactionId": line,
        "productId": purchase.product,
        "autoRenewProductId": renewal.next_product or purchase.product,
        "autoRenewStatus": int(renewal.auto_renew is not False),
        "isInBillingRetryPeriod": renewal.in_billing_retry,
        "signedDate": to_ms(renewal.as_of),
        "environment": "Sandbox",
        "renewalDate": to_ms(purchase.expires_at) if purchase.expires_at else None,
    }
    if renewal.grace_until is not None:
        payload["gracePeriodExpiresDate"] = to_ms(renewal.grace_until)
    if renewal.ended and not renewal.in_billing_retry:
        payload["expirationIntent"] = _INTENTS[renewal.ended]
    return {name: one for name, one in payload.items() if one is not None}


async def trust(world: World, pen: SigningAuthority) -> None:
    """The test's sandbox project opts in to a pen of the test's own."""
    async with world.app.database.transaction(world.project_id) as tx:
        await tx.execute(
            "INSERT INTO simulated_store (project_id, app_id, pen, root) VALUES (%(project_id)s, %(app_id)s, %(pen)s, %(root)s)",
            project_id=tx.project_id,
            app_id=world.app_ids["app_store"],
            pen=b"",
            root=pen.root_der,
        )
