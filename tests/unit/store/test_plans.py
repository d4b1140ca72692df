"""Query plans: frequent statements use their indexes, even in a database that was never analyzed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import event

from connector.model.change import EntityKind
from connector.store import dead_letters, links, notifications, orders, outbox, outbox_counts
from connector.store.engine import Store
from connector.store.queries import held_links, run_writes
from connector.store.queries.queue_ages import list_oldest_by_stage, list_queue_ages
from connector.store.queries.refused_days import count_refused_days
from connector.store.queries.unlinked import list_unlinked, list_unlinked_lines
from tests.conftest import ManualClock
from tests.databases import Databases


@pytest.fixture
async def fresh(sqlite_databases: Databases, clock: ManualClock) -> AsyncIterator[Store]:
    store = Store.open(sqlite_databases.migrated(), clock=clock)
    yield store
    await store.close()
    sqlite_databases.drop_all()


async def plan_of(store: Store, statements: list[tuple[str, Any]]) -> list[str]:
    async with store.reader() as connection:
        rows = []
        for statement, parameters in statements:
            rows += (await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)).all()
    return [row[3] for row in rows]


async def test_claim_of_changes_reads_the_index_in_claim_order(fresh: Store, clock: ManualClock) -> None:
    async with fresh.reader() as connection:
        statements = watch(connection)
        for partitions in ({3}, set(range(8))):
            await outbox.list_due(
                connection, entity=EntityKind.ORDER, partitions=partitions, of=8, now=clock.now(), limit=75
            )
    assert (
        await plan_of(fresh, statements)
        == ["SEARCH outbox USING INDEX outbox_claim (state=? AND org=? AND entity=?)"] * 2
    )


@pytest.mark.parametrize("org", [None, ""])
async def test_counts_of_the_home_page_read_indexes_alone_and_sort_nothing(fresh: Store, org: str | None) -> None:
    async with fresh.for_org(org).reader() as connection:
        statements = watch(connection)
        await orders.counts(connection)
        await outbox_counts.counts(connection)
        await list_queue_ages(connection)
        await outbox_counts.list_orgs(connection)
    plan = await plan_of(fresh, statements)
    assert not [line for line in plan if "COVERING INDEX" not in line], plan


async def test_ages_by_stage_read_the_index_in_claim_order_and_sort_no_rows(fresh: Store) -> None:
    async with fresh.reader() as connection:
        statements = watch(connection)
        await list_oldest_by_stage(connection)
    plan = await plan_of(fresh, statements)
    reads = [line for line in plan if "outbox" in line]
    assert len(reads) == 5
    assert all("USING COVERING INDEX outbox_claim (state=? AND org=? AND entity=?" in line for line in reads), plan
    assert [line for line in plan if "ORDER BY" in line] == []


async def test_days_of_refusals_are_counted_by_the_state(fresh: Store, clock: ManualClock) -> None:
    async with fresh.reader() as connection:
        statements = watch(connection)
        await count_refused_days(connection, clock.now(), clock.now())
    [line] = [line for line in await plan_of(fresh, statements) if "outbox" in line]
    assert line.startswith("SEARCH outbox USING INDEX outbox_"), line


async def test_link_lookup_by_record_id_uses_the_index(fresh: Store) -> None:
    async with fresh.reader() as connection:
        statements = watch(connection)
        await links.find(connection, "00D", ["801", "802"])
        await links.children(connection, "00D", "line", ["1", "2"])
    by_id, by_order = await plan_of(fresh, statements)
    assert by_id == "SEARCH links USING INDEX links_salesforce_id (org_id=? AND salesforce_id=?)"
    assert by_order == "SEARCH links USING INDEX links_parent (org_id=? AND entity=? AND parent=?)"


async def test_held_values_are_found_without_looking_at_all_links(fresh: Store) -> None:
    async with fresh.reader() as connection:
        statements = watch(connection)
        await held_links.list_page(connection, ["00D"], after=("00D", "order", "1"), limit=50)
        await held_links.list_of(connection, "00D", "order", ["1", "2"])
        await held_links.count(connection)
    plan = await plan_of(fresh, statements)
    page, by_key, of_parts = plan[:3]
    assert any("USING INDEX links_held (org_id=?" in line for line in plan[3:]), plan
    assert "USING INDEX links_held (org_id=?" in page
    assert "(org_id=? AND entity=? AND key=?)" in by_key
    assert "USING INDEX links_held (org_id=?" in of_parts


async def test_earlier_entries_of_a_run_are_found_by_entity(fresh: Store) -> None:
    async with fresh.reader() as connection:
        statements = watch(connection)
        await run_writes.find_earlier_versions(connection, "00D", "order", ["1", "2"], before=9)
        await run_writes.list_orgs(connection, "resync-1")
    plan = await plan_of(fresh, statements)
    assert any("USING INDEX journal_entity (entity=? AND key=? AND id<?)" in line for line in plan), plan
    assert any("journal_run (run=?)" in line for line in plan), plan


async def test_reconciliation_reads_links_in_the_order_of_records_and_sorts_nothing(fresh: Store) -> None:
    async with fresh.reader() as connection:
        statements = watch(connection)
        await links.list_by_record(connection, "00D", "Order", after="801", until="802", limit=2000)
        for kind in (EntityKind.ORDER, EntityKind.RETURN):
            await list_unlinked(connection, "00D", kind, after="1-RMA1", limit=2000)
        await list_unlinked_lines(connection, "00D", after=("1", 2), limit=2000)
    plan = await plan_of(fresh, statements)
    assert plan[0] == "SEARCH links USING INDEX links_salesforce_id (org_id=? AND salesforce_id>? AND salesforce_id<?)"
    lookups = [line for line in plan[1:] if line.startswith("SEARCH links_")]
    assert len(lookups) == 4
    assert all("(org_id=? AND entity=? AND key=?)" in line for line in lookups)
    assert not [line for line in plan if "TEMP B-TREE" in line]


async def test_claim_of_messages_uses_the_indexes_on_due_time_and_order(fresh: Store) -> None:
    async with fresh.transaction() as uow:
        statements = watch(uow.connection)
        await notifications.claim(uow, limit=50, seconds=60)
    assert [line for line in await plan_of(fresh, statements) if "SUBQUERY" not in line] == [
        "SEARCH messages USING INDEX messages_due (state=? AND due_at<?)",
        "SEARCH earlier USING INDEX messages_subject (order_number=?)",
    ]


def watch(connection: Any) -> list[tuple[str, Any]]:
    """The statements that `connection` executes from now on."""
    seen: list[tuple[str, Any]] = []

    @event.listens_for(connection.sync_connection, "before_cursor_execute")
    def _note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        if statement.startswith("SELECT"):
            seen.append((statement, parameters))

    return seen


async def test_discarded_changes_are_found_by_their_own_index(fresh: Store) -> None:
    async with fresh.reader() as connection:
        statements = watch(connection)
        await dead_letters.list_discarded(connection)
    plan = await plan_of(fresh, statements)
    assert [line.replace("COVERING ", "") for line in plan if line.startswith(("SCAN", "SEARCH"))] == [
        "SCAN journal USING INDEX journal_discarded",
        "SEARCH orgs USING INDEX sqlite_autoindex_orgs_1 (org_id=?)",
        "SEARCH later USING INDEX journal_entity (entity=? AND key=? AND id>?)",
        "SEARCH outbox USING INDEX sqlite_autoindex_outbox_1 (entity=? AND key=? AND org=?)",
    ]
