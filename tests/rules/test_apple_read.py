"""What the App Store signs, in our words: every notification, every field that decides something, and everything that must not pass."""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.base.errors import Invalid, NotConfigured
from perennial.base.ids import AppId, ProjectId
from perennial.base.money import Money
from perennial.base.reading import LATEST, noting
from perennial.base.time import EPOCH, from_ms, to_ms
from perennial.base.value import replace
from perennial.intake.model import Envelope, Posted, Reading, StoreApp, Untrusted
from perennial.providers.apple import AppStore, jws, read
from perennial.providers.apple.countries import ALPHA_2
from perennial.providers.apple.signer import SigningAuthority
from perennial.subscriptions.model import Offer, Purchase, Renewal, Revocation, Statement

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
AUTHORITY = SigningAuthority.create(NOW)
APP = StoreApp(
    project_id=ProjectId("proj_1"),
    app_id=AppId("app_1"),
    store="app_store",
    bundle_id="com.example.app",
    app_apple_id=4242,
    simulated_roots=(AUTHORITY.root_der,),
)
STORE = AppStore()
DAY = timedelta(days=1)
BEGAN, ENDS = NOW - 10 * DAY, NOW + 20 * DAY
ORIGINALLY = BEGAN - 30 * DAY

TRANSACTION: dict[str, Any] = {
    "environment": "Sandbox",
    "bundleId": "com.example.app",
    "transactionId": "1002",
    "originalTransactionId": "1001",
    "webOrderLineItemId": "77",
    "productId": "pro_monthly",
    "subscriptionGroupIdentifier": "21",
    "type": "Auto-Renewable Subscription",
    "purchaseDate": to_ms(BEGAN),
    "originalPurchaseDate": to_ms(ORIGINALLY),
    "expiresDate": to_ms(ENDS),
    "quantity": 1,
    "signedDate": to_ms(NOW),
    "inAppOwnershipType": "PURCHASED",
    "transactionReason": "RENEWAL",
    "storefront": "DEU",
    "price": 10990,
    "currency": "EUR",
    "appAccountToken": "7E3FB20B-4CDB-47CC-936D-99D65F608138",
}
RENEWAL: dict[str, Any] = {
    "environment": "Sandbox",
    "originalTransactionId": "1001",
    "productId": "pro_monthly",
    "autoRenewProductId": "pro_monthly",
    "autoRenewStatus": 1,
    "renewalDate": to_ms(ENDS),
    "signedDate": to_ms(NOW) - 1000,
}
PURCHASE = Purchase(
    transaction="1002",
    product="pro_monthly",
    kind="subscription",
    purchased_at=BEGAN,
    expires_at=ENDS,
    as_of=NOW,
    is_first=False,
    is_renewal=True,
    price=Money(amount=1099, currency="EUR"),
    country="DE",
)
SNAPSHOT = Renewal(as_of=NOW - timedelta(seconds=1), transaction="1002", auto_renew=True)


def read_receipt(app: StoreApp, token: str, now: datetime) -> Reading:
    """Nobody is asked, so nothing is waited for."""
    return asyncio.run(STORE.read_receipt(app, Posted(token=token), now))


def without_nones(content: dict[str, Any]) -> dict[str, Any]:
    return {key: one for key, one in content.items() if one is not None}


def transaction(**changes: object) -> str:
    return AUTHORITY.sign(without_nones(TRANSACTION | changes))


def renewal(**changes: object) -> str:
    return AUTHORITY.sign(without_nones(RENEWAL | changes))


def data(**changes: object) -> dict[str, Any]:
    whole = {
        "environment": "Sandbox",
        "bundleId": "com.example.app",
        "appAppleId": 4242,
        "status": 1,
        "signedTransactionInfo": transaction(),
        "signedRenewalInfo": renewal(),
    }
    return without_nones(whole | changes)


def body(kind: str, subject: dict[str, Any] | None = None, **changes: object) -> bytes:
    """A posted notification of `kind` (TYPE or TYPE/SUBTYPE) about `subject` (by default, `data`)."""
    type_, _, subtype = kind.partition("/")
    content = {
        "notificationType": type_,
        "subtype": subtype or None,
        "notificationUUID": "9ad56bd2-0bc6-42e0-af24-fd996d87a1e6",
        "version": "2.0",
        "signedDate": to_ms(NOW),
        **({"data": data()} if subject is None else subject),
    }
    return json.dumps({"signedPayload": AUTHORITY.sign(without_nones(content | changes))}).encode()


def tell(kind: str, *, status: int | None = 1, of: str | None = None, renews: str | None = None, **changes: object) -> Reading:
    """Read a notification of `kind` with this transaction, renewal information and status."""
    subject = data(status=status, signedTransactionInfo=of or transaction(), signedRenewalInfo=renews or renewal(), **changes)
    return STORE.read(APP, body(kind, {"data": subject}), NOW)


def purchase(**changes: object) -> Purchase:
    """What a device's signed transaction with these changes states."""
    return read_receipt(APP, transaction(**changes), NOW).statements[0].purchases[0]


def snapshot(kind: str = "DID_RENEW", *, status: int | None = 1, of: str | None = None, **changes: Any) -> Renewal:
    return tell(kind, status=status, of=of, renews=renewal(**changes)).statements[0].renewals[0]


# The whole of it


def test_a_renewal_notification_states_its_period_and_how_it_will_go_on() -> None:
    assert STORE.read(APP, body("DID_RENEW"), NOW) == Reading(
        statements=(
            Statement(
                store="app_store",
                environment="sandbox",
                line="1001",
                purchases=(PURCHASE,),
                renewals=(SNAPSHOT,),
                customer_hint="7e3fb20b-4cdb-47cc-936d-99d65f608138",
                original_purchased_at=ORIGINALLY,
            ),
        )
    )


