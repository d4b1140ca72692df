"""Ties an entity to a record of the org that a person names, or unties it.

The key is written first, then the link is stored: if we are killed in between, the record is found by its key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from connector.clock import Clock
from connector.errors import ConnectorError, RetryClass
from connector.jobs.org import confirm_org
from connector.mapping import MappingSet
from connector.model.change import EntityKind, Refusal
from connector.model.record import FieldValue, Link, MappedRecord, changed_fields
from connector.outbound.accounts import written
from connector.outbound.batches import chunks
from connector.outbound.facts import OrgFacts
from connector.outbound.identity import Sighting, look_up, records_there
from connector.outbound.learn import learn
from connector.outbound.ledger import PARTS, Ledger
from connector.outbound.lost import LINKABLE
from connector.outbound.preflight import fitted
from connector.outbound.work import Candidate
from connector.salesforce.client import SalesforceClient
from connector.salesforce.fault import classify_rows
from connector.salesforce.query import soql
from connector.settings import Settings
from connector.store import journal, links, orders, outbox
from connector.store.engine import Store
from connector.store.unit import Lane, slot_of

_SUFFIX = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"


@dataclass(frozen=True, kw_only=True)
class Linked:
    """`differs`: what the org has and what is here, by field; `released`: dead letters that are due again."""

    link: Link
    differs: Mapping[str, tuple[FieldValue, FieldValue]] = field(default_factory=dict)
    released: int = 0
    overwritten: str | None = None


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

    async def link(self, kind: EntityKind, key: str, record_id: str, *, force: bool, dry_run: bool) -> Linked:
        """Put our key on the record, and keep what it holds as what both sides agree on: the next push sends the rest.

        ConnectorError if the record is not there, is another entity's, or has another key and `force` is not given.
        """
        if kind not in LINKABLE:
            raise ConnectorError(f"A {kind} cannot be linked.", hint="Link its order.")
        org_id = await confirm_org(self._store, self._client, self._settings)
        target = full_id(record_id)
        facts = await self._facts(org_id)
        candidate = await self._candidate(org_id, facts, kind, key)
        await self._refuse_linked(org_id, candidate, target)
        sighting = await self._see(candidate, target, facts)
        link, record = sighting.link, candidate.record
        assert link is not None
        assert record is not None
        ours = fitted({record.external_id: record.fields.get(record.external_id, record.key)})
        has = link.snapshot.get(record.external_id)
        another = str(has) if has is not None and has != ours[record.external_id] else None
        if another is not None and not force:
            raise ConnectorError(
                f"{link.sobject} {target} has the key {another} in {record.external_id}.",
                hint="If that key may be overwritten, add --force.",
            )
        if kind is EntityKind.ORDER:
            await self._refuse_foreign_lines(record, target)
        linked = Linked(link=link, differs=self._differing(candidate, sighting, facts), overwritten=another)
        if dry_run:
            return linked
        if has != ours[record.external_id]:
            await self._write(link.sobject, [target], ours)
        link = replace(link, snapshot={**link.snapshot, **ours})
        return replace(linked, released=await self._store_link(org_id, candidate, link, sighting.parts))

    async def unlink(self, kind: EntityKind, key: str) -> Link:
        """Take our key off the record and forget the link, as if the entity had never been sent."""
        org_id = await confirm_org(self._store, self._client, self._settings)
        async with self._store.reader() as connection:
            link = (await links.get(connection, org_id, kind.value, [key])).get(key)
            parts: Mapping[str, Mapping[str, Link]] = {}
            if kind is EntityKind.ORDER or kind is EntityKind.RETURN:
                parts = await links.children(connection, org_id, PARTS[kind.value], [key])
        if link is None:
            raise ConnectorError(
                f"There is no link of {kind} {key}.", hint=f"`connector show {kind} {key}` tells more."
            )
        mapping = self._mappings.of(kind)
        known = [link, *parts.get(key, {}).values()]
        there = await records_there(self._client, known)
        if mapping is not None:
            for sobject in dict.fromkeys(item.sobject for item in known):
                ids = [item.salesforce_id for item in known if item.sobject == sobject and item.salesforce_id in there]
                for some in chunks(ids):
                    await self._write(sobject, some, {mapping.external_id: None})
        detail = {"sobject": link.sobject, "id": link.salesforce_id, "by": "command line"}
        async with self._store.transaction() as uow:
            await links.drop(uow, org_id, kind.value, [key])
            if kind.value in PARTS:
                await links.drop_children(uow, org_id, PARTS[kind.value], [key])
            entry = journal.Entry(entity=kind.value, key=key, action="unlinked", detail=detail, org_id=org_id)
            await journal.write(uow, [entry])
        return link

    async def _facts(self, org_id: str) -> OrgFacts:
        given = self._settings.salesforce
        return await learn(
            self._store, self._client, org_id, version=given.api_version, currency=given.currency, clock=self._clock
        )

    async def _candidate(self, org_id: str, facts: OrgFacts, kind: EntityKind, key: str) -> Candidate:
        mappings = self._mappings.with_persons(facts.person_type is not None)
        ledger = Ledger(self._store, mappings, org_id=org_id, terms={}, clock=self._clock)
        found = await ledger.some(kind, [key])
        if not found:
            raise ConnectorError(f"There is no {kind} {key} here.", hint="Correct the key, or import it.")
        [candidate] = found
        if candidate.problem is not None:
            raise ConnectorError(candidate.problem.message, hint="Correct the value or the mapping line.")
        if candidate.record is None:
            raise ConnectorError(
                f"{kind} {key} is left out by mappings/{kind}.yaml.", hint="Let its `when` include it first."
            )
        return candidate

    async def _refuse_linked(self, org_id: str, candidate: Candidate, target: str) -> None:
        """One record, one entity."""
        entity, link = f"{candidate.change.entity} {candidate.change.key}", candidate.link
        async with self._store.reader() as connection:
            holder = (await links.find(connection, org_id, [target])).get(target)
        if holder is not None and (holder.entity, holder.key) != (candidate.change.entity, candidate.change.key):
            raise ConnectorError(
                f"{holder.sobject} {target} is the record of {holder.entity} {holder.key}; a record belongs to one"
                " entity.",
                hint=f"If that is wrong, `connector unlink {holder.entity} {holder.key}` first.",
            )
        if link is not None and link.salesforce_id != target and await records_there(self._client, [link]):
            raise ConnectorError(
                f"{entity} is linked to {link.sobject} {link.salesforce_id}, which the org still has.",
                hint=f"`connector unlink {entity}` first.",
            )

    async def _see(self, candidate: Candidate, target: str, facts: OrgFacts) -> Sighting:
        record = candidate.record
        assert record is not None
        named = Link(entity=record.entity, key=record.key, sobject=record.sobject, salesforce_id=target, snapshot={})
        asked = replace(candidate, link=replace(candidate.link, salesforce_id=target) if candidate.link else named)
        sighting = (await look_up(self._client, [asked], facts))[candidate.change.key]
        if sighting.refusal is not None:
            raise _unfit(sighting.refusal, record, target)
        if sighting.link is None or sighting.link.salesforce_id != target:
            raise ConnectorError(
                f"There is no {record.sobject} {target} in the org"
                + (f"; {sighting.link.salesforce_id} has the key of {record.key}." if sighting.link else "."),
                hint="Correct the ID.",
            )
        return sighting

    async def _refuse_foreign_lines(self, record: MappedRecord, target: str) -> None:
        """Lines without our key would stay, and ours would be added to them."""
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

    def _differing(
        self, candidate: Candidate, sighting: Sighting, facts: OrgFacts
    ) -> dict[str, tuple[FieldValue, FieldValue]]:
        record, link = candidate.record, sighting.link
        assert record is not None
        assert link is not None
        wanted: Mapping[str, FieldValue] = fitted(record.fields)
        if candidate.change.entity is not EntityKind.ORDER:
            new = written(record, facts, self._mappings.source, link=link)
            wanted = wanted if isinstance(new, Refusal) else new.fields
        differing = changed_fields(wanted, link.snapshot)
        differing.pop(record.external_id, None)  # that is what linking puts right
        return {name: (link.snapshot.get(name), value) for name, value in differing.items()}

    async def _write(self, sobject: str, ids: Sequence[str], fields: Mapping[str, FieldValue]) -> None:
        outcomes = await self._client.collections_update([(sobject, record, fields) for record in ids])
        for record, outcome in zip(ids, outcomes, strict=True):
            if not outcome.success:
                said = outcome.errors[0].message if outcome.errors else "no reason given"
                fault = classify_rows(outcome.errors)
                raise ConnectorError(
                    f"The org refused to change {', '.join(fields)} of {sobject} {record}: {said}",
                    hint=fault.fix,
                    retry_class=RetryClass.DATA,
                )

    async def _store_link(self, org_id: str, candidate: Candidate, link: Link, parts: Sequence[Link]) -> int:
        """How many dead letters waited for it."""
        kind, key = candidate.change.entity, candidate.change.key
        detail = {"sobject": link.sobject, "id": link.salesforce_id, "by": "command line"}
        async with self._store.transaction() as uow:
            await links.put(uow, org_id, [link, *parts])
            entry = journal.Entry(entity=kind.value, key=key, action="linked", detail=detail, org_id=org_id)
            await journal.write(uow, [entry])
            released = await outbox.replay(uow, kind, [key]) + await outbox.revive(uow, [f"{kind} {key}"])
            entity = candidate.entity
            owner = getattr(entity, "customer", entity).key
            uow.changed(kind, key, slot_of(owner))
            if kind is EntityKind.CUSTOMER:
                # The org may have moved its orders to this account, or not: they are looked at.
                for number, customer in await orders.using(uow.connection, kind, [key]):
                    uow.changed(EntityKind.ORDER, number, slot_of(customer), Lane.BACKFILL, unsure=True)
        return released


def full_id(text: str) -> str:
    """The 18-character form of a record ID. ConnectorError for what is none."""
    record = text.strip()
    if not (record.isascii() and record.isalnum() and len(record) in {15, 18}):
        raise ConnectorError(
            f"{text!r} is no record ID.", hint="It has 15 or 18 letters and digits, as in the address."
        )
    parts = (record[start : start + 5] for start in (0, 5, 10))
    return record[:15] + "".join(_SUFFIX[sum(1 << i for i, c in enumerate(part) if c.isupper())] for part in parts)


def _unfit(refusal: Refusal, record: MappedRecord, target: str) -> ConnectorError:
    """The words for somebody who has just named this record."""
    what = f"{record.sobject} {target}"
    match refusal.code:
        case "ENTITY_IS_DELETED":
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
