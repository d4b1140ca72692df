"""Invoices and tracking pages: exact amounts, and no data that they must not show."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, date, datetime
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from connector.model.customer import Customer
from connector.model.order import Order
from connector.model.product import Product
from connector.model.role import Role
from connector.model.shipments import Shipment, ShipmentStatus
from connector.model.stage import Stage
from connector.notifications.view import shipment_parcel
from connector.orders.documents.invoice import build_invoice, dump, load
from connector.orders.documents.invoice_pdf import invoice_pdf
from connector.orders.documents.tracking_page import invoice_page, tracking_page
from connector.orders.policy.rules import Billing
from tests.order_builders import changed, stored_line, stored_order
from tests.web.conftest import ORDER, Api

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
BILLING = Billing(company="Ångström & Söhne", address=("Main Street 1",), tax_rate=Decimal("0.19"))


def an_order(*lines: tuple[str, str, str], name: str = "Żółw Κήπος Сад", freight: str = "4.90") -> Order:
    names = (
        "channel po_number notes promised_on shipped_on carrier tracking_number ship_to_name ship_to_street"
        " ship_to_city ship_to_state ship_to_postal_code ship_to_country"
    )
    plain = dict.fromkeys(names.split())
    return stored_order(
        number="O-1", version=1, customer=Customer(number="C-1", name=name, city="Łódź"), placed_at=NOW, currency="USD",
        stage=Stage.CONFIRMED, freight=Decimal(freight),
        lines=tuple(
            stored_line(order="O-1", number=number, product=Product(sku=f"S-{number}", name=name), currency="USD",
                 quantity=Decimal(quantity), unit_price=Decimal(price), discount=Decimal(discount))
            for number, (quantity, price, discount) in enumerate(lines, start=1)
        ),
        **plain,
    )  # fmt: skip


amounts = st.tuples(
    st.decimals("0.1", 500, places=2).map(str),
    st.decimals(0, 999, places=4).map(str),
    st.sampled_from(("0", "0.05", "0.15", "0.333", "1")),
)


@given(st.lists(amounts, min_size=1, max_size=12))
def test_invoice_adds_up_and_does_not_change(lines: list[tuple[str, str, str]]) -> None:
    order = an_order(*lines)
    view = build_invoice("INV-1", order, order.state, order.state.due, NOW, BILLING)
    assert view.goods + view.freight + view.rounding == view.total == order.state.due
    assert abs(view.rounding) <= Decimal("0.005") * (len(lines) + 1)
    assert load(dump(view)) == view
    assert 0 <= view.tax <= view.amount


def test_names_are_escaped_in_documents() -> None:
    order = an_order(("1", "2", "0"), name="<script>alert(1)</script>")
    view = build_invoice("INV-1", order, order.state, Decimal(1), NOW, BILLING)
    for page in (invoice_page(view), tracking_page(order, "<b>us</b>")):
        assert "<script>" not in page
        assert "<b>us" not in page


def test_parcels_are_numbered_as_the_customer_receives_them() -> None:
    """Shipment 2 was unpacked, so the customer sees parcels 1 and 2, on the page and in mails."""
    order = changed(an_order(("1200", "2", "0")), promised_on=date(2026, 3, 9))
    shipments = {
        number: Shipment(number=number, lines={1: Decimal(600)}, status=status, shipped_on=date(2026, 3, 4))
        for number, status in enumerate((ShipmentStatus.DELIVERED, ShipmentStatus.VOID, ShipmentStatus.IN_TRANSIT), 1)
    }
    order = changed(order, shipments=shipments)
    page = tracking_page(order, "us")
    assert re.findall(r"Parcel \d+: [a-z ]+", page) == ["Parcel 1: delivered", "Parcel 2: on its way"]
    mailed = shipment_parcel(order, 3)
    assert mailed is not None
    assert mailed.name == "2"
    assert "Placed on 1 March 2026; we promised it for 9 March 2026" in page
    assert "1,200" in page


def test_long_invoice_is_a_pdf_of_several_pages_in_any_european_script() -> None:
    order = an_order(*[("2", "9.99", "0.1")] * 60)
    content = invoice_pdf(build_invoice("INV-1", order, order.state, order.state.due, NOW, BILLING))
    assert content.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type /Page\b", content)) >= 3
    odd = an_order(("1", "1", "0"), name="漢字 🐢")
    assert invoice_pdf(build_invoice("INV-2", odd, odd.state, Decimal(1), NOW, BILLING))


async def invoiced(api: Api, number: str = "W-1") -> str:
    await api("POST", "/orders", ORDER | {"number": number})
    for action in ("verify", "confirm"):
        await api.move(number, action=action)
    said = await api.move(number, action="invoice", amount="10")
    return str(said.body["invoice_number"])


async def test_invoice_is_served_as_json_page_and_pdf(api: Api) -> None:
    assert await invoiced(api) == "INV-000001"
    listed = (await api("GET", "/orders/W-1/invoices", role=Role.VIEWER)).body["invoices"]
    assert [(item["number"], item["amount"]) for item in listed] == [("INV-000001", "10")]
    said = (await api("GET", "/invoices/INV-000001", role=Role.VIEWER)).body
    assert (said["customer"], said["amount"], said["total"]) == ("Alfreds Futterkiste", "10", "70.54")
    token = {"Authorization": f"Bearer {api.secrets[Role.VIEWER]}"}
    async with api.client.get("/api/v1/invoices/INV-000001/page", headers=token) as answer:
        page = await answer.text()
        assert "style-src 'sha256-" in answer.headers["Content-Security-Policy"]
    assert all(text in page for text in ("INV-000001", "Chai", "Order total", "70.54 USD", "10.00 USD"))
    async with api.client.get("/api/v1/invoices/INV-000001/pdf", headers=token) as answer:
        assert (answer.content_type, (await answer.read())[:5]) == ("application/pdf", b"%PDF-")
    assert (await api("GET", "/invoices/INV-000009")).status == 404


async def test_rejected_invoices_leave_no_gap_in_the_numbers(api: Api) -> None:
    numbers = [f"W-{index}" for index in range(8)]
    await asyncio.gather(*(invoiced(api, number) for number in numbers))
    assert (await api.move("W-0", action="invoice", amount="1000")).status == 422
    said = await api.move("W-0", action="invoice", amount="1")
    assert said.body["invoice_number"] == "INV-000009"


async def test_tracking_page_is_open_to_anyone_with_the_link(api: Api) -> None:
    await api("POST", "/orders", ORDER)
    path = (await api("GET", "/orders/W-1")).body["tracking_path"]
    assert len(path) > len("/track/") + 20
    async with api.client.get(path) as answer:
        page = await answer.text()
        assert (answer.status, answer.content_type) == (200, "text/html")
    assert "Received" in page
    assert "Chai" in page
    assert not [
        secret
        for secret in ("Obere Str", "Alfreds", "18", "ALFKI")
        if secret in re.sub("<style>.*</style>|<svg.*?</svg>", "", page, flags=re.S)
    ]
    async with api.client.get("/track/guessed") as answer:
        assert (answer.status, answer.content_type) == (404, "text/html")
        assert "This link leads to no order" in await answer.text()
