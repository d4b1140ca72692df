"""The page of one order: stage, hold, tracking, details, lines, returns, history."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connector.localorg.page import history, record, record_queries, record_table, widgets
from connector.localorg.page.formatters import NUMBERS, ValueFormatter, field_label, find_record, picklist_label
from connector.localorg.page.frame import Page, icon, not_found_page
from connector.localorg.page.html import EMPTY, Html, build_url, html, join, link
from connector.localorg.page.indexes import HOLD, STAGE
from connector.localorg.page.widgets import Column

if TYPE_CHECKING:
    from connector.localorg.org import Org
    from connector.localorg.schema import SObject
    from connector.localorg.write_plan import Row

MAX_LINES = 200
_DETAIL_FIELDS = (
    "Payment_Status__c", "Fulfillment_Status__c", "Amount_Due__c", "Invoice_Number__c", "Promised_Date__c",
    "Shipped_Date__c", "Return_Status__c", "Return_Reason__c", "TotalAmount", "Exact_Total__c", "Net_Total__c",
    "Freight__c", "Tax__c", "Priority__c", "Service_Level__c", "Placed_At__c", "EffectiveDate", "Channel__c",
    "PoNumber", "Ship_To_Name__c", "ShippingAddress", "Ship_Complete__c", "Delivery_Note__c", "OriginalOrderId",
    "Rep_Comment__c", "Description",
)  # fmt: skip
_ALWAYS_SHOWN = ("Payment_Status__c", "Fulfillment_Status__c", "Promised_Date__c", "TotalAmount", "Exact_Total__c")
_HIDDEN_IF_ZERO = ("Tax__c", "Priority__c", "Ship_Complete__c")
"""Fields that are shown only if they are not 0 or No."""
_PROGRESS_FIELDS = (
    "Shipped_Quantity__c", "Delivered_Quantity__c", "Returned_Quantity__c", "Canceled_Quantity__c",
    "Backordered_Quantity__c",
)  # fmt: skip
"""Progress of the lines. A column is shown if a line has a value in it."""
_SHOWN_IF_SET = frozenset({*_PROGRESS_FIELDS, "Discount_Percent__c"})
_SAME_AS = {"AvailableQuantity": "Quantity", "List_Unit_Price__c": "UnitPrice", "Exact_Total__c": "TotalPrice"}
"""Fields that are shown only if they differ from the other field."""
_LINE_FIELDS = (
    "Quantity", *_PROGRESS_FIELDS, "UnitPrice", "List_Unit_Price__c", "Discount_Percent__c", "TotalPrice",
    "Exact_Total__c", "AvailableQuantity",
)  # fmt: skip
_SHORT_LABELS = {
    **{name: name.partition("_")[0] for name in _PROGRESS_FIELDS},
    "List_Unit_Price__c": "List price", "Discount_Percent__c": "Discount", "TotalPrice": "Total",
    "Exact_Total__c": "Exact total", "AvailableQuantity": "Not reduced", "UnitPrice": "Unit price",
}  # fmt: skip
_SIDE_STAGES = ("canceled",)  # stages that are no step between the first and the last


def view(org: Org, record_id: str) -> Page:
    record_found = find_record(org, record_id)
    if record_found is None or record_found[0].name != "Order":
        return not_found_page(f"There is no order {record_id}.")
    sobject, row = record_found
    formatter = ValueFormatter(org)
    title = formatter.record_title(sobject, row)
    order_id = str(row["Id"])
    relations = {f"{child.name}.{by.name}": (child, by) for child, by in record_table.relations(org, sobject)}
    sections = [
        record_table.related_section(org, formatter, relations[name], order_id, always=always, title=title_)
        for name, title_, always in (
            ("ReturnOrder.OrderId", "Return orders", "No return order for this order."),
            ("Order.OriginalOrderId", "Reduction orders", "Nothing of this order was reduced."),
        )
        if name in relations
    ]
    kind = "Reduction order" if row.get("IsReductionOrder") else "Order"
    body = join(
        [
            widgets.heading(kind, title, _status_badges(sobject, row)),
            record.deleted_alert(row),
            _hold_alert(sobject, row),
            _stage_progress(sobject, row),
            _order_details(formatter, sobject, row),
            _lines_section(org, formatter, row),
            *sections,
            record.related_sections(
                org, formatter, sobject, row, quiet=True,
                without={"OrderItem.OrderId", "ReturnOrder.OrderId", "Order.OriginalOrderId"},
            ),
            history.section(org, formatter, sobject, row),
            record.field_section(formatter, sobject, row, folded=True),
        ]
    )  # fmt: skip
    return Page(title=f"Order {title}", body=body, navigation_url="/orders")


def _status_badges(sobject: SObject, row: Row) -> Html:
    badges = []
    for name in (STAGE, "Status"):
        field, value = sobject.get(name), row.get(name)
        if field and isinstance(value, str):
            badges.append(
                html(
                    '<span><span class="quiet">{}:</span> {}</span>',
                    _STATUS_LABELS[name],
                    widgets.badge(picklist_label(field, value), value),
                )
            )
    return html('<p class="states">{}</p>', join(badges))


_STATUS_LABELS = {STAGE: "Stage", "Status": "Status"}


def _hold_alert(sobject: SObject, row: Row) -> Html:
    reason = row.get(HOLD)
    if not sobject.get(HOLD) or not reason:
        return EMPTY
    return html('<p class="health fair">{}<span><strong>On hold:</strong> {}</span></p>', icon("hand"), reason)


def _stage_progress(sobject: SObject, row: Row) -> Html:
    """Render the stages in order, up to the current one."""
    field, stage = sobject.get(STAGE), row.get(STAGE)
    names = [item for item in field.picklist if item.value not in _SIDE_STAGES] if field else []
    current = next((number for number, item in enumerate(names) if item.value == stage), None)
    if current is None:
        return EMPTY
    listed = join(
        html(
            "<li{}><span>{}</span></li>",
            Html(' class="done"')
            if number < current
            else Html(' class="here" aria-current="step"')
            if number == current
            else EMPTY,
            item.label,
        )
        for number, item in enumerate(names)
    )
    return html('<ol class="path stages" aria-label="Stages">{}</ol>', listed)


def _order_details(formatter: ValueFormatter, sobject: SObject, row: Row) -> Html:
    details = [("Account", formatter.link_record(row.get("AccountId")))]
    carrier, tracking = sobject.get("Carrier__c"), sobject.get("Tracking_Number__c")
    if tracking:
        by = html("{} ", formatter.format_field(carrier, row)) if carrier else EMPTY
        number = row.get(tracking.name)
        shipped = row.get("Shipped_Date__c") or row.get("Carrier__c")
        without = html("{}<span>without a number</span>", by) if shipped else Html("Not shipped yet")
        details.append(("Tracking", html("{}<strong>{}</strong>", by, number) if number else without))
    for name in _DETAIL_FIELDS:
        field = sobject.get(name)
        if field is None or (name in _HIDDEN_IF_ZERO and not row.get(name)):
            continue
        value = (
            record.format_address(row, field)
            if field.type == "address"
            else record_table.render_cell(formatter, field, row)
        )
        if value or name in _ALWAYS_SHOWN:
            details.append((field_label(field), value))
    return widgets.definition_list(details, kind="card highlights lead")


def _lines_section(org: Org, formatter: ValueFormatter, row: Row) -> Html:
    line = org.dml.plan("OrderItem").sobject
    part = record_queries.child_rows(org, line.name, "OrderId", str(row["Id"]), limit=MAX_LINES)
    numbered = "Line_Number__c" if line.get("Line_Number__c") else "OrderItemNumber"
    lines = sorted(part.rows, key=lambda item: _sort_key(item.get(numbered)))
    fields = [
        field
        for name in _LINE_FIELDS
        if (field := line.get(name)) and any(_has_distinct_value(name, item) for item in lines)
    ]
    head = [
        Column("Product"),
        Column("SKU"),
        *(Column(_SHORT_LABELS.get(f.name, f.label), f.type in NUMBERS) for f in fields),
    ]
    body = (
        [
            html("{} {}", _line_number(item.get(numbered)), formatter.link_record(item.get("Product2Id"))),
            _sku(org, item),
            *(formatter.format_field(field, item) for field in fields),
        ]
        for item in lines
    )
    table = widgets.render_table("Lines of the order", head, body, empty="This order has no lines yet.")
    if not part.next_cursor:
        return widgets.section("Lines", table)
    all_lines = link(
        build_url("record", str(row["Id"]), line.name, "OrderId"), f"The latest {MAX_LINES} lines are here; see all"
    )
    return widgets.section("Lines", table, more=all_lines)


def _has_distinct_value(name: str, item: Row) -> bool:
    """Whether a column of a line says something that its other columns do not."""
    value = item.get(name)
    if name in _SAME_AS:
        return value is not None and value != item.get(_SAME_AS[name])
    return bool(value) if name in _SHOWN_IF_SET else value is not None


def _sort_key(number: object) -> tuple[bool, float]:
    try:
        return False, float(str(number))
    except ValueError:
        return True, 0.0


def _line_number(number: object) -> Html:
    return html('<span class="line">{}</span>', f"{_sort_key(number)[1]:g}") if number else EMPTY


def _sku(org: Org, item: Row) -> Html:
    product = org.dml.fetch("Product2", item.get("Product2Id")) or {}
    return widgets.key(product.get("StockKeepingUnit") or product.get("ProductCode") or "")
