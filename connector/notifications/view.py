"""The data that templates can use: one notification, in a customer's words. PURE."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal

from connector.model.notification import MessageKind
from connector.model.order import Order
from connector.model.order_return import build_order_return
from connector.model.shipments import ZERO, Resolution
from connector.orders.documents.formatting import parcels
from connector.orders.documents.invoice import InvoiceView, build_invoice
from connector.orders.policy.rules import Billing


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """A quantity of one product."""

    name: str
    sku: str
    quantity: Decimal


@dataclass(frozen=True, kw_only=True, slots=True)
class ParcelView:
    """A parcel to the customer, named by its number on the tracking page, or back from them, named by the return."""

    name: str
    carrier: str | None
    tracking_number: str | None
    on: date | None
    items: tuple[Item, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class HoldView:
    """A hold past its escalation limit."""

    reason: str
    note: str | None
    since: datetime
    released: bool = False
    priority: int
    stage: str


@dataclass(frozen=True, kw_only=True, slots=True)
class MessageView:
    """The data of one notification.

    `bill`: the order as it is now. `invoice`: an issued invoice. `amount`: the amount that is or will be refunded.
    Fields that a kind does not use are None or empty.
    """

    kind: MessageKind
    company: str
    company_address: tuple[str, ...]
    customer: str
    order: str
    ordered_on: date
    po_number: str | None
    promised_on: date | None
    currency: str
    address: tuple[str, ...]
    tracking_url: str | None
    bill: InvoiceView
    parcel: ParcelView | None = None
    to_come: tuple[Item, ...] = ()
    canceled: tuple[Item, ...] = ()
    invoice: InvoiceView | None = None
    replacement: bool = False
    amount: Decimal = ZERO
    hold: HoldView | None = None

    def money(self, value: Decimal) -> str:
        """`1,204.50 USD`, `1,205 JPY`."""
        return self.bill.money(value)


def build_view(kind: MessageKind, order: Order, billing: Billing, public_url: str, now: datetime) -> MessageView:
    """Build the data that all kinds share."""
    link = f"{public_url.rstrip('/')}/track/{order.tracking_key}" if public_url and order.tracking_key else None
    return MessageView(
        kind=kind,
        company=billing.company,
        company_address=billing.address,
        customer=order.customer.name,
        order=order.number,
        ordered_on=order.header.placed_at.date(),
        po_number=order.header.po_number,
        promised_on=order.header.promised_on,
        currency=order.currency,
        address=_delivery_address(order),
        tracking_url=link,
        # With `invoiced` 0, so that the bill covers the whole order.
        bill=build_invoice("", order, replace(order.state, invoiced=ZERO), order.state.due, now, billing),
    )


def shipment_parcel(order: Order, number: int) -> ParcelView | None:
    shipment = order.state.shipments.get(number)
    if shipment is None or shipment.shipped_on is None:
        return None
    return ParcelView(
        name=str(parcels(order).get(number, number)),
        carrier=shipment.carrier,
        tracking_number=shipment.tracking_number,
        on=shipment.shipped_on,
        items=_items(order, shipment.lines),
    )


def unshipped_items(order: Order) -> tuple[Item, ...]:
    """Return what has not been shipped yet."""
    unshipped = {number: line.wanted - line.shipped for number, line in order.state.lines.items()}
    return _items(order, unshipped)


def canceled_items(order: Order) -> tuple[Item, ...]:
    return _items(order, {line.number: line.state.canceled for line in order.lines})


def return_parcel(order: Order, number: int) -> tuple[ParcelView, bool] | None:
    """Return the parcel that the customer sends back, and whether it is replaced; None if it has no label."""
    order_return = order.state.returns.get(number)
    if order_return is None or not order_return.tracking_number:
        return None
    item = build_order_return(order, order_return)
    lines = {line.number: line.requested for line in item.lines}
    view = ParcelView(
        name=item.key,
        carrier=item.carrier,
        tracking_number=item.tracking_number,
        on=None,
        items=_items(order, lines),
    )
    return view, item.resolution is Resolution.REPLACEMENT


def _items(order: Order, quantities: Mapping[int, Decimal]) -> tuple[Item, ...]:
    return tuple(
        Item(name=line.product.name, sku=line.product.sku, quantity=quantities[line.number])
        for line in order.lines
        if quantities.get(line.number, ZERO) > ZERO
    )


def _delivery_address(order: Order) -> tuple[str, ...]:
    there = order.destination
    town = _joined((there["postal_code"], there["city"], there["state"]))
    street = (there["street"] or "").splitlines()
    lines = [line for line in (*street, town, there["country"]) if line]
    return (there["name"] or "", *lines) if lines else ()


def _joined(parts: Iterable[str | None]) -> str:
    return " ".join(part for part in parts if part)