@pytest.mark.parametrize("said", [None, "soon", [], 10**30])
def test_an_original_date_that_is_none_loses_no_purchase(said: object) -> None:
    (one,) = tell("DID_RENEW", of=transaction(originalPurchaseDate=said)).statements
    assert one.purchases == (PURCHASE,)
    assert one.original_purchased_at in (None, LATEST)


def test_the_envelope_has_the_stores_own_id_kind_and_moment() -> None:
    opened = STORE.open(APP, body("DID_CHANGE_RENEWAL_PREF/UPGRADE"), {}, NOW)
    assert opened == Envelope(message_id="9ad56bd2-0bc6-42e0-af24-fd996d87a1e6", kind="DID_CHANGE_RENEWAL_PREF/UPGRADE", sent_at=NOW)


def test_a_message_opened_and_then_read_checks_its_chain_once() -> None:
    jws._chains.clear()
    posted = body("DID_RENEW")
    STORE.open(APP, posted, {}, NOW)
    STORE.read(APP, posted, NOW)
    assert len(jws._chains) == 1  # outer message, transaction and renewal information carry the same header


def test_the_store_is_the_apps_store() -> None:
    assert STORE.read(replace(APP, store="mac_app_store"), body("DID_RENEW"), NOW).statements[0].store == "mac_app_store"


# Every type and subtype

WITH_A_TRANSACTION = """
    SUBSCRIBED/INITIAL_BUY SUBSCRIBED/RESUBSCRIBE DID_RENEW DID_RENEW/BILLING_RECOVERY DID_FAIL_TO_RENEW DID_FAIL_TO_RENEW/GRACE_PERIOD
    GRACE_PERIOD_EXPIRED DID_CHANGE_RENEWAL_STATUS/AUTO_RENEW_DISABLED DID_CHANGE_RENEWAL_STATUS/AUTO_RENEW_ENABLED DID_CHANGE_RENEWAL_STATUS
    DID_CHANGE_RENEWAL_PREF/UPGRADE DID_CHANGE_RENEWAL_PREF/DOWNGRADE DID_CHANGE_RENEWAL_PREF OFFER_REDEEMED OFFER_REDEEMED/UPGRADE
    OFFER_REDEEMED/DOWNGRADE PRICE_INCREASE/PENDING PRICE_INCREASE/ACCEPTED EXPIRED/VOLUNTARY EXPIRED/BILLING_RETRY EXPIRED/PRICE_INCREASE
    EXPIRED/PRODUCT_NOT_FOR_SALE EXPIRED REFUND REFUND_REVERSED REFUND_DECLINED CONSUMPTION_REQUEST REVOKE RENEWAL_EXTENDED
    RENEWAL_EXTENSION/FAILURE ONE_TIME_CHARGE PRICE_CHANGE METADATA_UPDATE MIGRATION
""".split()  # noqa: SIM905  a list of words reads better


@pytest.mark.parametrize("kind", WITH_A_TRANSACTION)
def test_every_kind_with_a_transaction_states_it_and_asks_only_where_more_is_known(kind: str) -> None:
    reading = tell(kind)
    assert [one.purchases for one in reading.statements] == [(PURCHASE,)]
    assert reading.note is None
    assert bool(reading.questions) is (kind in {"REFUND", "REFUND_REVERSED", "REVOKE"})


@pytest.mark.parametrize("kind", ["SOMETHING_NEW", "SOMETHING_NEW/AND_MORE", "DID_RENEW/SOMETHING_NEW", "SUBSCRIBED"])
def test_a_kind_we_do_not_know_states_what_it_carries_and_has_the_store_asked(kind: str) -> None:
    reading = tell(kind)
    assert [one.purchases for one in reading.statements] == [(PURCHASE,)]
    assert reading.questions


IDS = {"environment": "Sandbox", "bundleId": "com.example.app", "appAppleId": 4242}
TOKEN = {"externalPurchaseId": "SANDBOX_1", "tokenCreationDate": to_ms(NOW), "bundleId": "com.example.app", "appAppleId": 4242}
COUNTS = {"productId": "pro_monthly", "requestIdentifier": "r", "storefrontCountryCodes": ["USA"], "succeededCount": 5, "failedCount": 2}


@pytest.mark.parametrize(
    ("kind", "subject", "note"),
    [
        ("TEST", {"data": IDS}, "TEST: carries no transaction"),
        (
            "RENEWAL_EXTENSION/SUMMARY",
            {"summary": IDS | COUNTS},
            "RENEWAL_EXTENSION/SUMMARY: 5 renewal dates of pro_monthly extended, 2 failed",
        ),
        (
            "EXTERNAL_PURCHASE_TOKEN/CREATED",
            {"externalPurchaseToken": TOKEN},
            "EXTERNAL_PURCHASE_TOKEN/CREATED: about reporting purchases made outside the App Store",
        ),
        (
            "EXTERNAL_PURCHASE_TOKEN/UNREPORTED",
            {"externalPurchaseToken": TOKEN},
            "EXTERNAL_PURCHASE_TOKEN/UNREPORTED: about reporting purchases made outside the App Store",
        ),
        (
            "EXTERNAL_PURCHASE_TOKEN/ACTIVE_TOKEN_REMINDER",
            {"externalPurchaseToken": TOKEN},
            "EXTERNAL_PURCHASE_TOKEN/ACTIVE_TOKEN_REMINDER: about reporting purchases made outside the App Store",
        ),
        ("RESCIND_CONSENT", {"appData": IDS}, "RESCIND_CONSENT: about a download of the app"),
        (
            "PRICE_INCREASE/PENDING",
            {"data": IDS | {"signedRenewalInfo": renewal()}},
            "PRICE_INCREASE/PENDING: renewal information without the transaction that says whose it is",
        ),
    ],
)
def test_what_carries_no_transaction_changes_nothing_and_says_why(kind: str, subject: dict[str, Any], note: str) -> None:
    assert STORE.read(APP, body(kind, subject), NOW) == Reading(note=note)
    assert STORE.open(APP, body(kind, subject), {}, NOW).kind == kind


