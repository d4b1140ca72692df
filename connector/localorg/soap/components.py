"""The Metadata API without deployments: describe, list, read, save, delete and retrieve components."""

from __future__ import annotations

import base64
import io
import zipfile
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from connector.localorg import ids
from connector.localorg.errors import Refusal
from connector.localorg.metadata.archive import Removal
from connector.localorg.metadata.component import KINDS, NESTED_KINDS, Component, parse_file
from connector.localorg.metadata.definition import element_xml, package_path, xml_from_element
from connector.localorg.metadata.xml import Element, MetadataError
from connector.localorg.soap.envelope import tag
from connector.localorg.tooling.row_builder import stable_id

if TYPE_CHECKING:
    from connector.localorg.org import Org

MAX_COMPONENTS = 10  # components of one call
_CHILDREN = {"CustomField": "fields", "ListView": "listViews"}
_PATHS = {"CustomField": "objects/{}/fields/{}.field-meta.xml", "ListView": "objects/{}/listViews/{}.listView-meta.xml"}


def handle(org: Org, call: Element) -> str | None:
    """Return the body of the response; None for an unknown call."""
    act = _CALLS.get(call.name)
    return None if act is None else f"<{call.name}Response>{act(org, call)}</{call.name}Response>"


def _describe(org: Org, call: Element) -> str:
    kinds = "".join(
        tag(
            "metadataObjects",
            {
                "childXmlNames": list(NESTED_KINDS.values()) if kind.type == "CustomObject" else None,
                "directoryName": kind.folder,
                "inFolder": kind.foldered,
                "metaFile": False,
                "suffix": kind.suffix,
                "xmlName": kind.type,
            },
        )
        for kind in KINDS
        if not kind.type.endswith("Folder")
    )
    return f"<result>{kinds}{tag('organizationNamespace', '')}<partialSaveAllowed>true</partialSaveAllowed>" \
           "<testRequired>false</testRequired></result>"  # fmt: skip


def _list(org: Org, call: Element) -> str:
    files = []
    for query in call.children_named("queries"):
        kind = query.get("type")
        for name in component_names(org, kind):
            owner = name.partition(".")[0] if kind in _CHILDREN else name
            files.append(_file_properties(org, kind, name, package_path(kind, owner)))
    return tag("result", files)


def _file_properties(org: Org, kind: str, name: str, file: str) -> dict[str, str]:
    """Return a FileProperties."""
    identity, now = org.auth.identity, org.now.replace("+0000", "Z")
    return {
        "createdById": identity.user_id,
        "createdByName": "Local Administrator",
        "createdDate": now,
        "fileName": file,
        "fullName": name,
        "id": stable_id("01I" if kind == "CustomObject" else "00N", name),
        "lastModifiedById": identity.user_id,
        "lastModifiedByName": "Local Administrator",
        "lastModifiedDate": now,
        "manageableState": "unmanaged",
        "type": kind,
    }


def component_names(org: Org, kind: str) -> list[str]:
    """Return the full names of the components of a kind."""
    found_names = {name for type_, name in org.deployed.names if type_ == kind}
    if kind == "CustomObject":
        found_names |= {item.name for item in org.schema}
    return sorted(found_names)


def _component_elements(org: Org, kind: str, name: str) -> Iterator[str]:
    """Yield the elements of one component, its name first; nothing if it does not exist."""
    component = org.deployed.names.get((kind, name))
    if component is None and not (kind == "CustomObject" and org.schema.get(name)):
        return
    yield tag("fullName", name)
    if kind == "CustomObject":
        yield from _object_elements(org, name, component)
    elif component is not None:
        yield from (element_xml(child) for child in component.source.children if child.name != "fullName")


