"""The org as far as sending orders needs to know it: objects, statuses, standard price book, currencies,
record types."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from functools import cached_property

from connector.model.describe import FieldDescribe, RecordTypeDescribe, SObjectDescribe
from connector.model.record import IS_PERSON
from connector.outbound.preflight import MAX_DIGITS, round_to_field

DRAFT = "Draft"
ACTIVATED = "Activated"
"""Status categories (OrderStatus.StatusCode); the Status values behind them are the org's own."""

SOBJECTS = ("Account", "Product2", "Pricebook2", "PricebookEntry", "Order", "OrderItem")


@dataclass(frozen=True, kw_only=True)
class OrgProfile:
    """`statuses` maps a Status value to its category. `currencies` are the ISO codes that the org accepts, `decimals`
    the number of decimals of each. `person_types` are the IDs of Account's record types for persons, used or not."""

    org_id: str
    describes: Mapping[str, SObjectDescribe]
    statuses: Mapping[str, str]
    price_book: str
    currencies: frozenset[str]
    decimals: Mapping[str, int] = field(default_factory=dict)
    person_types: frozenset[str] = frozenset()

    @property
    def multi_currency(self) -> bool:
        return "CurrencyIsoCode" in self.describes["Order"].fields

    def category(self, status: object) -> str | None:
        """The category of a Status value; None if the org does not have the value."""
        return self.statuses.get(status) if isinstance(status, str) else None

    @property
    def draft_status(self) -> str:
        """A Status value of the Draft category; every org has one."""
        return next(value for value, category in self.statuses.items() if category == DRAFT)

    def round_amount(self, amount: Decimal, currency: str, field: FieldDescribe | None = None) -> Decimal:
        """`amount` rounded half up to the decimals of the currency in the org, and of `field`."""
        places = self.decimals.get(currency)
        if places is None or not amount.is_finite() or amount.adjusted() > MAX_DIGITS:
            return round_to_field(amount, field)
        return round_to_field(amount.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP), field)

    @cached_property
    def person_type(self) -> str | None:
        """The record type of new persons: the user's default if it is for persons, else the first by name.

        None if the org has no person accounts, or none for our user.
        """
        if IS_PERSON not in self.describes["Account"].fields:
            return None
        return _first(item for item in self._usable("Account") if item.id in self.person_types)

    @cached_property
    def company_type(self) -> str | None:
        """The record type that a new company must name.

        None if the default is for companies, or if there is no type for companies (`persons_only`).
        """
        types = self._usable("Account")
        if not self.person_types.intersection(item.id for item in types if item.default):
            return None
        return _first(item for item in types if item.id not in self.person_types)

    @property
    def persons_only(self) -> bool:
        """Whether our user can create only person accounts."""
        default = {item.id for item in self.describes["Account"].record_types if item.default}
        return bool(self.person_types & default) and self.company_type is None

    def record_type(self, sobject: str, name: str) -> str | None:
        """The ID of a record type by its developer name, if our user may use it; else None."""
        return next((item.id for item in self._usable(sobject) if item.name == name), None)

    def _usable(self, sobject: str) -> list[RecordTypeDescribe]:
        """The record types that a record can name. The master record type, which every object has, means
        naming none."""
        return [item for item in self.describes[sobject].record_types if item.usable and not item.master]


def _first(types: Iterable[RecordTypeDescribe]) -> str | None:
    """Defaults first, then by name."""
    ordered = sorted(types, key=lambda item: (not item.default, item.name))
    return ordered[0].id if ordered else None
