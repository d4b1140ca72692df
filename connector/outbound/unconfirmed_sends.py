"""Reads back what the org holds of unconfirmed entities, and stores it in place of the links we had.

A case that only a person can decide becomes a refusal here, before anything is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from connector.errors import RetryClass
from connector.model.change import Change, EntityKind, Refusal
from connector.model.record import Link
from connector.outbound.dispatcher import CallDispatcher
from connector.outbound.former_values import equal_links, has_unknown_fields, read_former_values
from connector.outbound.lost_records import rejection_for_foreign_record
from connector.outbound.org_profile import OrgProfile
from connector.outbound.org_state import LinkState, Reader, read_org_states
from connector.outbound.outcomes import Outcomes
from connector.outbound.plan_steps import stored_links
from connector.outbound.plan_types import PendingEntity, Rejection
from connector.outbound.repository import SyncRepository
from connector.outbound.results import WriteResult
from connector.outbound.shared_field_look import read_changed_fields, records_to_look_at
from connector.outbound.shared_fields import ChangedFields
from connector.outbound.stats import SyncStats
from connector.outbound.writer import Writer
from connector.salesforce.fault import Fault

ACCOUNT_NOT_READABLE = Fault(
    code="ACCOUNT_NOT_READABLE",
    retry_class=RetryClass.TRANSIENT,
    sentence="The org refused to show the account of the order's customer.",
    fix="Check that the connector's user may read accounts; it is tried again automatically.",
    follows=True,
)


@dataclass(frozen=True, kw_only=True)
class ClaimAccounts:
    """The accounts of a claim's customers, by customer key: `links` of accounts that the org has, `missing` ones that
    it does not have, `refusals` (with `lost_links`), and faults of `postponed` ones."""

    links: dict[str, Link]
    missing: dict[str, PendingEntity]
    refusals: dict[str, Refusal]
    lost_links: dict[str, Link]
    postponed: dict[str, Fault]


@dataclass(frozen=True)
class BatchItem:
    """A pending entity as an item of a call."""

    pending: PendingEntity


class ReadBack:
    """Reads back the entities of one stream."""

    def __init__(
        self,
        repository: SyncRepository,
        dispatcher: CallDispatcher,
        writer: Writer,
        reader: Reader,
        profile: OrgProfile,
        stats: SyncStats,
    ) -> None:
        self._repository = repository
        self._dispatcher = dispatcher
        self._writer = writer
        self._reader = reader
        self._profile = profile
        self._stats = stats

    async def refresh_claim(self, claim: list[PendingEntity]) -> list[PendingEntity]:
        """Replace the links of unconfirmed entities by what the org holds.

        Returns the claim without entities that could not be read, or that were refused because their record is gone. A
        shared field that somebody else changed in the org is held: inbound sync decides first whose value stands.
        The links know what each field holds that is about to be written.
        """
        confirmed = await self._read_back_unconfirmed(claim)
        return await self._learn_former_values(await self._hold_changed_fields(confirmed))

    async def _learn_former_values(self, claim: list[PendingEntity]) -> list[PendingEntity]:
        """Read the fields that nothing here knows: what they hold is kept with the write, for an undo."""
        unknown = [item for item in claim if has_unknown_fields(item, self._profile)]
        if not unknown:
            return claim
        known: dict[str, PendingEntity] = {}

        async def look(batch: Sequence[BatchItem]) -> list[WriteResult]:
            known.update(await read_former_values(self._reader, [item.pending for item in batch], self._profile))
            return []

        failed = await self._dispatcher.send([*map(BatchItem, unknown)], look)
        outcomes = Outcomes(links=[link for item in unknown for link in equal_links(item, known)])
        self._dispatcher.collect(failed, outcomes, done=frozenset())
        await self._repository.record(outcomes)
        self._writer.add_links(link for item in known.values() for link in stored_links(item))
        excluded = keys_of(failed)
        return [known.get(item.change.key, item) for item in claim if item.change.key not in excluded]

    async def _read_back_unconfirmed(self, claim: list[PendingEntity]) -> list[PendingEntity]:
        unconfirmed = {item.change.key: item for item in claim if item.record is not None and item.change.unconfirmed}
        if not unconfirmed:
            return claim
        states, failed = await self.read_states([*unconfirmed.values()])
        await self._record(failed)
        refused = [
            Rejection(pending=unconfirmed[key], refusal=state.refusal, certain=False)
            for key, state in states.items()
            if state.refusal is not None
        ]
        await self._dispatcher.record_unsent(refused=refused)
        ended = {key for key, state in states.items() if state.ended}
        if ended:
            await self._repository.record(Outcomes(done=[unconfirmed[key].change for key in sorted(ended)]))
        newly_linked = [unconfirmed[key].link is None for key, state in states.items() if state.link is not None]
        if claim[0].change.entity in {EntityKind.ORDER, EntityKind.RETURN}:
            self._stats.recovered += sum(newly_linked)
        excluded = keys_of(failed) | ended | {item.pending.change.key for item in refused}
        return [self._with_org_state(item, states) for item in claim if item.change.key not in excluded]

    def _with_org_state(self, item: PendingEntity, states: Mapping[str, LinkState]) -> PendingEntity:
        state = states.get(item.change.key)
        if state is None:
            return item
        current = self._repository.map_entity(item, state.link, state.lines)
        return replace(
            current.with_held_fields(current.held_fields | state.changed.names),
            missing_lines=state.missing_lines or {},
        )

    async def _hold_changed_fields(self, claim: list[PendingEntity]) -> list[PendingEntity]:
        """Look at the records of which a shared field is to be sent. It takes a query for some hundred of them."""
        sending = [item for item in claim if not item.is_read_back and records_to_look_at(item)]
        if not sending:
            return claim
        changed: dict[str, ChangedFields] = {}

        async def look(batch: Sequence[BatchItem]) -> list[WriteResult]:
            changed.update(await read_changed_fields(self._reader, [item.pending for item in batch], self._profile))
            return []

        failed = await self._dispatcher.send([*map(BatchItem, sending)], look)
        outcomes = Outcomes()
        self._dispatcher.collect(failed, outcomes, done=frozenset())
        for item in changed.values():
            outcomes.changed_in_org |= item.records
        self._stats.changed_in_org += len(outcomes.changed_in_org)
        if failed or outcomes.changed_in_org:
            await self._repository.record(outcomes)
        excluded = keys_of(failed)
        return [
            item.with_held_fields(item.held_fields | changed.get(item.change.key, ChangedFields()).names)
            for item in claim
            if item.change.key not in excluded
        ]

    async def read_states(self, items: Sequence[PendingEntity]) -> tuple[dict[str, LinkState], list[WriteResult]]:
        """Read and store what the org holds of `items`. Returns the states by key, and results for items that could not
        be read."""
        states: dict[str, LinkState] = {}

        async def look(batch: Sequence[BatchItem]) -> list[WriteResult]:
            states.update(await read_org_states(self._reader, [item.pending for item in batch], self._profile))
            return []

        failed = await self._dispatcher.send([*map(BatchItem, items)], look)
        by_key = {item.change.key: item for item in items}
        outcomes = Outcomes()
        for key, state in (await self._refuse_foreign_records(by_key, states, outcomes.unconfirmed)).items():
            states[key] = state
            if state.note is not None:
                self._stats.note(state.note)
            if state.link is None:
                continue
            outcomes.links += [state.link, *state.lines]
            outcomes.changed_in_org |= state.changed.records
            self._stats.changed_in_org += len(state.changed.records)
            outcomes.dropped_links += state.stale_links
            if state.merged_id is not None:
                outcomes.merged_links.append((state.link, state.merged_id))
        await self._repository.record(outcomes)
        self._writer.add_links(outcomes.links)
        return states, failed

    async def _refuse_foreign_records(
        self,
        pending_entities: Mapping[str, PendingEntity],
        states: Mapping[str, LinkState],
        unconfirmed: list[tuple[str, str]],
    ) -> dict[str, LinkState]:
        """Refuse states whose newly found record is linked to another entity, and add that entity to `unconfirmed`."""
        new_links = {
            key: state.link
            for key, state in states.items()
            if state.link is not None and _record_id(pending_entities[key].link) != state.link.salesforce_id
        }
        holders = (
            await self._repository.links_by_record([link.salesforce_id for link in new_links.values()])
            if new_links
            else {}
        )
        checked = dict(states)
        for key, link in new_links.items():
            holder = holders.get(link.salesforce_id)
            if holder is not None and (holder.entity, holder.key) != (link.entity, link.key):
                checked[key] = LinkState(
                    refusal=rejection_for_foreign_record(pending_entities[key].change, link, holder)
                )
                unconfirmed.append((holder.entity, holder.key))
        return checked

    async def refresh_accounts(self, accounts: ClaimAccounts, unconfirmed: Mapping[str, PendingEntity]) -> bool:
        """Read back the unconfirmed accounts of a claim. Returns whether one was merged into another, so that orders
        moved."""
        states, failed = await self.read_states([item for item in unconfirmed.values() if item.record is not None])
        for result in failed:
            accounts.postponed[result.pending.change.key] = result.fault or ACCOUNT_NOT_READABLE
        confirmed: list[Change] = []
        for key, state in states.items():
            item = unconfirmed[key]
            accounts.missing.pop(key, None)
            if state.refusal is not None:
                accounts.refusals[key] = state.refusal
                if (link := accounts.links.pop(key, None)) is not None:
                    accounts.lost_links[key] = link
            elif state.link is not None:
                accounts.links[key] = state.link
                confirmed.append(item.change)
            else:
                accounts.missing[key] = self._repository.map_entity(item, None, ())
        for key in accounts.postponed:
            accounts.links.pop(key, None)
            accounts.missing.pop(key, None)
        await self._repository.release_customers(confirmed)
        return any(state.merged_id is not None for state in states.values())

    async def _record(self, results: list[WriteResult]) -> None:
        outcomes = Outcomes()
        self._dispatcher.collect(results, outcomes, done=frozenset())
        await self._repository.record(outcomes)


def keys_of(results: Iterable[WriteResult]) -> set[str]:
    return {result.pending.change.key for result in results}


def _record_id(link: Link | None) -> str | None:
    return None if link is None else link.salesforce_id
