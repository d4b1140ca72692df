"""Compiles the way back of a mapped field: from the value in the org to the attribute here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from connector.mapping.spec import FieldSpec, Owner, RecordSpec, ValueTable
from connector.mapping.transforms import to_text
from connector.mapping.types import Kind, as_utc
from connector.model.record import FieldValue

Reader = Callable[[FieldValue], Any]


class UnreadableValueError(ValueError):
    """A value that cannot be taken. The text says why, without the value, which may be about a person: it is stored and
    shown where the value itself is not. Only a value that should be in a value table is named, cut to 40 characters: it
    is a word of a list. `fix`: what an admin of the connector can do."""

    def __init__(self, text: str, fix: str = "") -> None:
        super().__init__(text)
        self.fix = fix


@dataclass(frozen=True, kw_only=True, slots=True)
class ReceivedField:
    """A field that the org may change: its value there becomes the attribute `attribute` here, through `read`.

    `read` raises UnreadableValueError for a value that does not suit.
    """

    spec: FieldSpec
    attribute: str
    read: Reader


def received_fields(record: RecordSpec) -> tuple[ReceivedField, ...]:
    """The fields of an object that the org owns, alone or with us, in the order of the file."""
    return tuple(
        ReceivedField(spec=spec, attribute=spec.path.text, read=compile_backward(spec))
        for spec in record.fields
        if spec.owner is not Owner.LOCAL and spec.path is not None
    )


def compile_backward(spec: FieldSpec) -> Reader:
    """The function from the org's value to ours: the value table or the wire form, then the transforms, backward.

    The parser has checked that there is a way back (`EntryReader`). Null and empty text become None.
    """
    assert spec.path is not None
    steps: list[Callable[[Any], Any]] = []
    kind = spec.transforms[-1].yields if spec.transforms else spec.path.kind
    if spec.values is not None:
        steps.append(_table_backward(spec.values))
    steps.append(_from_wire(kind))
    steps += [transform.backward for transform in reversed(spec.transforms) if transform.backward is not None]
    if spec.transforms:
        steps.append(_from_wire(spec.path.kind))
    if spec.path.choices:
        steps.append(_among(spec.path.choices))

    def read(value: FieldValue) -> Any:
        if value is None or value == "":
            return None
        result: Any = value
        try:
            for step in steps:
                result = step(result)
        except UnreadableValueError:
            raise
        except (ValueError, TypeError, InvalidOperation) as error:
            names = ", ".join(transform.name for transform in spec.transforms)
            how = f" that `transform: {names}` can turn back" if names else ""
            raise UnreadableValueError(f"the value is not a {kind}{how}") from error
        return result

    return read


def inverse_rows(table: ValueTable) -> Mapping[str, str]:
    """Our text by the org's value as text. ValueError names a value that two rows share, or the row for every other
    value: neither has a way back."""
    inverse: dict[str, str] = {}
    for ours, row in table.rows.items():
        if row.value is None:
            continue
        if table.other_values is row:
            raise ValueError(f"`{to_text(row.value)}` stands for every other value")
        theirs = to_text(row.value)
        if theirs in inverse:
            raise ValueError(f"`{theirs}` stands for both `{inverse[theirs]}` and `{ours}`")
        inverse[theirs] = ours
    return inverse


def _table_backward(table: ValueTable) -> Callable[[Any], str]:
    inverse = inverse_rows(table)
    folded = {theirs.casefold(): ours for theirs, ours in inverse.items()}

    def backward(value: Any) -> str:
        text = to_text(value)
        ours = inverse.get(text) or folded.get(
            text.casefold()
        )  # an admin may have changed the case of a picklist value
        if ours is None:
            raise UnreadableValueError(
                f"the value {text[:40]!r} is not in the value table `{table.name}`",
                f"Add a row for it to the value table `{table.name}`, or correct the value in the org; then"
                " `connector inbox replay`.",
            )
        return ours

    return backward


def _among(choices: tuple[str, ...]) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if value not in choices:
            raise UnreadableValueError(f"the value is not one of {', '.join(choices)}")
        return str(value)

    return check


def _from_wire(kind: Kind) -> Callable[[Any], Any]:
    """The conversion from a JSON value, or from the text of a value table, to the Python value of `kind`."""
    match kind:
        case Kind.TEXT:
            return to_text
        case Kind.BOOLEAN:
            return _boolean
        case Kind.INTEGER:
            return _integer
        case Kind.DECIMAL:
            return lambda value: value if isinstance(value, Decimal) else Decimal(str(value))
        case Kind.DATE:
            return lambda value: value if isinstance(value, date) else date.fromisoformat(str(value)[:10])
        case Kind.DATETIME:
            return lambda value: as_utc(value if isinstance(value, datetime) else datetime.fromisoformat(value))
        case Kind.ANY:
            return lambda value: value


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if value in {"true", "false"}:
        return bool(value == "true")
    raise ValueError("it is neither true nor false")


def _integer(value: Any) -> int:
    number = Decimal(str(value))
    if number != number.to_integral_value():
        raise ValueError("it has a fraction")
    return int(number)
