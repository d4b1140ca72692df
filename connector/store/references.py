"""The error for orders that refer to unknown customers or products."""

from __future__ import annotations

from collections.abc import Sequence

from connector.errors import RetryClass, StoreError


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


def listed_keys(keys: Sequence[str], most: int = 10) -> str:
    rest = len(keys) - most
    return ", ".join(keys[:most]) + (f" and {rest} more" if rest > 0 else "")
