"""Turns pydantic's errors, which are written for programmers, into plain sentences about a body, an option or a rules
file. For an unknown name the closest known one is suggested."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, RootModel, ValidationError

from connector.model.action_fields import EVENT_FIELDS, REQUESTABLE, listed_fields
from connector.model.actions import Action
from connector.suggestions import suggestion

Place = tuple[int | str, ...]


class MissingFieldsError(ValueError):
    """A body gives none of `names`, and at least one is required; raised by its validator."""

    def __init__(self, names: Sequence[str]) -> None:
        choice = f"; give {' or '.join(names)}, or both" if len(names) > 1 else ""
        super().__init__(f"is missing{choice}")
        self.names = tuple(names)


T = TypeVar("T")

NO_NUL = r"^[^\x00]*$"
CURRENCY = r"^[A-Z]{3}$"
PATTERNS = {
    NO_NUL: "must not contain the character NUL",
    CURRENCY: "must be a currency code, as USD",
}
_FRACTION = ": 0.19 is 19 %"
_KEY = "[key]"
_OF_ANOTHER_KIND = frozenset({"string_type", "model_type", "dict_type", "list_type"})


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldError:
    """An error: `place` is the path of the field, `text` the rest of the sentence about it."""

    place: Place
    text: str

    @property
    def field(self) -> str:
        return ".".join(str(part) for part in self.place)

    def sentence(self, nowhere: str) -> str:
        """`lines.1: must be more than 0.`; an error of the whole input is reported about `nowhere`."""
        return f"{self.field or nowhere}: {self.ended}"

    @property
    def ended(self) -> str:
        return self.text + ("" if self.text.endswith((".", "?")) else ".")


def once_each(value: Any, handler: Callable[[Any], dict[Any, T]]) -> dict[Any, T]:
    """A wrap validator of a mapping by keys, where two spellings of one key would overwrite each other."""
    found = handler(value)
    if isinstance(value, dict) and len(found) < len(value):
        raise ValueError("must name each key once, however it is spelled")
    return found


def field_errors(error: ValidationError, model: type[BaseModel]) -> list[FieldError]:
    """Return all errors, in the order of the model."""
    found: dict[Place, list[tuple[str, str]]] = {}
    for item in error.errors(include_url=False):
        place, kind = _walked(model, _placed(item))
        found.setdefault(place, []).append((item["type"], _text(dict(item), kind, place)))
    return [
        FieldError(place=place, text=text) for place, said in found.items() for text in _fitting(found, place, said)
    ]


def _placed(item: Any) -> Place:
    """The path of an error. Pydantic does not give it for a body that is selected by `action`."""
    if item["type"].startswith("union_tag_"):
        return (*item["loc"], item["ctx"]["discriminator"].strip("'"))
    if isinstance(error := item.get("ctx", {}).get("error"), MissingFieldsError):
        return (*item["loc"], error.names[0])
    return tuple(item["loc"])


def _fitting(found: dict[Place, list[tuple[str, str]]], place: Place, said: list[tuple[str, str]]) -> Iterator[str]:
    """Yield the useful texts. If a value can have several types, pydantic reports an error for each; only those of the
    closest type help."""
    inside = any(other != place and other[: len(place)] == place for other in found)
    alien = [text for kind, text in said if kind in _OF_ANOTHER_KIND]
    own = [text for kind, text in said if kind not in _OF_ANOTHER_KIND]
    yield from own
    if alien and not own and not inside:
        yield alien[0] + "".join(text.replace("must be", " or", 1) for text in alien[1:])


def _walked(model: type[BaseModel], place: Place) -> tuple[Place, Any]:
    """The path without pydantic's internal parts, and the type at its end."""
    kind: Any = model
    walked: list[int | str] = []
    for part in place:
        if part == _KEY:
            continue
        forms = _forms(kind)
        if len(forms) > 1:
            named = next((form for form in forms if part in {getattr(form, "__name__", ""), _tag(form)}), None)
            if named is not None or str(part).startswith(("constrained-", "function-")) or part in {"str", "int"}:
                kind = named
                continue
        walked.append(part)
        kind = next((inner for form in forms if (inner := _inner(form, part)) is not None), None)
    return tuple(walked), kind