def test_consent_rescinded_verifies_the_download_it_speaks_of() -> None:
    proof = {"receiptType": "Sandbox", "bundleId": "com.example.app", "receiptCreationDate": to_ms(NOW)}
    subject = {"appData": IDS | {"signedAppTransactionInfo": AUTHORITY.sign(proof)}}
    assert STORE.read(APP, body("RESCIND_CONSENT", subject), NOW).note == "RESCIND_CONSENT: about a download of the app"
    for wrong in ({"bundleId": "com.other"}, {"receiptType": "Production"}, {"receiptCreationDate": None}):
        subject = {"appData": IDS | {"signedAppTransactionInfo": AUTHORITY.sign(without_nones(proof | wrong))}}
        with pytest.raises(Untrusted):
            STORE.read(APP, body("RESCIND_CONSENT", subject), NOW)


# Purchases


@pytest.mark.parametrize(
    ("changes", "period_type", "offer"),
    [
        ({}, "normal", None),
        ({"offerType": 1, "offerDiscountType": "FREE_TRIAL"}, "trial", Offer(kind="introductory")),
        ({"offerType": 1, "offerDiscountType": "PAY_AS_YOU_GO"}, "intro", Offer(kind="introductory")),
        ({"offerType": 1, "offerDiscountType": "PAY_UP_FRONT"}, "intro", Offer(kind="introductory")),
        ({"offerType": 1}, "intro", Offer(kind="introductory")),
        ({"offerType": 2, "offerIdentifier": "save", "offerDiscountType": "PAY_UP_FRONT"}, "normal", Offer(kind="promotional", identifier="save")),
        ({"offerType": 3, "offerIdentifier": "CODE", "offerDiscountType": "FREE_TRIAL"}, "trial", Offer(kind="offer_code", identifier="CODE")),
        ({"offerType": 4, "offerIdentifier": "back", "offerDiscountType": "FREE_TRIAL"}, "trial", Offer(kind="win_back", identifier="back")),
        ({"offerType": 9}, "normal", Offer(kind="unknown_9")),
    ],
)
def test_a_trial_is_what_costs_nothing_whichever_offer_gave_it(changes: dict[str, object], period_type: str, offer: Offer | None) -> None:
    stated = purchase(**changes)
    assert (stated.period_type, stated.offer) == (period_type, offer)


def test_a_non_renewing_subscription_may_say_when_it_ends() -> None:
    assert purchase(type="Non-Renewing Subscription").expires_at == ENDS


@pytest.mark.parametrize(
    ("type_", "kind"),
    [("Non-Consumable", "non_consumable"), ("Consumable", "consumable"), ("Non-Renewing Subscription", "non_renewing")],
)
def test_one_time_purchases_do_not_end(type_: str, kind: str) -> None:
    stated = purchase(type=type_, expiresDate=None, transactionReason=None, quantity=3)
    assert (stated.kind, stated.expires_at, stated.is_renewal, stated.quantity) == (kind, None, False, 3)


@pytest.mark.parametrize(
    ("price", "currency", "amount"),
    [
        (10990, "USD", 1099),
        (1_200_000, "JPY", 1200),
        (1500, "KWD", 1500),
        (0, "EUR", 0),
        (4995, "EUR", 500),
        (4985, "EUR", 498),
        (10990.0, "USD", 1099),
    ],
)
def test_prices_are_thousandths_of_the_major_unit_in_every_currency(price: float, currency: str, amount: int) -> None:
    assert purchase(price=price, currency=currency).price == Money(amount=amount, currency=currency)


@pytest.mark.parametrize("missing", ["price", "currency"])
def test_old_transactions_have_no_price(missing: str) -> None:
    assert purchase(**{missing: None}).price is None


def test_a_family_member_pays_nothing() -> None:
    stated = purchase(inAppOwnershipType="FAMILY_SHARED")
    assert (stated.ownership, stated.price) == ("family_shared", None)


@pytest.mark.parametrize(("storefront", "country"), [("USA", "US"), ("AUT", "AT"), ("XKS", "XK"), ("ZZZ", None), (None, None)])
def test_storefronts_become_two_letter_countries(storefront: str | None, country: str | None) -> None:
    assert purchase(storefront=storefront).country == country


def test_the_countries_are_those_of_iso_3166_and_kosovo() -> None:
    assert len(ALPHA_2) == len(set(ALPHA_2.values())) == 250
    assert {len(code) for code in ALPHA_2} == {3}
    assert {len(code) for code in ALPHA_2.values()} == {2}


