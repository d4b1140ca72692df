"""Takes what the org holds in the place of what we know, for entities that we are not sure of, and records it.

Whatever cannot be decided without a person is refused here, before anything is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from connector.errors import RetryClass
from connector.model.change import Change, EntityKind, Refusal
from connector.model.record import Link
from connector.outbound.dispatcher import CallDispatcher
from connector.outbound.link_check import LinkState, Reader, look_up
from connector.outbound.lost_records import taken
from connector.outbound.org_profile import OrgProfile
from connector.outbound.outcomes import Outcomes
from connector.outbound.plan_types import PendingEntity, Rejection
from connector.outbound.repository import SyncRepository
from connector.outbound.results import WriteResult
from connector.outbound.stats import SyncStats
from connector.outbound.writer import Writer
from connector.salesforce.fault import Fault

UNREADABLE = Fault(
    code="ACCOUNT_NOT_READABLE",
    retry_class=RetryClass.TRANSIENT,
    sentence="The org refused to show the account of the order's customer.",
    fix="Check that the connector's user may read accounts; it is tried again by itself.",
    follows=True,
)


@dataclass(frozen=True, kw_only=True)
class Accounts:
    """The accounts of a claim's customers, by customer: `links` of those the org has, `unknown` ones it does not, why
    others are refused (`lost` are their links) or must be tried later."""

    links: dict[str, Link]
    unknown: dict[str, PendingEntity]
    refusals: dict[str, Refusal]
    lost: dict[str, Link]
    put_off: dict[str, Fault]


@dataclass(frozen=True)
class BatchItem:
    """A candidate as an item of a call."""

    candidate: PendingEntity


class ReadBack:
    """Of one stream."""

    def __init__(
        self,
        ledger: SyncRepository,
        calls: CallDispatcher,
        writer: Writer,
        reader: Reader,
        facts: OrgProfile,
        tally: SyncStats,
    ) -> None:
        self._ledger = ledger
        self._calls = calls
        self._writer = writer
        self._reader = reader
        self._facts = facts
        self._tally = tally

    async def recognized(self, claim: list[PendingEntity]) -> list[PendingEntity]:
        """What the org holds of entities that we are not sure of takes the place of what we know. The claim without
        those that could not be looked up, or whose record is gone."""
        unsure = {item.change.key: item for item in claim if item.record is not None and item.change.unsure}
        if not unsure:
            return claim
        found, failed = await self.looked_up([*unsure.values()])
        await self._record(failed)
        refused = [
            Rejection(candidate=unsure[key], refusal=sighting.refusal, certain=False)
            for key, sighting in found.items()
            if sighting.refusal is not None
        ]
        await self._calls.settle(refused=refused)
        orders = [unsure[key].link is None for key, sighting in found.items() if sighting.link is not None]
        if claim[0].change.entity in {EntityKind.ORDER, EntityKind.RETURN}:
            self._tally.adopted += sum(orders)
        left = keys_of(failed) | {item.candidate.change.key for item in refused}
        return [self._as_found(item, found) for item in claim if item.change.key not in left]

    def _as_found(self, item: PendingEntity, found: Mapping[str, LinkState]) -> PendingEntity:
        sighting = found.get(item.change.key)
        if sighting is None:
            return item
        return replace(self._ledger.mapped(item, sighting.link, sighting.parts), lost=sighting.lost or {})

    async def looked_up(self, items: Sequence[PendingEntity]) -> tuple[dict[str, LinkState], list[WriteResult]]:
        """What the org holds of `items`, recorded; pieces for those it could not be asked about."""
        found: dict[str, LinkState] = {}

        async def look(batch: Sequence[BatchItem]) -> list[WriteResult]:
            found.update(await look_up(self._reader, [item.candidate for item in batch], self._facts))
            return []

        failed = await self._calls.send([*map(BatchItem, items)], look)
        by_key = {item.change.key: item for item in items}
        outcomes = Outcomes()
        for key, sighting in (await self._unclaimed(by_key, found, outcomes.doubt)).items():
            found[key] = sighting
            if sighting.note is not None:
                self._tally.note(sighting.note)
            if sighting.link is None:
                continue
            outcomes.put += [sighting.link, *sighting.parts]
            outcomes.drop += sighting.stale
            if sighting.before is not None:
                outcomes.replaced.append((sighting.link, sighting.before))
        await self._ledger.record(outcomes)
        self._writer.know(outcomes.put)
        return found, failed

    async def _unclaimed(
        self, candidates: Mapping[str, PendingEntity], found: Mapping[str, LinkState], doubt: list[tuple[str, str]]
    ) -> dict[str, LinkState]:
        """Sightings with a refusal where a record that is new to us is another entity's, which is then in `doubt`."""
        new = {
            key: sighting.link
            for key, sighting in found.items()
            if sighting.link is not None and _id_of(candidates[key].link) != sighting.link.salesforce_id
        }
        holders = await self._ledger.holders([link.salesforce_id for link in new.values()]) if new else {}
        result = dict(found)
        for key, link in new.items():
            holder = holders.get(link.salesforce_id)
            if holder is not None and (holder.entity, holder.key) != (link.entity, link.key):
                result[key] = LinkState(refusal=taken(candidates[key].change, link, holder))
                doubt.append((holder.entity, holder.key))
        return result

    async def look_at_accounts(self, accounts: Accounts, unsure: Mapping[str, PendingEntity]) -> bool:
        """Whether one of them has taken the place of another, to which orders refer."""
        found, failed = await self.looked_up([item for item in unsure.values() if item.record is not None])
        for piece in failed:
            accounts.put_off[piece.candidate.change.key] = piece.fault or UNREADABLE
        there: list[Change] = []
        for key, sighting in found.items():
            item = unsure[key]
            accounts.unknown.pop(key, None)
            if sighting.refusal is not None:
                accounts.refusals[key] = sighting.refusal
                if (link := accounts.links.pop(key, None)) is not None:
                    accounts.lost[key] = link
            elif sighting.link is not None:
                accounts.links[key] = sighting.link
                there.append(item.change)
            else:
                accounts.unknown[key] = self._ledger.mapped(item, None, ())
        for key in accounts.put_off:
            accounts.links.pop(key, None)
            accounts.unknown.pop(key, None)
        await self._ledger.release(there)
        return any(sighting.before is not None for sighting in found.values())

    async def _record(self, pieces: list[WriteResult]) -> None:
        outcomes = Outcomes()
        self._calls.sort(pieces, outcomes, done=frozenset())
        await self._ledger.record(outcomes)


def keys_of(pieces: Iterable[WriteResult]) -> set[str]:
    return {piece.candidate.change.key for piece in pieces}


def _id_of(link: Link | None) -> str | None:
    return None if link is None else link.salesforce_id
