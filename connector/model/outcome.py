"""What became of one record of a write: the org answers per row, and so do we."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Duplicates:
    """What a duplicate rule of the org found: its developer name, and the records (`sobject`, ID) that are alike."""

    rule: str
    records: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class RowError:
    """One error of the org for one row: its errorCode (or statusCode), message and field names."""

    code: str
    message: str
    fields: tuple[str, ...] = ()
    duplicates: Duplicates | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """`id` is the 18-character Salesforce ID where the org named one; `created` is None where it did not say."""

    success: bool
    id: str | None = None
    created: bool | None = None
    errors: tuple[RowError, ...] = ()
