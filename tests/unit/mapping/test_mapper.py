"""The records that entities are mapped to, by the shipped mappings and by mappings that an admin might write."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from connector.errors import MappingError
from connector.mapping import MappingSet
from connector.mapping.spec import Owner
from connector.model.change import EntityKind
from connector.model.customer import Customer
from connector.model.order import Order
from connector.model.product import Product
from connector.model.record import Lookup, MappedRecord
from connector.model.stage import Stage
from tests.unit.mapping.conftest import CUSTOMER, Folder, line

Make = Callable[..., Order]


def mapped(mappings: MappingSet, order: Order) -> MappedRecord:
    record = mappings.order.map(order)
    assert record is not None
    return record


def test_order_is_mapped_with_its_number_as_external_id(mappings: MappingSet, order: Order) -> None:
    record = mapped(mappings, order)
    assert (record.entity, record.key, record.sobject, record.external_id) == (
        "order",
        "10248",
        "Order",
        "External_Key__c",
    )
    assert record.fields["External_Key__c"] == "10248"
    assert record.fields["Description"] is None
    assert record.fields["Freight__c"] == Decimal("32.38")


def test_dates_and_times_are_sent_in_the_format_of_the_org(mappings: MappingSet, order: Order) -> None:
    fields = mapped(mappings, order).fields
    assert fields["EffectiveDate"] == "2026-01-31"
    assert fields["Promised_Date__c"] == "2026-02-28"
    assert fields["Placed_At__c"] == "2026-01-31T12:00:00.000+0000"
    assert fields["Shipped_Date__c"] is None


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2026, 1, 31, 23, 30, tzinfo=timezone(timedelta(hours=-5))),
        datetime(2026, 2, 1, 4, 30, tzinfo=UTC),
        datetime(2026, 2, 1, 4, 30),  # noqa: DTZ001 - a moment without a zone is the case
    ],
)
def test_time_in_any_zone_is_sent_in_utc(mappings: MappingSet, make_order: Make, moment: datetime) -> None:
    fields = mapped(mappings, make_order(placed_at=moment)).fields
    assert fields["Placed_At__c"] == "2026-02-01T04:30:00.000+0000"
    assert fields["EffectiveDate"] == "2026-02-01"


def test_stage_is_sent_as_plain_text(mappings: MappingSet, order: Order) -> None:
    stage = mapped(mappings, order).fields["Lifecycle_Stage__c"]
    assert stage == "confirmed"
    assert type(stage) is str


def test_lines_are_sent_with_exact_amounts(mappings: MappingSet, order: Order) -> None:
    lines = mapped(mappings, order).children
    assert [item.key for item in lines] == ["10248-1", "10248-2", "10248-3"]
    assert {item.entity for item in lines} == {"line"}
    assert {item.sobject for item in lines} == {"OrderItem"}
    names = ("Quantity", "List_Unit_Price__c", "Discount_Percent__c", "UnitPrice", "Exact_Total__c")
    assert [tuple(str(item.fields[name]) for name in names) for item in lines] == [
        ("12", "14", "15.00", "11.90", "142.80"),
        ("10", "9.8", "0", "9.80", "98.0"),
        ("5", "34.8", "5.00", "33.06", "165.300"),
    ]
    assert all(isinstance(item.fields[name], Decimal) for item in lines for name in names)
    assert mapped(mappings, order).fields["Exact_Total__c"] == Decimal("406.10")


def test_line_total_keeps_the_fraction_of_a_cent_that_the_unit_price_loses(
    mappings: MappingSet, make_order: Make
) -> None:
    record = mapped(mappings, make_order(lines=(line(1, "30", "7.45", "0.05"),)))
    assert record.children[0].fields["UnitPrice"] == Decimal("7.08")
    assert record.children[0].fields["Exact_Total__c"] == Decimal("212.325")


def test_lookups_are_keyed_by_their_reference_field(mappings: MappingSet, order: Order) -> None:
    record = mapped(mappings, order)
    assert record.lookups == {
        "AccountId": Lookup(entity="customer", key="ALFKI"),
        "Pricebook2Id": Lookup(entity="price_book", key="standard"),
    }
    assert record.children[0].lookups == {"PricebookEntryId": Lookup(entity="price", key="SKU-1|USD")}


def test_custom_relationship_is_sent_as_its_custom_field(folder: Folder, order: Order) -> None:
    folder.add_field("Payer__r: {lookup: customer, path: customer.key}")
    assert mapped(folder.load(), order).lookups["Payer__c"] == Lookup(entity="customer", key="ALFKI")


def test_lookup_without_a_key_is_left_out(folder: Folder, order: Order, make_order: Make) -> None:
    folder.add_field("Reseller__r: {lookup: customer, path: channel}")
    assert "Reseller__c" in mapped(folder.load(), order).lookups
    assert "Reseller__c" not in mapped(folder.load(), make_order(channel=None)).lookups


@pytest.mark.parametrize(
    ("stage", "status"),
    [
        (Stage.PLACED, "Draft"),
        (Stage.VERIFIED, "Draft"),
        (Stage.CONFIRMED, "Activated"),
        (Stage.COMPLETED, "Activated"),
    ],
)
def test_status_is_mapped_from_the_stage(mappings: MappingSet, make_order: Make, stage: Stage, status: str) -> None:
    assert mapped(mappings, make_order(stage=stage)).fields["Status"] == status


def test_null_in_a_value_table_leaves_the_field_out(mappings: MappingSet, make_order: Make) -> None:
    fields = mapped(mappings, make_order(stage=Stage.CANCELED)).fields
    assert "Status" not in fields
    assert fields["Lifecycle_Stage__c"] == "canceled"


def test_value_without_a_row_uses_the_row_for_other_values(folder: Folder, make_order: Make) -> None:
    folder.write("values/channel.yaml", 'web: Online\n"*": Other\n')
    folder.edit(
        "order.yaml", "Channel__c: channel", "Channel__c: {path: channel, values: channel, default: None known}"
    )
    mappings = folder.load()
    sent = [mapped(mappings, make_order(channel=channel)).fields["Channel__c"] for channel in ("web", "fax", None, "")]
    assert sent == ["Online", "Other", "None known", "Other"]


def test_value_table_maps_a_flag_to_text(folder: Folder) -> None:
    folder.write("values/active.yaml", "true: In sale\nfalse: Retired\n")
    folder.add_field("State__c: {path: active, values: active}", "product.yaml")
    record = folder.load().product.map(Product(sku="A", name="A", active=False))
    assert record is not None
    assert record.fields["State__c"] == "Retired"


def test_several_transforms_are_applied_in_order(folder: Folder, make_order: Make) -> None:
    folder.add_field("Short__c: {path: notes, transform: [one_line, upper, cut80]}")
    record = mapped(folder.load(), make_order(notes=" two \n lines " + "x" * 100))
    assert record.fields["Short__c"] == "TWO LINES " + "X" * 70


def test_constant_and_expression_need_no_path(folder: Folder, order: Order) -> None:
    folder.add_field("Source__c: {const: connector}\n  Big__c: {expr: 'exact_total > 400.5 and customer.name != none'}")
    fields = mapped(folder.load(), order).fields
    assert fields["Source__c"] == "connector"
    assert fields["Big__c"] is True


def test_entity_whose_when_is_false_is_left_out(folder: Folder, make_order: Make) -> None:
    folder.edit("order.yaml", "entity: order", 'entity: order\nwhen: stage != "placed" or channel != "import"')
    mappings = folder.load()
    assert mappings.order.map(make_order(stage=Stage.PLACED, channel="import")) is None
    assert mappings.order.map(make_order(stage=Stage.PLACED, channel="web")) is not None
    assert mappings.order.map(make_order(stage=Stage.SHIPPED, channel="import")) is not None


def test_field_owned_by_the_org_is_never_sent(folder: Folder, make_order: Make) -> None:
    folder.edit("order.yaml", "owner: newest", "owner: salesforce")
    mappings = folder.load()
    assert "Description" not in mapped(mappings, make_order(notes="ours")).fields
    assert "Description" in mappings.order.fields_of("Order")


def test_owner_of_a_field_is_salesforce_unless_it_is_mapped(mappings: MappingSet) -> None:
    assert mappings.order.owner("Description") is Owner.NEWEST
    assert mappings.order.owner("AccountId") is Owner.LOCAL
    assert mappings.order.owner("UnitPrice", "OrderItem") is Owner.LOCAL
    assert mappings.order.owner("Rep_Comment__c") is Owner.SALESFORCE


def test_every_field_has_the_position_of_its_line(folder: Folder) -> None:
    mappings = folder.load()
    text = (folder.path / "order.yaml").read_text().splitlines()
    for name, start in (("Status", "  Status:"), ("AccountId", "  Account:")):
        where = next(number for number, content in enumerate(text, 1) if content.startswith(start))
        assert mappings.order.source("Order", name) == f"mappings/order.yaml:{where}"
        assert mappings.source("Order", name) == f"mappings/order.yaml:{where}"
    assert mappings.source("Account", "Name") == "mappings/customer.yaml:7"
    assert mappings.source("OrderItem", "UnitPrice") == "mappings/order.yaml:38"
    assert mappings.source("Order", "Nothing__c") is None


def test_value_that_cannot_be_mapped_is_reported_with_line_and_order(folder: Folder, make_order: Make) -> None:
    folder.add_field("Po__c: {path: po_number, transform: integer}")
    mappings = folder.load()
    assert mapped(mappings, make_order(po_number="7.5")).fields["Po__c"] == 8
    with pytest.raises(MappingError) as caught:
        mappings.order.map(make_order(po_number="seven"))
    assert caught.value.problems == (
        "mappings/order.yaml:8:3: Po__c: cannot be computed for order 10248: 'seven' is not a number; "
        "correct the entity's value, or the mapping.",
    )


def test_when_that_fails_is_reported_with_the_order(folder: Folder, order: Order) -> None:
    folder.edit("order.yaml", "entity: order", "entity: order\nwhen: freight / (freight - freight) > 1")
    with pytest.raises(MappingError, match=r"mappings/order.yaml:3:1: when: cannot be computed for order 10248: "):
        folder.load().order.map(order)


def test_customers_and_products_are_mapped_to_accounts_and_products(mappings: MappingSet) -> None:
    account = mappings.customer.map(CUSTOMER)
    product = mappings.product.map(Product(sku="CHAI", name="Chai", description="Tea"))
    assert account is not None
    assert product is not None
    assert (account.entity, account.key, account.sobject) == ("customer", "ALFKI", "Account")
    assert account.fields["Contact_Email__c"] == "maria@alfreds.example"
    assert (product.entity, product.key, product.sobject) == ("product", "CHAI", "Product2")
    assert product.fields == {
        "External_Key__c": "CHAI",
        "Name": "Chai",
        "ProductCode": "CHAI",
        "Description": "Tea",
        "IsActive": True,
    }


def test_mapping_set_has_one_mapping_per_entity_kind(mappings: MappingSet) -> None:
    assert [mapping.kind for mapping in mappings] == list(EntityKind)
    assert mappings.of(EntityKind.ORDER) is mappings.order
    assert mappings.order.sobjects == ("Order", "OrderItem")
    record = mappings.of(EntityKind.CUSTOMER).map(Customer(number="1", name="One"))
    assert record is not None
    assert record.fields["Phone"] is None
