"""Insert, update, upsert and delete as the org does them: a row is checked wholly before it is written.

Each row has one outcome. Nothing after the write of a row can fail, so a refused row leaves no trace and a list needs
no savepoint of its own. A caller that wants all or nothing wraps the call in `storage.savepoint()` and raises.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from connector.localorg import address_picklists, dml_validation, field_history, ids
from connector.localorg.errors import MultipleMatches, Refusal, not_found
from connector.localorg.faults import Faults
from connector.localorg.field_values import format_timestamp
from connector.localorg.locks import PARENT_FIELDS, RowLocks
from connector.localorg.record_store import RecordStore
from connector.localorg.rules import RULES, Rule, admin_rules
from connector.localorg.rules.order_totals import update_totals
from connector.localorg.schema import Schema, SObject
from connector.localorg.settings import OrgSettings
from connector.localorg.storage import Change, Storage, quote
from connector.localorg.write_plan import Body, InputField, Row, WritePlan

Publisher = Callable[[SObject, list[dict[str, Any]]], None]
_NO_RULE = Rule()


@dataclass(slots=True)
class Outcome:
    id: str | None = None
    created: bool | None = None
    error: Refusal | None = None
    uuid: str | None = None  # of a published event


class Dml(RecordStore):
    """Writes of API callers, with permissions, rules and row locks. Reads and plain writes come from RecordStore."""

    def __init__(
        self,
        storage: Storage,
        schema: Schema,
        settings: OrgSettings,
        clock: Callable[[], datetime],
        *,
        user_id: str,
        locks: RowLocks,
    ) -> None:
        super().__init__(storage, schema, settings, clock, user_id=user_id)
        self.locks = locks
        self.faults: Faults | None = None
        self.publishers: list[Publisher] = []
        self._deferrals = 0
        self._removing: list[str] = []  # the record to delete, then its dependents

    def insert(self, plan: WritePlan, bodies: Sequence[Body]) -> list[Outcome]:
        return self._write_each(bodies, lambda body: self._insert(plan, body))

    def update(self, plan: WritePlan, items: Sequence[tuple[str, Body]]) -> list[Outcome]:
        return self._write_each(items, lambda item: self._update(plan, item[0], item[1]))

    def upsert(self, plan: WritePlan, key: InputField, bodies: Sequence[Body]) -> list[Outcome]:
        """Upsert bodies that carry their key. A key that occurs twice in one call fails every row that has it."""
        keys = [self._key_value(key, body) for body in bodies]
        counts = Counter(k.lower() if isinstance(k, str) and not key.field.case_sensitive else k for k in keys)

        def upsert_item(item: tuple[Any, Body]) -> Outcome:
            value, body = item
            folded = value.lower() if isinstance(value, str) and not key.field.case_sensitive else value
            if value is None and key.name != "Id":
                raise Refusal("MISSING_ARGUMENT", f"{key.name} not specified", fields=[])
            if value is not None and counts[folded] > 1:
                raise Refusal("DUPLICATE_VALUE", f"Duplicate external id specified: {value}", fields=[key.name])
            return self.upsert_row(plan, key, value, body)

        return self._write_each(list(zip(keys, bodies, strict=True)), upsert_item)

    def upsert_row(
        self, plan: WritePlan, key: InputField, value: Any, body: Body, *, update_only: bool = False
    ) -> Outcome:
        fields = {name: item for name, item in body.items() if name.lower() != key.name.lower()}
        if key.name == "Id":
            return self._insert(plan, fields) if value is None else self._update(plan, str(value), fields)
        try:
            existing = self.find(plan, key, value)
        except MultipleMatches as several:
            raise Refusal(
                "DUPLICATE_EXTERNAL_ID",
                f"{key.name}: more than one record found for external id field: [{', '.join(several.ids)}]",
                fields=[key.name],
            ) from several
        if existing is not None:
            outcome = self._update(plan, existing, fields)
            outcome.created = False
            return outcome
        if update_only:
            raise not_found()
        return self._insert(plan, {**fields, key.name: value})

    def delete(self, record_ids: Sequence[str]) -> list[Outcome]:
        return self._write_each(record_ids, self._delete)

    @contextmanager
    def at_time(self, moment: datetime | None) -> Iterator[None]:
        """Stamp writes with `moment` instead of now, as a transaction does that commits late."""
        clock = self.clock
        if moment is not None:
            self.clock = lambda: moment
        try:
            yield
        finally:
            self.clock = clock

    @contextmanager
    def deferred_totals(self) -> Iterator[None]:
        """Update the totals of orders once at the end of the block instead of after every call."""
        self._deferrals += 1
        try:
            yield
        finally:
            self._deferrals -= 1
            if not self._deferrals:
                update_totals(self)

    def _write_each(self, items: Sequence[Any], act: Callable[[Any], Outcome]) -> list[Outcome]:
        outcomes = []
        with self.storage.transaction(), self.deferred_totals():
            for item in items:
                try:
                    outcomes.append(act(item))
                except Refusal as refusal:
                    outcomes.append(Outcome(error=refusal))
        return outcomes

    def _key_value(self, key: InputField, body: Body) -> Any:
        value = next((item for name, item in body.items() if name.lower() == key.name.lower()), None)
        try:
            return key.coerce(value)
        except Refusal:
            return value if isinstance(value, str | int | float) else None

    def _insert(self, plan: WritePlan, body: Body) -> Outcome:
        if plan.sobject.event:
            return self._publish(plan, body)
        if not plan.sobject.createable:
            raise Refusal("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", f"entity type cannot be inserted: {plan.name}")
        if self.faults is not None:
            self.faults.refuse_row(plan.name, body)
        rule = RULES.get(plan.name, _NO_RULE)
        given = dml_validation.stored_values(self, plan, body, creating=True)
        row: Row = dict.fromkeys(plan.columns)
        row.update(plan.defaults)
        row.update(given)
        self._lock_row(row)
        if "OwnerId" in plan.column_names and row["OwnerId"] is None:
            row["OwnerId"] = self.user_id
        admin_rules.assign_record_type(self, plan, row)
        if self.settings.countries:
            address_picklists.complete(self.settings.countries, row, given)
        rule.prepare(self, row, given)
        dml_validation.check_required(row, plan.required)
        rule.insert(self, row, given)
        admin_rules.apply_triggers(self, plan, row)
        admin_rules.check_validation_rules(self, plan, row)
        dml_validation.check_unique(self, plan, row, None)
        admin_rules.check_duplicate_rules(self, plan, row, None)
        record_id = self.insert_row(plan, row)
        rule.saved(self, row, None)
        return Outcome(id=record_id, created=True)

    def _update(self, plan: WritePlan, record_id: str, body: Body) -> Outcome:
        old = self.live_row(plan, record_id)
        if not plan.sobject.updateable:
            raise Refusal("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", f"entity type cannot be updated: {plan.name}")
        if self.faults is not None:
            self.faults.refuse_row(plan.name, {**body, "Id": record_id})
        rule = RULES.get(plan.name, _NO_RULE)
        given = dml_validation.stored_values(self, plan, body, creating=False)
        new = {**old, **given}
        dml_validation.check_required(new, [field for field in plan.required if field.name in given])
        if self.settings.countries:
            address_picklists.complete(self.settings.countries, new, given)
        changed = {name for name, value in new.items() if old[name] != value}
        if admin_rules.RECORD_TYPE_ID in changed:
            admin_rules.assign_record_type(self, plan, new)
        rule.update(self, old, new, changed)
        admin_rules.apply_triggers(self, plan, new)
        changed = {name for name, value in new.items() if old[name] != value}
        admin_rules.check_validation_rules(self, plan, new)
        dml_validation.check_unique(self, plan, new, changed)
        admin_rules.check_duplicate_rules(self, plan, new, changed)
        self.update_row(plan, new, changed, touch=True)
        field_history.record_changes(self, plan, old, new, changed & given.keys())
        rule.saved(self, new, old)
        return Outcome(id=str(old["Id"]))

    def live_row(self, plan: WritePlan, record_id: str) -> Row:
        """Return the row that a write is aimed at, and lock it. Refusal if it does not exist or is deleted."""
        full = ids.normalize(record_id)
        if full is None or not full.startswith(plan.sobject.key_prefix):
            raise Refusal("MALFORMED_ID", f"{plan.name} ID: id value of incorrect type: {record_id}", fields=["Id"])
        row = self.row(plan, full)
        if row is None:
            raise Refusal("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", fields=[], status=404)
        if row.get("IsDeleted"):
            raise Refusal("ENTITY_IS_DELETED", "entity is deleted", fields=[])
        self._lock_row(row)
        return row

    def _lock_row(self, row: Row) -> None:
        """Lock the row and its parents: a line locks its order, and both lock the account."""
        order = row.get("OrderId") if self.locks.active else None
        account = self.scalar('SELECT "AccountId" FROM "Order" WHERE "Id" = ?', order) if order else None
        self.locks.acquire(row.get("Id"), *(row.get(name) for name in PARENT_FIELDS), account)

    def _delete(self, record_id: str) -> Outcome:
        full = ids.normalize(record_id)
        sobject = self.schema.by_record_id(full) if full else None
        if sobject is None or sobject.event:
            raise Refusal("MALFORMED_ID", f"malformed id {record_id}", fields=["Id"])
        plan = self.plan(sobject.name)
        row = self.live_row(plan, record_id)
        if not sobject.deletable:
            raise Refusal("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", f"entity type cannot be deleted: {sobject.name}")
        RULES.get(plan.name, _NO_RULE).delete(self, row)
        self.remove(plan, row)
        return Outcome(id=str(row["Id"]))

    def remove(self, plan: WritePlan, row: Row) -> None:
        """Delete the row and its dependents. The caller has checked that the deletion is allowed."""
        rule = RULES.get(plan.name, _NO_RULE)
        self._removing.append(str(row["Id"]))
        try:
            for child_plan, child in rule.dependents(self, row):
                self.remove(child_plan, child)
        finally:
            self._removing.pop()
        now = format_timestamp(self.clock())
        if self._removing:
            taken_along = (row["Id"], self._removing[0])
            self.storage.connection.execute("INSERT OR REPLACE INTO _cascade VALUES (?, ?)", taken_along)
        if rule.hard_delete or "IsDeleted" not in plan.column_names:
            self.storage.connection.execute(f'DELETE FROM {quote(plan.name)} WHERE "Id" = ?', (row["Id"],))  # noqa: S608
        else:
            self.platform_update(plan.name, row["Id"], {"IsDeleted": 1}, touch=True)
            self.storage.changes.pop()
            self.rows_written -= 1
        self.rows_written += 1
        self.storage.connection.execute(
            "INSERT OR REPLACE INTO _deletion VALUES (?, ?, ?)", (plan.name, row["Id"], now)
        )
        self.storage.changes.append(Change(plan.name, str(row["Id"]), "DELETE"))
        rule.removed(self, row)

    def _publish(self, plan: WritePlan, body: Body) -> Outcome:
        values = dml_validation.stored_values(self, plan, body, creating=True)
        dml_validation.check_required({**dict.fromkeys(plan.columns), **values}, plan.required)
        event_uuid = str(uuid.uuid4())
        message = {"EventUuid": event_uuid, **plan.defaults, **values}
        message["CreatedDate"] = format_timestamp(self.clock())
        message["CreatedById"] = self.user_id
        for publish in self.publishers:
            publish(plan.sobject, [message])
        prefix = plan.sobject.key_prefix or "e01"
        return Outcome(id=ids.make(prefix, self.storage.next_number(plan.name)), created=True, uuid=event_uuid)
