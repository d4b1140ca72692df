"""The flow chart of an order as text, drawn from the transition table. PURE.

The main line holds the stages that follow each other. Other transitions between them are drawn above it; transitions to
a stage outside it are drawn below. `=` marks a transition by command, `-` an automatic one.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence

from connector.model.stage import Stage
from connector.model.transitions import BY_COMMAND, TRANSITIONS

Way = tuple[Stage, Stage]


def main_line(ways: Collection[Way] = TRANSITIONS) -> list[Stage]:
    """Return the stages of the main line, beginning with the first."""
    line = [next(iter(Stage))]
    for stage in Stage:
        if (line[-1], stage) in ways:
            line.append(stage)
    return line


def draw_text(ways: Collection[Way] = TRANSITIONS, commands: Collection[Way] = BY_COMMAND) -> str:
    """Return the chart of `ways`; ValueError if one starts at a stage outside the main line."""
    line = main_line(ways)
    if lost := [way for way in ways if way[0] not in line]:
        raise ValueError(f"{lost} cannot be drawn")
    text, column = line[0].value, {line[0]: 2}
    for here, there in itertools.pairwise(line):
        text += _arrow((here, there), commands) + there.value
        column[there] = len(text) - len(there.value) + 2
    neighbors = set(itertools.pairwise(line))
    above, below = list[str](), list[str]()
    for here, there in ways:
        if there in column and (here, there) not in neighbors:
            start, end = sorted((column[here], column[there]))
            mark = "=" if (here, there) in commands else "-"
            feet = {column[here]: "|", column[there]: "v"}
            above += [" " * start + "+" + mark * (end - start - 1) + "+", _row(feet)]
    for beside in (stage for stage in Stage if stage not in column):
        sources = sorted((column[here], (here, beside)) for here, there in ways if there is beside)
        if sources:
            below += [_row({at: "|" for at, _ in sources}), _rail(sources, commands) + beside.value]
    return "\n".join([*above, text, *below])


def _arrow(way: Way, commands: Collection[Way]) -> str:
    return " ==> " if way in commands else " --> "


def _row(marks: dict[int, str]) -> str:
    return "".join(marks.get(at, " ") for at in range(max(marks) + 1))


def _rail(sources: Sequence[tuple[int, Way]], commands: Collection[Way]) -> str:
    """Return the line below the main one, `+----+--> `, from the first source to the last."""
    rail = " " * sources[0][0]
    for (at, way), following in zip(sources, [*sources[1:], None], strict=True):
        mark = "=" if way in commands else "-"
        rail += "+" + (mark * 2 + "> " if following is None else mark * (following[0] - at - 1))
    return rail
