"""Stores links so that a record of the org stays one entity's, whatever the org and an older database say.

A line or a price whose record is found in the org belongs there to one order or product, for the org never moves it to
another: an older link of another entity to it is wrong, and is dropped. Which account, order or product a record is
takes a person: the new link is left out, and both entities are looked at before anything else is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from connector.model.record import Link
from connector.outbound.outcomes import Outcomes
from connector.store import links
from connector.store.unit_of_work import UnitOfWork

Name = tuple[str, str]
"""Entity and key."""


@dataclass(kw_only=True)
class Placed:
    """`put` was stored; `dropped` are links of parts that gave way to it; `refused` were left out, each with the link
    whose record it is."""

    put: dict[Name, Link]
    dropped: list[Link] = field(default_factory=list)
    refused: dict[Name, tuple[Link, Link]] = field(default_factory=dict)

    def without_refused(self, outcomes: Outcomes) -> Outcomes:
        """`outcomes` as they are with it: an entity whose link was left out is not done, and is looked at, as are the
        owners of what was dropped."""
        if not self.dropped and not self.refused:
            return outcomes
        doubt = [link.owner for link in self.dropped]
        for link, holder in self.refused.values():
            if not link.is_part:
                doubt += [link.owner, holder.owner]
        return replace(
            outcomes,
            put=[*self.put.values()],
            drop=[*outcomes.drop, *map(_name, self.dropped)],
            doubt=[*outcomes.doubt, *doubt],
            replaced=[item for item in outcomes.replaced if _name(item[0]) not in self.refused],
            done=[change for change in outcomes.done if (change.entity.value, change.key) not in self.refused],
        )


async def place(uow: UnitOfWork, org_id: str, items: Sequence[Link]) -> Placed:
    """Store these links but for those whose record is another entity's."""
    if not items:
        return Placed(put={})
    latest = {_name(link): link for link in items}
    holders = await links.find(uow.connection, org_id, {link.salesforce_id for link in latest.values()})
    placed = _placed(latest, holders)
    # Whoever moves to another record leaves its own first, for somebody else of these may take it.
    moving = [holder for holder in holders.values() if _moves(holder, placed.put)]
    for link in [*placed.dropped, *moving]:
        await links.drop(uow, org_id, link.entity, [link.key])
    await links.put(uow, org_id, [*placed.put.values()])
    return placed


def _placed(latest: Mapping[Name, Link], holders: Mapping[str, Link]) -> Placed:
    """Decide once more without what was refused, until nothing is: whoever stays where it is holds its record."""
    placed = Placed(put=dict(latest))
    for _ in range(len(latest)):
        refused = _conflicts(placed, holders)
        if not refused:
            break
        placed.refused |= refused
        placed.put = {name: link for name, link in placed.put.items() if name not in refused}
    return placed


def _conflicts(placed: Placed, holders: Mapping[str, Link]) -> dict[Name, tuple[Link, Link]]:
    """Those of `put` that cannot be stored, with the link that is in the way; `dropped` is made anew."""
    placed.dropped = []
    holding = {record: holder for record, holder in holders.items() if not _moves(holder, placed.put)}
    refused: dict[Name, tuple[Link, Link]] = {}
    for name, link in placed.put.items():
        if link.owner in placed.refused:
            refused[name] = (link, placed.refused[link.owner][1])
            continue
        holder = holding.get(link.salesforce_id, link)
        if _name(holder) != name:
            if not (link.is_part and holder.is_part) or _name(holder) in placed.put:
                refused[name] = (link, holder)
                continue
            placed.dropped.append(holder)
        holding[link.salesforce_id] = link
    return refused


def _moves(holder: Link, put: Mapping[Name, Link]) -> bool:
    """Whether its entity is to be linked to another record."""
    new = put.get(_name(holder))
    return new is not None and new.salesforce_id != holder.salesforce_id


def _name(link: Link) -> Name:
    return link.entity, link.key
