"""What one answer of the org means for one entity: a link gained, a refusal, a try again. Nothing is stored yet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from connector.errors import Scope
from connector.model.change import Refusal
from connector.model.outcome import Outcome, RowError
from connector.model.record import IS_PERSON, FieldValue, Link
from connector.outbound.lost_records import duplicates_found, taken
from connector.outbound.plan_types import Fields, OrderGraph, PendingEntity, RecordUpdate, RecordUpsert, Upsert
from connector.outbound.plan_types import OrderRewrite as WorkSequence
from connector.outbound.preflight import Source
from connector.salesforce.fault import OF_FIELDS, TABLE, Fault, classify_row, without_replay

Written = frozenset[tuple[str, str]]
"""Fields, each with its object."""

FOLLOWERS = frozenset({"PROCESSING_HALTED", "ALL_OR_NONE_OPERATION_ROLLED_BACK"})
"""Codes of rows that failed only because a sibling did."""

GONE = frozenset({"ENTITY_IS_DELETED", "INVALID_CROSS_REFERENCE_KEY", "NOT_FOUND"})
EXISTS = frozenset({"DUPLICATE_VALUE", "DUPLICATE_EXTERNAL_ID"})
CREATE_ONLY_FIELDS = frozenset(
    {"OrderId", "PricebookEntryId", "OriginalOrderId", "OriginalOrderItemId", "ReturnOrderId"}
)


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """A refusal that may be about the org and not about the record: a permission, a field, a code nobody knows."""

    fault: Fault
    sobject: str
    """Empty for a call that was refused as a whole."""
    fields: Written = frozenset()
    """What it is about, if that is fields and not the object as a whole."""


@dataclass(frozen=True, kw_only=True)
class WriteResult:
    """One step of one entity: exactly one of these holds.

    success (no refusal, no fault), `refusal` (a person must act), `fault` (the same step can succeed later), `exists`
    (the org has the record already, from a write whose answer was lost: read it back), `gone` (the record behind a link
    is not what we thought: look at the org, then decide). `otherwise` is the refusal if looking changes nothing.
    `found` are the IDs of records that the org already had under our key: they may be another entity's. A refusal can
    have `gone` and `links` as well.
    `doubt` goes with a refusal or `gone` that is the record's only if the org accepted another one (see `health`), and
    with the fault that takes its place if it did not. Not `tried`: it was not sent, because others like it were refused
    in doubt. `written` are the fields that a success wrote.
    """

    candidate: PendingEntity
    links: tuple[Link, ...] = ()
    dropped: tuple[tuple[str, str], ...] = ()
    refusal: Refusal | None = None
    fault: Fault | None = None
    exists: bool = False
    otherwise: Refusal | None = None
    gone: tuple[tuple[str, str], ...] = ()
    found: tuple[str, ...] = ()
    doubt: Doubt | None = None
    tried: bool = True
    written: Written = frozenset()
    certain: bool = True  # of a refusal: nothing of it was done
    created: Mapping[str, int] = field(default_factory=dict)  # records by object
    updated: Mapping[str, int] = field(default_factory=dict)

    def doubted(self) -> WriteResult:
        """The same, if it did not succeed, without the certainty that nothing was done."""
        if self.success:
            return self
        fault = None if self.fault is None else replace(self.fault, outcome_known=False)
        return replace(self, fault=fault, certain=False)

    @property
    def success(self) -> bool:
        return self.refusal is None and self.fault is None and not self.exists and not self.gone


def link_of(record: RecordUpsert, outcome: Outcome, extra: Fields | None = None) -> Link:
    assert outcome.id is not None
    return Link(
        entity=record.entity,
        key=record.key,
        sobject=record.sobject,
        salesforce_id=outcome.id,
        snapshot=record.fields | record.known | (extra or {}),
    )


def moved_link(row: RecordUpdate, link: Link) -> Link:
    """The link with the fields of `row` in its snapshot."""
    return replace(link, snapshot={**link.snapshot, **row.fields})


def cause(errors: Sequence[RowError]) -> RowError:
    """The error that says why, not one that merely followed."""
    return next((error for error in errors if error.code not in FOLLOWERS), errors[0])


def already_there(error: RowError) -> bool:
    """Whether the row was refused because an earlier write of ours went through: the key is taken, or an upsert turned
    into an update and may not repeat the fields that only a create takes."""
    if error.code in EXISTS:
        return True
    create_only = any(name in error.message or name in error.fields for name in CREATE_ONLY_FIELDS)
    return error.code == "INVALID_FIELD_FOR_INSERT_UPDATE" and create_only


def key_taken(error: RowError, row: RecordUpdate) -> bool:
    """Whether an update was refused because another record has the key of this one."""
    return error.code in EXISTS and any(name in error.message or name in error.fields for name in row.identity)


def owned(piece: WriteResult, holders: Mapping[str, Link]) -> WriteResult:
    """`piece`, or its refusal where a record that the org found by our key is another entity's (`holders`, by ID)."""
    for link in piece.links:
        holder = holders.get(link.salesforce_id)
        if holder is None or (holder.entity, holder.key) == (link.entity, link.key):
            continue
        others = tuple(item for item in piece.links if item is not link)
        refusal = taken(piece.candidate.change, link, holder)
        return replace(piece, links=others, refusal=refusal, gone=((holder.entity, holder.key),), certain=False)
    return piece


