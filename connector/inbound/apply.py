"""Applies records that were read from the org: merges each with what is here and what both sides agreed on.

The change here, the snapshot of the link, conflicts, the journal and the reader's cursor are one transaction: a crash
leaves all of it or nothing, and what is read again is recognized as an echo. Orders are locked first, then their outbox
rows, then the links: the order in which every other writer takes them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType

from connector.errors import CommandError, RetryClass, StoreError
from connector.inbound.batch_writes import ACTOR, FIX, actor_of
from connector.inbound.changed_records import ChangedRecords
from connector.inbound.context import ApplyReport, InboundContext
from connector.inbound.receivers import Receivers
from connector.inbound.record_batch import ALL_FIELDS, RecordBatch
from connector.metrics import PULL_DELAY
from connector.model.conflict import Conflict, ConflictState
from connector.model.describe import SObjectDescribe
from connector.model.inbound_change import RemoteRecord, Source
from connector.model.record_change import Effect, RecordChange
from connector.model.sync_delay import Direction, bucket_of
from connector.orders.command import OrderCommand
from connector.orders.service import Executed, LockOrders
from connector.store import inbox, sync_delays
from connector.store.unit_of_work import UnitOfWork
from connector.tracing import span

Finish = Callable[[UnitOfWork], Awaitable[None]]
"""What is stored in the same transaction: the cursor of the reader."""


class Applier:
    """Applies records of one org."""

    def __init__(self, context: InboundContext) -> None:
        self._context = context
        self._receivers = Receivers(context.mappings)

    def changed_records(self, describe: SObjectDescribe) -> ChangedRecords:
        """Tells records of this object that `apply` has to look at from those that it need not."""
        context = self._context
        return ChangedRecords(
            org_id=context.org_id, receivers=self._receivers, describe=describe, adoption=context.adoption
        )

    async def apply(self, records: Sequence[RemoteRecord], finish: Finish | None = None) -> ApplyReport:
        """Apply these records in one transaction, and `finish` in the same one.

        If the rules of an order forbid one of the changes, the records are applied one by one, and what is forbidden is
        restored in the org; so they are if the database refuses a value, and that record is parked. Raises StoreError
        if the database fails for another reason; then nothing is applied.
        """
        records = sorted(records, key=lambda record: not record.deleted)  # a merged account before its master
        masters = {record.id: record for record in records}
        try:
            return await self._apply_together(records, finish, masters=masters)
        except CommandError:
            pass
        except StoreError as error:
            if error.retry_class is not RetryClass.DATA:
                raise
        report = ApplyReport()
        for record in records:
            report.add(await self._apply_alone(record, masters))
        if finish is not None:
            report.add(await self._apply_together([], finish))
        return report

    async def _apply_alone(self, record: RemoteRecord, masters: Mapping[str, RemoteRecord]) -> ApplyReport:
        """Apply what is allowed of one record. Bounded: each attempt refuses one field more, or all of them."""
        refused: dict[str, str] = {}
        while True:
            try:
                return await self._apply_together([record], None, masters=masters, refused=refused)
            except StoreError as error:
                if error.retry_class is not RetryClass.DATA:
                    raise
                return await self._park(record, error)
            except CommandError as error:
                if ALL_FIELDS in refused:
                    raise  # nothing was asked of the order any more
                attribute = (error.field or "").removeprefix("details.")
                name = self._receivers.field_of(record.sobject, attribute)
                refused[ALL_FIELDS if name is None or name in refused else name] = error.message

    async def _park(self, record: RemoteRecord, error: StoreError) -> ApplyReport:
        """Let a record that the database refuses wait for a person."""
        text = f"{record.sobject} {record.id}: {error.message}"

        async def prepare(uow: UnitOfWork, _: LockOrders) -> Sequence[OrderCommand]:
            ref = (record.sobject, record.id)
            await inbox.park(uow, self._context.org_id, ref, Source.POLL, error=text, fix=FIX, read_at=record.read_at)
            return []

        await self._context.orders.execute_prepared(prepare, actor=ACTOR)
        report = ApplyReport(records=1, parked=1)
        if self._context.explain:
            parked = RecordChange(
                effect=Effect.PARKED, sobject=record.sobject, record_id=record.id,
                changed_by=record.author, why=text, fix=FIX,
            )  # fmt: skip
            report.changes.append(parked)
        return report

    async def _apply_together(
        self,
        records: Sequence[RemoteRecord],
        finish: Finish | None,
        *,
        masters: Mapping[str, RemoteRecord] = MappingProxyType({}),
        refused: Mapping[str, str] = MappingProxyType({}),
    ) -> ApplyReport:
        with span("apply", connector__records=len(records)):
            return await self._apply_in_span(records, finish, masters, refused)

    async def _apply_in_span(
        self,
        records: Sequence[RemoteRecord],
        finish: Finish | None,
        masters: Mapping[str, RemoteRecord],
        refused: Mapping[str, str],
    ) -> ApplyReport:
        batches: list[RecordBatch] = []  # the transaction may be repeated: only the last one counts

        async def prepare(uow: UnitOfWork, lock_orders: LockOrders) -> Sequence[OrderCommand]:
            batch = RecordBatch(self._context, self._receivers, uow, refused=refused)
            batches.append(batch)
            await batch.load(records, lock_orders, masters)
            for record in records:
                batch.merge_record(record)
            await batch.store()
            if finish is not None:
                await finish(uow)
            return batch.commands

        async def count_delays(uow: UnitOfWork, _: Sequence[Executed]) -> None:
            delays = batches[-1].report.delays
            buckets = [bucket_of(Direction.FROM_ORG, sobject, delay) for sobject, delay in delays]
            sync_delays.add(uow, self._context.org_id, buckets)

        actor = actor_of(record.author for record in records)
        await self._context.orders.execute_prepared(prepare, actor=actor, finish=count_delays)
        report = batches[-1].report
        for sobject, delay in report.delays:
            PULL_DELAY.observe(max(0.0, delay.total_seconds()), sobject)
        return report

    async def resolve(self, conflict: Conflict, choice: ConflictState, *, actor: str) -> ApplyReport:
        """Let one side's value stand in an open conflict: `local` or `salesforce`.

        In one transaction the value is applied here or made due for the org, and the conflict is closed. Raises
        CommandError where the order does not allow the org's value any more, or if the conflict is not open.
        """
        batches: list[RecordBatch] = []

        async def prepare(uow: UnitOfWork, lock_orders: LockOrders) -> Sequence[OrderCommand]:
            batch = RecordBatch(self._context, self._receivers, uow)
            batches.append(batch)
            await batch.resolve(conflict, choice, lock_orders, actor=actor)
            await batch.store()
            return batch.commands

        await self._context.orders.execute_prepared(prepare, actor=actor)
        return batches[-1].report
