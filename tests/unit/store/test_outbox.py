"""The outbox loses no captured change: not by an older result, a rollback or a refusal."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import event, select

from connector.model.change import ChangeState, DeadLetter, EntityKind, Refusal
from connector.model.lane import Lane
from connector.model.stage import Stage
from connector.store import customers, dead_letters, orders, outbox, outbox_counts, retry_schedule
from connector.store.engine import Store
from connector.store.partitions import slot_of_key
from connector.store.tables import outbox as table
from tests.conftest import ManualClock
from tests.unit.store.samples import ALFKI, BONAP, due_keys, order, pending, place, settle_everything, stock

REFUSAL = Refusal(
    code="FIELD_INTEGRITY_EXCEPTION",
    message='Der Wert "ä" passt nicht',
    field="Order.EffectiveDate",
    source="order.yaml:14",
    fix="Correct the order's date.",
    record="order 10248",
)


async def test_change_is_captured_in_its_own_transaction(store: Store, clock: ManualClock) -> None:
    await stock(store)
    await place(store, order())
    (change,) = await pending(store)
    assert (change.entity, change.key, change.version, change.attempts) == (EntityKind.ORDER, "10248", 1, 0)
    assert change.captured_at == clock.now()


async def test_rollback_removes_the_order_and_its_change(store: Store) -> None:
    await stock(store)

    async def fails() -> None:
        async with store.transaction() as uow:
            await orders.save(uow, [order()])
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        await fails()
    async with store.reader() as connection:
        assert await orders.count(connection) == 0
    assert await due_keys(store) == []


async def test_several_changes_become_one_row_with_the_first_capture_time(store: Store, clock: ManualClock) -> None:
    await stock(store)
    first = clock.now()
    for stage in (Stage.PLACED, Stage.VERIFIED, Stage.CONFIRMED):
        await place(store, order(stage=stage))
        clock.advance(60)
    (change,) = await pending(store)
    assert change.version == 3
    assert change.captured_at == first


async def test_entity_that_changes_in_flight_stays_due(store: Store, clock: ManualClock) -> None:
    await stock(store)
    await place(store, order("1"), order("2"))
    taken = await pending(store)
    await place(store, order("1", stage=Stage.VERIFIED))
    async with store.transaction() as uow:
        assert await outbox.settle(uow, taken) == 1
    assert [(change.key, change.version) for change in await pending(store)] == [("1", 2)]


async def test_late_result_does_not_settle_a_newer_change(store: Store, clock: ManualClock) -> None:
    await stock(store)
    await place(store, order())
    frozen = await pending(store)
    await settle_everything(store)
    clock.advance(1)
    await place(store, order(stage=Stage.VERIFIED))
    async with store.transaction() as uow:
        assert await outbox.settle(uow, frozen) == 0
    assert await due_keys(store) == ["10248"]


async def test_postponed_change_is_due_at_its_time(store: Store, clock: ManualClock) -> None:
    await stock(store)
    await place(store, order("1"), order("2"))
    later = clock.now() + timedelta(seconds=90)
    taken = [change for change in await pending(store) if change.key == "1"]
    async with store.transaction() as uow:
        assert await outbox.postpone(uow, taken, due_at=later, error="UNABLE_TO_LOCK_ROW") == 1
    assert await due_keys(store) == ["2"]
    async with store.reader() as connection:
        assert await outbox_counts.next_due(connection) == clock.now()
        unsent = (await outbox.find(connection, EntityKind.ORDER, ["1"]))["1"]
    assert (unsent.error, unsent.attempts, unsent.due_at) == ("UNABLE_TO_LOCK_ROW", 1, later)
    clock.advance(90)
    assert [(change.key, change.attempts) for change in await pending(store)] == [("1", 1), ("2", 0)]


async def test_late_failure_of_an_older_version_does_not_delay_a_newer_change(store: Store, clock: ManualClock) -> None:
    await stock(store)
    await place(store, order())
    taken = await pending(store)
    await place(store, order(stage=Stage.CANCELED))
    async with store.transaction() as uow:
        assert await outbox.postpone(uow, taken, due_at=clock.now() + timedelta(hours=1), error="503") == 0
        assert not await outbox.refuse(uow, taken[0], REFUSAL)
    assert await due_keys(store) == ["10248"]


async def test_send_is_recorded_before_the_call_and_the_attempt_after_the_answer(
    store: Store, clock: ManualClock
) -> None:
    await stock(store)
    await place(store, order("1"), order("2"))
    taken = await pending(store)
    await place(store, order("2", notes="newer"))
    async with store.transaction() as uow:
        assert await outbox.begin_send(uow, taken) == {(EntityKind.ORDER, "1")}
    now = {change.key: (change.attempts, change.unanswered_sends) for change in await pending(store)}
    assert now == {"2": (0, 0), "1": (0, 1)}
    async with store.transaction() as uow:
        await retry_schedule.reset_unanswered_sends(uow, taken[:1])
        await outbox.postpone(uow, taken[:1], due_at=clock.now(), error="503")
        unsent = (await outbox.find(uow.connection, EntityKind.ORDER, ["1"]))["1"]
        assert (unsent.attempts, unsent.unanswered_sends) == (1, 0)
        assert await outbox.settle(uow, taken) == 1


async def test_change_sent_repeatedly_without_an_answer_is_due_after_a_limited_pause(
    store: Store, clock: ManualClock
) -> None:
    await stock(store)
    await place(store, order("1"))
    pauses = []
    for _ in range(12):
        taken = await pending(store)
        async with store.transaction() as uow:
            await outbox.begin_send(uow, taken)
            due_at = (await outbox.find(uow.connection, EntityKind.ORDER, ["1"]))["1"].due_at
        pauses.append(max(0.0, (due_at - clock.now()).total_seconds()))
        clock.advance(pauses[-1])
    assert pauses == [0, 0, 0, 1, 2, 4, 8, 15, 15, 15, 15, 15]
    async with store.transaction() as uow:
        assert await retry_schedule.make_all_due(uow) == 0  # the pause is over, so nothing is postponed
        assert [change.unanswered_sends for change in await pending(store)] == [12]


async def test_new_change_resets_due_time_and_attempts(store: Store, clock: ManualClock) -> None:
    await stock(store)
    await place(store, order())
    captured = clock.now()
    async with store.transaction() as uow:
        await outbox.postpone(uow, await pending(store), due_at=captured + timedelta(hours=1), error="503")
    clock.advance(10)
    await place(store, order(stage=Stage.VERIFIED))
    (change,) = await pending(store)
    assert (change.attempts, change.captured_at) == (0, captured)


async def test_stored_refusal_is_loaded_unchanged(store: Store, clock: ManualClock) -> None:
    await stock(store)
    await place(store, order())
    (change,) = await pending(store)
    refused_at = clock.advance(3)
    async with store.transaction() as uow:
        assert await outbox.refuse(uow, change, REFUSAL)
    assert await due_keys(store) == []
    async with store.reader() as connection:
        letters = await dead_letters.list_dead_letters(connection)
        assert await outbox_counts.next_due(connection) is None
        assert await retry_schedule.oldest_capture(connection) is None
    assert letters == [
        DeadLetter(
            entity=EntityKind.ORDER,
            key="10248",
            refusal=REFUSAL,
            attempts=1,
            captured_at=change.captured_at,
            refused_at=refused_at,
        )
    ]


async def test_blocked_change_is_counted_but_is_no_dead_letter(store: Store) -> None:
    async with store.transaction() as uow:
        await customers.save(uow, [ALFKI, BONAP])
    refused = [(change, REFUSAL) for change in await pending(store, EntityKind.CUSTOMER)]
    async with store.transaction() as uow:
        assert await outbox.refuse_all(uow, refused, state=ChangeState.BLOCKED) == 2
    async with store.reader() as connection:
        assert await dead_letters.list_dead_letters(connection) == []
        counts = await outbox_counts.counts(connection)
    assert counts[EntityKind.CUSTOMER] == {ChangeState.DUE: 0, ChangeState.DEAD: 0, ChangeState.BLOCKED: 2}
    assert counts[EntityKind.ORDER] == {ChangeState.DUE: 0, ChangeState.DEAD: 0, ChangeState.BLOCKED: 0}


async def refuse_orders(store: Store, *numbers: str) -> None:
    await stock(store)
    await place(store, *(order(number) for number in numbers))
    refusals = [(change, replace(REFUSAL, record=f"order {change.key}")) for change in await pending(store)]
    async with store.transaction() as uow:
        await outbox.refuse_all(uow, refusals)


async def test_dead_letters_are_filtered_by_entity_key_and_limit(store: Store) -> None:
    await refuse_orders(store, "1", "2", "3")
    async with store.reader() as connection:
        chosen = await dead_letters.list_dead_letters(connection, entity=EntityKind.ORDER, keys=["3", "1", "nine"])
        assert [(letter.key, letter.refusal.record) for letter in chosen] == [("1", "order 1"), ("3", "order 3")]
        assert await dead_letters.list_dead_letters(connection, entity=EntityKind.PRODUCT) == []
        assert [letter.key for letter in await dead_letters.list_dead_letters(connection, limit=2)] == ["1", "2"]


async def test_causes_are_found_by_one_statement_however_many_there_are(store: Store, clock: ManualClock) -> None:
    await stock(store)
    await place(store, *(order(f"N-{number}") for number in range(9)))
    first = clock.now()
    for change in await pending(store):
        number = int(change.key[2:])
        cause = replace(REFUSAL, code="LONG" if number > 6 else "BAD", field=None if number > 6 else "Order.Name")
        async with store.transaction() as uow:
            await outbox.refuse(uow, change, replace(cause, message=f"About {change.key}"))
        clock.advance(1)
    statements: list[str] = []
    event.listen(store._engine.sync_engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
    async with store.reader() as connection:
        statements.clear()
        bad, long = await dead_letters.group_by_cause(connection)
        assert len([statement for statement in statements if statement.startswith("SELECT")]) == 1
        assert await dead_letters.group_by_cause(connection, EntityKind.CUSTOMER) == []
    assert (bad.code, bad.field, bad.count, bad.message) == ("BAD", "Order.Name", 7, "About N-0")
    assert bad.keys == ("N-0", "N-1", "N-2", "N-3", "N-4")
    assert bad.last_refused_at - bad.first_refused_at == timedelta(seconds=6)
    assert bad.first_refused_at == first
    assert (long.code, long.field, long.count, long.keys) == ("LONG", None, 2, ("N-7", "N-8"))
    assert bad.fingerprint != long.fingerprint


async def test_replay_makes_refused_changes_due_with_attempts_reset(store: Store) -> None:
    await refuse_orders(store, "1", "2")
    async with store.transaction() as uow:
        assert await dead_letters.replay(uow, EntityKind.ORDER, ["2", "nine"]) == 1
    assert [(change.key, change.attempts) for change in await pending(store)] == [("2", 0)]
    async with store.transaction() as uow:
        assert await dead_letters.replay(uow, EntityKind.ORDER) == 1
        assert await dead_letters.replay(uow) == 0
    assert await due_keys(store) == ["1", "2"]


async def test_replay_does_not_change_due_changes(store: Store, clock: ManualClock) -> None:
    await stock(store)
    await place(store, order())
    async with store.transaction() as uow:
        await outbox.postpone(uow, await pending(store), due_at=clock.now() + timedelta(hours=1), error="503")
        assert await dead_letters.replay(uow) == 0
    assert await due_keys(store) == []


async def test_refused_order_that_changes_is_due_again(store: Store, clock: ManualClock) -> None:
    await refuse_orders(store, "1")
    moment = clock.advance(30)
    await place(store, order("1", notes="corrected"))
    (change,) = await pending(store)
    assert (change.version, change.attempts, change.captured_at) == (2, 0, moment)
    async with store.reader() as connection:
        assert await dead_letters.list_dead_letters(connection) == []


async def test_discarded_change_is_deleted_until_the_next_change(store: Store) -> None:
    await refuse_orders(store, "1", "2")
    async with store.transaction() as uow:
        assert await dead_letters.discard(uow, EntityKind.ORDER, ["1"]) == 1
    async with store.reader() as connection:
        assert [letter.key for letter in await dead_letters.list_dead_letters(connection)] == ["2"]
    await place(store, order("1", notes="again"))
    assert await due_keys(store) == ["1"]


async def test_due_changes_are_sorted_by_lane_age_and_key(store: Store, clock: ManualClock) -> None:
    await stock(store)
    async with store.transaction() as uow:
        await orders.save(uow, [order("backfilled")], lane=Lane.BACKFILL)
    await place(store, order("moved"), order("old"))
    clock.advance(1)
    await place(store, order("new b"), order("new a"), order("moved", stage=Stage.SHIPPED))
    assert await due_keys(store) == ["moved", "old", "new a", "new b", "backfilled"]
    assert [change.key for change in await pending(store, limit=2)] == ["moved", "old"]


async def test_capture_in_a_slower_lane_keeps_the_faster_lane(store: Store) -> None:
    await stock(store)
    await place(store, order("1"))
    async with store.transaction() as uow:
        await orders.save(uow, [order("1", notes="backfilled")], lane=Lane.BACKFILL)
    async with store.reader() as connection:
        assert (await connection.execute(select(table.c.lane))).scalar() == Lane.NEW


async def test_orders_of_a_customer_share_its_partition(store: Store, clock: ManualClock) -> None:
    await stock(store)
    await place(store, *(order(str(number), customer=("ALFKI", "BONAP")[number % 2]) for number in range(10)))
    of = 8
    homes = {name: slot_of_key(name) % of for name in ("ALFKI", "BONAP")}
    assert homes["ALFKI"] != homes["BONAP"]
    async with store.reader() as connection:
        found = {
            partition: await outbox.list_due(
                connection, entity=EntityKind.ORDER, partitions={partition}, of=of, now=clock.now(), limit=100
            )
            for partition in range(of)
        }
        assert await outbox_counts.next_due(connection, partitions={homes["ALFKI"]}, of=of) == clock.now()
        elsewhere = set(range(of)) - set(homes.values())
        assert await outbox_counts.next_due(connection, partitions=elsewhere, of=of) is None
    assert [change.key for change in found[homes["BONAP"]]] == ["1", "3", "5", "7", "9"]
    assert [change.key for change in found[homes["ALFKI"]]] == ["0", "2", "4", "6", "8"]
    assert all(change.partition == partition for partition, changes in found.items() for change in changes)
    assert sum(map(len, found.values())) == 10


async def test_large_batch_is_settled_at_once(store: Store) -> None:
    await stock(store)
    await place(store, *(order(f"{number:05}", freight=Decimal(number), lines=()) for number in range(1500)))
    taken = await pending(store, limit=5000)
    async with store.transaction() as uow:
        assert await outbox.settle(uow, taken) == 1500
        assert await outbox.settle(uow, []) == 0
    assert await due_keys(store) == []


async def test_oldest_capture_is_the_time_of_the_oldest_due_change(store: Store, clock: ManualClock) -> None:
    await stock(store)
    moment = clock.now()
    await place(store, order("1"))
    clock.advance(5)
    await place(store, order("2"))
    async with store.reader() as connection:
        assert await retry_schedule.oldest_capture(connection) == moment


async def test_deprioritized_changes_are_sent_last_and_sent_ones_after_unsent_ones(store: Store) -> None:
    await stock(store)
    await place(store, order("1"), order("2"), order("3"))
    one, two, _ = await pending(store)
    async with store.transaction() as uow:
        await retry_schedule.deprioritize(uow, [one], was_sent=True)
        await retry_schedule.deprioritize(uow, [two], was_sent=False)
        await retry_schedule.make_all_due(uow)
    assert [(change.key, change.deprioritized) for change in await pending(store)] == [
        ("3", False),
        ("2", True),
        ("1", True),
    ]
    async with store.transaction() as uow:
        await retry_schedule.deprioritize(uow, [two], was_sent=True)
        await retry_schedule.deprioritize(uow, [two], was_sent=True)
    assert [change.key for change in await pending(store)] == ["3", "1", "2"]
    await place(store, order("2", stage=Stage.VERIFIED))
    assert [change.deprioritized for change in await pending(store) if change.key == "2"] == [False]
