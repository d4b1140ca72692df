"""Queries what the org holds of unconfirmed entities, before anything is written.

After a lost response, a crash between write and record, a database restored from a backup, or a record that somebody
deleted, merged or gave another key, the org knows more than our links. A record is found by the ID of its link first
and by our key second. A link whose record is gone is never replaced by a new record: that needs a person's decision. It
takes two queries for up to 300 entities, and two more for records that are gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Protocol

from connector.model.change import Refusal
from connector.model.describe import FieldDescribe
from connector.model.field_equality import prefer_ours_if_equal
from connector.model.observed_value import STAMP_FIELDS, observe
from connector.model.order import Order
from connector.model.record import IS_PERSON, SYNC_MESSAGE, FieldValue, Link, MappedRecord
from connector.model.stage import Stage
from connector.outbound.lost_records import (
    GoneRecord,
    rejection_for_deleted_record,
    rejection_for_key_on_another_record,
    rejection_for_key_on_several_records,
    rejection_for_merged_record,
)
from connector.outbound.org_profile import OrgProfile
from connector.outbound.plan_types import PendingEntity
from connector.outbound.shared_fields import (
    ChangedFields,
    agreed_values,
    fields_changed_by_others,
    held_names,
    keep_agreed,
)
from connector.salesforce.query import in_chunks, soql

ENTITIES_PER_QUERY = 300
"""Entities per query; with keys of usual length the query fits into a URL."""

_MAX_MERGES = 5
"""The longest chain of merges that is followed."""

_MASTER = "MasterRecordId"
_RECORD_TYPE = "RecordTypeId"
_BY_ID_OR_KEY = "SELECT {columns:literal} FROM {sobject:literal} WHERE {key:literal} IN {keys}"
_BY_ID = "SELECT Id, {columns:literal} FROM {sobject:literal} WHERE Id IN {values}"
_LINES = "SELECT Id, {columns:literal} FROM {sobject:literal} WHERE {up:literal} IN {values}"

Row = Mapping[str, Any]


class Reader(Protocol):
    @property
    def user_id(self) -> str: ...

    async def query(self, soql: str, *, include_deleted: bool = False) -> list[dict[str, Any]]: ...


@dataclass(frozen=True, kw_only=True)
class LinkState:
    """What the org holds of one entity: `link` and `lines` with the org's values, nothing, or a `refusal` to write.

    `ended`: deleted there and canceled here, so nothing is left to send. `stale_links` are links of lines that are gone
    on both sides, `missing_lines` links of lines that are gone in the org alone. `merged_id` is the ID of the
    record that was merged into that of `link`. `note` is a remark for a person.
    """

    link: Link | None = None
    lines: tuple[Link, ...] = ()
    stale_links: tuple[tuple[str, str], ...] = ()
    missing_lines: Mapping[str, Link] | None = None
    refusal: Refusal | None = None
    merged_id: str | None = None
    ended: bool = False
    note: str | None = None
    changed: ChangedFields = field(default_factory=ChangedFields)
    """Shared fields that somebody else changed in the org. In these, and in those that wait for a decision, `link` and
    `lines` have what both sides agreed on before."""


async def read_org_states(
    reader: Reader, pending_entities: Sequence[PendingEntity], profile: OrgProfile
) -> dict[str, LinkState]:
    """The state of each of these entities (of one kind) that has a record, by key."""
    states: dict[str, LinkState] = {}
    mapped = [item for item in pending_entities if item.record is not None]
    for start in range(0, len(mapped), ENTITIES_PER_QUERY):
        states |= await _StateReader(reader, mapped[start : start + ENTITIES_PER_QUERY], profile).read()
    return states


async def find_unexpected(reader: Reader, pending_entities: Sequence[PendingEntity]) -> dict[str, str]:
    """The entities whose record is not as our links say, with what the org has instead.

    That is: no live record for a link, a record with another key, or a record with the key of a new entity.
    """
    unexpected: dict[str, str] = {}
    mapped = [item for item in pending_entities if item.record is not None]
    for start in range(0, len(mapped), ENTITIES_PER_QUERY):
        batch = mapped[start : start + ENTITIES_PER_QUERY]
        record = batch[0].record
        assert record is not None
        rows = await reader.query(_by_id_or_key(batch, record.sobject, record.external_id, "Id"))
        by_id = {str(row["Id"]): row[record.external_id] for row in rows}
        by_key = {row[record.external_id]: str(row["Id"]) for row in rows}
        for item in batch:
            link, key = item.link, key_of(item)
            if link is None and key in by_key:
                unexpected[item.change.key] = f"{record.sobject} {by_key[key]}"
            elif link is not None and by_id.get(link.salesforce_id) != key:
                unexpected[item.change.key] = f"{record.sobject} {link.salesforce_id}"
    return unexpected


def key_of(pending: PendingEntity) -> str:
    """Our key as the record is to have it."""
    record = pending.record
    return "" if record is None else str(record.fields.get(record.external_id) or record.key).strip()


def _by_id_or_key(pending_entities: Sequence[PendingEntity], sobject: str, key: str, columns: str) -> str:
    names = {"columns": columns if key in columns.split(", ") else f"{columns}, {key}", "sobject": sobject, "key": key}
    query = soql(_BY_ID_OR_KEY, keys=[key_of(item) for item in pending_entities], **names)
    ids = [item.link.salesforce_id for item in pending_entities if item.link is not None]
    return query + (soql(" OR Id IN {ids}", ids=ids) if ids else "")


async def existing_record_ids(reader: Reader, links: Iterable[Link]) -> set[str]:
    """The IDs of those records that the org still has."""
    by_sobject: dict[str, list[str]] = {}
    for link in links:
        by_sobject.setdefault(link.sobject, []).append(link.salesforce_id)
    existing: set[str] = set()
    for sobject, ids in sorted(by_sobject.items()):
        for query in in_chunks("SELECT Id FROM {sobject:literal} WHERE Id IN {values}", ids, sobject=sobject):
            existing |= {row["Id"] for row in await reader.query(query)}
    return existing


class _StateReader:
    def __init__(self, reader: Reader, pending_entities: Sequence[PendingEntity], profile: OrgProfile) -> None:
        self._reader = reader
        self._candidates = pending_entities
        self._profile = profile
        records = [item.record for item in pending_entities if item.record is not None]
        first = records[0]
        self._sobject, self._key = first.sobject, first.external_id
        self._fields = profile.describes[self._sobject].fields if self._sobject in profile.describes else {}
        self._columns = self._columns_to_query(records)

    def _columns_to_query(self, records: Sequence[MappedRecord]) -> list[str]:
        columns = _columns(records)
        if self._sobject in {"Order", "ReturnOrder"}:
            # The status is always queried: a mapping may leave it to the org, and it decides which fields are frozen.
            columns.append("Status")
            columns += ["CurrencyIsoCode"] if self._profile.multi_currency else []
        more = (SYNC_MESSAGE, IS_PERSON, _RECORD_TYPE) if records[0].entity == "customer" else (SYNC_MESSAGE,)
        columns += [name for name in more if name in self._fields]
        return list(dict.fromkeys(columns))

    async def read(self) -> dict[str, LinkState]:
        rows = await self._query_live_records()
        by_id = {str(row["Id"]): row for row in rows}
        by_key: dict[str, list[Row]] = {}
        for row in rows:
            if row[self._key] is not None:
                by_key.setdefault(str(row[self._key]), []).append(row)
        not_live = [item for item in self._candidates if item.link is not None and item.link.salesforce_id not in by_id]
        gone = await self._query_gone_records([item.link.salesforce_id for item in not_live if item.link is not None])
        states = {
            item.change.key: self._decide(item, by_id, by_key.get(key_of(item), []), gone) for item in self._candidates
        }
        return await self._with_lines(states)

    async def _query_live_records(self) -> list[dict[str, Any]]:
        """Live records that have one of the IDs or one of the keys."""
        columns = ", ".join(["Id", *STAMP_FIELDS, *self._columns])
        return await self._reader.query(_by_id_or_key(self._candidates, self._sobject, self._key, columns))

    async def _query_gone_records(self, ids: Sequence[str]) -> dict[str, GoneRecord]:
        """What happened to records that are not live: deleted, merged into another one, or not visible."""
        gone_records: dict[str, GoneRecord] = {}
        waiting = list(ids)
        can_merge = self._sobject == "Account"
        columns = f"IsDeleted, SystemModstamp{', ' + _MASTER if can_merge else ''}"
        for _ in range(_MAX_MERGES):
            if not waiting:
                break
            rows: dict[str, Row] = {}
            for query in in_chunks(_BY_ID, waiting, columns=columns, sobject=self._sobject):
                rows |= {str(row["Id"]): row for row in await self._reader.query(query, include_deleted=True)}
            for record in waiting:
                row = rows.get(record)
                if row is None or row["IsDeleted"]:
                    deleted_at = None if row is None else str(row["SystemModstamp"])
                    gone_records[record] = GoneRecord(
                        sobject=self._sobject, id=record, deleted_at=deleted_at, master=(row or {}).get(_MASTER)
                    )
            waiting = [
                str(item.master) for item in gone_records.values() if item.master and item.master not in gone_records
            ]
            waiting = [record for record in dict.fromkeys(waiting) if record not in rows]
        masters = [item.master for item in gone_records.values() if item.master and item.master not in gone_records]
        if masters:
            await self._read_masters(gone_records, sorted(set(masters)))
        return gone_records

    async def _read_masters(self, gone_records: dict[str, GoneRecord], masters: Sequence[str]) -> None:
        names: dict[str, Any] = {"columns": ", ".join(self._columns), "sobject": self._sobject}
        for query in in_chunks(_BY_ID, masters, **names):
            for row in await self._reader.query(query):
                for record, gone in gone_records.items():
                    if gone.master == row["Id"]:
                        gone_records[record] = replace(gone, master_row=row)

    def _decide(
        self, pending: PendingEntity, by_id: Mapping[str, Row], keyed: Sequence[Row], gone: Mapping[str, GoneRecord]
    ) -> LinkState:
        change, link = pending.change, pending.link
        live = by_id.get(link.salesforce_id) if link is not None else None
        others = [row for row in keyed if live is None or row["Id"] != live["Id"]]
        if len(others) > 1:
            return LinkState(
                refusal=rejection_for_key_on_several_records(
                    change, self._sobject, self._key, [row["Id"] for row in others]
                )
            )
        if live is not None and others:
            return LinkState(
                refusal=rejection_for_key_on_another_record(
                    change, self._sobject, self._key, live["Id"], others[0]["Id"]
                )
            )
        if live is not None:
            return self._state_of_live_record(pending, live)
        if others:
            return self._state_of_keyed_record(pending, others[0], gone)
        if link is None:
            return LinkState()
        return self._state_of_gone_record(pending, gone[link.salesforce_id], gone)

    def _state_of_live_record(self, pending: PendingEntity, row: Row) -> LinkState:
        link, changed = self._build_link_and_changes(pending, row)
        if row[self._key] == key_of(pending):
            return LinkState(link=link, changed=changed)
        key_before = f"the key {row[self._key]}" if row[self._key] else "no key"
        note = f"{self._sobject} {row['Id']} of {_label(pending)} had {key_before} in the org: its key is put back."
        return LinkState(link=link, note=note, changed=changed)

    def _state_of_keyed_record(self, pending: PendingEntity, row: Row, gone: Mapping[str, GoneRecord]) -> LinkState:
        """A record other than the linked one has our key. The key decides, so the link follows it."""
        if pending.link is None:
            link, changed = self._build_link_and_changes(pending, row)
            return LinkState(link=link, changed=changed)
        link = self._build_link(pending, row)
        linked_id = pending.link.salesforce_id
        was_merged = linked_id in gone and gone[linked_id].master is not None
        how = "was merged into another" if was_merged else "is gone"
        note = f"{self._sobject} {linked_id} {how} in the org: {_label(pending)} follows its key to {row['Id']}."
        return LinkState(link=link, merged_id=linked_id if was_merged else None, note=note)

    def _state_of_gone_record(
        self, pending: PendingEntity, record: GoneRecord, gone: Mapping[str, GoneRecord]
    ) -> LinkState:
        linked_id = record.id
        for _ in range(_MAX_MERGES):
            if record.master is None or record.master not in gone:
                break
            record = gone[record.master]
        if isinstance(pending.entity, Order) and pending.entity.stage is Stage.CANCELED:
            return LinkState(ended=True)
        if record.master is None or record.master_row is None:
            return LinkState(refusal=rejection_for_deleted_record(pending.change, replace(record, id=linked_id)))
        key = record.master_row[self._key]
        if key not in {None, "", key_of(pending)}:
            return LinkState(
                refusal=rejection_for_merged_record(pending.change, replace(record, id=linked_id), f"has the key {key}")
            )
        note = f"{self._sobject} {linked_id} was merged into {record.master} in the org: {_label(pending)} follows it."
        return LinkState(link=self._build_link(pending, record.master_row), merged_id=linked_id, note=note)

    def _build_link_and_changes(self, pending: PendingEntity, row: Row) -> tuple[Link, ChangedFields]:
        """The link, and the shared fields that somebody else changed."""
        assert pending.record is not None
        link = self._build_link(pending, row)
        return self._with_agreed(pending, pending.record, link, row, self._fields, ChangedFields())

    def _with_agreed(
        self,
        pending: PendingEntity,
        record: MappedRecord,
        link: Link,
        row: Row,
        fields: Mapping[str, FieldDescribe],
        before: ChangedFields,
    ) -> tuple[Link, ChangedFields]:
        """`link` with what both sides agreed on in fields that somebody else changed or that are held, and the former
        in addition to `before`."""
        names = fields_changed_by_others(pending, record, row, fields, self._reader.user_id)
        changed = before.with_record(pending, record, link.salesforce_id, observe(names, row))
        return keep_agreed(link, agreed_values(pending, record), names | held_names(pending, record)), changed

    def _build_link(self, pending: PendingEntity, row: Row) -> Link:
        record = pending.record
        assert record is not None
        link = _build_link(record, pending.change.key, row, self._columns, self._fields)
        snapshot = pending.link.snapshot if pending.link is not None else {IS_PERSON: None}
        if IS_PERSON not in snapshot and not link.snapshot.get(IS_PERSON):
            # Created before the org had person accounts: it continues as an ordinary account.
            return replace(link, snapshot={name: value for name, value in link.snapshot.items() if name != IS_PERSON})
        return link

    async def _with_lines(self, states: dict[str, LinkState]) -> dict[str, LinkState]:
        lines = [line for item in self._candidates if item.record is not None for line in item.record.children]
        orders = {state.link.salesforce_id for state in states.values() if state.link is not None}
        if not orders or not (lines or any(item.line_links for item in self._candidates)):
            return states
        rows: dict[str, list[Row]] = {}
        if lines:
            parent_field, sobject = f"{self._sobject}Id", lines[0].sobject
            columns = list(dict.fromkeys([*_columns(lines), *STAMP_FIELDS, parent_field]))
            names: dict[str, Any] = {"columns": ", ".join(columns), "sobject": sobject, "up": parent_field}
            for query in in_chunks(_LINES, sorted(orders), **names):
                for row in await self._reader.query(query):
                    rows.setdefault(str(row[parent_field]), []).append(row)
        by_key = {item.change.key: item for item in self._candidates}
        sample = lines[0] if lines else None
        return {
            key: self._with_its_lines(by_key[key], state, rows.get(state.link.salesforce_id, []), sample)
            if state.link is not None
            else state
            for key, state in states.items()
        }

    def _with_its_lines(
        self, pending: PendingEntity, state: LinkState, rows: Sequence[Row], sample: MappedRecord | None
    ) -> LinkState:
        """`state` with the lines that the org has, found by the ID of a link first and by our key second. Other lines
        are the org's own."""
        record = pending.record
        assert record is not None
        if sample is None:  # without a mapped line the fields to query are unknown
            return replace(state, lines=tuple(pending.line_links.values()))
        wanted = {line.key: line for line in record.children}
        by_id = {link.salesforce_id: key for key, link in pending.line_links.items()}
        fields = self._profile.describes[sample.sobject].fields
        columns = _columns([sample, *wanted.values()])
        lines: dict[str, Link] = {}
        changed = state.changed
        for row in sorted(rows, key=lambda row: row["Id"] not in by_id):
            key = by_id.get(str(row["Id"])) or row[sample.external_id]
            if key is not None and str(key) not in lines:
                line = wanted.get(str(key), replace(sample, key=str(key), fields={}, lookups={}))
                link = _build_link(line, str(key), row, columns, fields)
                lines[str(key)], changed = self._with_agreed(pending, line, link, row, fields, changed)
        missing = {key: link for key, link in pending.line_links.items() if key not in lines}
        return replace(
            state,
            lines=tuple(lines.values()),
            changed=changed,
            stale_links=tuple((link.entity, key) for key, link in missing.items() if key not in wanted),
            missing_lines={key: link for key, link in missing.items() if key in wanted},
        )


def _label(pending: PendingEntity) -> str:
    return f"{pending.change.entity} {pending.change.key}"


def _columns(records: Sequence[MappedRecord]) -> list[str]:
    names = {record.external_id: None for record in records}
    for record in records:
        names.update(dict.fromkeys(record.fields))
        names.update(dict.fromkeys(record.lookups))
    return list(names)


def _build_link(
    record: MappedRecord, key: str, row: Row, columns: Sequence[str], fields: Mapping[str, FieldDescribe]
) -> Link:
    return Link(
        entity=record.entity,
        key=key,
        sobject=record.sobject,
        salesforce_id=str(row["Id"]),
        snapshot={
            name: prefer_ours_if_equal(_field_value(row.get(name)), record.fields.get(name), fields.get(name))
            for name in columns
        },
    )


def _field_value(value: Any) -> FieldValue:
    if value is None or isinstance(value, str | bool | int | Decimal):
        return value
    raise TypeError(f"a mapped field cannot hold {value!r}")
