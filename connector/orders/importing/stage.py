"""Read files onto the spool as typed values.

Each file is read once, however many sections of the profile read it, and each fault of a row is reported once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from connector.orders.importing.headers import check_header
from connector.orders.importing.joins import Joins
from connector.orders.importing.plan import SectionPlan, plan_section
from connector.orders.importing.profile import Profile
from connector.orders.importing.reader import ObjectFile, Place, Table
from connector.orders.importing.report import ImportReport
from connector.orders.importing.rows import RowProcessor, plans_of_objects
from connector.orders.importing.spool import Spool

STEP = 256
"""Rows between two heartbeats, at which the import can be canceled."""

KIND_ORDER = ("orders", "customers", "products", "lines")
"""The order in which sections read a row: an order knows the customer and currency that its further rows leave out."""


class Heartbeat(Protocol):
    async def beat(self, position: int) -> None:
        """Report `position`, the bytes read of the current file. Raises CancelledError if the import was canceled."""


class SpoolReader:
    """Reads the files of one import onto the spool."""

    def __init__(self, spool: Spool, report: ImportReport, pulse: Heartbeat) -> None:
        self._spool = spool
        self._report = report
        self._pulse = pulse

    async def read_tables(self, tables: Mapping[str, Sequence[Table]], profile: Profile) -> None:
        """Read `tables`, by their name in the profile. Raises UsageError for an invalid file or header."""
        joins = Joins(self._spool, profile.form)
        for join in profile.joins():
            joins.register(join)
        sections = {kind: item for kind, item in profile.sections.items() if item.file in tables}
        for name, same_name in tables.items():
            for table in same_name:
                check_header(table, {k: s for k, s in sections.items() if s.file == name}, profile, name)
        joined = {join.join or "" for join in profile.joins()}
        with_sections = {id(table) for section in sections.values() for table in tables[section.file]}
        for name in sorted(joined):
            for table in tables[name]:
                await self._read_joined(
                    joins, name, table, report_problems=not self._read_later(table, with_sections, tables)
                )
        self._spool.flush_joined()
        done: set[Any] = set()
        for name, same_name in tables.items():
            for table in same_name:
                if table.path in done or not any(section.file == name for section in sections.values()):
                    continue
                done.add(table.path)
                mine = {other for other, them in tables.items() if any(table.path == item.path for item in them)}
                plans = {
                    kind: plan_section(kind, sections[kind], table, profile.form, joins.lookup)
                    for kind in KIND_ORDER if kind in sections and sections[kind].file in mine
                }  # fmt: skip
                await self._read_rows(table, plans)

    @staticmethod
    def _read_later(table: Table, with_sections: set[int], tables: Mapping[str, Sequence[Table]]) -> bool:
        same = [item for them in tables.values() for item in them if item.path == table.path]
        return any(id(item) in with_sections for item in same)

    async def _read_joined(self, joins: Joins, name: str, table: Table, *, report_problems: bool) -> None:
        collect = joins.row_collector(name, table)
        for count, (line, cells, problem) in enumerate(table.rows()):
            if problem and report_problems:
                self._report.fault("joined rows", Place(table.name, line), problem)
            collect(line, cells, problem is None)
            if not count % STEP:
                await self._pulse.beat(table.position)
        await self._pulse.beat(table.position)

    async def _read_rows(self, table: Table, plans: Mapping[str, SectionPlan]) -> None:
        rows = RowProcessor(self._spool, self._report, table.name, plans)
        for count, (line, cells, problem) in enumerate(table.rows()):
            rows.read_row(line, cells, problem)
            if not count % STEP:
                await self._pulse.beat(table.position)
        await self._pulse.beat(table.position)

    async def read_objects(self, source: ObjectFile) -> None:
        """Read NDJSON in the connector's own format: an order per line, with its customer and lines nested."""
        rows = RowProcessor(self._spool, self._report, source.name, plans_of_objects())
        for count, (line, record) in enumerate(source.rows()):
            if isinstance(record, str):
                self._report.fault("orders", Place(source.name, line), record)
            else:
                rows.read_object(line, record)
            if not count % STEP:
                await self._pulse.beat(source.position)
        await self._pulse.beat(source.position)
