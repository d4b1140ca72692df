"""The fields of journal entries as JSON: by record what was sent, by field what was merged.

    {"sent": [["OrderItem", ["Quantity", "UnitPrice"], 2, [["10248-1", 5, "9.80"], ["10248-2", 1, "14"]]], …]}
    {"merged": [["Order", "10248", "Description", personal, kept, base, local, remote, effect, why], …]}

Records with the same fields share the names. The names of personal data stand last, behind the number of the others, so
that their values can be left out: a row is shorter then. A deleted record has no names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import orjson

from connector.model.field_notes import FieldNote, MergedField, PersonalFields, SentRecord
from connector.model.record import FieldValue
from connector.policies import KeptValues

LONGEST_VALUE = 500
"""Characters of a text that are kept."""
_LONG = 4000
"""Characters of a document in which a value may be too long."""

_NO_FIELDS: frozenset[str] = frozenset()


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
    groups: dict[tuple[str, tuple[str, ...]], list[list[Any]]] = {}
    for record in sent:
        values = stored([*record.fields.values()])
        groups.setdefault((record.sobject, tuple(record.fields)), []).append([record.key, *values])
    document = []
    for (sobject, names), rows in groups.items():
        order, own = _order(names, personal.get(sobject, _NO_FIELDS))
        most = {KeptValues.ALL: len(names), KeptValues.BUSINESS: own, KeptValues.NONE: 0}[kept]
        if own < len(names) or most < len(names):
            rows = [[row[0], *(row[place + 1] for place in order[:most])] for row in rows]
            names = tuple(names[place] for place in order)
        document.append([sobject, names, own, rows])
    return document


@lru_cache(maxsize=1000)
def _order(names: tuple[str, ...], personal: frozenset[str]) -> tuple[tuple[int, ...], int]:
    """The places of the names with personal data last, and the number of the others."""
    own = [place for place, name in enumerate(names) if name not in personal]
    return (*own, *(place for place, name in enumerate(names) if name in personal)), len(own)


def _dump_merged(item: MergedField, personal: bool, kept: KeptValues, stored: Values) -> list[Any]:
    is_kept = kept is KeptValues.ALL or (kept is KeptValues.BUSINESS and not personal)
    values = stored([item.base, item.local, item.remote]) if is_kept else [None, None, None]
    return [item.sobject, item.key, item.field, personal, is_kept, *values, item.effect, item.why]


def _shortened(values: Sequence[FieldValue]) -> list[FieldValue]:
    return [
        f"{value[:LONGEST_VALUE]}…" if isinstance(value, str) and len(value) > LONGEST_VALUE else value
        for value in values
    ]


def _load(document: Mapping[str, Any]) -> Iterator[FieldNote]:
    for sobject, names, own, rows in document.get("sent", ()):
        for key, *values in rows:
            if not names:
                yield FieldNote(sobject=sobject, key=key, field="", is_personal=False, effect="deleted")
            for place, name in enumerate(names):
                is_kept = place < len(values)
                yield FieldNote(
                    sobject=sobject, key=key, field=name, is_personal=place >= own, is_kept=is_kept,
                    value=values[place] if is_kept else None,
                )  # fmt: skip
    for sobject, key, field, is_personal, is_kept, base, local, remote, effect, why in document.get("merged", ()):
        yield FieldNote(
            sobject=sobject, key=key, field=field, is_personal=is_personal, is_kept=is_kept, base=base, local=local,
            remote=remote, effect=effect, why=why,
        )  # fmt: skip
