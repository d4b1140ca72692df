"""Rows to typed values on the spool. Each file is read once, however many sections of the profile read it, and each
fault of a row is told once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from connector.orders.importing.headers import check_header
from connector.orders.importing.joins import Joins
from connector.orders.importing.plan import SectionPlan, section_plan
from connector.orders.importing.profile import Profile
from connector.orders.importing.reader import Objects, Place, Table
from connector.orders.importing.report import ImportReport
from connector.orders.importing.rows import Rows, plans_of_objects
from connector.orders.importing.spool import Spool

STEP = 256
"""Rows between two looks at whether somebody wants it to end."""

KIND_ORDER = ("orders", "customers", "products", "lines")
"""In which the sections read a row: an order knows the customer and the currency that its further rows leave out."""


class Pulse(Protocol):
    async def beat(self, position: int) -> None:
        """`position`: bytes read of the file at hand. Raises CancelledError if the import is to end."""


class Stage:
    """Reads the files of one import onto the spool."""

    def __init__(self, spool: Spool, report: ImportReport, pulse: Pulse) -> None:
        self._spool = spool
        self._report = report
        self._pulse = pulse

    async def tables(self, tables: Mapping[str, Sequence[Table]], profile: Profile) -> None:
        """`tables` by their name in the profile. UsageError for a file or header that cannot be used."""
        joins = Joins(self._spool, profile.form)
        for join in profile.joins():
            joins.register(join)
        sections = {kind: item for kind, item in profile.sections.items() if item.file in tables}
        for name, of_name in tables.items():
            for table in of_name:
                check_header(table, {k: s for k, s in sections.items() if s.file == name}, profile, name)
        joined = {join.join or "" for join in profile.joins()}
        with_sections = {id(table) for section in sections.values() for table in tables[section.file]}
        for name in sorted(joined):
            for table in tables[name]:
                await self._join(joins, name, table, telling=not self._read_later(table, with_sections, tables))
        self._spool.flush_joined()
        done: set[Any] = set()
        for name, of_name in tables.items():
            for table in of_name:
                if table.path in done or not any(section.file == name for section in sections.values()):
                    continue
                done.add(table.path)
                mine = {other for other, them in tables.items() if any(table.path == item.path for item in them)}
                plans = {
                    kind: section_plan(kind, sections[kind], table, profile.form, joins.lookup)
                    for kind in KIND_ORDER if kind in sections and sections[kind].file in mine
                }  # fmt: skip
                await self._rows(table, plans)

    @staticmethod
    def _read_later(table: Table, with_sections: set[int], tables: Mapping[str, Sequence[Table]]) -> bool:
        same = [item for them in tables.values() for item in them if item.path == table.path]
        return any(id(item) in with_sections for item in same)

    async def _join(self, joins: Joins, name: str, table: Table, *, telling: bool) -> None:
        take = joins.reading(name, table)
        for count, (line, cells, problem) in enumerate(table.rows()):
            if problem and telling:
                self._report.fault("joined rows", Place(table.name, line), problem)
            take(line, cells, problem is None)
            if not count % STEP:
                await self._pulse.beat(table.position)
        await self._pulse.beat(table.position)

    async def _rows(self, table: Table, plans: Mapping[str, SectionPlan]) -> None:
        rows = Rows(self._spool, self._report, table.name, plans)
        for count, (line, cells, problem) in enumerate(table.rows()):
            rows.take(line, cells, problem)
            if not count % STEP:
                await self._pulse.beat(table.position)
        await self._pulse.beat(table.position)

    async def objects(self, source: Objects) -> None:
        """NDJSON in our own form: an order a line, customer and lines nested."""
        rows = Rows(self._spool, self._report, source.name, plans_of_objects())
        for count, (line, found) in enumerate(source.rows()):
            if isinstance(found, str):
                self._report.fault("orders", Place(source.name, line), found)
            else:
                rows.take_object(line, found)
            if not count % STEP:
                await self._pulse.beat(source.position)
        await self._pulse.beat(source.position)
