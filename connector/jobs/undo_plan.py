"""Plans an undo: compares what a run wrote with what both sides hold now, and decides field by field.

It reads the records in the org, some hundred by a call, and changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from connector.errors import CommandError, ConnectorError, MappingError
from connector.inbound.receivers import Receivers
from connector.jobs.inbound_run import InboundJobContext
from connector.jobs.journal_values import is_cut, is_written, typed
from connector.jobs.org_identity import confirm_org
from connector.jobs.reconcile import fit_mappings
from connector.jobs.run_fields import Place, RunFields, WrittenField
from connector.jobs.undo_cause import find_sent_with, map_entity
from connector.mapping.mapper import MappingSet
from connector.model.change import ChangeState, EntityKind, Unsent
from connector.model.describe import FieldDescribe
from connector.model.field_equality import same_value
from connector.model.observed_value import STAMP_FIELDS, author_of, read_moment
from connector.model.record import IS_PERSON, LAST_SYNCED, SYNC_MESSAGE, FieldValue, Link, MappedRecord, child_field
from connector.model.run_name import RunKind, RunName
from connector.model.undo import Included, Side, UndoPlan, UndoRow, UndoState
from connector.outbound.entities import LOADERS
from connector.outbound.frozen_fields import CREATE_ONLY, SET_ONCE
from connector.outbound.org_profile import OrgProfile
from connector.outbound.preflight import normalize
from connector.salesforce.query import in_chunks
from connector.store import links, outbox, undos
from connector.store.engine import Store
from connector.store.queries import run_writes
from connector.store.sql import chunks

MAX_ENTRIES = 50_000
"""Journal entries of a run that are undone at once; of a larger run, choose keys."""
MAX_FIELDS = 50_000
"""Fields of a run that are undone at once: an order can have hundreds of lines."""
_PAGE = 20
"""Entries that are read between two looks at what else there is to do."""
_BY_ID = "SELECT Id, {columns:literal} FROM {sobject:literal} WHERE Id IN {values}"
_FIXED = CREATE_ONLY | SET_ONCE | {"Status", "CurrencyIsoCode", "RecordTypeId", "OwnerId"}
_UNSHOWN = frozenset({IS_PERSON, LAST_SYNCED, SYNC_MESSAGE})
"""Fields that say nothing of an order."""
ROWS_A_CALL = 200
_ON_ITS_WAY = "It was changed here since: that is on its way."
_SENT_WITH = "It was sent with the run, because it was changed here: it is not what the run was asked to change."
_DIFFERS = "What we would send is another value: correct the cause first, such as a mapping."
_HELD = "What we would send is another value: it is not sent until it changes."


@dataclass(frozen=True, kw_only=True, slots=True)
class UndoChoice:
    """What of a run is undone: everything, or only these keys of entities and these fields (`Description`,
    `Order.Description`). `included`: also what is otherwise left as it is. `since` and `until`: instead of a run, all
    that was written of these keys in that time."""

    keys: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    included: frozenset[Included] = frozenset()
    since: datetime | None = None
    until: datetime | None = None

    @property
    def period(self) -> str:
        """The name of the period, in the place of that of a run."""
        until = "now" if self.until is None else f"{self.until:%Y-%m-%d %H:%M:%S}"
        return f"writes from {self.since:%Y-%m-%d %H:%M:%S} to {until}"

    def has(self, item: WrittenField) -> bool:
        names = {item.field, f"{item.sobject}.{item.field}"}
        return not self.fields or bool(names & {*self.fields})


async def load_run(store: Store, run: str, chosen: UndoChoice, org_id: str) -> tuple[RunFields, bool]:
    """What a run wrote to this org or took from it, and whether another org was concerned as well. Raises CommandError
    if it wrote nothing that is known, or too much."""
    found, after, number, others = RunFields(), 0, 0, False
    too_large = CommandError(
        f"{run} made more than {MAX_ENTRIES:,} writes, or wrote more than {MAX_FIELDS:,} fields.",
        hint="Choose keys of entities, or fields, and undo a part of it at a time.", field="keys", rule="size",
    )  # fmt: skip
    async with store.reader() as connection:
        if chosen.since is not None:
            until = chosen.until or store.clock.now()
            entries = await run_writes.list_entries_between(
                connection, chosen.keys, since=chosen.since, until=until, limit=MAX_ENTRIES
            )
            found.add((entry for entry in entries if entry.org_id == org_id), chosen.has)
            if len(found.fields) > MAX_FIELDS:
                raise too_large
        while chosen.since is None and (
            page := await run_writes.list_entries(connection, run, keys=chosen.keys, after=after, limit=_PAGE)
        ):
            after, number = page[-1].id, number + len(page)
            others = others or any(entry.org_id not in {None, org_id} for entry in page)
            found.add((entry for entry in page if entry.org_id == org_id), chosen.has)
            if number > MAX_ENTRIES or len(found.fields) > MAX_FIELDS:
                raise too_large
            await asyncio.sleep(0)
    return found, others


async def plan_undo(context: InboundJobContext, run: str, chosen: UndoChoice | None = None) -> UndoPlan:
    """Say what undoing a run comes to. Raises CommandError for what is no run, and what `confirm_org` and queries
    raise."""
    chosen = chosen or UndoChoice()
    if RunName.parse(run) is None and (chosen.since is None or not chosen.keys):
        raise CommandError(
            f"There is no run {run}.", hint="`connector runs list` lists them.", field="run", rule="unknown"
        )
    reads = context.client.calls_made.reads
    org_id = await confirm_org(context.store, context.client, context.settings)
    async with context.store.reader() as connection:
        begun = [undo.run_name for undo in await undos.list_of_run(connection, run) if undo.org_id == org_id]
    found, others = await load_run(context.store, run, chosen, org_id)
    notes = ["It concerned another org as well: choose that org (CONNECTOR_ORG on the command line)."] if others else []
    if found.forgotten:
        notes.append(f"The values of {found.forgotten:,} of its writes are no longer kept.")
    profile, mappings = await fit_mappings(context, org_id)
    planner = _Planner(context, org_id, profile, mappings, found)
    planner.included = chosen.included
    await planner.load(await _load_undone(context.store, run, org_id))
    rows: list[UndoRow] = []
    for row in planner.rows():
        rows.append(row)
        if not len(rows) % 500:
            await asyncio.sleep(0)
    restored = sum(row.state is UndoState.RESTORE for row in rows)
    return UndoPlan(
        run=run,
        rows=rows,
        reads=context.client.calls_made.reads - reads,
        calls_at_most=2 * -(-restored // ROWS_A_CALL) + context.settings.sync.partitions if restored else 0,
        notes=notes,
        org_id=org_id,
        latest=begun[0] if begun else "",
    )


async def _load_undone(store: Store, run: str, org_id: str) -> RunFields | None:
    """What was written by the run that `run` undoes, if it is an undo."""
    name = RunName.parse(run)
    if name is None or name.kind is not RunKind.UNDO:
        return None
    async with store.reader() as connection:
        undo = await undos.get(connection, name.number)
    is_run = undo is not None and RunName.parse(undo.run) is not None
    return (await load_run(store, undo.run, UndoChoice(), org_id))[0] if undo is not None and is_run else RunFields()


@dataclass(kw_only=True)
class _Here:
    """What is here of an entity: our values of its record and of those of its lines, by key, if it can be mapped."""

    entity: Any
    link: Link | None
    records: dict[str, MappedRecord] = field(default_factory=dict)


class _Planner:
    """Decides each field of one run."""

    def __init__(
        self, context: InboundJobContext, org_id: str, profile: OrgProfile, mappings: MappingSet, found: RunFields
    ) -> None:
        self._store, self._client = context.store, context.client
        self._org_id, self._profile, self._mappings = org_id, profile, mappings
        self._found = found
        self._receivers = Receivers(mappings)
        self._links: dict[str, Link] = {}
        self._here: dict[tuple[str, str], _Here] = {}
        self._org: dict[str, Mapping[str, Any]] = {}
        self._unsent: dict[tuple[str, str], Unsent] = {}
        self._later: dict[tuple[str, str], RunFields] = {}
        self._sent_with: frozenset[Place] = frozenset()
        self._created_with: set[tuple[str, str]] = set()
        self.included: frozenset[Included] = frozenset()

    async def load(self, undone: RunFields | None) -> None:
        """Read both sides. `undone`: what the run that this one undoes has written."""
        wanted: dict[str, set[str]] = {}
        for item in self._found.fields.values():
            wanted.setdefault(item.entity, set()).add(item.key)
        ids = {item.record_id for item in self._found.fields.values() if item.record_id is not None}
        async with self._store.reader() as connection:
            self._links = await links.find(connection, self._org_id, sorted(ids))
            for entity, keys in wanted.items():
                kind = EntityKind(entity)
                unsent = await outbox.find(connection, kind, sorted(keys))
                self._unsent |= {(entity, key): row for key, row in unsent.items()}
                own = await links.get(connection, self._org_id, entity, sorted(keys))
                for some in chunks(sorted(keys), _PAGE):
                    for loaded in await LOADERS[kind].load(connection, some):
                        self._here[entity, loaded.key] = self._map(kind, loaded, own.get(loaded.key))
                        await asyncio.sleep(0)
                first = min(item.entry for item in self._found.fields.values())
                for some in chunks(sorted(keys), _PAGE):
                    later = await run_writes.list_later(connection, entity, some, after=first)
                    for key, entries in later.items():
                        self._later[entity, key] = fields = RunFields()
                        fields.add(entries, self._is_of_run)
                        await asyncio.sleep(0)
        await self._read_org()
        entities = {name: (here.entity, here.link) for name, here in self._here.items()}
        self._sent_with = await find_sent_with(
            self._store,
            self._found,
            undone,
            entities,
            org_id=self._profile.org_id,
            has_persons=self._profile.person_type is not None,
        )
        self._created_with = self._found.created & {(sobject, record) for _, sobject, record, _ in self._sent_with}

    def _is_of_run(self, item: WrittenField) -> bool:
        return item.place in self._found.fields

    def _map(self, kind: EntityKind, entity: Any, link: Link | None) -> _Here:
        here = _Here(entity=entity, link=link)
        try:
            record = map_entity(self._mappings, kind, entity, link)
        except MappingError:
            record = None  # the push refuses it, and says why
        if record is not None:
            here.records = {record.key: record} | {child.key: child for child in record.children}
        return here

    async def _read_org(self) -> None:
        """Read the fields of records that may be put back."""
        names: dict[str, set[str]] = {}
        ids: dict[str, set[str]] = {}
        for item in self._found.fields.values():
            describe = self._profile.describes.get(item.sobject)
            if item.side is Side.ORG and item.record_id in self._links and describe is not None and item.has_before:
                ids.setdefault(item.sobject, set()).add(str(item.record_id))
                names.setdefault(item.sobject, set()).update({item.field} & describe.fields.keys())
        for sobject, some in ids.items():
            columns = ", ".join([*STAMP_FIELDS, *sorted(names[sobject])])
            for query in in_chunks(_BY_ID, sorted(some), columns=columns, sobject=sobject):
                self._org |= {str(row["Id"]): row for row in await self._client.query(query)}

    def rows(self) -> Iterator[UndoRow]:
        """The decisions, by entity and record."""
        created = self._found.created
        for sobject, record in sorted(created):
            yield self._with_choice(self._created_row(sobject, record))
        for place in sorted(self._found.fields, key=lambda place: (*place[:3], place[3])):
            item = self._found.fields[place]
            if (item.sobject, item.record) in created or item.field in _UNSHOWN:
                continue
            if item.has_before and item.before == item.written and not item.deleted:
                continue  # our key, which goes with every update
            yield self._with_choice(self._decide(item), item.place)

    def _with_choice(self, row: UndoRow, place: Place | None = None) -> UndoRow:
        """The decision without what a person has to choose."""
        is_sent_with = (row.sobject, row.record) in self._created_with if place is None else place in self._sent_with
        if (
            is_sent_with
            and Included.SENT_WITH not in self.included
            and row.state not in {UndoState.RESTORED, UndoState.GONE}
        ):
            return replace(row, state=UndoState.SENT_WITH, holds=False, why=_SENT_WITH)
        if row.state is UndoState.RESTORE and row.holds and Included.DIFFERS not in self.included:
            return replace(row, state=UndoState.DIFFERS, holds=False, why=_DIFFERS)
        return row

    def _created_row(self, sobject: str, record: str) -> UndoRow:
        first = next(item for item in self._found.fields.values() if (item.sobject, item.record) == (sobject, record))
        why = f"It belongs to {first.entity} {first.key} here, and would be created again: cancel or change that."
        return replace(_row(first, UndoState.CREATED, why=why), field="", before=None, written=None)

    def _decide(self, item: WrittenField) -> UndoRow:
        if item.deleted:
            why = "The run deleted the record: a line that is to be there again is added to its order."
            return _row(item, UndoState.FIXED, why=why)
        if not item.is_kept:
            return _row(item, UndoState.UNKNOWN, why="The settings leave the values out of the journal.")
        if not item.has_before:
            return _row(item, UndoState.UNKNOWN, why="It is not known what was there before.")
        if item.side is Side.HERE and is_cut(item.before):
            return _row(item, UndoState.UNKNOWN, why="The journal has only the beginning of the text.")
        if (item.entity, item.key) not in self._here:
            return _row(item, UndoState.GONE, why=f"There is no {item.entity} {item.key} here any more.")
        return self._decide_here(item) if item.side is Side.HERE else self._decide_org(item)

    def _decide_org(self, item: WrittenField) -> UndoRow:
        link = self._links.get(item.record_id or "")
        row = self._org.get(item.record_id or "")
        if link is None or link.key != item.record or row is None:
            return _row(item, UndoState.GONE, why="The record is no longer there, or belongs to something else.")
        record = self._here[item.entity, item.key].records.get(item.record)
        describe = self._profile.describes[item.sobject].fields.get(item.field)
        if describe is None or item.field in _FIXED or self._follows(record, item.field):
            return _row(item, UndoState.FIXED, why="It follows another value, or never changes.")
        now, written = row[item.field], typed(item.written, describe)
        if same_value(now, item.before, describe):
            return _row(item, UndoState.RESTORED, now=now, why="It holds the former value.")
        if (undo := self._find_waiting(item, link)) is not None:
            return _row(item, UndoState.RESTORED, now=now, why=f"It is on its way: {undo} puts it back.")
        is_ours = record is not None and item.field in record.fields
        ours = self._ours(record, item.field)
        was_ours = is_ours and is_written(ours, written, link.snapshot.get(item.field), describe)
        is_former = same_value(ours, typed(item.before, describe), describe)
        if is_ours and not was_ours and not is_former and (item.entity, item.key) in self._unsent:
            return _row(item, UndoState.CHANGED, now=now, ours=ours, is_ours=True, who="connector", why=_ON_ITS_WAY)
        if not is_written(now, written, link.snapshot.get(item.field), describe):
            changed = self._changed_row(item, now, link, row, describe)
            holds = is_ours and changed.at is not None and not same_value(ours, now, describe)
            return replace(changed, ours=ours, is_ours=is_ours, holds=holds)
        if not same_value(link.snapshot.get(item.field), now, describe):
            return _row(item, UndoState.CHANGED, now=now, why=_ON_ITS_WAY)
        holds = is_ours and not is_former
        why = _HELD if holds else None
        return _row(item, UndoState.RESTORE, now=now, ours=ours, is_ours=is_ours, holds=holds, why=why)

    def _find_waiting(self, item: WrittenField, link: Link) -> str | None:
        """The name of the undo that puts the former value back with the next push, if there is one."""
        unsent = self._unsent.get((item.entity, item.key))
        if unsent is None or unsent.state is not ChangeState.DUE:
            return None
        restore = unsent.restores.get(child_field(link.key, item.field) if link.is_part else item.field)
        is_same = restore is not None and same_value(restore.value, item.before)
        return (unsent.run or "an undo") if is_same else None

    def _changed_row(
        self, item: WrittenField, now: FieldValue, link: Link, row: Mapping[str, Any], describe: FieldDescribe
    ) -> UndoRow:
        """Somebody has changed it: this side, if it was sent again since, or somebody in the org."""
        changed = _row(item, UndoState.CHANGED, now=now)
        if same_value(link.snapshot.get(item.field), now, describe):
            later = self._later.get((item.entity, item.key), RunFields()).fields.get(item.place)
            if later is not None and later.entry > item.entry:
                return replace(changed, who="connector", why="It was sent again since.")
        return replace(
            changed, who=author_of(row), at=read_moment(row["LastModifiedDate"]), why="Somebody changed it in the org."
        )

    @staticmethod
    def _follows(record: MappedRecord | None, name: str) -> bool:
        return record is not None and (name in record.lookups or name == record.external_id)

    @staticmethod
    def _ours(record: MappedRecord | None, name: str) -> FieldValue:
        return None if record is None or name not in record.fields else normalize({name: record.fields[name]})[name]

    def _decide_here(self, item: WrittenField) -> UndoRow:
        """A value here that was taken over from the org."""
        entity = self._here[item.entity, item.key].entity
        link = self._links.get(item.record_id or "")
        receiver = None if link is None else self._receivers.of(link)
        if link is None or receiver is None or link.is_part or item.field not in receiver.received:
            return _row(item, UndoState.FIXED, why="Change it in the order itself.")
        try:
            values = receiver.local_values(entity)
        except ConnectorError as error:
            return _row(item, UndoState.UNKNOWN, why=error.message)
        describe = self._profile.describes[item.sobject].fields.get(item.field)
        now = values.get(item.field)
        if same_value(now, typed(item.before, describe), describe):
            return _row(item, UndoState.RESTORED, now=now, why="It holds the former value.")
        if not is_written(now, typed(item.written, describe), now, describe):
            return _row(item, UndoState.CHANGED, now=now, who="connector", why="It was changed here since.")
        before = typed(item.before, describe)
        return replace(_row(item, UndoState.RESTORE, now=now), before=before)


def rows_by_entity(rows: Sequence[UndoRow], states: Collection[UndoState]) -> dict[tuple[str, str], list[UndoRow]]:
    """The rows in these states, by entity and key."""
    found: dict[tuple[str, str], list[UndoRow]] = {}
    for row in rows:
        if row.state in states:
            found.setdefault((row.entity, row.key), []).append(row)
    return found


def _row(item: WrittenField, state: UndoState, **more: Any) -> UndoRow:
    return UndoRow(
        state=state, side=item.side, entity=item.entity, key=item.key, sobject=item.sobject, record=item.record,
        record_id=item.record_id, field=item.field, before=item.before, written=item.written,
        personal=item.is_personal, **more,
    )  # fmt: skip
