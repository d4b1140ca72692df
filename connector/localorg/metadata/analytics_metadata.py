"""Check layouts, list views, report types, reports and dashboards for what they refer to. Nothing here renders them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connector.localorg.metadata.component import Component
from connector.localorg.metadata.xml import Element, MetadataError
from connector.localorg.schema import SObject

if TYPE_CHECKING:
    from connector.localorg.metadata.deployed import DeployedMetadata

BEHAVIORS = {"Edit", "Readonly", "Required"}
FORMATS = {"Tabular", "Summary", "Matrix", "MultiBlock"}


def _error(component: Component, problem: str, element: Element | None = None) -> MetadataError:
    return MetadataError(component.file, (element or component.source).line, problem)


def _require_sobject(deployed: DeployedMetadata, component: Component, name: str) -> SObject:
    sobject = deployed.schema.get(name)
    if sobject is None:
        raise _error(component, f"Entity of type '{name}' is not available in this organization")
    return sobject


def _is_missing_custom_field(sobject: SObject, name: str) -> bool:
    """Whether it names a custom field that does not exist. Standard columns have names of their own, not known here."""
    return name.endswith("__c") and name.lower() not in sobject.all_fields


def check_list_view(deployed: DeployedMetadata, component: Component) -> None:
    sobject = _require_sobject(deployed, component, component.name.partition(".")[0])
    for tag in ("fullName", "label", "filterScope"):
        if not component.source.get(tag):
            raise _error(component, f"Required field is missing: {tag}")
    elements = [
        *component.source.children_named("columns"),
        *(item for f in component.source.children_named("filters") for item in f.children_named("field")),
    ]
    for item in elements:
        if _is_missing_custom_field(sobject, item.text.strip()):
            raise _error(component, f"Could not resolve list view column: {item.text.strip()}", item)


def check_layout(deployed: DeployedMetadata, component: Component) -> None:
    sobject = _require_sobject(deployed, component, component.name.partition("-")[0])
    for item in component.source.descendants("layoutItems"):
        name = item.get("field")
        if name and item.get("behavior") not in BEHAVIORS:
            raise _error(component, f"behavior of {name} must be Edit, Readonly or Required", item)
        if name and name.lower() not in sobject.all_fields and name.lower() + "id" not in sobject.all_fields:
            raise _error(component, f"In field: field - no CustomField named {sobject.name}.{name} found", item)
    for related in component.source.children_named("relatedLists"):
        if not related.get("relatedList"):
            raise _error(component, "Required field is missing: relatedList", related)


def add_report_type(deployed: DeployedMetadata, component: Component) -> None:
    source = component.source
    for tag in ("baseObject", "category", "label", "deployed"):
        if not source.get(tag):
            raise _error(component, f"Required field is missing: {tag}")
    base = _require_sobject(deployed, component, source.get("baseObject"))
    tables = {base.name: base}
    path, join = base.name, source.child("join")
    while join is not None:
        relationship = join.get("relationship")
        children = deployed.schema.children_of(tables[path].name)
        child = next((item for item in children if item.name == relationship), None)
        if child is None:
            raise _error(component, f"There is no relationship {relationship} of {tables[path].name}", join)
        path = f"{path}.{relationship}"
        tables[path] = _require_sobject(deployed, component, child.child)
        join = join.child("join")
    columns = set()
    for item in source.descendants("columns"):
        table, name = item.get("table"), item.get("field")
        if table not in tables:
            raise _error(component, f"The table {table} is not joined", item.child("table"))
        if _is_missing_custom_field(tables[table], name.partition(".")[0]):
            raise _error(component, f"no CustomField named {tables[table].name}.{name} found", item.child("field"))
        columns.add(f"{table}${name}".lower())
    deployed.report_types[component.name.lower()] = columns


def check_folder(_: DeployedMetadata, component: Component) -> None:
    if not component.source.get("name"):
        raise _error(component, "Required field is missing: name")


def _require_folder(deployed: DeployedMetadata, component: Component, kind: str) -> None:
    name = component.name.rpartition("/")[0].rpartition("/")[2]
    if name != "unfiled$public" and not deployed.has(kind, name):
        raise _error(component, f"Cannot find folder:{name}")


def check_report(deployed: DeployedMetadata, component: Component) -> None:
    _require_folder(deployed, component, "ReportFolder")
    source = component.source
    for tag in ("format", "name", "reportType"):
        if not source.get(tag):
            raise _error(component, f"Required field is missing: {tag}")
    if source.get("format") not in FORMATS:
        raise _error(component, f"format must be one of {', '.join(sorted(FORMATS))}", source.child("format"))
    kind = source.get("reportType")
    if not kind.endswith("__c"):
        return  # a report type of the platform's: its columns go by names that are not kept here
    columns = deployed.report_types.get(kind.removesuffix("__c").lower())
    if columns is None:
        raise _error(component, f"reportType: invalid report type {kind}", source.child("reportType"))
    for item in [
        *source.descendants("columns"),
        *source.descendants("groupingsDown"),
        *source.descendants("criteriaItems"),
    ]:
        name = item.get("field") or item.get("column")
        if name and "$" in name and name.lower() not in columns:
            raise _error(component, f"Could not resolve the column {name} of the report type {kind}", item)


def check_dashboard(deployed: DeployedMetadata, component: Component) -> None:
    _require_folder(deployed, component, "DashboardFolder")
    for tag in ("title", "dashboardType"):
        if not component.source.get(tag):
            raise _error(component, f"Required field is missing: {tag}")
    for item in component.source.descendants("report"):
        if not deployed.has("Report", item.text.strip()):
            raise _error(component, f"no Report named {item.text.strip()} found", item)
