"""Orders for tests from flat values: each goes to the header, the state or the order itself, by its name."""

from __future__ import annotations

from dataclasses import fields, replace
from decimal import Decimal
from typing import Any, TypeVar

from connector.model.order import Line, Order, OrderInput, exact_total
from connector.model.order_header import HEADER_FIELDS, OrderHeader
from connector.model.order_state import LineState, OrderState
from connector.model.stage import Stage

_STATE = frozenset(item.name for item in fields(OrderState)) - {"header", "lines"}
_QUANTITIES = frozenset(item.name for item in fields(LineState)) - {"total"}
AnyOrder = TypeVar("AnyOrder", Order, OrderInput)


def order_input(**values: Any) -> OrderInput:
    """An order as it arrives."""
    header, rest = _split(values, frozenset(HEADER_FIELDS))
    return OrderInput(header=OrderHeader(**header), **rest)


def stored_order(**values: Any) -> Order:
    """An order as the store gives it, at version 1 unless it is said otherwise."""
    header, rest = _split(values, frozenset(HEADER_FIELDS))
    state, rest = _split(rest, _STATE)
    lines: tuple[Line, ...] = rest["lines"]
    whole = OrderState(
        header=OrderHeader(**header),
        lines={line.number: line.state for line in lines},
        **{"stage": Stage.PLACED, **state},
    )
    return Order(**{"version": 1, **rest}, state=whole)


def stored_line(**values: Any) -> Line:
    """A line of an order, with its quantities."""
    quantities, rest = _split(values, _QUANTITIES)
    total = exact_total(quantities["quantity"], rest["unit_price"], rest["discount"]) or Decimal(0)
    return Line(**rest, state=LineState(total=total, **quantities))


def changed(order: AnyOrder, **values: Any) -> AnyOrder:
    """The order with other values, whichever part of it they belong to."""
    header, rest = _split(values, frozenset(HEADER_FIELDS))
    if isinstance(order, Order):
        state, rest = _split(rest, _STATE)
        if "lines" in rest:
            state["lines"] = {line.number: line.state for line in rest["lines"]}
        rest["state"] = replace(order.state, header=order.header.with_values(header), **state)
    else:
        rest["header"] = order.header.with_values(header)
    return replace(order, **rest)


def as_history_keeps(state: OrderState) -> OrderState:
    """The state with what a history keeps of the header alone, for a comparison with a replay."""
    header = state.header
    kept = OrderHeader(
        number=header.number,
        placed_at=header.placed_at,
        currency=header.currency,
        freight=header.freight or Decimal(0),
        tax_rate=header.tax_rate or Decimal(0),
        ship_complete=header.ship_complete,
    )
    return replace(state, header=kept)


def _split(values: dict[str, Any], names: frozenset[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    chosen = {name: value for name, value in values.items() if name in names}
    return chosen, {name: value for name, value in values.items() if name not in names}
