"""Words of sentences that programs write: `1 order`, `2 orders`."""

from __future__ import annotations


def plural(count: int, noun: str, many: str = "") -> str:
    """`1 order`, `1,200 orders`; `many` is the plural if it is not the noun with an s."""
    return f"{count:,} {noun if count == 1 else many or noun + 's'}"
