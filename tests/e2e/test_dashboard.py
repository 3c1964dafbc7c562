"""The demo's pages in a real browser: their script, their forms, and what another site's page can do to them."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, Page, expect

from perennial import agenda, customers
from perennial.app import App, open_app
from perennial.base.value import replace
from perennial.customers.model import Attribute
from perennial.demo import ensure_demo
from tests.e2e.npm import install_packages
from tests.e2e.server import open_server, open_site
from tests.world import settings_for


@dataclass(frozen=True)
class Desk:
    app: App
    demo: dict[str, Any]
    page: Page
    base_url: str
    complaints: list[str]  # of the browser: what its policy refused, what nobody caught

    async def buy(self, app_user_id: str, label: str, *, store: str = "Test Store") -> None:
        option = self.page.locator(f"optgroup[label^='{store}'] option", has_text=label).first
        await self.page.get_by_label("Customer", exact=True).fill(app_user_id)
        await self.page.get_by_label("buys").select_option(value=await option.get_attribute("value"))
        await self.page.get_by_role("button", name="Buy").click()

    async def work(self) -> None:
        """What the worker does."""
        await agenda.run_due(self.app, self.demo["project_id"])


@pytest.fixture
async def desk(browser: Browser, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    monkeypatch.setenv("PERENNIAL_DEMO", "1")
    monkeypatch.setenv("PERENNIAL_ALLOW_INTERNAL_WEBHOOKS", "1")  # the demo's receiver is at this very machine
    async with AsyncExitStack() as stack:
        base_url = await stack.enter_async_context(open_server(database_url, tmp_path))
        settings = replace(settings_for(database_url, tmp_path), is_demo=True, port=urlsplit(base_url).port)
        app = await stack.enter_async_context(open_app(settings, connections=2))
        demo = await ensure_demo(app)
        context = await browser.new_context()
        page = await context.new_page()
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(error.message))
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        yield Desk(app=app, demo=demo, page=page, base_url=base_url, complaints=complaints)
        await context.close()


async def test_somebody_buys_and_the_pages_follow_what_happens(desk: Desk):
    page = desk.page
    await page.goto(desk.base_url)
    await desk.buy("ada", "Pro, monthly, 9.99 USD")
    await expect(page.get_by_role("heading", name="ada")).to_be_visible()
    await expect(page.locator("#given")).to_contain_text("pro renews")
    await expect(page.locator("#told")).to_contain_text("waiting")

    await desk.work()
    await expect(page.locator("#told")).to_contain_text("delivered", timeout=10_000)  # nobody reloads the page

    await page.get_by_role("button", name="+1 month").click()
    await expect(page.get_by_role("status")).to_contain_text("The clock moved on")
    await expect(page.locator("#told")).to_contain_text("renewal")
    await page.get_by_role("button", name="Cancel").click()
    await expect(page.locator("#lines")).to_contain_text("will not renew")
    await page.get_by_role("button", name="+1 year").click()
    await expect(page.locator("#given")).to_contain_text("No entitlement is active now.")

    await page.goto(desk.base_url)
    await expect(page.locator("#received .tag").first).to_have_text("expiration")
    await page.locator("#received summary").first.click()
    await expect(page.locator("#received pre").first).to_contain_text('"type": "EXPIRATION"')
    assert desk.complaints == []


async def test_somebody_rehearses_google_play_and_stripe_without_leaving_the_pages(desk: Desk):
    """The server answers itself as the stores' API, in the same process and at the same time."""
    page = desk.page
    await page.goto(desk.base_url)
    await desk.buy("ada", "Pro, yearly, 59.99 USD, after a trial", store="Google Play")
    await expect(page.locator("#lines")).to_contain_text("Google Play, sandbox: renews")
    await expect(page.locator("#told")).to_contain_text("initial purchase a trial")
    await page.get_by_label("Change now to").select_option(label="Pro, monthly")
    await page.get_by_role("button", name="Change now to").click()
    await expect(page.locator("#told")).to_contain_text("product change")
    await page.get_by_label("Pause for").select_option(label="2 months")
    await page.get_by_role("button", name="Pause for").click()
    await expect(page.locator("#lines .note")).to_have_text("A pause begins when the period ends.")
    await expect(page.get_by_role("button", name="Pause for")).to_have_count(0)
    await page.get_by_role("button", name="+1 month").click()
    await expect(page.locator("#given")).to_contain_text("No entitlement is active now.")
    await expect(page.locator("#lines .tag")).to_have_text("paused")
    await page.get_by_role("button", name="Resume").click()
    await expect(page.locator("#given")).to_contain_text("pro renews")

    await page.goto(desk.base_url)
    await desk.buy("bob", "Pro, monthly, 9.99 USD", store="Stripe")
    await expect(page.locator("#lines")).to_contain_text("Stripe, sandbox: renews")
    await page.get_by_label("Refund").select_option(label="half of it")
    await page.get_by_role("button", name="Refund", exact=True).click()
    await expect(page.locator("#told")).to_contain_text("4.99 USD given back")
    await page.get_by_role("button", name="End at once").click()
    await expect(page.locator("#given")).to_contain_text("No entitlement is active now.")
    assert desk.complaints == []


