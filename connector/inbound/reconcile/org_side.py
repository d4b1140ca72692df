"""Reads the org's records of one object in the order of their IDs: by pages of a query, or by one bulk query.

Salesforce orders IDs by byte, as the database orders the IDs of links. So both sides can be joined page by page.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from connector.clock import Clock
from connector.errors import ConnectorError, RefusedError
from connector.inbound.poll import BulkReader
from connector.inbound.reconcile.comparison import RecordComparison, columns_of
from connector.inbound.record_reader import OrgReader, SoqlBuilder
from connector.inbound.remote_rows import query_fields, read_row
from connector.log import get_logger
from connector.model.describe import SObjectDescribe
from connector.model.inbound_change import RemoteRecord
from connector.model.record import IS_PERSON
from connector.salesforce.bulk_query import BULK_FROM_PAGES, estimate_calls
from connector.salesforce.limits import QUERIES_PER_COMPOSITE, QUERY_LENGTH, QUERY_ROWS_PER_PAGE
from connector.salesforce.query import in_chunks
from connector.salesforce.query_batch import query_together

PAGE = QUERY_ROWS_PER_PAGE
LONG_TEXT_PAGE = 200
"""Rows of a page when two or more long text fields are selected (SOQL guide, "Sforce-Query-Options")."""
_SHORT_TEXT = 255
"""The longest text area that does not count as long."""
_ACCOUNT_TYPE: tuple[str, ...] = (IS_PERSON, "RecordTypeId")
"""What a new link of an account remembers besides its mapped fields."""

log = get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparedObject:
    """One object of the org whose records are compared. `parent` is the object of the records that its own are parts
    of, `parent_key` the field with our key there."""

    sobject: str
    describe: SObjectDescribe
    comparisons: tuple[RecordComparison, ...]
    parent: str | None = None
    parent_key: str | None = None

    @property
    def key(self) -> str:
        """The field with our key."""
        return self.comparisons[0].spec.external_id

    @property
    def parent_field(self) -> str | None:
        return None if self.parent is None else f"{self.parent}Id"

    @property
    def columns(self) -> tuple[str, ...]:
        extra = _ACCOUNT_TYPE if self.sobject == "Account" else ()
        extra += () if self.parent_field is None else (self.parent_field,)
        return query_fields((*columns_of(self.comparisons), *extra), self.describe)

    @property
    def rows_per_page(self) -> int:
        fields = [self.describe.fields[name] for name in self.columns if name in self.describe.fields]
        long_texts = sum(field.type == "textarea" and field.length > _SHORT_TEXT for field in fields)
        return min(PAGE, LONG_TEXT_PAGE) if long_texts > 1 else PAGE

    @property
    def is_ours(self) -> str:
        """The condition for records that concern us. For a part it is the key of its parent, so that parts
        that somebody added there are found too."""
        if self.parent_field is None:
            return f"{self.key} != null"
        relationship = self.describe.fields[self.parent_field].relationship_name or self.parent
        return f"{relationship}.{self.parent_key} != null"


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadPlan:
    """How the records of one object are read: `records` by the org's count, by a `bulk` query or not, in how many
    `calls` (without the one that the first pages of several objects share)."""

    sobject: str
    records: int
    bulk: bool
    calls: int


def plan_reading(item: ComparedObject, records: int) -> ReadPlan:
    """A bulk query takes fewer calls from about ten pages on; fewer records are read sooner page by page."""
    bulk = records > BULK_FROM_PAGES * item.rows_per_page
    calls = estimate_calls(records) if bulk else records // item.rows_per_page
    return ReadPlan(sobject=item.sobject, records=records, bulk=bulk, calls=calls)


def estimate(plans: Sequence[ReadPlan]) -> int:
    """How many calls a comparison takes, apart from the second look at what differs."""
    by_page = sum(not plan.bulk for plan in plans)
    return sum(plan.calls for plan in plans) + -(-by_page // QUERIES_PER_COMPOSITE)


class OrgSide:
    """The org's side of a comparison."""

    def __init__(
        self,
        reader: OrgReader,
        soql: SoqlBuilder,
        bulk: BulkReader,
        clock: Clock,
        *,
        on_wait: Callable[[], Awaitable[None]],
    ) -> None:
        self._reader = reader
        self._soql = soql
        self._bulk = bulk
        self._clock = clock
        self._on_wait = on_wait
        self._first: dict[str, tuple[list[RemoteRecord], bool]] = {}

    async def plan(self, objects: Sequence[ComparedObject]) -> list[ReadPlan]:
        """Count the records of these objects in the org, and say how they are to be read."""
        template = "SELECT COUNT(Id) n FROM {sobject:literal} WHERE {ours:literal}"
        queries = [self._soql(template, **self._names(item)) for item in objects]
        counts, _ = await query_together(self._reader, queries)
        return [plan_reading(item, int(row["n"])) for item, (row,) in zip(objects, counts, strict=True)]

    async def read_first_pages(self, objects: Sequence[ComparedObject]) -> None:
        """Read the first page of each of these objects, up to five with one call."""
        read_at = self._clock.now()
        pages, _ = await query_together(self._reader, [self._page_query(item, "") for item in objects])
        for item, rows in zip(objects, pages, strict=True):
            self._first[item.sobject] = self._records(item, rows, read_at), len(rows) >= item.rows_per_page

    async def pages(self, item: ComparedObject, plan: ReadPlan) -> AsyncIterator[list[RemoteRecord]]:
        """The records of an object, page by page, in the order of their IDs.

        Raises ConnectorError if the org answers in another order, RefusedError or TransportError if it does not answer.
        """
        last = ""
        async for page in self._bulk_pages(item, plan) if plan.bulk else self._query_pages(item):
            ids = [record.id for record in page]
            if any(after <= before for before, after in zip([last, *ids], ids, strict=False)):
                raise ConnectorError(
                    f"The org did not return the records of {item.sobject} in the order of their IDs.",
                    hint="Run `connector reconcile` again; if it happens again, please report it.",
                )
            last = ids[-1]
            yield page

    async def _query_pages(self, item: ComparedObject, after: str = "") -> AsyncIterator[list[RemoteRecord]]:
        first = self._first.pop(item.sobject, None)
        while True:
            if first is not None:
                (records, more), first = first, None
            else:
                read_at = self._clock.now()
                rows = await self._reader.query(self._page_query(item, after))
                records, more = self._records(item, rows, read_at), len(rows) >= item.rows_per_page
            if records:
                yield records
                after = records[-1].id
            if not more:
                return

    async def _bulk_pages(self, item: ComparedObject, plan: ReadPlan) -> AsyncIterator[list[RemoteRecord]]:
        """One bulk query. If the org allows none, pages of a query take its place."""
        query = self._soql(
            "SELECT {fields:literal} FROM {sobject:literal} WHERE {ours:literal} ORDER BY Id", **self._names(item)
        )
        read_at = self._clock.now()
        last = ""
        try:
            pages = self._bulk.rows(query, item.describe.fields, on_wait=self._on_wait, expected=plan.records)
            async for rows in pages:
                records = self._records(item, rows, read_at)
                last = records[-1].id
                yield records
        except RefusedError as error:
            if last:
                raise
            log.warning("bulk_query_refused", sobject=item.sobject, code=error.code)
            async for page in self._query_pages(item):
                yield page

    async def by_ids(self, item: ComparedObject, ids: Sequence[str]) -> dict[str, RemoteRecord]:
        """These records, deleted ones too, by ID; up to 2,000 with one call."""
        template = "SELECT {fields:literal} FROM {sobject:literal} WHERE Id IN {values}"
        return await self._find(item, template, sorted(ids), include_deleted=True)

    async def by_keys(self, item: ComparedObject, keys: Sequence[str]) -> dict[str, RemoteRecord]:
        """The records with these keys of ours, by ID."""
        template = "SELECT {fields:literal} FROM {sobject:literal} WHERE {key:literal} IN {values}"
        return await self._find(item, template, sorted(keys), include_deleted=False)

    async def of_parents(self, item: ComparedObject, ids: Sequence[str]) -> dict[str, RemoteRecord]:
        """The parts of these records, by ID."""
        template = "SELECT {fields:literal} FROM {sobject:literal} WHERE {parent:literal} IN {values}"
        return await self._find(item, template, sorted(ids), include_deleted=False)

    async def _find(
        self, item: ComparedObject, template: str, values: Sequence[str], *, include_deleted: bool
    ) -> dict[str, RemoteRecord]:
        found: dict[str, RemoteRecord] = {}
        for query in in_chunks(template, values, room=QUERY_LENGTH, **self._names(item)):
            read_at = self._clock.now()
            rows = await self._reader.query(query, include_deleted=include_deleted)
            found |= {record.id: record for record in self._records(item, rows, read_at)}
        return found

    def _page_query(self, item: ComparedObject, after: str) -> str:
        behind = self._soql(" AND Id > {after}", after=after) if after else ""
        return self._soql(
            "SELECT {fields:literal} FROM {sobject:literal} WHERE {ours:literal}{behind:literal}"
            " ORDER BY Id LIMIT {page}",
            behind=behind,
            page=item.rows_per_page,
            **self._names(item),
        )

    def _names(self, item: ComparedObject) -> Mapping[str, Any]:
        return {
            "fields": ", ".join(item.columns),
            "sobject": item.sobject,
            "ours": item.is_ours,
            "key": item.key,
            "parent": item.parent_field or "Id",
        }

    def _records(
        self, item: ComparedObject, rows: Sequence[Mapping[str, Any]], read_at: datetime
    ) -> list[RemoteRecord]:
        return [read_row(item.sobject, row, item.columns, read_at=read_at) for row in rows]
