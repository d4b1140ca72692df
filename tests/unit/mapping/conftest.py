"""A mappings folder to edit, entities to map, and the describe of an org to check against."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import chdir
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from connector.errors import MappingError
from connector.mapping import MappingSet, load_mappings
from connector.model.customer import Customer
from connector.model.describe import FieldDescribe, SObjectDescribe
from connector.model.order import Line, Order
from connector.model.product import Product
from connector.model.stage import Stage
from tests.order_builders import changed, stored_line, stored_order


class Folder:
    """A copy of `sample/`: mappings like the shipped ones, with fixed line numbers for the tests."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def edit(self, file: str, old: str, new: str) -> Folder:
        text = (self.path / file).read_text(encoding="utf-8")
        assert old in text, f"{file} has no {old!r}"
        return self.write(file, text.replace(old, new, 1))

    def write(self, file: str, text: str) -> Folder:
        (self.path / file).write_text(text, encoding="utf-8")
        return self

    def add_field(self, entry: str, file: str = "order.yaml") -> Folder:
        """`entry` as the first line under `fields:`, which is line 8 of order.yaml."""
        return self.edit(file, "fields:\n", f"fields:\n  {entry}\n")

    def load(self) -> MappingSet:
        with chdir(self.path.parent):
            return load_mappings(Path(self.path.name))

    def problems(self) -> tuple[str, ...]:
        with pytest.raises(MappingError) as caught:
            self.load()
        return caught.value.problems


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    copytree(Path(__file__).parent / "sample", tmp_path / "mappings")
    return Folder(tmp_path / "mappings")


@pytest.fixture(scope="session")
def mappings() -> MappingSet:
    return load_mappings()


CUSTOMER = Customer(number="ALFKI", name="Alfreds Futterkiste", email="maria@alfreds.example", city="Berlin")


def line(number: int, quantity: str, price: str | None, discount: str = "0") -> Line:
    return stored_line(
        order="10248",
        number=number,
        product=Product(sku=f"SKU-{number}", name=f"Product {number}"),
        currency="USD",
        quantity=Decimal(quantity),
        unit_price=None if price is None else Decimal(price),
        discount=Decimal(discount),
    )


ORDER = stored_order(
    number="10248",
    version=1,
    customer=CUSTOMER,
    placed_at=datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC),
    currency="USD",
    stage=Stage.CONFIRMED,
    channel="web",
    po_number="PO-7",
    notes=None,
    promised_on=date(2026, 2, 28),
    shipped_on=None,
    carrier=None,
    tracking_number=None,
    freight=Decimal("32.38"),
    ship_to_name="Alfreds Futterkiste",
    ship_to_street="Obere Str. 57",
    ship_to_city="Berlin",
    ship_to_state=None,
    ship_to_postal_code="12209",
    ship_to_country="Germany",
    lines=(line(1, "12", "14", "0.15"), line(2, "10", "9.8"), line(3, "5", "34.8", "0.05")),
)


@pytest.fixture
def order() -> Order:
    return ORDER


@pytest.fixture
def make_order() -> Callable[..., Order]:
    return lambda **changes: changed(ORDER, **changes)


def field(name: str, kind: str = "string", **changes: Any) -> FieldDescribe:
    values: dict[str, Any] = {
        "name": name,
        "label": name,
        "type": kind,
        "length": 255 if kind in {"string", "textarea", "email", "phone"} else 0,
        "precision": 18 if kind in {"currency", "double", "percent"} else 0,
        "scale": 2 if kind in {"currency", "double", "percent"} else 0,
        "nillable": True,
        "createable": True,
        "updateable": True,
        "defaulted_on_create": False,
        "external_id": False,
        "unique": False,
        "restricted_picklist": False,
        "picklist": (),
        "reference_to": (),
        "relationship_name": None,
    }
    return FieldDescribe(**(values | changes))


def key_field() -> FieldDescribe:
    return field("External_Key__c", external_id=True, unique=True)


def reference(name: str, to: str, **changes: Any) -> FieldDescribe:
    return field(name, "reference", reference_to=(to,), relationship_name=name.removesuffix("Id"), **changes)


def sobject(name: str, *fields: FieldDescribe, **changes: Any) -> SObjectDescribe:
    values: dict[str, Any] = {"label": name, "createable": True, "updateable": True}
    return SObjectDescribe(name=name, fields={item.name: item for item in fields}, **(values | changes))


