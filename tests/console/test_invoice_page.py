"""The invoice on a telephone: nothing of it is cut off, however long a name and however large an amount."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser, expect

from connector.orders.documents.invoice import build_invoice
from connector.orders.documents.tracking_page import invoice_page
from tests.org.conftest import SHARED
from tests.web.test_documents import BILLING, NOW, an_order

pytestmark = SHARED

NAME = "Darjeeling second flush, ten boxes of twenty bags with a name that goes on"


@pytest.mark.parametrize("width", [360, 900])
@pytest.mark.parametrize("name", [NAME, "Unbreakable" * 12])
async def test_an_invoice_is_as_wide_as_the_screen(browser: Browser, width: int, name: str) -> None:
    order = an_order(("1110", "9.99", "0.1"), ("4000", "1204.5", "0"), name=name, freight="1234567.89")
    page = await browser.new_page(viewport={"width": width, "height": 1600})
    await page.set_content(invoice_page(build_invoice("INV-1", order, order.state, order.state.due, NOW, BILLING)))
    wider = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wider == 0
    for amount in ("9,980.01", "4,818,000.00", "1,234,567.89", "6,062,547.90 USD"):
        await expect(page.get_by_text(amount, exact=True)).to_be_in_viewport(ratio=1)
    await expect(page.locator("body")).to_contain_text("1,110")
    sender, customer = page.locator("address").nth(0), page.locator("address").nth(1)
    left = [(await item.evaluate("item => item.getBoundingClientRect().left")) for item in (sender, customer)]
    assert (left[0] == left[1]) is (width == 360)
    await page.close()