async def test_what_is_opened_by_hand_stays_open(desk: Desk):
    page = desk.page
    await page.goto(desk.base_url)
    await desk.buy("ada", "Pro, monthly, 9.99 USD")
    await page.locator("#lines summary").click()  # closes it
    await page.locator("h1").click()
    await desk.work()
    await expect(page.locator("#told")).to_contain_text("delivered", timeout=10_000)
    await expect(page.locator("#lines table")).to_be_hidden()


async def test_the_lines_to_paste_are_copied_whole(desk: Desk):
    page = desk.page
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await page.goto(desk.base_url)
    for name, expected in (("Kotlin", "10.0.2.2"), ("Swift", ".with(entitlementVerificationMode: .disabled)"), ("JavaScript", "eventsURL")):
        await page.get_by_text(name, exact=True).click()
        await page.locator(".panel:visible").get_by_role("button", name="Copy").click()
        await expect(page.locator(".panel:visible").get_by_role("button")).to_have_text("Copied")
        copied = await page.evaluate("navigator.clipboard.readText()")
        assert expected in copied
        assert desk.demo["public_keys"]["test_store"] in copied
    assert desk.complaints == []


async def test_everything_that_takes_input_has_a_name_and_nothing_is_wider_than_a_phone(desk: Desk):
    page = desk.page
    await page.set_viewport_size({"width": 360, "height": 780})
    await page.goto(desk.base_url)
    await desk.buy("ada", "Pro, yearly, 59.99 USD, after a trial")
    await page.goto(desk.base_url)
    await desk.buy("ada", "Pro, monthly, 9.99 USD", store="Stripe")
    for path in ("/", "/customers", "/customers/ada"):
        await page.goto(desk.base_url + path)
        inputs = await page.locator("input:not([type=hidden]), select").all()
        assert inputs != []
        assert [await one.get_attribute("name") for one in inputs if not await one.evaluate("(one) => one.labels.length")] == []
        assert await page.evaluate("document.documentElement.scrollWidth") <= 360


LONG = "a_customer_of_whom_an_app_speaks_by_a_name_that_is_as_long_as_it_may_be_a_hundred_letters_in_one_word"[:100]

# What is wider than what holds it, and the page itself where it is wider than the screen. Texts for screen readers alone are one pixel wide.
_CUT_OFF = """
() => [document.documentElement, ...document.querySelectorAll("body *")]
  .filter((one) => !one.closest(".hidden, .skip") && getComputedStyle(one).display !== "inline" && one.clientWidth > 1)
  .filter((one) => one.scrollWidth > one.clientWidth + 1)
  .map((one) => `${one.tagName} ${one.className} ${one.scrollWidth} > ${one.clientWidth}`)
"""


SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


