"""The events of an order as text: `shipped 2 of line 1, carrier Swift Post`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from connector.model.order import Order
    from connector.store.order_history import StoredEvent


WriteMoney = Callable[[Decimal, str], str]
"""Writes an amount with its currency, as the reader's language has it."""


def event_text(event: Mapping[str, Any], currency: str, money: WriteMoney | None = None) -> str:
    """An event; what nobody asked for says so. A history begins with the placement, or with the first event after an
    import. Without `money`, amounts are written as `428.00 USD`."""
    match event["event"]:
        case "begun":
            return "imported before; its history begins here" if event.get("imported") else "as it was placed"
        case "advanced":
            return f"automatic: {event['stage']}"
        case _:
            return _requested_event_text(event, currency, money or _money)


def done_texts(
    action: str, order: Order, events: Sequence[StoredEvent], money: WriteMoney | None = None
) -> Iterator[str]:
    """Yield what a command has done, a sentence for each event; if it has done nothing, why."""
    from connector.model.actions import Action
    from connector.model.money import plain

    done = [event for event in events if event.event.action not in {Action.BEGIN, Action.ADVANCE}]
    for event in done:
        text = event_text(event.payload, order.currency, money).removesuffix(".")
        yield f"{text[0].upper()}{text[1:]}."
    if done:
        return
    waiting = [f"line {line.number} waits for {plain(line.backordered)}" for line in order.lines if line.backordered]
    what = "allocated" if action == "allocate" else "changed"
    yield f"Nothing was {what}{': ' if waiting else ''}{', '.join(waiting)}."


def _requested_event_text(event: Mapping[str, Any], currency: str, money: WriteMoney) -> str:
    """`shipped 2 of line 1, carrier Swift Post`; of personal details only which they were."""
    parts = [money(Decimal(event["amount"]), currency)] if "amount" in event else []
    parts += [str(event[name]).replace("_", " ") for name in ("hold", "reason", "status") if name in event]
    parts += [f"{quantity} of line {line}" for line, quantity in event.get("lines", {}).items()]
    parts += [f"{quantity} of line {line} written off" for line, quantity in event.get("written_off", {}).items()]
    parts += [
        f"line {line}: {edit['quantity']} {edit['sku']}" if edit["quantity"] != "0" else f"line {line}: none"
        for line, edit in event.get("line_edits", {}).items()
    ]
    details = event.get("details", {}).items()
    parts += [f"{field_words(name)} {'none' if value is None else value}" for name, value in details]
    parts += [field_words(name) for name in event.get("personal", [])]
    names = ("return_number", "shipment", "warehouse", "carrier", "tracking_number", "reference", "note")
    bare = {"note", "reference"}
    parts += [f"{'' if name in bare else f'{field_words(name)} '}{event[name]}" for name in names if name in event]
    return f"{event['event'].replace('_', ' ')} {', '.join(parts)}".rstrip()


def field_words(name: str) -> str:
    """`tracking number` of `tracking_number`."""
    words = name.split("_")
    return " ".join(_WRITTEN.get(word, word) for word in words)


_WRITTEN = {"po": "PO", "sku": "SKU"}


def _money(value: Decimal, currency: str) -> str:
    """`428.00 USD`; an amount with fractions of a cent keeps them."""
    from connector.model.money import money_text, places_of

    return f"{money_text(value, places_of(currency))} {currency}"
