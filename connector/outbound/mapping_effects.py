"""Compares one entity as two versions of the mappings map it: what the new one would send, and what it would refuse.

PURE: an entity with its links goes in, mapped by both versions; what differs because of the version comes out. What is
due anyway, by either version, is left out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import Enum
from typing import Any

from connector.mapping import MappingSet
from connector.mapping.backward import UnreadableValueError
from connector.mapping.receiver import RecordReceiver
from connector.model.change import EntityKind, Refusal
from connector.model.mapping_plan import Direction, Effect, RecordEffect
from connector.model.money import plain
from connector.model.record import FieldValue, Link, Lookup, MappedRecord, changed_fields
from connector.outbound.frozen_fields import FROZEN, FROZEN_LINE, SET_ONCE
from connector.outbound.org_profile import ACTIVATED, DRAFT, OrgProfile
from connector.outbound.plan_types import PendingEntity
from connector.outbound.preflight import first_violation, normalize

UNKNOWN = "unknown"
"""What is shown for the value of a field that was never read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class UnknownField:
    """A field of which nothing here knows what the org holds. `value` would be sent; `is_shared`: only if the owner of
    the field says so."""

    value: FieldValue
    is_shared: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class EntityEffects:
    """What would become of an entity and its lines. `records`: how many of its records would be written. `rewrite`: an
    activated order would be reopened for it. `unknown`: the effects, by their place, on fields that were never read.
    `is_unsettled`: something of it is not in the org yet, so that what is sent meanwhile decides."""

    key: str = ""
    effects: tuple[RecordEffect, ...] = ()
    records: int = 0
    rewrite: bool = False
    unknown: Mapping[int, UnknownField] = field(default_factory=dict)
    is_unsettled: bool = False

    @property
    def is_affected(self) -> bool:
        """Whether a resync is to send it again once the version is active."""
        return self.is_unsettled or any(item.direction is Direction.TO_ORG for item in self.effects)

    def with_former(self, former: Mapping[int, FieldValue], same: Collection[int]) -> EntityEffects:
        """With what the org holds in unknown fields, by the place of the effect; where it is the `same` as what would
        be sent, there is no effect."""
        effects = tuple(
            replace(item, before=value_text(former[place])) if place in former else item
            for place, item in enumerate(self.effects)
            if place not in same
        )
        written = {(item.sobject, item.key) for item in effects if item.direction is Direction.TO_ORG}
        return replace(self, effects=effects, records=len(written), rewrite=self.rewrite and bool(written), unknown={})

    def has(self, effect: Effect) -> bool:
        return any(item.effect is effect and item.direction is Direction.TO_ORG for item in self.effects)


