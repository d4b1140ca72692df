"""Reads records of the org by their ID: those that are deleted, gone, or were merged into others as well."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

from connector.clock import Clock
from connector.inbound.poll_target import PollTarget
from connector.inbound.remote_rows import read_row
from connector.model.inbound_change import RemoteRecord
from connector.salesforce.composite import SubOutcome, SubRequest
from connector.salesforce.replication import list_deleted

MAX_MERGES = 5
"""The longest chain of merges that is followed; each step of it costs one query."""
RECENT = timedelta(days=2)
"""A record that is not found was deleted if the org names it among the deletions of this time."""
SoqlBuilder = Callable[..., str]


class OrgReader(Protocol):
    async def query(self, soql: str, *, include_deleted: bool = False) -> list[dict[str, Any]]: ...

    async def composite(
        self, subrequests: Sequence[SubRequest], *, all_or_none: bool, collate: bool
    ) -> list[SubOutcome]: ...


class RecordReader:
    """Reads records of one org. `calls` counts the calls that were made."""

    def __init__(self, client: OrgReader, soql: SoqlBuilder, clock: Clock) -> None:
        self._client = client
        self._soql = soql
        self._clock = clock
        self.calls = 0

    async def read(self, target: PollTarget, ids: Sequence[str]) -> list[RemoteRecord]:
        """These records, up to 200, in any order, and those that they were merged into."""
        read_at = self._clock.now()
        records = await self._query(target, ids)
        missing = sorted(set(ids) - {record.id for record in records})
        if missing:
            records += await self._gone(target, missing, read_at)
        return await self.with_masters(target, records)

    async def with_masters(self, target: PollTarget, records: Sequence[RemoteRecord]) -> list[RemoteRecord]:
        """These records, and behind them those that deleted ones of them were merged into."""
        known = {record.id: record for record in records}
        for _ in range(MAX_MERGES):
            wanted = sorted({str(item.master) for item in known.values() if item.deleted and item.master} - set(known))
            if not wanted:
                break
            found = await self._query(target, wanted)
            known |= {record.id: record for record in found}
            if not found:
                break
        return [*known.values()]

    async def _query(self, target: PollTarget, ids: Sequence[str]) -> list[RemoteRecord]:
        query = self._soql(
            "SELECT {fields:literal} FROM {sobject:literal} WHERE Id IN {ids}",
            fields=", ".join(target.fields),
            sobject=target.sobject,
            ids=list(ids),
        )
        read_at = self._clock.now()
        rows = await self._client.query(query, include_deleted=True)
        self.calls += 1
        return [read_row(target.sobject, row, target.fields, read_at=read_at) for row in rows]

    async def _gone(self, target: PollTarget, ids: Sequence[str], read_at: datetime) -> list[RemoteRecord]:
        """Records that the org does not show at all. Of a line no trace is left when it is deleted. Anything else may
        have been deleted from the recycle bin, or the connector's user may have lost the right to see it."""
        confirmed: dict[str, datetime] = {}
        if target.has_recycle_bin:
            confirmed = await list_deleted(self._client, target.sobject, since=read_at - RECENT, now=read_at)
            self.calls += 1
        return [
            RemoteRecord(
                sobject=target.sobject,
                id=record_id,
                fields={},
                read_at=read_at,
                modified_at=confirmed.get(record_id, read_at),
                stamped_at=confirmed.get(record_id, read_at),
                deleted=True,
                certain=not target.has_recycle_bin or record_id in confirmed,
            )
            for record_id in ids
        ]
