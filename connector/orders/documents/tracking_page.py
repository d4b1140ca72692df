"""Documents as HTML: templates with everything escaped, one style sheet in each page, nothing loaded from elsewhere."""

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
"""The stages in a customer's words."""

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
    """What whoever has the link may see: no price, no street, no name."""
    reached = next((index for index, (_, stages) in enumerate(STEPS) if order.stage in stages), None)
    found = [(place, order.state.shipments[number]) for number, place in parcels(order).items()]
    shown = [(place, item, PARCELS[item.status]) for place, item in found]
    return _environment().get_template("tracking.html.j2").render(
        order=order, company=company, steps=[name for name, _ in STEPS], reached=reached, parcels=shown,
        names={line.number: line.product.name for line in order.lines}, style=style(),
    )  # fmt: skip


@cache
def style() -> str:
    return _environment().get_template("style.css").render()


@cache
def style_source() -> str:
    """What a content security policy calls the one style sheet of our pages."""
    return f"'sha256-{b64encode(sha256(style().encode()).digest()).decode()}'"


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("connector.orders.documents"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"quantity": quantity, "day": day}
    return made