@pytest.mark.parametrize(
    ("changes", "revocation"),
    [
        ({"revocationReason": 1}, None),
        ({"revocationDate": to_ms(NOW)}, Revocation(at=NOW, refunded=True, share_ppm=1_000_000)),
        ({"revocationDate": to_ms(NOW), "revocationType": "REFUND_FULL"}, Revocation(at=NOW, refunded=True)),
        (
            {"revocationDate": to_ms(NOW), "revocationType": "REFUND_PRORATED", "revocationPercentage": 50_000},
            Revocation(at=NOW, refunded=True, share_ppm=500_000),
        ),
        (
            {"revocationDate": to_ms(NOW), "revocationType": "REFUND_PRORATED", "revocationPercentage": 33_333},
            Revocation(at=NOW, refunded=True, share_ppm=333_330),
        ),
        ({"revocationDate": to_ms(NOW), "revocationPercentage": 0}, Revocation(at=NOW, refunded=True, share_ppm=0)),
        ({"revocationDate": to_ms(NOW), "revocationType": "FAMILY_REVOKE"}, Revocation(at=NOW, refunded=False)),
        ({"revocationDate": to_ms(NOW), "inAppOwnershipType": "FAMILY_SHARED"}, Revocation(at=NOW, refunded=False)),
    ],
)
def test_a_refund_is_told_from_family_access_taken_back(changes: dict[str, object], revocation: Revocation | None) -> None:
    assert purchase(**changes).revocation == revocation


def test_a_reversed_refund_restores_its_transaction_even_where_the_date_is_still_shown() -> None:
    refunded = transaction(revocationDate=to_ms(NOW))
    assert tell("REFUND", of=refunded).statements[0].purchases[0].revocation == Revocation(at=NOW, refunded=True)
    assert tell("REFUND_REVERSED", of=refunded).statements[0].purchases[0].revocation is None


@pytest.mark.parametrize(("said", "is_superseded"), [(True, True), (False, False), (None, False)])
def test_an_upgraded_transaction_is_superseded(said: bool | None, is_superseded: bool) -> None:
    assert purchase(isUpgraded=said).is_superseded is is_superseded


@pytest.mark.parametrize(
    ("changes", "is_first", "is_renewal"),
    [
        ({"transactionId": "1001", "transactionReason": "PURCHASE"}, True, False),
        ({"transactionReason": "PURCHASE"}, False, False),
        ({"transactionReason": "RENEWAL"}, False, True),
        ({"transactionReason": None}, False, True),
        ({"transactionId": "1001", "transactionReason": None}, True, False),
        ({"transactionReason": None, "type": "Consumable", "expiresDate": None}, False, False),
    ],
)
def test_renewals_are_told_from_purchases(changes: dict[str, object], is_first: bool, is_renewal: bool) -> None:
    stated = purchase(**changes)
    assert (stated.is_first, stated.is_renewal) == (is_first, is_renewal)


