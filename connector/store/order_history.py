"""The history of an order: its events in sequence. Events are only added, never changed."""

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
from sqlalchemy import bindparam, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.action_fields import ACTION_FIELDS, EVENT_FIELDS, FIELD_TYPES, make_event
from connector.model.actions import Action, EventKind
from connector.model.events import (
    Begin,
    ChangeOrder,
    Details,
    Event,
    FreeText,
    LineEdit,
    LineEdits,
    Quantities,
)
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
    """The idempotency key of a command, and the digest of the command. The digest is None if an upgrade has renamed
    words of the command since."""

    key: str
    digest: str | None


IMPORT = "import"
"""Who has begun the history of an imported order."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EventEntry:
    """One event with the stages before and after it; `before` is None for the first event. `request` is set on the
    first event of a command with an idempotency key. `author`: who did it, if not the actor of the transaction."""

    event: Event
    before: Stage | None
    after: Stage
    request: Request | None = None
    author: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredEvent(EventEntry):
    """An event as it is stored; `sequence` counts from 1. `initial_state` is set on the first event only.

    `is_imported`: the first event of an order that was imported. It was written with the first command, and who
    imported the order, and when, is not known any more: its actor is `IMPORT`."""

    sequence: int
    at: datetime
    actor: str
    initial_state: OrderState | None
    is_imported: bool = False

    @property
    def payload(self) -> dict[str, Any]:
        """The event as plain values, without empty fields."""
        imported = {"imported": True} if self.is_imported else {}
        return {"event": self.event.action.happened.value, **imported, **_write_event(self.event)}


_EVENTS = (
    select(order_events, orders.c.currency, orders.c.placed_at, orders.c.tracking_key)
    .join(orders, orders.c.number == order_events.c.order_number)
    .where(order_events.c.order_number == bindparam("the_order"))
    .order_by(order_events.c.sequence)
)


async def read(connection: AsyncConnection, number: str) -> list[StoredEvent]:
    """Return the events of an order, oldest first; empty for an order that was only imported. The first event of an
    imported order is that it was imported, some time before the next one."""
    rows = (await connection.execute(_EVENTS, {"the_order": number})).all()
    # An order that was placed here has a tracking key, or of an early version a first event of its own.
    is_imported = len(rows) > 1 and rows[0].tracking_key is None and rows[0].at == rows[1].at
    return [_stored_event(row, is_imported=is_imported) for row in rows]


async def has_event(connection: AsyncConnection, number: str, kind: EventKind) -> bool:
    """Return whether the history of this order has an event of this kind."""
    row = order_events.c
    statement = select(row.sequence).where(row.order_number == number, row.event == kind.value).limit(1)
    return (await connection.execute(statement)).first() is not None


_REQUESTS = select(order_events.c.order_number, order_events.c.request, order_events.c.request_digest).where(
    order_events.c.order_number == bindparam("the_order")
)


async def load_requests(
    connection: AsyncConnection, keys_by_order: Mapping[str, Sequence[str]]
) -> dict[tuple[str, str], Request]:
    """Return the requests that were carried out before, by (order, key). `keys_by_order` are the keys to look for."""
    requests_by_key: dict[tuple[str, str], Request] = {}
    for number, keys in keys_by_order.items():
        for order, key, digest in await select_in(
            connection, _REQUESTS, order_events.c.request, keys, the_order=number
        ):
            requests_by_key[order, key] = Request(key=key, digest=digest)
    return requests_by_key


def digest_of(order: str, key: str, event: Event) -> str:
    """Return the digest of an event. It is equal for equal events, however their numbers are written. It depends on the
    order and the key, so personal data cannot be compared between orders."""
    header_edits = event.details if isinstance(event, ChangeOrder) else {}
    details = {name: _plain_value(value) for name, value in header_edits.items()}
    payload = {"action": event.action.value, **_write_event(event), "details": details}
    content = orjson.dumps([order, payload], option=orjson.OPT_SORT_KEYS)
    return hmac.new(key.encode("utf-8", "surrogatepass"), content, sha256).hexdigest()


def length(stored_length: int, entries: Sequence[EventEntry]) -> int:
    """Return the length of a history of `stored_length` events after adding `entries`; an empty history gets a first
    event of its own."""
    return stored_length + len(entries) + (stored_length == 0)


async def count_by_event(connection: AsyncConnection) -> dict[EventKind, int]:
    """Return how often each kind of event happened, over all orders."""
    rows = await connection.execute(select(order_events.c.event, func.count()).group_by(order_events.c.event))
    return {EventKind(kind): count for kind, count in rows}


_INSERT_EVENTS = insert(order_events)


async def write(uow: UnitOfWork, items: Sequence[tuple[OrderState, int, Sequence[EventEntry]]], *, actor: str) -> None:
    """Add entries to histories. `items` holds for each order: state before the entries, length of the stored history,
    entries.

    An empty history begins with an event that holds the state before the first entry.
    """
    rows: list[Row] = []
    for state, stored_length, entries in items:
        if stored_length == 0:
            author = entries[0].author if entries else None
            entries = (EventEntry(event=Begin(), before=None, after=state.stage, author=author), *entries)
        for sequence, entry in enumerate(entries, start=stored_length + 1):
            detail = _write_event(entry.event) if sequence > 1 else _write_state(state)
            rows.append(
                {
                    "order_number": state.number,
                    "sequence": sequence,
                    "at": uow.now,
                    "actor": entry.author or actor,
                    "event": entry.event.action.happened.value,
                    "stage_before": entry.before and entry.before.value,
                    "stage_after": entry.after.value,
                    "detail": orjson.dumps(detail).decode(),
                    "request": entry.request and entry.request.key,
                    "request_digest": entry.request and entry.request.digest,
                }
            )
    if rows:
        await uow.connection.execute(_INSERT_EVENTS, rows)


def _write_event(event: Event) -> dict[str, Any]:
    """Return the fields of an event as plain values, without empty ones; of personal fields only the names."""
    details = event.details if isinstance(event, ChangeOrder) else {}
    given = {name: getattr(event, name) for name in _NAMES[event.action]}
    values = {
        name: _WRITE[name](value) if name in _WRITE else value for name, value in given.items() if value is not None
    }
    if details:
        values["details"] = {name: _plain_value(value) for name, value in details.items() if name not in PERSONAL}
        values["personal"] = sorted(details.keys() & PERSONAL)
    return {name: value for name, value in values.items() if value is not None and value not in ({}, [])}


def _plain_value(value: Any) -> Any:
    if isinstance(value, Decimal):
        return plain(value)
    return value.isoformat() if isinstance(value, date) else value


def _read_details(detail: Mapping[str, Any]) -> dict[str, Any]:
    """Return the header fields of a stored change. Personal fields are None: only their names are stored."""
    details = {name: HEADER_FIELDS[name].read(value) for name, value in detail.get("details", {}).items()}
    return details | dict.fromkeys(detail.get("personal", ()))


def _write_quantities(quantities: Mapping[int, Decimal]) -> dict[str, str]:
    return {str(number): plain(quantity) for number, quantity in quantities.items()}


def _write_line_edit(edit: LineEdit) -> dict[str, str]:
    values = {"sku": edit.sku, "quantity": plain(edit.quantity), "discount": plain(edit.discount)}
    return values | ({} if edit.unit_price is None else {"unit_price": plain(edit.unit_price)})


def _write_state(state: OrderState) -> dict[str, Any]:
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


def _stored_event(row: Any, *, is_imported: bool) -> StoredEvent:
    detail = orjson.loads(row.detail)
    first = row.event == EventKind.BEGUN
    return StoredEvent(
        event=Begin() if first else read_event(EventKind(row.event).action, detail),
        before=Stage(row.stage_before) if row.stage_before else None,
        after=Stage(row.stage_after),
        sequence=row.sequence,
        at=row.at,
        actor=IMPORT if first and is_imported else row.actor,
        is_imported=first and is_imported,
        initial_state=_read_state(row, detail) if first else None,
        request=Request(key=row.request, digest=row.request_digest) if row.request else None,
    )


def read_event(action: Action, detail: Mapping[str, Any]) -> Event:
    """Build the event of a stored row from its action and detail; any event but the first.

    Earlier versions stored fields that an action does not have; such a field is ignored.
    """
    has = ACTION_FIELDS[action].names
    values = {name: _READ[name](value) if name in _READ else value for name, value in detail.items() if name in has}
    if action is Action.CHANGE:
        values["details"] = _read_details(detail)
    if action is Action.SHIP and values.get("lines"):
        values.pop("shipment", None)  # earlier versions stored both; the lines made a new parcel
    return make_event(action, **values)


def _read_line_edit(values: Mapping[str, str]) -> LineEdit:
    return LineEdit(sku=values["sku"], **{name: Decimal(value) for name, value in values.items() if name != "sku"})


def _read_quantities(texts: Mapping[str, str]) -> dict[int, Decimal]:
    return {int(number): Decimal(quantity) for number, quantity in texts.items()}


def _read_state(row: Any, detail: Mapping[str, Any]) -> OrderState:
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
        shipments={item["number"]: _read_shipment(item) for item in detail.get("shipments", ())},
        invoiced=Decimal(detail["invoiced"]),
        authorized=Decimal(detail["authorized"]),
        captured=Decimal(detail["captured"]),
        refunded=Decimal(detail["refunded"]),
    )


def _read_shipment(values: Mapping[str, Any]) -> Shipment:
    return Shipment(
        number=values["number"],
        lines=_read_quantities(values["lines"]),
        status=ShipmentStatus(values["status"]),
        warehouse=values.get("warehouse"),
        carrier=values.get("carrier"),
        tracking_number=values.get("tracking_number"),
        **{name: date.fromisoformat(values[name]) for name in ("shipped_on", "delivered_on") if name in values},
    )


_WRITERS: Mapping[object, Callable[[Any], Any]] = {
    Quantities: _write_quantities,
    LineEdits: lambda edits: {str(number): _write_line_edit(edit) for number, edit in edits.items()},
    Decimal: plain,
    date: date.isoformat,
}
"""How a field of an event is written, by its type."""
_READERS: Mapping[object, Callable[[Any], Any]] = {
    Quantities: _read_quantities,
    LineEdits: lambda edits: {int(number): _read_line_edit(edit) for number, edit in edits.items()},
    Decimal: Decimal,
    date: date.fromisoformat,
}
"""How a field is read, by its type; an enum is read from its value."""
_PLAIN: tuple[object, ...] = (int, str, FreeText)
"""The types whose values are stored as they are; the value of an enum is text."""


def writer_of(kind: object) -> Callable[[Any], Any] | None:
    """Return how an event field of this type is written; None: as it is. TypeError for an unknown type."""
    if kind in _PLAIN or isinstance(kind, EnumType):
        return None
    if kind in _WRITERS and kind in _READERS:
        return _WRITERS[kind]
    raise TypeError(f"{kind} is the type of an event field, and _WRITERS and _READERS do not say how it is stored.")


_STORED = {name: kind for name, kind in FIELD_TYPES.items() if kind != Details}
_WRITE = {name: writer for name, kind in _STORED.items() if (writer := writer_of(kind))}
_READ: Mapping[str, Callable[[Any], Any]] = {
    name: kind if isinstance(kind, EnumType) else _READERS[kind] for name, kind in _STORED.items() if kind not in _PLAIN
}
_NAMES: Mapping[Action, tuple[str, ...]] = {
    action: tuple(name for name in EVENT_FIELDS if name in has.names and name != "details")
    for action, has in ACTION_FIELDS.items()
}
"""The fields that are stored for each action; `details` are stored separately."""
