"""purchases-js, unmodified, in a browser: a site on one origin, our server on another."""

from calendar import monthrange
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.e2e.pages import SdkError, Shop


async def as_the_server_sees(shop: Shop, app_user_id: str) -> dict[str, Any]:
    """With the secret key, as the shop's own backend would look."""
    answer = await shop.world.http.get(f"/v1/subscribers/{app_user_id}", headers=shop.world.secret)
    assert answer.status_code == 200, answer.text
    subscriber: dict[str, Any] = answer.json()["subscriber"]
    return subscriber


moment = datetime.fromisoformat


def a_month_after(since: datetime) -> datetime:
    year, month = (since.year, since.month + 1) if since.month < 12 else (since.year + 1, 1)
    return since.replace(year=year, month=month, day=min(since.day, monthrange(year, month)[1]))


# Looking around


async def test_a_new_customer_owns_nothing(shop: Shop) -> None:
    await shop.open("ada")
    info = await shop.customer_info()
    assert info == {
        "originalAppUserId": "ada",
        "entitlements": {"all": {}, "active": {}},
        "activeSubscriptions": [],
        "allExpirationDatesByProduct": {},
        "allPurchaseDatesByProduct": {},
        "nonSubscriptionTransactions": [],
        "subscriptionsByProductIdentifier": {},
        "managementURL": None,
        "originalPurchaseDate": None,
        "requestDate": info["requestDate"],
        "firstSeenDate": info["firstSeenDate"],
    }
    assert info["firstSeenDate"] <= info["requestDate"]
    assert not await shop.is_entitled_to("pro")


async def test_the_current_offering_has_its_packages_prices_and_metadata(shop: Shop) -> None:
    await shop.open("ada")
    offerings = await shop.call("() => sdk.getOfferings()")
    current = offerings["current"]
    assert set(offerings["all"]) == {"default", "welcome"}
    assert (current["identifier"], current["serverDescription"], current["metadata"]) == ("default", "Plans", {"colour": "green"})
    assert [(package["identifier"], package["webBillingProduct"]["identifier"]) for package in current["availablePackages"]] == [
        ("$rc_monthly", "pro_monthly"),
        ("$rc_annual", "pro_annual"),
        ("$rc_lifetime", "pro_lifetime"),
    ]
    assert [current[place]["identifier"] for place in ("monthly", "annual", "lifetime")] == ["$rc_monthly", "$rc_annual", "$rc_lifetime"]

    monthly, annual, lifetime = (package["webBillingProduct"] for package in current["availablePackages"])
    assert monthly["price"] == {"amount": 999, "amountMicros": 9_990_000, "currency": "USD", "formattedPrice": "$9.99"}
    assert (monthly["productType"], monthly["period"], monthly["freeTrialPhase"]) == ("subscription", {"number": 1, "unit": "month"}, None)
    assert (annual["price"]["formattedPrice"], annual["period"]) == ("$59.99", {"number": 1, "unit": "year"})
    assert annual["freeTrialPhase"]["period"] == {"number": 1, "unit": "week"}
    assert (lifetime["productType"], lifetime["price"]["formattedPrice"], lifetime["period"]) == ("non_consumable", "$149.99", None)


async def test_prices_come_in_the_currency_asked_for(shop: Shop) -> None:
    await shop.open("ada")
    current = (await shop.call("() => sdk.getOfferings({ currency: 'EUR' })"))["current"]
    assert [package["webBillingProduct"]["price"]["formattedPrice"] for package in current["availablePackages"]] == ["€9.99", "€59.99", "€149.99"]


@pytest.mark.parametrize(("placement", "offering"), [("onboarding", "welcome"), ("never heard of", "default"), ("quiet", None)])
async def test_a_placement_shows_its_offering_an_unknown_one_the_fallback_and_an_empty_one_nothing(
    shop: Shop, placement: str, offering: str | None
) -> None:
    await shop.open("ada")
    shown = await shop.call("(placement) => sdk.getCurrentOfferingForPlacement(placement)", placement)
    assert (shown and shown["identifier"]) == offering
    for package in shown["availablePackages"] if shown else ():
        context = package["webBillingProduct"]["presentedOfferingContext"]
        assert context == {"offeringIdentifier": offering, "placementIdentifier": placement, "targetingContext": None}


# Buying


