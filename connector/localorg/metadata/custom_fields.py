"""Build a custom field from its definition, and check the definition."""

from __future__ import annotations

from collections.abc import Callable

from connector.localorg.metadata.xml import Element, MetadataError
from connector.localorg.schema import Field, PicklistValue, SObject


def build_field(source: Element, sobject: SObject, file: str) -> Field:
    """Return the field that a definition describes. MetadataError names the wrong line."""
    name = source.get("fullName")

    def refuse(problem: str, element: Element | None = None) -> MetadataError:
        return MetadataError(file, (element or source).line, problem)

    if not name.endswith("__c"):
        raise refuse("fullName must end with __c", source.child("fullName"))
    kind = source.get("type")
    if not kind:
        raise refuse("Required field is missing: type")
    if source.child("formula") is not None:
        raise refuse("Formula fields are not computed by this org", source.child("formula"))
    if kind not in TYPES:
        raise refuse(f"'{kind}' is not a valid value for the enum 'FieldType'", source.child("type"))
    if not source.get("label"):
        raise refuse("Required field is missing: label")
    built = _build(source, name, kind, refuse)
    present = sobject.all_fields.get(name.lower())
    if present is not None and present.type != built.type:
        raise refuse(f"Cannot change the type of {sobject.name}.{name} from {present.type}", source.child("type"))
    return built


MakeError = Callable[..., MetadataError]


def _build(source: Element, name: str, kind: str, refuse: MakeError) -> Field:
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
    long = kind in {"LongTextArea", "Html"}
    boolean = kind == "Checkbox"
    target = source.get("referenceTo")
    related = kind in {"Lookup", "MasterDetail"}
    if related and not target:
        raise refuse("Required field is missing: referenceTo")
    default = source.get("defaultValue")
    if boolean and default not in {"true", "false"}:
        raise refuse("Required field is missing: defaultValue")
    children = source.get("relationshipName")
    return Field(
        history_tracked=source.get("trackHistory") == "true",
        name=name,
        label=source.get("label"),
        type=type_,
        length=numbers.get("length", LENGTHS.get(kind, 0)),
        precision=numbers.get("precision", 0),
        scale=numbers.get("scale", 0),
        nillable=source.get("required") != "true" and not boolean and kind != "MasterDetail",
        createable=kind != "AutoNumber",
        updateable=kind not in {"AutoNumber", "MasterDetail"},
        auto_number=kind == "AutoNumber",
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
        cascade_delete=source.get("deleteConstraint") == "Cascade" or kind == "MasterDetail",
        restricted_delete=source.get("deleteConstraint") == "Restrict",
        custom=True,
        filterable=not long,
        sortable=not long and kind != "MultiselectPicklist",
        groupable=type_ not in {"currency", "double", "percent", "datetime"} and not long,
        aggregatable=not long and not boolean,
        help_text=source.get("inlineHelpText") or None,
    )


def _number(source: Element, tag: str, refuse: MakeError) -> int:
    element = source.child(tag)
    if element is None:
        raise refuse(f"Required field is missing: {tag}")
    if not element.text.strip().isdigit():
        raise refuse(f"{tag} must be a whole number", element)
    return int(element.text)


def _restricted(source: Element) -> bool:
    values = source.child("valueSet")
    return values is not None and values.get("restricted") == "true"


def _values(source: Element, refuse: MakeError) -> tuple[PicklistValue, ...]:
    values = source.child("valueSet")
    definition = values.child("valueSetDefinition") if values else None
    picklist = tuple(
        PicklistValue(
            value=value.get("fullName"),
            label=value.get("label") or value.get("fullName"),
            default=value.get("default") == "true",
        )
        for value in (definition.children_named("value") if definition else ())
    )
    if not picklist:
        raise refuse("A picklist needs a valueSet with at least one value", values)
    return picklist


# Metadata type -> describe type, and the tags that its definition must have.
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
    "MasterDetail": ("reference", ()),
    "AutoNumber": ("string", ()),
    "Html": ("textarea", ("length",)),
    "Time": ("time", ()),
}
LENGTHS = {
    "TextArea": 255,
    "Email": 80,
    "Phone": 40,
    "Url": 255,
    "Picklist": 255,
    "MultiselectPicklist": 4099,
    "Lookup": 18,
    "MasterDetail": 18,
    "AutoNumber": 30,
}