def test_the_customer_may_be_named_by_the_renewal_information_alone() -> None:
    stated = tell("DID_RENEW", of=transaction(appAccountToken=None), renews=renewal(appAccountToken="ABC")).statements[0]
    assert stated.customer_hint == "abc"
    assert tell("DID_RENEW", of=transaction(appAccountToken=None)).statements[0].customer_hint is None


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"transactionId": None}, "transactionId"),
        ({"originalTransactionId": None}, "originalTransactionId"),
        ({"transactionId": ""}, "transactionId"),
        ({"productId": None}, "productId"),
        ({"purchaseDate": None}, "purchaseDate"),
        ({"expiresDate": None}, "expiresDate"),
    ],
)
def test_a_transaction_without_what_it_needs_names_the_field(changes: dict[str, object], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        read.read_device_proof(APP, transaction(**changes), NOW)
    assert caught.value.param == field
    assert not isinstance(caught.value, Untrusted)


@pytest.mark.parametrize("field", ["purchaseDate", "expiresDate", "productId", "transactionId"])
def test_a_notification_that_lacks_what_it_needs_has_the_store_asked_about_its_line(field: str) -> None:
    reading = STORE.read(APP, body("DID_RENEW", {"data": data(signedTransactionInfo=transaction(**{field: None}), signedRenewalInfo=None)}), NOW)
    assert reading.statements == ()
    assert [one.subject for one in reading.questions] == ["1001"]
    assert reading.note is not None and field in reading.note


NEVER = datetime(9000, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("changes", "noted", "stated"),
    [
        ({"type": "Loan"}, ["type"], {"kind": "subscription"}),
        ({"type": None}, ["type"], {"kind": "subscription"}),
        ({"type": "Loan", "expiresDate": None}, ["type"], {"kind": "non_consumable", "expires_at": None}),
        ({"price": -1}, ["price"], {"price": None}),
        ({"price": 2**63}, ["price"], {"price": None}),
        ({"price": 1e300}, ["price"], {"price": None}),
        ({"currency": "USDX"}, ["price"], {"price": None}),
        ({"currency": "ÄÖÜ"}, ["price"], {"price": None}),
        ({"currency": 840}, ["price"], {"price": None}),
        ({"quantity": 0}, ["quantity"], {"quantity": 1}),
        ({"quantity": 2**31}, ["quantity"], {"quantity": 1}),
        ({"quantity": "many"}, ["quantity"], {"quantity": 1}),
        ({"expiresDate": 253_402_300_799_000}, [], {"expires_at": NEVER}),
        ({"expiresDate": 10**30}, [], {"expires_at": NEVER}),
        ({"purchaseDate": -62_135_596_800_000}, [], {"purchased_at": EPOCH}),
        ({"storefrontId": 143441}, [], {}),
        ({"storefrontId": [143441]}, ["storefrontId"], {}),
        ({"offerType": 10**30}, ["offerType"], {"offer": Offer(kind="unspecified")}),
        ({"revocationDate": 1_770_000_000_000, "revocationPercentage": 100_001}, ["revocationPercentage"], {}),
    ],
)
def test_what_is_unknown_or_out_of_range_is_left_aside_and_the_rest_is_recorded(
    changes: dict[str, object], noted: list[str], stated: dict[str, object]
) -> None:
    with noting() as unread:
        reading = STORE.read(APP, body("DID_RENEW", {"data": data(signedTransactionInfo=transaction(**changes), signedRenewalInfo=None)}), NOW)
    [purchase] = reading.statements[0].purchases
    assert [one.field for one in unread] == noted
    assert {name: getattr(purchase, name) for name in stated} == stated
    assert purchase.product == "pro_monthly"


def test_an_auto_renew_status_we_do_not_know_cancels_nothing_and_has_the_store_asked() -> None:
    with noting() as unread:
        reading = STORE.read(APP, body("DID_CHANGE_RENEWAL_STATUS", {"data": data(signedRenewalInfo=renewal(autoRenewStatus=2))}), NOW)
    [snapshot] = reading.statements[0].renewals
    assert (snapshot.auto_renew, snapshot.off_reason) == (None, None)
    assert [one.field for one in unread] == ["autoRenewStatus"]
    assert [one.subject for one in reading.questions] == ["1001"]


def test_an_environment_that_apple_has_come_to_sign_is_of_the_sandbox_and_asked_about(apples_own: StoreApp) -> None:
    signed = transaction(environment="Preview")
    reading = STORE.read(apples_own, notification({"data": data(environment="Preview", signedTransactionInfo=signed, signedRenewalInfo=None)}), NOW)
    assert [one.environment for one in reading.statements] == ["sandbox"]
    assert [one.hint for one in reading.questions] == ["of the environment Preview"]


# How it goes on


@pytest.mark.parametrize(
    ("changes", "auto_renew", "off_reason"),
    [
        ({"autoRenewStatus": 1}, True, None),
        ({"autoRenewStatus": None}, None, None),
        ({"autoRenewStatus": 0}, False, "unsubscribe"),
        ({"autoRenewStatus": 0, "expirationIntent": 1}, False, "unsubscribe"),
        ({"autoRenewStatus": 0, "expirationIntent": 2}, False, "billing_error"),
        ({"autoRenewStatus": 0, "expirationIntent": 3}, False, "price_increase"),
        ({"autoRenewStatus": 0, "expirationIntent": 4}, False, "developer"),
        ({"autoRenewStatus": 0, "expirationIntent": 5}, False, "unknown"),
        ({"autoRenewStatus": 0, "expirationIntent": 6}, False, "unknown"),
    ],
)
def test_auto_renew_is_the_fields_word_not_the_types(changes: dict[str, Any], auto_renew: bool | None, off_reason: str | None) -> None:
    stated = snapshot("DID_CHANGE_RENEWAL_STATUS/AUTO_RENEW_ENABLED", **changes)
    assert (stated.auto_renew, stated.off_reason, stated.ended) == (auto_renew, off_reason, None)


@pytest.mark.parametrize(
    ("next_product", "stated"),
    [("pro_monthly", None), ("basic_monthly", "basic_monthly"), (None, None)],
)
def test_another_product_at_the_next_renewal_is_told(next_product: str | None, stated: str | None) -> None:
    assert snapshot("DID_CHANGE_RENEWAL_PREF/DOWNGRADE", autoRenewProductId=next_product).next_product == stated


@pytest.mark.parametrize(("said", "stated"), [(0, "pending"), (1, "accepted"), (None, None)])
def test_consent_to_a_price_increase(said: int | None, stated: str | None) -> None:
    assert snapshot("PRICE_INCREASE/PENDING", priceIncreaseStatus=said).price_consent == stated


@pytest.mark.parametrize(
    ("kind", "status", "intent", "ended"),
    [
        ("EXPIRED/VOLUNTARY", 2, 1, "unsubscribe"),
        ("EXPIRED/BILLING_RETRY", 2, 2, "billing_error"),
        ("EXPIRED/PRICE_INCREASE", 2, 3, "price_increase"),
        ("EXPIRED/PRODUCT_NOT_FOR_SALE", 2, 4, "developer"),
        ("EXPIRED", 2, 5, "unknown"),
        ("EXPIRED/VOLUNTARY", None, None, "unsubscribe"),
        ("EXPIRED/BILLING_RETRY", 2, None, "billing_error"),
        ("EXPIRED/PRICE_INCREASE", None, None, "price_increase"),
        ("EXPIRED/PRODUCT_NOT_FOR_SALE", None, None, "developer"),
        ("EXPIRED", None, None, "unknown"),
        ("DID_CHANGE_RENEWAL_STATUS", 2, 1, "unsubscribe"),
        ("DID_CHANGE_RENEWAL_STATUS", 2, None, "unknown"),
        ("DID_FAIL_TO_RENEW", 3, 2, "billing_error"),
        ("DID_FAIL_TO_RENEW", None, None, "billing_error"),
        ("DID_FAIL_TO_RENEW/GRACE_PERIOD", 4, 2, None),
        ("GRACE_PERIOD_EXPIRED", 3, 2, "billing_error"),
        ("GRACE_PERIOD_EXPIRED", None, None, "billing_error"),
        ("DID_CHANGE_RENEWAL_STATUS/AUTO_RENEW_DISABLED", 3, 2, "billing_error"),
        ("DID_RENEW", 1, 2, None),
        ("REVOKE", 5, None, None),
        ("REFUND", 2, 1, "unsubscribe"),
        ("REFUND", 3, 2, None),
        ("REFUND", 1, None, None),
    ],
)
def test_a_period_has_ended_only_by_the_stores_own_word(kind: str, status: int | None, intent: int | None, ended: str | None) -> None:
    assert snapshot(kind, status=status, expirationIntent=intent).ended == ended


def test_grace_is_its_own_moment_and_the_retry_is_told() -> None:
    grace = to_ms(ENDS + 16 * DAY)
    stated = snapshot("DID_FAIL_TO_RENEW/GRACE_PERIOD", status=4, gracePeriodExpiresDate=grace, isInBillingRetryPeriod=True, renewalDate=grace)
    assert (stated.transaction, stated.grace_until, stated.in_billing_retry, stated.ended) == ("1002", ENDS + 16 * DAY, True, None)


def test_an_expiry_during_grace_ends_the_grace() -> None:
    stated = snapshot("EXPIRED/VOLUNTARY", status=2, gracePeriodExpiresDate=to_ms(NOW + 3 * DAY), expirationIntent=1)
    assert (stated.grace_until, stated.ended) == (NOW - timedelta(seconds=1), "unsubscribe")


@pytest.mark.parametrize(("status", "in_retry"), [(1, False), (2, False), (3, True), (4, True)])
def test_the_status_alone_tells_of_billing_retry(status: int, in_retry: bool) -> None:
    assert snapshot("DID_CHANGE_RENEWAL_STATUS", status=status).in_billing_retry is in_retry


@pytest.mark.parametrize("kind", ["REFUND", "REFUND_REVERSED", "REFUND_DECLINED", "CONSUMPTION_REQUEST"])
def test_refund_messages_bind_renewal_information_to_whichever_period_is_newest(kind: str) -> None:
    assert snapshot(kind).transaction == ""


@pytest.mark.parametrize(
    ("changes", "transaction_id"),
    [
        ({}, "1002"),
        ({"renewalDate": None}, "1002"),
        ({"productId": None}, "1002"),
        ({"productId": "pro_yearly"}, ""),
        ({"renewalDate": to_ms(ENDS + 30 * DAY)}, ""),
        ({"renewalDate": to_ms(ENDS - 30 * DAY)}, ""),
        ({"renewalDate": to_ms(ENDS + 60 * DAY), "isInBillingRetryPeriod": True}, "1002"),
        ({"renewalDate": to_ms(ENDS + 61 * DAY), "isInBillingRetryPeriod": True}, ""),
    ],
)
def test_renewal_information_of_another_period_is_not_bound_to_this_one(changes: dict[str, Any], transaction_id: str) -> None:
    assert snapshot("DID_CHANGE_RENEWAL_STATUS", **changes).transaction == transaction_id


def test_what_does_not_end_has_no_end_to_compare() -> None:
    of = transaction(type="Non-Renewing Subscription", expiresDate=None)
    assert snapshot("ONE_TIME_CHARGE", of=of).transaction == "1002"


@pytest.mark.parametrize(
    ("month", "status", "commitment_status", "auto_renew"),
    [(3, 1, 1, True), (3, 0, 0, True), (3, 0, None, True), (12, 0, None, False), (12, 1, 0, False), (12, 0, 1, True), (12, 1, None, True)],
)
def test_the_months_of_a_commitment_that_remain_are_charged_whatever_was_switched_off(
    month: int, status: int, commitment_status: int | None, auto_renew: bool
) -> None:
    of = transaction(commitmentInfo={"billingPeriodNumber": month, "totalBillingPeriods": 12}, billingPlanType="MONTHLY")
    info = {"commitmentAutoRenewStatus": commitment_status} if commitment_status is not None else {}
    assert snapshot("DID_CHANGE_RENEWAL_STATUS", of=of, autoRenewStatus=status, commitmentInfo=info).auto_renew is auto_renew


@pytest.mark.parametrize("info", [{"billingPeriodNumber": 3}, {"totalBillingPeriods": 12}, {}])
def test_a_commitment_half_told_is_none(info: dict[str, int]) -> None:
    assert snapshot(of=transaction(commitmentInfo=info), autoRenewStatus=0).auto_renew is False


def test_the_present_product_is_the_transactions_where_the_renewal_information_names_none() -> None:
    assert snapshot(productId=None, autoRenewProductId="pro_monthly").next_product is None


def test_an_expiry_of_another_period_is_not_this_ones_without_the_status() -> None:
    assert snapshot("EXPIRED/VOLUNTARY", status=None, productId="pro_yearly", expirationIntent=1).ended is None


def test_a_commitment_that_ended_does_not_renew() -> None:
    of = transaction(commitmentInfo={"billingPeriodNumber": 3, "totalBillingPeriods": 12})
    stated = snapshot("EXPIRED/BILLING_RETRY", status=2, of=of, autoRenewStatus=0, expirationIntent=2)
    assert (stated.auto_renew, stated.off_reason, stated.ended) == (False, "billing_error", "billing_error")


def test_a_refund_of_an_old_period_leaves_the_present_one_alone() -> None:
    old = transaction(
        transactionId="1001", productId="basic", purchaseDate=to_ms(BEGAN - 30 * DAY), expiresDate=to_ms(BEGAN), revocationDate=to_ms(NOW)
    )
    reading = tell("REFUND", of=old)
    assert reading.questions
    (stated,) = reading.statements
    assert [(one.transaction, one.revocation) for one in stated.purchases] == [("1001", Revocation(at=NOW, refunded=True))]
    assert stated.renewals == (replace(SNAPSHOT, transaction=""),)


def test_a_renewal_may_be_told_before_its_period_begins() -> None:
    begins = NOW + timedelta(seconds=33)
    (stated,) = tell("DID_RENEW", of=transaction(purchaseDate=to_ms(begins))).statements
    assert (stated.purchases[0].purchased_at, stated.purchases[0].as_of) == (begins, NOW)


# What must not pass


def both(posted: bytes, app: StoreApp = APP) -> tuple[Invalid, Invalid]:
    """The refusals of opening and of reading."""
    with pytest.raises(Invalid) as opening:
        STORE.open(app, posted, {}, NOW)
    with pytest.raises(Invalid) as reading:
        STORE.read(app, posted, NOW)
    return opening.value, reading.value


def notification(subject: dict[str, Any]) -> bytes:
    return body("DID_RENEW", subject)


@pytest.fixture
def apples_own(monkeypatch: pytest.MonkeyPatch) -> Iterator[StoreApp]:
    """An app that trusts no simulated store, while our pen's root stands where Apple's is pinned: nobody else can sign for production."""
    monkeypatch.setattr(jws, "APPLE_ROOT_G3", AUTHORITY.root.fingerprint(SHA256()).hex())
    jws._chains.clear()
    yield replace(APP, simulated_roots=())
    jws._chains.clear()


@pytest.mark.parametrize("bundle_id", ["com.other.app", "COM.EXAMPLE.APP", "", None])
def test_a_message_for_another_app_is_untrusted(bundle_id: str | None) -> None:
    for refusal in both(notification({"data": data(bundleId=bundle_id)})):
        assert isinstance(refusal, Untrusted)
        assert refusal.param == "bundleId"


@pytest.mark.parametrize("environment", ["Xcode", "LocalTesting", "", None])
def test_only_production_and_sandbox_exist_even_under_apples_signature(environment: str | None, apples_own: StoreApp) -> None:
    for refusal in both(notification({"data": data(environment=environment)}), apples_own):
        assert isinstance(refusal, Untrusted)
        assert refusal.param == "environment"


def test_production_becomes_production(apples_own: StoreApp) -> None:
    whole = {key: AUTHORITY.sign(one | {"environment": "Production"}) for key, one in (("tx", TRANSACTION), ("info", RENEWAL))}
    subject = data(environment="Production", signedTransactionInfo=whole["tx"], signedRenewalInfo=whole["info"])
    (stated,) = STORE.read(apples_own, notification({"data": subject}), NOW).statements
    assert (stated.environment, stated.purchases, stated.renewals) == ("production", (PURCHASE,), (SNAPSHOT,))


def test_production_is_never_believed_from_a_simulated_store() -> None:
    for refusal in both(notification({"data": data(environment="Production")})):
        assert isinstance(refusal, Untrusted)
        assert "simulated" in refusal.message


@pytest.mark.parametrize(("configured", "said"), [(4242, 4242), (None, 1), (None, None)])
def test_in_production_the_apps_apple_id_must_be_ours_where_we_know_it(configured: int | None, said: int | None, apples_own: StoreApp) -> None:
    subject = without_nones(IDS | {"environment": "Production", "appAppleId": said})
    assert STORE.open(replace(apples_own, app_apple_id=configured), body("TEST", {"data": subject}), {}, NOW).kind == "TEST"


@pytest.mark.parametrize("said", [1, None])
def test_in_production_another_apple_id_is_untrusted(said: int | None, apples_own: StoreApp) -> None:
    subject = without_nones(IDS | {"environment": "Production", "appAppleId": said})
    for refusal in both(body("TEST", {"data": subject}), apples_own):
        assert isinstance(refusal, Untrusted)
        assert refusal.param == "appAppleId"


def test_an_external_purchase_token_without_the_sandbox_prefix_is_of_production() -> None:
    for refusal in both(body("EXTERNAL_PURCHASE_TOKEN/CREATED", {"externalPurchaseToken": TOKEN | {"externalPurchaseId": "b2158121"}})):
        assert "simulated" in refusal.message


def test_in_the_sandbox_the_apps_apple_id_may_differ() -> None:
    assert STORE.open(APP, notification({"data": data(appAppleId=None)}), {}, NOW).kind == "DID_RENEW"


@pytest.mark.parametrize(
    "subject",
    [
        {"signedTransactionInfo": transaction(bundleId="com.other.app")},
        {"signedTransactionInfo": transaction(environment="Production")},
        {"signedTransactionInfo": transaction(environment="Xcode")},
        {"signedTransactionInfo": transaction(signedDate=None)},
        {"signedTransactionInfo": transaction()[:-6] + "AAAAAA"},
        {"signedRenewalInfo": renewal(originalTransactionId="2001")},
        {"signedRenewalInfo": renewal(originalTransactionId=None)},
        {"signedRenewalInfo": renewal(originalTransactionId=None), "signedTransactionInfo": transaction(originalTransactionId=None)},
        {"signedRenewalInfo": renewal(environment="Production")},
        {"signedRenewalInfo": renewal(signedDate=None)},
        {"signedRenewalInfo": renewal()[:-6] + "AAAAAA"},
        {"signedRenewalInfo": SigningAuthority.create(NOW).sign(RENEWAL)},
    ],
)
def test_the_outer_signature_does_not_save_what_is_wrong_inside(subject: dict[str, str]) -> None:
    posted = notification({"data": data() | subject})
    assert STORE.open(APP, posted, {}, NOW).kind == "DID_RENEW"
    with pytest.raises(Untrusted):
        STORE.read(APP, posted, NOW)


@pytest.mark.parametrize(
    "inside", [{"signedTransactionInfo": transaction(environment="Production")}, {"signedRenewalInfo": renewal(environment="Production")}]
)
def test_inner_and_outer_environment_must_be_the_same(inside: dict[str, str], apples_own: StoreApp) -> None:
    with pytest.raises(Untrusted, match="'Production' inside a message of 'Sandbox'"):
        STORE.read(apples_own, notification({"data": data() | inside}), NOW)


@pytest.mark.parametrize("subject", [{}, {"data": data(), "summary": IDS}, {"data": data(), "appData": IDS}])
def test_a_message_must_speak_of_exactly_one_thing(subject: dict[str, Any], apples_own: StoreApp) -> None:
    for refusal in both(body("DID_RENEW", subject), apples_own):
        assert "must have exactly one of `data`" in refusal.message


def test_a_body_too_long_is_not_even_parsed() -> None:
    for refusal in both(b" " * (257 * 1024 + 1)):
        assert refusal.message == "a body of 263169 bytes is longer than the 263168 we read"


@pytest.mark.parametrize(
    "posted",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"signedPayload":1}',
        b'{"notification_type":"DID_RENEW"}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"signedPayload":"' + b"a" * 270_000 + b'"}',
    ],
)
def test_a_body_that_is_no_notification_is_invalid(posted: bytes) -> None:
    for refusal in both(posted):
        assert not isinstance(refusal, Untrusted)


