"""A customer: who orders, where the invoice goes. Becomes an Account."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Customer:
    """`number` is the company's own customer number and the Account's external ID."""

    number: str
    name: str
    email: str | None = None
    phone: str | None = None
    street: str | None = None
    city: str | None = None
    state: str | None = None
    postal_code: str | None = None
    country: str | None = None

    @property
    def key(self) -> str:
        return self.number