def _object_elements(org: Org, name: str, component: Component | None, only: Iterable[str] = ()) -> Iterator[str]:
    """Yield the elements of an object with its fields and list views, or with only those named."""
    only_names = set(only)
    for kind, element in _CHILDREN.items():
        for (type_, full), child in org.deployed.names.items():
            if type_ == kind and full.partition(".")[0] == name and (not only_names or full in only_names):
                yield f"<{element}>{''.join(element_xml(item) for item in child.source.children)}</{element}>"
    if component is not None and not only_names:
        yield from (element_xml(item) for item in component.source.children if item.name not in NESTED_KINDS)


def _read(org: Org, call: Element) -> str:
    kind = call.get("type")
    records = []
    for item in call.children_named("fullNames"):
        body = "".join(_component_elements(org, kind, item.text.strip()))
        records.append(f'<records xsi:type="{kind}">{body}</records>' if body else '<records xsi:nil="true"/>')
    return f"<result>{''.join(records)}</result>"


def _save(org: Org, call: Element) -> str:
    """createMetadata, updateMetadata, upsertMetadata."""
    definitions = list(call.children_named("metadata"))
    if len(definitions) > MAX_COMPONENTS:
        raise Refusal("LIMIT_EXCEEDED", f"At most {MAX_COMPONENTS} components can be saved in one call")
    return "".join(_save_component(org, call.name, item) for item in definitions)


def _save_component(org: Org, operation: str, source: Element) -> str:
    kind, name = source.kind, source.get("fullName")
    exists = org.deployed.has(kind, name)
    problem, code = "", "FIELD_INTEGRITY_EXCEPTION"
    if operation == "createMetadata" and exists:
        problem, code = "The developer name you provided is already in use.", "DUPLICATE_DEVELOPER_NAME"
    elif operation == "updateMetadata" and not exists:
        problem, code = f"no {kind} named {name} found", "INVALID_CROSS_REFERENCE_KEY"
    else:
        try:
            messages = org.deployments.deploy_components(parse_file(*_component_file(kind, name, source)))
            problem = next((item.problem or "" for item in messages if not item.success), "")
            problem = problem if messages else f"{kind} is not a type that can be saved here"
        except MetadataError as error:
            problem = error.problem
    created = tag("created", not exists) if operation == "upsertMetadata" else ""
    errors = tag("errors", {"message": problem, "statusCode": code}) if problem else ""
    return f"<result>{created}{errors}{tag('fullName', name)}{tag('success', not problem)}</result>"


def _delete(org: Org, call: Element) -> str:
    kind, results = call.get("type"), []
    for item in call.children_named("fullNames"):
        name = item.text.strip()
        (message,) = org.deployments.deploy_components(removals=[Removal(kind, name, "")])
        code = "FIELD_INTEGRITY_EXCEPTION" if not message.success else "INVALID_CROSS_REFERENCE_KEY"
        errors = tag("errors", {"message": message.problem, "statusCode": code}) if message.problem else ""
        results.append(f"<result>{errors}{tag('fullName', name)}{tag('success', message.deleted)}</result>")
    return "".join(results)


def _component_file(kind: str, name: str, source: Element) -> tuple[str, bytes]:
    owner, _, own = name.rpartition(".")
    path = _PATHS[kind].format(owner, own) if kind in _PATHS else package_path(kind, name)
    for child in source.children:
        if child.name == "fullName":
            child.text = own if kind in _PATHS else name
    return path, xml_from_element(kind or "Metadata", source)


# -- retrieve ----------------------------------------------------------------------------------------------------------


def _retrieve(org: Org, call: Element) -> str:
    request = call.child("retrieveRequest") or call
    unpackaged = request.child("unpackaged")
    members_by_kind = {
        types.get("name"): [member.text.strip() for member in types.children_named("members")]
        for types in (unpackaged.children_named("types") if unpackaged else ())
    }
    number = ids.make("09S", org.storage.next_number("AsyncRetrieve"))
    folder = "" if request.get("singlePackage") == "true" else "unpackaged/"
    org.retrievals[number] = _build_zip(org, members_by_kind, folder, request.get("apiVersion") or "66.0")
    while len(org.retrievals) > MAX_COMPONENTS:
        del org.retrievals[next(iter(org.retrievals))]
    return tag("result", {"done": False, "id": number, "state": "Queued"})


