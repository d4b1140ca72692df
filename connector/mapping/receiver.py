"""Reads records of the org by the mapping: which fields to ask for, what each holds here, and the way back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from connector.mapping.backward import ReceivedField, UnreadableValueError, received_fields
from connector.mapping.compiler import ABSENT, compile_field
from connector.mapping.spec import FieldSpec, Owner, RecordSpec
from connector.model.record import FieldValue


class RecordReceiver:
    """One mapped object, read backward."""

    def __init__(self, spec: RecordSpec) -> None:
        self.spec = spec
        self.fields: Mapping[str, FieldSpec] = {field.name: field for field in spec.fields}
        self.received: Mapping[str, ReceivedField] = {field.spec.name: field for field in received_fields(spec)}
        self._getters = {field.name: compile_field(field) for field in spec.fields}

    @property
    def sobject(self) -> str:
        return self.spec.sobject

    def owner(self, name: str) -> Owner:
        return self.fields[name].owner

    def by_field(self, times: Mapping[str, datetime]) -> dict[str, datetime]:
        """The times of attributes, by the fields that receive them."""
        return {
            name: times[received.attribute] for name, received in self.received.items() if received.attribute in times
        }

    def local_values(self, entity: Any) -> dict[str, FieldValue]:
        """What the org would hold of `entity`, also in fields that it owns. A field that keeps the org's value (a value
        table that yields null) is left out. UnreadableValueError names the field that cannot be computed."""
        values: dict[str, FieldValue] = {}
        for name, get in self._getters.items():
            try:
                value = get(entity)
            except Exception as error:  # whatever a transform or an expression raises on an unsuitable value
                why = type(error).__name__
                raise UnreadableValueError(f"{name} cannot be computed from the value here ({why})") from error
            if value is not ABSENT:
                values[name] = value
        return values

    def patch(self, taken: Mapping[str, FieldValue]) -> dict[str, Any]:
        """Attributes and their new values, from fields of the org. UnreadableValueError names the field that does not
        suit."""
        patch = {}
        for name, value in taken.items():
            try:
                patch[self.received[name].attribute] = self.received[name].read(value)
            except UnreadableValueError as error:
                raise UnreadableValueError(f"{name}: {error}", error.fix) from error
        return patch
