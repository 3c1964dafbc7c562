"""purchases-js-hybrid-mappings, unmodified: the web path of Flutter, React Native, Capacitor and Unity."""

import re

import pytest

from tests.e2e.pages import Hybrid, SdkError

ANONYMOUS = r"\$RCAnonymousID:[0-9a-f]{32}"


async def test_an_app_shows_what_is_sold(hybrid: Hybrid) -> None:
    await hybrid.open("ada")
    offerings = await hybrid.call("() => sdk.getOfferings()")
    assert (offerings["current"]["identifier"], offerings["current"]["metadata"], set(offerings["all"])) == (
        "default",
        {"colour": "green"},
        {"default", "welcome"},
    )
    products = [(package["packageType"], package["product"]) for package in offerings["current"]["availablePackages"]]
    assert [(kind, product["identifier"], product["priceString"], product["productType"]) for kind, product in products] == [
        ("MONTHLY", "pro_monthly", "$9.99", "AUTO_RENEWABLE_SUBSCRIPTION"),
        ("ANNUAL", "pro_annual", "$59.99", "AUTO_RENEWABLE_SUBSCRIPTION"),
        ("LIFETIME", "pro_lifetime", "$149.99", "NON_CONSUMABLE"),
    ]
    shown = await hybrid.call("() => sdk.getCurrentOfferingForPlacement('onboarding')")
    assert shown["identifier"] == "welcome"


async def test_a_purchase_gives_pro_and_is_remembered(hybrid: Hybrid) -> None:
    await hybrid.open("ada")
    bought = await hybrid.purchase("$rc_annual")
    pro = bought["customerInfo"]["entitlements"]["active"]["pro"]
    assert (pro["productIdentifier"], pro["store"], pro["periodType"], pro["willRenew"]) == ("pro_annual", "TEST_STORE", "TRIAL", True)
    assert pro["expirationDateMillis"] - pro["latestPurchaseDateMillis"] == 7 * 24 * 3600 * 1000
    info = await hybrid.call("() => sdk.getCustomerInfo()")
    assert (list(info["entitlements"]["active"]), info["activeSubscriptions"]) == (["pro"], ["pro_annual"])
    [told] = await hybrid.world.bodies("ada")
    assert (told["type"], told["presented_offering_id"]) == ("INITIAL_PURCHASE", "default")


@pytest.mark.parametrize(("button", "code", "cancelled"), [("Test failed purchase", "42", False), ("Cancel", "1", True)])
async def test_a_purchase_that_fails_or_is_cancelled_is_told_apart(hybrid: Hybrid, button: str, code: str, cancelled: bool) -> None:
    await hybrid.open("ada")
    with pytest.raises(SdkError) as refused:
        await hybrid.purchase("$rc_monthly", button=button)
    assert (refused.value.error["code"], refused.value.error["userCancelled"]) == (code, cancelled)
    assert await hybrid.world.entitled("ada") == []


async def test_someone_buys_signs_up_leaves_and_comes_back(hybrid: Hybrid) -> None:
    await hybrid.open()
    anonymous = await hybrid.call("() => sdk.getAppUserId()")
    assert re.fullmatch(ANONYMOUS, anonymous)
    await hybrid.purchase("$rc_monthly")

    await hybrid.open()
    assert await hybrid.call("() => sdk.getAppUserId()") == anonymous, "it was stored in the browser"
    signed_up = await hybrid.call("() => sdk.logIn('ada')")
    assert (signed_up["created"], list(signed_up["customerInfo"]["entitlements"]["active"])) == (True, ["pro"])

    left = await hybrid.call("() => sdk.logOut()")
    stranger = await hybrid.call("() => sdk.getAppUserId()")
    assert re.fullmatch(ANONYMOUS, stranger)
    assert stranger != anonymous
    assert (left["originalAppUserId"], left["entitlements"]["all"]) == (stranger, {})

    signed_in = await hybrid.call("() => sdk.logIn('ada')")
    assert (signed_in["created"], list(signed_in["customerInfo"]["entitlements"]["active"])) == (False, ["pro"])
    assert await hybrid.world.told("ada") == ["INITIAL_PURCHASE"]


async def test_a_key_that_is_not_ours_is_told_so(hybrid: Hybrid) -> None:
    hybrid.world.keys["test_store"] = "test_nobodysKey"
    await hybrid.open("ada")
    with pytest.raises(SdkError) as refused:
        await hybrid.call("() => sdk.getCustomerInfo()")
    assert (refused.value.error["code"], refused.value.error["info"]["backendErrorCode"]) == ("11", 7225)
