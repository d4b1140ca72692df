"""Settings of an org: order features, statuses, record types, rules, currencies. A seed file has the same keys."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    from pydantic import TypeAdapter

SeedPath = tuple[str | int, ...]
"""A position in a seed file: keys and list indexes from the top."""


UserPermission = Literal["ActivateOrder", "EditActivatedOrders", "BulkApiHardDelete"]
"""The user permissions that the org checks."""

LACKED_BY_EVERY_PROFILE: tuple[UserPermission, ...] = ("BulkApiHardDelete",)


class SeedError(ValueError):
    """Settings that contradict themselves or the org. `problems` are pairs of a position and a message."""

    def __init__(self, problems: list[tuple[SeedPath, str]]) -> None:
        super().__init__("; ".join(f"{'.'.join(map(str, index))}: {problem}" for index, problem in problems))
        self.problems = problems


class StrictKeys:
    """Unknown keys of a seed file are errors."""

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}


@dataclass(frozen=True, kw_only=True)
class OrderStatusValue(StrictKeys):
    """A value of Order.Status; its category is the StatusCode."""

    name: str
    category: Literal["Draft", "Activated"]


@dataclass(frozen=True, kw_only=True)
class RecordType(StrictKeys):
    name: str
    label: str = ""
    default: bool = False
    person: bool = False  # of person accounts
    available: bool = True  # to the user who signs in


@dataclass(frozen=True, kw_only=True)
class Currency(StrictKeys):
    rate: float = 1.0  # units for one of the corporate currency
    decimal_places: int = 2
    active: bool = True


@dataclass(frozen=True, kw_only=True)
class ValidationRule(StrictKeys):
    """A row is refused if the condition, a WHERE clause of SOQL, holds for it."""

    name: str
    sobject: str
    condition: str
    message: str
    field: str | None = None


@dataclass(frozen=True, kw_only=True)
class Trigger(StrictKeys):
    """Values that the org sets in every row written, as a before-save flow does; only where the condition holds."""

    name: str
    sobject: str
    set: dict[str, str | int | float | bool | None]
    condition: str = ""  # a WHERE clause of SOQL


@dataclass(frozen=True, kw_only=True)
class DuplicateRule(StrictKeys):
    """A row is a duplicate if all these fields are set and equal those of another row. Text ignores case."""

    name: str
    sobject: str
    match: list[str]
    action: Literal["alert", "block"] = "alert"
    message: str = "Use one of these records?"


@dataclass(kw_only=True)
class Country(StrictKeys):
    """A country of the state and country picklists: its code, and the codes of its states by their labels."""

    code: str
    states: dict[str, str] = field(default_factory=dict)


@dataclass(kw_only=True)
class OrgSettings(StrictKeys):
    """The settings of an org. Defaults are a developer org with orders, reduction orders and return orders enabled."""

    currency: str = "USD"
    currencies: dict[str, Currency] = field(default_factory=dict)  # empty: an org with one currency
    orders: bool = True
    reduction_orders: bool = True
    return_orders: bool = True
    negative_quantity: bool = False
    zero_quantity: bool = False
    enhanced_commerce_orders: bool = False
    profile_lacks: list[UserPermission] = field(default_factory=list)  # a permission set can still grant them
    order_statuses: list[OrderStatusValue] = field(default_factory=list)
    person_accounts: bool = False
    record_types: dict[str, list[RecordType]] = field(default_factory=dict)
    validation_rules: list[ValidationRule] = field(default_factory=list)
    duplicate_rules: list[DuplicateRule] = field(default_factory=list)
    triggers: list[Trigger] = field(default_factory=list)
    countries: dict[str, Country] = field(default_factory=dict)  # by label; empty: addresses take any text
    api_limit: int = 1_000_000
    token_seconds: int = 7200

    def __post_init__(self) -> None:
        if self.person_accounts:
            types = self.record_types.setdefault("Account", [])
            if not any(not item.person for item in types):
                types.insert(0, RecordType(name="Business_Account", label="Business Account", default=not types))
            if not any(item.person for item in types):
                types.append(RecordType(name="PersonAccount", label="Person Account", person=True))

    @property
    def multi_currency(self) -> bool:
        return bool(self.currencies)


@cache
def _settings_type() -> TypeAdapter[OrgSettings]:
    from pydantic import TypeAdapter  # slow to import

    return TypeAdapter(OrgSettings)


def dump_settings(settings: OrgSettings) -> str:
    """Return the settings as JSON, for `load_settings`."""
    return _settings_type().dump_json(settings).decode()


def load_settings(text: str) -> OrgSettings:
    return _settings_type().validate_json(text)


def contradictions(settings: OrgSettings, before: OrgSettings | None) -> Iterator[tuple[SeedPath, str]]:
    """Yield what is wrong with settings by themselves, or compared with those before."""
    if settings.currencies and settings.currency not in settings.currencies:
        yield ("currencies",), f"the org's own currency, {settings.currency}, is missing: add it, or set currency"
    for code, currency in settings.currencies.items():
        if not (len(code) == 3 and code.isascii() and code.isupper()):
            yield ("currencies", code), "must be a three-letter currency code, such as EUR"
        if code == settings.currency and not currency.active:
            yield ("currencies", code), "is the org's own currency: it must be active"
        if currency.rate <= 0 or not 0 <= currency.decimal_places <= 6:
            yield ("currencies", code), "must have a rate above 0 and between 0 and 6 decimal places"
    if settings.order_statuses:
        yield from _check_statuses(settings.order_statuses)
    for label, country in settings.countries.items():
        if re.fullmatch(r"[A-Z]{2}", country.code, re.ASCII) is None:
            yield ("countries", label, "code"), "must be a code of two letters, such as DE"
    for sobject, types in settings.record_types.items():
        yield from _check_record_types(sobject, types, person_accounts=settings.person_accounts)
    if before is not None and before.person_accounts and not settings.person_accounts:
        yield ("person_accounts",), "cannot be disabled: the org has person accounts already"
    if before is not None and before.currencies and before.currencies.keys() - settings.currencies.keys():
        removed = ", ".join(sorted(before.currencies.keys() - settings.currencies.keys()))
        yield ("currencies",), f"cannot be removed: {removed}"


def _check_statuses(statuses: list[OrderStatusValue]) -> Iterator[tuple[SeedPath, str]]:
    names = [item.name.lower() for item in statuses]
    for index, name in enumerate(names):
        if name in names[:index]:
            yield ("order_statuses", index, "name"), f"{statuses[index].name} occurs twice"
    for category in ("Draft", "Activated"):
        if not any(item.category == category for item in statuses):
            yield ("order_statuses",), f"must have a status of category {category}"


def _check_record_types(
    sobject: str, types: list[RecordType], *, person_accounts: bool
) -> Iterator[tuple[SeedPath, str]]:
    names = [item.name.lower() for item in types]
    for index, item in enumerate(types):
        where: SeedPath = ("record_types", sobject, index)
        if names[index] in names[:index]:
            yield (*where, "name"), f"{item.name} occurs twice"
        if item.person and not (person_accounts and sobject == "Account"):
            yield (*where, "person"), "is only allowed for record types of Account, with person_accounts: true"
        if item.default and not item.available:
            yield (*where, "available"), "must be true for the default record type"
    if sum(item.default for item in types) > 1:
        yield ("record_types", sobject), "must have only one default"
