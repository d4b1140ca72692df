"""Makes a version of the mappings active, in one transaction with the resyncs that it needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from connector.errors import MappingError
from connector.jobs.mappings.rejections import changed_error, check_base, check_note
from connector.mapping.meaning import changed_kinds, compare_mappings
from connector.mapping.text_folder import Texts
from connector.mapping.version import MappingVersion, load_texts
from connector.model.change import EntityKind
from connector.model.mapping_plan import StoredPlan
from connector.model.mapping_version import Activation, Origin
from connector.model.resync import Priority, ResyncFilter, ResyncMode
from connector.store import mapping_plans, mapping_shadows, resyncs
from connector.store import mapping_versions as versions
from connector.store.engine import Store
from connector.store.queries import resync_selection


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """Who makes a version active, why, and from where. `is_folder`: the source is a folder of files, so a later edit
    of them is an edit of this version. `base`: only if this version is still the active one; None: in any case.
    `resync`: what it changes is sent to the org, too."""

    actor: str
    note: str = ""
    source: str = "console"
    is_folder: bool = False
    base: int | None = None
    resync: bool = True


async def activate(
    store: Store,
    version: MappingVersion,
    request: Request,
    origin: Origin,
    *,
    plan: StoredPlan | None = None,
    ends_shadow: bool = False,
) -> tuple[int, list[int]]:
    """The number of the version, and the resyncs that send what it changes: of the kinds that its plan has computed
    only what differs by it, or was changed since. `ends_shadow`: it was computed in the shadow until now.

    Raises CommandError if another version than `request.base` is active, or if the files are those of the active one.
    """
    check_note(request.note)
    async with store.reader() as connection:
        active = await versions.get_active(connection)
        former = None if active is None else await versions.get_texts(connection, active.digest)
    if active is not None and active.digest == version.digest and former is None:
        async with store.transaction() as uow:  # an earlier release has activated it
            await versions.put_texts(uow, version.digest, version.texts)
    check_base(active, version.digest, request.base)
    chosen = _choose(active, former, version, plan) if request.resync else {}
    async with store.reader() as connection:
        totals = {kind: await resync_selection.count(connection, kind, chosen[kind]) for kind in chosen}
    base = None if active is None else active.number
    async with store.transaction() as uow:
        number = await versions.activate(
            uow,
            version.digest,
            request.source,
            base=base,
            texts=version.texts,
            origin=origin,
            author=request.actor,
            note=request.note.strip() or None,
        )
        if number is None:
            raise changed_error(await versions.get_active(uow.connection), base)
        if plan is not None:
            await mapping_plans.mark_applied(uow, plan.id, number)
        if ends_shadow:
            await mapping_shadows.end(uow, actor=request.actor, outcome="applied")
        if request.is_folder:
            await versions.record_source(uow, request.source, version.digest, number)
        made = [
            await resyncs.create(
                uow,
                kind,
                chosen[kind],
                mode=ResyncMode.PUSH,
                priority=Priority.LOW,
                total=total,
                actor=request.actor,
            )
            for kind, total in totals.items()
        ]
    return number, [item.id for item in made]


def _choose(
    active: Activation | None, former: Texts | None, version: MappingVersion, plan: StoredPlan | None
) -> Mapping[EntityKind, ResyncFilter]:
    """What is to be sent again, by kind. Before the first version everything is due anyway."""
    if active is None:
        return {}
    affected = {} if plan is None else plan.affected
    return {
        kind: ResyncFilter(mapping_plan=plan.id) if plan is not None and kind.value in affected else ResyncFilter()
        for kind in _list_kinds(former, version)
    }


def _list_kinds(former: Texts | None, version: MappingVersion) -> list[EntityKind]:
    """The entities that the version may map otherwise; all, if the former version is unknown, or cannot be read."""
    if former is None:
        return list(EntityKind)
    try:
        before = load_texts(former).mappings
    except MappingError:
        return list(EntityKind)
    return changed_kinds(compare_mappings(before, version.mappings))
