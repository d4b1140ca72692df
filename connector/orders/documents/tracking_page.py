"""Render invoices and tracking pages as HTML: all values are escaped, and nothing is loaded from elsewhere."""

from __future__ import annotations

from base64 import b64encode
from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING

from connector.model.order import Order
from connector.model.shipments import ShipmentStatus
from connector.model.stage import Stage
from connector.orders.documents.formatting import day, parcels, quantity
from connector.orders.documents.invoice import InvoiceView

if TYPE_CHECKING:
    from jinja2 import Environment

STEPS = (
    ("Received", (Stage.PLACED, Stage.VERIFIED)),
    ("Confirmed", (Stage.CONFIRMED,)),
    ("Being packed", (Stage.FULFILLING,)),
    ("On its way", (Stage.SHIPPED,)),
    ("Delivered", (Stage.DELIVERED, Stage.COMPLETED)),
)
"""The stages of an order as a customer sees them."""

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
    reached = next((index for index, (_, stages) in enumerate(STEPS) if order.stage in stages), None)
    shipments = [(place, order.state.shipments[number]) for number, place in parcels(order).items()]
    rows = [(place, item, PARCELS[item.status]) for place, item in shipments]
    return _environment().get_template("tracking.html.j2").render(
        order=order, company=company, steps=[name for name, _ in STEPS], reached=reached, parcels=rows,
        names={line.number: line.product.name for line in order.lines}, style=style(),
    )  # fmt: skip


@cache
def style() -> str:
    return _environment().get_template("style.css").render()


@cache
def style_source() -> str:
    """Return the style sheet's hash for a content security policy."""
    return f"'sha256-{b64encode(sha256(style().encode()).digest()).decode()}'"


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
    return environment
