"""Checks the mappings against the describes of an org, and lists everything that the org would refuse."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from connector.mapping.mapper import MappingSet
from connector.mapping.person_accounts import COMPUTED_FIELDS, check_account_type
from connector.mapping.problems import Aspect, Position, Problems
from connector.mapping.spec import FieldSpec, LookupSpec, Owner, RecordSpec
from connector.mapping.types import NUMBERS, Kind
from connector.model.change import EntityKind
from connector.model.describe import FieldDescribe, SObjectDescribe
from connector.model.record import FieldValue
from connector.suggestions import listed, suggestion

ADD_IT = (
    "Correct the name, or add it to the org and give this user access; `connector org deploy` adds what the packaged"
    " mappings use."
)

REQUIRED_DESPITE_DESCRIBE: Mapping[str, tuple[str, ...]] = {
    "Order": ("AccountId", "EffectiveDate", "Status", "Pricebook2Id"),
    "OrderItem": ("PricebookEntryId", "Quantity", "UnitPrice"),
}
"""Fields that the org requires although describe calls them nillable."""

_TEXT_TYPES = frozenset(
    {"string", "textarea", "phone", "url", "email", "picklist", "multipicklist", "combobox", "encryptedstring"}
)
_NUMBER_TYPES = frozenset({"currency", "double", "percent"})
_PICKLISTS = frozenset({"picklist", "multipicklist"})
_TEXT_HINT = "add `transform: text`"

ACCEPTS: Mapping[str, frozenset[Kind]] = {
    **dict.fromkeys(_TEXT_TYPES, frozenset({Kind.TEXT})),
    **dict.fromkeys(_NUMBER_TYPES, NUMBERS),
    "int": frozenset({Kind.INTEGER}),
    "long": frozenset({Kind.INTEGER}),
    "boolean": frozenset({Kind.BOOLEAN}),
    "date": frozenset({Kind.DATE}),
    "datetime": frozenset({Kind.DATETIME}),
}

_HINTS: Mapping[tuple[str, Kind], str] = {
    ("date", Kind.DATETIME): "add `transform: date`",
    ("date", Kind.TEXT): "add `transform: date`",
    ("datetime", Kind.DATE): "add `transform: datetime`",
    ("datetime", Kind.TEXT): "add `transform: datetime`",
    ("int", Kind.DECIMAL): "add `transform: integer`",
    ("long", Kind.DECIMAL): "add `transform: integer`",
    **{(number, Kind.TEXT): "add `transform: decimal`" for number in _NUMBER_TYPES},
    **{(text, kind): _TEXT_HINT for text in _TEXT_TYPES for kind in Kind if kind is not Kind.TEXT},
}


def check(
    mappings: MappingSet, describes: Mapping[str, SObjectDescribe], *, person_types: Collection[str] = ()
) -> list[str]:
    """Every problem, each as `file:line:column: field: what, and what to do`; empty if the org accepts the mappings.

    `describes` has the objects that this user can see, by API name; a missing object is a problem. `person_types` are
    the IDs of Account's record types for persons.
    """
    return find_problems(mappings, describes, person_types=person_types).lines()


def find_problems(
    mappings: MappingSet, describes: Mapping[str, SObjectDescribe], *, person_types: Collection[str] = ()
) -> Problems:
    """The problems that `check` lists, with what each is about."""
    problems = Problems(mappings.folder)
    targets = {
        "customer": mappings.customer.sobject,
        "product": mappings.product.sobject,
        "order": mappings.order.sobject,
        "price": "PricebookEntry",
        "price_book": "Pricebook2",
        "record_type": "RecordType",
        **{record.entity: record.sobject for record in mappings.order.spec.children.values()},
    }
    for mapping in mappings:
        parent = mapping.sobject
        for record in mapping.spec.records:
            describe = describes.get(record.sobject)
            if describe is None:
                enabled = " Orders must be enabled in Setup." if record.sobject in REQUIRED_DESPITE_DESCRIBE else ""
                problems.add(
                    record.sobject_position,
                    "sobject",
                    f"`{record.sobject}` is unknown in this org, or not visible to this user: correct the name, or "
                    f"give access.{enabled}",
                    Aspect.OBJECT,
                )
                continue
            parent_sobject = parent if record is not mapping.spec.record else None
            is_person_mapping = (
                (mapping is mappings.person)
                if mappings.persons_enabled and mapping.kind is EntityKind.CUSTOMER
                else None
            )
            _RecordChecker(
                record,
                describe,
                targets,
                parent_sobject,
                problems,
                composed=COMPUTED_FIELDS if is_person_mapping else frozenset(),
            ).check()
            check_account_type(record, describe, problems, person=is_person_mapping, person_types=person_types)
    return problems


def missing_key_fields(mappings: MappingSet, describes: Mapping[str, SObjectDescribe]) -> list[str]:
    """`Account.External_Key__c`, …, if the org shows none of the key fields; else empty.

    Then our metadata is not deployed, or not visible to this user, which is reported once and not for each field.
    """
    key_fields = [(record.sobject, record.external_id) for mapping in mappings for record in mapping.spec.records]
    absent = [f"{on}.{name}" for on, name in key_fields if on in describes and name not in describes[on].fields]
    return sorted(absent) if len(absent) == len(key_fields) else []


class _RecordChecker:
    def __init__(
        self,
        record: RecordSpec,
        describe: SObjectDescribe,
        targets: Mapping[str, str],
        parent: str | None,
        problems: Problems,
        composed: frozenset[str],
    ) -> None:
        self._composed = composed
        self._record = record
        self._describe = describe
        self._targets = targets
        self._parent = parent
        self._problems = problems

    def check(self) -> None:
        self._object()
        for spec in self._record.fields:
            field = self._find_field(spec.name, spec.name, spec.position)
            if field is not None:
                self._field(spec, field)
        for lookup in self._record.lookups:
            self._lookup(lookup)
        self._external_id()
        self._required()

    def _object(self) -> None:
        for able, word in ((self._describe.createable, "created"), (self._describe.updateable, "changed")):
            if not able:
                self._problems.add(
                    self._record.sobject_position,
                    "sobject",
                    f"{self._describe.name} records cannot be {word} by this user: give the object permission.",
                    Aspect.OBJECT,
                )

    def _find_field(self, name: str, label: str, position: Position) -> FieldDescribe | None:
        field = self._describe.fields.get(name)
        if field is not None:
            return field
        same = next((field_name for field_name in self._describe.fields if field_name.lower() == name.lower()), None)
        if same is not None:
            written = f"is written `{same}` in the org: write it the same way."
            self._problems.add(position, label, written, Aspect.ACCESS)
            return None
        missing = f"is not a field of {self._describe.name}, or this user cannot see it."
        if name.endswith("__c"):
            close = self._closest(name)
            self._problems.add(position, label, f"{missing}{close} {ADD_IT}", Aspect.ACCESS)
        else:
            close = self._closest(name) or " Correct the name, or give this user access to it."
            self._problems.add(position, label, f"{missing}{close}", Aspect.ACCESS)
        return None

    def _closest(self, name: str) -> str:
        """` Did you mean …?` among the fields that no other line maps."""
        mapped = {entry.name for entry in self._record.entries}
        hint = suggestion(name, self._describe.fields.keys() - mapped)
        return hint if hint.startswith(" Did") else ""

    def _field(self, spec: FieldSpec, field: FieldDescribe) -> None:
        add = self._problems.add
        if spec.owner is not Owner.SALESFORCE:
            if not field.createable and not field.updateable:
                add(
                    spec.position,
                    spec.name,
                    "is read-only in this org, or for this user: remove it, or give edit access.",
                    Aspect.ACCESS,
                )
            elif not field.updateable and (spec.path or spec.expression):  # a constant never changes
                add(
                    spec.position,
                    spec.name,
                    "can be set on creation only, so a later change would be refused: remove it.",
                    Aspect.ACCESS,
                )
            elif not field.createable:
                add(
                    spec.position,
                    spec.name,
                    "cannot be set on creation: remove it, or let the org own it.",
                    Aspect.ACCESS,
                )
        if field.reference_to and not _is_id(spec.const):
            name = field.relationship_name or field.name
            add(
                spec.position,
                spec.name,
                f"is a reference to {listed(field.reference_to)}: write `{name}: {{lookup: …, path: …}}`.",
            )
            return
        self._type(spec, field)
        for value, position in _values(spec):
            self._value(spec, field, value, position)

    def _type(self, spec: FieldSpec, field: FieldDescribe) -> None:
        accepted = ACCEPTS.get(field.type)
        if accepted is None or spec.kind is Kind.ANY or spec.kind in accepted:
            return
        if spec.kind is Kind.TEXT and field.type in {"date", "datetime"} and isinstance(spec.const, str):
            return  # ISO text is what the wire holds; a constant stands as it is written
        hint = _HINTS.get((field.type, spec.kind), "map another path, or another field")
        self._problems.add(spec.position, spec.name, f"is a {field.type} field and gets a {spec.kind}: {hint}.")

    def _value(self, spec: FieldSpec, field: FieldDescribe, value: FieldValue, position: Position) -> None:
        if not isinstance(value, str):
            return
        if field.restricted_picklist and field.picklist and field.type in _PICKLISTS:
            parts = value.split(";") if field.type == "multipicklist" else [value]
            if any(part not in field.picklist for part in parts):
                inactive = any(part in field.inactive for part in parts)
                why = (
                    f"which is inactive in the org's picklist: it has {listed(field.picklist)}; use one, or activate it"
                )
                self._problems.add(
                    position,
                    spec.name,
                    f"cannot be `{value}`, {why} there."
                    if inactive
                    else f"cannot be `{value}`: the org's picklist has {listed(field.picklist)}; use one, or add it"
                    " there.",
                )
        elif field.length and len(value) > field.length and not field.reference_to:
            self._problems.add(
                position, spec.name, f"holds {field.length} characters and gets {len(value)}: shorten the value."
            )

    def _lookup(self, spec: LookupSpec) -> None:
        label = spec.relationship
        field = self._describe.fields.get(spec.name)
        names = {item.relationship_name for item in self._describe.fields.values() if item.relationship_name}
        if field is None or field.relationship_name != spec.relationship:
            if spec.name.endswith("__c") and field is None:
                missing = f"is not a relationship of {self._describe.name}, or this user cannot see it. {ADD_IT}"
                self._problems.add(spec.position, label, missing, Aspect.ACCESS)
            else:
                hint = suggestion(label, names)
                self._problems.add(spec.position, label, f"is not a relationship of {self._describe.name}.{hint}")
            return
        target = self._targets.get(spec.entity)
        if target is not None and target not in field.reference_to:
            self._problems.add(
                spec.position,
                label,
                f"points to {listed(field.reference_to)}, but a {spec.entity} is a `{target}`: look up something else.",
            )
        if not field.createable:
            self._problems.add(
                spec.position, label, "cannot be set by this user: give edit access, or remove it.", Aspect.ACCESS
            )

    def _external_id(self) -> None:
        field = self._describe.fields.get(self._record.external_id)
        if field is None:
            return  # said already, as an unknown field
        for holds, what in ((field.external_id, "an external ID"), (field.unique, "unique")):
            if not holds:
                self._problems.add(
                    self._record.external_id_position,
                    "external_id",
                    f"`{field.name}` of {self._describe.name} is not {what}, so a repeated write could double records: "
                    "mark it so in the org, or name another field.",
                    Aspect.KEY,
                )

    def _required(self) -> None:
        mapped = {spec.name for spec in self._record.fields if spec.owner is not Owner.SALESFORCE}
        mapped |= {lookup.name for lookup in self._record.lookups}
        enforced = REQUIRED_DESPITE_DESCRIBE.get(self._record.sobject, ())
        for name, field in self._describe.fields.items():
            if name in mapped or name in self._composed or not (field.required_on_create or name in enforced):
                continue
            if self._parent is not None and field.reference_to == (self._parent,):
                continue  # the parent itself: set when the child is written
            self._problems.add(
                self._record.position,
                name,
                f"is required to create a {self._describe.name}, and nothing maps it: add `{_entry(field)}`.",
            )


def _entry(field: FieldDescribe) -> str:
    if field.reference_to:
        return f"{field.relationship_name or field.name}: {{lookup: …, path: …}}"
    return f"{field.name}: …"


def _values(spec: FieldSpec) -> Iterator[tuple[FieldValue, Position]]:
    """Every value that is known to be sent before any entity is seen, and where it is written."""
    yield spec.const, spec.position
    yield spec.default, spec.position
    if spec.values is not None:
        for row in spec.values.rows.values():
            yield row.value, row.position
    elif spec.path is not None and not spec.transforms:
        for choice in spec.path.choices:
            yield choice, spec.position


def _is_id(value: FieldValue) -> bool:
    return isinstance(value, str) and len(value) in {15, 18} and value.isalnum()
