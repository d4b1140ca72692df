"""Rows of value tables are changed as text, and everything else stays as it is."""

from __future__ import annotations

import pytest

from connector.mapping.edit import EditError
from connector.mapping.table_edit import RowEdit, change_rows, list_rows, new_table, read_value, value_as_typed

TABLE = "# Ours, theirs.\nplaced: Draft  # the first one\nshipped: Activated\n12: true\ncanceled: null\n"


def test_rows_are_changed_renamed_added_and_taken_away_in_place() -> None:
    edits = [
        RowEdit(ours="placed", theirs="New: one", former_ours="placed", former_theirs="Draft"),
        RowEdit(ours="sent", theirs="Activated", former_ours="shipped", former_theirs="Activated"),
        RowEdit(ours="12", theirs="true", former_ours="12", former_theirs="true"),
        RowEdit(ours="", theirs="", former_ours="canceled", former_theirs=""),
        RowEdit(ours="*", theirs="'0'"),
        RowEdit(ours="", theirs=""),
    ]
    changed = change_rows(TABLE, edits)
    assert changed == "# Ours, theirs.\nplaced: 'New: one' # the first one\nsent: Activated\n12: true\n'*': '0'\n"
    assert list_rows(changed) == [
        ("placed", "New: one"), ("sent", "Activated"), ("12", "true"), ("*", "'0'"),
    ]  # fmt: skip
    unchanged = [RowEdit(ours=a, theirs=b, former_ours=a, former_theirs=b) for a, b in list_rows(TABLE)]
    assert change_rows(TABLE, unchanged) == TABLE
    # A row that was drawn before somebody changed the text keeps what was changed there.
    assert change_rows("placed: Other\n", unchanged) == "placed: Other\n"


def test_two_rows_of_one_value_and_what_is_no_table_are_refused() -> None:
    with pytest.raises(EditError, match="There is a row for placed already"):
        change_rows(TABLE, [RowEdit(ours="placed", theirs="x", former_ours="shipped", former_theirs="Activated")])
    for text in ("- a", "a: [", "7"):
        with pytest.raises(EditError):
            list_rows(text)


@pytest.mark.parametrize(
    ("typed", "value"),
    [("", None), ("null", None), ("Draft", "Draft"), ("0", 0), ("'0'", "0"), ("true", True), ("a: b", "a: b"),
     ("# 5", "# 5"), ("2026-01-01", "2026-01-01"), ("[x]", "[x]"), ("it's", "it's")],
)  # fmt: skip
def test_value_is_read_as_it_is_typed(typed: str, value: object) -> None:
    assert read_value(typed) == value
    assert read_value(value_as_typed(value)) == value  # type: ignore[arg-type]


def test_new_table_has_our_values_with_those_of_the_picklist_that_are_spelled_alike() -> None:
    assert new_table(["same_day", "express"], ["Same Day", "Standard"]) == "same_day: Same Day\nexpress: null\n"
    assert new_table([], ["Standard"]) == "'*': null\n"
