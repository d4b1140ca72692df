"""Large frozen objects made of parts: changed copies, and parts whose fields count as the whole's. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar, get_type_hints

T = TypeVar("T")

INTERNAL: Mapping[str, bool] = {"internal": True}
"""Metadata of a field of an inline part that no mapping path and no answer names."""
INLINE: Mapping[str, bool] = {"inline": True}
"""Metadata of a dataclass field that holds a part: a mapping path and an answer name the fields of the part as if they
were the whole's own (`placed_at` for `state.header.placed_at`)."""


def evolved(item: T, changes: Mapping[str, Any]) -> T:
    """`item`, a frozen dataclass with slots, with other values for some of its fields; it is not validated again. Takes
    about half the time of `dataclasses.replace`."""
    kind = type(item)
    new = object.__new__(kind)
    put = object.__setattr__
    for name in kind.__slots__:  # type: ignore[attr-defined]
        put(new, name, changes[name] if name in changes else getattr(item, name))
    return new


def inlined(model: type) -> Mapping[str, str]:
    """The fields of a dataclass and of its inline parts by name, each with the path that reads it."""
    found: dict[str, str] = {}
    hints = get_type_hints(model)
    for item in fields(model):
        if item.metadata.get("inline"):
            found |= {name: f"{item.name}.{path}" for name, path in inlined(hints[item.name]).items()}
        elif not item.metadata.get("internal"):
            found[item.name] = item.name
    return found
