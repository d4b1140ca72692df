"""One object of a query and the parents it reaches: paths become columns of joined tables, unknown ones errors."""

from __future__ import annotations

from dataclasses import dataclass

from connector.localorg.schema import Field, Schema, SObject
from connector.localorg.soql.errors import SoqlError, at
from connector.localorg.soql.tree import Path
from connector.localorg.storage import quote

MOST_PARENTS = 5


@dataclass(frozen=True, slots=True)
class Column:
    """A field where it was found: SQL, the object that has it, and the relationships on the way to it."""

    sql: str
    field: Field
    sobject: SObject
    way: tuple[str, ...]


class Scope:
    """Resolves paths from `sobject`; joins are added as paths ask for them."""

    def __init__(self, schema: Schema, sobject: SObject, text: str, alias: str | None, prefix: str) -> None:
        self.schema = schema
        self.sobject = sobject
        self.text = text
        self._names = {sobject.name.lower(), (alias or sobject.name).lower()}
        self._prefix = prefix
        self.root = f"{prefix}0"
        self._joins: dict[tuple[str, ...], tuple[str, SObject]] = {(): (self.root, sobject)}
        self._sql: list[str] = []

    @property
    def source(self) -> str:
        return " ".join([f"{quote(self.sobject.name)} AS {self.root}", *self._sql])

    def column(self, path: Path) -> Column:
        parts = list(path.parts)
        if len(parts) > 1 and parts[0].lower() in self._names and self.sobject.parent(parts[0]) is None:
            parts = parts[1:]
        way: tuple[str, ...] = ()
        for name in parts[:-1]:
            way = self._join(way, name, path)
        table, sobject = self._joins[way]
        field = sobject.get(parts[-1])
        if field is None:
            raise no_column(self.text, path.position, parts[-1], sobject.name)
        return Column(f"{table}.{quote(field.name)}", field, sobject, way)

    def identity(self, way: tuple[str, ...]) -> str:
        return f'{self._joins[way][0]}."Id"'

    def object_at(self, way: tuple[str, ...]) -> SObject:
        return self._joins[way][1]

    def _join(self, way: tuple[str, ...], name: str, path: Path) -> tuple[str, ...]:
        table, sobject = self._joins[way]
        field = sobject.parent(name)
        target = next(
            (found for item in (field.reference_to if field else ()) if (found := self.schema.get(item))), None
        )
        if field is None or target is None:
            message = f"Didn't understand relationship '{name}' in field path. If you are attempting to use a custom "
            message += "relationship, be sure to append the '__r' after the custom relationship name. Please reference "
            message += "your WSDL or the describe call for the appropriate names."
            raise at(self.text, path.position, "INVALID_FIELD", message)
        deeper = (*way, field.relationship_name or name)
        if len(deeper) > MOST_PARENTS:
            raise at(self.text, path.position, "INVALID_FIELD", "Maximum relationship depth is 5")
        if deeper not in self._joins:
            alias = f"{self._prefix}{len(self._joins)}"
            self._joins[deeper] = (alias, target)
            self._sql.append(f'LEFT JOIN {quote(target.name)} AS {alias} ON {alias}."Id" = {table}.{quote(field.name)}')
        return deeper


def no_column(text: str, position: int, name: str, sobject: str) -> SoqlError:
    message = (
        f"No such column '{name}' on entity '{sobject}'. If you are attempting to use a custom field, be sure to "
        "append the '__c' after the custom field name. Please reference your WSDL or the describe call for the "
        "appropriate names."
    )
    return at(text, position, "INVALID_FIELD", message)


def no_object(text: str, position: int, name: str) -> SoqlError:
    message = (
        f"sObject type '{name}' is not supported. If you are attempting to use a custom object, be sure to append the "
        "'__c' after the entity name. Please reference your WSDL or the describe call for the appropriate names."
    )
    return at(text, position, "INVALID_TYPE", message)
