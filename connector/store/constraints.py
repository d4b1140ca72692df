"""Columns and check constraints that several tables use."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from enum import StrEnum

from sqlalchemy import CheckConstraint, Column

from connector.model.transitions import TRANSITIONS
from connector.store.types import Exact


def one_of(column: str, values: Iterable[StrEnum]) -> CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


def at_most(lower: str, upper: str) -> CheckConstraint:
    # SQLite keeps exact numbers as text, which would compare as text.
    return CheckConstraint(f"CAST({lower} AS NUMERIC) <= CAST({upper} AS NUMERIC)", name=lower)


def transitions() -> CheckConstraint:
    """Check that an event keeps the stage or makes one of TRANSITIONS. The first event has no `stage_before`."""
    ways = ", ".join(f"'{before}>{after}'" for before, after in TRANSITIONS)
    return CheckConstraint(
        f"stage_before IS NULL OR stage_before = stage_after OR stage_before || '>' || stage_after IN ({ways})",
        name="transition",
    )


def amount(name: str) -> Column[Decimal]:
    return Column(name, Exact, nullable=False, server_default="0")
