"""What this org is like, as far as sending orders needs it: objects, statuses, standard price book, currencies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from connector.model.describe import SObjectDescribe

DRAFT = "Draft"
ACTIVATED = "Activated"
"""Status categories (OrderStatus.StatusCode); the Status values behind them are the org's own."""

SOBJECTS = ("Account", "Product2", "Pricebook2", "PricebookEntry", "Order", "OrderItem")


@dataclass(frozen=True, kw_only=True)
class OrgFacts:
    """`statuses` maps a Status value to its category; `currencies` are the ISO codes the org can hold."""

    org_id: str
    describes: Mapping[str, SObjectDescribe]
    statuses: Mapping[str, str]
    price_book: str
    currencies: frozenset[str]

    @property
    def multi_currency(self) -> bool:
        return "CurrencyIsoCode" in self.describes["Order"].fields

    def category(self, status: object) -> str | None:
        """The category of a Status value; None for one the org does not have."""
        return self.statuses.get(status) if isinstance(status, str) else None

    @property
    def draft_status(self) -> str:
        """A Status value of the Draft category; every org has one."""
        return next(value for value, category in self.statuses.items() if category == DRAFT)
