"""Which warehouse sends what: as few shipments as possible, and only what is there. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from connector.model.progress import ZERO

Needs = Mapping[int, tuple[str, Decimal]]
"""SKU and quantity by line number."""


def route(needs: Needs, available: Mapping[tuple[str, str], Decimal]) -> dict[tuple[int, str], Decimal]:
    """Quantity by line and warehouse, `available` being what is free by SKU and warehouse.

    The warehouse that can send the most of what is still needed goes first, by name where two can send the same; what
    no warehouse has is left out (a back-order).
    """
    free = {place: quantity for place, quantity in available.items() if quantity > 0}
    needed = {line: need for line, need in needs.items() if need[1] > 0}
    chosen: dict[tuple[int, str], Decimal] = {}
    for _ in range(len({warehouse for _, warehouse in free})):
        offers = {
            warehouse: _offer(warehouse, needed, free) for warehouse in sorted({warehouse for _, warehouse in free})
        }
        best = max(offers, key=lambda name: sum(offers[name].values(), ZERO), default=None)
        if best is None or not offers[best]:
            break
        for line, quantity in offers[best].items():
            sku, wanted = needed[line]
            chosen[line, best] = quantity
            free[sku, best] -= quantity
            needed[line] = (sku, wanted - quantity)
        needed = {line: need for line, need in needed.items() if need[1] > 0}
        free = {place: quantity for place, quantity in free.items() if place[1] != best}
    return chosen


def _offer(warehouse: str, needed: Needs, free: Mapping[tuple[str, str], Decimal]) -> dict[int, Decimal]:
    """What one warehouse can send, by line; two lines of one product share what is there."""
    left: dict[str, Decimal] = {}
    offer: dict[int, Decimal] = {}
    for line, (sku, wanted) in sorted(needed.items()):
        there = left.get(sku, free.get((sku, warehouse), ZERO))
        quantity = min(wanted, there)
        left[sku] = there - quantity
        if quantity > 0:
            offer[line] = quantity
    return offer
