"""Which fields of Order the filter of adoptions names."""

from __future__ import annotations

import re
from collections.abc import Collection

_TEXT = re.compile(r"'(?:[^'\\]|\\.)*'")
_SUBQUERY = re.compile(r"\bSELECT\b", re.IGNORECASE)
_COMPARED = re.compile(
    r"(?<![\w.:])([A-Za-z]\w*)\s*(?:!=|<>|<=|>=|=|<|>|\s(?:NOT\s+IN|IN|LIKE|INCLUDES|EXCLUDES)\b)", re.IGNORECASE
)


def unknown_fields(condition: str, known: Collection[str]) -> list[str]:
    """The names that the condition compares and that are not among `known`, in their order. Fields of related
    records, arguments of functions and subqueries are not looked at: the org checks them."""
    condition = _TEXT.sub("''", condition)
    if _SUBQUERY.search(condition):
        return []  # it names fields of other objects as well
    names = {name.lower() for name in known}
    compared = dict.fromkeys(_COMPARED.findall(condition))
    return [name for name in compared if name.lower() not in names]
