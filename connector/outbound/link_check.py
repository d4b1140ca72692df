"""Looks up what the org holds of entities we are not sure of, before anything is written.

A lost response, a crash between write and record, a database restored from yesterday, a record that somebody deleted,
merged or gave another key: in each of them the org knows more than we do. A record is found by the ID of its link first
and by our key second. A link whose record is gone is never replaced by a new record: that needs a person's word.
It sends two queries for up to 300 entities, and two more for those that are gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from connector.model.change import Refusal
from connector.model.describe import FieldDescribe
from connector.model.record import IS_PERSON, FieldValue, Link, MappedRecord
from connector.outbound.lost_records import Gone, deleted, key_on_another, key_on_several, merged
from connector.outbound.org_profile import OrgProfile
from connector.outbound.plan_types import PendingEntity
from connector.salesforce.query import in_chunks, soql

AT_ONCE = 300
"""Entities a query: with keys of usual length it fits into a URL."""

_MERGES = 5
"""Records that may have been merged into each other, one after the other."""

_MASTER = "MasterRecordId"
_RECORD_TYPE = "RecordTypeId"
_BY_ID_OR_KEY = "SELECT {columns:literal} FROM {sobject:literal} WHERE {key:literal} IN {keys}"
_BY_ID = "SELECT Id, {columns:literal} FROM {sobject:literal} WHERE Id IN {values}"
_LINES = "SELECT Id, {columns:literal} FROM {sobject:literal} WHERE {up:literal} IN {values}"

Row = Mapping[str, Any]


class Reader(Protocol):
    async def query(self, soql: str, *, include_deleted: bool = False) -> list[dict[str, Any]]: ...


@dataclass(frozen=True, kw_only=True)
class LinkState:
    """What the org holds of one entity: `link` and `parts` (its lines) with the org's values, or nothing, or a
    `refusal` that says why nothing may be written.

    `stale` are links of lines that are gone on both sides, `lost` those of lines that are gone in the org alone.
    `before` is the ID of the record that was merged into that of `link`. `note` tells a person what was found out.
    """

    link: Link | None = None
    parts: tuple[Link, ...] = ()
    stale: tuple[tuple[str, str], ...] = ()
    lost: Mapping[str, Link] | None = None
    refusal: Refusal | None = None
    before: str | None = None
    note: str | None = None


async def look_up(reader: Reader, candidates: Sequence[PendingEntity], facts: OrgProfile) -> dict[str, LinkState]:
    """A sighting for each of `candidates` (of one kind) that has a record, by key."""
    found: dict[str, LinkState] = {}
    known = [item for item in candidates if item.record is not None]
    for start in range(0, len(known), AT_ONCE):
        found |= await _Look(reader, known[start : start + AT_ONCE], facts).sightings()
    return found


async def unexpected(reader: Reader, candidates: Sequence[PendingEntity]) -> dict[str, str]:
    """Those whose record is not as we know it, with what the org has: no live record of a linked one, or one with
    another key; a record with the key of a new one."""
    odd: dict[str, str] = {}
    known = [item for item in candidates if item.record is not None]
    for start in range(0, len(known), AT_ONCE):
        some = known[start : start + AT_ONCE]
        record = some[0].record
        assert record is not None
        rows = await reader.query(_by_id_or_key(some, record.sobject, record.external_id, "Id"))
        by_id = {str(row["Id"]): row[record.external_id] for row in rows}
        by_key = {row[record.external_id]: str(row["Id"]) for row in rows}
        for item in some:
            link, key = item.link, key_of(item)
            if link is None and key in by_key:
                odd[item.change.key] = f"{record.sobject} {by_key[key]}"
            elif link is not None and by_id.get(link.salesforce_id) != key:
                odd[item.change.key] = f"{record.sobject} {link.salesforce_id}"
    return odd


def key_of(candidate: PendingEntity) -> str:
    """Our key as the record shall have it."""
    record = candidate.record
    return "" if record is None else str(record.fields.get(record.external_id) or record.key).strip()


def _by_id_or_key(candidates: Sequence[PendingEntity], sobject: str, key: str, columns: str) -> str:
    names = {"columns": columns if key in columns.split(", ") else f"{columns}, {key}", "sobject": sobject, "key": key}
    query = soql(_BY_ID_OR_KEY, keys=[key_of(item) for item in candidates], **names)
    ids = [item.link.salesforce_id for item in candidates if item.link is not None]
    return query + (soql(" OR Id IN {ids}", ids=ids) if ids else "")


async def records_there(reader: Reader, links: Iterable[Link]) -> set[str]:
    """The IDs of those records that the org still has."""
    by_sobject: dict[str, list[str]] = {}
    for link in links:
        by_sobject.setdefault(link.sobject, []).append(link.salesforce_id)
    there: set[str] = set()
    for sobject, ids in sorted(by_sobject.items()):
        for query in in_chunks("SELECT Id FROM {sobject:literal} WHERE Id IN {values}", ids, sobject=sobject):
            there |= {row["Id"] for row in await reader.query(query)}
    return there


class _Look:
    def __init__(self, reader: Reader, candidates: Sequence[PendingEntity], facts: OrgProfile) -> None:
        self._reader = reader
        self._candidates = candidates
        self._facts = facts
        records = [item.record for item in candidates if item.record is not None]
        first = records[0]
        self._sobject, self._key = first.sobject, first.external_id
        self._fields = facts.describes[self._sobject].fields if self._sobject in facts.describes else {}
        self._columns = self._asked(records)

    def _asked(self, records: Sequence[MappedRecord]) -> list[str]:
        columns = _columns(records)
        if self._sobject in {"Order", "ReturnOrder"}:
            # The status is always asked for: a mapping may leave it to the org, and what is frozen depends on it.
            columns.append("Status")
            columns += ["CurrencyIsoCode"] if self._facts.multi_currency else []
        if records[0].entity == "customer":
            columns += [name for name in (IS_PERSON, _RECORD_TYPE) if name in self._fields]
        return list(dict.fromkeys(columns))

    async def sightings(self) -> dict[str, LinkState]:
        rows = await self._rows()
        by_id = {str(row["Id"]): row for row in rows}
        by_key: dict[str, list[Row]] = {}
        for row in rows:
            if row[self._key] is not None:
                by_key.setdefault(str(row[self._key]), []).append(row)
        lost = [item for item in self._candidates if item.link is not None and item.link.salesforce_id not in by_id]
        gone = await self._gone([item.link.salesforce_id for item in lost if item.link is not None])
        found = {
            item.change.key: self._decide(item, by_id, by_key.get(key_of(item), []), gone) for item in self._candidates
        }
        return await self._with_lines(found)

    async def _rows(self) -> list[dict[str, Any]]:
        """Live records that have one of the IDs or one of the keys."""
        columns = ", ".join(["Id", *self._columns])
        return await self._reader.query(_by_id_or_key(self._candidates, self._sobject, self._key, columns))

    async def _gone(self, ids: Sequence[str]) -> dict[str, Gone]:
        """What became of records that are not live: deleted, merged into another, or not to be seen."""
        found: dict[str, Gone] = {}
        waiting = list(ids)
        can_merge = self._sobject == "Account"
        columns = f"IsDeleted, SystemModstamp{', ' + _MASTER if can_merge else ''}"
        for _ in range(_MERGES):
            if not waiting:
                break
            rows: dict[str, Row] = {}
            for query in in_chunks(_BY_ID, waiting, columns=columns, sobject=self._sobject):
                rows |= {str(row["Id"]): row for row in await self._reader.query(query, include_deleted=True)}
            for record in waiting:
                row = rows.get(record)
                if row is None or row["IsDeleted"]:
                    at = None if row is None else str(row["SystemModstamp"])
                    found[record] = Gone(sobject=self._sobject, id=record, at=at, master=(row or {}).get(_MASTER))
            waiting = [str(item.master) for item in found.values() if item.master and item.master not in found]
            waiting = [record for record in dict.fromkeys(waiting) if record not in rows]
        masters = [item.master for item in found.values() if item.master and item.master not in found]
        if masters:
            await self._read_masters(found, sorted(set(masters)))
        return found

    async def _read_masters(self, found: dict[str, Gone], masters: Sequence[str]) -> None:
        names: dict[str, Any] = {"columns": ", ".join(self._columns), "sobject": self._sobject}
        for query in in_chunks(_BY_ID, masters, **names):
            for row in await self._reader.query(query):
                for record, gone in found.items():
                    if gone.master == row["Id"]:
                        found[record] = replace(gone, row=row)

    def _decide(
        self, candidate: PendingEntity, by_id: Mapping[str, Row], keyed: Sequence[Row], gone: Mapping[str, Gone]
    ) -> LinkState:
        change, link = candidate.change, candidate.link
        live = by_id.get(link.salesforce_id) if link is not None else None
        others = [row for row in keyed if live is None or row["Id"] != live["Id"]]
        if len(others) > 1:
            return LinkState(refusal=key_on_several(change, self._sobject, self._key, [row["Id"] for row in others]))
        if live is not None and others:
            return LinkState(refusal=key_on_another(change, self._sobject, self._key, live["Id"], others[0]["Id"]))
        if live is not None:
            return self._seen(candidate, live)
        if others:
            return self._instead(candidate, others[0], gone)
        if link is None:
            return LinkState()
        return self._lost(candidate, gone[link.salesforce_id], gone)

    def _seen(self, candidate: PendingEntity, row: Row) -> LinkState:
        link = self._link(candidate, row)
        if row[self._key] == key_of(candidate):
            return LinkState(link=link)
        had = f"the key {row[self._key]}" if row[self._key] else "no key"
        note = f"{self._sobject} {row['Id']} of {_named(candidate)} had {had} in the org: its key is put back."
        return LinkState(link=link, note=note)

    def _instead(self, candidate: PendingEntity, row: Row, gone: Mapping[str, Gone]) -> LinkState:
        """Another record than that of the link has our key, which is as good: the key is what makes it ours."""
        link = self._link(candidate, row)
        if candidate.link is None:
            return LinkState(link=link)
        before = candidate.link.salesforce_id
        was_merged = before in gone and gone[before].master is not None
        how = "was merged into another" if was_merged else "is gone"
        note = f"{self._sobject} {before} {how} in the org: {_named(candidate)} follows its key to {row['Id']}."
        return LinkState(link=link, before=before if was_merged else None, note=note)

    def _lost(self, candidate: PendingEntity, found: Gone, gone: Mapping[str, Gone]) -> LinkState:
        before = found.id
        for _ in range(_MERGES):
            if found.master is None or found.master not in gone:
                break
            found = gone[found.master]
        if found.master is None or found.row is None:
            return LinkState(refusal=deleted(candidate.change, replace(found, id=before)))
        key = found.row[self._key]
        if key not in {None, "", key_of(candidate)}:
            return LinkState(refusal=merged(candidate.change, replace(found, id=before), f"has the key {key}"))
        note = f"{self._sobject} {before} was merged into {found.master} in the org: {_named(candidate)} follows it."
        return LinkState(link=self._link(candidate, found.row), before=before, note=note)

    def _link(self, candidate: PendingEntity, row: Row) -> Link:
        record = candidate.record
        assert record is not None
        link = _link_of(record, candidate.change.key, row, self._columns, self._fields)
        had = candidate.link.snapshot if candidate.link is not None else {IS_PERSON: None}
        if IS_PERSON not in had and not link.snapshot.get(IS_PERSON):
            # Made before the org told persons from companies: it goes on as an account like any other.
            return replace(link, snapshot={name: value for name, value in link.snapshot.items() if name != IS_PERSON})
        return link

    async def _with_lines(self, found: dict[str, LinkState]) -> dict[str, LinkState]:
        lines = [line for item in self._candidates if item.record is not None for line in item.record.children]
        orders = {sighting.link.salesforce_id for sighting in found.values() if sighting.link is not None}
        if not orders or not (lines or any(item.links for item in self._candidates)):
            return found
        rows: dict[str, list[Row]] = {}
        if lines:
            up, sobject = f"{self._sobject}Id", lines[0].sobject
            columns = list(dict.fromkeys([*_columns(lines), up]))
            names: dict[str, Any] = {"columns": ", ".join(columns), "sobject": sobject, "up": up}
            for query in in_chunks(_LINES, sorted(orders), **names):
                for row in await self._reader.query(query):
                    rows.setdefault(str(row[up]), []).append(row)
        by_key = {item.change.key: item for item in self._candidates}
        sample = lines[0] if lines else None
        return {
            key: self._lined(by_key[key], sighting, rows.get(sighting.link.salesforce_id, []), sample)
            if sighting.link is not None
            else sighting
            for key, sighting in found.items()
        }

    def _lined(
        self, candidate: PendingEntity, sighting: LinkState, rows: Sequence[Row], sample: MappedRecord | None
    ) -> LinkState:
        """With the lines the org has: by the ID of a link first, by our key second. Others are the org's own."""
        record = candidate.record
        assert record is not None
        if sample is None:  # nothing says by which fields to ask
            return replace(sighting, parts=tuple(candidate.links.values()))
        wanted = {line.key: line for line in record.children}
        by_id = {link.salesforce_id: key for key, link in candidate.links.items()}
        fields = self._facts.describes[sample.sobject].fields
        columns = _columns([sample, *wanted.values()])
        parts: dict[str, Link] = {}
        for row in sorted(rows, key=lambda row: row["Id"] not in by_id):
            key = by_id.get(str(row["Id"])) or row[sample.external_id]
            if key is not None and str(key) not in parts:
                line = wanted.get(str(key), replace(sample, key=str(key), fields={}, lookups={}))
                parts[str(key)] = _link_of(line, str(key), row, columns, fields)
        missing = {key: link for key, link in candidate.links.items() if key not in parts}
        return replace(
            sighting,
            parts=tuple(parts.values()),
            stale=tuple((link.entity, key) for key, link in missing.items() if key not in wanted),
            lost={key: link for key, link in missing.items() if key in wanted},
        )