def test_a_version_1_notification_is_told_what_to_do() -> None:
    refusal, _ = both(b'{"notification_type":"DID_RENEW","password":"x"}')
    assert refusal.param == "signedPayload"
    assert "choose version 2 in App Store Connect" in refusal.message


def test_an_app_without_a_bundle_id_cannot_read() -> None:
    unset = replace(APP, bundle_id=None)
    for reading in (lambda: STORE.open(unset, body("TEST"), {}, NOW), lambda: STORE.read(unset, body("TEST"), NOW)):
        with pytest.raises(NotConfigured) as caught:
            reading()
        assert caught.value.param == "bundle_id"


# What a device posts


def test_a_devices_signed_transaction_states_its_purchase_and_has_the_store_asked_how_it_goes_on() -> None:
    reading = read_receipt(APP, f"\n{transaction()}\n", NOW)
    assert reading.statements[0].purchases == (PURCHASE,)
    assert reading.statements[0].renewals == ()
    assert reading.questions


def test_a_one_time_purchase_needs_no_asking() -> None:
    assert read_receipt(APP, transaction(type="Consumable", expiresDate=None), NOW).questions == ()


def test_a_transaction_stays_one_whatever_else_it_says() -> None:
    assert read_receipt(APP, transaction(receiptType="Sandbox"), NOW).statements[0].purchases == (PURCHASE,)


