"""Any record: its fields by their labels, what refers to it, its history. Orders and accounts have pages of their own
that end the same way."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import TYPE_CHECKING

from connector.localorg.page import history, record_queries, record_table, widgets
from connector.localorg.page.formatters import Shown, found, label
from connector.localorg.page.frame import Page, missing
from connector.localorg.page.html import EMPTY, Html, address, html, join, link

if TYPE_CHECKING:
    from connector.localorg.org import Org
    from connector.localorg.schema import Field, SObject
    from connector.localorg.write_plan import Row

_ADDRESS = ("Street", "City", "State", "PostalCode", "Country")


def view(org: Org, record_id: str) -> Page:
    here = found(org, record_id)
    if here is None:
        return missing(f"There is no record {record_id}.")
    sobject, row = here
    shown = Shown(org)
    title = shown.title(sobject, row)
    body = join(
        [
            widgets.heading(sobject.label, title),
            deleted(row),
            fields(shown, sobject, row),
            related(org, shown, sobject, row),
            history.section(org, shown, sobject, row),
        ]
    )
    return Page(title=f"{sobject.label} {title}", body=body, place="/products" if sobject.name == "Product2" else "")


def deleted(row: Row) -> Html:
    return Html('<p class="alert bad">This record was deleted.</p>') if row.get("IsDeleted") else EMPTY


def fields(shown: Shown, sobject: SObject, row: Row, *, title: str = "Details", folded: bool = False) -> Html:
    """All that the running user may see, those without a value last and folded away."""
    filled, empty = [], []
    for field in sobject.fields.values():
        if field.compound_field_name or field.name == "IsDeleted":
            continue  # told with the whole they are part of
        value = postal(row, field) if field.type == "address" else shown.value(field, row)
        if value:
            filled.append((label(field), value))
        else:
            empty.append((label(field), EMPTY))
    told = widgets.facts(filled)
    if empty:
        told = html(
            "{}<details><summary>{} fields without a value</summary>{}</details>",
            told,
            len(empty),
            widgets.facts(empty),
        )
    if folded:
        return html('<details class="all"><summary>All {} fields</summary>{}</details>', len(filled) + len(empty), told)
    return widgets.section(title, told)


def postal(row: Row, field: Field) -> Html:
    prefix = field.name.removesuffix("Address")
    return html("{}", "\n".join(str(row[prefix + part]) for part in _ADDRESS if row.get(prefix + part)))


def related(
    org: Org, shown: Shown, sobject: SObject, row: Row, *, without: Container[str] = (), quiet: bool = False
) -> Html:
    """A section for each object that refers to this record."""
    every = list(record_table.relations(org, sobject, without))
    sections: Iterable[Html] = (
        record_table.related(org, shown, relation, str(row["Id"]), title=title)
        for relation, title in zip(every, record_table.titles(every), strict=True)
    )
    told = join(sections)
    if told or quiet:
        return told
    return widgets.section("Related records", Html('<p class="empty">No other record refers to this one.</p>'))


def part(org: Org, record_id: str, child: str, field: str, params: Mapping[str, str]) -> Page:
    """All children of one kind, page by page."""
    here = found(org, record_id)
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
        return missing("There is no such list.")
    sobject, row = here
    one, by = relation
    shown = Shown(org)
    full = str(row["Id"])
    seen = record_queries.children(org, one.name, by.name, full, before=record_queries.cursor(before))
    told = record_table.table(
        shown, one, seen.rows, caption=one.label_plural, empty=f"No {one.label_plural.lower()} here.", without={by.name}
    )
    here_again = address("record", full, child, field)
    older = address("record", full, child, field, before=seen.following) if seen.following else None
    body = join(
        [
            widgets.heading(one.label_plural, shown.title(sobject, row)),
            html(
                "<p>Of {} {}, newest first.</p>",
                sobject.label.lower(),
                link(shown.place(full), shown.title(sobject, row)),
            ),
            told,
            widgets.steps([("Newest", here_again if before else None), ("Older", older)]),
        ]
    )
    return Page(title=f"{one.label_plural} of {shown.title(sobject, row)}", body=body)
