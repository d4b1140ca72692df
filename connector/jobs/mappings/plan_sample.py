"""Chooses the effects that a plan lists: of each field some of every sort, and not the first records by key. PURE."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from connector.model.mapping_plan import Direction, Effect, RecordEffect
from connector.outbound.mapping_effects import UNKNOWN, EntityEffects

MOST_OF_ONE = 2
"""Effects of one sort that one entity gives: a line of an order is as good as the next one."""
MOST_ALIKE = 3
"""Effects with the same values."""
_SORTS = ("refused", "overwritten", "emptied", "longest", "created", "left_out", "filled", "unknown", "from_org")


class EffectSample:
    """Keeps at most `limit` effects of each sort and field."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: dict[tuple[str, str, str], list[RecordEffect]] = {}
        self._alike: Counter[tuple[object, ...]] = Counter()
        self._longest: dict[tuple[str, str], RecordEffect] = {}

    def add(self, found: EntityEffects) -> None:
        given: Counter[tuple[str, str, str]] = Counter()
        for item in found.effects:
            place = (sort_of(item), item.sobject, item.field)
            kept = self._kept.setdefault(place, [])
            alike = (*place, item.before, item.after)
            if len(kept) < self._limit and given[place] < MOST_OF_ONE and self._alike[alike] < MOST_ALIKE:
                given[place] += 1
                self._alike[alike] += 1
                kept.append(item)
            longest = self._longest.get(place[1:])
            if item.field and (longest is None or len(item.after or "") > len(longest.after or "")):
                self._longest[place[1:]] = item

    def choose(self) -> list[RecordEffect]:
        """The chosen ones: in each round one of each sort and field, until there are `limit`."""
        longest = {("longest", *place): [item] for place, item in self._longest.items()}
        ranked = sorted((self._kept | longest).items(), key=lambda entry: _SORTS.index(entry[0][0]))
        chosen: dict[tuple[object, ...], RecordEffect] = {}
        for item in _by_turns([items for _, items in ranked]):
            if len(chosen) == self._limit:
                break
            chosen.setdefault((item.direction, item.sobject, item.key, item.field, item.effect), item)
        return list(chosen.values())


def sort_of(item: RecordEffect) -> str:
    """What happens to the value in a word; for whole records their effect."""
    if item.effect is not Effect.CHANGED:
        return item.effect.value
    if item.direction is Direction.FROM_ORG:
        return "from_org"
    if item.before == UNKNOWN:
        return "unknown"
    if item.before is None:
        return "filled"
    return "emptied" if item.after is None else "overwritten"


def _by_turns(lists: list[list[RecordEffect]]) -> Iterator[RecordEffect]:
    for place in range(max(map(len, lists), default=0)):
        yield from (items[place] for items in lists if place < len(items))
