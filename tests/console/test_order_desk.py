"""What an order desk does in the console, in a real browser."""

from __future__ import annotations

from playwright.async_api import Browser, expect

from connector.store import orders
from tests.console.conftest import Console, signed_in
from tests.org.conftest import SHARED

pytestmark = SHARED


async def test_order_is_acted_on_and_a_draft_outlives_a_reload(browser: Browser, console: Console) -> None:
    page = await signed_in(browser, console)
    await page.goto(f"{console.url}/orders/N-1")
    await page.get_by_role("link", name="Cancel goods").click()
    await page.get_by_label("Quantity of line 1").fill("99")
    await page.get_by_label("Quantity of line 2").fill("")
    await page.get_by_label("Note for the history").fill("changed her mind")
    await page.reload()
    await expect(page.get_by_label("Quantity of line 1")).to_have_value("99")
    await page.get_by_label("I am sure").check()
    await page.get_by_role("button", name="Cancel goods").click()
    await expect(page.get_by_role("alert")).to_contain_text("Order N-1 cannot cancel 99 of line 1")
    await expect(page.get_by_label("Note for the history")).to_have_value("changed her mind")
    await page.get_by_label("Quantity of line 1").fill("1")
    await page.get_by_label("I am sure").check()
    await page.get_by_role("button", name="Cancel goods").dblclick()
    await expect(page.get_by_role("status")).to_contain_text("Canceled 1 of line 1")
    await page.get_by_role("link", name="Cancel goods").click()
    await expect(page.get_by_label("Note for the history")).to_have_value("")  # what was sent is no draft
    async with console.store.reader() as connection:
        [order] = await orders.load(connection, ["N-1"])
    assert order.state.sum("canceled") == 1
