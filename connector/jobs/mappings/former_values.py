"""What orgs hold in fields that nothing here has read, for a plan: read in at most one call for each object and org."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from connector.errors import ConnectorError
from connector.jobs.mappings.org_profiles import StoredOrg
from connector.model.field_equality import same_value
from connector.model.mapping_plan import FormerValues, RecordEffect
from connector.model.record import FieldValue
from connector.outbound.former_values import read_rows
from connector.outbound.mapping_effects import EntityEffects, UnknownField
from connector.outbound.org_state import Reader

MOST_RECORDS = 500
"""Records of one object that are read: as many as fit into one call."""
Rows = dict[str, Mapping[str, Any]]
Place = tuple[str, str]
"""Object and field."""


class OpenOrg(Protocol):
    """Signs in to an org."""

    def __call__(self, org: StoredOrg) -> AbstractAsyncContextManager[Reader]: ...


@dataclass(kw_only=True)
class OrgAsker:
    """Asks orgs for a plan. `reads`: the calls that were made; `unread`: why an org could not be asked."""

    open_org: OpenOrg | None
    reads: int = 0
    unread: str = ""

    async def read(self, org: StoredOrg, wanted: Mapping[str, Mapping[str, frozenset[str]]]) -> Rows:
        """The rows of these records by ID; `wanted`: by object and ID their fields. Empty if the org cannot be
        asked."""
        rows: Rows = {}
        if self.open_org is None:
            self.unread = "this process knows no sign-in to it"
            return rows
        try:
            async with self.open_org(org) as client:
                for sobject, records in wanted.items():
                    self.reads += 1
                    async for row in read_rows(client, sobject, records):
                        rows[str(row["Id"])] = row
        except ConnectorError as error:
            self.unread = error.message.rstrip(".")
            return {}
        return rows


@dataclass(kw_only=True)
class UnknownEffects:
    """Effects on fields of one org that were never read: they are kept back until the org has been asked."""

    org: StoredOrg
    _found: list[EntityEffects] = field(default_factory=list)
    _wanted: dict[str, dict[str, frozenset[str]]] = field(default_factory=dict)
    _counts: dict[str, Counter[Place]] = field(default_factory=dict)

    def take(self, found: EntityEffects) -> bool:
        """Keep the effects of an entity back; False if there is nothing to ask, or too much."""
        if not found.unknown:
            return False
        wanted: dict[str, dict[str, frozenset[str]]] = {}
        for item, _ in _list_unknown(found):
            by_id = wanted.setdefault(item.sobject, {})
            by_id[str(item.record_id)] = by_id.get(str(item.record_id), frozenset()) | {item.field}
        if any(len(self._wanted.get(name, {})) + len(by_id) > MOST_RECORDS for name, by_id in wanted.items()):
            self._count_unasked(found)
            return False
        for name, by_id in wanted.items():
            self._wanted.setdefault(name, {}).update(by_id)
        self._found.append(found)
        return True

    async def resolve(self, asker: OrgAsker) -> Iterator[EntityEffects]:
        """Ask the org. Returns what was kept back, with what it said."""
        rows = await asker.read(self.org, self._wanted) if self._wanted else {}
        return iter([self._resolve(found, rows) for found in self._found])

    def list_values(self) -> list[FormerValues]:
        """What was found, by field."""
        empty = Counter[Place]()
        names = ("asked", "same", "overwritten", "emptied", "unasked")
        places = sorted({place for counts in self._counts.values() for place in counts})
        return [
            FormerValues(
                org=self.org.name,
                sobject=place[0],
                field=place[1],
                **{name: self._counts.get(name, empty)[place] for name in names},
            )
            for place in places
        ]

    def _resolve(self, found: EntityEffects, rows: Rows) -> EntityEffects:
        former: dict[int, FieldValue] = {}
        same: set[int] = set()
        for place, (item, unknown) in zip(found.unknown, _list_unknown(found), strict=True):
            row = rows.get(str(item.record_id))
            if row is None or item.field not in row:
                self._count("unasked", item)
                continue
            former[place] = row[item.field]
            describe = self.org.profile.describes[item.sobject].fields.get(item.field)
            if same_value(row[item.field], unknown.value, describe):
                same.add(place)
            self._count_value(item, unknown, row[item.field], is_same=place in same)
        return found.with_former(former, same)

    def _count_value(self, item: RecordEffect, unknown: UnknownField, value: FieldValue, *, is_same: bool) -> None:
        self._count("asked", item)
        if is_same:
            self._count("same", item)
        elif value is not None and not unknown.is_shared:  # of a shared field the other side's value is kept
            self._count("emptied" if item.after is None else "overwritten", item)

    def _count_unasked(self, found: EntityEffects) -> None:
        for item, _ in _list_unknown(found):
            self._count("unasked", item)

    def _count(self, name: str, item: RecordEffect) -> None:
        self._counts.setdefault(name, Counter())[item.sobject, item.field] += 1


def _list_unknown(found: EntityEffects) -> Iterator[tuple[RecordEffect, UnknownField]]:
    return ((found.effects[place], unknown) for place, unknown in found.unknown.items())
