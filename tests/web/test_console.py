"""The console: signing in and out, what each role sees, and that text in orders stays text."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any

import pytest
from aiohttp import ClientResponse

from connector.model.change import ChangeState
from connector.model.record import Link
from connector.model.role import Role
from connector.store import console_sessions, links, orgs, tokens
from connector.store.queries.order_list import OrderFilter, list_latest_orders
from connector.web.console import live
from connector.web.console import order as order_page
from connector.web.console.frame import ConsoleFrame
from connector.web.console.pages import ACTIONS, PAGES
from tests.conftest import ManualClock
from tests.unit.store import samples
from tests.web.conftest import Api
from tests.web.test_api import placed
from tests.web.test_conflicts import linked_customer_in_conflict
from tests.web.test_dead_letters import MISSING, TOO_LONG, refuse, states

HOSTILE = '<script>document.title="owned"</script><img src=x onerror="document.title=1">'


async def open_page(api: Api, path: str, **more: Any) -> tuple[ClientResponse, str]:
    async with api.client.get(path, allow_redirects=False, **more) as answer:
        return answer, await answer.text()


def example(path: str) -> str:
    """The path with a value for each parameter."""
    return re.sub(r"\{\w+\}", "1", path.replace("{number}", "W-1"))


async def sign_in(api: Api, role: Role = Role.OPS, where: str = "/") -> ClientResponse:
    form = {"token": api.secrets[role], "next": where}
    async with api.client.post("/signin", data=form, allow_redirects=False) as answer:
        return answer


async def test_pages_are_for_people_who_have_signed_in(api: Api) -> None:
    for page in PAGES:
        path = example(page.path)
        answer, _ = await open_page(api, path)
        assert answer.status == 303, path
        assert answer.headers["Location"].startswith("/signin"), path
    answer, _ = await open_page(api, "/events")
    assert answer.status == 401
    _, text = await open_page(api, "/signin?next=%2Forders")
    assert 'value="/orders"' in text

    wrong = await api.client.post("/signin", data={"token": "crm_nothing", "next": "/"})
    assert (wrong.status, "unknown, expired or revoked" in await wrong.text()) == (403, True)
    began = await sign_in(api, where="/orders?stage=placed")
    assert (began.status, began.headers["Location"]) == (303, "/orders?stage=placed")
    cookie = began.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert api.secrets[Role.OPS] not in cookie
    answer, text = await open_page(api, "/")
    assert (answer.status, "ops of tests" in text) == (200, True)
    assert "script-src 'self'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "where", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:1", "/a\nb"]
)
async def test_signing_in_leads_nowhere_else(api: Api, where: str) -> None:
    assert (await sign_in(api, where=where)).headers["Location"] == "/"


async def test_session_ends_with_sign_out_with_its_token_and_after_a_day(api: Api, clock: ManualClock) -> None:
    await sign_in(api)
    _, text = await open_page(api, "/")
    found = re.search(r'name="form_proof" value="(\w+)"', text)
    assert found is not None
    refused = await api.client.post("/signout", data={"form_proof": "other"}, allow_redirects=False)
    assert refused.status == 403
    foreign = await api.client.post(
        "/signout", data={"form_proof": found[1]}, headers={"Sec-Fetch-Site": "cross-site"}, allow_redirects=False
    )
    assert foreign.status == 403
    assert (await open_page(api, "/"))[0].status == 200
    out = await api.client.post("/signout", data={"form_proof": found[1]}, allow_redirects=False)
    assert (out.status, (await open_page(api, "/"))[0].status) == (303, 303)

    await sign_in(api)
    async with api.store.transaction() as uow:
        await tokens.revoke(uow, "ops of tests", actor="chief")
    assert (await open_page(api, "/"))[0].status == 303
    await sign_in(api, Role.VIEWER)
    assert (await open_page(api, "/"))[0].status == 200
    clock.advance((console_sessions.LASTS + timedelta(seconds=1)).total_seconds())
    assert (await open_page(api, "/"))[0].status == 303
    names = [item["action"] for item in (await api("GET", "/audit?entity=console", role=Role.ADMIN)).body["actions"]]
    assert names == ["signed_in", "signed_in", "signed_out", "signed_in"]


async def test_too_many_tries_to_sign_in_are_refused(api: Api) -> None:
    statuses = [(await api.client.post("/signin", data={"token": "x"})).status for _ in range(32)]
    assert set(statuses[:30]) == {403}
    assert statuses[-1] == 429


async def test_orders_are_found_by_number_customer_stage_and_hold(api: Api) -> None:
    await sign_in(api, Role.VIEWER)
    _, text = await open_page(api, "/orders")
    assert "There are no orders yet" in text
    await placed(api)
    await placed(api, number="W-2", customer={"number": "C-9", "name": "Zoë Quist"})
    await api.move("W-2", action="hold", hold="manual")
    for query, numbers in (
        ("", {"W-1", "W-2"}), ("?q=W-1", {"W-1"}), ("?q=quist", {"W-2"}),
        ("?q=zoË", {"W-2"}), ("?q=w-1", {"W-1"}), ("?q=c-9", {"W-2"}),
        ("?q=C-9", {"W-2"}), ("?hold=any", {"W-2"}),
        ("?hold=credit", set()), ("?stage=placed", {"W-1", "W-2"}), ("?stage=shipped", set()),
        ("?sync=waiting", {"W-1", "W-2"}),
        ("?sync=refused", set()), ("?customer=C-9", {"W-2"}), ("?q=%25", set()),
    ):  # fmt: skip
        answer, text = await open_page(api, f"/orders{query}")
        assert (answer.status, set(re.findall(r'href="/orders/(W-\d)"', text))) == (200, numbers), query
    answer, text = await open_page(api, "/orders.csv?hold=any")
    assert (answer.content_type, text.count("\r\n"), "W-2" in text) == ("text/csv", 2, True)
    for query in ("?stage=old", "?hold=x", "?sync=y", "?before=soon"):
        answer, text = await open_page(api, f"/orders{query}")
        assert (answer.status, answer.content_type, "<h1>" in text) == (400, "text/html", True)
    assert (await open_page(api, "/orders/W-9"))[0].status == 404


async def test_list_of_orders_goes_on_behind_the_last_one(api: Api) -> None:
    await samples.stock(api.store)
    begin = datetime(2026, 2, 1, tzinfo=UTC)
    hours = {"N-1": 5, "N-2": 1, "N-3": 5, "N-4": 3, "N-5": 5, "N-6": 2}
    orders = [samples.order(number, placed_at=begin + timedelta(hours=hour)) for number, hour in hours.items()]
    await samples.place(api.store, *orders)
    seen: list[str] = []
    before = None
    async with api.store.reader() as connection:
        while page := await list_latest_orders(connection, OrderFilter(), before=before, limit=2):
            seen += [number for number, _ in page]
            before = (page[-1][1], page[-1][0])
    assert seen == ["N-5", "N-3", "N-1", "N-4", "N-6", "N-2"]


async def test_order_shows_its_lines_journey_and_both_sides_to_those_who_may(api: Api) -> None:
    await placed(api, notes="Ring twice", po_number=HOSTILE[:60])
    await sign_in(api, Role.VIEWER)
    answer, text = await open_page(api, "/orders/W-1")
    assert answer.status == 200
    for part in ("Order W-1", 'aria-current="step"', "Journey", "A change has waited"):
        assert part in text, part
    async with api.store.transaction() as uow:
        await orgs.put(uow, "00D", login_url="", instance_url="https://org.example", is_active=True)
        snapshot = {"Description": "Ring twice"}
        link = Link(entity="order", key="W-1", sobject="Order", salesforce_id="801000000000001", snapshot=snapshot)
        await links.put(uow, "00D", [link])
    _, text = await open_page(api, "/orders/W-1")
    assert "Values are for the role ops." in text
    assert "Ring twice" not in text
    api.client.session.cookie_jar.clear()
    await sign_in(api)
    _, text = await open_page(api, "/orders/W-1")
    assert 'href="https://org.example/801000000000001"' in text
    assert HOSTILE[:20] not in text
    _, text = await open_page(api, "/orders/W-1/sides")
    assert "Ring twice" in text
    assert HOSTILE[:20] not in text


async def test_text_of_an_order_stays_text(api: Api) -> None:
    await placed(api, customer={"number": "C-7", "name": HOSTILE}, channel="<b>web</b>")
    await sign_in(api)
    for path in ("/", "/orders", "/orders?q=%3Cscript%3E", "/orders/W-1", "/orders/%3Cscript%3E"):
        _, text = await open_page(api, path)
        assert "<script>document" not in text, path
        assert "<img src=x" not in text, path
        assert "<b>web" not in text, path


async def test_numbers_and_times_are_those_of_the_viewer(api: Api) -> None:
    await placed(api)
    await sign_in(api)
    headers = {"Accept-Language": "de-DE,de;q=0.9", "Cookie": "zone=Asia/Tokyo"}
    cookie = next(iter(api.client.session.cookie_jar))
    headers["Cookie"] += f"; {cookie.key}={cookie.value}"
    _, text = await open_page(api, "/orders/W-1", headers=headers)
    assert "\xa0$" in text
    assert "21:00:00" in text  # noon in UTC
    headers["Cookie"] = headers["Cookie"].replace("Asia/Tokyo", "Asia%2FTokyo")  # as the browser keeps it
    assert "21:00:00" in (await open_page(api, "/orders/W-1", headers=headers))[1]
    for language in ("xx-invalid", "*", "de;q=x", "zh-Hant-TW", ";;,,"):
        assert (await open_page(api, "/", headers={"Accept-Language": language}))[0].status == 200


async def test_browser_at_an_address_without_a_page_gets_a_page(api: Api) -> None:
    for path, accept, kind in (
        ("/nowhere", "text/html,*/*", "text/html"),
        ("/nowhere/at/all", "*/*", "application/problem+json"),
        ("/api/v1/nowhere", "text/html", "application/problem+json"),
    ):
        async with api.client.get(path, headers={"Accept": accept}) as answer:
            assert (answer.status, answer.content_type) == (404, kind), path
    await sign_in(api)
    async with api.client.get("/<b>", headers={"Accept": "text/html"}) as answer:
        text = await answer.text()
    assert ("There is no such page." in text, 'href="/orders"' in text, "<b>" in text) == (True, True, False)


async def test_files_of_the_browser_are_kept_by_it(api: Api) -> None:
    _, text = await open_page(api, "/signin")
    for path in re.findall(r'(?:href|src)="(/static/[^"#]+)', text):
        answer, _ = await open_page(api, path)
        assert (answer.status, "immutable" in answer.headers["Cache-Control"]) == (200, True), path
    answer, _ = await open_page(api, "/static/console.css")
    assert answer.headers["Cache-Control"] == "no-store"
    for path in ("/static/nothing.js", "/static/..%2fpages.py"):
        assert (await open_page(api, path))[0].status == 404


async def send(api: Api, path: str, **fields: object) -> tuple[int, str]:
    """Send a form as its page has it; the status, and the page that follows."""
    _, text = await open_page(api, "/")
    found = re.search(r'name="form_proof" value="(\w+)"', text)
    assert found is not None
    form = {"form_proof": found[1], **{name: str(value) for name, value in fields.items()}}
    async with api.client.post(path, data=form, allow_redirects=False) as answer:
        if answer.status != 303:
            return answer.status, await answer.text()
        return answer.status, (await open_page(api, answer.headers["Location"]))[1]


async def test_refused_changes_are_shown_by_cause_and_sent_again(api: Api, clock: ManualClock) -> None:
    for number in ("W-1", "W-2", "W-3"):
        await placed(api, number=number)
        await refuse(api, number, TOO_LONG if number == "W-3" else replace(MISSING, message=HOSTILE))
    await sign_in(api)
    _, text = await open_page(api, "/errors")
    assert "<script>document" not in text
    assert [part in text for part in ("Replay 2", "Replay 1", "Fill the city.")] == [True] * 3
    name = max(re.findall(r'name="group" value="(\w+)"', text), key=text.count)
    _, text = await open_page(api, f"/errors/cause?group={name}")
    assert {"W-1", "W-2"} == set(re.findall(r'href="/orders/(W-\d)"', text))

    status, text = await send(api, "/errors/one/discard", group=name, entity="order", key="W-2")
    assert (status, "1 change is discarded." in text) == (303, True)
    assert "is discarded" not in (await open_page(api, "/errors"))[1]  # it is told once
    status, text = await send(api, "/errors/replay", group=name)
    assert (status, "1 change is sent again. No process of the service is a worker now." in text) == (303, True)
    assert await states(api) == {"W-1": ChangeState.DUE, "W-3": ChangeState.DEAD}
    assert "Nothing was left of it" in (await send(api, "/errors/replay", group=name))[1]
    assert (await send(api, "/errors/one/replay", group=name, entity="x", key="W-3"))[0] == 422


async def test_order_is_pushed_and_pulled_by_a_button(api: Api) -> None:
    await placed(api)
    await sign_in(api)
    assert "is sent again" in (await send(api, "/orders/W-1/push"))[1]
    assert (await send(api, "/orders/W-9/push"))[0] == 404
    assert (await send(api, "/orders/W-9/pull"))[0] == 404
    [asked] = (await api("GET", "/scheduler/resyncs")).body["resyncs"]
    assert (asked["mode"], asked["filter"], asked["actor"]) == ("push", {"keys": ["W-1"]}, "ops of tests")


async def test_viewer_has_no_button_and_can_do_nothing(api: Api) -> None:
    await placed(api)
    await refuse(api, "W-1", replace(MISSING, message="ann@shop.example is wrong"))
    await linked_customer_in_conflict(api, "K-1")
    await sign_in(api, Role.VIEWER)
    for path in ("/", "/orders", "/orders/W-1", "/errors", "/conflicts"):
        _, text = await open_page(api, path)
        assert set(re.findall(r'<form[^>]*action="([^"]+)"', text)) <= {"/search", "/orders", "/signout"}, path
        assert "ann@shop.example" not in text, path
    for action in ACTIONS:
        path = example(action.path)
        assert (await send(api, path, group="x", entity="order", key="W-1", id=1, version=1, take="local"))[0] == 403
        async with api.client.post(path, data={"form_proof": "guessed"}, allow_redirects=False) as answer:
            assert answer.status == 403
    api.client.session.cookie_jar.clear()
    referrer = {"Referer": str(api.client.make_url("/orders?stage=placed"))}
    for action in ACTIONS:
        path = example(action.path)
        async with api.client.post(path, allow_redirects=False, headers=referrer) as answer:
            assert answer.headers["Location"] == "/signin?next=%2Forders%3Fstage%3Dplaced"
    for foreign in ("https://evil.example/orders", "//[", ""):
        async with api.client.post(path, allow_redirects=False, headers={"Referer": foreign}) as answer:
            assert answer.headers["Location"] == "/signin"
    assert await states(api) == {"W-1": ChangeState.DEAD}


async def test_what_no_browser_sends_is_refused(api: Api) -> None:
    form = "application/x-www-form-urlencoded"
    for body, kind, status in (
        (b"token=%FF", f"{form}; charset=bogus", 400), (b"{}", "application/json", 415),
        (b"--x", "multipart/form-data", 415), (b"token=a%00b", form, 400), (b"", form, 403),
        (BytesIO(b"token=" + b"x" * 3_000_000), form, 413),
    ):  # fmt: skip
        async with api.client.post("/signin", data=body, headers={"Content-Type": kind}) as answer:
            assert answer.status == status, (status, kind)
    answer, _ = await open_page(api, "/", headers={"Cookie": "connector_session=\u00e4\u00f6; zone=../../etc/passwd"})
    assert answer.status == 303
    await sign_in(api)
    for query in ("channel=%00", "customer=%00", "q=%00", "before=2026-01-01T00:00:00%20%00"):
        assert (await open_page(api, f"/orders?{query}"))[0].status == 400


async def until_changed(api: Api, path: str, known: str = "") -> bytes:
    """What the stream says until it has told of a change."""
    said = b""
    async with api.client.get(path, headers={"Last-Event-ID": known}) as answer, asyncio.timeout(20):
        while b"event: changed" not in said:
            said += await answer.content.readany()
    return said


async def test_stream_tells_of_what_changed_before_it_was_opened(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "NOTICE_SECONDS", 0.05)
    await sign_in(api)
    _, text = await open_page(api, "/orders")
    found = re.search(r'data-events="([^"]+)"', text)
    assert found is not None
    await placed(api)
    said = await until_changed(api, found[1])
    known = re.search(rb"id: (\w+)", said)
    assert known is not None
    await placed(api, number="W-2")
    assert known[1] not in await until_changed(api, "/events", known[1].decode())


async def test_home_is_not_well_while_changes_wait_and_nobody_sends_them(api: Api, clock: ManualClock) -> None:
    await sign_in(api)
    await placed(api)
    assert 'class="health fair"' in (await open_page(api, "/"))[1]
    clock.advance(3600)
    assert 'class="health bad"' in (await open_page(api, "/"))[1]


async def test_order_with_many_steps_shows_the_latest(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order_page, "MOST_STEPS", 10)
    await placed(api)
    for _ in range(order_page.MOST_STEPS // 2 + 5):
        await api.move(action="hold", hold="manual")
        await api.move(action="release", hold="manual")
    await sign_in(api)
    _, text = await open_page(api, "/orders/W-1")
    assert text.count('class="way"') == order_page.MOST_STEPS
    assert "As it was placed" not in text
    assert "earlier steps" in text
    assert "earlier steps" not in (await open_page(api, "/orders/W-1?steps=all"))[1]


async def test_internal_error_is_a_page_that_names_the_request(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("secret of the code")

    await sign_in(api)
    monkeypatch.setattr(ConsoleFrame, "_show", fail)
    answer, text = await open_page(api, "/orders")
    assert (answer.status, answer.content_type) == (500, "text/html")
    assert f"Report the request ID {answer.headers['X-Request-ID']} to the operator." in text
    assert "secret of the code" not in text
