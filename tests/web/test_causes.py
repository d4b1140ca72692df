"""Causes of dead letters as people work on them: assigned, noted, snoozed, closed by themselves, and back again."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import insert

from connector.jobs.alert_conditions import list_conditions
from connector.jobs.triage import follow_causes
from connector.model.role import Role
from connector.settings import Settings
from connector.store import dead_letters
from connector.store.causes import CauseChanges
from connector.store.job_tables import alerts
from tests.conftest import ManualClock
from tests.web.conftest import ORDER, Api
from tests.web.test_console import open_page, sign_in
from tests.web.test_dead_letters import MISSING, TOO_LONG, refuse


async def group_of(api: Api, role: Role = Role.OPS) -> dict[str, Any]:
    [group] = (await api("GET", "/dead-letters/groups", role=role)).body["groups"]
    return dict(group)


async def follow(api: Api) -> tuple[int, int]:
    changes = await follow_causes(api.store)
    assert isinstance(changes, CauseChanges)
    return changes.opened, changes.closed


async def told(api: Api) -> list[str]:
    """The subjects of dead letters that operators are alerted to."""
    async with api.store.reader() as connection:
        found = await list_conditions(connection, api.store.clock.now(), Settings(_env_file=None), [])
    return [item.subject for item in found if item.rule == "dead_letters"]


async def test_cause_is_somebodys_has_a_note_and_is_out_of_sight_until_it_grows(api: Api, clock: ManualClock) -> None:
    for number in ("W-1", "W-2", "W-3"):
        await api("POST", "/orders", ORDER | {"number": number})
    await refuse(api, "W-1", TOO_LONG)
    name = (await group_of(api))["fingerprint"]
    path = f"/dead-letters/groups/{name}"
    assert await told(api) == [name]

    until = "2026-03-01T16:00:00Z"
    body = {"assignee": " kim@example.com ", "note": "asked Ann", "snoozed_until": until}
    said = await api("POST", path, body)
    assert (said.status, said.body["assignee"], said.body["note"]) == (200, "kim@example.com", "asked Ann")
    group = await group_of(api)
    assert (group["is_snoozed"], group["is_back"], group["assignee"]) == (True, False, "kim@example.com")
    assert (await group_of(api, Role.VIEWER))["note"] is None
    assert await told(api) == []
    await sign_in(api)
    _, page = await open_page(api, "/")
    assert "1 cause is" in page
    assert f"/errors/cause?group={name}" not in page

    assert (await api("POST", path, {"note": None})).body["assignee"] == "kim@example.com"  # what is not given stays
    await refuse(api, "W-2", TOO_LONG)  # it has grown
    group = await group_of(api)
    assert (group["is_snoozed"], group["is_back"], group["count"]) == (False, True, 2)
    assert await told(api) == [f"{name} back"]
    await api("POST", path, {"snoozed_until": until})
    assert (await group_of(api))["is_snoozed"]
    clock.advance(4 * 3600)  # its time is over
    assert (await group_of(api))["is_back"]
    await api("POST", path, {"snoozed_until": None})
    assert await told(api) == [name]
    actions = (await api("GET", "/audit", params={"entity": "cause"}, role=Role.ADMIN)).body["actions"]
    assert [item["action"] for item in actions] == ["woken", "snoozed", "noted", "snoozed", "noted", "assigned"]
    assert {item["actor"] for item in actions} == {"ops of tests"}


async def test_told_alert_stays_quiet_while_its_cause_is_snoozed(api: Api) -> None:
    await api("POST", "/orders", ORDER)
    await refuse(api, "W-1", TOO_LONG)
    group = await group_of(api)
    await api("POST", f"/dead-letters/groups/{group['fingerprint']}", {"snoozed_until": "2026-03-02T12:00:00Z"})
    async with api.store.transaction() as uow:
        row = {
            "rule": "dead_letters", "subject": group["fingerprint"], "text": "t", "fix": "f", "noticed_at": uow.now,
            "began_at": uow.now,
        }  # fmt: skip
        await uow.connection.execute(insert(alerts), [row])
    assert await told(api) == [group["fingerprint"]]  # it holds, so nobody is told that it is over


@pytest.mark.parametrize(
    ("body", "field", "sentence"),
    [
        ({}, None, "give assignee, note or snoozed_until"),
        ({"snoozed_until": "2026-03-01T11:00:00Z"}, "snoozed_until", "must be a time of the next 90 days"),
        ({"snoozed_until": "2027-03-01T11:00:00Z"}, "snoozed_until", "must be a time of the next 90 days"),
        ({"note": "x" * 2001}, "note", "it takes 2,000"),
        ({"assignee": "\u202e"}, "assignee", ""),
    ],
)
async def test_what_cannot_be_said_of_a_cause_is_refused_at_its_field(
    api: Api, body: dict[str, Any], field: str | None, sentence: str
) -> None:
    await api("POST", "/orders", ORDER)
    await refuse(api, "W-1", TOO_LONG)
    refused = await api("POST", f"/dead-letters/groups/{(await group_of(api))['fingerprint']}", body)
    assert (refused.status, sentence in refused.body["detail"]) == (422, True), refused.body
    assert field is None or refused.body["field"] == field
    assert (await api("POST", "/dead-letters/groups/none", {"note": "x"})).status == 404


async def test_cause_closes_when_nothing_is_left_and_the_next_one_knows_it(api: Api, clock: ManualClock) -> None:
    for number in ("W-1", "W-2"):
        await api("POST", "/orders", ORDER | {"number": number})
        await refuse(api, number, TOO_LONG)
    assert await follow(api) == (1, 0)
    assert await follow(api) == (0, 0)
    name = (await group_of(api))["fingerprint"]
    await api("POST", f"/dead-letters/groups/{name}", {"assignee": "kim", "note": "again on Monday"})
    await api("POST", "/dead-letters/replay", {"group": name})
    assert await follow(api) == (0, 0)  # what is sent again may be refused again
    await refuse(api, "W-1", TOO_LONG)
    assert await follow(api) == (0, 0)
    await api("POST", "/dead-letters/discard", {"entity": "order", "keys": ["W-1"]})
    assert await follow(api) == (0, 0)
    clock.advance(61)
    assert await follow(api) == (0, 1)
    [closed] = (await api("GET", "/dead-letters/closed-causes")).body["causes"]
    assert (closed["closed_how"], closed["closed_by"], closed["most"]) == ("discarded", "ops of tests", 2)
    assert (closed["assignee"], closed["note"], closed["field"]) == ("kim", "again on Monday", TOO_LONG.field)
    assert (await api("GET", "/dead-letters/closed-causes", role=Role.VIEWER)).body["causes"][0]["note"] is None

    await refuse(api, "W-2", TOO_LONG)
    assert await follow(api) == (1, 0)
    assert (await group_of(api))["assignee"] == "kim"
    async with api.store.transaction() as uow:  # a later change is accepted
        await dead_letters.discard(uow)
    assert await follow(api) == (0, 0)
    clock.advance(61)
    assert await follow(api) == (0, 1)
    page = (await api("GET", "/dead-letters/closed-causes", params={"limit": "1"})).body
    assert [item["closed_how"] for item in page["causes"]] == ["by_itself"]
    earlier = await api("GET", "/dead-letters/closed-causes", params={"before": str(page["before"])})
    assert [item["closed_how"] for item in earlier.body["causes"]] == ["discarded"]


async def test_page_of_a_cause_keeps_what_is_said_of_it(api: Api, clock: ManualClock) -> None:
    await api("POST", "/orders", ORDER)
    await refuse(api, "W-1", replace(MISSING, message="<b>"))
    await follow(api)
    await sign_in(api)
    name = (await group_of(api))["fingerprint"]
    _, page = await open_page(api, f"/errors/cause?group={name}")
    proof = re.findall(r'name="form_proof" value="(\w+)"', page)[0]
    assert "ops of tests" in page

    async def send(**form: str) -> tuple[int, str]:
        path = f"/errors/work?group={name}"
        async with api.client.post(path, data={"form_proof": proof, **form}, allow_redirects=False) as answer:
            return answer.status, answer.headers.get("Location") or await answer.text()

    status, text = await send(assignee="\u202e", note="kept", snooze="24")
    assert (status, 'id="wrong-assignee"' in text, ">kept</textarea>" in text) == (422, True, True)
    assert await send(assignee="Kim", note="<i>x</i>", snooze="24") == (303, f"/errors/cause?group={name}")
    _, page = await open_page(api, "/errors")
    assert "Kim" in page
    assert "&lt;i&gt;x&lt;/i&gt;" in page
    assert "1 snoozed" in page
    assert await send(assignee="Kim", note="", snooze="wake") == (303, f"/errors/cause?group={name}")
    group = await group_of(api)
    assert (group["is_snoozed"], group["note"], group["assignee"]) == (False, None, "Kim")
    await api("POST", "/dead-letters/replay", {"all": True})
    await follow(api)
    clock.advance(61)
    await follow(api)
    _, page = await open_page(api, "/errors/closed")
    assert "replayed by" in page
    assert (await send(assignee="Kim", note="", snooze="keep"))[0] == 404


async def test_correction_by_a_person_closes_the_cause_as_corrected_and_is_listed_at_once(
    api: Api, clock: ManualClock
) -> None:
    await api("PUT", "/customers/C-1", {"name": "Ann", "phone": "1" * 50})
    refusal = replace(TOO_LONG, field="Account.Phone", record="customer C-1")
    for number in ("W-1", "W-2"):
        await api("POST", "/orders", ORDER | {"number": number, "customer": "C-1"})
        await refuse(api, number, refusal)
    await sign_in(api)
    _, page = await open_page(api, "/errors")
    assert page.index(">Correct 2…</a>".replace(">Correct", "Correct")) < page.index("Replay 2")
    _, page = await open_page(api, f"/errors/cause?group={(await group_of(api))['fingerprint']}")
    assert 'class="button" href="/errors/correct?entity=order&key=W-1"' in page
    version = (await api("GET", "/customers/C-1")).body["version"]
    body = {"set": {"phone": "1"}, "version": version}
    assert (await api("POST", "/dead-letters/customer/C-1/correction", body)).status == 200
    listed = (await api("GET", "/dead-letters/closed-causes")).body
    assert [(item["closed_how"], item["closed_by"]) for item in listed["settling"]] == [("corrected", "ops of tests")]
    _, page = await open_page(api, "/errors/closed")
    assert ("corrected by" in page, "nothing is left" in page, "later changes" in page) == (True, True, False)
    await follow(api)
    clock.advance(61)
    assert await follow(api) == (0, 1)
    [closed] = (await api("GET", "/dead-letters/closed-causes")).body["causes"]
    assert (closed["closed_how"], closed["closed_by"], closed["most"]) == ("corrected", "ops of tests", 2)
