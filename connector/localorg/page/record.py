"""Any record: its fields by their labels, what refers to it, its history. Orders and accounts have pages of their own
that end the same way."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import TYPE_CHECKING

from connector.localorg.page import history, record_queries, record_table, widgets
from connector.localorg.page.formatters import ValueFormatter, field_label, find_record
from connector.localorg.page.frame import Page, not_found_page
from connector.localorg.page.html import EMPTY, Html, build_url, html, join, link

if TYPE_CHECKING:
    from connector.localorg.org import Org
    from connector.localorg.schema import Field, SObject
    from connector.localorg.write_plan import Row

_ADDRESS = ("Street", "City", "State", "PostalCode", "Country")


def view(org: Org, record_id: str) -> Page:
    here = find_record(org, record_id)
    if here is None:
        return not_found_page(f"There is no record {record_id}.")
    sobject, row = here
    shown = ValueFormatter(org)
    title = shown.record_title(sobject, row)
    body = join(
        [
            widgets.heading(sobject.label, title),
            deleted_alert(row),
            field_section(shown, sobject, row),
            related_sections(org, shown, sobject, row),
            history.section(org, shown, sobject, row),
        ]
    )
    return Page(title=f"{sobject.label} {title}", body=body, place="/products" if sobject.name == "Product2" else "")


def deleted_alert(row: Row) -> Html:
    return Html('<p class="alert bad">This record was deleted.</p>') if row.get("IsDeleted") else EMPTY


def field_section(
    shown: ValueFormatter, sobject: SObject, row: Row, *, title: str = "Details", folded: bool = False
) -> Html:
    """All that the running user may see, those without a value last and folded away."""
    filled, empty = [], []
    for field in sobject.fields.values():
        if field.compound_field_name or field.name == "IsDeleted":
            continue  # told with the whole they are part of
        value = format_address(row, field) if field.type == "address" else shown.format_field(field, row)
        if value:
            filled.append((field_label(field), value))
        else:
            empty.append((field_label(field), EMPTY))
    told = widgets.definition_list(filled)
    if empty:
        told = html(
            "{}<details><summary>{} fields without a value</summary>{}</details>",
            told,
            len(empty),
            widgets.definition_list(empty),
        )
    if folded:
        return html('<details class="all"><summary>All {} fields</summary>{}</details>', len(filled) + len(empty), told)
    return widgets.section(title, told)


def format_address(row: Row, field: Field) -> Html:
    prefix = field.name.removesuffix("Address")
    return html("{}", "\n".join(str(row[prefix + part]) for part in _ADDRESS if row.get(prefix + part)))


def related_sections(
    org: Org, shown: ValueFormatter, sobject: SObject, row: Row, *, without: Container[str] = (), quiet: bool = False
) -> Html:
    """A section for each object that refers to this record."""
    every = list(record_table.relations(org, sobject, without))
    sections: Iterable[Html] = (
        record_table.related_section(org, shown, relation, str(row["Id"]), title=title)
        for relation, title in zip(every, record_table.relation_titles(every), strict=True)
    )
    told = join(sections)
    if told or quiet:
        return told
    return widgets.section("Related records", Html('<p class="empty">No other record refers to this one.</p>'))


def view_children(org: Org, record_id: str, child: str, field: str, params: Mapping[str, str]) -> Page:
    """All children of one kind, page by page."""
    here = find_record(org, record_id)
    relation = next(
        (
            (one, by)
            for one, by in (record_table.relations(org, here[0]) if here else ())
            if (one.name, by.name) == (child, field)
        ),
        None,
    )
    before = params.get("before", "")
    if here is None or relation is None:
        return not_found_page("There is no such list.")
    sobject, row = here
    one, by = relation
    shown = ValueFormatter(org)
    full = str(row["Id"])
    seen = record_queries.child_rows(org, one.name, by.name, full, before=record_queries.parse_cursor(before))
    told = record_table.render_table(
        shown, one, seen.rows, caption=one.label_plural, empty=f"No {one.label_plural.lower()} here.", without={by.name}
    )
    here_again = build_url("record", full, child, field)
    older = build_url("record", full, child, field, before=seen.next_cursor) if seen.next_cursor else None
    body = join(
        [
            widgets.heading(one.label_plural, shown.record_title(sobject, row)),
            html(
                "<p>Of {} {}, newest first.</p>",
                sobject.label.lower(),
                link(shown.record_url(full), shown.record_title(sobject, row)),
            ),
            told,
            widgets.navigation([("Newest", here_again if before else None), ("Older", older)]),
        ]
    )
    return Page(title=f"{one.label_plural} of {shown.record_title(sobject, row)}", body=body)
