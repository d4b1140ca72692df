"""Which warehouses send an order: all that is there, in the way that the rules like best. PURE."""

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
"""Where each product lies."""

MOST_COMPARED = 6
"""Warehouses of which every combination is looked at; of more, the one that adds most is taken until it is enough."""


def places_of(levels: Iterable[StockKey]) -> Places:
    """Where each product lies; made once for many orders."""
    found: dict[str, list[StockKey]] = {}
    for place in levels:
        found.setdefault(place[0], []).append(place)
    return found


def choose_sources(
    needs: Needs, levels: Mapping[StockKey, StockLevel], rule: Routing | None = None, places: Places | None = None
) -> dict[tuple[int, str], Decimal]:
    """Quantity by line and warehouse. What no warehouse has is left out (a back-order)."""
    rule = rule or Routing()
    wanted: dict[str, Decimal] = {}
    for sku, quantity in needs.values():
        if quantity > 0:
            wanted[sku] = wanted.get(sku, ZERO) + quantity
    if not wanted:
        return {}
    places = places_of(levels) if places is None else places
    there = ((place, levels[place].available) for sku in wanted for place in places.get(sku, ()))
    free = {place: available for place, available in there if available > 0}
    offers: dict[str, dict[str, Decimal]] = {}
    for (sku, warehouse), quantity in free.items():
        offers.setdefault(warehouse, {})[sku] = quantity
    if not offers:
        return {}
    chosen = _best(wanted, offers, levels, rule)
    return _shared(needs, free, chosen, rule)


def _best(
    wanted: Mapping[str, Decimal],
    offers: Mapping[str, Mapping[str, Decimal]],
    levels: Mapping[StockKey, StockLevel],
    rule: Routing,
) -> tuple[str, ...]:
    """The warehouses that together send as much as all could, and score best."""
    most = _sent(wanted, list(offers.values()))
    if len(offers) > MOST_COMPARED:
        return _enough(wanted, offers, most)

    def score(group: tuple[str, ...]) -> tuple[object, ...]:
        values: dict[str, object] = {
            "shipments": len(group),
            "cost": sum((rule.cost.get(name, ZERO) for name in group), ZERO),
            "age": _arrival(group, wanted, levels),
        }
        return (*(values[criterion] for criterion in rule.criteria), len(group), group)

    best: tuple[tuple[object, ...], tuple[str, ...]] | None = None
    for group in _groups(sorted(offers)):
        if best is not None and rule.criteria[0] == "shipments" and len(group) > len(best[1]):
            break
        if _sent(wanted, [offers[name] for name in group]) == most:
            scored = (score(group), group)
            best = scored if best is None else min(best, scored)
    return best[1] if best else ()


def _enough(
    wanted: Mapping[str, Decimal], offers: Mapping[str, Mapping[str, Decimal]], most: Decimal
) -> tuple[str, ...]:
    group: list[str] = []
    sent = ZERO
    while sent < most:  # bounded: each round adds a warehouse
        tries = {
            name: _sent(wanted, [offers[other] for other in (*group, name)])
            for name in sorted(offers)
            if name not in group
        }
        best = max(tries, key=lambda name: tries[name])
        group.append(best)
        sent = tries[best]
    return tuple(group)


def _groups(names: list[str]) -> Iterator[tuple[str, ...]]:
    for size in range(1, len(names) + 1):
        yield from combinations(names, size)


def _sent(wanted: Mapping[str, Decimal], offers: list[Mapping[str, Decimal]]) -> Decimal:
    return sum(
        (min(quantity, sum((offer.get(sku, ZERO) for offer in offers), ZERO)) for sku, quantity in wanted.items()),
        ZERO,
    )


def _arrival(group: tuple[str, ...], wanted: Mapping[str, Decimal], levels: Mapping[StockKey, StockLevel]) -> int:
    """The day on which the oldest of their stock came; the longer ago, the sooner it should go."""
    there = (levels.get((sku, name)) for sku in wanted for name in group)
    return min(((level.since or date.max).toordinal() for level in there if level), default=date.max.toordinal())


def _shared(
    needs: Needs, free: dict[StockKey, Decimal], chosen: tuple[str, ...], rule: Routing
) -> dict[tuple[int, str], Decimal]:
    """Each line from as few of the chosen warehouses as can be; two lines of one product share what is there."""
    found: dict[tuple[int, str], Decimal] = {}
    for line, (sku, wanted) in sorted(needs.items()):
        left = wanted

        def first(name: str, sku: str = sku, left: Decimal = left) -> tuple[object, ...]:
            there = free.get((sku, name), ZERO)
            return (there < left, -there if there < left else rule.cost.get(name, ZERO), name)

        for name in sorted(chosen, key=first):
            quantity = min(left, free.get((sku, name), ZERO))
            if quantity > 0:
                found[line, name] = quantity
                free[sku, name] -= quantity
                left -= quantity
    return found
