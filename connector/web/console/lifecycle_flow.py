"""The flow chart of one order as SVG: every transition of the table, and the way that the order has taken."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape

from connector.model.actions import EventKind
from connector.model.lifecycle_chart import Way, main_line
from connector.model.stage import Stage
from connector.model.transitions import TRANSITIONS
from connector.store.order_history import StoredEvent
from connector.web.console.formats import Place, short_moment

BOX, GAP, TALL, TOP, LANE = 112, 34, 46, 26, 34
"""Width of a box, gap between boxes, height of a box, room above for ways back, room below for the side stage."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StageStep:
    """A stage as the order has it: `done`, `here` or `ahead`, and when it was reached first."""

    stage: Stage
    how: str
    at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class TakenPath:
    """The transitions that an order has made, and when it reached each stage first."""

    now: Stage
    ways: frozenset[Way]
    reached: Mapping[Stage, datetime]

    @classmethod
    def read(cls, now: Stage, placed_at: datetime, events: Sequence[StoredEvent]) -> TakenPath:
        ways: set[Way] = set()
        first = events[0].after if events else now
        reached = {first: placed_at if first is Stage.PLACED else events[0].at} if events else {}
        for event in events:
            if event.before is not None and event.before is not event.after and _is_way(event):
                ways.add((event.before, event.after))
                reached.setdefault(event.after, event.at)
        return cls(now=now, ways=frozenset(ways), reached=reached)

    def steps(self) -> list[StageStep]:
        """The stages of the main line, and those beside it that the order has reached."""
        line = main_line()
        beside = [stage for stage in Stage if stage not in line and (stage in self.reached or stage is self.now)]
        here = line.index(self.now) if self.now in line else -1
        return [
            StageStep(
                stage=stage,
                how="here" if stage is self.now else "done" if stage in self.reached or index < here else "ahead",
                at=self.reached.get(stage),
            )
            for index, stage in enumerate([*line, *beside])
        ]


def _is_way(event: StoredEvent) -> bool:
    return event.event.action.happened is not EventKind.BEGUN and (event.before, event.after) in TRANSITIONS


def draw_flow(path: TakenPath, place: Place) -> str:
    """Draw the chart. It is decoration: the list of stages says the same to a screen reader."""
    line = main_line()
    beside = [stage for stage in Stage if stage not in line]
    x = {stage: index * (BOX + GAP) for index, stage in enumerate(line)}
    width, middle = len(line) * (BOX + GAP) - GAP, TOP + TALL / 2
    below = TOP + TALL + LANE
    ways = sorted(TRANSITIONS, key=lambda way: way in path.ways)  # what was taken lies above the rest
    parts = [_arrow(x, way, way in path.ways, middle, below) for way in ways]
    steps = {step.stage: step for step in path.steps()}
    parts += [_box(stage, steps.get(stage), x[stage], TOP, place) for stage in line]
    parts += [
        _box(stage, steps.get(stage), _beside(x) + index * (BOX + GAP), below - TALL / 2, place)
        for index, stage in enumerate(beside)
    ]
    ends = '<marker id="flow-end" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    ends += '<path d="M0 0 8 4 0 8z"/></marker>'
    height = below + TALL / 2 + 1
    box = f'viewBox="-1 0 {width + 2:g} {height:g}"'
    return f'<svg class="flow" {box} aria-hidden="true"><defs>{ends}</defs>{"".join(parts)}</svg>'


def _beside(x: Mapping[Stage, float]) -> float:
    """Where the stage beside the main line lies: right of the last stage that leads to it."""
    return max(x[here] for here, there in TRANSITIONS if there not in x) + BOX + GAP


def _arrow(x: Mapping[Stage, float], way: Way, taken: bool, middle: float, below: float) -> str:
    drawn = _way(x, *way, middle, below)
    how = ' class="taken"' if taken else ""
    return f'<path{how} d="{drawn}" marker-end="url(#flow-end)"/>'


def _way(x: Mapping[Stage, float], here: Stage, there: Stage, middle: float, below: float) -> str:
    if there not in x:
        start = x[here] + BOX / 2
        return f"M{start:g} {TOP + TALL:g}V{below - 8:g}Q{start:g} {below:g} {start + 8:g} {below:g}H{_beside(x) - 2:g}"
    if (here, there) in set(itertools.pairwise(x)):
        return f"M{x[here] + BOX:g} {middle:g}H{x[there] - 2:g}"
    start, end = x[here] + BOX * 0.4, x[there] + BOX * 0.6
    return f"M{start:g} {TOP:g}V14Q{start:g} 6 {start - 8:g} 6H{end + 8:g}Q{end:g} 6 {end:g} 14V{TOP - 2:g}"


def _box(stage: Stage, step: StageStep | None, left: float, top: float, place: Place) -> str:
    how = "ahead" if step is None else step.how
    at = "" if step is None or step.at is None else short_moment(step.at, place)
    center, base = left + BOX / 2, top + (19 if at else 28)
    time = f'<text class="at" x="{center:g}" y="{top + 36:g}">{escape(at)}</text>' if at else ""
    return (
        f'<g class="{how}"><rect x="{left:g}" y="{top:g}" width="{BOX}" height="{TALL}" rx="8"/>'
        f'<text x="{center:g}" y="{base:g}">{stage.value}</text>{time}</g>'
    )
