"""The fields of journal entries as JSON: by record what was sent, by field what was merged.

    {"sent": [["OrderItem", ["Quantity", "UnitPrice"], 2, [["10248-1", 5, "9.80"], ["10248-2", 1, "14"]]], …]}
    {"merged": [["Order", "10248", "Description", personal, kept, base, local, remote, effect, why], …]}

Records with the same fields share the names. The names of personal data stand last, behind the number of the others, so
that their values can be left out: a row is shorter then. A deleted record has no names.

A fifth element of a group says what was replaced, by record: `["801…", 4, {"u": 1}]` are the record's ID and the values
before, in the sequence of the names (`u`: unknown; numbers as in snapshots); 1 a record that was created, 0 nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import repeat
from typing import Any

import orjson

from connector.model.field_notes import FieldNote, MergedField, PersonalFields, SentRecord
from connector.model.record import FieldValue, decode_value, encode_value
from connector.settings.retention import KeptValues

LONGEST_VALUE = 500
"""Characters of a text that are kept."""
_LONG = 4000
"""Characters of a document in which a value may be too long."""

_NO_FIELDS: frozenset[str] = frozenset()
_UNKNOWN: Any = {"u": 1}
_EFFECT = 8
"""The place of the effect in a merged field."""


def dump_fields(
    sent: Sequence[SentRecord], merged: Sequence[MergedField], personal: PersonalFields, kept: KeptValues
) -> str | None:
    """The notes as JSON; None if there are none. Values that are not kept are left out, their names are not."""
    if not sent and not merged:
        return None
    text = _dump(sent, merged, personal, kept, list)
    return _dump(sent, merged, personal, kept, _shortened) if len(text) > _LONG else text


def load_fields(text: str | None) -> tuple[FieldNote, ...]:
    """The notes of an entry, field by field."""
    return () if text is None else tuple(_load(orjson.loads(text)))


Values = Callable[[Sequence[FieldValue]], list[FieldValue]]
"""How values become those that are stored."""


def _dump(
    sent: Sequence[SentRecord],
    merged: Sequence[MergedField],
    personal: PersonalFields,
    kept: KeptValues,
    stored: Values,
) -> str:
    document: dict[str, Any] = {}
    if sent:
        document["sent"] = _dump_sent(sent, personal, kept, stored)
    if merged:
        document["merged"] = [
            _dump_merged(item, item.field in personal.get(item.sobject, _NO_FIELDS), kept, stored) for item in merged
        ]
    return orjson.dumps(document, default=str).decode()


def _dump_sent(
    sent: Sequence[SentRecord], personal: PersonalFields, kept: KeptValues, stored: Values
) -> list[list[Any]]:
    groups: dict[tuple[str, tuple[str, ...]], list[SentRecord]] = {}
    for record in sent:
        groups.setdefault((record.sobject, tuple(record.fields)), []).append(record)
    document = []
    for (sobject, names), records in groups.items():
        order, own = _order(names, personal.get(sobject, _NO_FIELDS))
        most = {KeptValues.ALL: len(names), KeptValues.BUSINESS: own, KeptValues.NONE: 0}[kept]
        rows = [[record.key, *stored([*record.fields.values()])] for record in records]
        if own < len(names) or most < len(names):
            rows = [[row[0], *(row[place + 1] for place in order[:most])] for row in rows]
            names = tuple(names[place] for place in order)
        group = [sobject, names, own, rows]
        if any(record.created or record.before is not None for record in records):
            group.append([_dump_before(record, names[:most], personal, kept) for record in records])
        document.append(group)
    return document


def _dump_before(record: SentRecord, names: Sequence[str], personal: PersonalFields, kept: KeptValues) -> Any:
    """What a send replaced: 1 for a new record, 0 if nothing is known, else the record's ID with the former values of
    `names`; of a deleted record with all of them by name. Texts are whole: they are what is put back."""
    if record.created:
        return 1
    if record.before is None:
        return 0
    if not record.fields:
        hidden = personal.get(record.sobject, _NO_FIELDS) if kept is KeptValues.BUSINESS else _NO_FIELDS
        values = {} if kept is KeptValues.NONE else record.before
        return [record.record_id, {name: encode_value(item) for name, item in values.items() if name not in hidden}]
    before = record.before
    return [record.record_id, *(encode_value(before[name]) if name in before else _UNKNOWN for name in names)]


@lru_cache(maxsize=1000)
def _order(names: tuple[str, ...], personal: frozenset[str]) -> tuple[tuple[int, ...], int]:
    """The places of the names with personal data last, and the number of the others."""
    own = [place for place, name in enumerate(names) if name not in personal]
    return (*own, *(place for place, name in enumerate(names) if name in personal)), len(own)


def _dump_merged(item: MergedField, personal: bool, kept: KeptValues, stored: Values) -> list[Any]:
    is_kept = kept is KeptValues.ALL or (kept is KeptValues.BUSINESS and not personal)
    # The value here stays whole: it is what is put back.
    values = [*stored([item.base]), item.local, *stored([item.remote])] if is_kept else [None, None, None]
    return [item.sobject, item.key, item.field, personal, is_kept, *values, item.effect, item.why]


def _shortened(values: Sequence[FieldValue]) -> list[FieldValue]:
    return [
        f"{value[:LONGEST_VALUE]}…" if isinstance(value, str) and len(value) > LONGEST_VALUE else value
        for value in values
    ]


def _load(document: Mapping[str, Any]) -> Iterator[FieldNote]:
    for sobject, names, own, rows, *more in document.get("sent", ()):
        for (key, *values), before in zip(rows, more[0] if more else repeat(0), strict=False):
            if not names:
                yield from _load_deletion(sobject, key, before)
            record_id, replaced = (before[0], before[1:]) if isinstance(before, list) else (None, ())
            for place, name in enumerate(names):
                is_kept = place < len(values)
                is_known = place < len(replaced) and replaced[place] != _UNKNOWN
                yield FieldNote(
                    sobject=sobject, key=key, field=name, is_personal=place >= own, is_kept=is_kept,
                    value=values[place] if is_kept else None, record_id=record_id, created=before == 1,
                    before=decode_value(replaced[place]) if is_known else None, has_before=is_known,
                )  # fmt: skip
    for sobject, key, name, is_personal, is_kept, base, local, remote, effect, why in document.get("merged", ()):
        yield FieldNote(
            sobject=sobject, key=key, field=name, is_personal=is_personal, is_kept=is_kept, base=base, local=local,
            remote=remote, effect=effect, why=why,
        )  # fmt: skip


def _load_deletion(sobject: str, key: str, before: Any) -> Iterator[FieldNote]:
    """A note without a name for the record itself, and one for each value that it had."""
    record_id, values = before if isinstance(before, list) else (None, {})
    yield FieldNote(sobject=sobject, key=key, field="", is_personal=False, effect="deleted", record_id=record_id)
    for name, value in values.items():
        yield FieldNote(
            sobject=sobject, key=key, field=name, is_personal=True, effect="deleted", record_id=record_id,
            before=decode_value(value), has_before=True,
        )  # fmt: skip


@dataclass(kw_only=True)
class FieldCounts:
    """What entries have of records, by object and key: `created`, `updated` and `deleted` ones, the number of `fields`
    that were sent, and of those that were `taken` over."""

    created: set[tuple[str, str]] = field(default_factory=set)
    updated: set[tuple[str, str]] = field(default_factory=set)
    deleted: set[tuple[str, str]] = field(default_factory=set)
    fields: int = 0
    taken: int = 0

    def add(self, text: str) -> None:
        """Count the fields of one more entry, as they are stored."""
        document = orjson.loads(text)
        for sobject, names, _, rows, *more in document.get("sent", ()):
            self.fields += len(names) * len(rows)
            for (key, *_values), before in zip(rows, more[0] if more else repeat(0), strict=False):
                kind = self.created if before == 1 else self.updated if names else self.deleted
                kind.add((sobject, key))
        self.taken += sum(item[_EFFECT] == "taken" for item in document.get("merged", ()))
