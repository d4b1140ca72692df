"""The standard objects of an org, read from `standard/*.fields`: a line a field.

    Name type[:length | :precision,scale | :digits] flags [>Target[,Target][:Relationship]] [@CompoundField]

Flags: `!` not nillable, `C` createable, `U` updateable, `+d` defaulted on create, `+n` auto number, `+i` lookup by ID
allowed; after `-`, what a query may not do with it: `f` filter, `s` sort, `g` group, `a` aggregate.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from importlib.resources import files

from connector.localorg.schema import Field, PicklistValue, Schema, SObject

# Name, label, plural, key prefix (Object Reference; "Standard Field and Object Name Prefixes").
OBJECTS = (
    ("Organization", "Organization", "Organizations", "00D"),
    ("User", "User", "Users", "005"),
    ("Account", "Account", "Accounts", "001"),
    ("Contact", "Contact", "Contacts", "003"),
    ("Product2", "Product", "Products", "01t"),
    ("Pricebook2", "Price Book", "Price Books", "01s"),
    ("PricebookEntry", "Price Book Entry", "Price Book Entries", "01u"),
    ("Contract", "Contract", "Contracts", "800"),
    ("Order", "Order", "Orders", "801"),
    ("OrderItem", "Order Product", "Order Products", "802"),
    ("ReturnOrder", "Return Order", "Return Orders", "0Zr"),
    ("ReturnOrderLineItem", "Return Order Line Item", "Return Order Line Items", "0Zs"),
    ("Case", "Case", "Cases", "500"),
    ("Task", "Task", "Tasks", "00T"),
    ("OrderStatus", "Order Status Value", "Order Status Values", "0W8"),
    ("Profile", "Profile", "Profile", "00e"),
    ("RecordType", "Record Type", "Record Types", "012"),
    ("PermissionSet", "Permission Set", "Permission Sets", "0PS"),
    ("PermissionSetAssignment", "Permission Set Assignment", "Permission Set Assignments", "0Pa"),
)
READ_ONLY = {"Organization", "OrderStatus", "PermissionSet", "Profile", "RecordType"}
CHILDREN = {
    ("Account", "ParentId"): "ChildAccounts",
    ("Case", "AccountId"): "Cases",
    ("Case", "ContactId"): "Cases",
    ("Case", "ParentId"): "Cases",
    ("Contact", "AccountId"): "Contacts",
    ("Contract", "AccountId"): "Contracts",
    ("Contract", "CompanySignedId"): "ContractsSigned",
    ("Contract", "CustomerSignedId"): "ContractsSigned",
    ("Contract", "Pricebook2Id"): "Contracts",
    ("Order", "AccountId"): "Orders",
    ("Order", "ContractId"): "Orders",
    ("Order", "OriginalOrderId"): "Orders",
    ("Order", "Pricebook2Id"): "Orders",
    ("OrderItem", "OrderId"): "OrderItems",
    ("OrderItem", "OriginalOrderItemId"): "ChildOrderItems",
    ("OrderItem", "PricebookEntryId"): "OrderItems",
    ("PermissionSetAssignment", "AssigneeId"): "PermissionSetAssignments",
    ("PermissionSetAssignment", "PermissionSetId"): "Assignments",
    ("PricebookEntry", "Pricebook2Id"): "PricebookEntries",
    ("PricebookEntry", "Product2Id"): "PricebookEntries",
    ("ReturnOrder", "AccountId"): "ReturnOrders",
    ("ReturnOrder", "CaseId"): "ReturnOrders",
    ("ReturnOrder", "ContactId"): "ReturnOrders",
    ("ReturnOrder", "OrderId"): "ReturnOrders",
    ("ReturnOrderLineItem", "OrderItemId"): "ReturnOrderLineItems",
    ("ReturnOrderLineItem", "Product2Id"): "ReturnOrderLineItems",
    ("ReturnOrderLineItem", "ReturnOrderId"): "ReturnOrderLineItems",
    ("Task", "WhatId"): "Tasks",
    ("Task", "WhoId"): "Tasks",
    ("User", "AccountId"): "Users",
    ("User", "ContactId"): "Users",
    ("User", "ManagerId"): "ManagedUsers",
}
CASCADES = {
    ("Contact", "AccountId"),
    ("Contract", "AccountId"),
    ("Order", "AccountId"),
    ("OrderItem", "OrderId"),
    ("PricebookEntry", "Pricebook2Id"),
    ("PricebookEntry", "Product2Id"),
    ("ReturnOrderLineItem", "ReturnOrderId"),
}
RESTRICTS = {
    ("Contract", "AccountId"),
    ("Contract", "CustomerSignedId"),
    ("Contract", "Pricebook2Id"),
    ("Order", "AccountId"),
    ("Order", "BillToContactId"),
    ("Order", "CustomerAuthorizedById"),
    ("Order", "OriginalOrderId"),
    ("Order", "Pricebook2Id"),
    ("Order", "ShipToContactId"),
    ("OrderItem", "PricebookEntryId"),
    ("OrderItem", "Product2Id"),
    ("PricebookEntry", "Product2Id"),
}
# Required on create although describe calls them nillable, with the platform's message.
REQUIRED: dict[tuple[str, str], str | None] = {
    ("Order", "AccountId"): "Select an account.",
    ("OrderItem", "UnitPrice"): "Order Products must have a Unit Price.",
}


def _without_category(*values: str) -> tuple[tuple[str, str | None], ...]:
    return tuple((value, None) for value in values)


CATEGORIES = ("Draft", "Activated", "Canceled", "Expired")
PICKLISTS: dict[tuple[str, str], tuple[tuple[str, str | None], ...]] = {
    ("Order", "Status"): (("Draft", "Draft"), ("Activated", "Activated")),
    ("Order", "StatusCode"): _without_category(*CATEGORIES),
    ("OrderStatus", "StatusCode"): _without_category(*CATEGORIES),
    ("Contract", "Status"): (
        ("Draft", "Draft"),
        ("In Approval Process", "InApproval"),
        ("Activated", "Activated"),
    ),
    ("Contract", "StatusCode"): _without_category("Draft", "InApproval", "Activated"),
    ("ReturnOrder", "Status"): (
        ("Draft", "Draft"), ("Submitted", "Activated"), ("Approved", "Activated"), ("Canceled", "Canceled"),
        ("Closed", "Closed"), ("Pending Exchange", "Pending"),
    ),
    ("ReturnOrder", "StatusCategory"): _without_category("Draft", "Activated", "Closed", "Canceled", "Pending"),
    ("ReturnOrder", "ShipmentType"): _without_category("Standard", "Rush", "Overnight", "Next Business Day", "Pick Up"),
    ("ReturnOrderLineItem", "ReasonForReturn"): _without_category(
        "Damaged", "Defective", "Duplicate Order", "Wrong Item", "Wrong Quantity", "Not Satisfied", "Outdated", "Other"
    ),
    ("ReturnOrderLineItem", "ProcessingPlan"): _without_category("Repair", "Discard", "Salvage", "Restock"),
    ("ReturnOrderLineItem", "RepaymentMethod"): _without_category("Replace", "Refund", "Credit", "Return"),
    ("ReturnOrderLineItem", "QuantityUnitOfMeasure"): _without_category("Each"),
    ("Account", "Ownership"): _without_category("Public", "Private", "Subsidiary", "Other"),
    ("Account", "Rating"): _without_category("Hot", "Warm", "Cold"),
    ("Account", "Industry"): _without_category(
        "Agriculture", "Apparel", "Banking", "Biotechnology", "Chemicals", "Communications", "Construction",
        "Consulting", "Education", "Electronics", "Energy", "Engineering", "Entertainment", "Environmental", "Finance",
        "Food & Beverage", "Government", "Healthcare", "Hospitality", "Insurance", "Machinery", "Manufacturing",
        "Media", "Not For Profit", "Recreation", "Retail", "Shipping", "Technology", "Telecommunications",
        "Transportation", "Utilities", "Other",
    ),
    ("Account", "Type"): _without_category(
        "Prospect", "Customer - Direct", "Customer - Channel", "Channel Partner / Reseller", "Installation Partner",
        "Technology Partner", "Other",
    ),
    ("Contact", "Salutation"): _without_category("Mr.", "Ms.", "Mrs.", "Dr.", "Prof.", "Mx."),
    ("Case", "Status"): _without_category("New", "Working", "Escalated", "Closed"),
    ("Case", "Priority"): _without_category("High", "Medium", "Low"),
    ("Case", "Origin"): _without_category("Phone", "Email", "Web"),
    ("Case", "Type"): _without_category("Mechanical", "Electrical", "Electronic", "Structural", "Other"),
    ("Case", "Reason"): _without_category(
        "Installation", "Equipment Complexity", "Performance", "Breakdown", "Equipment Design", "Feedback", "Other"
    ),
    ("Task", "Status"): _without_category(
        "Not Started", "In Progress", "Completed", "Waiting on someone else", "Deferred",
    ),
    ("Task", "Priority"): _without_category("High", "Normal", "Low"),
    ("Task", "TaskSubtype"): _without_category("Task", "Email", "ListEmail", "Cadence", "Call", "LinkedIn"),
    ("Task", "CallType"): _without_category("Internal", "Inbound", "Outbound"),
}  # fmt: skip
_COMMON_PICKLISTS = {  # for every object that has such a field
    "GeocodeAccuracy": _without_category(
        "Address", "NearAddress", "Block", "Street", "ExtendedZip", "Zip", "Neighborhood", "City", "County", "State",
        "Unknown",
    ),
    "CleanStatus": _without_category(
        "Matched", "Different", "Acknowledged", "NotFound", "Inactive", "Pending", "SelectMatch", "Skipped"
    ),
}  # fmt: skip
UNRESTRICTED = {
    "Account",
    "Contact",
    "PersonAccount",
    "Case",
    "Task",
}  # objects whose picklists accept values that are not listed, as in a new org
DEFAULTS = {
    ("ReturnOrder", "Status"): "Draft",
    ("ReturnOrder", "ShipmentType"): "Standard",
    ("ReturnOrderLineItem", "ReasonForReturn"): "Damaged",
    ("ReturnOrderLineItem", "ProcessingPlan"): "Repair",
    ("ReturnOrderLineItem", "RepaymentMethod"): "Replace",
    ("Case", "Status"): "New",
    ("Case", "Priority"): "Medium",
    ("Task", "Status"): "Not Started",
    ("Task", "Priority"): "Normal",
}
HISTORIES = ("Account", "Contact", "Contract", "Order", "OrderItem", "Case", "ReturnOrder")
"""Objects that have an `<Object>History`."""
NAME_FIELDS = {
    "Order": "OrderNumber",
    "OrderItem": "OrderItemNumber",
    "Contract": "ContractNumber",
    "ReturnOrder": "ReturnOrderNumber",
    "ReturnOrderLineItem": "ReturnOrderLineItemNumber",
    "Case": "CaseNumber",
    "Task": "Subject",
}

_WORD_BOUNDARY = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
# Labels that are not simply the field's name in words; `*` is any object.
_OTHER_LABELS = {
    ("*", "BillingPostalCode"): "Billing Zip/Postal Code",
    ("*", "BillingState"): "Billing State/Province",
    ("*", "Fax"): "Business Fax",
    ("*", "IsActive"): "Active",
    ("*", "IsArchived"): "Archived",
    ("*", "IsDeleted"): "Deleted",
    ("*", "LastActivityDate"): "Last Activity",
    ("*", "MailingPostalCode"): "Mailing Zip/Postal Code",
    ("*", "MailingState"): "Mailing State/Province",
    ("*", "PhotoUrl"): "Photo URL",
    ("*", "PostalCode"): "Zip/Postal Code",
    ("*", "ShippingPostalCode"): "Shipping Zip/Postal Code",
    ("*", "ShippingState"): "Shipping State/Province",
    ("*", "State"): "State/Province",
    ("Account", "Description"): "Account Description",
    ("Account", "Name"): "Account Name",
    ("Account", "NumberOfEmployees"): "Employees",
    ("Account", "ParentId"): "Parent Account ID",
    ("Account", "Phone"): "Account Phone",
    ("Account", "SicDesc"): "SIC Description",
    ("Account", "Type"): "Account Type",
    ("Contact", "Name"): "Full Name",
    ("Contact", "Phone"): "Business Phone",
    ("Contract", "CompanySignedId"): "Company Signed By ID",
    ("Contract", "CustomerSignedId"): "Customer Signed By ID",
    ("Contract", "EndDate"): "Contract End Date",
    ("Contract", "StartDate"): "Contract Start Date",
    ("Contract", "StatusCode"): "Status Category",
    ("Order", "EffectiveDate"): "Order Start Date",
    ("Order", "EndDate"): "Order End Date",
    ("Order", "IsReductionOrder"): "Reduction Order",
    ("Order", "Name"): "Order Name",
    ("Order", "PoDate"): "PO Date",
    ("Order", "PoNumber"): "PO Number",
    ("Order", "StatusCode"): "Status Category",
    ("Order", "TotalAmount"): "Order Amount",
    ("Order", "Type"): "Order Type",
    ("OrderItem", "Description"): "Line Description",
    ("OrderItem", "OrderItemNumber"): "Order Product Number",
    ("OrderItem", "ServiceDate"): "Start Date",
    ("Organization", "OrganizationType"): "Edition",
    ("Pricebook2", "IsStandard"): "Is Standard Price Book",
    ("Pricebook2", "Name"): "Price Book Name",
    ("PricebookEntry", "Name"): "Product Name",
    ("PricebookEntry", "UnitPrice"): "List Price",
    ("Product2", "Description"): "Product Description",
    ("Product2", "DisplayUrl"): "Display URL",
    ("Product2", "Family"): "Product Family",
    ("Product2", "Name"): "Product Name",
    ("Product2", "StockKeepingUnit"): "Product SKU",
    ("User", "CommunityNickname"): "Nickname",
    ("User", "Name"): "Full Name",
}


def standard_schema() -> Schema:
    """Return a new schema of an org without optional features."""
    return Schema([*(_standard_object(*spec) for spec in OBJECTS), *map(_history_object, HISTORIES)])


def _standard_object(name: str, label: str, plural: str, prefix: str) -> SObject:
    writable = name not in READ_ONLY
    sobject = SObject(
        name=name,
        label=label,
        label_plural=plural,
        key_prefix=prefix,
        createable=writable,
        updateable=writable,
        deletable=writable and name != "User",
    )
    for item in read_fields(name):
        sobject.add(item)
    return sobject


def _history_object(name: str) -> SObject:
    """Build the history object of an object."""
    label = next(label for item, label, *_ in OBJECTS if item == name)
    sobject = SObject(
        name=f"{name}History", label=f"{label} History", label_plural=f"{label} History", key_prefix="017",
        createable=False, updateable=False, deletable=False,
    )  # fmt: skip
    parent = Field(
        name=f"{name}Id", label=f"{label} ID", type="reference", length=18, nillable=False, createable=False,
        updateable=False, reference_to=(name,), relationship_name=name, child_relationship="Histories",
    )  # fmt: skip
    first, deleted, *rest = read_fields("History")
    for item in (first, deleted, parent, *rest):
        sobject.add(item)
    return sobject


@cache
def read_fields(sobject: str) -> tuple[Field, ...]:
    """Return the fields of `standard/<sobject>.fields`; `Custom__c` has those of every custom object."""
    text = (files("connector.localorg") / "standard" / f"{sobject}.fields").read_text(encoding="utf-8")
    return tuple(_parse_field(sobject, line.split()) for line in text.splitlines() if line)


def _parse_field(sobject: str, name_words: list[str]) -> Field:
    name, kind, flags, *more = name_words
    type_, _, size = kind.partition(":")
    marks, _, tail = flags.partition("-")
    refused, *extras = tail.split("+") if tail else ["", *marks.split("+")[1:]]
    marks = marks.partition("+")[0]
    target = next((word[1:] for word in more if word.startswith(">")), "")
    targets, _, relationship = target.partition(":")
    common = "GeocodeAccuracy" if name.endswith("GeocodeAccuracy") else name
    values = PICKLISTS.get((sobject, name)) or _COMMON_PICKLISTS.get(common, ())
    field = Field(
        name=name,
        label=_label(sobject, name, type_),
        type=type_,
        nillable="!" not in marks,
        createable="C" in marks,
        updateable="U" in marks,
        defaulted_on_create="d" in extras,
        default_value=False if type_ == "boolean" else None,
        required_on_create=(sobject, name) in REQUIRED,
        required_message=REQUIRED.get((sobject, name)),
        auto_number="n" in extras,
        id_lookup="i" in extras,
        filterable="f" not in refused,
        sortable="s" not in refused,
        groupable="g" not in refused,
        aggregatable="a" not in refused,
        restricted_picklist=bool(values) and (sobject not in UNRESTRICTED or (sobject, name) not in PICKLISTS),
        picklist=tuple(
            PicklistValue(value=value, label=value, category=category, default=value == DEFAULTS.get((sobject, name)))
            for value, category in values
        ),
        reference_to=tuple(targets.split(",")) if targets else (),
        relationship_name=relationship or None,
        child_relationship=CHILDREN.get((sobject, name)),
        cascade_delete=(sobject, name) in CASCADES,
        restricted_delete=(sobject, name) in RESTRICTS,
        compound_field_name=next((word[1:] for word in more if word.startswith("@")), None),
        name_field=name == NAME_FIELDS.get(sobject, "Name"),
    )
    return _with_size(field, size)


def _with_size(field: Field, size: str) -> Field:
    if field.type in {"currency", "double", "percent"}:
        precision, _, scale = size.partition(",")
        return replace(field, precision=int(precision), scale=int(scale))
    if field.type == "int":
        return replace(field, digits=int(size))
    if field.type in {"id", "reference"}:
        return replace(field, length=18)
    return replace(field, length=int(size)) if size else field


def _label(sobject: str, name: str, type_: str) -> str:
    if sobject == "PersonAccount":
        return _label("Contact", name.removeprefix("Person"), type_)
    for key in ((sobject, name), ("*", name)):
        if key in _OTHER_LABELS:
            return _OTHER_LABELS[key]
    if name == "Id":
        return f"{next((label for item, label, *_ in OBJECTS if item == sobject), 'Record')} ID"
    name_words = _WORD_BOUNDARY.sub(" ", name.replace("Pricebook2", "PriceBook").replace("Product2", "Product"))
    return name_words.removesuffix(" Id") + " ID" if type_ == "reference" and name_words.endswith(" Id") else name_words
