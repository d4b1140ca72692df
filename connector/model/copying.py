"""Frozen dataclasses: changed copies, and inline parts, whose fields count as fields of the object. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar, get_type_hints

T = TypeVar("T")

INTERNAL: Mapping[str, bool] = {"internal": True}
"""Metadata of a field that neither a mapping path nor an API response may name."""
INLINE: Mapping[str, bool] = {"inline": True}
"""Metadata of a field that holds an inline part. Mapping paths and API responses name the fields of the part as if they
were fields of the object itself (`placed_at` for `state.header.placed_at`)."""


def evolved(item: T, changes: Mapping[str, Any]) -> T:
    """Return a copy of `item`, a frozen dataclass with slots, with the values of `changes`. `__post_init__` is not run.
    Takes about half the time of `dataclasses.replace`."""
    kind = type(item)
    new = object.__new__(kind)
    put = object.__setattr__
    for name in kind.__slots__:  # type: ignore[attr-defined]
        put(new, name, changes[name] if name in changes else getattr(item, name))
    return new


def inlined(model: type) -> Mapping[str, str]:
    """Return the fields of a dataclass and of its inline parts: name to attribute path."""
    paths: dict[str, str] = {}
    hints = get_type_hints(model)
    for item in fields(model):
        if item.metadata.get("inline"):
            paths |= {name: f"{item.name}.{path}" for name, path in inlined(hints[item.name]).items()}
        elif not item.metadata.get("internal"):
            paths[item.name] = item.name
    return paths


def inlined_types(model: type) -> Mapping[str, Any]:
    """Return the types of the fields that `inlined` names."""
    types: dict[str, Any] = {}
    hints = get_type_hints(model)
    for item in fields(model):
        if item.metadata.get("inline"):
            types |= inlined_types(hints[item.name])
        elif not item.metadata.get("internal"):
            types[item.name] = hints[item.name]
    return types
