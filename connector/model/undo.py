"""An undo: what a run wrote is put back where nobody has changed it since. PURE.

Of each field that the run wrote, the plan says what becomes of it, and why.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from connector.model.record import FieldValue, decode_value, encode_value


class UndoState(StrEnum):
    """What an undo does with a field that the run wrote. Only `restore` changes anything."""

    RESTORE = "restore"
    """It still holds what the run wrote: the former value is put back."""
    DIFFERS = "differs"
    """It still holds what the run wrote, but what we would send is not the former value: it stays, unless that is
    chosen."""
    SENT_WITH = "sent_with"
    """It was sent with the run, and not because of it: it stays, unless that is chosen."""
    CHANGED = "changed"
    """Somebody has changed it since: it stays."""
    RESTORED = "restored"
    """It holds the former value already."""
    CREATED = "created"
    """The run created the record: it stays, because it belongs to an entity here."""
    FIXED = "fixed"
    """It follows something else, or never changes again: a status, a key, a reference, a deleted record."""
    UNKNOWN = "unknown"
    """What it held before is not known, or was not kept."""
    GONE = "gone"
    """The record, or the entity, is no longer there."""


class Included(StrEnum):
    """What an undo leaves as it is unless a person chooses it, too."""

    SENT_WITH = "sent_with"
    DIFFERS = "differs"


class Side(StrEnum):
    """Where the run wrote: to the org, or here."""

    ORG = "org"
    HERE = "here"


@dataclass(frozen=True, kw_only=True, slots=True)
class UndoRow:
    """One field that the run wrote; of a record that it created, the record as a whole (`field` is empty).

    `entity` and `key` are those of what is sent as a unit, `record` is our key of the record itself. `before` is what
    is put back, `written` what the run wrote, `now` what is there, `ours` what we would send (`is_ours`: at all).
    `who` and `at` say who changed it since; `why` says why it is left, or what follows. `holds`: our value is another
    one, and is not sent again until it changes, also where somebody in the org has changed it. `personal`: it is
    personal data; `hidden`: its values are left out.
    """

    state: UndoState
    side: Side
    entity: str
    key: str
    sobject: str
    record: str
    record_id: str | None
    field: str
    before: FieldValue = None
    written: FieldValue = None
    now: FieldValue = None
    ours: FieldValue = None
    is_ours: bool = False
    who: str | None = None
    at: datetime | None = None
    why: str | None = None
    holds: bool = False
    personal: bool = False
    hidden: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class UndoPlan:
    """What undoing a run comes to. `id` names this plan: an undo that is asked for by it is carried out only if it
    would still do the same, in the org `org_id`, and if no other undo of the run has begun: `latest` is the name of the
    latest one. `reads` are the calls that the plan took, `calls_at_most` those of the undo."""

    run: str
    rows: Sequence[UndoRow]
    reads: int = 0
    calls_at_most: int = 0
    notes: Sequence[str] = ()
    org_id: str = ""
    latest: str = ""

    @property
    def id(self) -> str:
        parts = [_act(row) for row in self.rows if row.state is UndoState.RESTORE or row.holds]
        return hashlib.sha256(json.dumps([self.org_id, self.run, self.latest, parts]).encode()).hexdigest()[:16]

    @property
    def to_restore(self) -> list[UndoRow]:
        return [row for row in self.rows if row.state is UndoState.RESTORE]

    @property
    def counts(self) -> Mapping[str, int]:
        """The number of rows by state."""
        found = Counter(row.state.value for row in self.rows)
        return {state.value: found[state.value] for state in UndoState if found[state.value]}


def _act(row: UndoRow) -> list[object]:
    """What an undo does with a field: what it puts back in the place of what, and which value of ours it holds."""
    values = (row.before, row.written, row.now, row.ours)
    return [
        row.state.value, row.side.value, row.entity, row.key, row.sobject, row.record, row.record_id, row.field,
        row.is_ours, row.holds, *(encode_value(value) for value in values),
    ]  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Restore:
    """A value that the next push puts back into a field, if the org still holds `expected`, and if our own value of the
    field is still `local` (`is_mapped`; otherwise we have none)."""

    value: FieldValue
    expected: FieldValue
    local: FieldValue = None
    is_mapped: bool = False


Restores = Mapping[str, Restore]
"""By field; those of lines by `record.child_field`."""


def dump_restores(restores: Restores | None) -> str | None:
    """Return JSON text; None if nothing is said: what waits is put back all the same, unless there are none."""
    if restores is None:
        return None
    document = {
        name: [encode_value(value) for value in (item.value, item.expected, *([item.local] if item.is_mapped else []))]
        for name, item in restores.items()
    }
    return json.dumps(document, ensure_ascii=False)


def load_restores(text: str | None) -> Restores:
    """Return what `dump_restores` wrote."""
    if text is None:
        return {}
    return {
        name: Restore(
            value=decode_value(value),
            expected=decode_value(expected),
            local=decode_value(local[0]) if local else None,
            is_mapped=bool(local),
        )
        for name, (value, expected, *local) in json.loads(text).items()
    }
