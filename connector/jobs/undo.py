"""Undoes a run by a plan: makes former values due for the org, where the push puts them back, and changes our own.

What the push sends goes the same way as everything else: checked beforehand, in the calls of its lane, repeated after a
lost answer, recorded in the journal. Before each call it reads what the org holds, so what somebody has changed since
the plan stays. An undo that is killed has made a part of it due; to undo the run again does the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial

from connector.errors import CommandError
from connector.inbound.context import InboundContext
from connector.inbound.put_back import LocalUndo
from connector.jobs.inbound_run import InboundJobContext
from connector.jobs.reconcile import fit_mappings
from connector.jobs.undo_plan import UndoChoice, plan_undo, rows_by_entity
from connector.model.change import EntityKind
from connector.model.field_equality import same_value
from connector.model.lane import Lane
from connector.model.record import FieldValue, child_field
from connector.model.undo import Restore, Side, UndoPlan, UndoRow, UndoState
from connector.outbound.entities import LOADERS
from connector.store import links, outbox, undos
from connector.store.outbox_filters import Selection
from connector.store.partitions import slot_of
from connector.store.undos import Undo
from connector.store.unit_of_work import UnitOfWork

OpenOrg = Callable[[str], AbstractAsyncContextManager[InboundJobContext]]
"""Gives access to the org of a name, empty for the default one."""

AT_ONCE = 200
"""Entities that are made due in one transaction."""
MAX_LISTED = 5_000
"""Fields that somebody has changed since that an undo keeps a list of."""

Name = tuple[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Undoer:
    """Plans undos, and carries them out by their plan, for whoever has no access to the org of their own."""

    open_org: OpenOrg

    async def plan(self, run: str, chosen: UndoChoice, *, org: str = "") -> UndoPlan:
        """Say what undoing a run comes to; see `plan_undo`. Raises SettingsError without an org in the settings."""
        async with self.open_org(org) as context:
            return await plan_undo(context, run, chosen)

    async def undo(
        self, run: str, plan_id: str, chosen: UndoChoice, *, actor: str, org: str = ""
    ) -> tuple[UndoPlan, Undo | None]:
        """Undo a run as this plan says; see `undo_by_plan`. What is due then is sent by the service."""
        async with self.open_org(org) as context:
            return await undo_by_plan(context, run, plan_id, chosen, actor=actor)


async def undo_by_plan(
    context: InboundJobContext, run: str, plan_id: str, chosen: UndoChoice | None = None, *, actor: str
) -> tuple[UndoPlan, Undo | None]:
    """Undo a run as the plan with this ID says. Raises CommandError if it would do something else by now, or if it was
    carried out before."""
    await _refuse_if_done(context, run, plan_id)
    plan = await plan_undo(context, run, chosen)
    if plan.id != plan_id:
        await _refuse_if_done(context, run, plan_id)  # by somebody who asked at the same time
        raise CommandError(
            "The plan has changed: something was written or changed since.",
            hint="Look at the new plan, and confirm it.", field="plan", rule="version",
        )  # fmt: skip
    return plan, await carry_out(context, plan, actor=actor)


async def carry_out(context: InboundJobContext, plan: UndoPlan, *, actor: str) -> Undo | None:
    """Make due what the plan puts back; None if that is nothing."""
    if not plan.to_restore:
        return None
    store = context.store
    org_id = await _org_of(context)
    left_alone = [_without_values(row) for row in plan.rows if row.state is UndoState.CHANGED]

    async def begin(uow: UnitOfWork) -> Undo:
        made = await undos.create(
            uow, org_id, plan.run, plan=plan.id, total=len(plan.to_restore), counts=plan.counts,
            left_alone=left_alone[:MAX_LISTED], actor=actor,
        )  # fmt: skip
        if made is None:
            raise _done_already(await undos.find_plan(uow.connection, org_id, plan.run, plan.id))
        return made

    undo = await store.transact(begin)
    for_org = [row for row in plan.rows if row.side is Side.ORG]
    by_name = rows_by_entity(for_org, {UndoState.RESTORE})
    changed = rows_by_entity(for_org, {UndoState.CHANGED})
    names = sorted(by_name)
    for start in range(0, len(names), AT_ONCE):
        part = {name: [*by_name[name], *changed.get(name, ())] for name in names[start : start + AT_ONCE]}
        await store.transact(partial(_make_due, org_id=org_id, undo=undo, rows=part))
    here = [row for row in plan.to_restore if row.side is Side.HERE]
    forbidden = await _put_back_here(context, org_id, undo, here, actor) if here else []
    await store.transact(partial(_end, number=undo.id, forbidden=forbidden))
    return undo


async def _refuse_if_done(context: InboundJobContext, run: str, plan_id: str) -> None:
    org_id = await _org_of(context)
    async with context.store.reader() as connection:
        if (done := await undos.find_plan(connection, org_id, run, plan_id)) is not None:
            raise _done_already(done)


def _done_already(undo: Undo | None) -> CommandError:
    what = "Another undo" if undo is None else f"{undo.run_name}, asked for by {undo.actor},"
    return CommandError(
        f"{what} does what this plan says already.",
        hint="Look at it; a new plan shows what is left.", field="plan", rule="version",
    )  # fmt: skip


def selection(plan: UndoPlan) -> Selection:
    """What a push has to send for it."""
    chosen: dict[EntityKind, set[str] | None] = {}
    for row in plan.to_restore:
        keys = chosen.setdefault(EntityKind(row.entity), set())
        assert keys is not None
        keys.add(row.key)
    return chosen


async def _org_of(context: InboundJobContext) -> str:
    return await context.client.connect()


async def _put_back_here(
    context: InboundJobContext, org_id: str, undo: Undo, rows: Sequence[UndoRow], actor: str
) -> list[str]:
    """Put back what was taken over from the org. Returns what the rules of orders forbid."""
    profile, mappings = await fit_mappings(context, org_id)
    inbound = InboundContext(
        orders=context.orders, mappings=mappings, describes=profile.describes, org_id=org_id,
        settings=context.settings.inbound, webhooks=context.settings.webhooks,
    )  # fmt: skip
    return await LocalUndo(inbound, undo=undo, actor=actor).put_back(rows)


async def _end(uow: UnitOfWork, number: int, forbidden: Sequence[str]) -> None:
    await undos.end(uow, number, forbidden=forbidden[:MAX_LISTED])


async def _make_due(uow: UnitOfWork, org_id: str, undo: Undo, rows: dict[Name, list[UndoRow]]) -> None:
    """Make some entities due with what is to be put back. Locks are taken in the order of every writer: the outbox,
    then links."""
    uow.run = undo.run_name
    held: dict[Name, dict[str, FieldValue]] = {}
    released: dict[Name, set[str]] = {}
    for kind in EntityKind:
        keys = sorted(key for entity, key in rows if entity == kind)
        if not keys:
            continue
        waiting = await outbox.find(uow.connection, kind, keys, lock=True)
        found = await links.find(uow.connection, org_id, _record_ids(rows, kind, keys), lock=True)
        for entity in await LOADERS[kind].load(uow.connection, keys):
            restores = dict(waiting[entity.key].restores) if entity.key in waiting else {}
            for row in rows[kind.value, entity.key]:
                link = found.get(row.record_id or "")
                if link is None:
                    continue
                place = link.entity, link.key
                if row.state is UndoState.CHANGED:
                    if row.holds:  # somebody changed it in the org: that is not sent over
                        held.setdefault(place, {})[row.field] = row.ours
                elif same_value(link.snapshot.get(row.field), row.now):  # else something was sent since the plan
                    if row.holds:
                        held.setdefault(place, {})[row.field] = row.ours
                    else:
                        released.setdefault(place, set()).add(row.field)
                    noted = child_field(link.key, row.field) if link.is_part else row.field
                    restores[noted] = Restore(
                        value=row.before, expected=link.snapshot.get(row.field), local=row.ours, is_mapped=row.is_ours
                    )
            if restores:
                uow.changed(kind, entity.key, slot_of(entity), Lane.STATUS)
                uow.restore(kind, entity.key, restores)
    await links.hold(uow, org_id, held, released)
    number = sum(row.state is UndoState.RESTORE for some in rows.values() for row in some)
    await undos.renew(uow, undo.id, fields=number)


def _record_ids(rows: dict[Name, list[UndoRow]], kind: EntityKind, keys: Sequence[str]) -> list[str]:
    return sorted({row.record_id for key in keys for row in rows[kind.value, key] if row.record_id is not None})


def _without_values(row: UndoRow) -> dict[str, object]:
    return {
        "entity": row.entity, "key": row.key, "sobject": row.sobject, "record": row.record, "field": row.field,
        "who": row.who, "at": row.at, "why": row.why,
    }  # fmt: skip
