"""Parked records are shown, applied again and dismissed; the audit is filtered, paged and sent as CSV."""

from __future__ import annotations

import pytest

from connector.model.action_request import ActionRequest, ActionState
from connector.model.inbound_change import InboxState, Source
from connector.model.role import Role
from connector.store import inbox, journal, order_actions, orgs
from connector.store.journal import JournalEntry
from tests.web.conftest import Api
from tests.web.test_api import placed
from tests.web.test_console import HOSTILE, open_page, send, sign_in

RECORDS = ("001000000000001AAA", "001000000000002AAA", "001000000000003AAA")


async def test_parked_records_are_applied_again_or_dismissed(api: Api) -> None:
    await sign_in(api)
    assert "is applied" in (await open_page(api, "/inbox"))[1]
    async with api.store.transaction() as uow:
        await orgs.put(uow, "00D", login_url="", instance_url="https://org.example", is_active=True)
        for record in RECORDS:
            await inbox.park(
                uow, "00D", ("Account", record), Source.POLL, error=f"{HOSTILE} ann@shop.example", fix="Correct it."
            )
        request = ActionRequest(event_id="e1", order="W-1", action="hold")
        await order_actions.put(uow, "00D", request, ActionState.PARKED, "bob@shop.example broke it")
    _, text = await open_page(api, "/inbox")
    for part in (RECORDS[0], f'href="https://org.example/{RECORDS[1]}"', "Correct it.", "ann@shop.example", "broke it"):
        assert part in text, part
    assert "<script>document" not in text
    assert "1 record is read and applied again" in (await send(api, "/inbox/replay", record=RECORDS[0]))[1]
    assert "Nothing was left of it" in (await send(api, "/inbox/replay", record=RECORDS[0]))[1]
    assert (await send(api, "/inbox/replay"))[0] == 422
    status, text = await send(api, "/inbox/dismiss", sobject="Account", record=RECORDS[1])
    assert (status, "is left as it is, until it changes again" in text) == (303, True)
    assert "Nothing was left of it" in (await send(api, "/inbox/dismiss", sobject="Account", record=RECORDS[0]))[1]
    assert "1 record is" in (await send(api, "/inbox/replay", all="yes"))[1]
    async with api.store.reader() as connection:
        states = await inbox.states(connection, "00D", RECORDS)
        [entry] = await journal.read(connection, "inbox", RECORDS[1])
    assert states == {RECORDS[0]: InboxState.DUE, RECORDS[2]: InboxState.DUE}
    assert (entry.action, entry.actor) == ("dismissed", "ops of tests")


async def test_viewer_sees_what_to_do_with_parked_records_and_no_values(api: Api) -> None:
    async with api.store.transaction() as uow:
        await orgs.put(uow, "00D", login_url="", instance_url="", is_active=True)
        await inbox.park(uow, "00D", ("Account", RECORDS[0]), Source.POLL, error="ann@shop.example", fix="Correct it.")
    await sign_in(api, Role.VIEWER)
    _, text = await open_page(api, "/inbox")
    assert [part in text for part in ("Correct it.", "ann@shop.example", "<form method")] == [True, False, False]


async def test_audit_is_filtered_paged_and_sent_as_csv(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connector.web.console.audit.PAGE_SIZE", 2)
    monkeypatch.setattr("connector.web.console.audit.CSV_STEP", 2)
    await sign_in(api, Role.OPS)
    await placed(api)
    await send(api, "/orders/W-1/push")
    async with api.store.transaction() as uow:
        for key in ("=1+1", HOSTILE):
            await journal.write(
                uow, [JournalEntry(entity="token", key=key, action="created", detail={"role": key}, actor="<b>kim")]
            )
    _, text = await open_page(api, "/audit")
    assert ("=1+1" in text, "<b>kim" in text, "<script>document" in text, "Earlier" in text) == (
        True,
        False,
        False,
        True,
    )
    _, text = await open_page(api, "/audit?entity=resync")
    assert ("asked" in text, 'href="/resyncs/1"' in text, "=1+1" in text) == (True, True, False)
    assert "Nobody did anything like this" in (await open_page(api, "/audit?actor=nobody"))[1]
    assert "=1+1" in (await open_page(api, "/audit?since=2026-03-01T11:00"))[1]
    assert "=1+1" not in (await open_page(api, "/audit?since=2026-03-01T13:00"))[1]
    assert (await open_page(api, "/audit?since=soon"))[0].status == 400
    answer, sheet = await open_page(api, "/audit.csv?entity=token&action=created")
    assert (answer.content_type, "'=1+1" in sheet) == ("text/csv", True)
    assert sheet.count("<b>kim") == 2

    api.client.session.cookie_jar.clear()
    await sign_in(api, Role.VIEWER)
    assert {(await open_page(api, path))[0].status for path in ("/audit", "/audit.csv")} == {403}


async def test_what_people_do_with_orders_is_in_the_audit_once_and_in_words(api: Api) -> None:
    await placed(api)
    await sign_in(api)
    _, form = await open_page(api, "/orders/W-1/actions/hold")
    request = form.partition('name="request" value="')[2][:24]
    for _ in range(2):  # the same form twice
        status, _ = await send(api, "/orders/W-1/actions/hold", hold="credit", note="Ring Ann", request=request)
        assert status == 303
    await send(api, "/desk/holds/release", **{"chosen.1": "credit W-1"})
    entry = JournalEntry(
        entity="run", key="undo-1", action="undone", actor="kim",
        detail={"counts": {"restore": 4, "unknown": 0}, "digest": "7c33", "expires_at": None, "all": True,
                "filter": {}},
    )  # fmt: skip
    async with api.store.transaction() as uow:
        await journal.write(uow, [entry])
    found = (await api("GET", "/audit?entity=order", role=Role.ADMIN)).body["actions"]
    assert [(item["action"], item["key"], item["detail"], item["actor"]) for item in found] == [
        ("released", "W-1", {"stage": "placed", "hold": "credit"}, "ops of tests"),
        ("held", "W-1", {"stage": "placed", "hold": "credit"}, "ops of tests"),
    ]
    _, text = await open_page(api, "/audit")
    assert text.count('href="/orders/W-1"') == 2
    assert "restore 4, unknown 0" in text
    assert '<span class="quiet">all</span> yes' in text
    for raw in ("7c33", "expires at", "{}", "None", "Ring Ann"):
        assert raw not in text, raw
    _, text = await open_page(api, "/orders/W-1")
    assert text.count("Held credit, Ring Ann.") == 1
    assert "Held by" not in text  # the audit's entry is no second step
