"""Choose the warehouses that send an order: as much as is available, by the criteria of the routing rules. PURE."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from itertools import combinations

from connector.model.shipments import ZERO
from connector.model.stock import StockKey, StockLevel
from connector.orders.policy.rules import Routing

Needs = Mapping[int, tuple[str, Decimal]]
"""SKU and quantity by line number."""

Places = Mapping[str, Sequence[StockKey]]
"""The places in stock of each product."""

MAX_COMPARED_WAREHOUSES = 6
"""Up to this number of warehouses all combinations are compared; with more, the one that adds most is chosen
repeatedly."""


def index_places(levels: Iterable[StockKey]) -> Places:
    """Return the places of each product. Build this once for many orders."""
    places: dict[str, list[StockKey]] = {}
    for place in levels:
        places.setdefault(place[0], []).append(place)
    return places


def choose_sources(
    needs: Needs, levels: Mapping[StockKey, StockLevel], rule: Routing | None = None, places: Places | None = None
) -> dict[tuple[int, str], Decimal]:
    """Return the quantity by line and warehouse. A quantity that no warehouse has is left out (a backorder)."""
    rule = rule or Routing()
    wanted: dict[str, Decimal] = {}
    for sku, quantity in needs.values():
        if quantity > 0:
            wanted[sku] = wanted.get(sku, ZERO) + quantity
    if not wanted:
        return {}
    places = index_places(levels) if places is None else places
    there = ((place, levels[place].available) for sku in wanted for place in places.get(sku, ()))
    free = {place: available for place, available in there if available > 0}
    offers: dict[str, dict[str, Decimal]] = {}
    for (sku, warehouse), quantity in free.items():
        offers.setdefault(warehouse, {})[sku] = quantity
    if not offers:
        return {}
    chosen = _choose_warehouses(wanted, offers, levels, rule)
    return _divide_among(needs, free, chosen, rule)


def _choose_warehouses(
    wanted: Mapping[str, Decimal],
    offers: Mapping[str, Mapping[str, Decimal]],
    levels: Mapping[StockKey, StockLevel],
    rule: Routing,
) -> tuple[str, ...]:
    """Return the warehouses that together can send as much as all could, with the best score."""
    most = _sendable_quantity(wanted, list(offers.values()))
    if len(offers) > MAX_COMPARED_WAREHOUSES:
        return _add_until_enough(wanted, offers, most)

    def score(group: tuple[str, ...]) -> tuple[object, ...]:
        values: dict[str, object] = {
            "shipments": len(group),
            "cost": sum((rule.cost.get(name, ZERO) for name in group), ZERO),
            "age": _oldest_arrival(group, wanted, levels),
        }
        return (*(values[criterion] for criterion in rule.criteria), len(group), group)

    best: tuple[tuple[object, ...], tuple[str, ...]] | None = None
    for group in _combinations(sorted(offers)):
        if best is not None and rule.criteria[0] == "shipments" and len(group) > len(best[1]):
            break
        if _sendable_quantity(wanted, [offers[name] for name in group]) == most:
            scored = (score(group), group)
            best = scored if best is None else min(best, scored)
    return best[1] if best else ()


def _add_until_enough(
    wanted: Mapping[str, Decimal], offers: Mapping[str, Mapping[str, Decimal]], most: Decimal
) -> tuple[str, ...]:
    group: list[str] = []
    sent = ZERO
    while sent < most:  # bounded: each round adds a warehouse
        tries = {
            name: _sendable_quantity(wanted, [offers[other] for other in (*group, name)])
            for name in sorted(offers)
            if name not in group
        }
        best = max(tries, key=lambda name: tries[name])
        group.append(best)
        sent = tries[best]
    return tuple(group)


def _combinations(names: list[str]) -> Iterator[tuple[str, ...]]:
    for size in range(1, len(names) + 1):
        yield from combinations(names, size)


def _sendable_quantity(wanted: Mapping[str, Decimal], offers: list[Mapping[str, Decimal]]) -> Decimal:
    return sum(
        (min(quantity, sum((offer.get(sku, ZERO) for offer in offers), ZERO)) for sku, quantity in wanted.items()),
        ZERO,
    )


def _oldest_arrival(
    group: tuple[str, ...], wanted: Mapping[str, Decimal], levels: Mapping[StockKey, StockLevel]
) -> int:
    """Return the day (as an ordinal) on which their oldest stock arrived; older stock should leave first."""
    there = (levels.get((sku, name)) for sku in wanted for name in group)
    return min(((level.since or date.max).toordinal() for level in there if level), default=date.max.toordinal())


def _divide_among(
    needs: Needs, free: dict[StockKey, Decimal], chosen: tuple[str, ...], rule: Routing
) -> dict[tuple[int, str], Decimal]:
    """Divide each line among as few of the chosen warehouses as possible; lines of one product share its stock."""
    allocations: dict[tuple[int, str], Decimal] = {}
    for line, (sku, wanted) in sorted(needs.items()):
        remaining = wanted

        def preference(name: str, sku: str = sku, remaining: Decimal = remaining) -> tuple[object, ...]:
            there = free.get((sku, name), ZERO)
            return (there < remaining, -there if there < remaining else rule.cost.get(name, ZERO), name)

        for name in sorted(chosen, key=preference):
            quantity = min(remaining, free.get((sku, name), ZERO))
            if quantity > 0:
                allocations[line, name] = quantity
                free[sku, name] -= quantity
                remaining -= quantity
    return allocations