class VersionEffects:
    """Compares entities of one org by two versions."""

    def __init__(self, before: MappingSet, after: MappingSet, profile: OrgProfile) -> None:
        self._before = before
        self._after = after
        self._profile = profile
        self._receivers = {name: _receivers(mappings) for name, mappings in (("old", before), ("new", after))}

    def compare(self, before: PendingEntity, after: PendingEntity) -> EntityEffects:
        """The effects of the new version on one entity, which was mapped by both versions with the same links."""
        found = self._compare(before, after)
        return replace(found, key=after.change.key, is_unsettled=_is_unsettled(before, after))

    def _compare(self, before: PendingEntity, after: PendingEntity) -> EntityEffects:
        old, new = before.record, after.record
        subject = _Subject.of(after.change.entity.value, after.change.key, new or old, after.link)
        refusal = self._refusal(before, after)
        if refusal is not None:
            if before.problem is not None or (new is not None and self._refusal(None, before) is not None):
                return EntityEffects()
            return EntityEffects(effects=(subject.whole(Effect.REFUSED, refusal.message, source=refusal.source),))
        if new is None:
            is_left_out = old is not None and after.link is not None
            why = "`when` no longer includes it; its record stays in the org as it is"
            return EntityEffects(effects=(subject.whole(Effect.LEFT_OUT, why),) if is_left_out else ())
        if after.link is None:
            if old is not None or before.problem is not None:
                return EntityEffects()
            created = subject.whole(Effect.CREATED, "`when` includes it now")
            return EntityEffects(effects=(created,), records=1 + len(new.children))
        pairs = [(old, new, after.link)] if old is None else [(old, new, after.link), *_lines(old, new, after)]
        sent = [(record, link, tuple(self._sent(former, record, link))) for former, record, link in pairs]
        unknown = _find_unknown(sent)
        written = [(record, effects) for record, _, effects in sent if effects]
        replaced = {(item.key, item.field) for _, effects in written for item in effects}
        received = [
            item
            for _, record, link in pairs
            for item in self._received(record, link)
            if (item.key, item.field) not in replaced  # the org gets another value anyway
        ]
        is_active = self._profile.category(after.link.snapshot.get("Status")) == ACTIVATED
        frozen = {item.field for _, effects in written for item in effects} & (FROZEN | FROZEN_LINE)
        return EntityEffects(
            effects=(*(item for _, effects in written for item in effects), *received),
            records=len(written),
            unknown=unknown,
            rewrite=bool(frozen) and is_active and after.change.entity is EntityKind.ORDER,
        )

    def _refusal(self, before: PendingEntity | None, pending: PendingEntity) -> Refusal | None:
        """Why this would become a dead letter, as far as its own values decide it, and those that are others than
        `before`."""
        if pending.problem is not None or pending.record is None:
            return pending.problem
        former = {} if before is None or before.record is None else _by_key(before.record)
        for record in (pending.record, *pending.record.children):
            describe, old = self._profile.describes.get(record.sobject), former.get((record.entity, record.key))
            fields = record.fields
            if old is not None:
                fields = {name: value for name, value in fields.items() if old.get(name) != value}
            if describe is None or (old is not None and not fields):
                continue
            is_new = pending.link is None if record is pending.record else record.key not in pending.line_links
            creating = is_new and old is None  # else only the values that changed are known here
            refusal = first_violation(
                normalize(fields),
                describe,
                record=f"{record.entity} {record.key}",
                source=self._after.source,
                creating=creating,
                filled_later={*record.lookups, "Status", "Name", "CurrencyIsoCode", "OrderId"},
                person=bool(record.person),
            )
            if refusal is not None:
                return refusal
        return None

    def _sent(self, old: MappedRecord | None, new: MappedRecord, link: Link) -> Iterator[RecordEffect]:
        """The fields that the org would get because of the new version."""
        subject = _Subject.of(new.entity, new.key, new, link)
        fields, former = normalize(new.fields), {} if old is None else normalize(old.fields)
        for name, value in changed_fields(fields, link.snapshot).items():
            is_due_anyway = name in former and name not in changed_fields({name: value}, {name: former[name]})
            if name in SET_ONCE or is_due_anyway or self._is_left_to_org(name, value, link):
                continue
            before = value_text(link.snapshot[name]) if name in link.snapshot else UNKNOWN
            yield self._field(subject, Direction.TO_ORG, name, before, value_text(value))
        for name, lookup in new.lookups.items():
            earlier = None if old is None else old.lookups.get(name)
            if earlier != lookup and name not in SET_ONCE:
                yield self._field(subject, Direction.TO_ORG, name, lookup_text(earlier), lookup_text(lookup))

    def _is_left_to_org(self, name: str, value: FieldValue, link: Link) -> bool:
        """Whether it is the Draft status of an order that the org has activated."""
        current = link.snapshot.get("Status")
        if name != "Status" or link.sobject != "Order":
            return False
        return self._profile.category(current) == ACTIVATED and self._profile.category(value) == DRAFT

    def _received(self, record: MappedRecord, link: Link) -> Iterator[RecordEffect]:
        """The fields whose value in the org would mean something else here."""
        key = (record.entity, bool(record.person))
        old, new = (self._receivers[name].get(key) for name in ("old", "new"))
        if new is None:
            return
        subject = _Subject.of(record.entity, record.key, record, link)
        for name, received in new.received.items():
            if name not in link.snapshot:
                continue
            value = link.snapshot[name]
            after = _read(new, name, value)
            if old is not None and name in old.received:
                before = _read(old, name, value)
                if old.received[name].attribute == received.attribute and before == after:
                    continue
                yield self._field(subject, Direction.FROM_ORG, name, before, after)

    def _field(
        self, subject: _Subject, direction: Direction, name: str, before: str | None, after: str | None
    ) -> RecordEffect:
        personal = any(name in found.personal.get(subject.sobject, ()) for found in (self._before, self._after))
        return RecordEffect(
            direction=direction,
            effect=Effect.CHANGED,
            entity=subject.entity,
            key=subject.key,
            sobject=subject.sobject,
            record_id=subject.record_id,
            field=name,
            before=before,
            after=after,
            personal=personal,
            source=self._after.source(subject.sobject, name, person=subject.person),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Subject:
    """The record that an effect is about."""

    entity: str
    key: str
    sobject: str
    record_id: str | None
    person: bool

    @classmethod
    def of(cls, entity: str, key: str, record: MappedRecord | None, link: Link | None) -> _Subject:
        sobject = record.sobject if record is not None else "" if link is None else link.sobject
        person = record is not None and bool(record.person)
        record_id = None if link is None else link.salesforce_id
        return cls(entity=entity, key=key, sobject=sobject, record_id=record_id, person=person)

    def whole(self, effect: Effect, why: str, *, source: str | None = None) -> RecordEffect:
        return RecordEffect(
            direction=Direction.TO_ORG,
            effect=effect,
            entity=self.entity,
            key=self.key,
            sobject=self.sobject,
            record_id=self.record_id,
            after=why,
            personal=effect is Effect.REFUSED,  # the reason may quote the value
            source=source,
        )


def _is_unsettled(before: PendingEntity, after: PendingEntity) -> bool:
    if before.problem is not None:
        return True
    if after.record is None:
        return False
    return after.link is None or any(line.key not in after.line_links for line in after.record.children)


def _find_unknown(
    sent: Sequence[tuple[MappedRecord, Link, tuple[RecordEffect, ...]]],
) -> dict[int, UnknownField]:
    """By the place of the effect among those that are sent: fields that the link has no value of."""
    effects = [(record, link, item) for record, link, items in sent for item in items]
    return {
        place: UnknownField(value=record.fields[item.field], is_shared=item.field in record.shared)
        for place, (record, link, item) in enumerate(effects)
        if item.field in record.fields and item.field not in link.snapshot
    }


def _by_key(record: MappedRecord) -> dict[tuple[str, str], Mapping[str, FieldValue]]:
    return {(item.entity, item.key): item.fields for item in (record, *record.children)}


def _receivers(mappings: MappingSet) -> Mapping[tuple[str, bool], RecordReceiver]:
    """By the entity of the record, and whether it is a person's account."""
    found = {
        (record.entity, False): RecordReceiver(record)
        for mapping in (mappings.customer, mappings.product, mappings.order)
        for record in mapping.spec.records
    }
    if mappings.person is not None:
        found["customer", True] = RecordReceiver(mappings.person.spec.record)
    return found


def _lines(
    old: MappedRecord, new: MappedRecord, pending: PendingEntity
) -> list[tuple[MappedRecord, MappedRecord, Link]]:
    """The lines that the org has, as both versions map them."""
    former = {line.key: line for line in old.children}
    return [
        (former.get(line.key, line), line, pending.line_links[line.key])
        for line in new.children
        if line.key in pending.line_links
    ]


def _read(receiver: RecordReceiver, name: str, value: FieldValue) -> str:
    """What the org's value of a field means here, or that it cannot be taken."""
    received = receiver.received[name]
    try:
        return f"{received.attribute}: {value_text(received.read(value)) or 'nothing'}"
    except UnreadableValueError as error:
        return f"{received.attribute}: not taken, {error}"


def lookup_text(lookup: Lookup | None) -> str | None:
    return None if lookup is None else f"{lookup.entity} {lookup.key}"


def value_text(value: Any) -> str | None:
    """A value as people read it; None for no value."""
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return plain(value)
    return str(value.value if isinstance(value, Enum) else value)