def _forms(kind: Any) -> list[Any]:
    """The types that a value can have, except None."""
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if isinstance(kind, type) and issubclass(kind, RootModel):
        return _forms(kind.model_fields["root"].annotation)
    if get_origin(kind) in {Union, UnionType}:
        return [form for item in get_args(kind) if item is not type(None) for form in _forms(item)]
    return [kind]


def _tag(kind: Any) -> str | None:
    """The action of a body model; None for other types."""
    field = kind.model_fields.get("action") if isinstance(kind, type) and issubclass(kind, BaseModel) else None
    values = get_args(field.annotation) if field is not None else ()
    return values[0] if values else None


def _inner(kind: Any, part: int | str) -> Any:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        field = kind.model_fields.get(str(part))
        # An unknown name: keep the model, whose names can be suggested.
        return kind if field is None else field.annotation
    arguments: Sequence[Any] = get_args(kind)
    return arguments[-1] if arguments else None


def _names(kind: Any) -> list[str]:
    return list(kind.model_fields) if isinstance(kind, type) and issubclass(kind, BaseModel) else []


def _text(item: dict[str, Any], kind: Any, place: Place) -> str:
    context = item.get("ctx", {})
    match item["type"]:
        case "extra_forbidden":
            return _unknown(str(place[-1]), kind)
        case "missing" | "union_tag_not_found":
            choices = _choices(kind)
            return f"is missing; one of {', '.join(choices)}" if len(choices) > 1 else "is missing"
        case "union_tag_invalid":
            return _no_action(context["tag"], re.findall(r"'([^']*)'", context["expected_tags"]))
        case "enum" | "literal_error":
            choices = re.findall(r"'([^']*)'", context["expected"])
            return _none_of(item["input"], choices)
        case "string_pattern_mismatch":
            return PATTERNS.get(context["pattern"], "has another form than it must have")
        case "string_too_short" | "too_short":
            what = "characters" if item["type"].startswith("string") else "entries"
            least = context["min_length"]
            return "must not be empty" if least == 1 else f"must have at least {least} {what}"
        case "string_too_long":
            return f"must have at most {context['max_length']:,} characters"
        case "too_long":
            return f"must have at most {context['max_length']:,} entries"
        case "greater_than":
            return f"must be more than {context['gt']}"
        case "greater_than_equal":
            return f"must be at least {context['ge']}"
        case "less_than":
            return f"must be less than {context['lt']}{_FRACTION if context['lt'] == 1 else ''}"
        case "less_than_equal":
            return f"must be at most {context['le']}"
        case "value_error":
            return str(context["error"]).removesuffix(".")
        case "timezone_aware":
            return "must name its time zone, as 2026-01-31T08:00:00Z"
        case other:
            return next((text for start, text in _KINDS.items() if other.startswith(start)), "cannot be used")


def _choices(kind: Any) -> Sequence[str]:
    """The allowed values of a type, if they can be listed."""
    [form] = _forms(kind)[:1] or [None]
    if get_origin(form) is Literal:
        return get_args(form)
    return list(form) if isinstance(form, type) and issubclass(form, StrEnum) else ()


def _unknown(name: str, kind: Any) -> str:
    action = _tag(kind)
    if action is None or name not in EVENT_FIELDS:
        return f"is unknown.{suggestion(name, _names(kind))}"
    takes = listed_fields([each for each in _names(kind) if each not in {"action", "version"}])
    return f"is not a field of {action}; {action} takes {takes}"


def _no_action(said: str, choices: list[str]) -> str:
    if said in set(Action) - set(REQUESTABLE):
        return f"{said} is automatic and cannot be requested"
    return _none_of(said, choices)


def _none_of(said: Any, choices: list[str]) -> str:
    near = suggestion(said, choices) if isinstance(said, str) else ""
    return f"is unknown.{near}" if "Did you mean" in near else f"must be one of {', '.join(choices)}"


_KINDS = {
    "string_": "must be text", "bool_": "must be true or false", "int_": "must be a whole number",
    "float_": "must be a number", "decimal_": "must be a number", "finite_": "must be a number",
    "model_": "must be an object", "dict_": "must be an object", "list_": "must be a list",
    "datetime_": "must be a time, as 2026-01-31T08:00:00Z", "date_": "must be a day, as 2026-01-31",
}  # fmt: skip