def test_the_apps_own_transaction_holds_no_purchase() -> None:
    proof = {"receiptType": "Sandbox", "bundleId": "com.example.app", "receiptCreationDate": to_ms(NOW), "applicationVersion": "1"}
    reading = read_receipt(APP, AUTHORITY.sign(proof), NOW)
    assert reading == Reading(note="the app's own transaction: it proves a download, not a purchase")


@pytest.mark.parametrize(
    "token",
    [
        transaction(bundleId="com.other.app"),
        transaction(environment="Production"),
        transaction(environment="Xcode"),
        renewal(),
        AUTHORITY.sign({"receiptType": "Xcode", "bundleId": "com.example.app", "receiptCreationDate": to_ms(NOW)}),
        AUTHORITY.sign({"receiptType": "Sandbox", "bundleId": "com.example.app"}),
        SigningAuthority.create(NOW).sign(TRANSACTION),
    ],
)
def test_what_a_device_must_not_post_is_untrusted_and_names_the_token(token: str) -> None:
    with pytest.raises(Untrusted, match=r"^fetch_token: ") as caught:
        read_receipt(APP, token, NOW)
    assert caught.value.param == "fetch_token"


@pytest.mark.parametrize("token", ["", "a.b.c", "hello", "a.b", transaction(expiresDate=None), "é"])
def test_what_is_no_proof_at_all_is_invalid_and_names_the_token(token: str) -> None:
    with pytest.raises(Invalid, match=r"^fetch_token: ") as caught:
        read_receipt(APP, token, NOW)
    assert caught.value.param == "fetch_token"
    assert not isinstance(caught.value, Untrusted)


