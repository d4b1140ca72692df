"""Links that sign somebody in to the console: once, soon, by a button, and not in place of somebody else unasked."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import ClientResponse

from connector.model.role import Role
from connector.store import console_sessions, tokens
from tests.conftest import ManualClock
from tests.web.conftest import Api
from tests.web.test_console import open_page, sign_in


async def send_link(api: Api, link: str, *, headers: Mapping[str, str] | None = None, **more: str) -> ClientResponse:
    form = {"link": link, **more}
    async with api.client.post("/signin", data=form, headers=headers, allow_redirects=False) as answer:
        return answer


async def test_link_signs_in_once_and_soon(api: Api, clock: ManualClock) -> None:
    async def link() -> str:
        async with api.store.transaction() as uow:
            return await console_sessions.make_link(uow, "ops of tests", actor="ann@cli")

    used, late, revoked = await link(), await link(), ""
    for _ in range(2):  # who only looks, as a preview does, does not use it up
        assert "Set-Cookie" not in (await api.client.head(f"/signin?link={used}", allow_redirects=False)).headers
        answer, text = await open_page(api, f"/signin?link={used}&next=%2Forders")
        assert (answer.status, "Sign in as ops of tests" in text, answer.cookies) == (200, True, {})
    assert f'name="link" value="{used}"' in text
    assert 'name="next" value="/orders"' in text
    foreign = await send_link(api, used, headers={"Sec-Fetch-Site": "cross-site"})
    assert (foreign.status, foreign.cookies) == (403, {})
    answer = await send_link(api, used, next="/orders")
    assert (answer.status, answer.headers["Location"]) == (303, "/orders")
    assert used not in answer.headers["Set-Cookie"]
    assert "ops of tests" in (await open_page(api, "/"))[1]
    assert (await open_page(api, f"/signin?link={used}"))[0].status == 303  # opened again by who is signed in
    api.client.session.cookie_jar.clear()
    answer, text = await open_page(api, f"/signin?link={used}")
    assert (answer.status, "used already, or is too old" in text) == (403, True)
    assert (await send_link(api, used)).status == 403
    clock.advance(601)
    assert (await open_page(api, f"/signin?link={late}"))[0].status == 403
    revoked = await link()
    async with api.store.transaction() as uow:
        await tokens.revoke(uow, "ops of tests", actor="ann@cli")
    assert (await open_page(api, f"/signin?link={revoked}"))[0].status == 403
    audit = (await api("GET", "/audit?entity=console", role=Role.ADMIN)).body["actions"]
    made = [(entry["actor"], entry["key"]) for entry in audit if entry["action"] == "link_made"]
    assert made == [("ann@cli", "ops of tests")] * 3


async def test_link_of_somebody_else_asks_before_it_replaces_a_session(api: Api) -> None:
    await sign_in(api, Role.VIEWER)
    async with api.store.transaction() as uow:
        link = await console_sessions.make_link(uow, "ops of tests", actor="ann@cli")
    answer, text = await open_page(api, f"/signin?link={link}", headers={"Sec-Fetch-Site": "cross-site"})
    assert (answer.status, answer.cookies) == (200, {})
    for sentence in ("You are signed in as <b>viewer of tests</b>", "Stay signed in as viewer of tests"):
        assert sentence in text
    assert "viewer of tests" in (await open_page(api, "/"))[1]
    assert (await send_link(api, link)).status == 303
    assert "ops of tests" in (await open_page(api, "/"))[1]
