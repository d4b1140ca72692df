"""A value that was seen in a field of the org before the record is merged. PURE.

A record has one time of modification (LastModifiedDate), which every later write raises, also our own write of other
fields. What was seen before says since when a value has stood there at the latest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from connector.model.record import FieldValue, dump_value, load_value

AUTHOR_NAME = "LastModifiedBy.Name"
STAMP_FIELDS = ("SystemModstamp", "LastModifiedDate", "LastModifiedById", AUTHOR_NAME)
"""What a query asks of a record in order to know its last modification: at all, and by a user."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ObservedValue:
    """`value` was in the field at `at`, the time of the record's last modification then; it came there then or before.
    `author`: who modified the record then, for a person to read."""

    value: FieldValue
    at: datetime
    author: str | None = None


ObservedValues = Mapping[str, ObservedValue]
"""By field."""


def observe(names: frozenset[str], row: Mapping[str, Any]) -> ObservedValues:
    """What these fields hold in a row that was queried with `STAMP_FIELDS`."""
    at, author = read_moment(row["LastModifiedDate"]), author_of(row)
    return {name: ObservedValue(value=row[name], at=at, author=author) for name in sorted(names)}


def with_earlier(observed: ObservedValues, earlier: ObservedValues) -> ObservedValues:
    """`observed`, with the earlier time of a value that was seen before; and what was seen of other fields."""
    known = {
        name: before if (before := earlier.get(name)) and before.value == item.value and before.at <= item.at else item
        for name, item in observed.items()
    }
    return {**earlier, **known}


def author_of(row: Mapping[str, Any]) -> str | None:
    """Who changed a record last, for a person to read: `Jo Doe (005…)`, or the ID alone. A query nests the name in its
    parent; a bulk query has a column for it."""
    parent, user = row.get("LastModifiedBy"), row.get("LastModifiedById")
    name = parent.get("Name") if isinstance(parent, Mapping) else row.get(AUTHOR_NAME)
    return f"{name} ({user})" if name else user


def read_moment(text: str) -> datetime:
    """A time as the REST API has it (`2026-01-31T10:00:00.000+0000`)."""
    return datetime.fromisoformat(text).astimezone(UTC)


def dump_observed(observed: ObservedValues) -> str | None:
    """Return JSON text; None if nothing was seen."""
    if not observed:
        return None
    items = {name: [dump_value(item.value), item.at.isoformat(), item.author] for name, item in observed.items()}
    return json.dumps(items, ensure_ascii=False)


def load_observed(text: str | None) -> ObservedValues:
    """Return what `dump_observed` wrote."""
    if text is None:
        return {}
    return {
        name: ObservedValue(value=load_value(value), at=datetime.fromisoformat(at), author=author)
        for name, (value, at, author) in json.loads(text).items()
    }
