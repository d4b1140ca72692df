"""The pages of the order desk: holds, back-orders, pick lists, returns; what each role sees, and what forms do."""

from __future__ import annotations

import re
from decimal import Decimal
from html import unescape
from typing import Any

import pytest

from connector.model.role import Role
from connector.store import stock
from connector.web.console import desk_backorders, desk_holds, desk_returns
from tests.web.conftest import ORDER, Api
from tests.web.test_api import placed
from tests.web.test_console import HOSTILE, open_page, send, sign_in

PAGES = ("/desk/holds", "/desk/back-orders", "/desk/picks", "/desk/returns")


def forms_of(text: str) -> list[tuple[str, dict[str, str]]]:
    """The forms in the page that post something, with their hidden fields."""
    main = text.partition("<main")[2]
    found = re.findall(r'<form[^>]*method="post"[^>]*action="([^"]+)"[^>]*>(.*?)</form>', main, re.DOTALL)
    hidden = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)"')
    return [(where.replace("&amp;", "&"), dict(hidden.findall(body))) for where, body in found]


async def press(api: Api, page: str, where: str, **fields: Any) -> tuple[int, str]:
    """Send the first form of the page to this address."""
    _, text = await open_page(api, page)
    filled = next(fields for action, fields in forms_of(text) if action == where)
    return await send(api, where, **{**filled, **{name.replace("__", "."): value for name, value in fields.items()}})


async def confirmed(api: Api, number: str, **more: Any) -> None:
    await placed(api, number=number, **more)
    for action in ("verify", "confirm", "allocate"):
        await api.move(number, action=action)


