"""The words of an order's page: totals are named, lines are counted, and nothing is written as programs have it."""

from __future__ import annotations

import re

from connector.model.role import Role
from tests.web.conftest import ORDER, Api
from tests.web.test_console import open_page, sign_in
from tests.web.test_order_status_page import link_order


async def test_page_of_an_order_reads_as_people_write(api: Api) -> None:
    line = {"line": 1, "sku": "CHAI", "quantity": 100, "unit_price": 18}
    assert (await api("POST", "/orders", ORDER | {"lines": [line], "po_number": "P-1"})).status == 201
    await link_order(api, "Draft")
    for body in (
        {"action": "hold", "hold": "credit", "note": "Asked for by Ann."}, {"action": "release", "hold": "credit"},
        {"action": "capture", "amount": "1370.2"}, {"action": "change", "details": {"po_number": "P-2"}},
    ):  # fmt: skip
        assert (await api.move("W-1", **body)).status == 200
    await sign_in(api)
    _, text = await open_page(api, "/orders/W-1")
    assert "One line" in text
    assert re.search(r"<dt>Total, with freight and tax</dt><dd>\$1,804.90<", text)
    assert "Order Amount in Salesforce is its own sum" in text
    steps = re.findall(r'<div class="what">(.*?) <span', text)
    assert "Held credit, Asked for by Ann." in steps
    assert "Captured $1,370.20." in steps
    assert "Changed PO number P-2." in steps
    _, text = await open_page(api, "/orders")
    assert 'data-label="Total">$1,804.90<' in text

    api.client.session.cookie_jar.clear()
    await sign_in(api, Role.VIEWER)
    _, text = await open_page(api, "/orders/W-1")
    assert "Ann" not in text
