"""Format stored values for people: dates, money with currency, references as links by name."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from connector.localorg import ids
from connector.localorg.page.html import EMPTY, Html, build_url, html, link
from connector.localorg.storage import quote

if TYPE_CHECKING:
    from connector.localorg.field_values import StoredValue
    from connector.localorg.org import Org
    from connector.localorg.schema import Field, SObject
    from connector.localorg.write_plan import Row

NUMBERS = frozenset({"currency", "double", "percent", "int", "long"})
_PLACES = {"Order": "orders", "Account": "accounts"}
_STAMP = "%Y-%m-%dT%H:%M:%S.%f%z"
_MAX_NAME_LENGTH = 120


def format_money(amount: StoredValue, currency: object, scale: int = 2) -> Html:
    """Format an amount with at least two decimals, and with more if the amount has them."""
    if amount is None:
        return EMPTY
    text = f"{float(amount):,.{max(scale, 2)}f}"
    units, point, rest = text.partition(".")
    return html("{}{}{} {}", units, point, rest[:2] + rest[2:].rstrip("0"), currency)


def format_number(amount: StoredValue, scale: int = 2) -> Html:
    return EMPTY if amount is None else Html(f"{float(amount):,.{scale}f}")


def format_date(text: object) -> Html:
    """Format `2026-11-23` as `23 Nov 2026`. Other text stays as it is."""
    try:
        moment = datetime.strptime(str(text), "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        return html("{}", text)
    return html('<time datetime="{}">{}</time>', text, f"{moment.day} {moment:%b %Y}")


def format_datetime(text: object) -> Html:
    """Format a timestamp in UTC, to the second."""
    try:
        at = datetime.strptime(str(text), _STAMP).astimezone(UTC)
    except ValueError:
        return html("{}", text)
    return html('<time datetime="{}">{}</time>', f"{at:%Y-%m-%dT%H:%M:%SZ}", f"{at.day} {at:%b %Y, %H:%M:%S} UTC")


def sobjects_by_prefix(org: Org, record_id: str) -> list[SObject]:
    """Return the objects with the key prefix of this ID. The history objects share one prefix."""
    return [item for item in org.schema if item.key_prefix and record_id.startswith(item.key_prefix) and not item.event]


def find_record(org: Org, record_id: str) -> tuple[SObject, Row] | None:
    """Return the object and row of an ID of 15 or 18 characters, deleted or not; None if there is none."""
    full = ids.normalize(record_id)
    if full is None:
        return None
    for sobject in sobjects_by_prefix(org, full):
        row = org.dml.fetch(sobject.name, full)
        if row is not None:
            return sobject, row
    return None


def name_field(sobject: SObject) -> Field | None:
    """Return the field that names a record if the running user may see it."""
    return next((field for field in sobject.fields.values() if field.name_field and field.stored), None)


class ValueFormatter:
    """Formats the values of one page. It looks up the name of each record once."""

    def __init__(self, org: Org) -> None:
        self.org = org
        self._names: dict[str, str] = {}

    def record_title(self, sobject: SObject, row: Row) -> str:
        """Return the name of a record; for an order its number in the shop."""
        key = row.get("External_Key__c") if sobject.name == "Order" and sobject.get("External_Key__c") else None
        field = name_field(sobject)
        return str(key or (row.get(field.name) if field else None) or row["Id"])[:_MAX_NAME_LENGTH]

    def record_name(self, record_id: str) -> str | None:
        """Return the name of a record, or None if it does not exist."""
        if record_id not in self._names:
            self._names[record_id] = self._look_up(record_id) or ""
        return self._names[record_id] or None

    def _look_up(self, record_id: str) -> str | None:
        for sobject in sobjects_by_prefix(self.org, record_id):
            fields = [sobject.get("External_Key__c") if sobject.name == "Order" else None, name_field(sobject)]
            columns = ", ".join(quote(field.name) for field in fields if field) or '"Id"'
            row = self.org.storage.connection.execute(
                f'SELECT {columns} FROM {quote(sobject.name)} WHERE "Id" = ?',  # noqa: S608
                (record_id,),
            ).fetchone()
            if row is not None:
                return str(next((value for value in row if value), record_id))[:_MAX_NAME_LENGTH]
        return None

    def link_record(self, record_id: object) -> Html:
        """Render a link by name, or the bare ID if this org has no such record."""
        if not record_id:
            return EMPTY
        name = self.record_name(str(record_id))
        return html("{}", record_id) if name is None else link(self.record_url(str(record_id)), name)

    def record_url(self, record_id: str) -> str:
        sobject = next(iter(sobjects_by_prefix(self.org, record_id)), None)
        return build_url(_PLACES.get(sobject.name if sobject else "", "record"), record_id)

    def currency(self, row: Row) -> str:
        return str(row.get("CurrencyIsoCode") or self.org.settings.currency)

    def format_field(self, field: Field, row: Row) -> Html:
        return self.format_value(field, row.get(field.name), self.currency(row))

    def format_value(self, field: Field, stored: object, currency: str) -> Html:
        """Format a value of this field. An empty value gives an empty text."""
        if stored is None or stored == "":
            return EMPTY
        text = str(stored)
        match field.type:
            case "boolean":
                return Html("Yes" if stored in {1, "true"} else "No")
            case "currency" if isinstance(stored, int | float):
                return format_money(stored, currency, field.scale)
            case "double" if isinstance(stored, int | float):
                return (
                    Html(f"{stored:,.{field.scale}f}".rstrip("0").rstrip("."))
                    if field.scale
                    else format_number(stored, 0)
                )
            case "percent" if isinstance(stored, int | float):
                return Html(f"{stored:g}%")
            case "int" | "long" if isinstance(stored, int | float):
                return format_number(stored, 0)
            case "date":
                return format_date(text)
            case "datetime":
                return format_datetime(text)
            case "reference" | "id":
                return self.link_record(text) if field.type == "reference" else html("<code>{}</code>", text)
            case "url" if text.startswith(("https://", "http://")):
                return html('<a href="{}" rel="noopener noreferrer">{}</a>', text, text)
            case "picklist" | "combobox":
                return html("{}", picklist_label(field, text))
        return html("{}", text)


def field_label(field: Field) -> str:
    """Return the label of a field. A reference shows a name, so its label ends without `ID`."""
    return field.label.removesuffix(" ID") if field.type == "reference" else field.label


def picklist_label(field: Field, value: str) -> str:
    """Return the label of a picklist value."""
    return next((item.label for item in field.picklist if item.value == value), value)
