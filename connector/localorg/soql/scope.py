"""One object of a query and its parents: paths become columns of joined tables; unknown paths are errors."""

from __future__ import annotations

from dataclasses import dataclass, replace

from connector.localorg.schema import Field, Schema, SObject
from connector.localorg.soql.errors import SoqlError, error_at
from connector.localorg.soql.syntax_tree import Path
from connector.localorg.storage import quote

MAX_PARENT_LEVELS = 5
MAX_RELATIONSHIPS = 55


@dataclass(frozen=True, slots=True)
class Column:
    """A resolved field: its SQL, the object that has it, and the relationships on the path to it."""

    sql: str
    field: Field
    sobject: SObject
    relationships: tuple[str, ...]


NAME = SObject(name="Name", label="Name", label_plural="Names", key_prefix="")
"""The pseudo-object of a polymorphic relationship: the fields that its targets share."""

for _name, _type in (
    ("Id", "id"), ("Name", "string"), ("Type", "string"), ("FirstName", "string"), ("LastName", "string"),
    ("Email", "email"), ("Phone", "phone"), ("Title", "string"), ("Username", "string"), ("Alias", "string"),
):  # fmt: skip
    NAME.add(Field(name=_name, label=_name, type=_type))


@dataclass(frozen=True, slots=True)
class PolymorphicTargets:
    """The tables that one polymorphic reference may lead to. At most one of them has the row."""

    targets: list[tuple[str, SObject]]

    def sql(self, name: str) -> str:
        """Return the SQL of a field of `NAME`, whichever table has the row."""
        if name == "Type":
            cases = " ".join(
                f"WHEN {alias}.\"Id\" IS NOT NULL THEN '{sobject.name}'" for alias, sobject in self.targets
            )
            return f"CASE {cases} END"
        values = [
            f"{alias}.{quote(field.name)}"
            for alias, sobject in self.targets
            if (field := name_field(sobject) if name == "Name" else sobject.get(name)) is not None and field.stored
        ]
        return f"COALESCE({', '.join(values)}, NULL)" if values else "NULL"


def name_field(sobject: SObject) -> Field | None:
    """Return the name field of an object."""
    return next((field for field in sobject.fields.values() if field.name_field), None)


class Scope:
    """Resolves paths from `sobject`. It adds joins as paths need them."""

    def __init__(self, schema: Schema, sobject: SObject, text: str, alias: str | None, prefix: str) -> None:
        self.schema = schema
        self.sobject = sobject
        self.text = text
        self._names = {sobject.name.lower(), (alias or sobject.name).lower()}
        self._prefix = prefix
        self.root = f"{prefix}0"
        self._joins: dict[tuple[str, ...], tuple[str, SObject]] = {(): (self.root, sobject)}
        self._sql: list[str] = []
        self._polymorphic: dict[tuple[str, ...], PolymorphicTargets] = {}
        self.totals: frozenset[str] | None = None  # fields of ROLLUP or CUBE
        self.totaled: frozenset[str] = frozenset()  # those of them that the present rows are totals over

    @property
    def source(self) -> str:
        return " ".join([f"{quote(self.sobject.name)} AS {self.root}", *self._sql])

    def column(self, path: Path) -> Column:
        """Return the column for the current rows: NULL if the rows are totals over it."""
        column = self.resolve(path)
        return replace(column, sql="NULL") if column.sql in self.totaled else column

    def branches(self, path: Path) -> list[tuple[str, SObject]]:
        """Return aliases and objects that a relationship may lead to."""
        relationships = self._join((), path.parts[0], path)
        polymorphic = self._polymorphic.get(relationships)
        return polymorphic.targets if polymorphic else [self._joins[relationships]]

    def resolve(self, path: Path) -> Column:
        parts = list(path.parts)
        if len(parts) > 1 and parts[0].lower() in self._names and self.sobject.parent_field(parts[0]) is None:
            parts = parts[1:]
        relationships: tuple[str, ...] = ()
        for name in parts[:-1]:
            relationships = self._join(relationships, name, path)
        table, sobject = self._joins[relationships]
        field = sobject.get(parts[-1])
        if field is None:
            raise no_column(self.text, path.position, parts[-1], sobject.name)
        polymorphic = self._polymorphic.get(relationships)
        sql = polymorphic.sql(field.name) if polymorphic else f"{table}.{quote(field.name)}"
        return Column(sql, field, sobject, relationships)

    def id_sql(self, relationships: tuple[str, ...]) -> str:
        polymorphic = self._polymorphic.get(relationships)
        return polymorphic.sql("Id") if polymorphic else f'{self._joins[relationships][0]}."Id"'

    def object_at(self, relationships: tuple[str, ...]) -> SObject:
        return self._joins[relationships][1]

    def _join(self, relationships: tuple[str, ...], name: str, path: Path) -> tuple[str, ...]:
        table, sobject = self._joins[relationships]
        field = sobject.parent_field(name)
        targets = [
            parent_object for item in (field.reference_to if field else ()) if (parent_object := self.schema.get(item))
        ]
        if field is None or not targets or relationships in self._polymorphic:
            message = f"Didn't understand relationship '{name}' in field path. If you are attempting to use a custom "
            message += "relationship, be sure to append the '__r' after the custom relationship name. Please reference "
            message += "your WSDL or the describe call for the appropriate names."
            raise error_at(self.text, path.position, "INVALID_FIELD", message)
        next_relationships = (*relationships, field.relationship_name or name)
        if len(next_relationships) > MAX_PARENT_LEVELS:
            raise error_at(self.text, path.position, "INVALID_FIELD", "Maximum relationship depth is 5")
        if next_relationships not in self._joins:
            if len(self._joins) > MAX_RELATIONSHIPS:
                message = f"A query reaches at most {MAX_RELATIONSHIPS} parent relationships"
                raise error_at(self.text, path.position, "MALFORMED_QUERY", message)
            aliases = []
            for parent_object in targets:
                aliases.append(f"{self._prefix}{len(self._sql) + 1}")
                on = f'{aliases[-1]}."Id" = {table}.{quote(field.name)}'
                self._sql.append(f"LEFT JOIN {quote(parent_object.name)} AS {aliases[-1]} ON {on}")
            if len(targets) > 1:
                self._polymorphic[next_relationships] = PolymorphicTargets(list(zip(aliases, targets, strict=True)))
            self._joins[next_relationships] = (aliases[0], NAME if len(targets) > 1 else targets[0])
        return next_relationships


def no_column(text: str, position: int, name: str, sobject: str) -> SoqlError:
    message = (
        f"No such column '{name}' on entity '{sobject}'. If you are attempting to use a custom field, be sure to "
        "append the '__c' after the custom field name. Please reference your WSDL or the describe call for the "
        "appropriate names."
    )
    return error_at(text, position, "INVALID_FIELD", message)


def no_object(text: str, position: int, name: str) -> SoqlError:
    message = (
        f"sObject type '{name}' is not supported. If you are attempting to use a custom object, be sure to append the "
        "'__c' after the entity name. Please reference your WSDL or the describe call for the appropriate names."
    )
    return error_at(text, position, "INVALID_TYPE", message)
