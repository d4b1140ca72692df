"""The bodies of `POST …/transitions`: one per action, built from the fields of its event (model/events.py).

The body is a union that `action` tells apart, so OpenAPI shows each action with its own fields, and a field that an
action does not have is refused by name. The command line checks its options by the same bodies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import EnumType
from functools import cache
from typing import Annotated, Any, Generic, Literal, Self, TypeVar, Union, get_args

from pydantic import AfterValidator, ConfigDict, Field, RootModel, WrapValidator, create_model, model_validator

from connector.api.schemas import (
    Body,
    CarrierStatus,
    Count,
    Day,
    Key,
    Number,
    Quantities,
    Text,
    header_type,
    with_fields,
)
from connector.model import events
from connector.model.action_fields import ACTION_FIELDS, FIELD_TYPES, REQUESTABLE, make_event
from connector.model.actions import Action
from connector.model.events import Detail, Event, LineEdit, ReturnStep
from connector.model.order_header import CHANGEABLE
from connector.model.shipments import ShipmentStatus
from connector.validation import MissingFieldsError, once_each

E = TypeVar("E")
T = TypeVar("T")

OF_RETURNS: tuple[Action, ...] = tuple(kind.action for kind in get_args(ReturnStep))


class LineEditBody(Body):
    sku: Key
    quantity: Annotated[Number, Field(ge=0)]
    unit_price: Annotated[Number, Field(ge=0)] | None = None
    discount: Annotated[Number, Field(ge=0, le=1)] = Decimal(0)

    def line_edit(self) -> LineEdit:
        return LineEdit(sku=self.sku, quantity=self.quantity, unit_price=self.unit_price, discount=self.discount)


@with_fields({name: (header_type(info) | None, None) for name, info in CHANGEABLE.items()})
class DetailsBody(Body):
    """Header fields that `change` sets, by the fields of `OrderHeader` that are changeable; null clears a field."""

    def details(self) -> dict[str, Detail]:
        return self.model_dump(exclude_unset=True)


_TYPES: Mapping[object, Any] = {
    events.Quantities: Quantities,
    events.LineEdits: Annotated[dict[Count, LineEditBody], WrapValidator(once_each)],
    events.Details: DetailsBody,
    events.FreeText: Text,
    Decimal: Number,
    ShipmentStatus: CarrierStatus,
    int: Count,
    str: Key,
    date: Day,
}
"""The type of an event field over HTTP, by its type in the event. Any other enum stays as it is."""
_EMPTY_VALUES: Mapping[object, Callable[[], object]] = {
    events.Quantities: dict,
    events.LineEdits: dict,
    events.Details: DetailsBody,
}
"""The empty value of each mapping type; {} for such a field is the same as no field."""
_REQUESTABLE_FIELDS = frozenset(name for action in REQUESTABLE for name in ACTION_FIELDS[action].requestable)
EXAMPLES: dict[Action, dict[str, Any]] = {
    Action.CHANGE: {
        "line_edits": {"1": {"sku": "TEA-EB-100", "quantity": "3"}},
        "details": {"promised_on": "2026-01-31", "ship_complete": True},
    },
    Action.SPLIT: {"lines": {"2": "1"}},
    Action.ALLOCATE: {"lines": {"1": "2"}},
    Action.DEALLOCATE: {"lines": {"1": "2"}, "warehouse": "EAST"},
    Action.PICK: {"lines": {"1": "2"}, "warehouse": "EAST"},
    Action.PACK: {"lines": {"1": "2"}, "warehouse": "EAST"},
    Action.UNPACK: {"shipment": 1},
    Action.LABEL: {"shipment": 1, "carrier": "Swift Post", "tracking_number": "SP-1001"},
    Action.SHIP: {"shipment": 1},
    Action.TRACK: {"shipment": 1, "status": "out_for_delivery"},
    Action.DELIVER: {"shipment": 1, "on": "2026-01-31"},
    Action.CANCEL: {"lines": {"1": "1"}, "note": "no longer wanted"},
    Action.INVOICE: {"amount": "12.50"},
    Action.AUTHORIZE: {"amount": "12.50", "reference": "PAY-7"},
    Action.DECLINE: {"reference": "PAY-7"},
    Action.CAPTURE: {"amount": "12.50", "reference": "PAY-7"},
    Action.REFUND: {"amount": "12.50", "reference": "PAY-7"},
    Action.HOLD: {"hold": "address", "note": "the street is missing"},
    Action.ESCALATE: {"hold": "address"},
    Action.RELEASE: {"hold": "address"},
    Action.REQUEST_RETURN: {"lines": {"1": "1"}, "reason": "damaged", "resolution": "refund"},
    Action.LABEL_RETURN: {"return_number": 1, "carrier": "Swift Post", "tracking_number": "SP-2001"},
    Action.RECEIVE_RETURN: {"return_number": 1, "lines": {"1": "1"}},
    Action.INSPECT_RETURN: {"return_number": 1, "lines": {"1": "1"}, "warehouse": "EAST"},
}
"""An example of each action, for OpenAPI. An action without fields of its own needs none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestedAction(Generic[E]):
    """An action that a caller requests, as the event that it leads to. `version`: the version that the order must still
    have; None for any."""

    event: E
    version: int | None


