"""Refuses orders that refer to unknown customers or products."""

from __future__ import annotations

from collections.abc import Sequence, Set

from sqlalchemy.ext.asyncio import AsyncConnection

from connector.errors import RetryClass, StoreError
from connector.store.sql import list_missing
from connector.store.tables import customers, products


class UnknownReferenceError(StoreError):
    """Orders refer to customers or products that are not stored; none of the orders was saved."""

    def __init__(self, customer_numbers: Sequence[str], skus: Sequence[str]) -> None:
        lists = [
            f"{what} {listed_keys(keys)}"
            for what, keys in (("customers", customer_numbers), ("products", skus))
            if keys
        ]
        super().__init__(
            f"Orders refer to unknown {' and unknown '.join(lists)}.",
            hint="Import them first, or correct the orders.",
            retry_class=RetryClass.DATA,
        )
        self.customers = tuple(customer_numbers)
        self.skus = tuple(skus)


async def refuse_unknown(connection: AsyncConnection, customer_numbers: Set[str], skus: Set[str]) -> None:
    """Raise UnknownReferenceError if one of these customers or products is not stored."""
    missing_customers = await list_missing(connection, customers.c.number, customer_numbers)
    missing_skus = await list_missing(connection, products.c.sku, skus)
    if missing_customers or missing_skus:
        raise UnknownReferenceError(missing_customers, missing_skus)


def listed_keys(keys: Sequence[str], most: int = 10) -> str:
    rest = len(keys) - most
    return ", ".join(keys[:most]) + (f" and {rest} more" if rest > 0 else "")
