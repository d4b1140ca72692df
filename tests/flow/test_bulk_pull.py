"""A large backlog is read by a bulk query, in the order of the poll."""

from __future__ import annotations

import pytest

from connector.inbound import poll
from connector.localorg.bulk import query_job
from connector.localorg.errors import Refusal
from connector.localorg.schema import Schema
from connector.salesforce.bulk_query import BulkQuery
from connector.store import customers
from tests.flow.conftest import CUSTOMERS, World


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poll, "PAGE", 2)
    monkeypatch.setattr(poll, "BULK_FROM_PAGES", 1)


async def change_every_account(world: World) -> None:
    await world.save()
    await world.push()
    await world.service.pull()
    rows = await world.query("SELECT Id, External_Key__c FROM Account")
    changes = [("Account", str(row["Id"]), {"Phone": f"+49 {row['External_Key__c']}"}) for row in rows]
    assert all(outcome.success for outcome in await world.service.client.collections_update(changes))


async def phones(world: World) -> list[str | None]:
    async with world.service.store.reader() as connection:
        return [item.phone for item in await customers.load(connection, [customer.number for customer in CUSTOMERS])]


async def test_large_backlog_is_read_by_a_bulk_query(world: World) -> None:
    await change_every_account(world)

    summary = await world.service.pull()

    [account] = [report for report in summary.polls if report.sobject == "Account"]
    assert account.bulk_rows >= len(CUSTOMERS) - 2
    assert await phones(world) == [f"+49 {customer.number}" for customer in CUSTOMERS]
    again = await world.service.pull()
    assert (again.applied.taken, account.applied.taken) == ({}, {"Account.Phone": len(CUSTOMERS)})


async def test_org_without_bulk_queries_is_read_page_by_page(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await change_every_account(world)

    def refuse(text: str, schema: Schema) -> str:
        raise Refusal("FEATURENOTENABLED", "Bulk API is not enabled")

    monkeypatch.setattr(query_job, "check_query", refuse)

    summary = await world.service.pull()

    assert sum(report.bulk_rows for report in summary.polls) == 0
    assert await phones(world) == [f"+49 {customer.number}" for customer in CUSTOMERS]


async def test_results_of_several_calls_are_one_stream(world: World) -> None:
    await world.save()
    await world.push()

    query = BulkQuery(world.service.client, clock=world.service.clock, rows_per_call=3)
    parts = [rows async for rows in query.rows("SELECT Id FROM Account ORDER BY Id", {})]

    ids = [row["Id"] for rows in parts for row in rows]
    assert [len(rows) for rows in parts] == [3, 3, 2]
    assert ids == sorted(set(ids))
