"""A customer, who orders and gets the invoice. Becomes an Account in the org."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

PERSONAL = frozenset(
    {"name", "email", "phone", "street", "city", "state", "postal_code", "country", "first_name", "last_name"}
)
"""Attributes that are personal data."""


def full_name(first: str | None, last: str | None) -> str:
    return " ".join(part for part in (first, last) if part)


@dataclass(frozen=True, kw_only=True, slots=True)
class Customer:
    """A company or a person.

    `number` is our customer number and the external ID of the Account. Only a person has a `last_name`; its `name` is
    then the full name. `tier` is our own rank (`gold`); `credit_limit` is in the company's currency;
    `payment_terms` are those agreed with the customer (`30 days net`).
    """

    number: str
    name: str
    email: str | None = None
    phone: str | None = None
    street: str | None = None
    city: str | None = None
    state: str | None = None
    postal_code: str | None = None
    country: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    tier: str | None = None
    credit_limit: Decimal | None = None
    payment_terms: str | None = None

    @classmethod
    def named_by_order(cls, *, number: str, name: str | None = None, **others: Any) -> Customer:
        """Build a customer from the values of an order or an import. Without a name it is named by its first and last
        name, else by its number."""
        given: dict[str, Any] = {
            key: (value.strip() or None) if isinstance(value, str) else value for key, value in others.items()
        }
        fallback = full_name(given.get("first_name"), given.get("last_name"))
        return cls(number=number, name=(name or "").strip() or fallback or number, **given)

    def updated_from_order(self, **changes: Any) -> Customer:
        """Return the customer with `changes`. A name that was made of other fields is made again from their new values;
        an empty name counts as none."""
        own = None if self.name in {full_name(self.first_name, self.last_name), self.number} else self.name
        return Customer.named_by_order(**{**asdict(self), "name": own, **changes})

    @property
    def key(self) -> str:
        return self.number

    @property
    def person(self) -> bool:
        """Whether this is a person, not a company."""
        return self.last_name is not None
