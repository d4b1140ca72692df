"""Compares one record with the entity that it belongs to, as the mapping would send it. PURE."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from connector.inbound.merge import Decision, FieldVersions, MergeContext, decide
from connector.mapping.backward import UnreadableValueError
from connector.mapping.compiler import ABSENT, compile_field, compile_lookup
from connector.mapping.person_accounts import PERSON
from connector.mapping.spec import Owner, RecordSpec
from connector.model.describe import SObjectDescribe
from connector.model.field_equality import same_value
from connector.model.reconciliation import FieldDifference, Healing
from connector.model.record import FieldValue, Link, Lookup

_STATUS = "Status"
CURRENCY = "CurrencyIsoCode"
"""Of an order in an org with several currencies; it is sent although no mapping names it."""

Resolve = Callable[[Lookup], str | None]
"""The record ID of what a lookup refers to; None if it has none, or is not compared."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparisonRules:
    """What is compared otherwise than by its value and owner: fields that never change after creation (`ignored`), and
    fields that only the push sets (`unmerged`), by object and field. Of `edited` fields of a line the later change
    counts, whoever made it. `categories` are those of the values of Order.Status: the org's may be ahead."""

    ignored: frozenset[str] = frozenset()
    categories: Mapping[str, str] = field(default_factory=dict)
    edited: frozenset[str] = frozenset()
    unmerged: frozenset[tuple[str, str]] = frozenset({("Order", "Status")})


class RecordComparison:
    """How the records of one mapped object are compared."""

    def __init__(self, spec: RecordSpec, describe: SObjectDescribe, rules: ComparisonRules, *, merged: bool) -> None:
        """`merged`: inbound sync merges its fields; otherwise all of them are ours."""
        self.spec = spec
        self._describe = describe
        self._owners = {
            field.name: Owner.NEWEST if field.name in rules.edited else field.owner for field in spec.fields
        }
        names = [field for field in spec.fields if field.name in describe.fields and field.name not in rules.ignored]
        self._fields = tuple((field.name, compile_field(field), describe.fields[field.name]) for field in names)
        self._lookups = tuple(
            (lookup.name, compile_lookup(lookup))
            for lookup in spec.lookups
            if lookup.name in describe.fields and lookup.name not in rules.ignored and lookup.entity != "price_book"
        )
        self._categories = rules.categories if spec.sobject == "Order" else {}
        self._has_currency = CURRENCY in describe.fields and spec.entity in {"order", "return"}
        self._merged = frozenset(
            field.name for field in names if merged and (spec.sobject, field.name) not in rules.unmerged
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """The fields that are read from the org."""
        currency = (CURRENCY,) if self._has_currency else ()
        names = [*(name for name, _, _ in self._fields), *(name for name, _ in self._lookups), *currency]
        return tuple(dict.fromkeys([self.spec.external_id, *names]))

    def is_merged(self, name: str) -> bool:
        """Whether inbound sync merges this field. Otherwise it is ours, and the push alone sets it."""
        return name in self._merged

    def differences(
        self, entity: Any, remote: Mapping[str, FieldValue], resolve: Resolve
    ) -> dict[str, tuple[FieldValue, FieldValue]]:
        """Our value and the org's, by field, of those that differ. UnreadableValueError if a value here cannot be
        mapped."""
        differing: dict[str, tuple[FieldValue, FieldValue]] = {}
        for name, get, describe in self._fields:
            try:
                local = get(entity)
            except Exception as error:  # whatever a transform or an expression raises on an unsuitable value
                raise UnreadableValueError(
                    f"{name} cannot be computed from the value here ({type(error).__name__})"
                ) from error
            theirs = remote.get(name)
            if local is ABSENT or local == theirs or same_value(local, theirs, describe):
                continue
            if not (name == _STATUS and self._is_ahead(local, theirs)):
                differing[name] = (local, theirs)
        for name, find in self._lookups:
            lookup = find(entity)
            local = None if lookup is None else resolve(lookup)
            if local is not None and not same_value(local, remote.get(name), self._describe.fields[name]):
                differing[name] = (local, remote.get(name))
        if self._has_currency and entity.currency != remote.get(CURRENCY):
            differing[CURRENCY] = (entity.currency, remote.get(CURRENCY))
        return differing

    def _is_ahead(self, local: FieldValue, remote: FieldValue) -> bool:
        """Whether somebody activated the order in the org before it was confirmed here. A push leaves that as it is."""
        ours, theirs = self._categories.get(str(local)), self._categories.get(str(remote))
        return (ours, theirs) == ("Draft", "Activated")

    def explain(
        self,
        differing: Mapping[str, tuple[FieldValue, FieldValue]],
        link: Link,
        context: MergeContext,
    ) -> tuple[FieldDifference, ...]:
        """The differences with what both sides agreed on, and which way each would be healed."""
        found: list[FieldDifference] = []
        for name, (local, remote) in differing.items():
            owner = self._owners.get(name, Owner.LOCAL) if self.is_merged(name) else Owner.LOCAL
            versions = FieldVersions(
                name=name,
                owner=owner,
                base=link.snapshot.get(name),
                local=local,
                remote=remote,
                has_base=name in link.snapshot,
            )
            found.append(
                FieldDifference(
                    field=name,
                    owner=owner.value,
                    base=versions.base,
                    local=local,
                    remote=remote,
                    has_base=versions.has_base,
                    healing=_healing(versions, context),
                )
            )
        return tuple(found)


def _healing(versions: FieldVersions, context: MergeContext) -> Healing:
    match decide(versions, context):
        case Decision.TAKE:
            return Healing.TAKE
        case Decision.CONFLICT:
            return Healing.ASK
        case Decision.KEEP if versions.owner is Owner.SALESFORCE:
            return Healing.TAKE
        case _:
            return Healing.PUSH


def resolve_fixed(lookup: Lookup, record_type: Callable[[str], str | None]) -> str | None:
    """The record type that a lookup names. Any type for persons is right for a person."""
    return None if lookup.key == PERSON else record_type(lookup.key)


def columns_of(comparisons: Sequence[RecordComparison]) -> tuple[str, ...]:
    """The fields that several comparisons of one object read."""
    return tuple(dict.fromkeys(name for comparison in comparisons for name in comparison.columns))
