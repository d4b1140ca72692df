"""Turn JSON values into stored values, and refuse what a field does not take with the platform's error codes.

Numbers arrive as int or Decimal and are rounded half up to the field's scale. Text is trimmed; empty text is null.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

from connector.localorg import ids
from connector.localorg.errors import Refusal, json_parser_error
from connector.localorg.schema import Field

StoredValue = str | int | float | None
Coercer = Callable[[Any], StoredValue]

_EMAIL = re.compile(r"[^@\s,;<>]+@[^@\s,;<>]+\.[^@\s,;<>.]+\Z")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}\Z", re.ASCII)
_DATETIME = re.compile(r"(\d{4}-\d{2}-\d{2})T(\d{2}:\d{2}(?::\d{2})?)(?:\.\d+)?(Z|[+-]\d{2}:?\d{2})\Z", re.ASCII)
_FIRST_YEAR, _LAST_YEAR = 1700, 4000


def format_timestamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")


def to_decimal(number: float | int | str | Decimal | None) -> Decimal:
    """Return the exact decimal of a stored REAL; 0 for null."""
    return Decimal(0) if number is None else Decimal(str(number))


def round_to(number: Decimal, scale: int) -> Decimal:
    return number.quantize(Decimal(1).scaleb(-scale), rounding=ROUND_HALF_UP)


def _json_token(value: Any) -> str:
    if isinstance(value, bool):
        return f"VALUE_{str(value).upper()} value {str(value).lower()}"
    if isinstance(value, dict):
        return "START_OBJECT"
    if isinstance(value, list):
        return "START_ARRAY"
    if isinstance(value, int):
        return f"VALUE_NUMBER_INT value {value}"
    if isinstance(value, Decimal | float):
        return f"VALUE_NUMBER_FLOAT value {value}"
    return f"VALUE_STRING value {value}"


def type_mismatch(type_name: str, value: Any) -> Refusal:
    return json_parser_error(
        f"Cannot deserialize instance of {type_name} from {_json_token(value)} or request may be missing a required"
        " field at [line:1, column:1]"
    )


def coercer(field: Field) -> Coercer:
    """Return the function that turns a JSON value into a stored value of this field."""
    match field.type:
        case "boolean":
            return _boolean(field)
        case "int" | "long":
            return _nullable(_integer(field))
        case "double" | "currency" | "percent":
            return _nullable(_number(field))
        case "date":
            return _nullable(_date)
        case "datetime":
            return _nullable(_datetime)
        case "time":
            return _nullable(_time)
        case "id" | "reference":
            return _nullable(_identifier(field))
        case "picklist" | "combobox":
            return _nullable(_picklist(field))
        case "multipicklist":
            return _nullable(_multipicklist(field))
        case "email":
            return _nullable(_email(field))
        case _:
            return _nullable(_text(field))


def _nullable(inner: Coercer) -> Coercer:
    def coerce(value: Any) -> StoredValue:
        return None if value is None or value == "" else inner(value)

    return coerce


def _boolean(field: Field) -> Coercer:
    def coerce(value: Any) -> StoredValue:
        if isinstance(value, bool):
            return int(value)
        if isinstance(value, str) and value.lower() in {"true", "false"}:
            return int(value.lower() == "true")
        if value is None:
            raise Refusal(
                "INVALID_TYPE_ON_FIELD_IN_RECORD",
                f"{field.label}: value not of required type: null",
                fields=[field.name],
            )
        raise type_mismatch("boolean", value)

    return coerce


def _out_of_range(field: Field, value: Any) -> Refusal:
    return Refusal(
        "NUMBER_OUTSIDE_VALID_RANGE",
        f"{field.label}: value outside of valid range on numeric field: {value}",
        fields=[field.name],
    )


def _decimal(value: Any, type_name: str) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        raise type_mismatch(type_name, value)
    try:
        number = Decimal(str(value))
    except InvalidOperation as error:
        raise type_mismatch(type_name, value) from error
    if not number.is_finite():
        raise type_mismatch(type_name, value)
    return number


def _number(field: Field) -> Coercer:
    scale = field.scale
    quantum = Decimal(1).scaleb(-scale)
    bound = Decimal(10) ** (field.precision - scale if field.precision else 18)
    type_name = "double" if field.type != "currency" else "currency"

    def coerce(value: Any) -> StoredValue:
        number = value if type(value) is Decimal and value.is_finite() else _decimal(value, type_name)
        if not -bound < number < bound:
            raise _out_of_range(field, value)
        rounded = number.quantize(quantum, rounding=ROUND_HALF_UP)
        if not -bound < rounded < bound:
            raise _out_of_range(field, value)
        return float(rounded)

    return coerce


def _integer(field: Field) -> Coercer:
    bound = 10 ** (field.digits or 9) if field.type == "int" else 2**63

    def coerce(value: Any) -> StoredValue:
        number = _decimal(value, field.type)
        if number != number.to_integral_value():
            raise type_mismatch(field.type, value)
        if not -bound < number < bound:
            raise _out_of_range(field, value)
        return int(number)

    return coerce


def _in_range(day: date) -> bool:
    return _FIRST_YEAR <= day.year <= _LAST_YEAR


def _date(value: Any) -> StoredValue:
    if not isinstance(value, str) or not _DATE.match(value):
        raise type_mismatch("date", value)
    try:
        day = date.fromisoformat(value)
    except ValueError as error:
        raise type_mismatch("date", value) from error
    if not _in_range(day):
        raise type_mismatch("date", value)
    return value


def _datetime(value: Any) -> StoredValue:
    match = _DATETIME.match(value) if isinstance(value, str) else None
    if match is None:
        raise type_mismatch("datetime", value)
    day, clock, zone = match.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}{'+00:00' if zone == 'Z' else zone}").astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise type_mismatch("datetime", value) from error
    if not _in_range(moment.date()):
        raise type_mismatch("datetime", value)
    return format_timestamp(moment)


def _time(value: Any) -> StoredValue:
    try:
        clock = time.fromisoformat(value.removesuffix("Z")) if isinstance(value, str) else None
    except ValueError:
        clock = None
    if clock is None:
        raise type_mismatch("time", value)
    return clock.strftime("%H:%M:%S.") + f"{clock.microsecond // 1000:03d}Z"


def wrong_type_id(field: Field, value: Any) -> Refusal:
    return Refusal("MALFORMED_ID", f"{field.label}: id value of incorrect type: {value}", fields=[field.name])


def _identifier(field: Field) -> Coercer:
    def coerce(value: Any) -> StoredValue:
        if not isinstance(value, str):
            raise type_mismatch("string", value)
        full = ids.normalize(value)
        if full is None:
            raise wrong_type_id(field, value)
        return full

    return coerce


def _text(field: Field) -> Coercer:
    limit = field.length

    def coerce(value: Any) -> StoredValue:
        if type(value) is str:
            text = value.strip()
        elif isinstance(value, bool):
            text = str(value).lower()
        elif isinstance(value, int | float | Decimal):
            text = str(value)
        else:
            raise type_mismatch("string", value)
        if limit and len(text) > limit:
            raise Refusal(
                "STRING_TOO_LONG",
                f"{field.label}: data value too large: {text} (max length={limit})",
                fields=[field.name],
            )
        if "\x00" in text or any("\ud800" <= char <= "\udfff" for char in text):
            raise Refusal(
                "INVALID_FIELD", f"{field.label}: text contains characters that cannot be stored", fields=[field.name]
            )
        return text or None

    return coerce


def _email(field: Field) -> Coercer:
    text = _text(field)

    def coerce(value: Any) -> StoredValue:
        address = text(value)
        if isinstance(address, str) and not _EMAIL.match(address):
            raise Refusal(
                "INVALID_EMAIL_ADDRESS", f"{field.label}: invalid email address: {address}", fields=[field.name]
            )
        return address

    return coerce


def _invalid_picklist_value(field: Field, value: str) -> Refusal:
    code = "INVALID_CURRENCY_ISO" if field.name == "CurrencyIsoCode" else "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"
    return Refusal(code, f"{field.label}: bad value for restricted picklist field: {value}", fields=[field.name])


def _picklist(field: Field) -> Coercer:
    text = _text(field)
    active_values = {item.value for item in field.picklist if item.active}

    def coerce(value: Any) -> StoredValue:
        chosen = text(value)
        if field.restricted_picklist and isinstance(chosen, str) and chosen not in active_values:
            raise _invalid_picklist_value(field, chosen)
        return chosen

    return coerce


def _multipicklist(field: Field) -> Coercer:
    text = _text(field)
    positions = {item.value: index for index, item in enumerate(field.picklist) if item.active}

    def coerce(value: Any) -> StoredValue:
        joined = text(value)
        if not isinstance(joined, str):
            return None
        chosen = list(dict.fromkeys(part.strip() for part in joined.split(";") if part.strip()))
        if field.restricted_picklist:
            for part in chosen:
                if part not in positions:
                    raise _invalid_picklist_value(field, part)
        chosen.sort(key=lambda part: positions.get(part, len(positions)))
        return ";".join(chosen) or None

    return coerce
