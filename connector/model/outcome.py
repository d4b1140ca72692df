"""The outcome of a write, record by record, as the org reports it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Duplicates:
    """The match of a duplicate rule: the rule's developer name and the matching records (`sobject`, ID)."""

    rule: str
    records: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class RowError:
    """One error of one record: its errorCode (or statusCode), message and field names."""

    code: str
    message: str
    fields: tuple[str, ...] = ()
    duplicates: Duplicates | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """The outcome for one record. `id` is its 18-character Salesforce ID, None if the org gave none; `created` is None
    if the org did not say whether it created the record."""

    success: bool
    id: str | None = None
    created: bool | None = None
    errors: tuple[RowError, ...] = ()
