"""Pages that use an SDK as its documentation says, driven through a browser."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import Browser, Page

from tests.world import World

# An SDK's answer as plain JSON, or what it threw as the page describes it.
_CALL = """
async (argument) => {
  const plain = (value) => JSON.parse(JSON.stringify(value ?? null, (key, one) => (one instanceof Set ? [...one] : one)));
  try {
    return { value: plain(await (%s)(argument)) };
  } catch (error) {
    return { error: plain(describe(error)) };
  }
}
"""


class SdkError(Exception):
    """What an SDK threw, as its caller sees it."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error)
        self.error = error


class SdkPage:
    """A page of a web site that speaks to the API of `base_url` through an SDK."""

    def __init__(self, page: Page, world: World, address: str, base_url: str) -> None:
        self.page = page
        self.world = world
        self.base_url = base_url
        self.strangers: set[str] = set()  # hosts other than this machine that were asked for
        self.failures: list[str] = []  # what nobody caught
        self._address = address
        page.context.on("request", lambda request: self._note(request.url))
        page.on("pageerror", lambda error: self.failures.append(error.message))

    def _note(self, address: str) -> None:
        parts = urlsplit(address)
        if parts.scheme in ("http", "https", "ws", "wss") and parts.hostname != "127.0.0.1":
            self.strangers.add(str(parts.hostname))

    async def load(self) -> None:
        """Also again: a page that is loaded anew remembers no more than its storage."""
        await self.page.goto(self._address)

    async def call(self, script: str, argument: Any = None) -> Any:
        """Runs a JavaScript function in the page and returns what it gave, or raises `SdkError`."""
        outcome = await self.page.evaluate(_CALL % script, argument)
        if "error" in outcome:
            raise SdkError(outcome["error"])
        return outcome["value"]

    async def click_through(self, script: str, argument: Any, *, button: str) -> Any:
        """`call` of what lets the SDK show a dialog, and a click in it."""
        bought, _ = await asyncio.gather(self.call(script, argument), self.page.get_by_role("button", name=button, exact=True).click())
        return bought


class Shop(SdkPage):
    """purchases-js."""

    async def open(self, app_user_id: str, *, key: str | None = None, headers: dict[str, str] | None = None) -> None:
        await self.load()
        http = {"proxyURL": self.base_url, "eventsURL": self.base_url, "additionalHeaders": headers or {}}
        await self.call(
            "(config) => { window.sdk = Purchases.Purchases.configure(config) }",
            {"apiKey": key or self.world.keys["test_store"], "appUserId": app_user_id, "httpConfig": http},
        )

    async def open_anonymously(self) -> str:
        await self.load()
        app_user_id: str = await self.call("() => Purchases.Purchases.generateRevenueCatAnonymousAppUserId()")
        await self.open(app_user_id)
        return app_user_id

    async def purchase(self, package: str, *, offering: str = "default", button: str = "Test valid purchase") -> Any:
        return await self.click_through(
            """async ({ offering, name }) => {
              const found = (await sdk.getOfferings()).all[offering].packagesById[name];
              return await sdk.purchase({ rcPackage: found });
            }""",
            {"offering": offering, "name": package},
            button=button,
        )

    async def customer_info(self) -> Any:
        return await self.call("() => sdk.getCustomerInfo()")

    async def is_entitled_to(self, entitlement: str) -> bool:
        return bool(await self.call("(entitlement) => sdk.isEntitledTo(entitlement)", entitlement))


class Hybrid(SdkPage):
    """purchases-js-hybrid-mappings: what Flutter, React Native, Capacitor and Unity use on the web."""

    async def open(self, app_user_id: str | None = None) -> None:
        """Without an id, it takes the one that it remembers, or makes an anonymous one."""
        await self.load()
        await self.call(
            """({ baseUrl, apiKey, appUserId }) => {
              const { PurchasesCommon } = PurchasesHybridMappings;
              PurchasesCommon.setProxyUrl(baseUrl);
              window.sdk = PurchasesCommon.configure({ apiKey, appUserId: appUserId ?? undefined, flavor: "flutter", flavorVersion: "9.0.0" });
            }""",
            {"baseUrl": self.base_url, "apiKey": self.world.keys["test_store"], "appUserId": app_user_id},
        )

    async def purchase(self, package: str, *, button: str = "Test valid purchase") -> Any:
        return await self.click_through(
            "(packageIdentifier) => sdk.purchasePackage({ packageIdentifier, presentedOfferingContext: { offeringIdentifier: 'default' } })",
            package,
            button=button,
        )


@asynccontextmanager
async def open_page(browser: Browser) -> AsyncIterator[Page]:
    """In a context of its own: nothing stored, nothing cached."""
    async with await browser.new_context(locale="en-US") as context:
        yield await context.new_page()