def _named(candidate: PendingEntity) -> str:
    return f"{candidate.change.entity} {candidate.change.key}"


def _columns(records: Sequence[MappedRecord]) -> list[str]:
    names = {record.external_id: None for record in records}
    for record in records:
        names.update(dict.fromkeys(record.fields))
        names.update(dict.fromkeys(record.lookups))
    return list(names)


def _link_of(
    record: MappedRecord, key: str, row: Row, columns: Sequence[str], fields: Mapping[str, FieldDescribe]
) -> Link:
    return Link(
        entity=record.entity,
        key=key,
        sobject=record.sobject,
        salesforce_id=str(row["Id"]),
        snapshot={name: _agreed(_value(row.get(name)), record.fields.get(name), fields.get(name)) for name in columns},
    )


def _agreed(value: FieldValue, ours: FieldValue, field: FieldDescribe | None) -> FieldValue:
    """`ours` where the org's `value` says the same in other letters: so that nothing is sent that changes nothing."""
    if not isinstance(value, str) or not isinstance(ours, str) or field is None:
        return value
    return ours if _canonical(value, field.type) == _canonical(ours, field.type) else value


def _canonical(text: str, type_of_field: str) -> object:
    text = text.replace("\r\n", "\n").strip()
    match type_of_field:
        case "datetime":
            try:
                return datetime.fromisoformat(text).replace(microsecond=0)
            except ValueError:
                return text
        case "multipicklist":
            return frozenset(part.strip() for part in text.split(";"))
        case "email":
            return text.lower()
        case "reference" | "id":
            return text[:15]
    return text


def _value(value: Any) -> FieldValue:
    if value is None or isinstance(value, str | bool | int | Decimal):
        return value
    raise TypeError(f"a mapped field cannot hold {value!r}")
