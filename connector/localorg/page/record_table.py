"""Tables of records: the columns of each object, and the lists of a record's children."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from typing import TYPE_CHECKING

from connector.localorg.page import record_queries, widgets
from connector.localorg.page.formatters import NUMBERS, ValueFormatter, field_label, picklist_label
from connector.localorg.page.html import EMPTY, Html, build_url, link
from connector.localorg.page.widgets import Column

if TYPE_CHECKING:
    from connector.localorg.org import Org
    from connector.localorg.schema import Field, SObject
    from connector.localorg.write_plan import Row

MAX_RELATED_ROWS = 10
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
_MAX_CUSTOM_COLUMNS = 4
_UNINDEXED = frozenset({"OwnerId", "CreatedById", "LastModifiedById"})
_STATES = frozenset({"Lifecycle_Stage__c", "Status", "Payment_Status__c", "Fulfillment_Status__c"})
Relation = tuple["SObject", "Field"]


def table_fields(sobject: SObject) -> list[Field]:
    """Return the columns of an object that the user may see; of other objects their first custom fields."""
    names = _COLUMNS.get(sobject.name)
    if names is not None:
        return [field for name in names if (field := sobject.get(name))]
    own = [field for field in sobject.fields.values() if field.custom and field.stored]
    last = sobject.get("CreatedDate")
    return [*own[:_MAX_CUSTOM_COLUMNS], *([last] if last else [])]


def render_table(
    formatter: ValueFormatter,
    sobject: SObject,
    rows: Sequence[Row],
    *,
    caption: str,
    empty: Html | str,
    without: Container[str] = (),
) -> Html:
    fields = [field for field in table_fields(sobject) if field.name not in without]
    head = [Column(sobject.label), *(Column(field_label(field), field.type in NUMBERS) for field in fields)]
    body = (
        [_title_cell(formatter, sobject, row), *(render_cell(formatter, field, row) for field in fields)]
        for row in rows
    )
    return widgets.render_table(caption, head, body, empty=empty)


def _title_cell(formatter: ValueFormatter, sobject: SObject, row: Row) -> Html:
    return link(formatter.record_url(str(row["Id"])), widgets.key(formatter.record_title(sobject, row)))


def render_cell(formatter: ValueFormatter, field: Field, row: Row) -> Html:
    """Render a value in a table: a state as a badge, a hold with its sign."""
    value = row.get(field.name)
    if field.name in _STATES and isinstance(value, str):
        return widgets.badge(picklist_label(field, value), value)
    if field.name == "Hold_Reason__c" and value:
        return widgets.hold_badge(str(value))
    shown = formatter.format_field(field, row)
    return widgets.key(shown) if field.type == "string" else shown


def relations(org: Org, sobject: SObject, without: Container[str] = ()) -> Iterable[Relation]:
    """Yield the objects and fields that refer to this object, if the user may see them and they have an index."""
    for relation in org.schema.children_of(sobject.name):
        child = org.schema.get(relation.child)
        field = child.get(relation.field) if child else None
        if child is None or field is None or child.event or field.name in _UNINDEXED:
            continue
        if not child.name.endswith("History") and f"{child.name}.{field.name}" not in without:
            yield child, field


def related_section(
    org: Org,
    formatter: ValueFormatter,
    relation: Relation,
    record_id: str,
    *,
    always: str = "",
    title: str = "",
    more: str = "",
) -> Html:
    """Render the latest related records with a link to all of them. Without any, render `always`, or nothing."""
    child, field = relation
    part = record_queries.child_rows(org, child.name, field.name, record_id, limit=MAX_RELATED_ROWS)
    if not part.rows and not always:
        return EMPTY
    title = title or child.label_plural
    table = render_table(formatter, child, part.rows, caption=title, empty=always, without={field.name})
    to = more or build_url("record", record_id, child.name, field.name)
    all_link = link(to, "All of them") if part.next_cursor else EMPTY
    return widgets.section(title, table, more=all_link)


def relation_titles(relations_found: Sequence[Relation]) -> list[str]:
    """Return the plural label of each child, with the field if one object refers twice."""
    names = [child.label_plural for child, _ in relations_found]
    return [
        child.label_plural if names.count(child.label_plural) == 1 else f"{child.label_plural} by {field_label(field)}"
        for child, field in relations_found
    ]