async def test_a_purchase_gives_pro_and_our_own_backend_sees_it_too(shop: Shop) -> None:
    await shop.open("ada")
    bought = await shop.purchase("$rc_monthly")
    transaction = bought["storeTransaction"]["storeTransactionId"]
    pro = bought["customerInfo"]["entitlements"]["active"]["pro"]
    assert pro == {
        "identifier": "pro",
        "isActive": True,
        "willRenew": True,
        "store": "test_store",
        "productIdentifier": "pro_monthly",
        "productPlanIdentifier": None,
        "unsubscribeDetectedAt": None,
        "billingIssueDetectedAt": None,
        "isSandbox": True,
        "periodType": "normal",
        "ownershipType": "PURCHASED",
        "originalPurchaseDate": pro["latestPurchaseDate"],
        "latestPurchaseDate": pro["latestPurchaseDate"],
        "expirationDate": pro["expirationDate"],
    }
    assert moment(pro["expirationDate"]) == a_month_after(moment(pro["latestPurchaseDate"]))
    assert bought["customerInfo"]["activeSubscriptions"] == ["pro_monthly"]
    assert await shop.is_entitled_to("pro")
    assert not await shop.is_entitled_to("something else")

    seen = await as_the_server_sees(shop, "ada")
    assert (list(seen["entitlements"]), list(seen["subscriptions"])) == (["pro"], ["pro_monthly"])
    subscription = seen["subscriptions"]["pro_monthly"]
    assert (subscription["store_transaction_id"], subscription["store"]) == (transaction, "test_store")
    assert moment(subscription["expires_date"]) == moment(pro["expirationDate"])
    [told] = await shop.world.bodies("ada")
    assert (told["type"], told["product_id"], told["presented_offering_id"]) == ("INITIAL_PURCHASE", "pro_monthly", "default")


async def test_what_was_bought_is_there_when_the_page_is_loaded_again(shop: Shop) -> None:
    await shop.open("ada")
    before = (await shop.purchase("$rc_monthly"))["customerInfo"]
    await shop.open("ada")
    after = await shop.customer_info()
    assert await shop.is_entitled_to("pro")
    assert {**after, "requestDate": before["requestDate"]} == before


async def test_a_trial_is_a_trial_for_a_week(shop: Shop) -> None:
    await shop.open("ada")
    pro = (await shop.purchase("$rc_annual"))["customerInfo"]["entitlements"]["active"]["pro"]
    assert (pro["periodType"], pro["willRenew"], pro["productIdentifier"]) == ("trial", True, "pro_annual")
    assert moment(pro["expirationDate"]) - moment(pro["latestPurchaseDate"]) == timedelta(weeks=1)
    assert (await as_the_server_sees(shop, "ada"))["subscriptions"]["pro_annual"]["period_type"] == "trial"


async def test_what_is_bought_for_good_has_no_end(shop: Shop) -> None:
    await shop.open("ada")
    bought = await shop.purchase("$rc_lifetime")
    pro = bought["customerInfo"]["entitlements"]["active"]["pro"]
    assert (pro["productIdentifier"], pro["expirationDate"], pro["willRenew"]) == ("pro_lifetime", None, False)
    assert bought["customerInfo"]["activeSubscriptions"] == []


async def test_coins_are_bought_again_and_again_and_entitle_to_nothing(shop: Shop) -> None:
    await shop.open("ada")
    tokens = [(await shop.purchase("purse", offering="welcome"))["storeTransaction"]["storeTransactionId"] for _ in range(2)]
    info = await shop.customer_info()
    assert [(one["productIdentifier"], one["store"], one["storeTransactionId"]) for one in info["nonSubscriptionTransactions"]] == [
        ("coins", "test_store", token) for token in tokens
    ]
    assert len({one["transactionIdentifier"] for one in info["nonSubscriptionTransactions"]}) == 2
    assert (info["entitlements"]["all"], info["subscriptionsByProductIdentifier"]) == ({}, {})
    assert await shop.world.told("ada") == ["NON_RENEWING_PURCHASE", "NON_RENEWING_PURCHASE"]


@pytest.mark.parametrize(
    ("button", "name", "code"), [("Test failed purchase", "TestStoreSimulatedPurchaseError", 42), ("Cancel", "UserCancelledError", 1)]
)
async def test_a_purchase_that_fails_or_is_cancelled_leaves_no_trace(shop: Shop, button: str, name: str, code: int) -> None:
    await shop.open("ada")
    with pytest.raises(SdkError) as refused:
        await shop.purchase("$rc_monthly", button=button)
    assert (refused.value.error["name"], refused.value.error["code"]) == (name, code)
    assert not await shop.is_entitled_to("pro")
    seen = await as_the_server_sees(shop, "ada")
    assert (seen["entitlements"], seen["subscriptions"], seen["non_subscriptions"]) == ({}, {}, {})
    assert await shop.world.told("ada") == []


