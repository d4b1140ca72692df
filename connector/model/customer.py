"""A customer: who orders, where the invoice goes. Becomes an Account."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any


def whole_name(first: str | None, last: str | None) -> str:
    return " ".join(part for part in (first, last) if part)


@dataclass(frozen=True, kw_only=True, slots=True)
class Customer:
    """`number` is the company's own customer number and the Account's external ID. A person has a `last_name`; its
    `name` is then the whole name. `tier` is a rank of ours (`gold`), `credit_limit` in the company's currency."""

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

    @classmethod
    def named_by_order(cls, *, number: str, name: str | None = None, **others: Any) -> Customer:
        """A customer as somebody told it, who need not have told a name: then it is called by first and last name, else
        by its number."""
        given: dict[str, Any] = {
            key: (value.strip() or None) if isinstance(value, str) else value for key, value in others.items()
        }
        whole = whole_name(given.get("first_name"), given.get("last_name"))
        return cls(number=number, name=(name or "").strip() or whole or number, **given)

    def updated_from_order(self, **changes: Any) -> Customer:
        """The same with `changes`. A name that nobody told follows those that it was made of; an empty one is none."""
        own = None if self.name in {whole_name(self.first_name, self.last_name), self.number} else self.name
        return Customer.named_by_order(**{**asdict(self), "name": own, **changes})

    @property
    def key(self) -> str:
        return self.number

    @property
    def person(self) -> bool:
        """Whether it is a person rather than a company."""
        return self.last_name is not None
