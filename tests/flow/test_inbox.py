"""Records of the org that cannot be applied now: parked, or read again later. Nothing else waits for them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from math import ceil
from typing import Any

import pytest
from sqlalchemy import text, update

from connector.jobs.inbound_run import take_in
from connector.mapping.receiver import RecordReceiver
from connector.model.change import EntityKind
from connector.model.inbound_change import InboxItem, InboxState, Source
from connector.model.record_change import Effect
from connector.store import customers, inbox
from connector.store.engine import Store
from connector.store.tables import links
from connector.store.unit_of_work import UnitOfWork
from tests.flow.conftest import World
from tests.flow.test_pull import NUMBER, begin, order_here
from tests.flow.test_push import an_order


async def test_value_that_cannot_be_read_is_parked_and_stops_nothing(world: World) -> None:
    await begin(world, an_order(NUMBER), an_order("N-2"))

    async def parked() -> Sequence[InboxItem]:
        async with world.service.store.reader() as connection:
            return await inbox.list_parked(connection)

    async with world.service.store.transaction() as uow:
        await park_one(uow, world)
    assert len(await parked()) == 1
    await world.change_in_org("Order", "N-2", Description="still arrives")
    await world.service.pull()
    assert (await order_here(world, "N-2")).header.notes == "still arrives"
    assert len(await parked()) == 1


async def park_one(uow: UnitOfWork, world: World) -> None:
    record = ("Order", "801000000000001AAA")
    await inbox.park(uow, world.service.client.org_id, record, Source.POLL, error="unreadable", fix="correct it")


async def test_record_that_became_due_after_it_was_read_is_not_parked(store: Store) -> None:
    record = ("Order", "801000000000001AAA")
    async with store.transaction() as uow:
        before, after = uow.now - timedelta(seconds=1), uow.now + timedelta(seconds=1)
        await inbox.put(uow, "00D", [record], Source.EVENT)
        await inbox.park(uow, "00D", record, Source.POLL, error="unreadable", fix="correct it", read_at=before)
        assert (await inbox.counts(uow.connection, "00D"))[InboxState.PARKED] == 0
        await inbox.park(uow, "00D", record, Source.POLL, error="unreadable", fix="correct it", read_at=after)
        assert (await inbox.counts(uow.connection, "00D"))[InboxState.PARKED] == 1


async def test_record_whose_write_has_no_answer_is_read_again_less_and_less_often(world: World) -> None:
    await begin(world)
    await world.change_in_org("Order", NUMBER, Description="theirs")
    async with world.service.store.transaction() as uow:
        uow.changed(EntityKind.ORDER, NUMBER, 0, unconfirmed=True)
    pauses = []
    for _ in range(3):
        assert (await world.service.pull()).applied.taken == {}
        async with world.service.store.transaction() as uow:
            later = uow.now + inbox.LONGEST_PAUSE
            items = await inbox.list_due(uow.connection, world.service.client.org_id, later, 10)
            [item] = [item for item in items if item.sobject == "Order"]
            pauses.append(ceil((item.due_at - uow.now).total_seconds()))
    assert pauses == pytest.approx([5, 10, 20], abs=3)


async def test_record_whose_value_here_cannot_be_mapped_is_parked_and_stops_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await begin(world, an_order(NUMBER), an_order("N-2"))
    local_values = RecordReceiver.local_values

    def fails_for_one(receiver: RecordReceiver, entity: Any) -> Any:
        if entity.key == NUMBER:
            monkeypatch.setitem(receiver._getters, "Description", lambda _: 1 // 0)
        try:
            return local_values(receiver, entity)
        finally:
            monkeypatch.undo()
            monkeypatch.setattr(RecordReceiver, "local_values", fails_for_one)

    for number in (NUMBER, "N-2"):
        await world.change_in_org("Order", number, Description="theirs")
    monkeypatch.setattr(RecordReceiver, "local_values", fails_for_one)
    summary = await world.service.pull()

    assert (summary.parked, summary.applied.taken) == (1, {"Order.Description": 1})
    async with world.service.store.reader() as connection:
        [item] = await inbox.list_parked(connection)
    assert item.error is not None
    assert "Description cannot be computed" in item.error


async def refuse_bad(world: World, table: str, column: str) -> None:
    """The database refuses the value `bad`."""
    refusing = f"ALTER TABLE {table} ADD CONSTRAINT no_bad_{table} CHECK ({column} <> 'bad')"
    async with world.service.store.transaction() as uow:
        if uow.connection.dialect.name != "sqlite":
            await uow.connection.execute(text(refusing))
            return
        for event in ("INSERT", "UPDATE"):
            name = f"CREATE TRIGGER no_bad_{table}_{event} BEFORE {event} ON {table}"
            raising = "BEGIN SELECT RAISE(ABORT, 'no_bad'); END"
            await uow.connection.execute(text(f"{name} WHEN NEW.{column} = 'bad' {raising}"))


async def test_record_that_the_database_refuses_is_parked_and_stops_nothing(world: World) -> None:
    """Whatever the reason is: one record of a page must not hold up the others, nor the poll."""
    await begin(world)
    await refuse_bad(world, "customers", "phone")
    await world.change_in_org("Account", "C-1", Phone="bad")
    await world.change_in_org("Account", "C-2", Phone="good")

    expected = await world.service.pull(dry_run=True)
    summary = await world.service.pull()

    assert (summary.parked, summary.applied.taken) == (1, {"Account.Phone": 1})
    assert (expected.parked, expected.applied.taken) == (1, {"Account.Phone": 1})
    assert sorted(change.effect for change in expected.changes) == [Effect.PARKED, Effect.TAKEN]
    async with world.service.store.reader() as connection:
        [item] = await inbox.list_parked(connection)
        assert {row.number: row.phone for row in await customers.load(connection, ["C-1", "C-2"])} == {
            "C-1": None,
            "C-2": "good",
        }
    assert "The database refused a value" in str(item.error)
    await world.change_in_org("Account", "C-1", Phone="good as well")
    assert (await world.service.pull()).parked == 0


async def test_record_whose_last_write_seems_to_be_in_the_future_is_not_read_in_a_loop(world: World) -> None:
    """The clock of the host that wrote it is ahead of ours."""
    await begin(world)
    org_id = world.service.client.org_id
    async with world.service.store.transaction() as uow:
        ahead = uow.now + timedelta(minutes=1)
        await uow.connection.execute(update(links).where(links.c.key == NUMBER).values(synced_at=ahead))
        await inbox.put(uow, org_id, [("Order", (await world.order(NUMBER))["Id"])], Source.EVENT)
    report = await take_in(world.service.inbound_context)
    assert 2 <= report.applied.deferred <= 5  # at once, and after 1, 2 and 4 seconds, if this machine is so slow
    async with world.service.store.reader() as connection:
        [item] = await inbox.list_due(connection, org_id, ahead, 10)
    assert item.attempts == report.applied.deferred
