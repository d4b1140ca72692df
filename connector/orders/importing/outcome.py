"""The outcome of one batch. It is added to the report after its transaction has committed, so a retry counts once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from connector.orders.importing.column_sources import ABSENT
from connector.orders.importing.field_parsers import KINDS, typed_value
from connector.orders.importing.plan import SLOTS
from connector.orders.importing.reader import Place
from connector.orders.importing.report import ImportReport
from connector.orders.importing.spool import Entity, Spool
from connector.store.sql import Saved


@dataclass(kw_only=True)
class BatchOutcome:
    saved: Saved = field(default_factory=Saved)
    lines: int = 0
    faults: list[tuple[str, Place, str, str]] = field(default_factory=list)
    notices: list[tuple[Place, str, str]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def fault(self, kind: str, place: Place, what: str, sort: str = "") -> None:
        self.faults.append((kind, place, what, sort))

    def add_to(self, kind: str, report: ImportReport) -> None:
        report.add(kind, self.saved)
        report.lines += self.lines
        for fault in self.faults:
            report.fault(*fault)
        for notice in self.notices:
            report.changes.add(*notice)
        for order in self.left_out:
            report.leave_out(order)


def values_of(kind: str, entity: Entity) -> dict[str, Any]:
    """Return the fields that rows have, except keys and prices; None where every cell was empty."""
    ranks, values = entity.ranks, entity.values
    return {
        name: typed_value(name, values[slot])
        for name, slot in SLOTS[kind].items() if ranks[slot] != ABSENT and name not in KINDS[kind].keys
    }  # fmt: skip


def missing_value(kind: str, entity: Entity, spool: Spool, *, new: bool) -> tuple[Place, str] | None:
    """Return the place and problem of the first required field without a value, or None."""
    for name in KINDS[kind].required:
        slot = SLOTS[kind][name]
        there = entity.ranks[slot] != ABSENT
        if entity.values[slot] is None and (new or there):
            what = "is empty; it needs a value" if there else f"has no {name}; it is new, and needs one"
            return spool.place_of(kind, entity.places[slot], name), what
    return None
