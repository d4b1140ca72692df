"""Resolves a path such as `customer.name` from the annotations of the model, before any entity is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from enum import StrEnum
from functools import cache
from operator import attrgetter
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from connector.mapping.types import Kind, kind_of
from connector.suggestions import listed, suggestion


class PathError(Exception):
    """A path that does not resolve; its text is one sentence that says what to do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Path:
    """`text` is the path as written; `source` are the attributes that lead there, including inline parts of the model.
    `choices` are the only values of an enum. `is_own_attribute`: a stored attribute of the entity itself, so a value
    from the org can be written back. `may_be_absent`: a part of the path may be None."""

    text: str
    source: str
    kind: Kind
    choices: tuple[str, ...] = ()
    is_own_attribute: bool = False
    may_be_absent: bool = False

    @property
    def read(self) -> Callable[[Any], Any]:
        """A function that reads the value from an entity; None if a part of the path is absent."""
        return _reader_with_gaps(self.source) if self.may_be_absent else attrgetter(self.source)


def _reader_with_gaps(text: str) -> Callable[[Any], Any]:
    parts = tuple(attrgetter(part) for part in text.split("."))

    def read(value: Any) -> Any:
        for part in parts:
            if value is None:
                return None
            value = part(value)
        return value

    return read


@dataclass(frozen=True, kw_only=True, slots=True)
class Attribute:
    """A field or property that a path can name; `source` is the way to it through inline parts of the model."""

    annotation: Any
    stored: bool
    source: str


@cache
def attributes(model: type) -> Mapping[str, Attribute]:
    """Every field and property by name; those of an inline part (see model.copying.INLINE) as the model's own."""
    hints = get_type_hints(model)
    own: dict[str, Attribute] = {}
    inline: dict[str, Attribute] = {}
    inline_types = set()
    for field in fields(model):
        if field.metadata.get("inline"):
            inline_types |= {hints[field.name], *_inline_types(hints[field.name])}
            for name, part in attributes(hints[field.name]).items():
                if part.stored:
                    inline[name] = replace(part, source=f"{field.name}.{part.source}")
        elif not field.metadata.get("internal"):
            own[field.name] = Attribute(annotation=hints[field.name], stored=True, source=field.name)
    for name, member in vars(model).items():
        if isinstance(member, property) and member.fget is not None and not name.startswith("_"):
            annotation = get_type_hints(member.fget).get("return", Any)
            if name not in inline and annotation not in inline_types:
                own[name] = Attribute(annotation=annotation, stored=False, source=name)
    return {**inline, **own}


def _inline_types(model: type) -> set[type]:
    hints = get_type_hints(model)
    return {hints[field.name] for field in fields(model) if field.metadata.get("inline")}


@cache
def resolve(model: type, text: str) -> Path:
    """The value that `text` reads from a `model`. Raises PathError that says which part is wrong."""
    current: Any = model
    kind: Kind | None = None
    parts = text.split(".")
    source: list[str] = []
    gap = stored = optional = False
    for at, part in enumerate(parts):
        if kind is not None:
            raise PathError(f"`{'.'.join(parts[:at])}` is a value ({kind}) and has no `{part}`: end the path there.")
        available = attributes(current)
        if part not in available:
            raise PathError(f"{_with_article(current)} has no `{part}`.{suggestion(part, available)}")
        gap = gap or optional
        stored = available[part].stored
        source.append(available[part].source)
        current, optional = _without_none(available[part].annotation)
        if get_origin(current) is tuple:
            raise PathError(f"`{'.'.join(parts[: at + 1])}` is a list: only `lines` of an order, under `children`.")
        kind = kind_of(current)
        if kind is None and not is_dataclass(current):
            raise PathError(f"`{part}` cannot be mapped.")
    if kind is None:
        raise PathError(
            f"`{text}` is {_with_article(current).lower()}, not one value: continue with one of"
            f" {listed(attributes(current))}."
        )
    choices = tuple(member.value for member in current) if issubclass(current, StrEnum) else ()
    own = stored and len(parts) == 1
    return Path(text=text, source=".".join(source), kind=kind, choices=choices, is_own_attribute=own, may_be_absent=gap)


@cache
def list_paths(model: type) -> tuple[str, ...]:
    """Every path that reads one value from a `model`, also through other entities."""
    return tuple(sorted(_paths_of(model, frozenset())))


def _paths_of(model: type, above: frozenset[type]) -> Iterator[str]:
    for name, attribute in attributes(model).items():
        current, _ = _without_none(attribute.annotation)
        if kind_of(current) is not None:
            yield name
        elif isinstance(current, type) and is_dataclass(current) and current not in above | {model}:
            yield from (f"{name}.{path}" for path in _paths_of(current, above | {model}))


def _without_none(annotation: Any) -> tuple[Any, bool]:
    if get_origin(annotation) in {Union, UnionType}:
        parts = [part for part in get_args(annotation) if part is not type(None)]
        return (parts[0] if len(parts) == 1 else annotation), len(parts) < len(get_args(annotation))
    return annotation, False


def _with_article(model: type) -> str:
    name = model.__name__.lower()
    return f"An {name}" if name[0] in "aeiou" else f"A {name}"
