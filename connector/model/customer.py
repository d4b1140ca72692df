"""A customer: who orders, where the invoice goes. Becomes an Account."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


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

    @property
    def key(self) -> str:
        return self.number

    @property
    def person(self) -> bool:
        """Whether it is a person rather than a company."""
        return self.last_name is not None