class ActionBody(Body):
    """One action with its own fields; `version`: only if the order is still that one."""

    model_config = ConfigDict(defer_build=True)

    version: Count | None = None
    action: str

    @model_validator(mode="before")
    @classmethod
    def _without_blanks(cls, body: object) -> object:
        """Some clients write every field that an event can have: null, or {} for a mapping, says nothing of one that
        this action does not have."""
        if not isinstance(body, dict):
            return body
        blank = {
            name for name in _REQUESTABLE_FIELDS if name not in cls.model_fields and _is_blank(name, body.get(name))
        }
        return {name: value for name, value in body.items() if name not in blank}

    @model_validator(mode="after")
    def _complete(self) -> Self:
        has = ACTION_FIELDS[Action(self.action)]
        if has.any_of and not any(self._has(name) for name in has.any_of):
            raise MissingFieldsError(has.any_of)
        if has.with_lines and self._has("lines") and not all(self._has(name) for name in has.with_lines):
            raise MissingFieldsError(has.with_lines)
        return self

    def _has(self, name: str) -> bool:
        value = getattr(self, name)
        return bool(value.model_fields_set if isinstance(value, Body) else value)

    def requested_action(self) -> RequestedAction[Event]:
        action = Action(self.action)
        values = {name: getattr(self, name) for name in ACTION_FIELDS[action].requestable}
        for name, value in values.items():
            if isinstance(value, DetailsBody):
                values[name] = value.details()
            elif FIELD_TYPES[name] == events.LineEdits:
                values[name] = {number: edit.line_edit() for number, edit in value.items()}
        return RequestedAction(event=make_event(action, **values), version=self.version)


def _is_blank(name: str, value: object) -> bool:
    return value is None or (FIELD_TYPES[name] in _EMPTY_VALUES and value == {})


def body_type(kind: object) -> Any:
    """Return the type over HTTP of an event field of this type. TypeError for a type without an entry: pydantic would
    read it as it likes, "yes" as a bool for one."""
    if kind in _TYPES:
        return _TYPES[kind]
    if isinstance(kind, EnumType):
        return kind
    raise TypeError(f"{kind} is the type of an event field, and _TYPES does not say how HTTP reads it.")


@cache
def body_of(action: Action) -> type[ActionBody]:
    """The body of one action: exactly the fields that it has."""
    has = ACTION_FIELDS[action]
    own: dict[str, Any] = {"action": (Literal[action.value], ...)}
    for name in has.requestable:
        kind = FIELD_TYPES[name]
        form = body_type(kind)
        if name in has.required:
            own[name] = (Annotated[form, Field(min_length=1)] if kind in _EMPTY_VALUES else form, ...)
        elif kind in _EMPTY_VALUES:
            own[name] = (form, Field(default_factory=_EMPTY_VALUES[kind]))
        else:
            own[name] = (form | None, None)
    model = create_model(f"{action.title().replace('_', '')}Body", __base__=ActionBody, **own)
    model.__doc__ = None
    model.model_config["json_schema_extra"] = _schema_extra(action)
    return model


def _schema_extra(action: Action) -> dict[str, Any]:
    extra: dict[str, Any] = {"examples": [{"action": action.value, **EXAMPLES.get(action, {})}]}
    if names := ACTION_FIELDS[action].any_of:
        extra["anyOf"] = [{"required": [name]} for name in names]
    return extra


def _one_of(actions: tuple[Action, ...]) -> dict[str, Any]:
    """Return the root field of a union of bodies. A valid body becomes the action that it requests."""
    bodies = tuple(Annotated[body_of(action), AfterValidator(ActionBody.requested_action)] for action in actions)
    return {"root": (Annotated[Union[bodies], Field(discriminator="action")], ...)}  # noqa: UP007 - made of a tuple


class _Root(RootModel[T], Generic[T]):
    model_config = ConfigDict(defer_build=True)


@with_fields(_one_of(REQUESTABLE))
class TransitionBody(_Root[RequestedAction[Event]]):
    """One action on an order."""


# OF_RETURNS is made from ReturnStep, so the event is one; mypy does not see the root that `_one_of` makes.
@with_fields(_one_of(OF_RETURNS))
class ReturnTransitionBody(_Root[RequestedAction[ReturnStep]]):
    """One action on a return."""
