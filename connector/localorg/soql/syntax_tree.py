"""The syntax tree of a query."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Path:
    """`Account.Name` as written, with its position in the text."""

    parts: tuple[str, ...]
    position: int


@dataclass(frozen=True, slots=True)
class Aggregate:
    function: str  # COUNT | COUNT_DISTINCT | SUM | AVG | MIN | MAX | GROUPING
    path: Path | None
    alias: str | None
    position: int


@dataclass(frozen=True, slots=True)
class SelectedField:
    path: Path
    alias: str | None


@dataclass(frozen=True, slots=True)
class AllFields:
    kind: str  # ALL | STANDARD | CUSTOM
    position: int


@dataclass(frozen=True, slots=True)
class TypeOf:
    """`TYPEOF What WHEN Account THEN Phone ELSE Name END`."""

    relationship: Path
    cases: tuple[tuple[Path, tuple[Path, ...]], ...]  # type, and its fields
    otherwise: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Literal:
    kind: str  # string | number | boolean | null | date | datetime | relative
    text: str
    position: int


@dataclass(frozen=True, slots=True)
class Comparison:
    left: Path | Aggregate
    operator: str
    right: Literal


@dataclass(frozen=True, slots=True)
class Membership:
    """IN, NOT IN, INCLUDES, EXCLUDES."""

    left: Path
    operator: str
    values: tuple[Literal, ...]
    select: Select | None = None


@dataclass(frozen=True, slots=True)
class Not:
    condition: Condition


@dataclass(frozen=True, slots=True)
class Group:
    word: str  # AND | OR
    conditions: tuple[Condition, ...]


Condition = Comparison | Membership | Not | Group


@dataclass(frozen=True, slots=True)
class Ordering:
    by: Path | Aggregate
    descending: bool
    nulls_first: bool | None


@dataclass(slots=True)
class Select:
    items: list[Item]
    source: str
    position: int
    alias: str | None = None
    where: Condition | None = None
    group_by: list[Path] = field(default_factory=list)
    totals: str = ""  # ROLLUP | CUBE
    having: Condition | None = None
    order_by: list[Ordering] = field(default_factory=list)
    limit: int | None = None
    offset: int = 0


Item = SelectedField | Aggregate | AllFields | TypeOf | Select
