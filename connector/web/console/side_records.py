"""A record on both sides, field by field: what would be sent now, what is noted of the org, what the org had when
it was compared."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from connector.mapping.compiler import ABSENT, compile_field
from connector.mapping.spec import Owner, RecordSpec
from connector.model.change import EntityKind
from connector.model.conflict import Conflict
from connector.model.describe import SObjectDescribe
from connector.model.field_equality import same_value
from connector.model.reconciliation import OPEN, Finding, ReconcileRun, RecordState
from connector.model.record import FieldValue, Link


@dataclass(frozen=True, kw_only=True, slots=True)
class SideField:
    """A field of a record on both sides. `is_known`: the org's value is known (`remote`), from the latest comparison.
    `agreed`: the value of the snapshot. `is_unsent`: another
    value is here. `is_held`: it was undone, and is not sent until it is another one. `owner`: whose value counts."""

    name: str
    label: str
    owner: str
    local: FieldValue
    agreed: FieldValue
    has_local: bool = True
    has_agreed: bool = True
    remote: FieldValue = None
    is_known: bool = False
    differs_there: bool = False
    is_unsent: bool = False
    is_held: bool = False
    changed_at: datetime | None = None
    conflict: Conflict | None = None

    @property
    def differs(self) -> bool:
        return self.is_unsent or self.differs_there or self.conflict is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class SideRecord:
    """A record with its fields: that of the order, or of one of its lines."""

    title: str
    link: Link | None
    fields: Sequence[SideField]

    @property
    def differing(self) -> int:
        return sum(field.differs for field in self.fields)


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """What is known of the records of an entity besides its own values."""

    describes: Mapping[str, SObjectDescribe]
    findings: Mapping[tuple[str, str], Finding]
    run: ReconcileRun | None
    conflicts: Mapping[tuple[str, str], Mapping[str, Conflict]]
    times: Mapping[str, datetime]


def build_record(spec: RecordSpec, entity: Any, title: str, link: Link | None, known: Known) -> SideRecord:
    describe = known.describes.get(spec.sobject)
    name = (spec.entity, entity.key)
    finding = known.findings.get(name)
    seen = {} if finding is None else {item.field: item.remote for item in finding.fields}
    is_compared = _is_compared(spec.entity, link, finding, known)
    fields = []
    for field in spec.fields:
        about = None if describe is None else describe.fields.get(field.name)
        local, has_local = _local(compile_field(field), entity)
        has_agreed = link is not None and field.name in link.snapshot
        agreed = link.snapshot.get(field.name) if link is not None else None
        is_seen = field.name in seen
        fields.append(
            SideField(
                name=field.name,
                label=readable_name(field.name) if about is None else about.label,
                owner=_OWNERS[field.owner],
                local=local,
                agreed=agreed,
                has_local=has_local,
                has_agreed=has_agreed,
                remote=seen[field.name] if is_seen else agreed,
                is_known=is_seen or (is_compared and has_agreed),
                differs_there=is_seen and not same_value(local, seen[field.name], about),
                is_unsent=_is_sent(field.owner, has_local, has_agreed) and not same_value(local, agreed, about),
                is_held=link is not None
                and field.name in link.held
                and same_value(local, link.held[field.name], about),
                changed_at=known.times.get(field.name) if spec.entity in _WITH_TIMES else None,
                conflict=known.conflicts.get(name, {}).get(field.name),
            )
        )
    return SideRecord(title=title, link=link, fields=sorted(fields, key=lambda item: not item.differs))


def _is_compared(entity: str, link: Link | None, finding: Finding | None, known: Known) -> bool:
    """Whether the latest comparison says of each field of the record whether it is the same: not if the record has
    been written since, or what differs was on its way."""
    if known.run is None or known.run.finished_at is None or link is None:
        return False
    if finding is not None:
        return finding.state in {RecordState.DRIFTED, RecordState.HELD}
    is_older = link.synced_at is not None and link.synced_at > known.run.finished_at
    listed = sum(item.entity == entity for item in known.findings.values())
    unclear = sum(known.run.counts.get(entity, {}).get(state, 0) for state in OPEN)
    return not is_older and unclear <= listed


_WITH_TIMES = frozenset({EntityKind.ORDER.value, EntityKind.CUSTOMER.value})
_OWNERS = {Owner.LOCAL: "here", Owner.SALESFORCE: "Salesforce", Owner.NEWEST: "the later", Owner.ASK: "a person"}


def readable_name(name: str) -> str:
    """`Shipping Street` of ShippingStreet, `Hold Reason` of Hold_Reason__c: for an org whose labels are not known."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name.removesuffix("__c").replace("_", " "))


def _local(get: Any, entity: Any) -> tuple[FieldValue, bool]:
    """The value that would be sent, and whether one would be; a value that cannot be computed is none."""
    try:
        value = get(entity)
    except Exception:  # whatever a transform or an expression raises on an unsuitable value
        return None, False
    return (None, False) if value is ABSENT else (value, True)


def _is_sent(owner: Owner, has_local: bool, has_agreed: bool) -> bool:
    return owner is not Owner.SALESFORCE and has_local and has_agreed
