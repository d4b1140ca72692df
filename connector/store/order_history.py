"""The history of an order: what happened to it, in the order in which it happened, never changed afterwards."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import EnumType
from hashlib import sha256
from typing import Any

import orjson
from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.action_fields import ACTION_FIELDS, EVENT_FIELDS, FIELD_TYPES, make_event
from connector.model.actions import Action, EventKind
from connector.model.events import Begin, ChangeOrder, Event, LineEdit, LineEdits, Quantities
from connector.model.holds import Hold
from connector.model.money import plain
from connector.model.order_header import HEADER_FIELDS, PERSONAL, OrderHeader
from connector.model.order_state import LineState, OrderState
from connector.model.shipments import ZERO, Shipment, ShipmentStatus
from connector.model.stage import Stage
from connector.store import shipments
from connector.store.sql import Row, select_in
from connector.store.tables import order_events, orders
from connector.store.unit_of_work import UnitOfWork

_MONEY = ("invoiced", "authorized", "captured", "refunded")
_QUANTITIES = ("allocated", "picked", "shipped", "delivered", "returned", "credited", "canceled", "total")


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """A caller's own name for a command, and the digest of what was asked by it; None where that was before an upgrade
    that renamed what it named."""

    key: str
    digest: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class EventEntry:
    """One event with the stage it found and the stage it left (None: there was nothing before it). `request` is set on
    the first event of a command that its caller has named."""

    event: Event
    before: Stage | None
    after: Stage
    request: Request | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredEvent(EventEntry):
    """An event as it stands in the history; `sequence` counts from 1. The first holds the progress it began with."""

    sequence: int
    at: datetime
    actor: str
    begun: OrderState | None

    @property
    def payload(self) -> dict[str, Any]:
        """The event as plain values, without what it leaves out."""
        return {"event": self.event.action.happened.value, **_detail(self.event)}


async def read(connection: AsyncConnection, number: str) -> list[StoredEvent]:
    """Everything that happened to one order, the first first; empty for one that was only imported."""
    statement = (
        select(order_events, orders.c.currency, orders.c.placed_at)
        .join(orders, orders.c.number == order_events.c.order_number)
        .where(order_events.c.order_number == number)
        .order_by(order_events.c.sequence)
    )
    return [_recorded(row) for row in await connection.execute(statement)]


async def has_event(connection: AsyncConnection, number: str, kind: EventKind) -> bool:
    """Return whether the history of this order has an event of this kind."""
    row = order_events.c
    statement = select(row.sequence).where(row.order_number == number, row.event == kind.value).limit(1)
    return (await connection.execute(statement)).first() is not None


async def requests(connection: AsyncConnection, asked: Mapping[str, Sequence[str]]) -> dict[tuple[str, str], Request]:
    """What was done before of what is asked (the keys of requests by order), by order and key."""
    row = order_events.c
    statement = select(row.order_number, row.request, row.request_digest)
    found: dict[tuple[str, str], Request] = {}
    for number, keys in asked.items():
        mine = statement.where(row.order_number == number)
        for order, key, digest in await select_in(connection, mine, row.request, keys):
            found[order, key] = Request(key=key, digest=digest)
    return found


def digest_of(order: str, key: str, event: Event) -> str:
    """The same for events that say the same, however their numbers were written, of one order under one key alone: what
    is kept of personal details cannot be compared with other orders."""
    given = event.details if isinstance(event, ChangeOrder) else {}
    details = {name: _value(value) for name, value in given.items()}
    said = {"action": event.action.value, **_detail(event), "details": details}
    content = orjson.dumps([order, said], option=orjson.OPT_SORT_KEYS)
    return hmac.new(key.encode("utf-8", "surrogatepass"), content, sha256).hexdigest()


def length(known: int, entries: Sequence[EventEntry]) -> int:
    """How long a history of `known` events is with these; an empty one begins with an event of its own."""
    return known + len(entries) + (known == 0)


async def count_by_event(connection: AsyncConnection) -> dict[EventKind, int]:
    """Return how often each kind of event happened, over all orders."""
    rows = await connection.execute(select(order_events.c.event, func.count()).group_by(order_events.c.event))
    return {EventKind(kind): count for kind, count in rows.tuples()}


async def write(uow: UnitOfWork, items: Sequence[tuple[OrderState, int, Sequence[EventEntry]]], *, actor: str) -> None:
    """Add entries to histories: (progress before them, length of the history so far, entries) of each order.

    A history that is empty begins with the progress before the first entry.
    """
    rows: list[Row] = []
    for begun, known, entries in items:
        if known == 0:
            entries = (EventEntry(event=Begin(), before=None, after=begun.stage), *entries)
        for sequence, entry in enumerate(entries, start=known + 1):
            detail = _detail(entry.event) if sequence > 1 else _dump(begun)
            rows.append(
                {
                    "order_number": begun.number,
                    "sequence": sequence,
                    "at": uow.now,
                    "actor": actor,
                    "event": entry.event.action.happened.value,
                    "stage_before": entry.before and entry.before.value,
                    "stage_after": entry.after.value,
                    "detail": orjson.dumps(detail).decode(),
                    "request": entry.request and entry.request.key,
                    "request_digest": entry.request and entry.request.digest,
                }
            )
    if rows:
        await uow.connection.execute(insert(order_events), rows)


def _detail(event: Event) -> dict[str, Any]:
    """What an event says, without what it leaves out."""
    details = event.details if isinstance(event, ChangeOrder) else {}
    given = {name: getattr(event, name) for name in _NAMES[event.action]}
    said = {
        name: _WRITE[name](value) if name in _WRITE else value for name, value in given.items() if value is not None
    }
    if details:
        said["details"] = {name: _value(value) for name, value in details.items() if name not in PERSONAL}
        said["personal"] = sorted(details.keys() & PERSONAL)
    return {name: value for name, value in said.items() if value is not None and value not in ({}, [])}


def _value(value: Any) -> Any:
    if isinstance(value, Decimal):
        return plain(value)
    return value.isoformat() if isinstance(value, date) else value


def _details(said: Mapping[str, Any]) -> dict[str, Any]:
    """Of personal details the names are known alone."""
    details = {name: HEADER_FIELDS[name].read(value) for name, value in said.get("details", {}).items()}
    return details | dict.fromkeys(said.get("personal", ()))


def _plain(quantities: Mapping[int, Decimal]) -> dict[str, str]:
    return {str(number): plain(quantity) for number, quantity in quantities.items()}


def _line_edit(edit: LineEdit) -> dict[str, str]:
    said = {"sku": edit.sku, "quantity": plain(edit.quantity), "discount": plain(edit.discount)}
    return said | ({} if edit.unit_price is None else {"unit_price": plain(edit.unit_price)})


def _dump(state: OrderState) -> dict[str, Any]:
    return {
        "stage": state.stage,
        "lines": {
            str(number): {
                "ordered": plain(line.quantity),
                **{name: plain(getattr(line, name)) for name in _QUANTITIES},
            }
            for number, line in state.lines.items()
        },
        "holds": sorted(state.holds),
        "declined": state.declined,
        "ship_complete": state.header.ship_complete,
        "freight": plain(state.header.freight or ZERO),
        "tax_rate": plain(state.header.tax_rate or ZERO),
        "shipments": [shipments.serialize_shipment(parcel) for parcel in state.shipments.values()],
        **{name: plain(getattr(state, name)) for name in _MONEY},
        "places": state.places,
    }


def _recorded(row: Any) -> StoredEvent:
    detail = orjson.loads(row.detail)
    first = row.event == EventKind.BEGUN
    return StoredEvent(
        event=Begin() if first else event_of(EventKind(row.event).action, detail),
        before=Stage(row.stage_before) if row.stage_before else None,
        after=Stage(row.stage_after),
        sequence=row.sequence,
        at=row.at,
        actor=row.actor,
        begun=_load(row, detail) if first else None,
        request=Request(key=row.request, digest=row.request_digest) if row.request else None,
    )


def event_of(action: Action, detail: Mapping[str, Any]) -> Event:
    """Build the event of a stored row from its action and detail; any event but the first.

    Earlier versions let an action carry any field, and no rule looked at it: such a field is left out.
    """
    has = ACTION_FIELDS[action].names
    values = {name: _READ[name](value) if name in _READ else value for name, value in detail.items() if name in has}
    if action is Action.CHANGE:
        values["details"] = _details(detail)
    if action is Action.SHIP and values.get("lines"):
        values.pop("shipment", None)  # the lines counted, and made another parcel
    return make_event(action, **values)


def _line_edit_of(said: Mapping[str, str]) -> LineEdit:
    return LineEdit(sku=said["sku"], **{name: Decimal(value) for name, value in said.items() if name != "sku"})


def _quantities(said: Mapping[str, str]) -> dict[int, Decimal]:
    return {int(number): Decimal(quantity) for number, quantity in said.items()}


def _load(row: Any, detail: Mapping[str, Any]) -> OrderState:
    return OrderState(
        header=OrderHeader(
            number=row.order_number,
            placed_at=row.placed_at,
            currency=row.currency,
            freight=Decimal(detail["freight"]),
            tax_rate=Decimal(detail.get("tax_rate", 0)),
            ship_complete=detail.get("ship_complete", False),
        ),
        stage=Stage(detail["stage"]),
        lines={
            int(line): LineState(
                quantity=Decimal(values["ordered"]),
                **{name: Decimal(values[name]) for name in _QUANTITIES if name in values},
            )
            for line, values in detail["lines"].items()
        },
        holds=frozenset(Hold(reason) for reason in detail["holds"]),
        declined=detail["declined"],
        shipments={said["number"]: _shipment(said) for said in detail.get("shipments", ())},
        invoiced=Decimal(detail["invoiced"]),
        authorized=Decimal(detail["authorized"]),
        captured=Decimal(detail["captured"]),
        refunded=Decimal(detail["refunded"]),
    )


def _shipment(said: Mapping[str, Any]) -> Shipment:
    return Shipment(
        number=said["number"],
        lines=_quantities(said["lines"]),
        status=ShipmentStatus(said["status"]),
        warehouse=said.get("warehouse"),
        carrier=said.get("carrier"),
        tracking_number=said.get("tracking_number"),
        **{name: date.fromisoformat(said[name]) for name in ("shipped_on", "delivered_on") if name in said},
    )


_WRITERS: Mapping[object, Callable[[Any], Any]] = {
    Quantities: _plain,
    LineEdits: lambda edits: {str(number): _line_edit(edit) for number, edit in edits.items()},
    Decimal: plain,
    date: date.isoformat,
}
"""How a history writes a field of an event, by its type; others stand in it as they are."""
_READERS: Mapping[object, Callable[[Any], Any]] = {
    Quantities: _quantities,
    LineEdits: lambda edits: {int(number): _line_edit_of(edit) for number, edit in edits.items()},
    Decimal: Decimal,
    date: date.fromisoformat,
}
"""How it is read back; an enum by its value."""
_WRITE = {name: _WRITERS[kind] for name, kind in FIELD_TYPES.items() if kind in _WRITERS}
_READ: Mapping[str, Callable[[Any], Any]] = {
    name: kind if isinstance(kind, EnumType) else _READERS[kind]
    for name, kind in FIELD_TYPES.items()
    if isinstance(kind, EnumType) or kind in _READERS
}
_NAMES: Mapping[Action, tuple[str, ...]] = {
    action: tuple(name for name in EVENT_FIELDS if name in has.names and name != "details")
    for action, has in ACTION_FIELDS.items()
}
"""What an event of each action writes, its details apart."""
