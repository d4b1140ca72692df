"""What is done with is deleted after its retention, and what waits for somebody is kept."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import func, insert, select, update

from connector.jobs import prune as prune_job
from connector.jobs.prune import prune
from connector.model.action_request import ActionRequest, ActionState
from connector.model.change import EntityKind
from connector.model.change_notice import NewNotice, NoticeState
from connector.model.conflict import Conflict, ConflictState
from connector.model.field_notes import SentRecord
from connector.model.job_run import JobState
from connector.model.outgoing_event import OutgoingState
from connector.model.platform_event import PlatformEvent
from connector.model.resync import Priority, ResyncFilter, ResyncMode, ResyncState
from connector.settings import Settings
from connector.store import change_notices, conflicts, job_runs, journal, order_actions, resyncs, undos
from connector.store.engine import Store
from connector.store.event_tables import outgoing_events
from connector.store.journal import JournalEntry
from connector.store.tables import messages
from tests.conftest import ManualClock
from tests.unit.store import samples


async def fill(store: Store) -> None:
    """One row of each kind that is done with, and one that waits or is kept for ever."""
    async with store.transaction() as uow:
        for number in range(3):
            notice = NewNotice(type="order.updated", entity="order", key=f"N-{number}", data={})
            await change_notices.capture(uow, [notice])
        await order_actions.put(uow, "00D", ActionRequest(event_id="e"), ActionState.REFUSED, "no")
        uow.publish([PlatformEvent(name="Order_Status__e", order="N-1", id=f"N-1:{n}", fields={}) for n in (1, 2)])
        await uow.capture()
        await uow.connection.execute(
            update(outgoing_events)
            .where(outgoing_events.c.event_id == "N-1:1")
            .values(state=OutgoingState.REFUSED.value)
        )
        fields = {"org_id": "00D", "entity": "order", "key": "N-1", "sobject": "Order", "record_id": "801"}
        values = {"base": None, "local": "a", "remote": "b", "opened_at": uow.now}
        opened = [Conflict(id=0, field=name, **fields, **values) for name in ("PoNumber", "Description")]  # type: ignore[arg-type]
        await conflicts.open_or_update(uow, opened)
        first = min(item.id for item in await conflicts.list_page(uow.connection, limit=10))
        await conflicts.resolve(uow, [first], ConflictState.LOCAL, actor="clerk")
        sent = [SentRecord(sobject="Order", key="k", fields={"Status": "Draft"})]
        await journal.write(
            uow,
            [
                JournalEntry(entity="topic", key="k", action="gap", detail={}, org_id="00D"),
                JournalEntry(entity="order", key="k", action="written", detail={}, sent=sent),
                JournalEntry(entity="order", key="k", action="discarded", detail={}, actor="ann"),
                JournalEntry(entity="job", key="k", action="paused", detail={}, actor="ann"),
            ],
        )
        started = {"worker": "host:1", "started_at": uow.now}
        await job_runs.record(uow, "push", JobState.DONE, **started, result={"writes": 1})  # type: ignore[arg-type]
        idle = await job_runs.begin(uow, "prune", uow.now, worker="host:1", ttl=15)
        assert idle is not None
        await job_runs.finish(uow, idle, JobState.DONE)
        await job_runs.request(uow, "prune", actor="ann")
        states = {1: NoticeState.SENT, 2: NoticeState.FAILED}
        await change_notices.settle(
            uow, [change_notices.NoticeOutcome(id=number, state=state) for number, state in states.items()]
        )


async def numbers(store: Store) -> dict[str, int]:
    tables = (
        change_notices.change_notices, order_actions.order_actions, outgoing_events, conflicts.conflicts,
        job_runs.job_runs,
    )  # fmt: skip
    async with store.reader() as connection:
        return {
            table.name: (await connection.execute(select(func.count()).select_from(table))).scalar_one()
            for table in (*tables, journal.journal)
        }


async def test_each_kind_is_deleted_after_its_own_retention_and_what_waits_is_kept(
    store: Store, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prune_job, "BATCH", 1)
    settings = Settings(_env_file=None)
    await fill(store)
    everything = {
        "change_notices": 3,
        "order_actions": 1,
        "outgoing_events": 2,
        "conflicts": 2,
        "job_runs": 3,
        "journal": 4,
    }
    kinds = (
        "sent_notices", "failed_notices", "actions", "refused_events", "conflicts", "topic_history", "job_runs",
        "idle_job_runs", "sent_messages", "resyncs", "causes", "undos", "alerts", "journal_values", "journal", "audit",
    )  # fmt: skip
    nothing = dict.fromkeys(kinds, 0)

    assert await prune(store, settings) == nothing
    assert await numbers(store) == everything
    clock.advance(timedelta(days=8).total_seconds())  # the notice that was due has failed by now
    assert await prune(store, settings) == nothing | {"sent_notices": 1, "idle_job_runs": 1}
    clock.advance(timedelta(days=23).total_seconds())
    assert await prune(store, settings) == nothing | {"actions": 1, "job_runs": 1, "journal_values": 1}
    clock.advance(timedelta(days=60).total_seconds())
    assert await prune(store, settings) == nothing | {"failed_notices": 2, "refused_events": 1}
    clock.advance(timedelta(days=275).total_seconds())
    assert await prune(store, settings) == nothing | {"conflicts": 1, "topic_history": 1}
    clock.advance(timedelta(days=35).total_seconds())
    assert await prune(store, settings) == nothing | {"journal": 1}
    clock.advance(timedelta(days=700).total_seconds())
    assert await prune(store, settings) == nothing | {"audit": 1}

    assert await numbers(store) == {
        "change_notices": 0,
        "order_actions": 0,
        "outgoing_events": 1,
        "conflicts": 1,
        "job_runs": 1,
        "journal": 1,
    }
    async with store.reader() as connection:
        assert await conflicts.count_open(connection) == 1
        [kept] = await journal.read(connection, "order", "k")
        assert kept.action == "discarded"  # by it we know that the org lacks the change


async def test_sent_messages_ended_resyncs_and_runs_that_nobody_takes(store: Store, clock: ManualClock) -> None:
    await samples.stock(store)
    await samples.place(store, samples.order())
    async with store.transaction() as uow:
        row = {
            "order_number": samples.order().number,
            "kind": "confirmation",
            "attempts": 1,
            "captured_at": uow.now,
            "since": uow.now,
        }
        states = [{"key": state, "reference": state, "state": state, "sent_at": sent, "due_at": uow.now}
                  for state, sent in (("sent", uow.now), ("failed", None), ("due", None))]  # fmt: skip
        await uow.connection.execute(insert(messages), [row | more for more in states])
        ended, paused = [
            await resyncs.create(uow, EntityKind.ORDER, ResyncFilter(), mode=ResyncMode.PUSH, priority=Priority.LOW,
                                 total=0, actor="ann")
            for _ in range(2)
        ]  # fmt: skip
        await resyncs.begin(uow, ended.id)
        await resyncs.end(uow, ended.id, ResyncState.DONE)
        await resyncs.pause(uow, paused.id, actor="ann")
        undo = await undos.create(uow, "00D", "resync-1", plan="p", total=1, counts={}, left_alone=[], actor="ann")
        await undos.end(uow, undo.id)
        turned_off = await job_runs.request(uow, "webhooks", actor="ann")
        asked = await job_runs.request(uow, "prune", actor="ann")
    settings = Settings(_env_file=None)
    assert not any((await prune(store, settings)).values())
    clock.advance(timedelta(days=2).total_seconds())
    assert not any((await prune(store, settings)).values())
    async with store.reader() as connection:
        runs = [await job_runs.get(connection, run.id) for run in (turned_off, asked)]
    assert [run.state for run in runs if run is not None] == [JobState.FAILED, JobState.WAITING]
    assert runs[0] is not None
    assert "turn this job off" in str(runs[0].error)
    clock.advance(timedelta(days=800).total_seconds())
    deleted = await prune(store, settings)
    assert (deleted["sent_messages"], deleted["resyncs"], deleted["undos"], deleted["job_runs"]) == (1, 1, 1, 1)
    async with store.reader() as connection:
        assert set((await connection.execute(select(messages.c.state))).scalars()) == {"failed", "due"}
        assert [item.id for item in await resyncs.list_page(connection, limit=5)] == [paused.id]


async def test_values_of_fields_go_before_their_entry(store: Store, clock: ManualClock) -> None:
    await fill(store)
    async with store.reader() as connection:
        [entry] = [item for item in await journal.read(connection, "order", "k") if item.action == "written"]
    assert [(note.field, note.value) for note in entry.notes] == [("Status", "Draft")]
    clock.advance(timedelta(days=31).total_seconds())
    await prune(store, Settings(_env_file=None))
    async with store.reader() as connection:
        [entry] = [item for item in await journal.read(connection, "order", "k") if item.action == "written"]
    assert entry.notes == ()
