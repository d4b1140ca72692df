"""Correcting a line and a field without a known limit, in the console."""

from __future__ import annotations

import re
from dataclasses import replace
from urllib.parse import urlencode

from connector.model.change import ChangeState
from tests.web.conftest import Api
from tests.web.test_api import placed
from tests.web.test_console import open_page, sign_in
from tests.web.test_dead_letters import MISSING, TOO_LONG, refuse, states

PATH = "/errors/correct?" + urlencode({"entity": "order", "key": "W-1"})


async def send(api: Api, page: str, **changes: str) -> tuple[int, str]:
    hidden = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page))
    async with api.client.post(PATH, data={**hidden, **changes}, allow_redirects=False) as answer:
        return answer.status, answer.headers.get("Location") or await answer.text()


async def test_line_is_corrected_with_the_rest_of_it_as_it_is(api: Api) -> None:
    await placed(api)
    refusal = replace(TOO_LONG, code="NUMBER_OUTSIDE_VALID_RANGE", field="OrderItem.Quantity", record="line W-1-2")
    await refuse(api, "W-1", refusal)
    await sign_in(api)
    answer, page = await open_page(api, PATH)
    assert answer.status == 200
    assert "Quantity of line 2" in page
    assert 'name="line_edits.2.quantity" type="text" value="1.5"' in page
    status, text = await send(api, page, **{"line_edits.2.quantity": "many"})
    assert (status, 'id="wrong-line_edits.2.quantity"' in text) == (422, True)
    status, where = await send(api, page, **{"line_edits.2.quantity": "2"})
    assert (status, where.startswith("/errors/cause?group=")) == (303, True)
    order = (await api("GET", "/orders/W-1")).body
    assert [(line["sku"], float(line["quantity"])) for line in order["lines"]] == [("CHAI", 2), ("TOFU", 2)]
    assert await states(api) == {"W-1": ChangeState.DUE}


async def test_all_values_are_offered_if_none_is_known_to_be_refused(api: Api) -> None:
    await placed(api)
    await refuse(api, "W-1", MISSING)  # of a field that nothing is mapped to
    await sign_in(api)
    _, page = await open_page(api, PATH)
    assert "Values of order W-1" in page
    status, _ = await send(api, page, **{"set.ship_to_city": "Bonn", "set.ship_complete": "true"})
    assert status == 303
    order = (await api("GET", "/orders/W-1")).body
    assert (order["ship_to_city"], order["ship_complete"]) == ("Bonn", True)
    await refuse(api, "W-1", replace(MISSING, code="INSUFFICIENT_ACCESS_OR_READONLY"))
    _, page = await open_page(api, PATH)
    assert "No value of ours can cure this." in page
    status, text = await send(api, page, **{"set.ship_to_city": "Köln"})
    assert (status, "is not refused any more" in text or "No value" in text) == (404, True)


async def test_value_that_can_no_longer_be_changed_is_named_with_what_helps_instead(api: Api) -> None:
    await placed(api)
    await refuse(api, "W-1", replace(TOO_LONG, field="Order.ShippingCity"))
    await sign_in(api)
    _, page = await open_page(api, PATH)
    assert 'name="set.ship_to_city"' in page
    assert "can no longer be changed" not in page
    for action in ("verify", "confirm", "allocate", "pick", "pack"):
        await api.move(action=action)
    for shipment in (1, 2):
        await api.move(action="ship", shipment=shipment)
    await refuse(api, "W-1", replace(TOO_LONG, field="Order.ShippingCity"))
    _, page = await open_page(api, PATH)
    assert 'name="set.ship_to_city"' not in page
    text = re.sub(r"\s+", " ", re.sub("<[^>]+>", "", page))
    assert "made from Delivery: city, which can no longer be changed: the order is shipped." in text