def failure(
    candidate: PendingEntity, errors: Sequence[RowError], record: RecordUpsert | RecordUpdate, source: Source
) -> WriteResult:
    """Refusal or fault for `errors` of one row."""
    error = cause(errors)
    fault = classify_row(error)
    if error.code == "NOT_FOUND":  # an upsert makes what it does not find: this is about its object or its key field
        fault = _hidden(error)
    if fault.scope is not Scope.RECORD:
        fault = _naming(fault, error, record.sobject)
    if fault.retry_class.retryable or fault.scope is Scope.ORG:
        return WriteResult(candidate=candidate, fault=fault)
    known = record.known if isinstance(record, RecordUpsert) else link_snapshot(candidate, record)
    return WriteResult(
        candidate=candidate,
        refusal=refusal_of(error, classify_row(error), record, source, known.get(IS_PERSON) is True),
        doubt=None if wrong_kind(error, record) else doubt_of(fault, record.sobject, error.fields, written(record)),
    )


def gone(
    candidate: PendingEntity, links: Iterable[tuple[str, str]], errors: Sequence[RowError], sobject: str
) -> WriteResult:
    """A record is not in the org any more; or its object is hidden from us, if nothing of it is found."""
    error = cause(errors)
    hidden = error.code == "NOT_FOUND"
    doubt = doubt_of(_naming(_hidden(error), error, sobject), sobject) if hidden else None
    return WriteResult(candidate=candidate, gone=tuple(links), doubt=doubt)


def doubt_of(fault: Fault, sobject: str, names: Iterable[str] = (), tried: Written = frozenset()) -> Doubt | None:
    """`names` of the fields that the org named, if it did, of those it was `tried` with."""
    if fault.scope is not Scope.DOUBT:
        return None
    named = frozenset(field for field in tried if field[1] in set(names)) or tried
    return Doubt(fault=fault, sobject=sobject, fields=named if fault.code in OF_FIELDS else frozenset())


def written(*records: RecordUpsert | RecordUpdate) -> Written:
    return frozenset((record.sobject, name) for record in records for name in record.fields)


def written_by(item: object) -> Written:
    """The fields that an item of a call writes."""
    match item:
        case RecordUpdate():
            return written(item)
        case Upsert():
            return written(item.record)
        case OrderGraph():
            return written(item.order, *item.lines, *([] if item.account is None else [item.account]))
        case WorkSequence():
            header = frozenset(("Order", name) for name in item.header)
            return header | written(*item.add, *item.update)
    return frozenset()


def _hidden(error: RowError) -> Fault:
    return replace(TABLE["INVALID_TYPE"], code=error.code)


def _naming(fault: Fault, error: RowError, sobject: str) -> Fault:
    """`fault` with what it is about, as far as that is no value of the record."""
    fields = ", ".join(f"{sobject}.{name}" for name in error.fields) or sobject
    sentence = f"{fault.sentence.removesuffix('.')} ({fields})."
    return replace(fault, sentence=sentence, fix=without_replay(fault.fix), detail=error.message)


def link_snapshot(candidate: PendingEntity, row: RecordUpdate) -> Mapping[str, FieldValue]:
    """What both sides last agreed on of the record of `row`, if it is the candidate's own."""
    own = candidate.link is not None and (row.entity, row.key) == (candidate.change.entity, candidate.change.key)
    return candidate.link.snapshot if own and candidate.link is not None else {}


def wrong_kind(error: RowError, record: RecordUpsert | RecordUpdate) -> bool:
    """Whether the org has a person's account where we wrote to a company's, or the reverse: it refuses the names of the
    other kind, or to change the record type."""
    names = error.code == "INVALID_FIELD_FOR_INSERT_UPDATE" and "bad field names" in error.message
    types = error.code == "FIELD_INTEGRITY_EXCEPTION" and "RecordTypeId" in error.fields
    return record.entity == "customer" and (names or types)


def refusal_of(
    error: RowError, fault: Fault, record: RecordUpsert | RecordUpdate, source: Source, person: bool
) -> Refusal:
    if error.duplicates is not None and error.duplicates.records:
        linked = isinstance(record, RecordUpdate)
        return duplicates_found(error, error.duplicates, f"{record.entity} {record.key}", linked=linked)
    name = error.fields[0] if error.fields else None
    fix = fault.fix
    if wrong_kind(error, record):
        fix = (
            f"The account that has the key {record.key} in the org is of the other kind (company or person), and stays"
            " so: give one of the two another number, or have an admin convert the account; then replay. (Or the record"
            " types of the connector's user have just changed: then replay in an hour.)"
        )
    return Refusal(
        code=error.code,
        message=error.message,
        field=f"{record.sobject}.{name}" if name else None,
        source=source(record.sobject, name, person=person) if name else None,
        fix=fix,
        record=f"{record.entity} {record.key}",
    )
