"""Read the rows of a query in two steps: first their IDs, then their values, one page at a time.

A cursor needs the two steps: the platform fixes the rows when the query runs and reads them page by page. Only IDs are
kept between pages, so a million rows take 18 MB, not a gigabyte.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from connector.localorg.schema import SObject
from connector.localorg.soql.errors import SoqlError, error_at
from connector.localorg.soql.groups import is_grouped
from connector.localorg.soql.query import Query
from connector.localorg.soql.query_result import PackedIds, PagedResult
from connector.localorg.soql.scope import NAME, Column, Scope, name_field, no_column, no_object
from connector.localorg.soql.syntax_tree import Aggregate, AllFields, Path, Select, SelectedField, TypeOf
from connector.localorg.storage import quote

MAX_CHILD_QUERIES = 20
MAX_ROWS_OF_LONG_TEXTS = 200  # rows a page, where two or more long texts are selected
MAX_LEVELS, LEVELS_SINCE_VERSION = 5, 58.0  # of child queries: one before that API version
MAX_SHORT_TEXT = 255
Record = dict[str, Any]
Write = Callable[[Record, Any], None]


def find_rows(query: Query, select: Select, sobject: SObject) -> PagedResult:
    """Find the rows of a query. Errors in the SELECT list are raised now, not at the first page."""
    reader = RowReader(query, select, sobject)
    scope = query.scope(select, sobject)
    values: list[object] = []
    where = query.where(select, scope, values)
    order = query.order(select, scope)
    page = ""
    if select.limit is not None or select.offset:
        page = f" LIMIT {-1 if select.limit is None else select.limit} OFFSET {select.offset}"
    sql = f"SELECT {scope.id_sql(())} FROM {scope.source}{where}{order}{page}"  # noqa: S608
    ids = PackedIds(b"".join(row[0].encode() for row in query.connection.execute(sql, values)))
    result = _paged_result(query, select, sobject, ids)
    return replace(result, max_page_size=MAX_ROWS_OF_LONG_TEXTS) if reader.long_texts > 1 else result


def _paged_result(query: Query, select: Select, sobject: SObject, ids: PackedIds) -> PagedResult:
    def page(start: int, size: int) -> list[Record]:
        page_ids = ids.slice(start, size)
        records = RowReader(query, select, sobject).read(page_ids)
        return [records[record_id] for record_id in page_ids if record_id in records]

    return PagedResult(len(ids), len(ids), page)


class RowReader:
    """Reads the fields of the SELECT list for given IDs."""

    def __init__(self, query: Query, select: Select, sobject: SObject, level: int = 0) -> None:
        self._query = query
        self._scope = query.scope(select, sobject)
        self._columns: list[str] = []
        self._steps: list[Write] = []
        self._children: list[ChildQuery] = []
        self.long_texts = 0
        self._id_at = self._add_column(self._scope.id_sql(()))
        self._prepare(select, level)
        if len(self._children) > MAX_CHILD_QUERIES:
            raise SoqlError("MALFORMED_QUERY", f"a query may have at most {MAX_CHILD_QUERIES} child subqueries")

    def read(self, ids: Sequence[str]) -> dict[str, Record]:
        """Return records by ID."""
        scope = self._scope
        alive = (
            ""
            if self._query.all_rows or scope.sobject.get("IsDeleted") is None
            else f' AND {scope.root}."IsDeleted" = 0'
        )
        sql = (
            f"SELECT {', '.join(self._columns)} FROM {scope.source}"  # noqa: S608
            f" WHERE {scope.id_sql(())} IN (SELECT value FROM json_each(?)){alive}"
        )
        records: dict[str, Record] = {}
        for raw in self._query.connection.execute(sql, (json.dumps(ids),)):
            record: Record = {"attributes": self._query.attributes(scope.sobject.name, raw[self._id_at])}
            for step in self._steps:
                step(record, raw)
            records[raw[self._id_at]] = record
        for child in self._children:
            child.attach(records)
        return records

    def _add_column(self, sql: str) -> int:
        self._columns.append(sql)
        return len(self._columns) - 1

    def _prepare(self, select: Select, level: int) -> None:
        seen: set[tuple[str, ...]] = set()
        identities: dict[tuple[str, ...], int] = {}
        for item in self._expand_items(select):
            if isinstance(item, TypeOf):
                self._steps.append(self._type_step(item))
                continue
            if isinstance(item, Select):
                child = ChildQuery(self._query, item, self._scope, level + 1)
                self._children.append(child)
                self._steps.append(child.reserve_key)
                continue
            column = self._scope.column(item.path)
            if (full := (*column.relationships, column.field.name)) in seen:
                if len(item.path.parts) == 1:
                    message = f"duplicate field selected: {column.field.name}"
                    raise error_at(self._query.text, item.path.position, "INVALID_FIELD", message)
                continue
            seen.add(full)
            self.long_texts += column.field.type == "textarea" and column.field.length > MAX_SHORT_TEXT
            for depth in range(1, len(column.relationships) + 1):
                if column.relationships[:depth] not in identities:
                    identities[column.relationships[:depth]] = self._add_column(
                        self._scope.id_sql(column.relationships[:depth])
                    )
            self._steps.append(self._step(column, identities))

    def _type_step(self, item: TypeOf) -> Write:
        """Return a step that writes the fields of the record that a TYPEOF reference leads to, if there is one."""
        text, name = self._query.text, item.relationship.parts[0]
        branches = self._scope.branches(item.relationship)
        by_name = {sobject.name.lower(): (alias, sobject) for alias, sobject in branches}
        readers: dict[str, list[tuple[str, Callable[[Any], Any]]]] = {}
        for kind, fields in item.cases:
            branch = by_name.get(".".join(kind.parts).lower())
            if branch is None:
                raise no_object(text, kind.position, ".".join(kind.parts))
            readers[branch[1].name] = [self._branch_reader(*branch, path) for path in fields]
        for alias, sobject in branches:
            if sobject.name not in readers:
                readers[sobject.name] = [self._branch_reader(alias, sobject, path, NAME) for path in item.otherwise]
        id_columns = [(self._add_column(f'{alias}."Id"'), sobject.name) for alias, sobject in branches]
        reference = self._scope.sobject.parent_field(name)
        key = str(reference.relationship_name) if reference else name

        def write(record: Record, raw: Any) -> None:
            record[key] = None
            for index, kind in id_columns:
                if raw[index] is not None:
                    attributes = self._query.attributes(kind, raw[index])
                    record[key] = {"attributes": attributes, **{field: read(raw) for field, read in readers[kind]}}

        return write

    def _branch_reader(
        self, alias: str, sobject: SObject, path: Path, common: SObject | None = None
    ) -> tuple[str, Callable[[Any], Any]]:
        name = ".".join(path.parts)
        requested = (common or sobject).get(name)
        if requested is None:
            raise no_column(self._query.text, path.position, name, (common or sobject).name)
        field = sobject.get(requested.name) or (name_field(sobject) if requested.name == "Name" else None)
        if common is not None and (field is None or not field.stored):
            return requested.name, lambda raw: sobject.name if requested.name == "Type" else None
        field = field or requested
        return requested.name, self._value_reader(Column(f"{alias}.{quote(field.name)}", field, sobject, ()))

    def _step(self, column: Column, identities: dict[tuple[str, ...], int]) -> Write:
        read = self._value_reader(column)
        name = column.field.name
        if not column.relationships:
            return lambda record, raw: record.__setitem__(name, read(raw))
        steps = [
            (way[-1], self._scope.object_at(way).name, identities[way])
            for way in (column.relationships[:depth] for depth in range(1, len(column.relationships) + 1))
        ]

        def write(record: Record, raw: Any) -> None:
            for relationship, sobject, index in steps:
                if raw[index] is None:
                    record[relationship] = None
                    return
                if record.get(relationship) is None:
                    record[relationship] = {"attributes": self._query.attributes(sobject, raw[index])}
                record = record[relationship]
            record[name] = read(raw)

        return write

    def _value_reader(self, column: Column) -> Callable[[Any], Any]:
        if column.field.stored:
            index = self._add_column(column.sql)
            if column.field.type == "boolean":
                return lambda raw: None if raw[index] is None else bool(raw[index])
            return lambda raw: raw[index]
        table = column.sql.partition(".")[0]
        parts = [
            (
                part.name.removeprefix(column.field.name.removesuffix("Address")),
                self._add_column(f"{table}.{quote(part.name)}"),
            )
            for part in column.sobject.fields.values()
            if part.compound_field_name == column.field.name and part.stored
        ]
        names = [(name[:1].lower() + name[1:], index) for name, index in parts]

        def compound(raw: Any) -> Any:
            values = {name: raw[index] for name, index in sorted(names)}
            return values if any(value is not None for value in values.values()) else None

        return compound

    def _expand_items(self, select: Select) -> list[SelectedField | TypeOf | Select]:
        text = self._query.text
        items: list[SelectedField | TypeOf | Select] = []
        for item in select.items:
            if isinstance(item, AllFields):
                if item.kind != "STANDARD" and (select.limit is None or select.limit > 200):
                    message = "The SOQL FIELDS function must have a LIMIT of at most 200"
                    raise error_at(text, item.position, "MALFORMED_QUERY", message)
                items += [
                    SelectedField(Path((field.name,), item.position), None)
                    for field in self._scope.sobject.fields.values()
                    if item.kind == "ALL" or field.custom == (item.kind == "CUSTOM")
                ]
            elif isinstance(item, Aggregate):
                raise error_at(text, item.position, "MALFORMED_QUERY", "unexpected aggregate")
            elif isinstance(item, SelectedField) and item.alias:
                raise error_at(text, item.path.position, "MALFORMED_QUERY", f"unexpected token: '{item.alias}'")
            else:
                items.append(item)
        return items


class ChildQuery:
    """A subquery over a child relationship. It reads the children of many parents at once."""

    def __init__(self, query: Query, select: Select, parent: Scope, level: int) -> None:
        most = MAX_LEVELS if float(query.version) >= LEVELS_SINCE_VERSION else 1
        if level > most:
            message = f"child queries go at most {most} levels deep"
            raise error_at(query.text, select.position, "MALFORMED_QUERY", message)
        self._query = query
        self._select = select
        self._sobject, self._field, self.name = self._relationship(parent)
        if is_grouped(select):
            raise error_at(
                query.text, select.position, "MALFORMED_QUERY", "aggregates are not allowed in a child query"
            )
        self._level = level
        RowReader(query, select, self._sobject, level)  # raises the errors of the SELECT list before any row is read

    def reserve_key(self, record: Record, raw: Any) -> None:
        """Reserve the key of the list, so that keys keep the order of the SELECT list."""
        record[self.name] = None

    def attach(self, records: dict[str, Record]) -> None:
        """Attach the list of children to each parent. It stays None without children, as on the platform."""
        listed = self._child_ids(list(records))
        size = self._query.paging.size if self._query.paging else None
        first = [child for ids in listed.values() for child in ids[:size]]
        records_found = RowReader(self._query, self._select, self._sobject, self._level).read(first) if first else {}
        for parent, ids in listed.items():
            rows = [records_found[child] for child in ids[:size] if child in records_found]
            result = {"totalSize": len(ids), "done": len(ids) <= len(rows), "records": rows}
            if self._query.paging and len(ids) > self._query.paging.size:
                rest = _paged_result(self._query, self._select, self._sobject, PackedIds("".join(ids).encode()))
                result["nextRecordsUrl"] = self._query.paging.open_cursor(rest)
            else:
                result["done"] = True
            records[parent][self.name] = result

    def _child_ids(self, parents: list[str]) -> dict[str, list[str]]:
        """Return child IDs by parent, in order, within LIMIT and OFFSET of each list."""
        query, select = self._query, self._select
        scope = query.scope(select, self._sobject)
        owner = f"{scope.root}.{quote(self._field)}"
        values: list[object] = []
        condition = (f"{owner} IN (SELECT value FROM json_each(?))", json.dumps(parents))  # noqa: S608
        where = query.where(select, scope, values, [condition])
        order = query.order(select, scope)
        sql = f"SELECT {owner}, {scope.id_sql(())} FROM {scope.source}{where}{order}"  # noqa: S608
        listed: dict[str, list[str]] = defaultdict(list)
        for parent, child in query.connection.execute(sql, values):
            listed[parent].append(child)
        end = None if select.limit is None else select.offset + select.limit
        cut = {parent: ids[select.offset : end] for parent, ids in listed.items()}
        return {parent: ids for parent, ids in cut.items() if ids}

    def _relationship(self, parent: Scope) -> tuple[SObject, str, str]:
        schema, select = self._query.schema, self._select
        name = select.source.lower()
        for link in schema.children_of(parent.sobject.name):
            child = schema.get(link.child)
            if link.name is not None and link.name.lower() == name and child is not None and child.queryable:
                return child, link.field, link.name
        message = (
            f"Didn't understand relationship '{select.source}' in FROM part of query call. If you are attempting to "
            "use a custom relationship, be sure to append the '__r' after the custom relationship name. Please "
            "reference your WSDL or the describe call for the appropriate names."
        )
        raise error_at(self._query.text, select.position, "INVALID_TYPE", message)