def _build_zip(
    org: Org, members_by_kind: dict[str, list[str]], folder: str, version: str
) -> tuple[bytes, list[tuple[str, str, str]], list[str]]:
    """Return the zip, its components as (kind, name, file), and messages about missing ones."""
    files: dict[str, list[str]] = {}
    components: list[tuple[str, str, str]] = []
    missing: list[str] = []
    for kind, members in members_by_kind.items():
        for name in dict.fromkeys(item for member in members
                                  for item in (component_names(org, kind) if member == "*" else [member])):  # fmt: skip
            owner = name.partition(".")[0]
            inside = kind in _CHILDREN
            path = package_path("CustomObject", owner) if inside else package_path(kind, name)
            if inside:
                exists = org.deployed.has(kind, name)
                body = list(_object_elements(org, owner, None, [name])) if exists else []
            else:
                body = [item for item in _component_elements(org, kind, name) if not item.startswith("<fullName>")]
                exists = org.deployed.has(kind, name) or (kind == "CustomObject" and org.schema.get(name) is not None)
            if not exists:
                missing.append(f"Entity of type '{kind}' named '{name}' cannot be found")
                continue
            elements = files.setdefault(path, [])
            elements += [item for item in body if item not in elements]
            components.append((kind, name, f"{folder}{path}"))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, body in files.items():
            root = next(kind.type for kind in KINDS if path.startswith(f"{kind.folder}/"))
            archive.writestr(f"{folder}{path}", _xml_document(root, sorted(body)))
        types = [
            f"<types>{tag('members', [name for of, name, _ in components if of == kind])}<name>{kind}</name></types>"
            for kind in members_by_kind
        ]
        archive.writestr(f"{folder}package.xml", _xml_document("Package", [*types, f"<version>{version}</version>"]))
    return buffer.getvalue(), components, missing


def _xml_document(root: str, body: Iterable[str]) -> str:
    inside = "\n    ".join(body)
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<{root} xmlns="http://soap.sforce.com/2006/04/metadata">'
        f"\n    {inside}\n</{root}>\n"
    )


def _check_retrieve_status(org: Org, call: Element) -> str:
    number = call.get("asyncProcessId")
    retrieval = org.retrievals.get(number)
    if retrieval is None:
        raise Refusal("INVALID_CROSS_REFERENCE_KEY", f"invalid cross reference id: {number[:80]}")
    content, components, missing = retrieval
    properties = [_file_properties(org, kind, name, path) for kind, name, path in components]
    result = {
        "done": True,
        "fileProperties": properties,
        "id": number,
        "messages": [{"fileName": "unpackaged/package.xml", "problem": text} for text in missing],
        "status": "Succeeded",
        "success": True,
        "zipFile": base64.b64encode(content).decode() if call.get("includeZip") != "false" else None,
    }
    return tag("result", result)


def _check_status(org: Org, call: Element) -> str:
    """checkStatus, an older call: return an AsyncResult."""
    number = call.get("asyncProcessId")
    if number not in org.retrievals:
        raise Refusal("INVALID_CROSS_REFERENCE_KEY", f"invalid cross reference id: {number[:80]}")
    return tag("result", {"done": True, "id": number, "state": "Completed"})


_CALLS: dict[str, Callable[[Org, Element], str]] = {
    "describeMetadata": _describe,
    "listMetadata": _list,
    "readMetadata": _read,
    "createMetadata": _save,
    "updateMetadata": _save,
    "upsertMetadata": _save,
    "deleteMetadata": _delete,
    "retrieve": _retrieve,
    "checkRetrieveStatus": _check_retrieve_status,
    "checkStatus": _check_status,
}
