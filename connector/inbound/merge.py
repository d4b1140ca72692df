"""Three-way merge of one record: what both sides last agreed on, what is here, what the org has now. PURE.

A field whose value in the org differs from what both sides agreed on was changed there; one whose mapped value here
differs was changed here. What both changed is decided by the field's owner. An echo of our own write needs no flag: it
holds exactly what both sides agreed on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from connector.mapping.spec import Owner
from connector.model.conflict import ConflictState
from connector.model.describe import FieldDescribe
from connector.model.field_equality import same_value
from connector.model.observed_value import ObservedValue
from connector.model.record import FieldValue


class Decision(StrEnum):
    """What becomes of one field."""

    KEEP = "keep"
    """The org still has what both sides agreed on."""
    AGREE = "agree"
    """Both sides have come to the same value by themselves."""
    TAKE = "take"
    """The org's value is applied here."""
    RESTORE = "restore"
    """The value here stands and is sent to the org again."""
    CONFLICT = "conflict"
    """Both sides changed the field, and a person decides."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldVersions:
    """One field as three parties have it, in wire form. `base` is what both sides agreed on; `has_base` is False where
    they never did (a record that was linked by hand, a field that was mapped lately)."""

    name: str
    owner: Owner
    base: FieldValue
    local: FieldValue
    remote: FieldValue
    has_base: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class MergeContext:
    """What decides between two changes of one field: when each side was changed last (None: the time is not known), the
    answers that were kept as rules, by field, and what the org says of its fields. `local_times`: those of single
    fields, where they are known; the org knows only the time of a record. `observed`: values that were seen in the org
    before, by field. If one still stands, what raised the time of the record since was a write of something else.
    `written_at`: when the answer to our own write was stored here, if that write was the last change of the record; a
    rep's change in it came before."""

    local_changed_at: datetime | None = None
    local_times: Mapping[str, datetime] = field(default_factory=dict)
    remote_changed_at: datetime | None = None
    written_at: datetime | None = None
    observed: Mapping[str, ObservedValue] = field(default_factory=dict)
    answers: Mapping[str, ConflictState] = field(default_factory=dict)
    fields: Mapping[str, FieldDescribe] = field(default_factory=dict)

    def local_time(self, name: str) -> datetime | None:
        """When the field was changed here last; if that is not known, when the entity was."""
        return self.local_times.get(name, self.local_changed_at)

    def observed_before(self, versions: FieldVersions) -> ObservedValue | None:
        """What was seen of a field, if the org still has that value, and had it before the record was changed last."""
        seen, latest = self.observed.get(versions.name), self.remote_changed_at
        if seen is None or (latest is not None and seen.at > latest):
            return None
        return seen if same_value(seen.value, versions.remote, self.fields.get(versions.name)) else None

    def remote_time(self, versions: FieldVersions) -> datetime | None:
        """When the value came into the org at the latest."""
        seen = self.observed_before(versions)
        return self.remote_changed_at if seen is None else seen.at

    def remote_is_newer(self, versions: FieldVersions) -> bool:
        """Whether the org's change came last. Equal times count as newer: the org's clock has whole seconds, and the
        value that a person typed there is the one that would be lost unseen."""
        remote_changed_at = self.remote_time(versions)
        if remote_changed_at is None:
            return False
        local_changed_at = self.local_time(versions.name)
        if local_changed_at is not None and self.written_at is not None and local_changed_at > self.written_at:
            return False
        return local_changed_at is None or remote_changed_at >= local_changed_at.replace(microsecond=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordMerge:
    """The decisions for one record, by field."""

    decisions: Mapping[str, Decision]
    versions: Mapping[str, FieldVersions]
    context: MergeContext

    def fields(self, decision: Decision) -> list[str]:
        """The fields that were decided so, in the order of the mapping."""
        return [name for name, made in self.decisions.items() if made is decision]

    @property
    def taken(self) -> dict[str, FieldValue]:
        """The org's values that are to be applied here."""
        return {name: self.versions[name].remote for name in self.fields(Decision.TAKE)}

    @property
    def agreed(self) -> dict[str, FieldValue]:
        """What the snapshot of the link is to hold from now on: the org's present values. A field in conflict keeps
        what both sides agreed on before. What is restored differs from it, and so is sent."""
        changed = (Decision.AGREE, Decision.TAKE, Decision.RESTORE)
        return {name: self.versions[name].remote for name, made in self.decisions.items() if made in changed}

    @property
    def is_echo(self) -> bool:
        """Whether the org holds exactly what both sides agreed on."""
        return all(made is Decision.KEEP for made in self.decisions.values())


_ANSWERS = {ConflictState.LOCAL: Decision.RESTORE, ConflictState.SALESFORCE: Decision.TAKE}


def merge(versions: Sequence[FieldVersions], context: MergeContext) -> RecordMerge:
    """Decide every field of a record."""
    return RecordMerge(
        decisions={item.name: decide(item, context) for item in versions},
        versions={item.name: item for item in versions},
        context=context,
    )


def decide(versions: FieldVersions, context: MergeContext) -> Decision:
    """Decide one field.

    Salesforce owns: the org's value, always. Local owns: ours, always. `newest` and `ask` differ only where both sides
    changed the field to different values; a change on one side alone goes to the other.
    """
    describe = context.fields.get(versions.name)
    remote_changed = not versions.has_base or not same_value(versions.remote, versions.base, describe)
    if not remote_changed:
        return Decision.KEEP
    if same_value(versions.remote, versions.local, describe):
        return Decision.AGREE
    match versions.owner:
        case Owner.SALESFORCE:
            return Decision.TAKE
        case Owner.LOCAL:
            return Decision.RESTORE
        case Owner.NEWEST | Owner.ASK:
            return _decide_shared(versions, context, describe)


def explain_decision(versions: FieldVersions, decision: Decision, context: MergeContext) -> str:
    """Why it was decided so, in words."""
    match versions.owner:
        case Owner.SALESFORCE:
            return "the org owns the field"
        case Owner.LOCAL:
            return "the order system owns the field"
    describe = context.fields.get(versions.name)
    if versions.owner is Owner.ASK and versions.name in context.answers and decision in _ANSWERS.values():
        return "the answer to a conflict is kept as a rule"
    if versions.has_base and same_value(versions.local, versions.base, describe):
        return "only the org has changed it"
    if not versions.has_base and (versions.local is None or versions.remote is None):
        return "only one side has a value"
    if decision is Decision.CONFLICT:
        return "both sides have changed it"
    there, here = context.remote_time(versions), context.local_time(versions.name)
    times = f"there {_second(there)}, here {_second(here)}"
    return f"both sides have changed it, {'the org' if decision is Decision.TAKE else 'this side'} later ({times})"


def _second(moment: datetime | None) -> str:
    return "unknown" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}"


def _decide_shared(versions: FieldVersions, context: MergeContext, describe: FieldDescribe | None) -> Decision:
    if versions.has_base:
        if same_value(versions.local, versions.base, describe):
            return Decision.TAKE
    elif same_value(versions.local, None, describe):
        return Decision.TAKE
    elif same_value(versions.remote, None, describe):
        return Decision.RESTORE
    if versions.owner is Owner.ASK:
        answer = context.answers.get(versions.name)
        return Decision.CONFLICT if answer is None else _ANSWERS[answer]
    return Decision.TAKE if context.remote_is_newer(versions) else Decision.RESTORE
