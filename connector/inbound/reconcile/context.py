"""What a comparison works with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from connector.inbound.reconcile.comparison import RecordComparison
from connector.inbound.reconcile.local_side import LocalContext, LocalSide, Name
from connector.inbound.reconcile.org_side import ComparedObject, OrgSide
from connector.model.change import EntityKind
from connector.model.inbound_change import RemoteRecord
from connector.model.record import IS_PERSON, PARTS, Link
from connector.store.engine import Store

READ_AGAIN = 2000
"""Records that differ are read again so many at a time: one query each."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunScope:
    """What one run compares, and when it began."""

    kinds: frozenset[EntityKind]
    started_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class ReconcileContext:
    """What a comparison works with. `advance` is called with the number of records of each page, and may raise to end
    the run."""

    store: Store
    org: OrgSide
    objects: Sequence[ComparedObject]
    local: LocalContext
    scope: RunScope
    advance: Callable[[int], Awaitable[None]]

    @property
    def org_id(self) -> str:
        return self.local.org_id

    @property
    def entities(self) -> frozenset[str]:
        """The kinds that are compared, and their parts that are records with a key of ours."""
        parts = {PARTS[kind] for kind in self.scope.kinds if kind in {EntityKind.ORDER, EntityKind.RETURN}}
        return frozenset({*(kind.value for kind in self.scope.kinds), *parts})

    def object_of(self, entity: str) -> ComparedObject | None:
        """The object whose records `entity` has; None if it is not mapped."""
        return next((item for item in self.objects if any(one.spec.entity == entity for one in item.comparisons)), None)

    def new_side(self) -> LocalSide:
        return LocalSide(self.local)

    async def load(self, names: Sequence[Name]) -> LocalSide:
        """Our side of these entities, with what explains differences."""
        side = self.new_side()
        async with self.store.reader() as connection:
            await side.load(connection, names)
            await side.load_details(connection, names, [])
        return side


class Comparisons:
    """Finds how the record of a link is compared."""

    def __init__(self, context: ReconcileContext) -> None:
        person = context.local.mappings.person
        self._by_entity: dict[tuple[str, bool], RecordComparison] = {
            (one.spec.entity, person is not None and one.spec is person.spec.record): one
            for item in context.objects
            for one in item.comparisons
        }

    def of(self, link: Link) -> RecordComparison | None:
        """None for a link that no mapping makes a record of."""
        person = link.entity == EntityKind.CUSTOMER and link.snapshot.get(IS_PERSON) is True
        return self._by_entity.get((link.entity, person)) or self._by_entity.get((link.entity, False))


def live(record: RemoteRecord | None) -> RemoteRecord | None:
    """The record, if the org has it and it is not deleted."""
    return None if record is None or record.deleted else record
