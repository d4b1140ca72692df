"""Links an entity to a record of the org that a person names, and unlinks it.

The key is written before the link is stored: after a crash in between, the record is found by its key. The lease of the
entity's partition is held meanwhile, so no push sends it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from connector.clock import Clock
from connector.errors import ConnectorError, RetryClass
from connector.jobs.org_identity import check_belongs_here, confirm_org
from connector.mapping import MappingSet
from connector.model import deleted_record
from connector.model.change import EntityKind, Refusal
from connector.model.lane import Lane
from connector.model.record import PARTS, FieldValue, Link, MappedRecord, changed_fields
from connector.outbound.batches import chunks
from connector.outbound.customer_records import build_record
from connector.outbound.entities import LOADERS, mark_unconfirmed
from connector.outbound.lease_keeper import PRODUCT_LEASE, LeaseKeeper, another_push_error, lease_name
from connector.outbound.link_conflicts import store_links
from connector.outbound.lost_records import LINKABLE
from connector.outbound.org_discovery import discover_org
from connector.outbound.org_profile import OrgProfile
from connector.outbound.org_state import LinkState, existing_record_ids, read_org_states
from connector.outbound.plan_types import PendingEntity
from connector.outbound.preflight import normalize
from connector.outbound.repository import SyncRepository
from connector.salesforce.client import SalesforceClient
from connector.salesforce.fault import classify_rows
from connector.salesforce.query import in_chunks, soql
from connector.settings import Settings
from connector.store import dead_letters, journal, leases, links, orders
from connector.store.engine import Store
from connector.store.journal import command_line_actor
from connector.store.partitions import slot_of, slot_of_key
from connector.store.unit_of_work import UnitOfWork

_SUFFIX = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"


@dataclass(frozen=True, kw_only=True)
class LinkResult:
    """The result of a link. `differs`: values in the org and here, by field. `released`: number of dead letters that
    are due again."""

    link: Link
    differs: Mapping[str, tuple[FieldValue, FieldValue]] = field(default_factory=dict)
    released: int = 0
    overwritten: str | None = None


@dataclass(frozen=True, kw_only=True)
class UnlinkResult:
    """The result of an unlink. `others`: records whose key in the org is not ours, by ID; that key was not cleared."""

    link: Link
    key_field: str | None = None
    others: Mapping[str, str] = field(default_factory=dict)


class Linker:
    """Links and unlinks one entity at a time. Each method raises OtherOrgError first if another org answers."""

    def __init__(
        self, store: Store, client: SalesforceClient, mappings: MappingSet, settings: Settings, *, clock: Clock
    ) -> None:
        self._store = store
        self._client = client
        self._mappings = mappings
        self._settings = settings
        self._clock = clock

    async def link(self, kind: EntityKind, key: str, record_id: str, *, force: bool, dry_run: bool) -> LinkResult:
        """Write our key to the record, and store its values as agreed: the next push sends the differences.

        Raises ConnectorError if the record does not exist, belongs to another entity, or has another key and `force` is
        not set.
        """
        if kind not in LINKABLE:
            raise ConnectorError(f"A {kind} cannot be linked.", hint="Link its order.")
        org_id = await confirm_org(self._store, self._client, self._settings)
        await check_belongs_here(self._store, kind, [key])
        target = normalize_record_id(record_id)
        if dry_run:
            return await self._link(org_id, kind, key, target, force=force, worker=None)
        async with self._exclusive_lease(kind, key) as worker:
            return await self._link(org_id, kind, key, target, force=force, worker=worker)

    async def _link(
        self, org_id: str, kind: EntityKind, key: str, target: str, *, force: bool, worker: LeaseKeeper | None
    ) -> LinkResult:
        """Link the record; without a worker (a dry run) only compare it."""
        profile = await self._get_profile(org_id)
        pending = await self._load_pending(org_id, profile, kind, key)
        await self._refuse_linked(org_id, pending, target)
        state = await self._read_state(pending, target, profile)
        link, record = state.link, pending.record
        assert link is not None
        assert record is not None
        key_fields = normalize({record.external_id: record.fields.get(record.external_id, record.key)})
        current_key = link.snapshot.get(record.external_id)
        overwritten = (
            str(current_key) if current_key is not None and current_key != key_fields[record.external_id] else None
        )
        if overwritten is not None and not force:
            raise ConnectorError(
                f"{link.sobject} {target} has the key {overwritten} in {record.external_id}.",
                hint="If that key may be overwritten, add --force.",
            )
        if kind is EntityKind.ORDER:
            await self._refuse_foreign_lines(record, target)
        linked = LinkResult(link=link, differs=self._differences(pending, state, profile), overwritten=overwritten)
        if worker is None:
            return linked
        if current_key != key_fields[record.external_id]:
            await self._write(link.sobject, [target], key_fields)
        link = replace(link, snapshot={**link.snapshot, **key_fields})
        released = await self._store_link(org_id, pending, [link, *state.lines], worker)
        return replace(linked, released=released)

    async def unlink(self, kind: EntityKind, key: str) -> UnlinkResult:
        """Clear our key on the record and delete the link, as if the entity had never been sent. If the record has
        another key now, that key is not cleared."""
        org_id = await confirm_org(self._store, self._client, self._settings)
        await check_belongs_here(self._store, kind, [key])
        async with self._exclusive_lease(kind, key) as worker:
            return await self._unlink(org_id, kind, key, worker)

    async def _unlink(self, org_id: str, kind: EntityKind, key: str, worker: LeaseKeeper) -> UnlinkResult:
        async with self._store.reader() as connection:
            link = (await links.get(connection, org_id, kind.value, [key])).get(key)
            parts: Mapping[str, Mapping[str, Link]] = {}
            if kind is EntityKind.ORDER or kind is EntityKind.RETURN:
                parts = await links.children(connection, org_id, PARTS[kind.value], [key])
        if link is None:
            raise ConnectorError(
                f"There is no link of {kind} {key}.", hint=f"`connector show {kind} {key}` shows more."
            )
        mapping = self._mappings.of(kind)
        others: Mapping[str, str] = {}
        if mapping is not None:
            fields = {record.sobject: record.external_id for record in mapping.spec.records}
            others = await self._clear_keys([link, *parts.get(key, {}).values()], fields)
        detail = {"sobject": link.sobject, "id": link.salesforce_id, "by": (actor := command_line_actor())}
        async with self._store.transaction() as uow:
            await _check_leases(uow, worker)
            await links.drop(uow, org_id, kind.value, [key])
            if kind.value in PARTS:
                await links.drop_children(uow, org_id, PARTS[kind.value], [key])
            entry = journal.JournalEntry(
                entity=kind.value, key=key, action="unlinked", detail=detail, org_id=org_id, actor=actor
            )
            await journal.write(uow, [entry])
        return UnlinkResult(link=link, key_field=mapping.external_id if mapping is not None else None, others=others)

    async def _clear_keys(self, links_to_clear: Sequence[Link], fields: Mapping[str, str]) -> dict[str, str]:
        """Clear the key field (by object) of the existing records, if it holds our key. Returns other keys by ID."""
        others: dict[str, str] = {}
        for sobject, name in fields.items():
            by_id = {item.salesforce_id: item for item in links_to_clear if item.sobject == sobject}
            ours: list[str] = []
            query = "SELECT Id, {field:literal} FROM {sobject:literal} WHERE Id IN {values}"
            for part in in_chunks(query, sorted(by_id), sobject=sobject, field=name):
                for row in await self._client.query(part):
                    current_key, link = row[name], by_id[str(row["Id"])]
                    if current_key in {link.key, link.snapshot.get(name)} - {None}:
                        ours.append(link.salesforce_id)
                    elif current_key is not None:
                        others[link.salesforce_id] = str(current_key)
            for ids in chunks(ours):
                await self._write(sobject, ids, {name: None})
        return others

    @asynccontextmanager
    async def _exclusive_lease(self, kind: EntityKind, key: str) -> AsyncIterator[LeaseKeeper]:
        """Keep pushes from sending this entity. Raises StoreError if a running push does not end in time."""
        sync = self._settings.sync
        async with self._store.reader() as connection:
            loaded = await LOADERS[kind].load(connection, [key])
        slot = slot_of(loaded[0]) if loaded else slot_of_key(key)
        name = PRODUCT_LEASE if kind is EntityKind.PRODUCT else lease_name(slot % sync.partitions)
        async with LeaseKeeper(
            self._store, partitions=sync.partitions, ttl=sync.lease_seconds, clock=self._clock
        ) as worker:
            await worker.acquire_all([name])
            yield worker

    async def _get_profile(self, org_id: str) -> OrgProfile:
        return await discover_org(self._store, self._client, org_id, settings=self._settings.salesforce)

    async def _load_pending(self, org_id: str, profile: OrgProfile, kind: EntityKind, key: str) -> PendingEntity:
        mappings = self._mappings.with_persons(profile.person_type is not None)
        repository = SyncRepository(self._store, mappings, org_id=org_id)
        loaded = await repository.load_entities(kind, [key])
        if not loaded:
            raise ConnectorError(f"There is no {kind} {key} here.", hint="Correct the key, or import it.")
        [pending] = loaded
        if pending.problem is not None:
            raise ConnectorError(pending.problem.message, hint="Correct the value or the mapping line.")
        if pending.record is None:
            raise ConnectorError(
                f"{kind} {key} is left out by {self._mappings.folder}/{kind}.yaml.",
                hint="Let its `when` include it first.",
            )
        return pending

    async def _refuse_linked(self, org_id: str, pending: PendingEntity, target: str) -> None:
        """Raise if the record or the entity is linked already."""
        entity, link = f"{pending.change.entity} {pending.change.key}", pending.link
        async with self._store.reader() as connection:
            holder = (await links.find(connection, org_id, [target])).get(target)
        if holder is not None and (holder.entity, holder.key) != (pending.change.entity, pending.change.key):
            raise _linked_elsewhere(holder, target)
        if link is not None and link.salesforce_id != target and await existing_record_ids(self._client, [link]):
            raise ConnectorError(
                f"{entity} is linked to {link.sobject} {link.salesforce_id}, which the org still has.",
                hint=f"`connector unlink {entity}` first.",
            )

    async def _read_state(self, pending: PendingEntity, target: str, profile: OrgProfile) -> LinkState:
        record = pending.record
        assert record is not None
        target_link = Link(
            entity=record.entity, key=record.key, sobject=record.sobject, salesforce_id=target, snapshot={}
        )
        with_target = replace(
            pending, link=replace(pending.link, salesforce_id=target) if pending.link else target_link
        )
        state = (await read_org_states(self._client, [with_target], profile))[pending.change.key]
        if state.refusal is not None:
            raise _unusable_record(state.refusal, record, target)
        if state.link is None or state.link.salesforce_id != target:
            raise ConnectorError(
                f"There is no {record.sobject} {target} in the org"
                + (f"; {state.link.salesforce_id} has the key of {record.key}." if state.link else "."),
                hint="Correct the ID.",
            )
        return state

    async def _refuse_foreign_lines(self, record: MappedRecord, target: str) -> None:
        """Raise if the record has lines without our key: they would remain in addition to ours."""
        if not record.children:
            return
        sample = record.children[0]
        query = soql(
            "SELECT Id, {key:literal} FROM {sobject:literal} WHERE {up:literal} = {id}",
            key=sample.external_id, sobject=sample.sobject, up=f"{record.sobject}Id", id=target,
        )  # fmt: skip
        wanted = {line.key for line in record.children}
        foreign = [row["Id"] for row in await self._client.query(query) if row[sample.external_id] not in wanted]
        if foreign:
            raise ConnectorError(
                f"{record.sobject} {target} has {len(foreign)} order products that are not lines of {record.key}.",
                hint=f"Put the lines' keys ({sample.key}, …) into their {sample.external_id}, or delete them, first.",
            )

    def _differences(
        self, pending: PendingEntity, state: LinkState, profile: OrgProfile
    ) -> dict[str, tuple[FieldValue, FieldValue]]:
        record, link = pending.record, state.link
        assert record is not None
        assert link is not None
        wanted: Mapping[str, FieldValue] = normalize(record.fields)
        if pending.change.entity is not EntityKind.ORDER:
            upsert = build_record(record, profile, self._mappings.source, link=link)
            wanted = wanted if isinstance(upsert, Refusal) else upsert.fields
        differing = changed_fields(wanted, link.snapshot)
        differing.pop(record.external_id, None)  # linking sets it
        return {name: (link.snapshot.get(name), value) for name, value in differing.items()}

    async def _write(self, sobject: str, ids: Sequence[str], fields: Mapping[str, FieldValue]) -> None:
        outcomes = await self._client.collections_update([(sobject, record, fields) for record in ids])
        for record, outcome in zip(ids, outcomes, strict=True):
            if not outcome.success:
                reason = outcome.errors[0].message if outcome.errors else "no reason given"
                fault = classify_rows(outcome.errors)
                raise ConnectorError(
                    f"The org refused to change {', '.join(fields)} of {sobject} {record}: {reason}",
                    hint=self._settings.salesforce.with_full_names(fault.fix),
                    retry_class=RetryClass.DATA,
                )

    async def _store_link(
        self, org_id: str, pending: PendingEntity, new_links: Sequence[Link], worker: LeaseKeeper
    ) -> int:
        """Store the links; the first one is that of the entity itself. Returns the number of dead letters that are due
        again."""
        kind, key, link = pending.change.entity, pending.change.key, new_links[0]
        detail = {"sobject": link.sobject, "id": link.salesforce_id, "by": (actor := command_line_actor())}
        async with self._store.transaction() as uow:
            await _check_leases(uow, worker)
            stored = await store_links(uow, org_id, new_links)
            if (kind.value, key) in stored.refused:  # another process has just linked the record to another entity
                holder = stored.refused[kind.value, key][1]
                raise _linked_elsewhere(holder, link.salesforce_id)
            await mark_unconfirmed(uow, [part.owner for part in stored.dropped])
            entry = journal.JournalEntry(
                entity=kind.value, key=key, action="linked", detail=detail, org_id=org_id, actor=actor
            )
            await journal.write(uow, [entry])
            released = await dead_letters.replay(uow, kind, [key])
            released += await dead_letters.requeue_blocked_by(uow, [f"{kind} {key}"])
            assert pending.entity is not None
            uow.changed(kind, key, slot_of(pending.entity))
            if kind is EntityKind.CUSTOMER:
                # The org may have moved the customer's orders to this account, so they are read back.
                for number, customer in await orders.orders_referencing(uow.connection, kind, [key]):
                    uow.changed(EntityKind.ORDER, number, slot_of_key(customer), Lane.BACKFILL, unconfirmed=True)
        return released


def normalize_record_id(text: str) -> str:
    """Return the 18-character form of a record ID. Raises ConnectorError if it is invalid."""
    record = text.strip()
    if not (record.isascii() and record.isalnum() and len(record) in {15, 18}):
        raise ConnectorError(
            f"{text!r} is not a record ID.",
            hint="A record ID has 15 or 18 letters and digits; it is in the address of the record's page.",
        )
    short, suffix = record[:15], record[15:]
    if suffix and record in {record.upper(), record.lower()}:
        short = _with_case(short, suffix.upper())  # a spreadsheet may have changed the case; the suffix restores it
    if suffix and _suffix(short) != suffix.upper():
        raise ConnectorError(
            f"{text!r} is not a record ID: its last three letters do not go with the others.",
            hint="It has a typing error: copy it from the record's address.",
        )
    return short + _suffix(short)


def _suffix(short: str) -> str:
    """Return the three characters that encode which of the 15 characters are capital letters."""
    parts = (short[start : start + 5] for start in (0, 5, 10))
    return "".join(_SUFFIX[sum(1 << i for i, c in enumerate(part) if c.isupper())] for part in parts)


def _with_case(short: str, suffix: str) -> str:
    """Return the ID with the capital letters that `suffix` encodes."""
    capital = [bool(_SUFFIX.find(letter) >> place & 1) for letter in suffix for place in range(5)]
    return "".join(c.upper() if big else c.lower() for c, big in zip(short, capital, strict=True))


def _linked_elsewhere(holder: Link, target: str) -> ConnectorError:
    """Return the error for a record that is linked to another entity."""
    entity, key = holder.owner
    return ConnectorError(
        f"{holder.sobject} {target} is the record of {holder.entity} {holder.key}; a record belongs to one entity.",
        hint=f"If that is wrong, `connector unlink {entity} {key}` first.",
    )


async def _check_leases(uow: UnitOfWork, worker: LeaseKeeper) -> None:
    if await leases.list_lost(uow, worker.held_leases):
        raise another_push_error()


def _unusable_record(refusal: Refusal, record: MappedRecord, target: str) -> ConnectorError:
    """Return the error for a record that cannot be used, for the person who named it."""
    what = f"{record.sobject} {target}"
    match refusal.code:
        case deleted_record.REFUSED_AS_DELETED:
            return ConnectorError(
                f"There is no {what} in the org: it was deleted, is of another kind, or the connector's user may not"
                " see it.",
                hint="Correct the ID, or take the record out of the recycle bin.",
            )
        case "RECORD_MERGED":
            return ConnectorError(f"{what} was merged into another record.", hint="Name that one.")
        case "KEY_ON_ANOTHER_RECORD":
            return ConnectorError(
                refusal.message.partition(", but ")[2].capitalize(),
                hint=f"Empty that field there, or merge the two records, before you link {what}.",
            )
    return ConnectorError(refusal.message, hint=refusal.fix)
