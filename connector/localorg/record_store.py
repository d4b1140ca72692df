"""Reads and plain writes of the org's rows: what DML and its rules share.

It applies no rule. `Dml` checks a row and runs the rules before it writes through here.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

from connector.localorg import ids
from connector.localorg.errors import MultipleMatches, not_found
from connector.localorg.field_values import StoredValue, format_timestamp
from connector.localorg.schema import Schema
from connector.localorg.settings import OrgSettings, UserPermission
from connector.localorg.storage import Change, Storage, quote
from connector.localorg.write_plan import InputField, Row, WritePlan


class RecordStore:
    """The rows of one org, and the state of the call under way that rules look at."""

    def __init__(
        self,
        storage: Storage,
        schema: Schema,
        settings: OrgSettings,
        clock: Callable[[], datetime],
        *,
        user_id: str,
    ) -> None:
        self.storage = storage
        self.schema = schema
        self.settings = settings
        self.clock = clock
        self.admin_id = user_id  # the administrator, whose permissions every user has
        self.user_id = user_id  # the running user
        self.rows_written = 0
        self.orders_to_total: set[str] = set()  # IDs of orders whose total must follow their lines
        self.missing_permissions: set[UserPermission] = set()  # what the running user may not do
        self.allow_duplicates = False  # of the call under way
        self.api_version = ""
        self._plans: dict[str, WritePlan] = {}
        self.refresh()

    def refresh(self) -> None:
        """Update tables and plans. Call it when the schema has changed."""
        self.storage.sync_tables(self.schema)
        self.full_schema = Schema(replace(item, fields=item.all_fields) for item in self.schema)  # what rules see
        self._plans = {}  # made when first asked for: an org has many more objects than a client uses

    @contextmanager
    def acting_as(self, user_id: str) -> Iterator[None]:
        """Write as this user. The block must not await: the org serves one call after the other."""
        before, self.user_id = self.user_id, user_id
        try:
            yield
        finally:
            self.user_id = before

    def find_plan(self, name: str) -> WritePlan | None:
        plan = self._plans.get(name.lower())
        sobject = self.schema.get(name) if plan is None else None
        if sobject is not None:
            plan = self._plans[name.lower()] = WritePlan.of(self.schema, sobject, self.settings.currency)
        return plan

    def plan(self, name: str) -> WritePlan:
        plan = self.find_plan(name)
        if plan is None:
            raise not_found()
        return plan

    # -- reading ----------------------------------------------------------------------------------------------------

    def row(self, plan: WritePlan, record_id: StoredValue) -> Row | None:
        values = self.storage.connection.execute(plan.by_id_sql, (record_id,)).fetchone()
        return None if values is None else dict(zip(plan.columns, values, strict=True))

    def fetch(self, name: str, record_id: StoredValue) -> Row | None:
        return self.row(self.plan(name), record_id) if record_id else None

    def select(self, name: str, where: str, *values: StoredValue) -> Iterator[Row]:
        plan = self.plan(name)
        for values_of_row in self.storage.connection.execute(f"{plan.select_sql} WHERE {where}", values).fetchall():
            yield dict(zip(plan.columns, values_of_row, strict=True))

    def scalar(self, sql: str, *values: StoredValue) -> Any:
        """Return the first column of the first row, or None."""
        row = self.storage.connection.execute(sql, values).fetchone()
        return None if row is None else row[0]

    def key_field(self, plan: WritePlan, name: str) -> InputField:
        entry = plan.inputs.get(name.lower())
        if entry is None or not (entry.field.external_id or entry.field.id_lookup or entry.name == "Id"):
            raise not_found(f"Provided external ID field does not exist or is not accessible: {name}")
        return entry

    def find(self, plan: WritePlan, key: InputField, value: Any) -> str | None:
        """Return the ID of the live record with this key, or None. MultipleMatches if there are several."""
        stored = key.coerce(value)
        if stored is None:
            return None
        rows = self.storage.connection.execute(plan.key_sql(key.name), (stored,)).fetchall()
        if len(rows) > 1:
            raise MultipleMatches([row[0] for row in rows])
        return str(rows[0][0]) if rows else None

    # -- writing ----------------------------------------------------------------------------------------------------

    def insert_row(self, plan: WritePlan, row: Row) -> str:
        """Store a new row with its ID, stamps and auto numbers. It writes these into `row`, too."""
        record_id = self._new_id(plan)
        now = format_timestamp(self.clock())
        row["Id"] = record_id
        for name in ("CreatedDate", "LastModifiedDate", "SystemModstamp"):
            if name in plan.column_names:
                row[name] = now
        for name in ("CreatedById", "LastModifiedById"):
            if name in plan.column_names:
                row[name] = self.user_id
        for field in plan.auto_numbers:
            width = 10 if plan.name == "OrderItem" else 8
            number = self.storage.next_number(f"{plan.name}.{field.name}", first=100 if plan.name != "OrderItem" else 1)
            row[field.name] = str(number).rjust(width, "0")
        self.storage.connection.execute(plan.insert_sql, [row[name] for name in plan.columns])
        self.rows_written += 1
        self.storage.changes.append(Change(plan.name, record_id, "CREATE"))
        return record_id

    def _new_id(self, plan: WritePlan) -> str:
        """Return the next ID of the object. The ID of an organization is random, so that every org differs."""
        if plan.name == "Organization":
            return ids.make(plan.sobject.key_prefix, secrets.randbits(48))
        return ids.make(plan.sobject.key_prefix, self.storage.next_number(plan.name))

    def platform_insert(self, name: str, **values: StoredValue) -> str:
        """Insert a row of the platform itself (organization, administrator), without permissions and rules."""
        plan = self.plan(name)
        row: Row = dict.fromkeys(plan.columns)
        row.update(plan.defaults)
        row.update({key: value for key, value in values.items() if key in plan.column_names})
        return self.insert_row(plan, row)

    def update_row(self, plan: WritePlan, row: Row, changed: set[str], *, touch: bool) -> None:
        """Store these columns of a row. With `touch`, the last modification is now and by the running user."""
        now = format_timestamp(self.clock())
        names = sorted(changed)
        values: list[StoredValue] = [row[name] for name in names]
        if "SystemModstamp" in plan.column_names:
            names.append("SystemModstamp")
            values.append(now)
        if touch and "LastModifiedDate" in plan.column_names:
            names += ["LastModifiedDate", "LastModifiedById"]
            values += [now, self.user_id]
        sets = ", ".join(f"{quote(name)} = ?" for name in names)
        self.storage.connection.execute(
            f'UPDATE {quote(plan.name)} SET {sets} WHERE "Id" = ?',  # noqa: S608
            [*values, row["Id"]],
        )
        self.rows_written += 1
        if changed:
            self.storage.changes.append(Change(plan.name, str(row["Id"]), "UPDATE", tuple(sorted(changed))))

    def platform_update(self, name: str, record_id: StoredValue, values: Row, *, touch: bool = False) -> None:
        """Write values that the platform derives, without permissions and rules."""
        self.update_row(self.plan(name), {"Id": record_id, **values}, set(values), touch=touch)
