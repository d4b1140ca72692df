"""The local org's pages in a real browser: visible content, keyboard, small screens, accessibility, dark mode."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.console.axe import faults_of, load_axe
from tests.console.org_scene import LONG_TEXT, SCRIPT, Shop, running_shop
from tests.org.conftest import SHARED

pytestmark = SHARED


@pytest_asyncio.fixture(loop_scope="session")
async def shop() -> AsyncIterator[Shop]:
    async with running_shop() as running:
        yield running


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
            (page.locator(".health"), "On hold: Address to be checked"),
            (page.locator("dd", has_text="DHL"), "DHL JD014600003828392837"),
        ):
            await expect(element.first).to_contain_text(text)
            await expect(element.first).to_be_in_viewport(ratio=1)


async def test_search_works_by_keyboard_alone(browser: Browser, shop: Shop) -> None:
    page = await opened(browser, shop)
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Local org")).to_be_focused()
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("searchbox")).to_be_focused()
    outline = await page.evaluate("getComputedStyle(document.activeElement.closest('form')).outlineStyle")
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
            cut = "[...document.querySelectorAll('.scroll')].filter(it => it.scrollWidth > it.clientWidth).length"
            assert await page.evaluate(cut) == 0, (place, width)
    assert [line for line in said if "404" not in line] == []


async def test_axe_finds_no_violation_on_any_page(browser: Browser) -> None:
    """Each page wide and narrow, light and dark, with texts in bad shape, too. Scripts are for axe only."""
    async with running_shop(lambda: LONG_TEXT) as shop:
        page = await opened(browser, shop, bypass_csp=True, reduced_motion="reduce")
        await load_axe(page)
        found = []
        for turn, place in enumerate(shop.places):
            found += await faults_of(page, shop.org.url + place, turn)
            assert await page.locator("h1").count() == 1, place
            assert await page.locator("script, [style], [onclick]").count() == 0, place
        assert not found, "\n".join(map(str, found))


async def test_table_keeps_its_roles_on_a_narrow_screen(browser: Browser, shop: Shop) -> None:
    page = await opened(browser, shop, viewport={"width": 360, "height": 740})
    await page.goto("/orders")
    row = page.get_by_role("table").get_by_role("row").filter(has=page.get_by_role("rowheader", name="N-3"))
    await expect(row).to_contain_text("On hold: Address to be checked")
