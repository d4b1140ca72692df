"""Working on causes of dead letters in a real browser: assign, snooze, correct and replay."""

from __future__ import annotations

from playwright.async_api import Browser, expect

from tests.console.conftest import Console, signed_in, until_ready
from tests.org.conftest import SHARED

pytestmark = SHARED


async def test_cause_is_snoozed_and_its_refused_value_corrected_and_replayed(
    browser: Browser, console: Console
) -> None:
    page = await signed_in(browser, console)
    await page.goto(f"{console.url}/errors")
    await page.get_by_role("link", name="A text is longer than its field.").click()
    await page.get_by_text("Assign, note, snooze").click()
    await page.get_by_label("Whose it is").fill("Kim")
    await page.get_by_label("Note").fill("Asked Ann")
    await page.get_by_label("Snooze").select_option("four hours")
    await page.get_by_role("button", name="Keep").click()
    await expect(page.get_by_role("status")).to_contain_text("It is snoozed for four hours.")
    await expect(page.get_by_text("Asked Ann").first).to_be_visible()
    await page.goto(console.url)
    await page.get_by_role("link", name="snoozed").click()
    await page.get_by_text("1 snoozed").click()
    await page.get_by_role("link", name="A text is longer than its field.").click()

    await page.get_by_role("link", name="Correct").click()
    await expect(page.get_by_label("PO number")).to_be_visible()
    await until_ready(page)
    await page.get_by_label("PO number").fill("PO-77")
    await page.reload()
    await expect(page.get_by_label("PO number")).to_have_value("PO-77")  # what was typed survives a reload
    await page.get_by_role("button", name="Correct and replay").click()
    await expect(page.get_by_role("status")).to_have_text("Order N-3 is corrected: 1 change is sent again.")
    await expect(page.get_by_role("heading", name="Nothing is left of this cause")).to_be_visible()
