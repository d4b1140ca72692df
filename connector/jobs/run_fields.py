"""The fields that a run wrote, as its journal entries tell: the value before the first write, and that of the last."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from connector.model.field_notes import FieldNote
from connector.model.record import FieldValue
from connector.model.undo import Side
from connector.store.journal import JournalRecord

WRITTEN, RECEIVED, UNDONE = "written", "received", "undone"
"""Actions of entries: what the org has accepted; what was taken over from it; what an undo has put back here."""
_HERE = {RECEIVED: "taken", UNDONE: "undone"}
"""The effects of fields that were written here, by action."""

Place = tuple[Side, str, str, str]
"""Where a value was written: the side, the object, our key of the record, and the field."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WrittenField:
    """One field. `entity` and `key` are those of the journal entry, `entry` is the ID of the last one. `created`: the
    run made the record; `deleted`: it deleted the record; `joined`: it was sent together with changes of others, by
    `mapping_version`. `first` is the ID of the first entry with it."""

    side: Side
    entity: str
    key: str
    sobject: str
    record: str
    field: str
    entry: int
    record_id: str | None = None
    before: FieldValue = None
    has_before: bool = False
    written: FieldValue = None
    is_kept: bool = True
    is_personal: bool = False
    created: bool = False
    deleted: bool = False
    joined: bool = False
    mapping_version: int | None = None
    first: int = 0

    @property
    def place(self) -> Place:
        return self.side, self.sobject, self.record, self.field


@dataclass(kw_only=True)
class RunFields:
    """Everything that a run wrote. `last` is the ID of its last entry; `forgotten` entries have no fields any more."""

    fields: dict[Place, WrittenField] = field(default_factory=dict)
    last: int = 0
    forgotten: int = 0

    def add(self, entries: Iterable[JournalRecord], is_chosen: Callable[[WrittenField], bool] = lambda _: True) -> None:
        """Add what is chosen of entries, in their sequence."""
        for entry in entries:
            self.last = max(self.last, entry.id)
            if entry.action in {WRITTEN, RECEIVED} and not entry.notes and "call" in entry.detail:
                self.forgotten += 1
            for item in _fields_of(entry):
                if is_chosen(item):
                    self._add(item)

    def _add(self, item: WrittenField) -> None:
        place = item.place
        earlier = self.fields.get(place)
        if earlier is not None:
            item = replace(
                item, before=earlier.before, has_before=earlier.has_before, created=earlier.created or item.created,
                joined=earlier.joined or item.joined, first=earlier.first,
            )  # fmt: skip
        self.fields[place] = item

    @property
    def created(self) -> set[tuple[str, str]]:
        """The records that the run made, by object and key."""
        return {(item.sobject, item.record) for item in self.fields.values() if item.created}


def _fields_of(entry: JournalRecord) -> Iterable[WrittenField]:
    """What an entry says of fields that were written; an entry about a refusal says nothing of that."""
    for note in entry.notes:
        if entry.action == WRITTEN and note.effect in {None, "deleted"}:
            yield replace(
                _written(entry, note, Side.ORG), written=note.value, before=note.before, has_before=note.has_before,
                created=note.created, deleted=note.effect == "deleted",
            )  # fmt: skip
        elif note.effect is not None and note.effect == _HERE.get(entry.action):
            record_id = entry.detail.get("record")
            yield replace(
                _written(entry, note, Side.HERE), written=note.remote, before=note.local, has_before=note.is_kept,
                record_id=record_id if isinstance(record_id, str) else None,
            )  # fmt: skip


def _written(entry: JournalRecord, note: FieldNote, side: Side) -> WrittenField:
    version = entry.detail.get("mapping_version")
    return WrittenField(
        side=side, entity=entry.entity, key=entry.key, sobject=note.sobject, record=note.key, field=note.field,
        entry=entry.id, record_id=note.record_id, is_kept=note.is_kept, is_personal=note.is_personal,
        joined="changes" in entry.detail, first=entry.id,
        mapping_version=version if isinstance(version, int) else None,
    )  # fmt: skip
