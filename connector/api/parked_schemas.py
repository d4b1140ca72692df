"""What a request may say of things that wait for a person: parked records of the org, and dead letters."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, JsonValue, StrictBool, model_validator

from connector.api.schemas import Body, Count, Key, Moment, Text


class RecordsBody(Body):
    """Records of the org by their IDs, or all."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": ["records"], "properties": {"records": {"minItems": 1}, "all": {"const": False}}},
                {"required": ["all"], "properties": {"records": {"maxItems": 0}, "all": {"const": True}}},
            ],
            "examples": [{"records": ["001000000000001AAA"]}, {"all": True}],
        }
    )

    records: Annotated[list[Annotated[str, Field(pattern=r"^[A-Za-z0-9]{18}$")]], Field(max_length=500)] = Field(
        default_factory=list
    )
    all: StrictBool = False

    @model_validator(mode="after")
    def _either(self) -> RecordsBody:
        if self.all is bool(self.records):
            raise ValueError("give either records or all")
        return self


def _given(*names: str) -> dict[str, Any]:
    """The schema of a choice: these are given, the others are not."""
    empty: dict[str, Any] = {name: {"type": "null"} for name in ("entity", "keys", "group")}
    given: dict[str, Any] = {name: {"type": "string"} for name in ("entity", "group")}
    given |= {"keys": {"type": ["array", "null"]}, "all": {"const": True}}
    return {**empty, "all": {"const": False}, **{name: given[name] for name in names}}


class DeadLettersBody(Body):
    """Which dead letters: all of an `entity`, or those of some `keys`; those with one cause (`group`), all of them or
    those of some `keys`; or `all`."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": ["entity"], "properties": _given("entity", "keys")},
                {"required": ["group"], "properties": _given("group", "keys")},
                {"required": ["all"], "properties": _given("all")},
            ],
            "examples": [{"entity": "order", "keys": ["10248"]}, {"group": "0123456789ab"}, {"all": True}],
        }
    )

    entity: Literal["customer", "product", "order", "return"] | None = None
    keys: Annotated[list[Key], Field(min_length=1, max_length=1000)] | None = None
    group: Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")] | None = None
    all: StrictBool = False

    @model_validator(mode="after")
    def _one_of_three(self) -> DeadLettersBody:
        if [self.entity is not None, self.group is not None, self.all].count(True) != 1:
            raise ValueError("give one of entity, group and all")
        if self.keys is not None and self.entity is None and self.group is None:
            raise ValueError("keys need their entity or group")
        return self


class CorrectionBody(Body):
    """New values of the entity that the org refused, or because of which it refused another: `set` by field, null
    empties one; of an order also `line_edits`, as `change` has them. `version`: the entity must still have it (or
    `If-Match`)."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"required": ["set"], "properties": {"set": {"minProperties": 1}}},
                {"required": ["line_edits"], "properties": {"line_edits": {"minProperties": 1}}},
            ],
            "examples": [{"set": {"email": "ann@shop.example"}, "version": 3}],
        }
    )

    set: dict[Annotated[str, Field(min_length=1, max_length=80)], JsonValue] = Field(
        default_factory=dict, max_length=50, examples=[{"email": "ann@shop.example"}]
    )
    line_edits: dict[Annotated[str, Field(max_length=6)], JsonValue] = Field(default_factory=dict, max_length=500)
    version: Count | None = None

    @model_validator(mode="after")
    def _something(self) -> CorrectionBody:
        if not self.set and not self.line_edits:
            raise ValueError("give set or line_edits")
        return self


class CauseBody(Body):
    """What a person says of a cause: whose it is (`assignee`), a `note`, until when it is out of sight
    (`snoozed_until`); null empties one, and what is left out stays."""

    model_config = ConfigDict(
        json_schema_extra={
            "minProperties": 1,
            "examples": [{"assignee": "kim@example.com", "snoozed_until": "2026-03-02T08:00:00Z"}],
        }
    )

    assignee: Key | None = None
    note: Text | None = None
    snoozed_until: Moment | None = None

    @model_validator(mode="after")
    def _something(self) -> CauseBody:
        if not self.model_fields_set:
            raise ValueError("give assignee, note or snoozed_until")
        return self
