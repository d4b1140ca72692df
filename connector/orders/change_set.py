"""What one transaction does to one order: its state before and now, and everything that has to be written for it."""

from __future__ import annotations

from dataclasses import dataclass, field

from connector.model.copying import evolved
from connector.model.events import ChangeOrder
from connector.model.notification import NotificationRequest
from connector.model.order import Order
from connector.model.order_state import OrderState
from connector.orders import derived_orders
from connector.orders.inventory import stock_moves
from connector.store import order_history
from connector.store.invoices import Invoice
from connector.store.order_history import EventEntry


@dataclass(kw_only=True, slots=True)
class OrderChangeSet:
    """One order in the transaction: `order` as it was loaded, with `history_length` events; its state then (`before`)
    and now (`state`); and what happened in between."""

    order: Order
    history_length: int
    before: OrderState
    state: OrderState
    entries: list[EventEntry] = field(default_factory=list)
    steps: list[stock_moves.Step] = field(default_factory=list)
    derived: list[derived_orders.DerivedOrder] = field(default_factory=list)
    issued: list[Invoice] = field(default_factory=list)
    notifications: list[NotificationRequest] = field(default_factory=list)

    @property
    def current_order(self) -> Order:
        """The order in its state now; its `lines` are still those that were loaded."""
        return evolved(self.order, {"state": self.state})

    @property
    def current_length(self) -> int:
        """The number of events in its history now, unwritten ones included."""
        return order_history.length(self.history_length, self.entries)

    @property
    def move(self) -> stock_moves.StockMove:
        skus = {line.number: line.product.sku for line in self.order.lines}
        for entry in self.entries:
            if isinstance(entry.event, ChangeOrder):
                skus |= {number: edit.sku for number, edit in entry.event.line_edits.items()}
        return stock_moves.StockMove(order=self.order.number, skus=skus, steps=self.steps)
