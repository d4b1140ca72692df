"""The history of a record, newest first: from `<Object>History` if the org tracks it, else from change events.

Both reads are bounded. The page says whether older changes may exist.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from connector.localorg.events import event_json
from connector.localorg.events.avro import CHANGE_HEADER
from connector.localorg.events.hub import change_topic
from connector.localorg.field_values import format_timestamp
from connector.localorg.page import record_queries, widgets
from connector.localorg.page.formatters import ValueFormatter, field_label, format_datetime
from connector.localorg.page.frame import icon
from connector.localorg.page.html import EMPTY, Html, html, join

if TYPE_CHECKING:
    from connector.localorg.org import Org
    from connector.localorg.schema import Field, SObject
    from connector.localorg.write_plan import Row

MAX_EVENTS_SEARCHED = 5_000
MAX_ENTRIES = 50
_KINDS = {"CREATE": "Created", "UPDATE": "Changed", "DELETE": "Deleted", "UNDELETE": "Restored"}
_ICONS = {"Created": "plus", "Deleted": "trash-2", "Restored": "undo-2"}
_NONE = '<p class="card nothing">No changes are known.</p>'
_ALWAYS = frozenset({"LastModifiedDate", "LastModifiedById", "SystemModstamp"})  # they change with every write


@dataclass(frozen=True, kw_only=True)
class HistoryEntry:
    """One change. `changes` are label, value before (None if unknown) and value after."""

    timestamp: str
    kind: str
    user_id: str = ""
    origin: str = ""
    changes: list[tuple[str, Html | None, Html]] = field(default_factory=list)


def section(org: Org, formatter: ValueFormatter, sobject: SObject, row: Row) -> Html:
    history_object = org.schema.get(f"{sobject.name}History")
    if sobject.history_enabled and history_object is not None and history_object.get(f"{sobject.name}Id"):
        entries, older = _entries_from_history(org, formatter, sobject, history_object, row)
        ending = (
            f"The latest {MAX_ENTRIES} of its field history; there are older ones."
            if older
            else "From its field history."
        )
    elif org.hub.schema_for_topic(change_topic(sobject.name)) is not None:
        entries, older = _entries_from_events(org, formatter, sobject, str(row["Id"]))
        ending = (
            f"At most {MAX_ENTRIES} of the latest {MAX_EVENTS_SEARCHED:,} change events of its object."
            " Older changes may exist."
            if older
            else "From its change events."
        )
    else:
        return EMPTY
    body = join(_render_entry(formatter, entry) for entry in entries)
    content = html('<ol class="card steps history">{}</ol>', body) if body else Html(_NONE)
    return widgets.section("History", html('{}<p class="quiet small">{}</p>', content, ending))


def _entries_from_history(
    org: Org, formatter: ValueFormatter, sobject: SObject, history_object: SObject, row: Row
) -> tuple[list[HistoryEntry], bool]:
    part = record_queries.child_rows(org, history_object.name, f"{sobject.name}Id", str(row["Id"]), limit=MAX_ENTRIES)
    entries: list[HistoryEntry] = []
    fields: set[str] = set()  # fields of the current entry: one write changes a field once
    for item in part.rows:
        change = _history_change(formatter, sobject, item, row)
        if change is None:
            continue
        timestamp, user_id, name = (str(item[column]) for column in ("CreatedDate", "CreatedById", "Field"))
        if not entries or (entries[-1].timestamp, entries[-1].user_id) != (timestamp, user_id) or name in fields:
            entries.append(HistoryEntry(timestamp=timestamp, kind="Changed", user_id=user_id))
            fields = set()
        entries[-1].changes.append(change)
        fields.add(name)
    if part.next_cursor is None and row.get("CreatedDate"):
        entries.append(
            HistoryEntry(timestamp=str(row["CreatedDate"]), kind="Created", user_id=str(row.get("CreatedById") or ""))
        )
    return entries, part.next_cursor is not None


def _history_change(
    formatter: ValueFormatter, sobject: SObject, item: Row, row: Row
) -> tuple[str, Html | None, Html] | None:
    name = str(item["Field"])
    sobject_field = sobject.get(name) or sobject.get(f"{name}Id")
    if sobject_field is None:
        return None
    before, after = (_format_value(formatter, sobject_field, item[column], row) for column in ("OldValue", "NewValue"))
    return (
        (field_label(sobject_field), before, after)
        if item["OldValue"] or item["NewValue"]
        else (field_label(sobject_field), None, Html("changed"))
    )


def _entries_from_events(
    org: Org, formatter: ValueFormatter, sobject: SObject, record_id: str
) -> tuple[list[HistoryEntry], bool]:
    events, older = org.hub.bus.events_containing(
        change_topic(sobject.name), record_id, among=MAX_EVENTS_SEARCHED, limit=MAX_ENTRIES
    )
    entries = []
    for event in events:
        schema = org.hub.schema_by_id(event.schema_id)
        if schema is None:
            continue
        values = event_json.render_payload(schema, event.payload)
        header = values.pop(CHANGE_HEADER)
        if record_id not in header["recordIds"]:
            continue  # the event only refers to it
        changed_values = (
            (name, values.get(name)) for name in (header["changedFields"] or values) if name not in _ALWAYS
        )
        kind = str(header["changeType"])
        entries.append(
            HistoryEntry(
                timestamp=format_timestamp(datetime.fromtimestamp(header["commitTimestamp"] / 1000, UTC)),
                kind=_KINDS.get(kind, f"{_KINDS.get(kind.removeprefix('GAP_'), 'Changed')}, values not told"),
                user_id=header["commitUser"],
                origin=header["changeOrigin"],
                changes=list(_event_changes(formatter, sobject, changed_values, values)),
            )
        )
    return entries, older


def _event_changes(
    formatter: ValueFormatter, sobject: SObject, changed_values: Iterable[tuple[str, object]], values: Row
) -> Iterable[tuple[str, Html | None, Html]]:
    for name, value in changed_values:
        sobject_field = sobject.get(name)
        if sobject_field is None:
            continue  # not visible to the running user
        if isinstance(value, dict):
            yield field_label(sobject_field), None, html("{}", ", ".join(str(part) for part in value.values()))
        else:
            yield field_label(sobject_field), None, _format_value(formatter, sobject_field, value, values)


def _format_value(formatter: ValueFormatter, sobject_field: Field, value: object, row: Row) -> Html:
    if isinstance(value, str) and sobject_field.type in {"currency", "double", "percent", "int"}:
        try:
            value = float(value)
        except ValueError:
            return html("{}", value)
    return formatter.format_value(sobject_field, value, formatter.currency(row)) or widgets.EMPTY_VALUE


def _render_entry(formatter: ValueFormatter, entry: HistoryEntry) -> Html:
    author = html(" by {}", formatter.link_record(entry.user_id)) if entry.user_id else EMPTY
    origin = html(' · <span class="through">{}</span>', entry.origin) if entry.origin else EMPTY
    listed = join(_render_change(*change) for change in entry.changes)
    if not listed:
        details = EMPTY
    elif entry.kind == "Created":
        details = html("<details><summary>{} values</summary><dl>{}</dl></details>", len(entry.changes), listed)
    else:
        details = html("<dl>{}</dl>", listed)
    return html(
        '<li><span class="way">{}</span><div class="what"><p><strong>{}</strong> {}<span class="quiet small who">{}{}'
        "</span></p>{}</div></li>",
        icon(_ICONS.get(entry.kind, "pencil")), entry.kind, format_datetime(entry.timestamp), author, origin, details,
    )  # fmt: skip


def _render_change(name: str, before: Html | None, after: Html) -> Html:
    value = (
        after
        if before is None
        else html('{} <span aria-hidden="true">→</span><span class="hidden">became</span> {}', before, after)
    )
    return html("<div><dt>{}</dt><dd>{}</dd></div>", name, value)
