"""A return as the org sees it: with its order and its lines."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from connector.model.customer import Customer
from connector.model.order import Line, Order
from connector.model.shipments import ZERO, Resolution, Return, ReturnReason, ReturnStatus

MARK = "-RMA"


@dataclass(frozen=True, kw_only=True, slots=True)
class ReturnedLine:
    """One line of a return; `line` is the order line, `owner` the key of the return."""

    owner: str
    line: Line
    reason: ReturnReason
    resolution: Resolution
    requested: Decimal
    received: Decimal
    restocked: Decimal
    written_off: Decimal

    @property
    def key(self) -> str:
        return f"{self.owner}-{self.line.number}"

    @property
    def number(self) -> int:
        return self.line.number

    @property
    def inspected(self) -> Decimal:
        return self.restocked + self.written_off

    @property
    def exact_total(self) -> Decimal | None:
        """The exact price of what was inspected; None without a price."""
        total = self.line.exact_total
        return None if total is None else total * self.inspected / self.line.quantity


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderReturn:
    """One return. `credited` are the lines of which something was inspected."""

    order: Order
    number: int
    status: ReturnStatus
    reason: ReturnReason
    resolution: Resolution
    carrier: str | None
    tracking_number: str | None
    requested_on: date | None
    lines: tuple[ReturnedLine, ...]

    @property
    def key(self) -> str:
        return return_key(self.order.number, self.number)

    @property
    def customer(self) -> Customer:
        return self.order.customer

    @property
    def currency(self) -> str:
        return self.order.currency

    @property
    def credited(self) -> tuple[ReturnedLine, ...]:
        return tuple(line for line in self.lines if line.inspected > ZERO)

    @property
    def inspected(self) -> Decimal:
        return sum((line.inspected for line in self.lines), ZERO)


def return_key(order: str, number: int) -> str:
    """Return `10248-RMA1`: what the customer writes on the parcel, and the external ID of the record."""
    return f"{order}{MARK}{number}"


def split_key(key: str) -> tuple[str, int]:
    """Return order and number of a return's key; ("", 0) if `key` is not the key of a return."""
    order, mark, number = key.rpartition(MARK)
    return (order, int(number)) if mark and number.isdecimal() else ("", 0)


def build_order_return(order: Order, item: Return) -> OrderReturn:
    key = return_key(order.number, item.number)
    line_of = {line.number: line for line in order.lines}
    return OrderReturn(
        order=order,
        number=item.number,
        status=item.status,
        reason=item.reason,
        resolution=item.resolution,
        carrier=item.carrier,
        tracking_number=item.tracking_number,
        requested_on=item.requested_on,
        lines=tuple(
            ReturnedLine(
                owner=key,
                line=line_of[number],
                reason=item.reason,
                resolution=item.resolution,
                requested=line.requested,
                received=line.received,
                restocked=line.restocked,
                written_off=line.written_off,
            )
            for number, line in sorted(item.lines.items())
            if number in line_of
        ),
    )
