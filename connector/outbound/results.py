"""Converts one answer of the org into the result for one entity: links, a refusal, or a fault. Nothing is
stored here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from connector.errors import Scope
from connector.model.change import Refusal
from connector.model.outcome import Outcome, RowError
from connector.model.record import IS_PERSON, FieldValue, Link
from connector.outbound.lost_records import rejection_for_duplicates, rejection_for_foreign_record
from connector.outbound.plan_types import Fields, OrderGraph, PendingEntity, RecordUpdate, RecordUpsert, Upsert
from connector.outbound.plan_types import OrderRewrite as WorkSequence
from connector.outbound.preflight import Source
from connector.salesforce.fault import OF_FIELDS, TABLE, Fault, classify_row, without_replay

WrittenFields = frozenset[tuple[str, str]]
"""Fields, each as (object, field)."""

FOLLOWER_CODES = frozenset({"PROCESSING_HALTED", "ALL_OR_NONE_OPERATION_ROLLED_BACK"})
"""Codes of rows that failed only because another row of their call did."""

GONE_CODES = frozenset({"ENTITY_IS_DELETED", "INVALID_CROSS_REFERENCE_KEY", "NOT_FOUND"})
EXISTS_CODES = frozenset({"DUPLICATE_VALUE", "DUPLICATE_EXTERNAL_ID"})
CREATE_ONLY_FIELDS = frozenset(
    {"OrderId", "PricebookEntryId", "OriginalOrderId", "OriginalOrderItemId", "ReturnOrderId"}
)


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """A refusal whose cause may be the org and not the record: a permission, a field, an unknown code."""

    fault: Fault
    sobject: str
    """Empty for a call that was refused as a whole."""
    fields: WrittenFields = frozenset()
    """The fields that it is about; empty if it is about the object as a whole."""


@dataclass(frozen=True, kw_only=True)
class WriteResult:
    """The result of one step of one entity. Exactly one of these holds:

    - success: none of the following.
    - `refusal`: a person must act.
    - `fault`: the same step can succeed later.
    - `already_exists`: the org has the record from a write whose answer was lost, so it must be read back.
    - `stale_links`: the record behind a link is not what we expected; read the org back, then decide. A refusal can
      have stale links as well.

    `fallback_refusal` is the refusal if the read-back changes nothing. `existing_ids` are IDs of records that the org
    already had under our key: they may belong to another entity.

    `doubt` accompanies a refusal or stale links that are the record's own only if the org accepted another record (see
    `health`), and the fault that replaces them if it did not. `was_sent` is False if the step was skipped because
    similar ones were refused in doubt. `written_fields` are the fields that a success wrote.
    """

    pending: PendingEntity
    links: tuple[Link, ...] = ()
    dropped_links: tuple[tuple[str, str], ...] = ()
    refusal: Refusal | None = None
    fault: Fault | None = None
    already_exists: bool = False
    fallback_refusal: Refusal | None = None
    stale_links: tuple[tuple[str, str], ...] = ()
    existing_ids: tuple[str, ...] = ()
    doubt: Doubt | None = None
    was_sent: bool = True
    written_fields: WrittenFields = frozenset()
    certain: bool = True  # of what was not accepted: nothing of it was done
    created: Mapping[str, int] = field(default_factory=dict)  # records by object
    updated: Mapping[str, int] = field(default_factory=dict)

    def as_unconfirmed(self) -> WriteResult:
        """The same result without the certainty that nothing was executed; a success stays as it is."""
        if self.success:
            return self
        fault = None if self.fault is None else replace(self.fault, outcome_known=False)
        return replace(self, fault=fault, certain=False)

    @property
    def is_known(self) -> bool:
        """Whether it is known what the org did."""
        if self.fault is not None:
            return self.fault.outcome_known
        return self.success or self.certain

    @property
    def success(self) -> bool:
        return self.refusal is None and self.fault is None and not self.already_exists and not self.stale_links


def build_link(record: RecordUpsert, outcome: Outcome, extra: Fields | None = None) -> Link:
    assert outcome.id is not None
    return Link(
        entity=record.entity,
        key=record.key,
        sobject=record.sobject,
        salesforce_id=outcome.id,
        snapshot=record.fields | record.implied_fields | (extra or {}),
    )


def updated_link(row: RecordUpdate, link: Link) -> Link:
    """The link with the fields of `row` in its snapshot."""
    return replace(link, snapshot={**link.snapshot, **row.fields})


def root_error(errors: Sequence[RowError]) -> RowError:
    """The error that is the cause, not one that only followed from another row."""
    return next((error for error in errors if error.code not in FOLLOWER_CODES), errors[0])


def means_already_written(error: RowError) -> bool:
    """Whether the row was refused because an earlier write of ours succeeded: the key exists, or an upsert became an
    update, which may not repeat the fields that only a create accepts."""
    if error.code in EXISTS_CODES:
        return True
    create_only = any(name in error.message or name in error.fields for name in CREATE_ONLY_FIELDS)
    return error.code == "INVALID_FIELD_FOR_INSERT_UPDATE" and create_only


def means_key_taken(error: RowError, row: RecordUpdate) -> bool:
    """Whether an update was refused because another record has its key."""
    return error.code in EXISTS_CODES and any(name in error.message or name in error.fields for name in row.identity)


def check_ownership(result: WriteResult, holders: Mapping[str, Link]) -> WriteResult:
    """`result`, or a refusal if a record that the org found by our key is linked to another entity
    (`holders`, by ID)."""
    for link in result.links:
        holder = holders.get(link.salesforce_id)
        if holder is None or (holder.entity, holder.key) == (link.entity, link.key):
            continue
        others = tuple(item for item in result.links if item is not link)
        refusal = rejection_for_foreign_record(result.pending.change, link, holder)
        return replace(result, links=others, refusal=refusal, stale_links=((holder.entity, holder.key),), certain=False)
    return result


def failed_result(
    pending: PendingEntity, errors: Sequence[RowError], record: RecordUpsert | RecordUpdate, source: Source
) -> WriteResult:
    """The refusal or fault for the `errors` of one row."""
    error = root_error(errors)
    fault = classify_row(error)
    if error.code == "NOT_FOUND":  # an upsert creates what it does not find: this is about its object or key field
        fault = _hidden_object_fault(error)
    if fault.scope is not Scope.RECORD:
        fault = _with_field_names(fault, error, record.sobject)
    if fault.retry_class.retryable or fault.scope is Scope.ORG:
        return WriteResult(pending=pending, fault=fault)
    snapshot = record.implied_fields if isinstance(record, RecordUpsert) else link_snapshot(pending, record)
    return WriteResult(
        pending=pending,
        refusal=build_refusal(error, classify_row(error), record, source, snapshot.get(IS_PERSON) is True),
        doubt=None
        if means_wrong_account_type(error, record)
        else build_doubt(fault, record.sobject, error.fields, fields_of(record)),
    )


def gone_result(
    pending: PendingEntity, links: Iterable[tuple[str, str]], errors: Sequence[RowError], sobject: str
) -> WriteResult:
    """The result for a record that is no longer in the org. If nothing of its object is found, the object may be hidden
    from us."""
    error = root_error(errors)
    hidden = error.code == "NOT_FOUND"
    doubt = build_doubt(_with_field_names(_hidden_object_fault(error), error, sobject), sobject) if hidden else None
    return WriteResult(pending=pending, stale_links=tuple(links), doubt=doubt)


def build_doubt(
    fault: Fault, sobject: str, names: Iterable[str] = (), sent_fields: WrittenFields = frozenset()
) -> Doubt | None:
    """The doubt of a fault with unclear cause; None for other faults. `names` are the fields that the org named, of the
    `sent_fields`."""
    if fault.scope is not Scope.DOUBT:
        return None
    doubtful_fields = frozenset(field for field in sent_fields if field[1] in set(names)) or sent_fields
    return Doubt(fault=fault, sobject=sobject, fields=doubtful_fields if fault.code in OF_FIELDS else frozenset())


def fields_of(*records: RecordUpsert | RecordUpdate) -> WrittenFields:
    return frozenset((record.sobject, name) for record in records for name in record.fields)


def fields_written_by(item: object) -> WrittenFields:
    """The fields that an item of a call writes."""
    match item:
        case RecordUpdate():
            return fields_of(item)
        case Upsert():
            return fields_of(item.record)
        case OrderGraph():
            return fields_of(item.order, *item.lines, *([] if item.account is None else [item.account]))
        case WorkSequence():
            header = frozenset(("Order", name) for name in item.header)
            return header | fields_of(*item.add, *item.update)
    return frozenset()


def _hidden_object_fault(error: RowError) -> Fault:
    return replace(TABLE["INVALID_TYPE"], code=error.code)


def _with_field_names(fault: Fault, error: RowError, sobject: str) -> Fault:
    """`fault` with the fields or the object that it is about, if that is no value of the record."""
    fields = ", ".join(f"{sobject}.{name}" for name in error.fields) or sobject
    sentence = f"{fault.sentence.removesuffix('.')} ({fields})."
    return replace(fault, sentence=sentence, fix=without_replay(fault.fix), detail=error.message)


def link_snapshot(pending: PendingEntity, row: RecordUpdate) -> Mapping[str, FieldValue]:
    """The last agreed values of the record of `row`, if it is the entity's own record."""
    own = pending.link is not None and (row.entity, row.key) == (pending.change.entity, pending.change.key)
    return pending.link.snapshot if own and pending.link is not None else {}


def means_wrong_account_type(error: RowError, record: RecordUpsert | RecordUpdate) -> bool:
    """Whether the org has a person account where we wrote a company, or the reverse. The org then refuses the field
    names of the other type, or a change of the record type."""
    names = error.code == "INVALID_FIELD_FOR_INSERT_UPDATE" and "bad field names" in error.message
    types = error.code == "FIELD_INTEGRITY_EXCEPTION" and "RecordTypeId" in error.fields
    return record.entity == "customer" and (names or types)


def build_refusal(
    error: RowError, fault: Fault, record: RecordUpsert | RecordUpdate, source: Source, person: bool
) -> Refusal:
    if error.duplicates is not None and error.duplicates.records:
        linked = isinstance(record, RecordUpdate)
        return rejection_for_duplicates(error, error.duplicates, f"{record.entity} {record.key}", linked=linked)
    name = error.fields[0] if error.fields else None
    fix = fault.fix
    if means_wrong_account_type(error, record):
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
