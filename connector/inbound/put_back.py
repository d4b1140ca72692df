"""Puts values back here that were taken over from the org: the part of an undo that concerns our own entities.

It is a change like any other: checked by the rules of orders, in their history, and due for the org where the field is
ours too. What somebody has changed here since the plan stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from connector.errors import CommandError
from connector.inbound.batch_writes import BatchWrites
from connector.inbound.context import InboundContext
from connector.inbound.loaded_state import LoadedState
from connector.inbound.receivers import Receivers
from connector.mapping.backward import UnreadableValueError
from connector.model.field_equality import same_value
from connector.model.field_notes import MergedField
from connector.model.record import Link
from connector.model.undo import UndoRow
from connector.orders.command import OrderCommand
from connector.orders.service import LockOrders
from connector.store import undos
from connector.store.undos import Undo
from connector.store.unit_of_work import UnitOfWork

AT_ONCE = 100
"""Entities that are changed in one transaction."""
EFFECT = "undone"


class LocalUndo:
    """Puts values back that `undo` is about."""

    def __init__(self, context: InboundContext, *, undo: Undo, actor: str) -> None:
        self._context = context
        self._receivers = Receivers(context.mappings)
        self._run, self._of, self._actor, self._number = undo.run_name, undo.run, actor, undo.id

    async def put_back(self, rows: Sequence[UndoRow]) -> list[str]:
        """Put these values back. Returns what the rules of orders forbid, in words."""
        by_owner: dict[tuple[str, str], list[UndoRow]] = {}
        for row in rows:
            by_owner.setdefault((row.entity, row.key), []).append(row)
        owners, forbidden = sorted(by_owner), list[str]()
        for start in range(0, len(owners), AT_ONCE):
            some = owners[start : start + AT_ONCE]
            try:
                await self._put_back([row for owner in some for row in by_owner[owner]])
            except CommandError:
                forbidden += [why for owner in some if (why := await self._put_back_alone(by_owner[owner]))]
        return forbidden

    async def _put_back_alone(self, rows: Sequence[UndoRow]) -> str | None:
        try:
            await self._put_back(rows)
        except CommandError as error:
            return f"{rows[0].entity} {rows[0].key}: {error.message}"
        return None

    async def _put_back(self, rows: Sequence[UndoRow]) -> None:
        async def prepare(uow: UnitOfWork, lock_orders: LockOrders) -> Sequence[OrderCommand]:
            uow.run = self._run
            state, writes = LoadedState(uow, self._context.org_id), BatchWrites(uow, self._context)
            await state.load(sorted({str(row.record_id) for row in rows}), lock_orders, with_answers=False)
            for record in sorted({str(row.record_id) for row in rows}):
                link = state.links.get(record)
                owner = None if link is None else state.owner(link)
                if link is not None and owner is not None:
                    self._change(writes, link, owner, [row for row in rows if row.record_id == record])
            await writes.store()
            await undos.renew(uow, self._number, fields=len(rows))
            return writes.commands

        await self._context.orders.execute_prepared(prepare, actor=self._actor)

    def _change(self, writes: BatchWrites, link: Link, owner: Any, rows: Sequence[UndoRow]) -> None:
        receiver = self._receivers.of(link)
        if receiver is None:
            return
        describe = self._context.describes.get(link.sobject)
        patch: dict[str, Any] = {}
        merged: list[MergedField] = []
        try:
            values = receiver.local_values(owner)
            for row in rows:
                field = None if describe is None else describe.fields.get(row.field)
                if same_value(values.get(row.field), row.now, field):
                    patch |= receiver.patch({row.field: row.before})
                    merged.append(
                        MergedField(
                            sobject=link.sobject, key=link.key, field=row.field, base=link.snapshot.get(row.field),
                            local=row.now, remote=row.before, effect=EFFECT, why=f"undo of {self._of}",
                        )
                    )  # fmt: skip
        except UnreadableValueError as error:
            raise CommandError(str(error), hint="Change it by hand.", field="run", rule="value") from error
        if patch:
            writes.change(owner, patch)
            detail = {"record": link.salesforce_id, "by": self._actor, "of": self._of}
            writes.journal(link.owner, EFFECT, detail, merged=merged)
