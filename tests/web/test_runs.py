"""Runs over HTTP: what each has written, for whom, and what an undo needs."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp.test_utils import TestClient, TestServer

from connector.jobs.undo import Undoer
from connector.jobs.undo_plan import UndoChoice
from connector.model.change import EntityKind
from connector.model.field_notes import MergedField, SentRecord
from connector.model.job_run import JobState
from connector.model.resync import ResyncFilter, ResyncMode
from connector.model.role import Role
from connector.model.undo import UndoPlan
from connector.store import job_runs, journal, orgs, resyncs, undos
from connector.store.journal import JournalEntry
from connector.store.queries import run_writes
from tests.conftest import ManualClock
from tests.web.conftest import Api, app_on
from tests.web.test_console import open_page, sign_in

PERSONAL = {"Account": frozenset({"Phone"})}


COUNTS = {"restore": 1, "sent_with": 41, "restored": 4}


async def fill(api: Api) -> None:
    """A resync that has written, and its undo."""
    sent = SentRecord(
        sobject="Account", key="C-1", fields={"Phone": "+2", "Tier__c": "gold"}, record_id="001",
        before={"Phone": "+1", "Tier__c": None},
    )  # fmt: skip
    taken = MergedField(
        sobject="Order", key="W-1", field="PoNumber", base="a", local="a", remote="b", effect="taken", why="newer"
    )
    call = {"id": "c1", "method": "PATCH", "path": "/x", "status": 200, "requests": 1, "ms": 5}
    async with api.store.transaction() as uow:
        made = await resyncs.record(
            uow, EntityKind.CUSTOMER, ResyncFilter(keys=("C-1",)), mode=ResyncMode.PUSH, total=1, actor="ann"
        )
        await resyncs.note_recorded(uow, made.id, total=1)
        uow.run = made.run_name
        await journal.write(
            uow,
            [
                JournalEntry(
                    entity="customer", key="C-1", action="written", detail={"call": call}, org_id="00D", sent=[sent],
                    personal=PERSONAL,
                ),
                JournalEntry(entity="customer", key="C-2", action="refused", detail={"code": "X"}, org_id="00D"),
                JournalEntry(entity="order", key="W-1", action="received", detail={}, org_id="00D", merged=[taken]),
            ],
        )  # fmt: skip
        uow.run = None
        await undos.create(uow, "00D", "resync-1", plan="p", total=1, counts=COUNTS, left_alone=[], actor="ben")


async def test_runs_are_listed_page_by_page_and_by_kind(api: Api) -> None:
    assert (await api("GET", "/runs")).body == {"runs": [], "before": None}
    await fill(api)
    listed = (await api("GET", "/runs", role=Role.VIEWER)).body
    assert [(run["run"], run["kind"], run["actor"], run["state"]) for run in listed["runs"]] == [
        ("undo-1", "undo", "ben", "running"), ("resync-1", "resync", "ann", "done"),
    ]  # fmt: skip
    assert [run["undone_by"] for run in listed["runs"]] == [[], ["undo-1"]]
    assert [run["run"] for run in (await api("GET", "/runs?kind=undo")).body["runs"]] == ["undo-1"]
    assert [run["run"] for run in (await api("GET", "/runs?actor=ann")).body["runs"]] == ["resync-1"]
    assert (await api("GET", "/runs?kind=monday")).status == 400
    assert (await api("GET", "/runs?limit=1")).body["before"] is not None


async def test_undo_whose_process_has_ended_is_stopped_and_says_what_is_left(api: Api, clock: ManualClock) -> None:
    await fill(api)
    async with api.store.transaction() as uow:
        await undos.renew(uow, 1)
        assert (
            await undos.create(uow, "00D", "resync-1", plan="p", total=1, counts={}, left_alone=[], actor="ann") is None
        )  # each plan is carried out once
    clock.advance(240)
    assert (await api("GET", "/runs/undo-1")).body["run"]["state"] == "running"
    clock.advance(120)
    stopped = (await api("GET", "/runs/undo-1")).body["run"]
    assert (stopped["state"], stopped["counts"]["not_reached"], stopped["ended_at"] is None) == ("stopped", 1, False)
    await sign_in(api)
    _, text = await open_page(api, "/runs/undo-1")
    assert "Its process ended before it was done: 1 field was not reached." in text
    assert 'href="/runs/resync-1/undo"' in text
    assert "1 put back; left: 41 sent with it, 4 back already, 1 not reached" in text
    async with api.store.transaction() as uow:
        await undos.end(uow, 1)
    assert (await api("GET", "/runs/undo-1")).body["run"]["state"] == "done"


async def test_runs_of_one_moment_are_all_listed_page_by_page(api: Api, clock: ManualClock) -> None:
    await fill(api)
    async with api.store.transaction() as uow:
        for kind in (*EntityKind, *EntityKind):
            await resyncs.record(uow, kind, ResyncFilter(), mode=ResyncMode.PUSH, total=1, actor="ann")
        for number in range(3):
            await undos.create(
                uow, "00D", "resync-1", plan=f"p{number}", total=1, counts={}, left_alone=[], actor="ann"
            )
    everything = [run["run"] for run in (await api("GET", "/runs")).body["runs"]]
    assert len(everything) == 13
    for limit in (1, 2, 5):
        found, query = [], f"limit={limit}"
        while query:
            page = (await api("GET", f"/runs?{query}")).body
            found += [run["run"] for run in page["runs"]]
            query = f"limit={limit}&before={quote(page['before'])}" if page["before"] else ""
        assert found == everything, limit
    moment = quote((clock.now() + timedelta(seconds=1)).isoformat())
    assert len((await api("GET", f"/runs?before={moment}")).body["runs"]) == 13
    assert (await api("GET", f"/runs?before={quote(clock.now().isoformat())}")).body["runs"] == []
    for wrong in ("soon", "2026-03-01T12:00:00Z~monday"):
        assert (await api("GET", f"/runs?before={wrong}")).status == 400


async def test_run_is_counted_once_when_it_has_ended(
    api: Api, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(api)
    counted: list[str] = []
    add_counts = run_writes.add_counts

    async def count(connection: Any, counts: Any, run: str, **place: Any) -> int | None:
        counted.append(run)
        return await add_counts(connection, counts, run, **place)

    monkeypatch.setattr(run_writes, "add_counts", count)
    await sign_in(api)
    for run, follows in (("resync-1", False), ("undo-1", True)):
        for _ in range(3):
            _, text = await open_page(api, f"/runs/{run}")
            assert ('hx-get="/runs/' in text) == follows, run
    assert counted == ["resync-1", "undo-1"]
    clock.advance(61)
    await sign_in(api)
    for run in ("resync-1", "undo-1"):
        await open_page(api, f"/runs/{run}")
    assert counted == ["resync-1", "undo-1", "undo-1"]


async def test_console_undoes_a_run_in_its_own_org(api: Api) -> None:
    await fill(api)
    async with api.store.for_org("emea").transaction() as uow:
        await orgs.put(uow, "00D", login_url="", instance_url="https://org.example", is_active=True)
    asked: list[str] = []

    class Recorder(Undoer):
        async def plan(self, run: str, chosen: UndoChoice, *, org: str = "") -> UndoPlan:
            asked.append(org)
            return UndoPlan(run=run, rows=[])

    undoer = Recorder(open_org=nullcontext)  # type: ignore[arg-type]
    async with TestClient(TestServer(app_on(api.store, undoer=undoer))) as client:
        other = Api(client, api.store, api.secrets)
        await sign_in(other)
        for query in ("", "?org=default"):
            assert (await open_page(other, f"/runs/resync-1/undo{query}"))[0].status == 200
    assert asked == ["emea", ""]


async def test_one_run_says_what_it_wrote_and_hides_what_is_personal(api: Api) -> None:
    await fill(api)
    one = (await api("GET", "/runs/resync-1", role=Role.VIEWER)).body
    totals = {"updated": 1, "fields": 2, "refused": 1, "taken": 1, "calls": 1}
    assert {name: one["totals"][name] for name in totals} == totals
    page = (await api("GET", "/runs/resync-1/writes?limit=2")).body
    assert [(item["entity"], item["action"], item["side"]) for item in page["writes"]] == [
        ("customer", "written", "org"), ("customer", "refused", "org"),
    ]  # fmt: skip
    rest = (await api("GET", f"/runs/resync-1/writes?after={page['after']}")).body
    assert [(item["key"], item["side"], rest["after"]) for item in rest["writes"]] == [("W-1", "here", None)]
    fields = {field["field"]: (field["before"], field["after"]) for field in page["writes"][0]["fields"]}
    assert fields == {"Phone": ("+1", "+2"), "Tier__c": (None, "gold")}
    hidden = (await api("GET", "/runs/resync-1/writes", role=Role.VIEWER)).body["writes"][0]["fields"]
    assert {field["field"]: (field["before"], field["hidden"]) for field in hidden} == {
        "Phone": (None, True), "Tier__c": (None, False),
    }  # fmt: skip
    for path in ("/runs/resync-2", "/runs/monday", "/runs/resync-1x/writes"):
        assert (await api("GET", path)).status == 404


async def test_undo_needs_a_plan_an_org_and_the_role(api: Api) -> None:
    await fill(api)
    assert (await api("POST", "/runs/resync-1/undo", {})).status == 428
    without_org = await api("POST", "/runs/resync-1/undo", {"dry_run": True})
    assert (without_org.status, without_org.body["hint"]) == (409, "Set one.")
    assert (await api("POST", "/runs/resync-1/undo", {"plan": "p"})).status == 409
    assert (await api("POST", "/runs/resync-9/undo", {"dry_run": True})).status == 404
    assert (await api("POST", "/runs/resync-1/undo", {"dry_run": True}, role=Role.VIEWER)).status == 403


async def test_viewer_reads_no_reasons_and_no_names_of_people_of_the_org(api: Api) -> None:
    left = {
        "entity": "customer", "key": "C-1", "sobject": "Account", "record": "C-1", "record_id": "001", "field": "Phone",
        "who": "Secret Rep (rep@org.example)", "at": None, "why": "Later.",
    }  # fmt: skip
    async with api.store.transaction() as uow:
        made = await resyncs.record(
            uow, EntityKind.CUSTOMER, ResyncFilter(), mode=ResyncMode.PUSH, total=1, actor="ann"
        )
        await resyncs.note_error(uow, made.id, "INVALID: ann@secret.example")
        undo = await undos.create(
            uow, "00D", "resync-1", plan="p", total=1, counts={"restore": 1}, left_alone=[left], actor="ben"
        )
        await undos.end(uow, undo.id, forbidden=["order W-1: Ann Secret lives elsewhere"])
        job = await job_runs.begin(uow, "prune", uow.now, worker="host:1", ttl=15)
        assert job is not None
        await job_runs.finish(uow, job, JobState.FAILED, error="Mrs Secret has no name", fix="Ask Mrs Secret.")
    read = ("/runs", "/runs/resync-1", "/runs/undo-1", "/runs/job-1", "/scheduler/resyncs", "/scheduler/resyncs/1",
            "/scheduler/runs", "/scheduler/runs/1", "/scheduler/jobs")  # fmt: skip
    for path in read:
        hidden, shown = [str((await api("GET", path, role=role)).body) for role in (Role.VIEWER, Role.OPS)]
        assert ("secret" in hidden.lower(), "secret" in shown.lower()) == (False, True), path
    undone = (await api("GET", "/runs/undo-1", role=Role.VIEWER)).body["run"]
    assert [(item.get("who"), item["why"]) for item in undone["left_alone"]] == [
        (None, "Later."), (None, "The rules of an order forbid it."),
    ]  # fmt: skip
    for role, is_shown in ((Role.VIEWER, False), (Role.OPS, True)):
        await sign_in(api, role)
        for path in ("/runs/resync-1", "/runs/undo-1"):
            assert ("secret" in (await open_page(api, path))[1].lower()) == is_shown, path
