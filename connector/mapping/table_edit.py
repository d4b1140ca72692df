"""Changes the rows of a value table as text: comments and the order of rows stay as they are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from ruamel.yaml.comments import CommentedMap

from connector.mapping.edit import EditError, dump_document, load_document, read_scalar
from connector.mapping.spec import ANY_OTHER_VALUE
from connector.model.record import FieldValue

NAME = re.compile(r"[A-Za-z0-9_-]{1,60}", re.ASCII)
"""What a table can be called."""
MOST_ROWS = 100
"""Rows that are changed one by one; a longer table is changed as text."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RowEdit:
    """A row as somebody wants it: our value and the one of Salesforce, and what these were before. Nothing of ours: the
    row is taken away; nothing of theirs: their value is left alone."""

    ours: str
    theirs: str
    former_ours: str = ""
    former_theirs: str = ""

    @property
    def is_change(self) -> bool:
        return (self.ours, self.theirs) != (self.former_ours, self.former_theirs)


def list_rows(text: str) -> list[tuple[str, str]]:
    """The rows of a table, both values as they are typed. Raises EditError."""
    document = _load(text)
    return [(_key_text(key), value_as_typed(value)) for key, value in document.items()]


def change_rows(text: str, edits: Iterable[RowEdit]) -> str:
    """The table with these changes. Raises EditError if two rows would be of the same value."""
    changed = [edit for edit in edits if edit.is_change]
    if not changed:
        return text
    document = _load(text)
    for edit in changed:
        _change(document, edit)
    return dump_document(document)


def new_table(choices: Sequence[str], picklist: Sequence[str]) -> str:
    """A table with a row for each of our values, and the value of the picklist that is spelled alike; without known
    values, a row for all."""
    alike = {_plain(item): item for item in picklist}
    rows = [RowEdit(ours=ours, theirs=alike.get(_plain(ours), "")) for ours in choices]
    rows = rows or [RowEdit(ours=ANY_OTHER_VALUE, theirs="")]
    return change_rows("", rows)


def value_as_typed(value: FieldValue) -> str:
    """A value as a person types it: `0` is a number, `'0'` a text, and nothing leaves theirs alone."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and read_value(value) != value:
        return f"'{value}'"
    return str(value)


def read_value(text: str) -> FieldValue:
    """What a person typed."""
    try:
        value = read_scalar(text)
    except EditError:
        return text  # `Draft: new`: it is a text
    if value is None and text.strip().casefold() not in {"", "null", "~"}:
        return text  # a comment
    return text if isinstance(value, date) else value


def _change(document: CommentedMap, edit: RowEdit) -> None:
    keys = {_key_text(key): key for key in document}
    if not edit.ours:
        if edit.former_ours in keys:
            del document[keys[edit.former_ours]]
        return
    if edit.ours != edit.former_ours and edit.ours in keys:
        raise EditError(f"There is a row for {edit.ours} already: change that one.")
    value = read_value(edit.theirs)
    if edit.ours in keys:
        document[keys[edit.ours]] = value
    elif edit.former_ours in keys:
        place = list(keys).index(edit.former_ours)
        del document[keys[edit.former_ours]]
        document.insert(place, edit.ours, value)
    else:
        document[edit.ours] = value


def _load(text: str) -> CommentedMap:
    return load_document(text) if text.strip() else CommentedMap()


def _key_text(key: object) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    return str(Decimal(str(key))) if isinstance(key, float) else str(key)


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.casefold())
