"""Render invoices and tracking pages as HTML: all values are escaped, and nothing is loaded from elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from connector import design
from connector.model.order import Order
from connector.model.shipments import ShipmentStatus
from connector.model.stage import Stage
from connector.orders.documents.formatting import day, parcels, quantity
from connector.orders.documents.invoice import InvoiceView

if TYPE_CHECKING:
    from jinja2 import Environment


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """A part of an order's way as a customer sees it. `headline` is said while the order is there."""

    title: str
    headline: str
    icon: str
    stages: tuple[Stage, ...]


STEPS = (
    Step(title="Received", headline="We have your order", icon="receipt", stages=(Stage.PLACED, Stage.VERIFIED)),
    Step(title="Confirmed", headline="Your order is confirmed", icon="circle-check", stages=(Stage.CONFIRMED,)),
    Step(title="Being packed", headline="We are packing your order", icon="boxes", stages=(Stage.FULFILLING,)),
    Step(title="On its way", headline="Your order is on its way", icon="truck", stages=(Stage.SHIPPED,)),
    Step(title="Delivered", headline="Your order has arrived", icon="house", stages=(Stage.DELIVERED, Stage.COMPLETED)),
)
CANCELED = "This order was canceled"

PARCELS = {
    ShipmentStatus.PACKED: "packed",
    ShipmentStatus.LABELED: "ready to leave",
    ShipmentStatus.IN_TRANSIT: "on its way",
    ShipmentStatus.OUT_FOR_DELIVERY: "out for delivery",
    ShipmentStatus.EXCEPTION: "delayed at the carrier",
    ShipmentStatus.DELIVERED: "delivered",
}


def invoice_page(view: InvoiceView) -> str:
    return _environment().get_template("invoice.html.j2").render(invoice=view, style=style())


def tracking_page(order: Order, company: str) -> str:
    """Render the page for whoever has the link: it shows no price, no street and no name."""
    reached = next((index for index, step in enumerate(STEPS) if order.stage in step.stages), None)
    shipments = [(place, order.state.shipments[number]) for number, place in parcels(order).items()]
    rows = [(place, item, PARCELS[item.status]) for place, item in shipments]
    return _environment().get_template("tracking.html.j2").render(
        order=order, company=company, steps=[(step.title, step.icon) for step in STEPS], reached=reached, parcels=rows,
        headline=CANCELED if reached is None else STEPS[reached].headline,
        names={line.number: line.product.name for line in order.lines}, style=style(),
    )  # fmt: skip


def no_tracking_page(company: str) -> str:
    """Render the page for a link that leads to no order."""
    return _environment().get_template("no_tracking.html.j2").render(company=company, style=style())


@cache
def style() -> str:
    return design.read("theme.css") + _environment().get_template("style.css").render()


@cache
def style_source() -> str:
    """Return the style sheet's hash for a content security policy."""
    return design.style_source(style())


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("connector.orders.documents"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"quantity": quantity, "day": day}
    environment.globals["icon"] = design.icon
    return environment