# Who one is


async def test_an_anonymous_buyer_takes_the_purchase_along_when_signing_up(shop: Shop) -> None:
    anonymous = await shop.open_anonymously()
    assert await shop.call("() => sdk.isAnonymous()")
    await shop.purchase("$rc_monthly")

    signed_up = await shop.call("() => sdk.identifyUser('ada')")
    assert signed_up["wasCreated"] is True
    assert list(signed_up["customerInfo"]["entitlements"]["active"]) == ["pro"]
    assert await shop.call("() => [sdk.getAppUserId(), sdk.isAnonymous()]") == ["ada", False]
    assert await shop.is_entitled_to("pro")
    assert await shop.world.entitled(anonymous) == ["pro"], "both ids are one customer"


async def test_who_signs_in_on_a_second_device_finds_what_was_bought_on_the_first(shop: Shop) -> None:
    await shop.open("ada")
    await shop.purchase("$rc_monthly")
    await shop.open_anonymously()
    assert not await shop.is_entitled_to("pro")

    signed_in = await shop.call("() => sdk.identifyUser('ada')")
    assert signed_in["wasCreated"] is False
    assert list(signed_in["customerInfo"]["entitlements"]["active"]) == ["pro"]
    assert await shop.is_entitled_to("pro")


async def test_another_person_at_the_same_page_gets_nothing_of_the_first(shop: Shop) -> None:
    await shop.open("ada")
    await shop.purchase("$rc_monthly")
    info = await shop.call("() => sdk.changeUser('bea')")
    assert (info["originalAppUserId"], info["entitlements"]["all"]) == ("bea", {})
    assert await shop.call("() => sdk.getAppUserId()") == "bea"
    assert not await shop.is_entitled_to("pro")

    back = await shop.call("() => sdk.changeUser('ada')")
    assert list(back["entitlements"]["active"]) == ["pro"]


async def test_attributes_are_kept_for_the_backend_and_bad_ones_are_refused(shop: Shop) -> None:
    await shop.open("ada")
    await shop.call("() => sdk.setAttributes({ $email: 'ada@example.com', colour: 'green', size: 'L' })")
    await shop.call("() => sdk.setAttributes({ size: null })")
    with pytest.raises(SdkError) as refused:
        await shop.call("() => sdk.setAttributes({ $email: 'nonsense' })")
    assert (refused.value.error["name"], refused.value.error["code"], refused.value.error["backendCode"]) == (
        "InvalidSubscriberAttributesError",
        21,
        7263,
    )
    kept = (await as_the_server_sees(shop, "ada"))["subscriber_attributes"]
    assert {name: one["value"] for name, one in kept.items()} == {"$email": "ada@example.com", "colour": "green"}


# On the wire


async def test_a_key_that_is_not_ours_is_told_so_in_the_sdk_s_own_words(shop: Shop) -> None:
    await shop.open("ada", key="test_nobodysKey")
    for script in ("() => sdk.getCustomerInfo()", "() => sdk.getOfferings()", "() => sdk.identifyUser('bea')"):
        with pytest.raises(SdkError) as refused:
            await shop.call(script)
        assert (refused.value.error["name"], refused.value.error["code"], refused.value.error["backendCode"]) == ("InvalidCredentialsError", 11, 7225)
    assert await shop.world.lines("ada") == []


async def test_the_developers_own_headers_may_come_along_from_another_origin(shop: Shop) -> None:
    await shop.open("ada", headers={"X-Shop-Version": "7", "X-Trace": "abc"})
    assert (await shop.customer_info())["originalAppUserId"] == "ada"
    assert await shop.call("() => location.origin") != shop.base_url


async def test_the_sdk_s_own_events_are_taken(shop: Shop) -> None:
    async with shop.page.expect_response(f"{shop.base_url}/v1/events") as told:
        await shop.open("ada")
    answer = await told.value
    assert answer.status == 200
    sent = answer.request.post_data_json
    assert sent is not None
    [event] = sent["events"]
    assert (event["event_name"], event["app_user_id"]) == ("sdk_initialized", "ada")