async def test_holds_are_released_together_with_a_note(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await sign_in(api)
    for page in PAGES:
        answer, text = await open_page(api, page)
        assert (answer.status, 'class="card nothing"' in text) == (200, True), page
    for number in ("W-1", "W-2", "W-3"):
        await placed(api, number=number)
        await api.move(number, action="hold", hold="fraud", note=HOSTILE)
    await api.move("W-3", action="hold", hold="address")
    _, text = await open_page(api, "/desk/holds")
    assert set(re.findall(r'href="/orders/(W-\d)"', text)) == {"W-1", "W-2", "W-3"}
    assert "<script>document" not in text
    _, text = await open_page(api, "/desk/holds?reason=address")
    assert re.findall(r'name="chosen\.\d" value="([^"]+)"', text) == ["address W-3"]
    _, text = await open_page(api, "/desk/holds.csv?reason=fraud")
    assert text.count("\r\n") == 4

    status, text = await press(api, "/desk/holds", "/desk/holds/release")
    assert (status, "Choose at least one hold." in text) == (422, True)
    _, text = await open_page(api, "/desk/holds")
    [(where, hidden)] = forms_of(text)
    chosen = {**hidden, "chosen.1": "fraud W-1", "chosen.2": "fraud W-3", "chosen.3": "address W-3", "note": "all well"}
    told = [(await send(api, where, **chosen))[1] for _ in range(2)]
    assert ["3 holds released." in page for page in told] == [True, True]  # the same form twice
    assert [item["hold"] for item in await history(api, "W-3") if item["event"] == "released"] == ["fraud", "address"]
    assert [item["note"] for item in await history(api, "W-1") if item["event"] == "released"] == ["all well"]

    chosen = {"chosen.1": "fraud W-2", "chosen.2": "credit W-2", "chosen.3": "fraud W-9"}
    status, text = await send(api, "/desk/holds/release", **chosen)
    assert (status, "1 hold released." in text, "W-2 is not on hold for credit" in text or "W-2 cannot" in text) == (
        303, True, True,
    )  # fmt: skip
    assert (await send(api, "/desk/holds/release", **{"chosen.1": "fraud W-2"}))[0] == 422
    assert (await send(api, "/desk/holds/release", **{"chosen.1": "boredom W-2"}))[0] == 422

    monkeypatch.setattr(desk_holds, "PAGE_SIZE", 1)
    await api.move("W-1", action="hold", hold="manual")
    await api.move("W-2", action="hold", hold="manual")
    seen, address = [], "/desk/holds"
    while address:
        _, text = await open_page(api, address)
        seen += re.findall(r'name="chosen\.\d" value="([^"]+)"', text)
        following = re.search(r'href="([^"]+)">Next page', text)
        address = following[1].replace("&amp;", "&") if following else ""
    assert seen == ["manual W-1", "manual W-2"]
    for query in ("reason=x", "after=soon", "after=2026-01-01T00:00:00+00:00 nothing W-1"):
        assert (await open_page(api, f"/desk/holds?{query}"))[0].status == 400, query


async def history(api: Api, number: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await api("GET", f"/orders/{number}/history")).body["history"]
    return found


async def test_back_orders_get_what_came_in(api: Api) -> None:
    lines = [{"line": 1, "sku": "CHAI", "quantity": 60, "unit_price": 18}]
    await confirmed(api, "W-1", lines=lines)
    await sign_in(api)
    _, text = await open_page(api, "/desk/back-orders")
    assert ("/desk/back-orders?sku=CHAI" in text, forms_of(text)) == (True, [])  # nothing is left to allocate
    async with api.store.transaction() as uow:
        await stock.count(uow, {("CHAI", "WEST"): Decimal(4)})
    assert "Allocate 4<" in (await open_page(api, "/desk/back-orders"))[1]
    status, text = await press(api, "/desk/back-orders", "/desk/back-orders/allocate")
    assert (status, "1 order got 4 of CHAI." in text) == (303, True)
    status, text = await send(api, "/desk/back-orders/allocate", sku="CHAI")
    assert (status, "Nothing of CHAI could be allocated" in text) == (303, True)
    assert (await send(api, "/desk/back-orders/allocate", sku="NONE"))[0] == 422
    _, text = await open_page(api, "/desk/back-orders.csv?sku=CHAI")
    assert text.splitlines()[1].startswith("CHAI,W-1,1,6,")


async def test_product_is_short_only_of_what_no_stock_covers_and_its_lines_come_page_by_page(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk_backorders, "LINES_OF_PAGE", 2)
    monkeypatch.setattr(desk_backorders, "BATCH", 2)
    async with api.store.transaction() as uow:
        levels = await stock.levels(uow.connection, ["CHAI"])
        await stock.count(uow, dict.fromkeys([*levels, ("CHAI", "WEST")], Decimal(0)))
    for number, promised in (("W-1", None), ("W-2", "2026-03-09"), ("W-3", "2026-03-05"), ("W-4", "2026-03-05")):
        lines = [{"line": 1, "sku": "CHAI", "quantity": "2.5", "unit_price": 18}]
        body = ORDER | {"number": number, "lines": lines, "promised_on": promised}
        assert (await api("POST", "/orders", body)).status == 201
        await api.move(number, action="verify")
    await sign_in(api)
    seen, address = [], "/desk/back-orders?sku=CHAI"
    while address:
        _, text = await open_page(api, address)
        assert re.findall(r"<dt>(Short|To allocate)</dt><dd[^>]*>([^<]+)<", text) == [
            ("Short", "10"), ("To allocate", "0"),
        ]  # fmt: skip
        seen += re.findall(r'href="/orders/(W-\d)"', text)
        following = re.search(r'href="([^"]+)">Next lines', text)
        address = unescape(following[1]) if following else ""
    assert seen == ["W-3", "W-4", "W-2", "W-1"]
    for behind in ("x", "1 2026-03-05 2026-03-05T00:00:00 1", "99999999999 2026-03-05 2026-03-05T00:00:00 1 W-1"):
        answer, _ = await open_page(api, "/desk/back-orders", params={"sku": "CHAI", "behind": behind})
        assert answer.status == 400, behind

    async with api.store.transaction() as uow:
        await stock.count(uow, {("CHAI", "WEST"): Decimal(7)})
    _, text = await open_page(api, "/desk/back-orders")
    assert re.findall(r"<dt>(Short|To allocate)</dt><dd[^>]*>([^<]+)<", text) == [("Short", "3"), ("To allocate", "7")]
    assert "Allocate 7<" in text
    status, text = await press(api, "/desk/back-orders", "/desk/back-orders/allocate")  # in two batches
    assert (status, "3 orders got 7 of CHAI." in text) == (303, True)
    assert (await api("GET", "/back-orders")).body["back_orders"][0]["quantity"] == "3"


async def test_orders_are_picked_and_shipped_from_the_list(api: Api) -> None:
    for number in ("W-1", "W-2"):
        await confirmed(api, number)
    await sign_in(api)
    _, text = await open_page(api, "/desk/picks")
    assert [name for name in ("EAST", "WEST") if f"{name} <span" in text] == ["EAST", "WEST"]
    _, only_west = await open_page(api, "/desk/picks?warehouse=WEST")
    assert ("Tofu" in only_west, "Chai" in only_west) == (True, False)
    _, sheet = await open_page(api, "/desk/picks.csv?warehouse=WEST")
    assert [line.split(",")[:2] for line in sheet.splitlines()[1:]] == [["WEST", "W-1"], ["WEST", "W-2"]]

    where = "/orders/W-1/actions/pick"
    status, text = await press(api, "/desk/picks?warehouse=WEST", where)
    assert (status, "Picked 1.5 of line 2, warehouse WEST." in text, "<h1>Pick lists</h1>" in text) == (303, True, True)
    assert 'value="/desk/picks?warehouse=WEST"' in text  # the same list again
    ships = "/orders/W-1/actions/ship"
    status, text = await press(api, "/desk/picks", ships, carrier="Swift Post", tracking_number="SP-1")
    assert (status, "carrier Swift Post, tracking number SP-1" in text) == (303, True)
    status, text = await send(api, where, back="/desk/picks", warehouse="WEST")
    assert (status, 'role="alert"' in text, "<h1>Pick</h1>" in text) == (409, True, True)  # where it can be corrected
    order = (await api("GET", "/orders/W-1")).body
    assert [(line["picked"], line["shipped"]) for line in order["lines"]] == [("0", "0"), ("1.5", "1.5")]


async def test_returns_are_led_from_request_to_refund(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await confirmed(api, "W-1")
    for body in (
        {"action": "pick"}, {"action": "ship", "lines": {"1": "2", "2": "1.5"}}, {"action": "deliver"},
        {"action": "capture"}, {"action": "request_return", "lines": {"1": "1"}},
    ):  # fmt: skip
        said = await api.move(**body)
        assert said.status == 200, said.body
    await sign_in(api)
    approve, receive = (
        "/orders/W-1/actions/approve_return?return_number=1",
        "/orders/W-1/actions/receive_return?return_number=1",
    )
    for page, where, words in (
        ("/desk/returns?status=requested", approve, "Return approved return number 1."),
        ("/desk/returns", receive, "Return received 1 of line 1, return number 1."),
    ):
        status, text = await press(api, page, where)
        assert (status, words in text, "<h1>Returns</h1>" in text) == (303, True, True), text
    link = re.search(r'href="(/orders/W-1/actions/inspect_return\?[^"]+)"', text)
    assert link is not None
    assert "back=/desk/returns" in link[1]
    _, sheet = await open_page(api, "/desk/returns.csv")
    assert sheet.splitlines()[1].startswith("W-1-RMA1,W-1,received,other,refund,")
    await api.move(action="inspect_return", written_off={"1": "1"}, return_number=1)
    assert "No return waits for anybody." in (await open_page(api, "/desk/returns"))[1]

    monkeypatch.setattr(desk_returns, "PAGE_SIZE", 1)
    for _ in range(2):
        await api.move(action="request_return", lines={"2": "0.5"})
    _, text = await open_page(api, "/desk/returns")
    following = re.search(r'href="([^"]+)">Next page', text)
    assert following is not None
    _, later = await open_page(api, following[1])
    assert ["return 2 " in text, "return 3 " in text, "return 3 " in later] == [True, False, True]
    assert (await open_page(api, "/desk/returns?after=x"))[0].status == 400


async def test_viewer_of_the_order_desk_sees_no_form_and_no_note(api: Api) -> None:
    await confirmed(api, "W-1")
    await placed(api, number="W-2")
    await api.move("W-2", action="hold", hold="fraud", note="called from 555 0100")
    await sign_in(api, Role.VIEWER)
    for page in (*PAGES, "/desk/holds.csv"):
        answer, text = await open_page(api, page)
        assert (answer.status, forms_of(text), "555 0100" in text) == (200, [], False), page
