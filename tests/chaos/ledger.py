"""Who wrote what, when, and which value the writer saw. It decides which values may stand once both sides are quiet.

A write that saw another one (directly, or through writes between them) knew what it replaced: nothing is lost by it.
Two writes of which neither saw the other are concurrent; then the owner of the field decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from connector.mapping.spec import Owner

CLOSE = timedelta(seconds=1)
"""The org stamps by the second: what lies closer together has no order."""

Place = tuple[str, str]
"""A record by its key, and a field of it: `("C-1", "Phone")`."""


class Side(StrEnum):
    LOCAL = "local"
    ORG = "org"


@dataclass(frozen=True, kw_only=True)
class Write:
    """One edit. `saw` is the value that stood on the writer's side before. `in_call`: made by a rep while a process was
    between looking at the record and writing it, which nobody can see."""

    side: Side
    value: str | None
    at: datetime
    saw: str | None
    in_call: bool = False


@dataclass
class Ledger:
    """The edits of a schedule, by place. Values are never used twice, so a value names its write."""

    owners: Mapping[str, Owner]
    writes: dict[Place, list[Write]] = field(default_factory=dict)
    resolved: dict[Place, list[Write]] = field(default_factory=dict)
    """What a person decided a conflict with: the value, which has seen both."""
    touched: dict[str, datetime] = field(default_factory=dict)
    """When a rep last edited a record: the org tells the time of a record, not of a field."""

    def note(self, place: Place, write: Write) -> None:
        self.writes.setdefault(place, []).append(write)
        if write.side is Side.ORG:
            self.touch(place[0], write.at)

    def touch(self, key: str, at: datetime) -> None:
        """A rep edited a record, or something that changes it along."""
        self.touched[key] = max(at, self.touched.get(key, at))

    def forget(self, place: Place) -> None:
        """The record was deleted: a policy decides about what either side wrote before."""
        self.writes.pop(place, None)
        self.resolved.pop(place, None)

    def note_resolution(self, place: Place, chosen: str | None, other: str | None, at: datetime) -> None:
        write = Write(side=Side.LOCAL, value=chosen, at=at, saw=other)
        self.resolved.setdefault(place, []).append(write)

    def problem(self, place: Place, local: str | None, org: str | None, conflicts: int) -> str | None:
        """What is wrong with the values in which a field ended; None if nothing is."""
        owner = self.owners[place[1]]
        here, there = self._last(place, Side.LOCAL), self._last(place, Side.ORG)
        if conflicts > 1:
            return f"{conflicts} conflicts are open"
        if conflicts:
            return self._problem_of_conflict(owner, local, org, here, there)
        if owner is Owner.SALESFORCE:
            return self._problem_of_salesforce(local, org, here, there)
        if local != org:
            return f"the sides differ: {local!r} here, {org!r} in the org"
        if local not in {None if here is None else here.value, None if there is None else there.value} and not (
            here is None and there is None
        ):
            return f"{local!r} stands, and neither side wrote it last"
        if owner is Owner.LOCAL:
            return (
                None
                if here is None or local == here.value
                else f"{local!r} stands, and {here.value!r} was written here"
            )
        return self._problem_of_shared(place, owner, local, here, there)

    def _problem_of_conflict(
        self, owner: Owner, local: str | None, org: str | None, here: Write | None, there: Write | None
    ) -> str | None:
        if owner is not Owner.ASK:
            return f"a conflict is open, and the owner is {owner}"
        if here is None or there is None or (local, org) != (here.value, there.value):
            return f"a conflict is open about {local!r} and {org!r}, which were not written last"
        return None

    def _problem_of_salesforce(
        self, local: str | None, org: str | None, here: Write | None, there: Write | None
    ) -> str | None:
        if there is not None and org != there.value:
            return f"{org!r} stands in the org, and {there.value!r} was written there"
        if local != org and (here is None or local != here.value):
            return f"{local!r} stands here, and {org!r} in the org"
        if there is not None and local != org and (here is None or here.at < there.at - CLOSE):
            return f"{org!r} was not taken over here"
        return None

    def _problem_of_shared(
        self, place: Place, owner: Owner, value: str | None, here: Write | None, there: Write | None
    ) -> str | None:
        if here is None or there is None or value is None:
            return None
        lost = there if value == here.value else here
        if self._has_seen(place, value, lost.value) or (lost.in_call and lost.side is Side.ORG):
            return None
        if owner is Owner.ASK:
            return f"{lost.value!r} was overwritten by {value!r} without a conflict"
        if lost is there and there.at > here.at + CLOSE:
            return f"{here.value!r} stands, and {there.value!r} was written later in the org"
        if lost is here and here.at > self.touched[place[0]] + CLOSE:
            return f"{there.value!r} stands, and {here.value!r} was written later here"
        return None

    def _has_seen(self, place: Place, value: str | None, earlier: str | None) -> bool:
        """Whether the write of `value` knew of `earlier`."""
        waiting, seen = [value], set[str | None]()
        while waiting:
            current = waiting.pop()
            if current == earlier:
                return True
            if current in seen:
                continue
            seen.add(current)
            writes = (*self.writes.get(place, ()), *self.resolved.get(place, ()))
            waiting += [write.saw for write in writes if write.value == current]
        return False

    def _last(self, place: Place, side: Side) -> Write | None:
        """The last write of a side, or the later resolution of a conflict that has seen it."""
        writes = [write for write in self.writes.get(place, ()) if write.side is side]
        last = writes[-1] if writes else None
        for resolution in reversed(self.resolved.get(place, ())):
            if last is None or (resolution.at > last.at and self._has_seen(place, resolution.value, last.value)):
                return resolution
        return last
