"""SFDX source to schema: what a deploy would have put into the org exists from then on.

A component that the platform would not accept is refused with its file's line, and nothing of it is added.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.parsers import expat

from connector.localorg.schema import Field, PicklistValue, Schema, SObject

FIELD, OBJECT = ".field-meta.xml", ".object-meta.xml"
EVENT_FIELDS = (
    Field(name="ReplayId", label="Replay ID", type="string", length=1000, createable=False, updateable=False),
    Field(
        name="CreatedDate", label="Created Date", type="datetime", nillable=False, createable=False, updateable=False
    ),
    Field(name="CreatedById", label="Created By ID", type="string", length=18, createable=False, updateable=False),
    Field(name="EventUuid", label="Event UUID", type="string", length=36, createable=False, updateable=False),
)


class MetadataError(Exception):
    """`problem` of `component` at `line` of its file."""

    def __init__(self, component: str, line: int, problem: str) -> None:
        super().__init__(f"{component}:{line}: {problem}")
        self.component = component
        self.line = line
        self.problem = problem


class Element:
    """A node of the file with its line."""

    def __init__(self, name: str, line: int) -> None:
        self.name = name
        self.line = line
        self.text = ""
        self.children: list[Element] = []

    def all(self, name: str) -> Iterator[Element]:
        return (child for child in self.children if child.name == name)

    def child(self, name: str) -> Element | None:
        return next(self.all(name), None)

    def get(self, name: str, default: str = "") -> str:
        found = self.child(name)
        return default if found is None else found.text.strip()


def load_source(schema: Schema, root: Path) -> list[str]:
    """Add everything declared under `root`; the full names of what was added, in that order."""
    added: list[str] = []
    folders = [folder for package in _packages(root) for folder in sorted(package.rglob("objects"))]
    for folder in folders:
        for file in sorted(folder.rglob(f"*{OBJECT}")):
            added += _object(schema, file)
    for folder in folders:
        for file in sorted(folder.rglob(f"*{FIELD}")):
            added.append(_field(schema, file))
    return added


def read(file: Path) -> Element:
    """The root element of an XML file; entities and DTDs are refused."""
    parser = expat.ParserCreate(namespace_separator=" ")
    stack = [Element("", 0)]

    def start(name: str, _attributes: dict[str, str]) -> None:
        element = Element(name.rpartition(" ")[2], parser.CurrentLineNumber)
        stack[-1].children.append(element)
        stack.append(element)

    def text(data: str) -> None:
        stack[-1].text += data

    def declared(*_: object) -> None:
        raise MetadataError(file.name, parser.CurrentLineNumber, "a document type is not allowed")

    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _: stack.pop()
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = declared
    try:
        parser.Parse(file.read_bytes(), True)
    except expat.ExpatError as error:
        raise MetadataError(file.name, error.lineno, f"not well-formed: {expat.ErrorString(error.code)}") from None
    return stack[0].children[0]


def _packages(root: Path) -> list[Path]:
    project = root / "sfdx-project.json"
    if not project.is_file():
        return [root]
    described = json.loads(project.read_text(encoding="utf-8"))
    return [root / package["path"] for package in described["packageDirectories"]]


def _object(schema: Schema, file: Path) -> list[str]:
    name = file.name.removesuffix(OBJECT)
    source = read(file)
    if not name.endswith("__e"):
        return []  # a standard object's own settings change nothing here
    if source.get("eventType") != "HighVolume":
        raise MetadataError(file.name, source.line, "eventType must be HighVolume")
    for tag in ("label", "pluralLabel"):
        if not source.get(tag):
            raise MetadataError(file.name, source.line, f"Required field is missing: {tag}")
    events = sum(item.event for item in schema)
    event = SObject(
        name=name,
        label=source.get("label"),
        label_plural=source.get("pluralLabel"),
        key_prefix=f"e{events:02d}",
        custom=True,
        updateable=False,
        deletable=False,
        queryable=False,
        event=True,
        immediate=source.get("publishBehavior", "PublishImmediately") == "PublishImmediately",
    )
    for item in EVENT_FIELDS:
        event.add(item)
    schema.add(event)
    return [name]


def _field(schema: Schema, file: Path) -> str:
    owner = file.parent.parent.name
    source = read(file)
    name = source.get("fullName")
    sobject = schema.get(owner)

    def refuse(problem: str, element: Element | None = None) -> MetadataError:
        return MetadataError(file.name, (element or source).line, problem)

    if sobject is None:
        raise refuse(f"Entity {owner} is not known")
    if not name.endswith("__c"):
        raise refuse("fullName must end with __c", source.child("fullName"))
    if sobject.get(name) is not None:
        raise refuse(f"There is already a field named {name} on {owner}", source.child("fullName"))
    kind = source.get("type")
    if not kind:
        raise refuse("Required field is missing: type")
    if kind not in TYPES:
        raise refuse(f"'{kind}' is not a valid field type", source.child("type"))
    if not source.get("label"):
        raise refuse("Required field is missing: label")
    sobject.add(_built(source, name, kind, refuse))
    return f"{sobject.name}.{name}"


Refuse = Callable[..., MetadataError]


def _built(source: Element, name: str, kind: str, refuse: Refuse) -> Field:
    type_, needs = TYPES[kind]
    unique = source.get("unique") == "true"
    external = source.get("externalId") == "true"
    if (unique or external) and kind not in {"Text", "Number", "Email"}:
        raise refuse(f"A field of type {kind} can be neither unique nor an external ID")
    numbers = {tag: _number(source, tag, refuse) for tag in ("length", "precision", "scale") if tag in needs}
    if "scale" in numbers and numbers["precision"] < numbers["scale"]:
        raise refuse("scale must not exceed precision", source.child("scale"))
    if kind == "Text" and not 1 <= numbers["length"] <= 255:
        raise refuse("length must be between 1 and 255", source.child("length"))
    long = kind == "LongTextArea"
    boolean = kind == "Checkbox"
    target = source.get("referenceTo")
    if kind == "Lookup" and not target:
        raise refuse("Required field is missing: referenceTo")
    default = source.get("defaultValue")
    if boolean and default not in {"true", "false"}:
        raise refuse("Required field is missing: defaultValue")
    children = source.get("relationshipName")
    return Field(
        name=name,
        label=source.get("label"),
        type=type_,
        length=numbers.get("length", LENGTHS.get(kind, 0)),
        precision=numbers.get("precision", 0),
        scale=numbers.get("scale", 0),
        nillable=source.get("required") != "true" and not boolean,
        defaulted_on_create=boolean,
        default_value=default == "true" if boolean else (default or None),
        unique=unique,
        case_sensitive=source.get("caseSensitive") == "true",
        external_id=external,
        id_lookup=external,
        restricted_picklist=_restricted(source),
        picklist=_values(source, refuse) if type_ in {"picklist", "multipicklist"} else (),
        reference_to=(target,) if target else (),
        relationship_name=name.removesuffix("__c") + "__r" if target else None,
        child_relationship=f"{children}__r" if children else None,
        cascade_delete=source.get("deleteConstraint") == "Cascade",
        custom=True,
        filterable=not long,
        sortable=not long and kind != "MultiselectPicklist",
        groupable=type_ not in {"currency", "double", "percent", "datetime"} and not long,
        aggregatable=not long and not boolean,
        help_text=source.get("inlineHelpText") or None,
    )


def _number(source: Element, tag: str, refuse: Refuse) -> int:
    found = source.child(tag)
    if found is None:
        raise refuse(f"Required field is missing: {tag}")
    if not found.text.strip().isdigit():
        raise refuse(f"{tag} must be a whole number", found)
    return int(found.text)


def _restricted(source: Element) -> bool:
    values = source.child("valueSet")
    return values is not None and values.get("restricted") == "true"


def _values(source: Element, refuse: Refuse) -> tuple[PicklistValue, ...]:
    values = source.child("valueSet")
    definition = values.child("valueSetDefinition") if values else None
    found = tuple(
        PicklistValue(
            value=value.get("fullName"),
            label=value.get("label") or value.get("fullName"),
            default=value.get("default") == "true",
        )
        for value in (definition.all("value") if definition else ())
    )
    if not found:
        raise refuse("A picklist needs a valueSet with at least one value", values)
    return found


# Metadata type -> describe type, and what its definition must say.
TYPES: dict[str, tuple[str, tuple[str, ...]]] = {
    "Text": ("string", ("length",)),
    "TextArea": ("textarea", ()),
    "LongTextArea": ("textarea", ("length",)),
    "Checkbox": ("boolean", ()),
    "Currency": ("currency", ("precision", "scale")),
    "Number": ("double", ("precision", "scale")),
    "Percent": ("percent", ("precision", "scale")),
    "Date": ("date", ()),
    "DateTime": ("datetime", ()),
    "Email": ("email", ()),
    "Phone": ("phone", ()),
    "Url": ("url", ()),
    "Picklist": ("picklist", ()),
    "MultiselectPicklist": ("multipicklist", ()),
    "Lookup": ("reference", ()),
}
LENGTHS = {
    "TextArea": 255,
    "Email": 80,
    "Phone": 40,
    "Url": 255,
    "Picklist": 255,
    "MultiselectPicklist": 4099,
    "Lookup": 18,
}
