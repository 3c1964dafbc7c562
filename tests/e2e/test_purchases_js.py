"""purchases-js, unmodified, in a browser: a site on one origin, our server on another."""

from calendar import monthrange
from datetime import datetime, timedelta
from typing import Any

import pytest

from perennial import catalog
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


async def test_who_buys_another_plan_has_pro_for_as_long_as_either_lasts(shop: Shop) -> None:
    """In the Test Store every purchase is its own: changing a plan is a store's affair, and it has none."""
    await shop.open("ada")
    first = (await shop.purchase("$rc_monthly"))["customerInfo"]
    second = (await shop.purchase("$rc_annual"))["customerInfo"]
    assert sorted(second["activeSubscriptions"]) == ["pro_annual", "pro_monthly"]
    ends = {product: moment(end) for product, end in second["allExpirationDatesByProduct"].items()}
    assert ends["pro_annual"] < ends["pro_monthly"] == moment(first["allExpirationDatesByProduct"]["pro_monthly"]), "the trial is a week"
    pro = second["entitlements"]["active"]["pro"]
    assert (pro["productIdentifier"], moment(pro["expirationDate"])) == ("pro_monthly", ends["pro_monthly"])
    third = (await shop.purchase("$rc_lifetime"))["customerInfo"]["entitlements"]["active"]["pro"]
    assert (third["productIdentifier"], third["expirationDate"]) == ("pro_lifetime", None)
    assert await shop.world.told("ada") == ["INITIAL_PURCHASE", "INITIAL_PURCHASE", "NON_RENEWING_PURCHASE"]


# Virtual currencies


async def manage(shop: Shop, path: str, body: dict[str, Any]) -> None:
    """As the shop's own backend does."""
    answer = await shop.world.http.post(f"/v2/projects/{shop.world.project_id}{path}", headers=shop.world.secret, json=body)
    assert answer.is_success, answer.text


async def test_a_customer_s_coins_are_counted(shop: Shop) -> None:
    await shop.open("ada")
    assert await shop.call("() => sdk.getVirtualCurrencies()") == {"all": {}}
    await manage(shop, "/virtual_currencies", {"code": "GLD", "name": "Gold", "description": "It glitters"})
    await manage(shop, "/virtual_currencies", {"code": "SLV", "name": "Silver"})
    await shop.customer_info()
    await manage(shop, "/customers/ada/virtual_currencies/transactions", {"adjustments": {"GLD": 80}})
    await manage(shop, "/customers/ada/virtual_currencies/transactions", {"adjustments": {"GLD": -30}})
    await shop.call("() => sdk.invalidateVirtualCurrenciesCache()")
    assert (await shop.call("() => sdk.getVirtualCurrencies()"))["all"] == {
        "GLD": {"balance": 50, "name": "Gold", "code": "GLD", "serverDescription": "It glitters"},
        "SLV": {"balance": 0, "name": "Silver", "code": "SLV", "serverDescription": None},
    }
    cached = await shop.call("() => sdk.getCachedVirtualCurrencies()")
    assert cached["all"]["GLD"]["balance"] == 50


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


# What goes wrong, in the SDK's own words

SAY_INSTEAD = """({ path, changes, headers }) => {
  const send = window.fetch;
  window.fetch = (address, options) => {
    if (!new URL(address).pathname.startsWith(path)) return send(address, options);
    const body = options.body ? JSON.stringify({ ...JSON.parse(options.body), ...changes }) : undefined;
    return send(address, { ...options, body, headers: { ...options.headers, ...headers } });
  };
}"""


async def instead(shop: Shop, path: str, changes: dict[str, Any], headers: dict[str, str] | None = None) -> None:
    """From now on the SDK's requests to a path say something else: what only a broken or a dishonest app would send."""
    await shop.call(SAY_INSTEAD, {"path": path, "changes": changes, "headers": headers or {}})


async def refusal(asked: Any) -> tuple[str, int, int | None]:
    with pytest.raises(SdkError) as refused:
        await asked
    return refused.value.error["name"], refused.value.error["code"], refused.value.error["backendCode"]


BOBS = "test_1700000000000_bobs"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"fetch_token": "nonsense"}, ("InvalidReceiptError", 8, 7103)),
        ({"fetch_token": None}, ("InvalidReceiptError", 8, 7103)),
        ({"product_id": "unknown"}, ("InvalidReceiptError", 8, 7103)),
        ({"fetch_token": BOBS}, ("ReceiptAlreadyInUseError", 7, 7102)),
        ({"app_user_id": ""}, ("InvalidAppUserIdError", 14, 7220)),
        ({"app_user_id": "null"}, ("UnknownBackendError", 16, 7256)),
        ({"app_user_id": 5}, ("UnexpectedBackendResponseError", 12, 7226)),
        ({"much": "x" * 1024 * 1024}, ("UnexpectedBackendResponseError", 12, 7226)),
    ],
)
async def test_a_refused_purchase_is_told_by_its_reason(shop: Shop, changes: dict[str, Any], error: tuple[str, int, int]) -> None:
    async with shop.world.app.database.transaction(shop.world.project_id) as tx:
        await catalog.update_project(tx, restore_behavior="keep")
    assert (await shop.world.buy("bob", "pro_monthly", token=BOBS)).status_code == 200
    await shop.open("ada")
    await instead(shop, "/v1/receipts", changes)
    assert await refusal(shop.purchase("$rc_monthly")) == error
    assert (await as_the_server_sees(shop, "bob"))["subscriptions"].keys() == {"pro_monthly"}
    assert await shop.world.told("ada") == []


@pytest.mark.parametrize(
    ("key", "error"), [(" ", ("InvalidCredentialsError", 11, 7224)), ("Bearer test_nobodys", ("InvalidCredentialsError", 11, 7225))]
)
@pytest.mark.parametrize(
    "script", ["getCustomerInfo()", "getOfferings()", "identifyUser('bea')", "getVirtualCurrencies()", "setAttributes({ a: 'b' })"]
)
async def test_whoever_has_no_key_of_ours_is_told_so_everywhere(shop: Shop, script: str, key: str, error: tuple[str, int, int]) -> None:
    await shop.open("ada")
    await instead(shop, "/", {}, {"Authorization": key})
    assert await refusal(shop.call(f"() => sdk.{script}")) == error


async def test_an_id_that_cannot_be_one_is_refused_when_logging_in(shop: Shop) -> None:
    await shop.open("ada")
    assert await refusal(shop.call("(id) => sdk.identifyUser(id)", "x" * 101)) == ("UnknownBackendError", 16, 7256)
    assert await shop.call("() => sdk.getAppUserId()") == "ada"


async def test_a_blocked_customer_is_refused(shop: Shop) -> None:
    await manage(shop, "/customers/blocked_customers/ada", {})
    await shop.open("ada")
    assert await refusal(shop.call("() => sdk.getCustomerInfo()")) == ("UnknownBackendError", 16, 7256)
