"""The pages of customers in a browser: their design, and nothing of the console on them."""

from __future__ import annotations

from playwright.async_api import Browser, expect

from connector.orders.policy.rules import standard
from connector.orders.service import OrderService
from tests.console.axe import faults_of, load_axe
from tests.console.conftest import LONG, Console
from tests.org.conftest import SHARED
from tests.unit.store import samples

pytestmark = SHARED


async def test_customer_follows_the_order_without_the_console(browser: Browser, console: Console) -> None:
    service = OrderService(console.store, standard)
    placed = await service.place(samples.placements([samples.order("N-9", ship_to_city=LONG[:80])]), actor="ann")
    [order] = [item.order for item in placed]
    context = await browser.new_context(bypass_csp=True, reduced_motion="reduce")  # axe is a script
    page = await context.new_page()
    await load_axe(page)
    found = await faults_of(page, f"{console.url}/track/{order.tracking_key}", 0)
    await expect(page.get_by_role("heading", level=1)).to_have_text("We have your order")
    await expect(page.locator("[aria-current=step]")).to_have_text("Received")
    assert await page.get_by_role("navigation").count() == 0
    assert await page.locator("a, form, script").count() == 0
    found += await faults_of(page, f"{console.url}/track/nothing", 1)
    await expect(page.get_by_role("heading", level=1)).to_have_text("This link leads to no order")
    assert not found, "\n".join(map(str, found))
