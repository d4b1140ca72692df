"""Actions on an order in the console: what is offered, the forms, and what comes of them."""

from __future__ import annotations

import re
from decimal import Decimal
from html.parser import HTMLParser
from typing import Any

from connector.model.action_fields import REQUESTABLE
from connector.model.role import Role
from connector.web.console.action_titles import GROUPS, TITLES
from tests.web.conftest import Api
from tests.web.test_api import placed
from tests.web.test_console import open_page, sign_in


class FormReader(HTMLParser):
    """The form of an action, as a browser would send it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self.options: dict[str, list[str]] = {}
        self.action = ""
        self._long = self._select = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        name = given.get("name", "")
        if tag == "form" and "form" in given.get("class", "").split():
            self.action, self.fields = given["action"], {}
        if not self.action:
            return
        if tag == "input" and (given.get("type") != "checkbox" or "checked" in given):
            self.fields[name] = given.get("value", "")
        elif tag == "textarea":
            self.fields[name], self._long = "", name
        elif tag == "select":
            self._select, self.options[name] = name, []
        elif tag == "option" and self._select:
            self.options[self._select].append(given["value"])
            if "selected" in given or self._select not in self.fields:
                self.fields[self._select] = given["value"]

    def handle_data(self, data: str) -> None:
        if self._long:
            self.fields[self._long] += data

    def handle_endtag(self, tag: str) -> None:
        self._long = "" if tag == "textarea" else self._long
        self._select = "" if tag == "select" else self._select


async def filled(api: Api, address: str, **changes: str) -> tuple[str, dict[str, str]]:
    """The form of this address as it is prefilled, with these changes: where it is sent, and its fields."""
    answer, text = await open_page(api, address)
    assert answer.status == 200, text
    form = FormReader(text)
    assert form.action, f"{address} has no form: {text}"
    return form.action, {**form.fields, **{name.replace("__", "."): value for name, value in changes.items()}}


async def send(api: Api, where: str, fields: dict[str, str]) -> tuple[int, str]:
    """The status of the answer, and the page that follows."""
    async with api.client.post(where, data=fields, allow_redirects=False) as answer:
        if answer.status != 303:
            return answer.status, await answer.text()
        return answer.status, (await open_page(api, answer.headers["Location"]))[1]


async def act(api: Api, action: str, query: str = "", **changes: str) -> tuple[int, str]:
    return await send(api, *await filled(api, f"/orders/W-1/actions/{action}{query}", **changes))


def offered(text: str) -> set[str]:
    return set(re.findall(r'href="/orders/W-1/actions/([\w?=&;]+)"', text))


async def stage_of(api: Api) -> Any:
    return (await api("GET", "/orders/W-1")).body["stage"]


def test_every_action_has_a_title_and_a_group() -> None:
    assert set(TITLES) == set(REQUESTABLE)
    assert sorted(action for actions in GROUPS.values() for action in actions) == sorted(REQUESTABLE)


async def open_forms(api: Api, steps: set[str], opened: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Open each form that is offered and was not opened at this stage."""
    stage = await stage_of(api)
    new = {(stage, step) for step in steps} - opened
    for _, step in new:
        await filled(api, f"/orders/W-1/actions/{step.replace('&amp;', '&')}")
    return opened | new


