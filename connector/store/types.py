"""Column types with the same meaning in both databases: exact decimals, UTC instants, keys in byte order."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from sqlalchemy import BigInteger, DateTime, Dialect, Integer, Numeric, Text
from sqlalchemy.types import TypeDecorator, TypeEngine

Key = Text().with_variant(Text(collation="C"), "postgresql")
"""A business key. PostgreSQL sorts it by byte, as SQLite does, independent of the server's locale, so that sorted keys
can be compared across databases."""

Serial = BigInteger().with_variant(Integer(), "sqlite")
"""A number assigned by the database. SQLite assigns one only to a column of type INTEGER."""


class Exact(TypeDecorator[Decimal]):
    """A finite Decimal with all its digits. SQLite has no exact numeric type, so it stores text."""

    impl = Numeric
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(Text() if dialect.name == "sqlite" else Numeric(asdecimal=True))

    def bind_processor(self, dialect: Dialect) -> Callable[[Decimal | None], Any]:
        return _as_text if dialect.name == "sqlite" else _checked

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Decimal | None]:
        return _as_decimal


# Plain functions instead of process_bind_param and process_result_value: those cost another call for each value, and an
# order line has ten values.
def _checked(value: Decimal | None) -> Decimal | None:
    if value is not None and not value.is_finite():
        raise ValueError(f"{value} is not an amount")
    return value


def _as_text(value: Decimal | None) -> str | None:
    return None if _checked(value) is None else f"{value:f}"


def _as_decimal(value: Any) -> Decimal | None:
    return _parsed(value) if isinstance(value, str) else value


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Decimal:
    """Quantities and prices repeat, and one object for all equal texts takes less memory and time."""
    return Decimal(text)


class Instant(TypeDecorator[datetime]):
    """A timezone-aware time in UTC, with microseconds. SQLite stores it as ISO text of fixed width, which sorts."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(Text() if dialect.name == "sqlite" else DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone")
        moment = value.astimezone(UTC)
        return moment.isoformat(timespec="microseconds") if dialect.name == "sqlite" else moment

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        moment: datetime = datetime.fromisoformat(value) if dialect.name == "sqlite" else value
        return moment.astimezone(UTC)
