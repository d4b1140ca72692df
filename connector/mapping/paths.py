"""What a path like `customer.name` leads to: decided from the model's annotations, before any entity is seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import StrEnum
from functools import cache
from operator import attrgetter
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from connector.mapping.types import Kind, kind_of
from connector.suggestions import listed, suggestion


class PathError(Exception):
    """A path that leads nowhere, said in one sentence with what to do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Path:
    """`choices` are the only texts it can hold (an enum); `own` tells a stored attribute of the entity itself, the only
    kind of place a value from the org can go back to; `gap` says that something on the way may be absent."""

    text: str
    kind: Kind
    choices: tuple[str, ...] = ()
    own: bool = False
    gap: bool = False

    @property
    def read(self) -> Callable[[Any], Any]:
        """Reads the value from an entity; None where a part of the way is absent."""
        return _patient(self.text) if self.gap else attrgetter(self.text)


def _patient(text: str) -> Callable[[Any], Any]:
    parts = tuple(attrgetter(part) for part in text.split("."))

    def read(value: Any) -> Any:
        for part in parts:
            if value is None:
                return None
            value = part(value)
        return value

    return read


@cache
def attributes(model: type) -> Mapping[str, tuple[Any, bool]]:
    """Annotation of every field and property by name, and whether it is stored."""
    hints = get_type_hints(model)
    found: dict[str, tuple[Any, bool]] = {field.name: (hints[field.name], True) for field in fields(model)}
    for name, member in vars(model).items():
        if isinstance(member, property) and member.fget is not None and not name.startswith("_"):
            found[name] = (get_type_hints(member.fget).get("return", Any), False)
    return found


@cache
def resolve(model: type, text: str) -> Path:
    """What `text` reads from a `model`; PathError says which part is wrong."""
    here: Any = model
    kind: Kind | None = None
    parts = text.split(".")
    gap = stored = optional = False
    for at, part in enumerate(parts):
        if kind is not None:
            raise PathError(f"`{'.'.join(parts[:at])}` is a value ({kind}) and has no `{part}`: end the path there.")
        known = attributes(here)
        if part not in known:
            raise PathError(f"{_a(here)} has no `{part}`.{suggestion(part, known)}")
        gap = gap or optional
        annotation, stored = known[part]
        here, optional = _without_none(annotation)
        if get_origin(here) is tuple:
            raise PathError(f"`{'.'.join(parts[: at + 1])}` is a list: only `lines` of an order, under `children`.")
        kind = kind_of(here)
        if kind is None and not is_dataclass(here):
            raise PathError(f"`{part}` cannot be mapped.")
    if kind is None:
        raise PathError(f"`{text}` is {_a(here).lower()}, not one value: go on with one of {listed(attributes(here))}.")
    choices = tuple(member.value for member in here) if issubclass(here, StrEnum) else ()
    return Path(text=text, kind=kind, choices=choices, own=stored and len(parts) == 1, gap=gap)


def _without_none(annotation: Any) -> tuple[Any, bool]:
    if get_origin(annotation) in {Union, UnionType}:
        kept = [part for part in get_args(annotation) if part is not type(None)]
        return (kept[0] if len(kept) == 1 else annotation), len(kept) < len(get_args(annotation))
    return annotation, False


def _a(model: type) -> str:
    name = model.__name__.lower()
    return f"An {name}" if name[0] in "aeiou" else f"A {name}"
