"""The local org's pages in a real browser: visible content, keyboard, small screens, accessibility, dark mode."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from connector.cli.localorg import our_metadata
from connector.localorg.org import OrgOptions
from connector.localorg.server import LocalOrg
from tests.org.conftest import SHARED, Caller

pytestmark = SHARED

SCRIPT = "<script>alert(1)</script>"
CONTRAST = """
() => {
  const light = ([r, g, b]) => [r, g, b]
    .map(part => (part /= 255) <= .03928 ? part / 12.92 : ((part + .055) / 1.055) ** 2.4)
    .reduce((sum, part, place) => sum + part * [.2126, .7152, .0722][place], 0);
  const rgb = text => text.match(/[\\d.]+/g).map(Number);
  const ground = element => {
    for (; element; element = element.parentElement) {
      const found = rgb(getComputedStyle(element).backgroundColor);
      if (found.length < 4 || found[3] > 0) return found;
    }
    return [255, 255, 255];
  };
  const poor = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.checkVisibility() || element.matches("option, style")) continue;
    const [ink, paper] = [light(rgb(getComputedStyle(element).color)), light(ground(element))];
    const ratio = (Math.max(ink, paper) + .05) / (Math.min(ink, paper) + .05);
    if (ratio < 4.5) poor.push(`${element.className || element.tagName}: ${ratio.toFixed(2)}`);
  }
  return poor;
}
"""


@dataclass
class Shop:
    """An org with a few orders."""

    org: LocalOrg
    account: str
    orders: tuple[str, ...]
    product: str

    @property
    def order(self) -> str:
        """The order on hold."""
        return self.orders[-1]

    @property
    def places(self) -> list[str]:
        return [
            "/", "/orders", *(f"/orders/{order}" for order in self.orders), "/accounts", f"/accounts/{self.account}",
            "/products", f"/record/{self.product}", "/search?q=N-1", "/usage", "/calls", "/nowhere",
        ]  # fmt: skip


@pytest_asyncio.fixture(loop_scope="session")
async def shop() -> AsyncIterator[Shop]:
    async with LocalOrg(OrgOptions(metadata_root=our_metadata())) as org, aiohttp.ClientSession() as http:
        caller = Caller(org, http)
        account = await caller.create("Account", Name=SCRIPT)
        product, entry = await caller.priced_product(name="Chai, ten boxes of twenty bags with a name that goes on")
        await caller.call("PATCH", f"sobjects/Product2/{product}", {"StockKeepingUnit": "TEA-EB-100"})
        result = []
        for number, stage in enumerate(("placed", "canceled", "shipped"), start=1):
            order = await caller.draft(
                AccountId=account, External_Key__c=f"N-{number}", Lifecycle_Stage__c=stage, Payment_Status__c="paid",
                Hold_Reason__c="Address to be checked" if stage == "shipped" else None,
                Carrier__c="DHL", Tracking_Number__c="JD014600003828392837", Placed_At__c="2026-01-05T10:20:30Z",
            )  # fmt: skip
            result.append(order)
            await caller.create(
                "OrderItem", OrderId=order, PricebookEntryId=entry, Quantity=12, UnitPrice=10,
                List_Unit_Price__c=12.3457 if stage == "canceled" else 10, Discount_Percent__c=number - 1,
                Shipped_Quantity__c=8, Delivered_Quantity__c=6, Returned_Quantity__c=2, Canceled_Quantity__c=1,
                Backordered_Quantity__c=3, Exact_Total__c=1234.5678,
            )  # fmt: skip
        await caller.call("GET", "sobjects/Nothing/describe")
        yield Shop(org, account, tuple(result), product)


async def opened(browser: Browser, shop: Shop, **options: object) -> Page:
    context = await browser.new_context(base_url=shop.org.url, **options)  # type: ignore[arg-type]
    page = await context.new_page()
    await page.goto(shop.org.page_url)
    return page


async def test_printed_link_opens_and_pages_link_to_each_other(browser: Browser, shop: Shop) -> None:
    page = await opened(browser, shop)
    assert page.url == f"{shop.org.url}/"
    await page.get_by_role("link", name="Orders", exact=True).click()
    await page.get_by_label("On hold only").check()
    await page.get_by_label("Stage").select_option("Shipped")
    await page.get_by_role("button", name="Show").click()
    await expect(page.get_by_role("rowheader")).to_have_text(["N-3"])
    await page.get_by_role("link", name="N-3").click()
    await page.get_by_role("link", name=SCRIPT).first.click()
    await expect(page.get_by_role("heading", level=1)).to_have_text(SCRIPT)
    stranger = await (await browser.new_context()).new_page()
    refused = await stranger.goto(f"{shop.org.url}/orders")
    assert refused is not None
    assert refused.status == 403


async def test_stage_hold_and_tracking_are_visible_without_scrolling(browser: Browser, shop: Shop) -> None:
    for width, height in ((1280, 720), (360, 740)):
        page = await opened(browser, shop, viewport={"width": width, "height": height})
        await page.goto(f"/orders/{shop.order}")
        await expect(page.locator("[aria-current=step]")).to_have_text("Shipped")
        for element, text in (
            (page.locator(".states"), "Stage: Shipped"),
            (page.locator(".alert"), "On hold: Address to be checked"),
            (page.locator("dd", has_text="DHL"), "DHL JD014600003828392837"),
        ):
            await expect(element.first).to_contain_text(text)
            await expect(element.first).to_be_in_viewport(ratio=1)


async def test_search_works_by_keyboard_alone(browser: Browser, shop: Shop) -> None:
    page = await opened(browser, shop)
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("searchbox")).to_be_focused()
    outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    await page.keyboard.type("n-2")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("rowheader")).to_have_text(["N-2"])
    await expect(page.get_by_role("searchbox")).to_have_value("n-2")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_page_fits_wide_and_narrow_screens(browser: Browser, shop: Shop, scheme: str) -> None:
    page = await opened(browser, shop, color_scheme=scheme)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("dialog", lambda dialog: said.append(f"a dialog: {dialog.message}"))
    for place in shop.places:
        await page.goto(place)
        for width in (360, 768, 1100, 1600):
            await page.set_viewport_size({"width": width, "height": 800})
            wider = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wider == 0, (place, width)
            cut = "[...document.querySelectorAll('.wide')].filter(it => it.scrollWidth > it.clientWidth).length"
            assert await page.evaluate(cut) == 0, (place, width)
            assert await page.evaluate(CONTRAST) == [], (place, width)
    assert [line for line in said if "404" not in line] == []


async def test_every_page_is_accessible_to_screen_readers(browser: Browser, shop: Shop) -> None:
    page = await opened(browser, shop)
    for place in shop.places:
        await page.goto(place)
        assert await page.locator("h1").count() == 1, place
        assert await page.title() != "", place
        unnamed = "table:not(:has(caption)), thead th:not([scope=col]), tbody th:not([scope=row])"
        assert await page.locator(unnamed).count() == 0, place
        unlabeled = (
            "[...document.querySelectorAll('input:not([type=hidden]), select, meter')].filter(i => !i.labels.length)"
        )
        assert await page.evaluate(f"{unlabeled}.length") == 0, place
        assert await page.locator("script, [style], [onclick]").count() == 0, place


async def test_table_keeps_its_roles_on_a_narrow_screen(browser: Browser, shop: Shop) -> None:
    page = await opened(browser, shop, viewport={"width": 360, "height": 740})
    await page.goto("/orders")
    row = page.get_by_role("table").get_by_role("row").filter(has=page.get_by_role("rowheader", name="N-3"))
    await expect(row).to_contain_text("On hold: Address to be checked")