async def test_order_is_led_through_its_life_by_prefilled_forms(api: Api) -> None:
    """Each step is offered, and its form as it stands does it. Its goods come from two warehouses."""
    await placed(api)
    await sign_in(api)
    _, text = await open_page(api, "/orders/W-1")
    assert offered(text) == {"verify", "change", "hold", "split", "cancel", "authorize", "decline", "capture"}
    opened: set[tuple[str, str]] = set()
    for step, stage in (
        ("verify", "verified"), ("confirm", "confirmed"), ("allocate", "confirmed"), ("pick", "fulfilling"),
        ("pack", "fulfilling"), ("ship?shipment=1", "fulfilling"), ("ship?shipment=2", "shipped"),
        ("deliver?shipment=1", "shipped"), ("deliver?shipment=2", "delivered"),
        ("invoice", "delivered"), ("capture", "completed"), ("request_return", "completed"),
        ("approve_return?return_number=1", "completed"), ("receive_return?return_number=1", "completed"),
        ("inspect_return?return_number=1", "completed"),
    ):  # fmt: skip
        assert step in offered(text), (step, offered(text))
        opened = await open_forms(api, offered(text), opened)
        action, _, query = step.partition("?")
        status, text = await act(api, action, f"?{query}" if query else "")
        assert (status, await stage_of(api)) == (303, stage), (step, text)
        assert f"Order W-1 is {stage}" in text, step
    assert text.count('class="taken"') == 6  # from placed to completed
    assert text.count("<small>") == 7
    [invoice] = (await api("GET", "/orders/W-1/invoices")).body["invoices"]
    address = f"/orders/W-1/invoices/{invoice['number']}"
    assert f'href="{address}"' in text
    answer, shown = await open_page(api, address)
    assert (answer.status, invoice["number"] in shown) == (200, True)
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert (await open_page(api, f"/orders/W-2/invoices/{invoice['number']}"))[0].status == 404
    order = (await api("GET", "/orders/W-1")).body
    assert (order["returns"][0]["status"], order["amount_due"].startswith("-")) == ("closed", True)
    status, text = await act(api, "refund", amount="1.00", sure="yes")
    assert (status, "Refunded $1.00" in text) == (303, True)
    history = (await api("GET", "/orders/W-1/history")).body["history"]
    assert {entry["actor"] for entry in history if entry["event"] == "shipped"} == {"ops of tests"}


async def test_same_form_sent_twice_acts_once(api: Api) -> None:
    await placed(api)
    await sign_in(api)
    where, fields = await filled(api, "/orders/W-1/actions/hold", hold="fraud", note="asked for twice")
    told = [await send(api, where, fields) for _ in range(2)]
    assert [status for status, _ in told] == [303, 303]
    assert ["Held fraud, asked for twice." in text for _, text in told] == [True, True]
    events = [entry["event"] for entry in (await api("GET", "/orders/W-1/history")).body["history"]]
    assert events.count("held") == 1
    status, text = await send(api, where, {**fields, "hold": "address"})  # another command under the same request
    assert (status, "was used for another command" in text) == (409, True)


async def test_wrong_values_are_said_where_they_stand_and_kept(api: Api) -> None:
    await placed(api)
    await sign_in(api)
    status, text = await act(api, "cancel", lines__1="99", lines__2="")
    assert (status, 'id="wrong-sure"' in text, 'value="99"' in text) == (422, True, True)
    status, text = await act(api, "cancel", lines__1="99", lines__2="", sure="yes")
    assert (status, 'id="wrong-lines.1"' in text) == (422, True)
    assert "2 is neither packed nor shipped" in text
    status, text = await act(api, "cancel", lines__1="many", lines__2="", sure="yes")
    assert (status, "Quantity of line 1: " in text) == (422, True)
    status, text = await act(api, "cancel", lines__1="", lines__2="0", sure="yes")
    assert (status, "Say of at least one line how much it is." in text) == (422, True)
    status, text = await act(api, "capture", amount="1,50")
    assert (status, 'id="wrong-amount"' in text, 'value="1,50"' in text) == (422, True, True)
    status, text = await act(api, "capture", amount="100000")
    assert (status, 'id="wrong-amount"' in text) == (422, True)
    assert await stage_of(api) == "placed"
    status, text = await act(api, "cancel", lines__2="", sure="yes")
    assert (status, "Canceled 2 of line 1." in text) == (303, True)


