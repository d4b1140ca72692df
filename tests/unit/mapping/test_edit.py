"""Entries of a mapping file are changed as text."""

from __future__ import annotations

from pathlib import Path

import pytest

from connector.mapping.edit import EditError, read_scalar, remove_entry, set_entry

MAPPINGS = Path(__file__).parents[3] / "mappings"
SMALL = """# Ours.
entity: order
fields:
  Name: 'number'  # as printed
  Hold__c: {path: hold_reason, default: null}
children:
  lines:
    fields:
      Quantity: quantity
"""


@pytest.mark.parametrize("name", [path.name for path in sorted(MAPPINGS.glob("*.yaml"))])
def test_shipped_file_is_the_same_but_for_the_entry(name: str) -> None:
    text = (MAPPINGS / name).read_text(encoding="utf-8")
    changed = set_entry(text, "", "New__c", {"path": "number", "owner": "local"})
    assert changed.replace("  New__c: {path: number, owner: local}\n", "") == text
    assert remove_entry(changed, "", "New__c") == text


def test_entry_is_replaced_in_its_place_with_comments_and_quotes_kept() -> None:
    changed = set_entry(SMALL, "", "Hold__c", "hold_reason")
    assert changed == SMALL.replace("{path: hold_reason, default: null}", "hold_reason")
    changed = set_entry(SMALL, "lines", "Quantity", {"expr": 'quantity + 1 if x == "a: b"', "default": 0})
    assert changed.endswith("""      Quantity: {expr: 'quantity + 1 if x == "a: b"', default: 0}\n""")
    assert remove_entry(SMALL, "", "Hold__c") == SMALL.replace("  Hold__c: {path: hold_reason, default: null}\n", "")


@pytest.mark.parametrize(
    ("text", "child", "said"),
    [
        ("a: [", "", "is not YAML"), ("- a", "", "not a mapping"), ("", "", "not a mapping"),
        ("entity: x", "", "no `fields`"), (SMALL, "taxes", "no `fields` of `taxes`"),
        ("entity: x\nfields: 7", "", "no `fields`"), ("a: *b", "", "is not YAML"),
    ],
)  # fmt: skip
def test_file_that_cannot_be_changed_is_said(text: str, child: str, said: str) -> None:
    with pytest.raises(EditError, match=said):
        set_entry(text, child, "Name", "number")


def test_entry_that_is_not_there_cannot_be_removed() -> None:
    with pytest.raises(EditError, match="no entry Nothing"):
        remove_entry(SMALL, "", "Nothing")


def test_value_is_read_as_yaml_has_it() -> None:
    texts = ("0", "'0'", "1.50", "true", "web shop", "null")
    assert [read_scalar(text) for text in texts] == [0, "0", 1.5, True, "web shop", None]
    for text in ("[1]", "a: b", "{", "'"):
        with pytest.raises(EditError, match="not one value"):
            read_scalar(text)


def test_file_that_is_too_large_to_be_changed_by_entries_is_refused_at_once() -> None:
    text = "entity: x\nfields:\n" + "".join(f"  Field_{number}__c: number\n" for number in range(5_000))
    with pytest.raises(EditError, match="more than 100,000 characters: change its text"):
        set_entry(text, "", "Name", "number")
    deep = f"entity: x\nfields: {'[' * 60}{']' * 60}"
    with pytest.raises(EditError, match="nested more than 50 levels deep"):
        set_entry(deep, "", "Name", "number")
