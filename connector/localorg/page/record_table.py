"""Records of one object as a table: which columns it has there, and the lists of a record's children."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from typing import TYPE_CHECKING

from connector.localorg.page import record_queries, widgets
from connector.localorg.page.formatters import NUMBERS, Shown, label, picked
from connector.localorg.page.html import EMPTY, Html, address, html, link
from connector.localorg.page.widgets import Column

if TYPE_CHECKING:
    from connector.localorg.org import Org
    from connector.localorg.schema import Field, SObject
    from connector.localorg.write_plan import Row

FEW = 10
_COLUMNS = {
    "Account": ("External_Key__c", "BillingCity", "BillingCountry", "Phone", "Contact_Email__c"),
    "Case": ("Subject", "Status", "Priority", "CreatedDate"),
    "Contact": ("Title", "Phone", "Email"),
    "Contract": ("Status", "StartDate", "EndDate"),
    "Order": (
        "AccountId", "Lifecycle_Stage__c", "Status", "Hold_Reason__c", "Tracking_Number__c", "EffectiveDate",
        "TotalAmount",
    ),
    "OrderItem": ("OrderId", "Product2Id", "Quantity", "UnitPrice", "TotalPrice"),
    "PricebookEntry": ("Product2Id", "Pricebook2Id", "UnitPrice", "IsActive"),
    "Product2": ("ProductCode", "StockKeepingUnit", "Family", "IsActive"),
    "ReturnOrder": ("Status", "OrderId", "AccountId", "ExpectedArrivalDate", "GrandTotalAmount"),
    "ReturnOrderLineItem": ("Product2Id", "QuantityReturned", "ReasonForReturn", "TotalAmount"),
    "Task": ("Status", "Priority", "ActivityDate"),
}  # fmt: skip
_OTHERS = 4
_UNINDEXED = frozenset({"OwnerId", "CreatedById", "LastModifiedById"})
_STATES = frozenset({"Lifecycle_Stage__c", "Status", "Payment_Status__c", "Fulfillment_Status__c"})
Relation = tuple["SObject", "Field"]


def columns(sobject: SObject) -> list[Field]:
    """Those of the ones above that the running user may see; of other objects their own first fields."""
    named = _COLUMNS.get(sobject.name)
    if named is not None:
        return [field for name in named if (field := sobject.get(name))]
    own = [field for field in sobject.fields.values() if field.custom and field.stored]
    last = sobject.get("CreatedDate")
    return [*own[:_OTHERS], *([last] if last else [])]


def table(
    shown: Shown,
    sobject: SObject,
    found: Sequence[Row],
    *,
    caption: str,
    empty: Html | str,
    without: Container[str] = (),
) -> Html:
    fields = [field for field in columns(sobject) if field.name not in without]
    head = [Column(sobject.label), *(Column(label(field), field.type in NUMBERS) for field in fields)]
    body = ([_name(shown, sobject, row), *(cell(shown, field, row) for field in fields)] for row in found)
    return widgets.table(caption, head, body, empty=empty)


def _name(shown: Shown, sobject: SObject, row: Row) -> Html:
    return link(shown.place(str(row["Id"])), widgets.key(shown.title(sobject, row)))


def cell(shown: Shown, field: Field, row: Row) -> Html:
    """A value where it stands among others: states as badges, a hold with its sign."""
    value = row.get(field.name)
    if field.name in _STATES and isinstance(value, str):
        return widgets.badge(picked(field, value), value)
    if field.name == "Hold_Reason__c" and value:
        return widgets.held(str(value))
    return shown.value(field, row)


def relations(org: Org, sobject: SObject, without: Container[str] = ()) -> Iterable[Relation]:
    """Who refers to records of this object, through which field: what the running user may see and an index finds."""
    for relation in org.schema.children_of(sobject.name):
        child = org.schema.get(relation.child)
        field = child.get(relation.field) if child else None
        if child is None or field is None or child.event or field.name in _UNINDEXED:
            continue
        if not child.name.endswith("History") and f"{child.name}.{field.name}" not in without:
            yield child, field


def related(
    org: Org, shown: Shown, relation: Relation, record_id: str, *, always: str = "", title: str = "", more: str = ""
) -> Html:
    """A section with the latest few and the way to `more`; nothing if there are none, or what `always` says then."""
    child, field = relation
    part = record_queries.children(org, child.name, field.name, record_id, limit=FEW)
    if not part.rows and not always:
        return EMPTY
    title = title or child.label_plural
    told = table(shown, child, part.rows, caption=title, empty=always, without={field.name})
    to = more or address("record", record_id, child.name, field.name)
    every = html('<p class="more">{}</p>', link(to, "All of them")) if part.following else EMPTY
    return widgets.section(title, told, more=every)


def titles(found: Sequence[Relation]) -> list[str]:
    """The plural of each child, with the field where one object refers twice."""
    names = [child.label_plural for child, _ in found]
    return [
        child.label_plural if names.count(child.label_plural) == 1 else f"{child.label_plural} by {label(field)}"
        for child, field in found
    ]
