"""Orders are found by their status in Salesforce."""

from __future__ import annotations

import re

from connector.model.role import Role
from tests.web.conftest import Api
from tests.web.test_api import placed
from tests.web.test_console import open_page, sign_in
from tests.web.test_order_status_page import link_order


async def numbers_at(api: Api, path: str) -> set[str]:
    answer, text = await open_page(api, path)
    assert answer.status == 200, path
    return set(re.findall(r'href="/orders/(W-\d)"', text))


async def test_orders_are_filtered_by_their_status_in_salesforce(api: Api) -> None:
    await placed(api)
    await placed(api, number="W-2")
    await placed(api, number="W-3")
    await link_order(api, "Draft")
    await link_order(api, "Activated", "W-2")
    await sign_in(api, Role.VIEWER)
    assert await numbers_at(api, "/orders?status=Draft") == {"W-1"}
    assert await numbers_at(api, "/orders?status=Activated&stage=placed") == {"W-2"}
    assert await numbers_at(api, "/orders?status=Lost") == set()
    _, text = await open_page(api, "/orders?status=Draft")
    assert re.findall(r"<option( selected)?>(Activated|Draft)<", text) == [("", "Activated"), (" selected", "Draft")]
    _, text = await open_page(api, "/orders.csv?status=Draft")
    header, row = text.strip().split("\r\n")
    cells = dict(zip(header.split(","), row.split(","), strict=True))
    assert (cells["number"], cells["status"], cells["goods"], cells["total"]) == ("W-1", "Draft", "65.64375", "70.54")

    await link_order(api, "Activated")
    assert await numbers_at(api, "/orders?status=Draft") == set()
