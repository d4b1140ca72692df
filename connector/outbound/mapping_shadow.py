"""Maps what is claimed by another version, too, and counts what differs. Nothing of it is sent. PURE."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from connector.errors import MappingError
from connector.mapping import MappingSet
from connector.model.change import EntityKind
from connector.model.mapping_shadow import ShadowField, ShadowSample
from connector.model.record import MappedRecord, changed_fields
from connector.outbound.mapping_effects import lookup_text, value_text
from connector.outbound.plan_types import PendingEntity
from connector.outbound.preflight import normalize

MOST_SAMPLES = 5
"""Samples of a field that are kept until they are stored."""
NOT_MAPPED = "not mapped"


class ShadowMappings:
    """The mappings of a shadow, fitted to the org, and what differed since they were last taken."""

    def __init__(self, shadow_id: int, active: MappingSet, shadow: MappingSet) -> None:
        self.shadow_id = shadow_id
        self.computed = 0
        self.differing = 0
        self._active = active
        self._shadow = shadow
        self._counts: Counter[tuple[str, str]] = Counter()
        self._samples: defaultdict[tuple[str, str], list[ShadowSample]] = defaultdict(list)

    def observe(self, entities: Sequence[PendingEntity]) -> None:
        """Map these entities, too, and count what differs."""
        for pending in entities:
            if pending.change.entity is EntityKind.RETURN or pending.entity is None:
                continue
            differences = list(self._compare(pending))
            self.computed += 1
            self.differing += bool(differences)
            for sobject, field, sample in differences:
                self._counts[sobject, field] += 1
                samples = self._samples[sobject, field]
                if len(samples) < MOST_SAMPLES:
                    samples.append(sample)

    def take_fields(self) -> list[ShadowField]:
        """What differed, by field, as it is to be stored."""
        return [
            ShadowField(sobject=sobject, field=field, count=count, samples=self._samples[sobject, field])
            for (sobject, field), count in self._counts.items()
        ]

    def _compare(self, pending: PendingEntity) -> Iterator[tuple[str, str, ShadowSample]]:
        kind, entity = pending.change.entity, pending.entity
        problem = ""
        shadow: MappedRecord | None = None
        try:
            if kind is EntityKind.CUSTOMER:
                shadow = self._shadow.map_customer(entity, pending.link)  # type: ignore[arg-type]
            else:
                mapping = self._shadow.of(kind)
                shadow = None if mapping is None else mapping.map(entity)
        except MappingError as error:
            problem = error.problems[0]
        active = pending.record
        if active is None or shadow is None or problem:
            states = [
                "mapped" if active is not None else NOT_MAPPED,
                problem or (NOT_MAPPED if shadow is None else "mapped"),
            ]
            if states[0] != states[1]:
                sobject = (active or shadow).sobject if (active or shadow) is not None else ""  # type: ignore[union-attr]
                yield sobject, "", _sample(kind.value, pending.change.key, *states, personal=False)
            return
        yield from self._compare_records(active.without_fields(()), shadow)
        others = {line.key: line for line in shadow.children}
        for line in active.children:
            if (other := others.get(line.key)) is not None:
                yield from self._compare_records(line, other)

    def _compare_records(self, active: MappedRecord, shadow: MappedRecord) -> Iterator[tuple[str, str, ShadowSample]]:
        old, new = normalize(active.fields), normalize(shadow.fields)
        values = {name: (value_text(old[name]) if name in old else NOT_MAPPED, value_text(new[name]))
                  for name in changed_fields(new, old)}  # fmt: skip
        values |= {name: (value_text(old[name]), NOT_MAPPED) for name in old.keys() - new.keys() - {"Sync_Message__c"}}
        values |= {
            name: (lookup_text(active.lookups.get(name)), lookup_text(shadow.lookups.get(name)))
            for name in active.lookups.keys() | shadow.lookups.keys()
            if active.lookups.get(name) != shadow.lookups.get(name)
        }
        for name, (before, after) in sorted(values.items()):
            personal = any(name in found.personal.get(active.sobject, ()) for found in (self._active, self._shadow))
            yield active.sobject, name, _sample(active.entity, active.key, before, after, personal=personal)


def _sample(entity: str, key: str, active: str | None, shadow: str | None, *, personal: bool) -> ShadowSample:
    return ShadowSample(entity=entity, key=key, active=active, shadow=shadow, personal=personal)