# One line from many statements


def test_statements_of_one_line_are_gathered_and_nothing_is_there_twice() -> None:
    one = Statement(store="app_store", environment="sandbox", line="1", purchases=(PURCHASE,), renewals=(SNAPSHOT,))
    two = replace(one, purchases=(PURCHASE, replace(PURCHASE, transaction="1003")), customer_hint="ada")
    other = replace(one, line="2")
    assert read.gathered([one, other, two]) == (
        replace(one, purchases=(PURCHASE, replace(PURCHASE, transaction="1003")), customer_hint="ada"),
        other,
    )


# Whatever comes

NUMBERS = st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False))
ANYTHING = st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=20), st.dictionaries(st.text(max_size=3), st.integers(), max_size=2))


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(set(TRANSACTION) - {"environment", "bundleId"})), ANYTHING, max_size=4))
def test_any_signed_transaction_is_read_or_refused_cleanly(changes: dict[str, Any]) -> None:
    try:
        stated = purchase(**changes)
    except Invalid:
        return
    assert stated.transaction == str((TRANSACTION | changes)["transactionId"])


@settings(deadline=None)
@given(
    changes=st.dictionaries(st.sampled_from([*RENEWAL, "expirationIntent", "gracePeriodExpiresDate", "priceIncreaseStatus"]), ANYTHING, max_size=4),
    kind=st.sampled_from(WITH_A_TRANSACTION),
    status=st.integers(-1, 7),
)
def test_any_signed_renewal_information_is_read_or_refused_cleanly(changes: dict[str, Any], kind: str, status: int) -> None:
    try:
        stated = snapshot(kind, status=status, **changes)
    except Invalid:
        return
    assert stated.as_of == from_ms((RENEWAL | changes)["signedDate"])


@settings(deadline=None)
@given(st.binary())
def test_any_body_is_refused_cleanly(posted: bytes) -> None:
    both(posted)
