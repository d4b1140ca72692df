"""Sample data for checking templates: for each kind one view with all fields, and one with only the required ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

from connector.model.notification import MessageKind
from connector.notifications.view import HoldView, Item, MessageView, ParcelView
from connector.orders.documents.invoice import InvoiceLine, InvoiceView

DAY = date(2026, 3, 5)
_ITEM = Item(name="Product", sku="S-1", quantity=Decimal("1.5"))
_PARCEL = ParcelView(name="1", carrier="Carrier", tracking_number="T-1", on=DAY, items=(_ITEM,))
_HOLD = HoldView(reason="manual", note="Why", since=datetime(2026, 3, 5, 12, tzinfo=UTC), priority=1, stage="placed")
_WITH_PARCEL = (MessageKind.SHIPMENT, MessageKind.RETURN_LABEL)


def sample_views() -> Iterator[MessageView]:
    for kind in MessageKind:
        bare = MessageView(
            kind=kind,
            company="Company",
            company_address=(),
            customer="Customer",
            order="O-1",
            ordered_on=DAY,
            po_number=None,
            promised_on=None,
            currency="USD",
            address=(),
            tracking_url=None,
            bill=_bill(tax_rate="0", discount="0", freight="0"),
            invoice=_bill(tax_rate="0", discount="0", freight="0") if kind is MessageKind.INVOICE else None,
            parcel=replace(_PARCEL, carrier=None, tracking_number=None) if kind in _WITH_PARCEL else None,
            hold=replace(_HOLD, note=None) if kind is MessageKind.ESCALATION else None,
        )
        yield bare
        yield replace(
            bare,
            company_address=("Street 1", "Town"),
            po_number="PO-1",
            promised_on=DAY,
            address=("Customer", "Street 1", "Town", "Country"),
            tracking_url="https://orders.example/track/key",
            bill=_bill(tax_rate="0.19", discount="15", freight="4.90", tax_added="3.19"),
            invoice=_bill(tax_rate="0.19", discount="15", freight="4.90") if bare.invoice else None,
            parcel=_PARCEL if bare.parcel else None,
            to_come=(_ITEM,),
            canceled=(_ITEM,),
            replacement=True,
            amount=Decimal("1.50"),
            hold=_HOLD if bare.hold else None,
        )


def _bill(*, tax_rate: str, discount: str, freight: str, tax_added: str = "0") -> InvoiceView:
    line = InvoiceLine(
        number=1, sku="S-1", name="Product", quantity=Decimal("1.5"), unit_price=Decimal(10),
        discount=Decimal(discount), total=Decimal(15),
    )  # fmt: skip
    return InvoiceView(
        number="INV-1", issued_on="2026-03-05", company="Company", company_address=(), customer="Customer",
        customer_number="C-1", address=(), order="O-1", ordered_on="2026-03-05", po_number=None, currency="USD",
        lines=(line,), freight=Decimal(freight), rounding=Decimal(0), total=Decimal(20), before=Decimal(5),
        amount=Decimal(15), tax_rate=Decimal(tax_rate), tax_added=Decimal(tax_added), net=tax_added != "0",
    )  # fmt: skip