async def test_every_page_passes_axe_and_cuts_nothing_off(desk: Desk, browser: Browser):
    """By day and by night, on a phone and on a desk, with everything a page can show: long names, failures to come, pauses, webhooks heard."""
    axe = (install_packages() / "axe-core" / "axe.min.js").read_text()
    page = desk.page
    await page.goto(desk.base_url)
    for who, label, store in (
        ("ada", "Pro, monthly, 9.99 USD", "App Store"),
        ("bob", "Pro, yearly, 59.99 USD, after a trial", "Google Play"),
        ("carl", "Pro, monthly, 9.99 USD", "Stripe"),
        (LONG, "Pro, for good", "Test Store"),
    ):
        await page.goto(desk.base_url)
        await desk.buy(who, label, store=store)
    for who, act in (("ada", "Fail next renewal:"), ("bob", "Pause for"), ("carl", "Refund")):
        await page.goto(f"{desk.base_url}/customers/{who}")
        await page.get_by_role("button", name=act, exact=True).click()
    async with desk.app.database.transaction(desk.demo["project_id"]) as tx:
        found = await customers.get(tx, "ada")
        attributes = {
            "$email": Attribute(value="x" * 60 + "@example.com", updated_at=tx.now),
            "n" * 40: Attribute(value="v" * 300, updated_at=tx.now),
        }
        await customers.set_attributes(tx, found.customer_id, attributes)
    await desk.work()
    for width in (390, 1280):
        async with await browser.new_context(viewport={"width": width, "height": 844}, bypass_csp=True) as context:
            shown = await context.new_page()
            for path in ("/", "/customers", f"/customers/{LONG}", "/customers/ada", "/customers/bob", "/customers/carl", "/customers?search=nobody"):
                await shown.goto(desk.base_url + path)
                await shown.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true })")
                await shown.evaluate(axe)
                for scheme in SCHEMES:
                    await shown.emulate_media(color_scheme=scheme)
                    broken = await shown.evaluate("axe.run(document).then((found) => found.violations.map((one) => [one.id, one.nodes[0].html]))")
                    assert broken == [], f"{path} at {width}, {scheme}"
                assert await shown.evaluate(_CUT_OFF) == [], f"{path} at {width}"


async def test_a_planned_failure_is_seen_and_taken_back(desk: Desk):
    page = desk.page
    await page.goto(desk.base_url)
    await expect(page.get_by_label("buys").locator("option").first).to_have_text("Test Store: Pro, monthly, 9.99 USD")
    await desk.buy("ada", "Pro, monthly, 9.99 USD", store="App Store")
    await page.get_by_role("button", name="Fail next renewal:").click()
    await expect(page.locator("#lines .note")).to_have_text("The next renewal will fail: no grace, paid after 3 days.")
    await expect(page.locator("#lines")).not_to_contain_text("renews")
    await page.get_by_role("button", name="Do not fail after all").click()
    await expect(page.locator("#lines")).to_contain_text("App Store, sandbox: renews")
    await page.get_by_role("button", name="+1 month").click()
    await expect(page.locator("#told")).to_contain_text("renewal")
    await expect(page.locator("#told")).not_to_contain_text("billing issue")
    assert desk.complaints == []


async def test_another_sites_page_reads_nothing_and_moves_nothing(desk: Desk, tmp_path: Path):
    """On the same machine and port of its own, as any page a developer has open."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "index.html").write_text(
        f'<!doctype html><form action="{desk.base_url}/demo/clock" method="post"><button name="by" value="year">A prize</button></form>'
    )
    async with desk.app.database.transaction(desk.demo["project_id"]) as tx:
        before = tx.now
    with open_site(folder) as address:
        await desk.page.goto(address)
        read = await desk.page.evaluate("(url) => fetch(url).then((answer) => answer.status + ' ' + answer.url)", f"{desk.base_url}/")
        assert read == f"403 {desk.base_url}/"
        async with desk.page.expect_response("**/demo/clock") as answered:
            await desk.page.get_by_role("button").click()
        assert (await answered.value).status == 403
    async with desk.app.database.transaction(desk.demo["project_id"]) as tx:
        assert (tx.now - before).days == 0
