"""A console whose data is in bad shape: orders in every part of the desk, and any text in place of every text.

`replace_texts` writes over every column of text that is no code, key or digest, and the texts within stored JSON, so
that a new column is covered by itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import orjson
from sqlalchemy import Text, select, text, update

from connector.model.api_budget import CallResult
from connector.model.events import (
    Allocate,
    ApproveReturn,
    Capture,
    Confirm,
    Deliver,
    Event,
    IssueInvoice,
    LabelReturn,
    Pick,
    PlaceHold,
    ReceiveReturn,
    RequestReturn,
    Ship,
    Verify,
)
from connector.model.holds import Hold
from connector.model.lane import Lane
from connector.orders.command import OrderCommand
from connector.orders.policy.rules import standard
from connector.orders.service import OrderService
from connector.store import api_calls, stock
from connector.store.engine import Store
from connector.store.tables import metadata
from tests.unit.store import samples

CODES = frozenset(
    [
        "action",
        "batch",
        "cause",
        "choice",
        "closed_how",
        "code",
        "cron",
        "currency",
        "digest",
        "email_key",
        "engine",
        "entity",
        "event",
        "event_id",
        "field",
        "fingerprint",
        "held",
        "id",
        "instance_url",
        "job",
        "key",
        "kind",
        "last_action",
        "login_url",
        "merged_into",
        "message_id",
        "mode",
        "name_key",
        "observed",
        "org",
        "org_id",
        "order_number",
        "parent",
        "phone_key",
        "placed_digest",
        "plan",
        "position",
        "priority",
        "reached",
        "record_id",
        "request",
        "request_digest",
        "request_id",
        "resolution",
        "restores",
        "role",
        "roles",
        "rule",
        "run",
        "salesforce_id",
        "sent",
        "sobject",
        "source",
        "stage",
        "stage_after",
        "stage_before",
        "state",
        "status",
        "subject",
        "tracking_key",
        "type",
    ]
)
"""Columns of text that are no free text."""
_ENUMS = {
    ("returns", "reason"),
    ("mapping_versions", "origin"),
    ("resyncs", "filter"),
    ("orgs", "name"),
    ("outgoing_events", "name"),
    ("links", "status"),
}
_BY_KEY = frozenset({"mapping_contents", "org_catalog", "org_baselines", "mapping_sources"})
"""Tables whose texts are files of a form of their own."""
_WITHIN = frozenset(
    [
        "base",
        "before",
        "carrier",
        "city",
        "company",
        "customer",
        "description",
        "detail",
        "email",
        "fix",
        "local",
        "message",
        "name",
        "note",
        "now",
        "ours",
        "phone",
        "reason",
        "reference",
        "remote",
        "sku",
        "state",
        "street",
        "text",
        "tracking_number",
        "value",
        "who",
        "why",
        "written",
    ]
)
"""What is a free text within stored JSON."""
_WHOLE = frozenset({("links", "snapshot"), ("restored_fields", "local"), ("mapping_shadow_fields", "samples")})
"""JSON of which every text is free."""
_NO_TEXT = re.compile(r"-?\d+(\.\d+)?|null|true|false")
EACH = {1: Decimal(1), 2: Decimal(1)}


async def put_orders(store: Store, *, lines: int = 40) -> None:
    """Orders on hold, waiting for goods, to be picked, shipped with an invoice, and returned; one with many lines."""
    service = OrderService(store, standard)
    texts = {"notes": "x", "po_number": "x", "channel": "x", "delivery_note": "x", "ship_to_name": "x",
             "ship_to_street": "x", "ship_to_state": "x", "service_level": "x"}  # fmt: skip
    numbers = [f"B-{number}" for number in range(1, 6)]
    many = tuple(samples.line(number, "CHAI", "2000") for number in range(1, lines + 1))
    placed = [samples.order(number, **texts) for number in numbers]
    await service.place(samples.placements([*placed, samples.order("B-6", lines=many, **texts)]), actor="ann")
    async with store.transaction() as uow:
        await stock.count(uow, {("CHAI", "EAST"): Decimal(90), ("TOFU", "EAST"): Decimal(90)})

    async def act(number: str, *events: Event) -> None:
        await service.execute_all([OrderCommand(number=number, event=event) for event in events], actor="ann")

    await act("B-1", PlaceHold(hold=Hold.FRAUD, note="x"), PlaceHold(hold=Hold.ADDRESS, note="x"))
    await act("B-2", Verify(), Confirm(), Allocate(lines=EACH))
    sent = (Verify(), Confirm(), Allocate(lines=EACH), Pick(), Ship(carrier="x", tracking_number="x", lines=EACH))
    delivered = (Deliver(), IssueInvoice(note="x"), Capture(note="x"), RequestReturn(lines=EACH, note="x"))
    await act("B-3", *sent, *delivered)
    await act("B-4", *sent, *delivered, ApproveReturn(), LabelReturn(carrier="x", tracking_number="x"))
    await act("B-4", ReceiveReturn(lines=EACH))
    await act("B-6", Verify(), Confirm())
    hours = [store.clock.now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=hour) for hour in range(23)]
    counts = {
        (hour, lane, CallResult.ANSWERED): (number * 37 + place * 211) % 900
        for number, hour in enumerate(hours)
        for place, lane in enumerate(Lane)
    }
    async with store.transaction() as uow:
        await api_calls.add(uow, "00D", counts)


async def replace_texts(store: Store, next_text: Callable[[], str]) -> set[str]:
    """Put a text into each free text of each row, and return the columns that got one. Do so before it is served."""
    changed: set[str] = set()
    async with store.transaction() as uow:
        for table in metadata.sorted_tables:
            if table.name in _BY_KEY:
                continue
            columns = [
                column
                for column in table.columns
                if isinstance(column.type, Text) and not column.primary_key and not column.foreign_keys
                and column.name not in CODES and (table.name, column.name) not in _ENUMS
            ]  # fmt: skip
            if not columns:
                continue
            rows = (await uow.connection.execute(select(text("rowid"), *columns).select_from(table))).all()
            for number, *values in rows:
                new = {
                    column.name: _replaced(table.name, column.name, value, next_text)
                    for column, value in zip(columns, values, strict=True)
                    if value is not None
                }
                if new:
                    await uow.connection.execute(update(table).where(text(f"rowid = {number}")).values(new))
                    changed |= {f"{table.name}.{name}" for name in new}
    return changed


def _replaced(table: str, column: str, stored: str, next_text: Callable[[], str]) -> str:
    if not stored.startswith(("{", "[")):
        return _other(stored, next_text)
    whole = (table, column) in _WHOLE

    def within(value: Any, *, free: bool) -> Any:
        if isinstance(value, dict):
            return {name: within(item, free=whole or name in _WITHIN) for name, item in value.items()}
        if isinstance(value, list):
            return [within(item, free=free) for item in value]
        return _other(value, next_text) if free and isinstance(value, str) else value

    return orjson.dumps(within(orjson.loads(stored), free=whole)).decode()


def _other(stored: str, next_text: Callable[[], str]) -> str:
    """Another text; numbers stay, and a JSON text becomes one."""
    if _NO_TEXT.fullmatch(stored):
        return stored
    return orjson.dumps(next_text()).decode() if stored.startswith('"') else next_text()
