"""A dry run of a pull says what the pull does, record by record, and changes nothing."""

from __future__ import annotations

import re
from typing import Any

import pytest
from sqlalchemy import select

from connector.cli import show
from connector.cli.pull import print_pull, pull_document
from connector.jobs import pull_dry_run
from connector.jobs.pull import PullSummary
from connector.model.change import EntityKind
from connector.model.record_change import Effect
from connector.model.stage import Stage
from connector.store import inbound_tables, inbox
from connector.store.tables import metadata
from tests.flow.adoption_steps import add_line, create, order_by_rep, record_of
from tests.flow.conftest import World
from tests.flow.test_deletions import delete_in_org
from tests.flow.test_pull import NUMBER, OwnedWorld, begin, change_notes, owned  # noqa: F401 - a fixture
from tests.flow.test_push import an_order

assert inbound_tables.cursors.metadata is metadata


COUNTED = {"api_calls", "api_budgets"}
"""Where calls are counted, also those of a dry run."""


async def rows_of(world: World) -> dict[str, list[Any]]:
    """Every row of every table, without counted calls."""
    async with world.service.store.reader() as connection:
        return {
            table.name: sorted(map(str, await connection.execute(select(table))))
            for table in metadata.sorted_tables
            if table.name not in COUNTED
        }


def listed(summary: PullSummary) -> set[tuple[Effect, str | None, str | None]]:
    return {(change.effect, change.key, change.field) for change in summary.changes}


def totals(summary: PullSummary) -> dict[str, Any]:
    values = vars(summary.applied) | {
        name: getattr(summary, name) for name in ("open_conflicts", "parked", "waiting", "in_sync")
    }
    polls = [(poll.sobject, poll.rows, poll.deleted, poll.watermark) for poll in summary.polls]
    return {name: value for name, value in values.items() if name != "changes"} | {"polls": polls}


async def test_dry_run_lists_what_the_pull_does_and_changes_nothing(
    owned: OwnedWorld,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with owned("ask") as world:
        await begin(
            world,
            an_order(NUMBER, notes="agreed"),
            an_order("N-2", stage=Stage.PLACED),
            an_order("N-3", stage=Stage.PLACED),
        )
        await change_notes(world, "ours")
        await world.change_in_org("Order", NUMBER, Description="theirs", Promised_Date__c="2026-09-09", Carrier__c="X")
        await world.change_in_org("Account", "C-2", BillingCity="Kiel")
        await world.change_in_org("OrderItem", "N-2-1", Quantity=7)
        line = await add_line(world, await record_of(world, "Order", "N-2"), "P-3", 4, "34.85")
        await delete_in_org(world, "Order", "N-3")
        adopted = await order_by_rep(world)
        stranger = await create(world, "Account", Name="Newcomer")
        refused = await order_by_rep(world, AccountId=stranger)
        before, writes = await rows_of(world), world.writes

        dry = await world.service.pull(dry_run=True)

        assert await rows_of(world) == before
        assert world.writes == writes
        pulled = await world.service.pull()
        assert totals(dry) == totals(pulled)
        assert (dry.dry_run, pulled.dry_run, pulled.changes) == (True, False, [])
        number = next(change.key for change in dry.changes if change.effect is Effect.ADOPTED)
        assert listed(dry) == {
            (Effect.CONFLICT, NUMBER, "Description"),
            (Effect.REFUSED, NUMBER, "Promised_Date__c"),
            (Effect.RESTORED, NUMBER, "Carrier__c"),
            (Effect.TAKEN, "C-2", "BillingCity"),
            (Effect.TAKEN, "N-2-1", "Quantity"),
            (Effect.TAKEN, "N-2-3", None),
            (Effect.DELETED, "N-3", None),
            (Effect.ADOPTED, number, None),
            (Effect.PARKED, None, None),
        }
        by_record = {(change.record_id, change.field): change for change in dry.changes}
        assert by_record[adopted, None].entity == "order"
        assert "not known as a customer" in str(by_record[refused, None].why)
        assert by_record[line, None].why == "4 x P-3 is added to the order"
        conflict = next(change for change in dry.changes if change.effect is Effect.CONFLICT)
        assert (conflict.here, conflict.in_org, str(conflict.changed_by)[:4]) == ("ours", "theirs", "Rep ")
        print_pull(dry)
        lines = capsys.readouterr().out.splitlines()
        assert re.search(r"^Field +would be taken from the org +would be restored there$", "\n".join(lines), re.M)
        assert any(re.match(r"order N-1 +Description +ours +theirs +conflict \(changed by Rep", line) for line in lines)
        assert lines[-1] == "Dry run: nothing was changed, here or in the org."
        document = pull_document(dry)
        assert (document["dry_run"], len(document["changes"]), document["not_looked_at"]) == (True, 9, 0)

        monkeypatch.setenv("CONNECTOR_DATABASE_URL", world.service.settings.database_url)
        show._print(await show._load(EntityKind.ORDER, NUMBER))
        shown = capsys.readouterr().out
        assert re.search(r"^Conflict \d+: Order.Description is 'ours' here, 'theirs' in the org.$", shown, re.M)
        assert f"Reps read on the record: Promised Date was set back. Order {NUMBER} is shipped" in shown

        again = await world.service.pull(dry_run=True)
        assert {change.effect for change in again.changes} <= {Effect.PARKED, Effect.CONFLICT}


async def test_dry_run_before_the_first_pull_stores_nothing_and_reads_what_waits(world: World) -> None:
    await world.save([an_order(NUMBER)])
    await world.push()
    record = await world.change_in_org("Account", "C-1", BillingCity="Kiel")
    org_id = world.service.client.org_id
    async with world.service.store.transaction() as uow:
        await inbox.put(uow, org_id, [("Account", record)], inbox.Source.EVENT)
    before = await rows_of(world)

    summary = await world.service.pull(dry_run=True)

    assert await rows_of(world) == before
    assert listed(summary) == {(Effect.TAKEN, "C-1", "BillingCity")}


async def test_changed_records_beyond_the_limit_are_counted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await begin(world)
    for number in range(1, 6):
        await world.change_in_org("Account", f"C-{number}", BillingCity="Kiel")
    monkeypatch.setattr(pull_dry_run, "MAX_CHANGED", 3)

    summary = await world.service.pull(dry_run=True)

    assert (len(summary.changes), summary.not_looked_at) == (3, 2)