QUANTITIES = ("Allocated", "Backordered", "Picked", "Shipped", "Delivered", "Returned", "Canceled")


def plain_org() -> dict[str, SObjectDescribe]:
    """The objects of an org with our metadata, as far as the shipped mappings need them."""
    address = ("Street", "City", "State", "PostalCode", "Country")
    status = field("Status", "picklist", nillable=False, restricted_picklist=True, picklist=("Draft", "Activated"))
    stages = field("Lifecycle_Stage__c", "picklist", restricted_picklist=True, picklist=tuple(Stage))
    objects = (
        sobject(
            "Account",
            field("Id", "id", nillable=False, createable=False, updateable=False, defaulted_on_create=True),
            key_field(),
            field("Name", nillable=False),
            field("Phone", "phone"),
            field("Contact_Email__c", "email"),
            field("Payment_Terms__c", "string", length=255),
            *(field(f"Billing{part}") for part in address),
        ),
        sobject(
            "Product2",
            key_field(),
            field("Name", nillable=False),
            field("ProductCode"),
            field("Description", "textarea"),
            field("IsActive", "boolean", nillable=False, defaulted_on_create=True),
        ),
        sobject(
            "Order",
            key_field(),
            reference("AccountId", "Account"),
            reference("Pricebook2Id", "Pricebook2"),
            reference("OriginalOrderId", "Order", updateable=False),
            field("IsReductionOrder", "boolean", updateable=False, nillable=False, defaulted_on_create=True),
            field("EffectiveDate", "date", nillable=False),
            status,
            stages,
            field("PoNumber", length=80),
            field("Description", "textarea", length=32000),
            *(field(f"Shipping{part}") for part in address),
            field("Ship_To_Name__c", length=120),
            field("Exact_Total__c", "currency", scale=4),
            field("Freight__c", "currency"),
            field("Placed_At__c", "datetime"),
            field("Promised_Date__c", "date"),
            field("Shipped_Date__c", "date"),
            field("Carrier__c"),
            field("Tracking_Number__c"),
            field("Channel__c"),
            field("Fulfillment_Status__c"),
            field("Payment_Status__c"),
            field("Amount_Due__c", "currency"),
            field("Hold_Reason__c", length=120),
            field("Priority__c", "double"),
            field("Tax__c", "currency"),
            field("Net_Total__c", "currency", scale=6),
            field("Ship_Complete__c", "boolean", nillable=False, defaulted_on_create=True),
            field("Delivery_Note__c", "textarea", length=2000),
            field("Rep_Comment__c", "textarea", length=4000),
            *(
                field(f"{name}__c", length=40)
                for name in ("Service_Level", "Invoice_Number", "Return_Status", "Return_Reason")
            ),
            field("TotalAmount", "currency", nillable=False, createable=False, updateable=False),
        ),
        sobject(
            "OrderItem",
            key_field(),
            reference("OrderId", "Order", nillable=False, updateable=False),
            reference("PricebookEntryId", "PricebookEntry", nillable=False, updateable=False),
            reference("OriginalOrderItemId", "OrderItem", updateable=False),
            field("Quantity", "double", nillable=False),
            field("UnitPrice", "currency"),
            field("Line_Number__c", "double", scale=0),
            field("List_Unit_Price__c", "currency", scale=4),
            field("Discount_Percent__c", "percent"),
            field("Exact_Total__c", "currency", scale=4),
            *(field(f"{name}_Quantity__c", "double", scale=4) for name in QUANTITIES),
        ),
    )
    return {item.name: item for item in objects}


class Org:
    """Describe results that a test can change."""

    def __init__(self) -> None:
        self.describes = plain_org()

    def change(self, name: str, field_name: str, **changes: Any) -> Org:
        return self.put(name, replace(self.describes[name].fields[field_name], **changes))

    def put(self, name: str, *items: FieldDescribe) -> Org:
        described = self.describes[name]
        fields = {**described.fields, **{item.name: item for item in items}}
        self.describes[name] = replace(described, fields=fields)
        return self

    def hide(self, name: str, field_name: str) -> Org:
        described = self.describes[name]
        fields = {key: value for key, value in described.fields.items() if key != field_name}
        self.describes[name] = replace(described, fields=fields)
        return self


@pytest.fixture
def org() -> Org:
    return Org()
