"""Heals what a comparison found: queues it, lets inbound sync and a push do the work, and compares it again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from connector.inbound.reconcile.context import ReconcileContext, RunScope
from connector.inbound.reconcile.healer import Healer
from connector.inbound.reconcile.reconciler import Reconciler
from connector.jobs.inbound_run import InboundJobContext, InboundRun
from connector.jobs.push import PushContext, PushOptions, push
from connector.jobs.push_rounds import ProgressReporter
from connector.jobs.resync import push_selection
from connector.model.change import EntityKind
from connector.model.reconciliation import Outline, Reconciliation
from connector.outbound.health import OrgHealth
from connector.outbound.org_profile import OrgProfile
from connector.store import links
from connector.store.engine import Store
from connector.store.outbox_filters import Selection

MAX_HEALED = 20_000
"""Differences that one run heals; the next run heals others."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HealingSummary:
    """What healing came to: `differences` were queued, `healed` of them are equal on both sides now."""

    differences: int
    healed: int


async def heal(
    result: Reconciliation,
    comparison: ReconcileContext,
    *,
    inbound: InboundJobContext,
    outbound: PushContext,
    profile: OrgProfile,
    reporter: ProgressReporter,
) -> HealingSummary:
    """Heal the outlined differences of `result`, by the owner of each field, and replace them in it by what is left.

    What is ours is sent by a push of these entities alone, what is the org's is applied like any change in it. Raises
    what `push` and `InboundRun.intake` raise; what was queued until then is done by the next push and pull.
    """
    outlines = result.outlines
    owners = _keys_by_kind(outlines)
    if not outlines:
        return HealingSummary(differences=0, healed=0)
    healer = Healer(comparison)
    await healer.queue(outlines)
    await (await InboundRun.by_profile(inbound, comparison.org_id, profile)).intake()
    await healer.make_read_back_due()
    # The health is that of this push: the service may push at the same time.
    await push(replace(outbound, health=OrgHealth()), reporter, PushOptions(prepare=_select(owners)))
    scope = RunScope(kinds=frozenset(owners), started_at=inbound.store.clock.now())
    again = Reconciliation(limit=len(outlines), states={})
    await Reconciler(replace(comparison, scope=scope), again).compare_selected(owners)
    named = await _with_new_keys(outlines, comparison)
    return HealingSummary(differences=len(outlines), healed=result.replace_with(again, named))


async def _with_new_keys(outlines: Sequence[Outline], comparison: ReconcileContext) -> list[Outline]:
    """The outlines, with the keys that lines got which were added in the org."""
    added = [item.record_id for item in outlines if item.key is None and item.record_id is not None]
    async with comparison.store.reader() as connection:
        found = await links.find(connection, comparison.org_id, added)
    return [
        replace(item, key=found[item.record_id].key) if item.key is None and item.record_id in found else item
        for item in outlines
    ]


def _keys_by_kind(outlines: Sequence[Outline]) -> dict[EntityKind, list[str]]:
    """The entities that these differences belong to."""
    names = dict.fromkeys(item.owner for item in outlines)
    keys: dict[EntityKind, list[str]] = {}
    for kind in EntityKind:
        if some := sorted(key for entity, key in names if entity == kind):
            keys[kind] = some
    return keys


def _select(owners: Mapping[EntityKind, Sequence[str]]) -> Callable[[Store], Awaitable[Selection | None]]:
    """These entities, and the products that their orders need and the org lacks."""

    async def select(store: Store) -> Selection | None:
        selection: dict[EntityKind, set[str] | None] = {kind: set(keys) for kind, keys in owners.items()}
        if EntityKind.ORDER in owners:
            needed = await push_selection(store, EntityKind.ORDER, owners[EntityKind.ORDER])
            products = (needed or {}).get(EntityKind.PRODUCT) or set()
            selection[EntityKind.PRODUCT] = {*products, *owners.get(EntityKind.PRODUCT, ())}
        return selection

    return select
