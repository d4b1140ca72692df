"""Stores links so that each record of the org belongs to one entity.

The org never moves a line or a price to another order or product. If the record of a new link to a line or price is
linked elsewhere, that older link is wrong and is dropped. For accounts, orders and products a person must decide: the
new link is left out, and both entities are read back before anything else is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from connector.model.record import Link
from connector.outbound.outcomes import Outcomes
from connector.store import links
from connector.store.unit_of_work import UnitOfWork

LinkName = tuple[str, str]
"""Entity kind and key."""


@dataclass(kw_only=True)
class StoredLinks:
    """The `stored` links, the links of lines and prices `dropped` in their favor, and the `refused` links, each with
    the link that already has its record."""

    stored: dict[LinkName, Link]
    dropped: list[Link] = field(default_factory=list)
    refused: dict[LinkName, tuple[Link, Link]] = field(default_factory=dict)

    def without_refused(self, outcomes: Outcomes) -> Outcomes:
        """`outcomes` without the refused links. An entity whose link was left out is not done; it and the owners of
        dropped links become unconfirmed."""
        if not self.dropped and not self.refused:
            return outcomes
        unconfirmed = [link.owner for link in self.dropped]
        for link, holder in self.refused.values():
            if not link.is_part:
                unconfirmed += [link.owner, holder.owner]
        return replace(
            outcomes,
            links=[*self.stored.values()],
            dropped_links=[*outcomes.dropped_links, *map(_name, self.dropped)],
            unconfirmed=[*outcomes.unconfirmed, *unconfirmed],
            merged_links=[item for item in outcomes.merged_links if _name(item[0]) not in self.refused],
            done=[change for change in outcomes.done if (change.entity.value, change.key) not in self.refused],
        )


async def store_links(uow: UnitOfWork, org_id: str, items: Sequence[Link]) -> StoredLinks:
    """Store these links, except those whose record belongs to another entity."""
    if not items:
        return StoredLinks(stored={})
    latest = {_name(link): link for link in items}
    holders = await links.find(uow.connection, org_id, {link.salesforce_id for link in latest.values()})
    result = _resolve_conflicts(latest, holders)
    # Drop the links of entities that move to another record first: another link may take their record.
    moving = [holder for holder in holders.values() if _moves(holder, result.stored)]
    for link in [*result.dropped, *moving]:
        await links.drop(uow, org_id, link.entity, [link.key])
    await links.put(uow, org_id, [*result.stored.values()])
    return result


def _resolve_conflicts(latest: Mapping[LinkName, Link], holders: Mapping[str, Link]) -> StoredLinks:
    """Leave out refused links and decide again, until none is refused: an entity that stays where it is keeps its
    record."""
    result = StoredLinks(stored=dict(latest))
    for _ in range(len(latest)):
        refused = _conflicts(result, holders)
        if not refused:
            break
        result.refused |= refused
        result.stored = {name: link for name, link in result.stored.items() if name not in refused}
    return result


def _conflicts(result: StoredLinks, holders: Mapping[str, Link]) -> dict[LinkName, tuple[Link, Link]]:
    """The links of `stored` that cannot be stored, with the link in the way; sets `dropped`."""
    result.dropped = []
    holding = {record: holder for record, holder in holders.items() if not _moves(holder, result.stored)}
    refused: dict[LinkName, tuple[Link, Link]] = {}
    for name, link in result.stored.items():
        if link.owner in result.refused:
            refused[name] = (link, result.refused[link.owner][1])
            continue
        holder = holding.get(link.salesforce_id, link)
        if _name(holder) != name:
            if not (link.is_part and holder.is_part) or _name(holder) in result.stored:
                refused[name] = (link, holder)
                continue
            result.dropped.append(holder)
        holding[link.salesforce_id] = link
    return refused


def _moves(holder: Link, put: Mapping[LinkName, Link]) -> bool:
    """Whether the entity of `holder` is about to be linked to another record."""
    new = put.get(_name(holder))
    return new is not None and new.salesforce_id != holder.salesforce_id


def _name(link: Link) -> LinkName:
    return link.entity, link.key
