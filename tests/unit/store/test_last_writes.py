"""What is written just before the commit, and which entries of the journal belong to an org."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import event

from connector.model.change import EntityKind
from connector.model.sync_delay import Direction, bucket_of
from connector.store import journal, sync_delays
from connector.store.engine import Store
from connector.store.queries.run_writes import find_earlier_versions


async def test_delays_are_written_behind_the_outbox(store: Store) -> None:
    written: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        written.extend(name for name in ("outbox", "sync_delays") if statement.startswith(f"INSERT INTO {name} "))

    async with store.transaction() as uow:
        event.listen(uow.connection.sync_connection, "before_cursor_execute", note)
        sync_delays.add(uow, "00D", [bucket_of(Direction.TO_ORG, "placed", timedelta(seconds=1))])
        uow.changed(EntityKind.ORDER, "N-1", 1)
    assert written == ["outbox", "sync_delays"]


async def test_earlier_version_is_that_of_the_org(store: Store) -> None:
    async with store.transaction() as uow:
        for org_id, version in (("00DA", 1), ("00DB", 2)):
            detail = {"mapping_version": version}
            entry = journal.JournalEntry(entity="product", key="TEA", action="written", detail=detail, org_id=org_id)
            await journal.write(uow, [entry])
    async with store.reader() as connection:
        found = [
            await find_earlier_versions(connection, org, "product", ["TEA"], before=99) for org in ("00DA", "00DB")
        ]
    assert found == [{"TEA": 1}, {"TEA": 2}]
