"""Which orders are allocated stock here, as a condition on a stored order.

An order that was placed here is. One that was imported is from the first command on its goods on; until then another
system manages its stock, whatever else of it is changed.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, exists, or_

from connector.model.actions import STOCK_EVENTS
from connector.model.stage import Stage
from connector.store.tables import order_events, orders

_EVENT = order_events.c
_PLACED_HERE = (_EVENT.sequence == 1) & (_EVENT.stage_after == Stage.PLACED.value)
_HANDLED = _EVENT.event.in_(sorted(kind.value for kind in STOCK_EVENTS))

IS_ALLOCATED_STOCK: ColumnElement[bool] = or_(
    orders.c.tracking_key.is_not(None),  # earlier versions placed orders without one
    exists().where(_EVENT.order_number == orders.c.number, _PLACED_HERE | _HANDLED),
)
