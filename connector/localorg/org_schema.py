"""Build the schema of one org: the standard objects, with what its settings add or leave out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from connector.localorg import standard_objects
from connector.localorg.address_picklists import add_code_fields
from connector.localorg.schema import Field, PicklistValue, Schema, SObject
from connector.localorg.settings import OrgSettings, SeedPath

ORDERS = ("Order", "OrderItem", "OrderStatus", "OrderHistory", "OrderItemHistory")
RETURN_ORDERS = ("ReturnOrder", "ReturnOrderLineItem", "ReturnOrderHistory")
MULTI_CURRENCY = (
    "Account", "Contact", "Contract", "Order", "OrderItem", "Product2", "Pricebook2", "PricebookEntry", "ReturnOrder",
    "ReturnOrderLineItem", "Case",
)  # fmt: skip
PERSON_PREFIX = "Person"
"""The prefix of the fields that a person account has from its contact."""


def schema_for(settings: OrgSettings) -> Schema:
    """Return a new schema. Deployed metadata is added to it later."""
    schema = standard_objects.standard_schema()
    if not settings.orders:
        _remove_objects(schema, *ORDERS)
    if not settings.return_orders or not settings.orders:
        _remove_objects(schema, *RETURN_ORDERS)
    if settings.order_statuses and settings.orders:
        _set_statuses(schema, settings)
    if settings.person_accounts:
        _add_person_accounts(schema)
    for name in settings.record_types:
        sobject = schema.get(name)
        if sobject is not None and sobject.createable:
            sobject.add(_record_type_field())
    if settings.multi_currency:
        _add_currencies(schema, settings)
    if settings.countries:
        add_code_fields(schema, settings.countries)
    return schema


def unknown_names(settings: OrgSettings, schema: Schema) -> Iterator[tuple[SeedPath, str]]:
    """Yield the objects and fields that the settings name and this org does not have."""
    for name in settings.record_types:
        sobject = schema.get(name)
        if sobject is None or not sobject.createable or sobject.name != name:
            yield ("record_types", name), "must be an object that can have record types"
    for index, rule in enumerate(settings.validation_rules):
        fields = {"field": rule.field} if rule.field else {}
        yield from _unknown_fields(schema, ("validation_rules", index), rule.sobject, fields)
    for index, duplicate in enumerate(settings.duplicate_rules):
        if not duplicate.match:
            yield ("duplicate_rules", index, "match"), "must name at least one field"
        match_fields = {f"match {number}": name for number, name in enumerate(duplicate.match, start=1)}
        yield from _unknown_fields(schema, ("duplicate_rules", index), duplicate.sobject, match_fields)


def _unknown_fields(
    schema: Schema, where: SeedPath, sobject: str, fields: Mapping[str, str]
) -> Iterator[tuple[SeedPath, str]]:
    item = schema.get(sobject)
    if item is None or not item.createable:
        yield (*where, "sobject"), f"must be an object of this org that can be created: there is no {sobject}"
        return
    for key, name in fields.items():
        field = item.get(name)
        if field is None or not field.stored:
            yield (*where, key.split()[0]), f"{item.name} has no field {name}"


def mirror_contact_fields(schema: Schema) -> None:
    """Give person accounts the custom fields of contacts: `Shoe_Size__c` as `Shoe_Size__pc`."""
    account, contact = schema.get("Account"), schema.get("Contact")
    if account is None or contact is None or account.get("IsPersonAccount") is None:
        return
    for item in list(contact.all_fields.values()):
        if item.custom and item.stored:
            name = f"{item.name.removesuffix('__c')}__pc"
            path = item.relationship_name and f"{item.relationship_name.removesuffix('__r')}__pr"
            account.all_fields[name.lower()] = replace(
                item, name=name, relationship_name=path, child_relationship=None, unique=False, external_id=False
            )
            if contact.get(item.name) is not None:
                account.fields[name.lower()] = account.all_fields[name.lower()]


def _remove_objects(schema: Schema, *names: str) -> None:
    """Remove objects and the references to them."""
    for name in names:
        schema.remove(name)
    for sobject in schema:
        for item in list(sobject.all_fields.values()):
            if item.reference_to and not set(item.reference_to) - set(names):
                sobject.remove(item)


def _set_statuses(schema: Schema, settings: OrgSettings) -> None:
    order = schema.get("Order")
    status = order.get("Status") if order else None
    assert order is not None
    assert status is not None
    values = tuple(
        PicklistValue(value=item.name, label=item.name, category=item.category) for item in settings.order_statuses
    )
    order.add(replace(status, picklist=values))


def _add_person_accounts(schema: Schema) -> None:
    account, contact, types = schema.get("Account"), schema.get("Contact"), schema.get("RecordType")
    assert account is not None
    assert contact is not None
    assert types is not None
    name = account.get("Name")
    assert name is not None
    account.add(replace(name, nillable=True))  # a person's name is composed
    for item in standard_objects.read_fields("PersonAccount"):
        account.add(item)
    is_person = replace(account.all_fields["ispersonaccount"], label="Is Person Account")
    contact.add(is_person)
    types.add(replace(is_person, name="IsPersonType", label="Is Person Type"))


def _record_type_field() -> Field:
    return Field(
        name="RecordTypeId", label="Record Type ID", type="reference", length=18, reference_to=("RecordType",),
        relationship_name="RecordType", defaulted_on_create=True,
    )  # fmt: skip


def _add_currencies(schema: Schema, settings: OrgSettings) -> None:
    codes = tuple(
        PicklistValue(value=code, label=code, active=item.active) for code, item in settings.currencies.items()
    )
    for name in MULTI_CURRENCY:
        sobject = schema.get(name)
        if sobject is not None:
            sobject.add(
                Field(
                    name="CurrencyIsoCode",
                    label="Currency ISO Code",
                    type="picklist",
                    length=3,
                    updateable=name not in {"OrderItem", "PricebookEntry"},
                    defaulted_on_create=True,
                    restricted_picklist=True,
                    picklist=codes,
                )
            )
    currency = SObject(name="CurrencyType", label="Currency Type", label_plural="Currency Types", key_prefix="01L")
    for item in standard_objects.read_fields("CurrencyType"):
        currency.add(replace(item, picklist=codes) if item.name == "IsoCode" else item)
    schema.add(currency)
