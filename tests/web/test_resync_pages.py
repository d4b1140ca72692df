"""The pages of resyncs: the form, its preview, the start, following one, and what a viewer sees."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from urllib.parse import urlencode

import orjson
import pytest
from sqlalchemy import insert, update

from connector.model.change import ChangeState, EntityKind
from connector.model.notification import MessageKind, MessageState, NotificationRequest
from connector.model.resync import Priority, ResyncFilter, ResyncMode, ResyncState
from connector.model.role import Role
from connector.store import notifications, resyncs
from connector.store.queries.change_mark import load_change_mark
from connector.store.tables import messages, outbox
from tests.conftest import ManualClock
from tests.web.conftest import Api, report_process
from tests.web.test_api import placed
from tests.web.test_console import open_page, send, sign_in
from tests.web.test_dead_letters import MISSING, TOO_LONG, refuse, states

YESTERDAY = "/resyncs/new?entity=all&refused=yesterday&preview=yes"


def preview_form(text: str) -> tuple[str, dict[str, str]]:
    """The address of the form that starts what the page shows, and its fields."""
    [(path, form)] = re.findall(r'action="(/resyncs/start\?[^"]+)"[^>]*>(.*?)</form>', text, re.DOTALL)
    fields = dict(re.findall(r'name="([^"]+)" value="([^"]*)"', form))
    return path.replace("&amp;", "&"), {name: value for name, value in fields.items() if name != "form_proof"}


async def put_refused_return(api: Api, key: str) -> None:
    async with api.store.transaction() as uow:
        refusal = {"code": "X", "message": "", "field": None, "source": None, "fix": ""}
        row = {
            "entity": EntityKind.RETURN.value, "key": key, "slot": 0, "lane": 1, "version": 1, "attempts": 1,
            "state": ChangeState.DEAD.value, "due_at": uow.now, "captured_at": uow.now, "refused_at": uow.now,
            "refusal": orjson.dumps(refusal).decode(),
        }  # fmt: skip
        await uow.connection.execute(insert(outbox).values(row))


async def test_what_failed_yesterday_is_sent_again_from_the_list(api: Api, clock: ManualClock) -> None:
    for number in ("W-1", "W-2", "W-3"):
        await placed(api, number=number)
    await refuse(api, "W-1", MISSING)
    await refuse(api, "W-2", TOO_LONG)
    await put_refused_return(api, "W-1/1")
    clock.advance(24 * 3600)
    await refuse(api, "W-3", MISSING)
    await sign_in(api)
    assert YESTERDAY.replace("&", "&amp;") in (await open_page(api, "/resyncs"))[1]
    _, text = await open_page(api, YESTERDAY)
    assert ("Send 3" in text, 'href="/orders/W-1"' in text, 'href="/orders/W-3"' in text) == (True, True, False)
    assert "W-1/1" in text
    assert "refused yesterday, Mar 1, 2026 (in UTC)" in text
    assert "1 today" in text
    path, form = preview_form(text)
    clock.advance(24 * 3600)
    await report_process(api.store, "worker")
    # "yesterday" stays the day that the preview has shown
    await sign_in(api)
    (status, text), (again, second) = await asyncio.gather(send(api, path, **form), send(api, path, **form))
    assert (status, again) == (303, 303)
    begun, known = "A worker begins within a second or two: 2 orders, 1 return.", "This was asked for already: "
    assert begun in text or begun in second
    status, text = await send(api, path, **form)  # after "back"
    assert (status, known + "2 orders, 1 return." in text) == (303, True)
    async with api.store.reader() as connection:
        asked = await resyncs.list_page(connection, limit=5)
    assert [(item.entity, item.mode, item.total) for item in asked] == [
        (EntityKind.RETURN, ResyncMode.PUSH, 1), (EntityKind.ORDER, ResyncMode.PUSH, 2),
    ]  # fmt: skip
    assert await states(api) == dict.fromkeys(("W-1", "W-2", "W-3"), ChangeState.DEAD)  # until a worker takes them


async def test_fields_of_the_form_are_checked_where_they_stand(api: Api) -> None:
    await placed(api)
    await sign_in(api)
    for fields, name, sentence in (
        ({"keys": "x" * 7000}, "keys", "at most 6,000 characters"),
        ({"mapping_version": "new"}, "mapping_version", "must be a whole number"),
        ({"mapping_version": "7"}, "mapping_version", "There is no mapping version 7."),
        ({"changed_since": "soon"}, "changed_since", "is no time"),
        ({"changed_since": "2026-03-02T10:00", "changed_until": "2026-03-01T10:00"}, "changed_until", "not later than"),
        ({"stage": "lost"}, "stage", "there is no stage"),
        ({"customer": "NOBODY"}, "customer", "there is no customer"),
        ({"entity": "customer", "channel": "web"}, "channel", "only orders have this"),
        ({"entity": "return"}, "entity", "Only refused returns"),
        ({"entity": "all", "keys": "W-1"}, "keys", "choose one kind"),
        ({"entity": "ship"}, "entity", "is none of"),
        ({"mode": "both"}, "mode", "is none of"),
        ({"error": "no code"}, "error", "must be an error code"),
    ):  # fmt: skip
        status, text = await send(api, "/resyncs/preview", **fields)
        assert (status in {409, 422}, f'id="wrong-{name}"' in text, sentence in text) == (True, True, True), fields
        for other, value in fields.items():
            assert value[:300] in text, other  # as it was filled in
    assert (await open_page(api, "/resyncs/new?preview=yes&stage=lost"))[0].status == 409
    path = f"/resyncs/start?{urlencode({'stage': 'shipped', 'preview': 'yes'})}"
    form = {"request": "r" * 20, "previewed_at": "2026-03-01T12:00:00+00:00"}
    status, text = await send(api, path, **form)
    assert (status, "Nothing is left to resync." in text) == (409, True)
    for changed in ({"request": "short"}, {"previewed_at": "then"}, {"previewed_at": "0001-01-01T00:00:00"}):
        status, text = await send(api, path, **form | changed)
        assert (status, "This form has no preview." in text) == (422, True)
    for moment in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-02-27T12:00:00+00:00"):
        status, text = await send(api, path, **form | {"previewed_at": moment})
        assert (status, "This preview is older than a day." in text) == (422, True), moment
    status, text = await send(api, path, **form | {"previewed_at": "2026-03-01T12:00:30+00:00"})  # by another clock
    assert (status, "Nothing is left to resync." in text) == (409, True)
    async with api.store.reader() as connection:
        assert not await resyncs.list_page(connection, limit=5)


async def test_form_leads_to_a_preview_whose_address_can_be_kept(api: Api) -> None:
    await placed(api)
    await placed(api, number="W-2", channel="fax")
    await sign_in(api)
    status, text = await send(api, "/resyncs/preview", channel=" web ", keys="W-1, W-2\nW-9", mode="compare")
    assert (status, "Compare 1" in text, "Not here: W-9." in text, 'value="web"' in text) == (303, True, True, True)
    for query, count in (
        ("changed_since=2026-03-01T11:00", 2), ("changed_until=2026-03-01T12:00", 0),
        ("changed_since=2026-03-01T12:00%2B01:00", 2), ("refused=any", 0), ("refused=week&entity=customer", 0),
    ):  # fmt: skip
        answer, text = await open_page(api, f"/resyncs/new?preview=yes&{query}")
        expected = (
            f"Send {count}" if count else "Nothing that waits now was refused" if "week" in query else "Nothing of"
        )
        assert (answer.status, expected in text) == (200, True), query


async def test_start_asks_again_if_there_is_more_than_the_preview_has_shown(api: Api) -> None:
    await placed(api)
    await refuse(api, "W-1", MISSING)
    await sign_in(api)
    _, text = await open_page(api, "/resyncs/new?entity=all&refused=any&preview=yes")
    path, form = preview_form(text)
    status, text = await send(api, path, **form | {"shown.order": "0"})
    assert (status, "There are 1 order by now; the preview has shown 0." in text) == (422, True)
    assert preview_form(text)[1]["shown.order"] == "1"
    async with api.store.reader() as connection:
        assert not await resyncs.list_page(connection, limit=5)
    path, form = preview_form(text)
    assert (await send(api, path, **form))[0] == 303


async def test_day_without_refused_ones_names_the_others_and_what_failed_in_another_way(api: Api) -> None:
    await placed(api)
    await refuse(api, "W-1", MISSING)
    async with api.store.transaction() as uow:
        request = NotificationRequest(order="W-1", kind=MessageKind.CONFIRMATION, reference="")
        await notifications.capture(uow, [request])
        await uow.connection.execute(update(messages).values(state=MessageState.FAILED.value))
    await sign_in(api)
    _, text = await open_page(api, YESTERDAY)
    assert "Nothing that waits now was refused yesterday, Feb 28, 2026 (in UTC)." in text
    assert 'refused=today&amp;preview=yes">1 today</a>' in text
    assert '<a href="/usage#messages">1 messages' in text.replace("1 message ", "1 messages ")
    _, home = await open_page(api, "/")
    assert ("Send again the 1 refused today" in home, "refused=yesterday" in home) == (True, False)
    async with api.store.transaction() as uow:
        old = uow.now - timedelta(days=1)
        await uow.connection.execute(update(outbox).where(outbox.c.key == "W-1").values(refused_at=old))
    assert "Send again the 1 refused yesterday" in (await open_page(api, "/"))[1]
    api.client.session.cookie_jar.update_cookies({"zone": "Pacific%2FKiritimati"})  # 14 hours ahead of UTC
    _, text = await open_page(api, YESTERDAY)
    assert "refused yesterday, Mar 1, 2026 (in Pacific/Kiritimati)" in text


async def test_resync_is_followed_paused_resumed_and_canceled(api: Api, clock: ManualClock) -> None:
    await placed(api)
    await sign_in(api)
    async with api.store.transaction() as uow:
        made = await resyncs.create(
            uow, EntityKind.ORDER, ResyncFilter(stage="placed"), mode=ResyncMode.PUSH, priority=Priority.LOW, total=4,
            actor="<b>kim</b>",
        )  # fmt: skip
    path = f"/resyncs/{made.id}"
    assert "<b>kim" not in (await open_page(api, path))[1]
    assert "goes on" not in (await send(api, f"{path}/pause"))[1]
    status, text = await send(api, f"{path}/pause")
    assert (status, "pause is not possible now" in text, "paused" in text) == (409, True, True)
    assert "It goes on." in (await send(api, f"{path}/resume", **{"from": "list"}))[1]
    async with api.store.reader() as connection:
        mark = await load_change_mark(connection)
    async with api.store.transaction() as uow:
        assert await resyncs.begin(uow, made.id)
        await resyncs.note_reached(uow, made.id, ["W-1"])
        await resyncs.note_error(uow, made.id, "ann@shop.example is wrong")
    await refuse(api, "W-1", MISSING)
    async with api.store.transaction() as uow:
        found = await resyncs.get(uow.connection, made.id)
        assert found is not None
        await resyncs.note_finished(uow, found, failed=1, counts={})
        assert await load_change_mark(uow.connection) != mark
    _, text = await open_page(api, path)
    for part in ("1 of 4", "1 refused", 'href="/errors"', 'href="/orders/W-1"', "ann@shop.example"):
        assert part in text, part
    assert "still sent" in (await send(api, f"{path}/cancel"))[1]
    async with api.store.reader() as connection:
        ended = await resyncs.get(connection, made.id)
    assert ended is not None
    assert ended.state is ResyncState.CANCELED
    assert (await send(api, "/resyncs/99/pause"))[0] == 404
    assert (await open_page(api, "/resyncs/99"))[0].status == 404
    assert (await open_page(api, "/resyncs/x"))[0].status == 404

    api.client.session.cookie_jar.clear()
    await sign_in(api, Role.VIEWER)
    for page in ("/resyncs", path):
        answer, text = await open_page(api, page)
        assert (answer.status, "<form method" in text, "ann@shop.example" in text) == (200, False, False)
    assert (await open_page(api, "/resyncs/new"))[0].status == 403


async def test_refused_customers_lead_to_their_page_and_their_correction(api: Api) -> None:
    assert (await api("PUT", "/customers/C-1", {"name": "Ann"})).status == 201
    await sign_in(api)
    async with api.store.transaction() as uow:
        chosen = ResyncFilter(keys=("C-1",), refused_since=uow.now - timedelta(days=1), mapping_plan="ca5b")
        made = await resyncs.create(
            uow, EntityKind.CUSTOMER, chosen, mode=ResyncMode.PUSH, priority=Priority.LOW, total=1, actor="kim"
        )
        assert await resyncs.begin(uow, made.id)
    await refuse(api, "C-1", TOO_LONG, EntityKind.CUSTOMER)
    async with api.store.transaction() as uow:
        found = await resyncs.get(uow.connection, made.id)
        assert found is not None
        await resyncs.note_finished(uow, found, failed=1, counts={})
    _, text = await open_page(api, f"/resyncs/{made.id}")
    for part in (
        'href="/customers/C-1"',
        'href="/errors/correct?entity=customer&key=C-1"',
        "what the plan of a mapping",
    ):
        assert part in text, part
    assert 'href="/mappings/plans/ca5b"' in text
    for page in ("/errors", "/conflicts"):
        _, text = await open_page(api, page)
        assert "/orders?customer=" not in text
    assert 'href="/customers/C-1"' in (await open_page(api, "/errors"))[1]
    for page in ("/runs", f"/runs/resync-{made.id}"):
        _, text = await open_page(api, page)
        assert "Send customers: keys C-1; refused since 20" in text, page
        assert "mapping_plan" not in text
        assert "0 of 1 worked on, 1 refused" in text
    api.client.session.cookie_jar.clear()
    await sign_in(api, Role.VIEWER)
    assert "/errors/correct" not in (await open_page(api, f"/resyncs/{made.id}"))[1]


async def test_list_of_resyncs_goes_on_behind_the_last_one(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connector.web.console.resyncs.PAGE_SIZE", 2)
    async with api.store.transaction() as uow:
        for mode in (ResyncMode.PULL, ResyncMode.COMPARE, ResyncMode.PUSH):
            await resyncs.create(
                uow, EntityKind.CUSTOMER, ResyncFilter(), mode=mode, priority=Priority.HIGH, total=0, actor="kim"
            )
    await sign_in(api, Role.VIEWER)
    _, text = await open_page(api, "/resyncs")
    assert re.findall(r'data-row.*\n.*href="(/resyncs/\d)"', text) == ["/resyncs/3", "/resyncs/2"]
    assert 'href="/resyncs/1"' in (await open_page(api, "/resyncs?before=2"))[1]
    assert (await open_page(api, "/resyncs?before=x"))[0].status == 400
