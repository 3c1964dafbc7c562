import json
from tests.e2e.pages import *
async def test_x(shop):
    shop.page.on("response", lambda r: print(r.request.method, r.url[-60:], r.status, (r.request.post_data or "")[:200]))
    shop.page.on("console", lambda m: print("console", m.text[:300]))
    await shop.open("ada")
    print(json.dumps(await shop.customer_info(), indent=1))
    o = await shop.call("() => sdk.getOfferings()")
    print(json.dumps(o, indent=1)[:9000])
    for n in ("onboarding", "other", "quiet"):
        o = await shop.call("(n) => sdk.getCurrentOfferingForPlacement(n)", n)
        print(n, o and o["identifier"], o and [p["webBillingProduct"]["presentedOfferingContext"] for p in o["availablePackages"]])
    for b in ("Test failed purchase", "Cancel", "Test valid purchase"):
        try:
            print(json.dumps(await shop.purchase("$rc_monthly", button=b)))
        except SdkError as e:
            print(b, e)
    print(await shop.call("async () => (await sdk.identifyUser('bea'))"))
    for s in ("() => sdk.setAttributes({colour: 'red', $email: 'bea@example.com'})", "() => sdk.setAttributes({$email: 'nonsense'})", "() => sdk.getVirtualCurrencies()", "() => sdk.preload()"):
        try: print(await shop.call(s))
        except SdkError as e: print(s, e)
    await shop.open("ada", key="test_wrong")
    try: print(await shop.customer_info())
    except SdkError as e: print(e)
    assert 0
async def test_y(hybrid):
    hybrid.page.on("response", lambda r: print(r.request.method, r.url[-60:], r.status, (r.request.post_data or "")[:200]))
    hybrid.page.on("console", lambda m: print("console", m.text[:300]))
    await hybrid.open()
    for s in ("() => sdk.getAppUserId()", "() => sdk.getOfferings()", "() => sdk.getCustomerInfo()"):
        print(json.dumps(await hybrid.call(s))[:3000])
    for b in ("Test failed purchase", "Cancel", "Test valid purchase"):
        try:
            print(json.dumps(await hybrid.purchase("$rc_annual", button=b)))
        except SdkError as e:
            print(b, e)
    for s in ("() => sdk.logIn('ada')", "() => sdk.getAppUserId()", "() => sdk.logOut()", "() => sdk.getAppUserId()"):
        print(json.dumps(await hybrid.call(s))[:600])
    print(hybrid.strangers)
    assert 0
