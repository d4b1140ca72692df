"""The page of any record: its fields, the records that refer to it, its history.

Orders and accounts have pages of their own that end in the same way.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import TYPE_CHECKING

from connector.localorg.page import history, record_queries, record_table, widgets
from connector.localorg.page.formatters import ValueFormatter, field_label, find_record
from connector.localorg.page.frame import Page, icon, not_found_page
from connector.localorg.page.html import EMPTY, Html, build_url, html, join, link

if TYPE_CHECKING:
    from connector.localorg.org import Org
    from connector.localorg.schema import Field, SObject
    from connector.localorg.write_plan import Row

_ADDRESS = ("Street", "City", "State", "PostalCode", "Country")


def view(org: Org, record_id: str) -> Page:
    record_found = find_record(org, record_id)
    if record_found is None:
        return not_found_page(f"There is no record {record_id}.")
    sobject, row = record_found
    formatter = ValueFormatter(org)
    title = formatter.record_title(sobject, row)
    body = join(
        [
            widgets.heading(sobject.label, title),
            deleted_alert(row),
            field_section(formatter, sobject, row),
            related_sections(org, formatter, sobject, row),
            history.section(org, formatter, sobject, row),
        ]
    )
    return Page(
        title=f"{sobject.label} {title}", body=body, navigation_url="/products" if sobject.name == "Product2" else ""
    )


def deleted_alert(row: Row) -> Html:
    if not row.get("IsDeleted"):
        return EMPTY
    return html('<p class="health bad">{}<span>This record was deleted.</span></p>', icon("trash-2"))


def field_section(
    formatter: ValueFormatter, sobject: SObject, row: Row, *, title: str = "Details", folded: bool = False
) -> Html:
    """Render all fields that the running user may see; those without a value are last and folded."""
    filled, empty = [], []
    for field in sobject.fields.values():
        if field.compound_field_name or field.name == "IsDeleted":
            continue  # part of a compound field or of the alert
        value = format_address(row, field) if field.type == "address" else formatter.format_field(field, row)
        if value:
            filled.append((field_label(field), value))
        else:
            empty.append((field_label(field), EMPTY))
    content = widgets.definition_list(filled)
    if empty:
        content = html(
            '{}<details class="stack"><summary>{} fields without a value</summary>{}</details>',
            content,
            len(empty),
            widgets.definition_list(empty),
        )
    if folded:
        return html(
            '<details class="stack"><summary>All {} fields</summary>{}</details>', len(filled) + len(empty), content
        )
    return widgets.section(title, content)


def format_address(row: Row, field: Field) -> Html:
    prefix = field.name.removesuffix("Address")
    return html("{}", "\n".join(str(row[prefix + part]) for part in _ADDRESS if row.get(prefix + part)))


def related_sections(
    org: Org,
    formatter: ValueFormatter,
    sobject: SObject,
    row: Row,
    *,
    without: Container[str] = (),
    quiet: bool = False,
) -> Html:
    """Render a section for each object that refers to this record."""
    relations = list(record_table.relations(org, sobject, without))
    sections: Iterable[Html] = (
        record_table.related_section(org, formatter, relation, str(row["Id"]), title=title)
        for relation, title in zip(relations, record_table.relation_titles(relations), strict=True)
    )
    content = join(sections)
    if content or quiet:
        return content
    return widgets.section("Related records", Html('<p class="card nothing">No other record refers to this one.</p>'))


def view_children(org: Org, record_id: str, child: str, field: str, params: Mapping[str, str]) -> Page:
    """Render all children of one kind, page by page."""
    record_found = find_record(org, record_id)
    relation = next(
        (
            (child_object, by)
            for child_object, by in (record_table.relations(org, record_found[0]) if record_found else ())
            if (child_object.name, by.name) == (child, field)
        ),
        None,
    )
    before = params.get("before", "")
    if record_found is None or relation is None:
        return not_found_page("There is no such list.")
    sobject, row = record_found
    child_object, by = relation
    formatter = ValueFormatter(org)
    full_id = str(row["Id"])
    page = record_queries.child_rows(
        org, child_object.name, by.name, full_id, before=record_queries.parse_cursor(before)
    )
    table = record_table.render_table(
        formatter,
        child_object,
        page.rows,
        caption=child_object.label_plural,
        empty=f"No {child_object.label_plural.lower()} here.",
        without={by.name},
    )
    own_url = build_url("record", full_id, child, field)
    older = build_url("record", full_id, child, field, before=page.next_cursor) if page.next_cursor else None
    body = join(
        [
            widgets.heading(child_object.label_plural, formatter.record_title(sobject, row)),
            html(
                '<p class="quiet">Of {} {}, newest first.</p>',
                sobject.label.lower(),
                link(formatter.record_url(full_id), formatter.record_title(sobject, row)),
            ),
            table,
            widgets.navigation([("Newest", own_url if before else None), ("Older", older)]),
        ]
    )
    return Page(title=f"{child_object.label_plural} of {formatter.record_title(sobject, row)}", body=body)