async def test_change_sends_only_what_was_touched(api: Api) -> None:
    await placed(api, notes="Ring twice")
    await sign_in(api)
    where, fields = await filled(api, "/orders/W-1/actions/change")
    assert fields["details.notes"] == "Ring twice"
    await api.move(action="change", details={"po_number": "PO-9"})  # meanwhile, by somebody else
    touched = {"details.ship_to_street": "Domplatz 2", "details.notes": "", "line_edits.1.quantity": "3"}
    status, text = await send(api, where, {**fields, **touched})
    assert (status, "Changed line 1: 3 CHAI, notes, ship to street" in text) == (303, True), text
    order = (await api("GET", "/orders/W-1")).body
    assert (order["ship_to_street"], order["notes"], order["po_number"]) == ("Domplatz 2", None, "PO-9")
    assert [line["quantity"] for line in order["lines"]] == ["3", "1.5"]
    status, text = await act(
        api, "change", line_edits__3__sku="CHAI", line_edits__3__quantity="1", details__ship_complete="yes"
    )
    order = (await api("GET", "/orders/W-1")).body
    assert (len(order["lines"]), order["ship_complete"]) == (3, True), text
    status, text = await act(api, "change")
    assert (status, 'role="alert"' in text) == (422, True)
    status, text = await act(api, "change", details__tax_rate="19", details__promised_on="tomorrow")
    assert [f'id="wrong-details.{name}"' in text for name in ("tax_rate", "promised_on")] == [True, True], text


async def test_what_is_not_possible_has_no_form_and_says_so(api: Api) -> None:
    await placed(api)
    await sign_in(api)
    for action in ("ship", "ship?shipment=3", "refund", "release", "receive_return?return_number=1"):
        answer, text = await open_page(api, f"/orders/W-1/actions/{action}")
        assert (answer.status, "The order does not allow this now" in text) == (200, True), action
    where, fields = await filled(api, "/orders/W-1/actions/verify")
    await send(api, where, fields)
    status, text = await send(api, where, {**fields, "request": ""})  # the page of another tab
    assert (status, "it cannot verify now" in text) == (409, True)
    for address, expected in (
        ("/orders/W-1/actions/begin", 404), ("/orders/W-1/actions/dance", 404), ("/orders/W-9/actions/hold", 404),
        ("/orders/W-1/actions/ship?shipment=x", 400),
    ):  # fmt: skip
        assert (await open_page(api, address))[0].status == expected, address
    form = {"form_proof": fields["form_proof"]}
    assert (await send(api, "/orders/W-1/actions/dance", form))[0] == 404
    assert (await send(api, "/orders/W-9/actions/verify", form))[0] == 404
    back = "https://evil.example/"
    where, fields = await filled(api, "/orders/W-1/actions/hold?back=/orders")
    assert fields["hold"] == ""
    status, text = await send(api, where, fields)  # nobody holds an order for a reason that was there by itself
    assert (status, 'id="wrong-hold"' in text) == (422, True)
    data = {**fields, "back": back, "hold": "manual"}
    async with api.client.post(where, data=data, allow_redirects=False) as answer:
        assert answer.headers["Location"] == "/orders/W-1"


async def test_viewer_sees_no_action(api: Api) -> None:
    await placed(api)
    await sign_in(api, Role.VIEWER)
    _, text = await open_page(api, "/orders/W-1")
    assert (offered(text), "What can be done" in text) == (set(), False)
    assert (await open_page(api, "/orders/W-1/actions/verify"))[0].status == 403


def amounts(text: str) -> list[tuple[str, str, Decimal]]:
    rows = re.findall(r'<tr class="(\w+)"><th scope="row">([^<]+)</th><td class="right">([^<]+)<', text)
    return [(kind, title, Decimal(re.sub(r"[^\d.-]", "", amount))) for kind, title, amount in rows]


async def test_money_of_an_order_adds_up_whatever_happens_to_it(api: Api) -> None:
    await placed(api, tax_rate="0.19")
    for step in (
        {"action": "verify"}, {"action": "capture", "amount": "20"}, {"action": "cancel", "lines": {"2": "0.3"}},
        {"action": "refund", "amount": "5"}, {"action": "cancel"},
    ):  # fmt: skip
        await api.move(**step)
        await sign_in(api)
        _, text = await open_page(api, "/orders/W-1")
        order = (await api("GET", "/orders/W-1")).body
        left, sums = Decimal(0), []
        for kind, title, amount in amounts(text):
            if kind == "part":
                left += amount
            elif kind == "sum":
                assert left == amount, (step, title, amounts(text))
                sums.append(amount)
        assert left == Decimal(order["amount_due"]), step
        assert sums == [left + Decimal(order["captured"]) - Decimal(order["refunded"]), left]
