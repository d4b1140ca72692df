"""What a body, an option or a rules file says wrongly, in plain sentences: made of pydantic's errors, whose own words
are for programmers. Where a name is unknown, the closest one is named."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from connector.mapping.problems import suggestion

Place = tuple[int | str, ...]

VISIBLE = r"^[^\x00-\x1f\x7f]+$"
NO_NUL = r"^[^\x00]*$"
CURRENCY = r"^[A-Z]{3}$"
PATTERNS = {
    VISIBLE: "must be characters that can be seen",
    NO_NUL: "must not contain the character NUL",
    CURRENCY: "must be a currency code, as USD",
}
_KEY = "[key]"
_OF_ANOTHER_KIND = frozenset({"string_type", "model_type", "dict_type", "list_type"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Wrong:
    """`place` is where; `text` what, to follow the place in a sentence."""

    place: Place
    text: str

    @property
    def field(self) -> str:
        return ".".join(str(part) for part in self.place)

    def sentence(self, nowhere: str) -> str:
        """`lines.1: must be more than 0.`; what is wrong with the whole is said of `nowhere`."""
        return f"{self.field or nowhere}: {self.ended}"

    @property
    def ended(self) -> str:
        return self.text + ("" if self.text.endswith((".", "?")) else ".")


def wrongs(error: ValidationError, model: type[BaseModel]) -> list[Wrong]:
    """Everything that is wrong, in the order of the model."""
    found: dict[Place, list[tuple[str, str]]] = {}
    for item in error.errors(include_url=False):
        place, kind = _walked(model, item["loc"])
        found.setdefault(place, []).append((item["type"], _text(dict(item), kind, place)))
    return [Wrong(place=place, text=text) for place, said in found.items() for text in _fitting(found, place, said)]


def _fitting(found: dict[Place, list[tuple[str, str]]], place: Place, said: list[tuple[str, str]]) -> Iterator[str]:
    """Where one of several forms may stand, each says that it is not the one: only what the nearest one says helps."""
    inside = any(other != place and other[: len(place)] == place for other in found)
    alien = [text for kind, text in said if kind in _OF_ANOTHER_KIND]
    own = [text for kind, text in said if kind not in _OF_ANOTHER_KIND]
    yield from own
    if alien and not own and not inside:
        yield alien[0] + "".join(text.replace("must be", " or", 1) for text in alien[1:])


def _walked(model: type[BaseModel], place: Place) -> tuple[Place, Any]:
    """The place without the marks of pydantic's own, and what the names at its end are chosen from."""
    kind: Any = model
    walked: list[int | str] = []
    for part in place:
        if part == _KEY:
            continue
        forms = _forms(kind)
        if len(forms) > 1:
            named = next((form for form in forms if getattr(form, "__name__", "") == part), None)
            if named is not None or str(part).startswith("constrained-") or part in {"str", "int"}:
                kind = named
                continue
        walked.append(part)
        kind = next((inner for form in forms if (inner := _inner(form, part)) is not None), None)
    return tuple(walked), kind


def _forms(kind: Any) -> list[Any]:
    """What may stand somewhere, None aside."""
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if get_origin(kind) in {Union, UnionType}:
        return [form for item in get_args(kind) if item is not type(None) for form in _forms(item)]
    return [kind]


def _inner(kind: Any, part: int | str) -> Any:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        field = kind.model_fields.get(str(part))
        # An unknown name: what is left is what it could have been.
        return kind if field is None else field.annotation
    arguments: Sequence[Any] = get_args(kind)
    return arguments[-1] if arguments else None


def _names(kind: Any) -> list[str]:
    return list(kind.model_fields) if isinstance(kind, type) and issubclass(kind, BaseModel) else []


def _text(item: dict[str, Any], kind: Any, place: Place) -> str:
    context = item.get("ctx", {})
    match item["type"]:
        case "extra_forbidden":
            return f"is unknown.{suggestion(str(place[-1]), _names(kind))}"
        case "missing":
            return "is missing"
        case "enum" | "literal_error":
            choices = re.findall(r"'([^']*)'", context["expected"])
            return _close(item["input"], choices) or f"is none of {', '.join(choices)}"
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
            return f"must be less than {context['lt']}"
        case "less_than_equal":
            return f"must be at most {context['le']}"
        case "value_error":
            return str(context["error"]).removesuffix(".")
        case "timezone_aware":
            return "must name its time zone, as 2026-01-31T08:00:00Z"
        case other:
            return next((text for start, text in _KINDS.items() if other.startswith(start)), "cannot be used")


_KINDS = {
    "string_": "must be text", "bool_": "must be true or false", "int_": "must be a whole number",
    "float_": "must be a number", "decimal_": "must be a number", "finite_": "must be a number",
    "model_": "must be an object", "dict_": "must be an object", "list_": "must be a list",
    "datetime_": "must be a time, as 2026-01-31T08:00:00Z", "date_": "must be a day, as 2026-01-31",
}  # fmt: skip


def _close(said: Any, choices: list[str]) -> str:
    hint = suggestion(said, choices) if isinstance(said, str) else ""
    return f"is unknown.{hint}" if "Did you mean" in hint else ""
