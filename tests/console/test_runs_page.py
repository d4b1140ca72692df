"""Runs in a browser: what one has written, and its undo by the plan that was shown."""

from __future__ import annotations

from playwright.async_api import Browser, expect

from tests.console.conftest import Console, signed_in
from tests.org.conftest import SHARED

pytestmark = SHARED


async def test_run_is_undone_by_the_plan_that_was_shown(browser: Browser, console: Console) -> None:
    page = await signed_in(browser, console)
    await page.get_by_role("link", name="Runs").click()
    await page.get_by_role("link", name="resync-1").first.click()
    await expect(page.get_by_role("row", name="Carrier__c")).to_contain_text("not known")
    await page.get_by_role("link", name="Undo…").click()
    await expect(page.get_by_text("Nothing is changed yet")).to_be_visible()
    assert await page.locator("main").get_attribute("hx-get") is None  # each look reads the org
    await page.get_by_label("Only these numbers").fill("N-1")
    await page.get_by_label("Also where we would send another value now: 1").check()
    await page.get_by_role("button", name="Plan this part").click()
    await expect(page.get_by_label("Also where we would send another value now")).to_be_checked()
    await expect(page.get_by_role("heading", name="Sent with it, not because of it")).to_be_visible()
    await page.get_by_role("button", name="Put 2 fields back").click()
    await expect(page.get_by_role("alert")).to_contain_text("The plan has changed. Look at the new one.")
    await page.get_by_role("link", name="All of it").click()
    await expect(page.get_by_label("Also where we would send another value now")).not_to_be_checked()
    await page.get_by_role("button", name="Put 2 fields back").click()
    await expect(page.get_by_role("heading", name="undo-1")).to_be_visible()
    await expect(page.get_by_role("status")).to_contain_text("2 fields will be put back")
    assert await page.title() != "owned"
