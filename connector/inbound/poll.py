"""Polls one object of the org for records that changed since the last time.

The watermark is the latest SystemModstamp that was read. Records are read in the order of (SystemModstamp, Id) and a
page continues behind the last record of the page before, so equal stamps are never split. A record becomes visible up
to some seconds after its stamp, when its transaction commits: each poll begins an *overlap* before the watermark, and
the overlap grows with the latest record that was seen to come so late. It is halved after a week in which half of it
would have done. What is read twice is recognized as an echo.

A poll of a quiet org begins at the watermark itself: no transaction that is still open can have an older stamp.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from connector.errors import ApiBudgetError, RefusedError
from connector.inbound.apply import Applier, Finish
from connector.inbound.context import ApplyReport
from connector.inbound.poll_target import PollTarget
from connector.inbound.record_reader import OrgReader, RecordReader, SoqlBuilder
from connector.inbound.remote_rows import read_row
from connector.log import get_logger
from connector.model.describe import FieldDescribe
from connector.model.inbound_change import RemoteRecord, Source
from connector.model.lane import Lane
from connector.model.observed_value import read_moment
from connector.salesforce.bulk_query import BULK_FROM_PAGES
from connector.salesforce.call_gate import less_urgent_calls
from connector.salesforce.composite import SubRequest
from connector.salesforce.replication import DeletedRecords, deleted_request
from connector.store import cursors, deleted_records, inbox, links
from connector.store.engine import Store
from connector.store.unit_of_work import UnitOfWork

PAGE = 2000
"""Rows that the org returns for one call (REST API, query: the default batch)."""
APPLY_AT_ONCE = 200
"""Records that are applied in one transaction: other writers wait for one at most."""
FIRST_OVERLAP = timedelta(seconds=30)
"""Rows were seen to become visible 1 to 3 seconds after their stamp; a long transaction takes longer."""
LONGEST_OVERLAP = timedelta(minutes=10)
"""The longest time that a transaction in the org may take (REST API, call timeout)."""
QUIET_AFTER = LONGEST_OVERLAP + timedelta(minutes=5)
"""How far the time of the org must be behind the watermark until nothing can come late. The additional minutes are for
our clock, which says up to when we ask."""
MAX_RECENT = 4000
"""Records within the overlap that are remembered, to tell one that comes late from one that is read again."""
OVERLAP_KEPT = timedelta(days=7)
"""How long an overlap is kept that no record needs: a job that runs once a week may commit late each time."""

DELETED_OVERLAP = timedelta(minutes=15)
"""How far before their cursor deletions are asked for, whose times have no seconds."""
DELETED_CURSOR_STEP = timedelta(minutes=10)
"""The cursor of deletions moves in such steps while nothing is deleted."""

log = get_logger(__name__)


class BulkReader(Protocol):
    """Query jobs of the org, for many rows by few calls."""

    def rows(
        self,
        soql: str,
        fields: Mapping[str, FieldDescribe],
        *,
        include_deleted: bool = False,
        on_wait: Callable[[], Awaitable[None]] | None = None,
        expected: int = 0,
    ) -> AsyncIterator[list[dict[str, Any]]]: ...


@dataclass(kw_only=True)
class Watermark:
    """Where the poll of one object is.

    `recent` are the records within the overlap, with their stamps: all that were read with a stamp after `recent_from`,
    and none before. `needed_at` is when a record last came so late that half of the overlap would not have done.
    `quiet`: nothing came after `at` for so long that nothing can come late any more.
    """

    at: datetime
    overlap: timedelta = FIRST_OVERLAP
    recent: dict[str, datetime] = field(default_factory=dict)
    recent_from: datetime | None = None
    needed_at: datetime | None = None
    quiet: bool = False

    @classmethod
    def load(cls, position: Mapping[str, Any]) -> Watermark:
        recent = {record: datetime.fromisoformat(at) for record, at in position["recent"].items()}
        return cls(
            at=datetime.fromisoformat(position["at"]),
            overlap=timedelta(seconds=position["overlap_seconds"]),
            recent=recent,
            recent_from=_moment(position, "recent_from") or min(recent.values(), default=None),
            needed_at=_moment(position, "needed_at"),
            quiet=position.get("quiet", False),
        )

    def dump(self) -> dict[str, Any]:
        return {
            "at": self.at.isoformat(),
            "overlap_seconds": self.overlap.total_seconds(),
            "recent": {record: at.isoformat() for record, at in self.recent.items()},
            "recent_from": self.recent_from and self.recent_from.isoformat(),
            "needed_at": self.needed_at and self.needed_at.isoformat(),
            "quiet": self.quiet,
        }

    @property
    def start(self) -> datetime:
        return self.at - self.overlap

    def advanced(self, records: list[RemoteRecord]) -> Watermark:
        """The watermark after these records were read. A record that is older than the watermark and was not seen
        before came late: the overlap becomes twice its delay, if that is longer. Whether one before `recent_from` was
        seen, nobody knows any more: it does not count."""
        known_from = self.recent_from or self.start
        late = [
            self.at - record.stamped_at
            for record in records
            if known_from < record.stamped_at < self.at and self.recent.get(record.id) != record.stamped_at
        ]
        at = max([self.at, *(record.stamped_at for record in records)])
        longest = 2 * max(late, default=timedelta())
        overlap, needed_at = self.overlap, self.needed_at or at
        if 2 * longest > overlap:
            overlap, needed_at = min(max(overlap, longest), LONGEST_OVERLAP), at
        elif overlap > FIRST_OVERLAP and at - needed_at > OVERLAP_KEPT:
            overlap, needed_at = max(overlap / 2, FIRST_OVERLAP), at
        recent = self.recent | {record.id: record.stamped_at for record in records}
        known_from = max(known_from, at - overlap)
        kept = sorted(((when, record) for record, when in recent.items() if when > known_from), reverse=True)
        if len(kept) > MAX_RECENT:
            known_from = kept[MAX_RECENT][0]
        return Watermark(
            at=at,
            overlap=overlap,
            recent={record: when for when, record in kept[:MAX_RECENT] if when > known_from},
            recent_from=known_from,
            needed_at=needed_at,
            quiet=self.quiet and at == self.at,
        )


def _moment(position: Mapping[str, Any], name: str) -> datetime | None:
    text = position.get(name)
    return None if text is None else datetime.fromisoformat(text)


@dataclass(kw_only=True)
class PollReport:
    """What one poll of an object came to. `rows` includes what was read again within the overlap; `bulk_rows` are those
    of them that a bulk query read. `paused`: why the rest could not be read; the next poll goes on there."""

    sobject: str
    rows: int = 0
    bulk_rows: int = 0
    deleted: int = 0
    watermark: datetime | None = None
    overlap: timedelta = FIRST_OVERLAP
    applied: ApplyReport = field(default_factory=ApplyReport)
    paused: ApiBudgetError | None = None


HoldLease = Callable[[UnitOfWork], Awaitable[None]]


@dataclass(kw_only=True)
class PollTurn:
    """One poll of an object that is about to begin: where it starts, and what it is asked first: `query` for what
    changed, `deleted_request` for what was deleted.

    `hold_lease` is awaited in each transaction, and raises LeaseLostError if another process polls this object now.
    """

    target: PollTarget
    watermark: Watermark
    hold_lease: HoldLease
    query: str
    lane: Lane
    """Of the calls for what is behind the first page: much was changed, or it is read for the first time."""
    deleted_since: datetime
    deleted_request: SubRequest


class Poller:
    """Polls the objects of one org and applies what changed."""

    def __init__(
        self,
        store: Store,
        reader: OrgReader,
        applier: Applier,
        *,
        org_id: str,
        soql: SoqlBuilder,
        bulk: BulkReader | None = None,
    ) -> None:
        self._store = store
        self._reader = reader
        self._bulk = bulk
        self._records = RecordReader(reader, soql, store.clock)
        self._applier = applier
        self._org_id = org_id
        self._soql = soql

    async def begin(self, target: PollTarget, *, since: datetime, hold_lease: HoldLease) -> PollTurn:
        """Prepare a poll of what changed since the last one; since `since` if there was none."""
        async with self._store.reader() as connection:
            position = await cursors.get(connection, self._org_id, target.cursor)
            deletions = await cursors.get(connection, self._org_id, target.deletions_cursor)
        watermark = Watermark(at=since) if position is None else Watermark.load(position)
        deleted_since = watermark.start if deletions is None else datetime.fromisoformat(deletions["at"])
        query = self._soql(
            "SELECT {fields:literal} FROM {sobject:literal} WHERE SystemModstamp {relation:literal} {start}"
            " ORDER BY SystemModstamp, Id LIMIT {page}",
            relation=">" if watermark.quiet else ">=",
            start=(watermark.at if watermark.quiet else watermark.start).astimezone(UTC),
            **_names(target),
        )
        return PollTurn(
            target=target,
            watermark=watermark,
            hold_lease=hold_lease,
            query=query,
            lane=Lane.BACKFILL if position is None else Lane.PROFILE,
            deleted_since=deleted_since,
            deleted_request=deleted_request(
                target.sobject, since=deleted_since - DELETED_OVERLAP, now=self._store.clock.now()
            ),
        )

    async def apply(
        self, turns: Sequence[PollTurn], first_rows: Sequence[list[dict[str, Any]]], *, read_at: datetime
    ) -> list[PollReport]:
        """Apply the first rows of all turns, which were asked for at `read_at`; only then what is behind them, as far
        as the API budget allows."""
        reports = [PollReport(sobject=turn.target.sobject) for turn in turns]
        async with AsyncExitStack() as stack:
            reads = [
                await stack.enter_async_context(aclosing(self.read(turn, rows, report, read_at=read_at)))
                for turn, rows, report in zip(turns, first_rows, reports, strict=True)
            ]
            for turn, pages, report in zip(turns, reads, reports, strict=True):
                if (page := await anext(pages, None)) is not None:
                    await self._apply_page(turn, page, report)
            for turn, pages, report in zip(turns, reads, reports, strict=True):
                try:
                    with less_urgent_calls(turn.lane):
                        async for page in pages:
                            await self._apply_page(turn, page, report)
                except ApiBudgetError as error:
                    report.paused = error
                report.watermark, report.overlap = turn.watermark.at, turn.watermark.overlap
        return reports

    async def read(
        self, turn: PollTurn, rows: list[dict[str, Any]], report: PollReport, *, read_at: datetime
    ) -> AsyncGenerator[list[RemoteRecord], None]:
        """Yield the records of a turn in pages, in the order of the poll: its first rows, then what is behind them.

        Bounded: each page begins behind the last record of the page before, and ends when nothing is behind it. If much
        is behind the first page, it is read by a bulk query instead of page by page, where the org allows that.
        """
        target = turn.target
        while rows:
            report.rows += len(rows)
            yield [read_row(target.sobject, row, target.fields, read_at=read_at) for row in rows]
            if len(rows) < PAGE:
                break
            behind = {"stamp": read_moment(rows[-1]["SystemModstamp"]), "id": str(rows[-1]["Id"]), **_names(target)}
            if report.rows == PAGE and (count := await self._rows_for_bulk(turn, behind)):
                try:
                    async for page in self._read_by_bulk(turn, behind, report, count):
                        yield page
                    break
                except RefusedError as error:
                    if report.bulk_rows:
                        raise  # what was applied stays, and the next poll continues there
                    log.warning("bulk_query_refused", sobject=target.sobject, code=error.code)
            query = self._soql(f"{_SELECT} {_BEHIND} {_IN_ORDER} LIMIT {{page}}", **behind)
            read_at = self._store.clock.now()
            with less_urgent_calls(turn.lane):
                rows = await self._reader.query(query, include_deleted=True)

    async def _rows_for_bulk(self, turn: PollTurn, behind: Mapping[str, Any]) -> int:
        """How many rows are behind the first page, if a bulk query takes fewer calls for them; else 0."""
        if self._bulk is None:
            return 0
        count = self._soql(" ".join((_COUNT, _BEHIND)), **behind)
        with less_urgent_calls(turn.lane):
            [row] = await self._reader.query(count, include_deleted=True)
        return int(row["n"]) if row["n"] > BULK_FROM_PAGES * PAGE else 0

    async def _read_by_bulk(
        self, turn: PollTurn, behind: Mapping[str, Any], report: PollReport, count: int
    ) -> AsyncIterator[list[RemoteRecord]]:
        """Yield all that is behind the first page. Raises RefusedError if the org allows no bulk query."""
        assert self._bulk is not None
        target, read_at = turn.target, self._store.clock.now()

        async def keep_lease() -> None:
            async with self._store.transaction() as uow:
                await turn.hold_lease(uow)

        pages = self._bulk.rows(
            self._soql(f"{_SELECT} {_BEHIND} {_IN_ORDER}", **behind),
            target.describe.fields,
            include_deleted=True,
            on_wait=keep_lease,
            expected=count,
        )
        while True:
            with less_urgent_calls(turn.lane):
                rows = await anext(pages, None)
            if rows is None:
                break
            report.rows += len(rows)
            report.bulk_rows += len(rows)
            yield [read_row(target.sobject, row, target.fields, read_at=read_at) for row in rows]

    async def _apply_page(self, turn: PollTurn, page: list[RemoteRecord], report: PollReport) -> None:
        for start in range(0, len(page), APPLY_AT_ONCE):
            batch = page[start : start + APPLY_AT_ONCE]
            watermark = turn.watermark.advanced(batch)
            chooser = self._applier.changed_records(turn.target.describe)
            async with self._store.reader() as connection:
                changed = await chooser.select(connection, batch, report.applied)
            if changed or watermark != turn.watermark:
                records = await self._records.with_masters(turn.target, changed)
                report.applied.add(await self._applier.apply(records, self._cursor_mover(turn, watermark)))
            report.deleted += sum(record.deleted for record in batch)
            turn.watermark = watermark

    async def note_deleted(self, turn: PollTurn, found: DeletedRecords | None) -> None:
        """Put those of these deleted records into the inbox that are linked here and not known to be deleted: what no
        query shows, a line or a record that is out of the recycle bin.

        The cursor of deletions moves in the same transaction. If the org did not answer, the next poll asks from the
        same time on. Its answer also shows the time of the org: after all rows of the turn are applied, it says whether
        the object is quiet.
        """
        if found is None:
            log.warning("deletions_unreadable", sobject=turn.target.sobject)
            return
        becomes_quiet = not turn.watermark.quiet and found.complete_until - turn.watermark.at > QUIET_AFTER
        if (
            not becomes_quiet
            and not found.deleted_at
            and turn.deleted_since + DELETED_CURSOR_STEP > found.complete_until
        ):
            return
        async with self._store.transaction() as uow:
            await turn.hold_lease(uow)
            await self.note_unseen(uow, turn, found)
            position = {"at": max(turn.deleted_since, found.complete_until).isoformat()}
            await cursors.set_position(uow, self._org_id, turn.target.deletions_cursor, position)
            if becomes_quiet:
                watermark = replace(turn.watermark, quiet=True)
                await cursors.set_position(uow, self._org_id, turn.target.cursor, watermark.dump())

    async def note_unseen(self, uow: UnitOfWork, turn: PollTurn, found: DeletedRecords) -> None:
        """Put those of these deleted records into the inbox that are linked here and not known to be deleted."""
        linked = await links.find(uow.connection, self._org_id, found.deleted_at)
        known: set[str] = set()
        for entity in {link.entity for link in linked.values()}:
            keys = [link.key for link in linked.values() if link.entity == entity]
            deleted = await deleted_records.get(uow.connection, self._org_id, entity, keys)
            known |= {item.record_id for item in deleted.values()}
        unseen = [(turn.target.sobject, record) for record in linked if record not in known]
        await inbox.put(uow, self._org_id, unseen, Source.POLL)

    def _cursor_mover(self, turn: PollTurn, watermark: Watermark) -> Finish:
        position = watermark.dump()

        async def finish(uow: UnitOfWork) -> None:
            await turn.hold_lease(uow)
            await cursors.set_position(uow, self._org_id, turn.target.cursor, position)

        return finish


_COUNT = "SELECT COUNT(Id) n FROM {sobject:literal}"
_SELECT = "SELECT {fields:literal} FROM {sobject:literal}"
_BEHIND = "WHERE (SystemModstamp > {stamp} OR (SystemModstamp = {stamp} AND Id > {id}))"
_IN_ORDER = "ORDER BY SystemModstamp, Id"


def _names(target: PollTarget) -> dict[str, Any]:
    return {"fields": ", ".join(target.fields), "sobject": target.sobject, "page": PAGE}
