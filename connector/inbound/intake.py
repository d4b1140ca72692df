"""Reads the records of the inbox from the org, and applies them.

One query per object reads up to 200 records. A record that the org no longer shows counts as deleted; a read or a
transaction that fails is tried again later; what cannot be applied is parked by `Applier`, and holds up nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from connector.errors import ConnectorError, RefusedError, RetryClass, SettingsError
from connector.inbound.adoption.adopter import Adopter
from connector.inbound.apply import Applier
from connector.inbound.context import ApplyReport
from connector.inbound.poll_target import PollTarget
from connector.inbound.record_reader import RecordReader
from connector.model.inbound_change import InboxItem, RemoteRecord
from connector.store import inbox
from connector.store.engine import Store
from connector.store.unit_of_work import UnitOfWork

BATCH = 200
MAX_BATCHES = 1000
"""In one round; what is left stays due."""


@dataclass(kw_only=True)
class IntakeReport:
    """What one round came to. `gone` records are deleted in the org; `waiting` stay due for later."""

    records: int = 0
    calls: int = 0
    gone: int = 0
    applied: ApplyReport = field(default_factory=ApplyReport)


class Intake:
    """Works off the inbox of one org."""

    def __init__(
        self,
        store: Store,
        records: RecordReader,
        applier: Applier,
        *,
        org_id: str,
        targets: Mapping[str, PollTarget],
        adopter: Adopter | None = None,
    ) -> None:
        self._store = store
        self._records = records
        self._applier = applier
        self._org_id = org_id
        self._targets = targets
        self._adopter = adopter

    async def run(self, max_batches: int = MAX_BATCHES) -> IntakeReport:
        """Read and apply every record that is due now."""
        report = IntakeReport()
        for _ in range(max_batches):
            async with self._store.single_reader() as connection:
                due = await inbox.list_due(connection, self._org_id, self._store.clock.now(), BATCH)
            if not due:
                break
            for sobject in sorted({item.sobject for item in due}):
                await self._apply(sobject, [item for item in due if item.sobject == sobject], report)
        return report

    async def _apply(self, sobject: str, items: Sequence[InboxItem], report: IntakeReport) -> None:
        target = self._targets.get(sobject)
        if target is None:  # no mapping receives it any more
            await self._settle(items)
            return
        before = self._records.calls
        known = {item.record_id: item for item in items}
        read = await self._records.read(target, [*known])
        records = [
            replace(record, source=known[record.id].source, run=known[record.id].run) if record.id in known else record
            for record in read
        ]
        report.calls += self._records.calls - before
        report.records += len(items)
        report.gone += sum(record.deleted for record in records)
        adoptable = await self._adopt(records, items, report)
        records = [record for record in records if record.id not in adoptable]
        items = [item for item in items if item.record_id not in adoptable]

        async def finish(uow: UnitOfWork) -> None:
            await inbox.settle(uow, self._org_id, items)

        if items:
            report.applied.add(await self._applier.apply(records, finish))

    async def _adopt(
        self, records: Sequence[RemoteRecord], items: Sequence[InboxItem], report: IntakeReport
    ) -> set[str]:
        """Adopt records that were created in the org; return the IDs of those that were, or were to be."""
        if self._adopter is None:
            return set()
        candidates = await self._adopter.select(records)
        chosen = {record.id for record in candidates}
        if chosen:
            before = self._adopter.calls
            rows = [item for item in items if item.record_id in chosen]
            try:
                report.applied.add(await self._adopter.adopt(candidates, rows))
            except (SettingsError, RefusedError) as error:
                if isinstance(error, RefusedError) and error.retry_class is not RetryClass.DATA:
                    raise  # the org has a bad day: nothing of it concerns these records alone
                await self._park(rows, error)
                report.applied.add(ApplyReport(records=len(rows), parked=len(rows)))
            report.calls += self._adopter.calls - before
        await self._adopter.withdraw([record for record in records if record.id not in chosen])
        return chosen

    async def _park(self, items: Sequence[InboxItem], error: ConnectorError) -> None:
        """Park records that the org does not let us adopt; they are tried again less and less often."""
        fix = error.hint or "`connector inbox replay` tries it again."
        async with self._store.transaction() as uow:
            for item in items:
                await inbox.park(
                    uow,
                    self._org_id,
                    (item.sobject, item.record_id),
                    item.source,
                    error=f"{item.sobject} {item.record_id} was not adopted: {error.message}",
                    fix=fix,
                    attempts=item.attempts + 1,
                )

    async def _settle(self, items: Sequence[InboxItem]) -> None:
        async with self._store.transaction() as uow:
            await inbox.settle(uow, self._org_id, items)
