"""Which org a customer's account is in, as a condition of a query."""

from __future__ import annotations

from sqlalchemy import ColumnElement, exists, true

from connector.model.change import EntityKind
from connector.store.scope import DEFAULT
from connector.store.tables import customer_orgs, customers, orders

CUSTOMER_OF = {EntityKind.CUSTOMER: customers.c.number, EntityKind.ORDER: orders.c.customer}
"""The customer of an entity; a product has none, and is in every org."""


def belongs_to(org: str | None, customer: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether the account of the customer is in the org of this name; None: in any."""
    if org is None:
        return true()
    assigned = exists().where(customer_orgs.c.customer == customer)
    return assigned.where(customer_orgs.c.org == org) if org != DEFAULT else ~assigned
