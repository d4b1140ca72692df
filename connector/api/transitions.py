"""What `POST …/transitions` accepts: one body per action, made from the table of its fields (model/event.py).

The body is a union that `action` tells apart, so OpenAPI shows each action with its own fields, and a field that an
action does not have is refused by name. The command line checks its options by the same bodies.
"""

from __future__ import annotations

from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, Union

from pydantic import ConfigDict, Field, RootModel, WrapValidator, create_model, model_validator

from connector.api.schemas import Body, CarrierStatus, Count, Day, Key, Number, Quantities, Text, header_type
from connector.model.action_fields import ACTION_FIELDS, REQUESTABLE, make_event
from connector.model.actions import Action
from connector.model.events import Event, LineEdit
from connector.model.holds import Hold
from connector.model.order_header import CHANGEABLE
from connector.model.shipments import Resolution, ReturnReason
from connector.validation import MissingFieldsError, once_each

OF_RETURNS = tuple(
    action for action in REQUESTABLE if action.endswith("_return") and action is not Action.REQUEST_RETURN
)


class LineEditBody(Body):
    sku: Key
    quantity: Annotated[Number, Field(ge=0)]
    unit_price: Annotated[Number, Field(ge=0)] | None = None
    discount: Annotated[Number, Field(ge=0, le=1)] = Decimal(0)


_DETAILS: dict[str, Any] = {name: (header_type(info) | None, None) for name, info in CHANGEABLE.items()}
DetailsBody: Any = create_model("DetailsBody", __base__=Body, **_DETAILS)
"""What `change` says besides lines; null takes a value out."""

_TYPES: dict[str, Any] = {
    "lines": Quantities,
    "written_off": Quantities,
    "line_edits": Annotated[dict[Count, LineEditBody], WrapValidator(once_each)],
    "details": DetailsBody,
    "amount": Number,
    "hold": Hold,
    "shipment": Count,
    "status": CarrierStatus,
    "return_number": Count,
    "reason": ReturnReason,
    "resolution": Resolution,
    "warehouse": Key,
    "carrier": Key,
    "tracking_number": Key,
    "on": Day,
    "reference": Key,
    "note": Text,
}
_EMPTY: dict[str, Any] = {"lines": dict, "written_off": dict, "line_edits": dict, "details": DetailsBody}
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
"""What each action may look like, for OpenAPI; one without fields of its own needs none."""


class ActionBody(Body):
    """One action with its own fields; `version`: only if the order is still that one."""

    model_config = ConfigDict(defer_build=True)

    if TYPE_CHECKING:
        action: str

    @model_validator(mode="before")
    @classmethod
    def _without_blanks(cls, body: Any) -> Any:
        """Some clients write every field that an event can have: null, or {} for a mapping, says nothing of one that
        this action does not have."""
        if not isinstance(body, dict):
            return body
        blank = {name for name in _TYPES if name not in cls.model_fields and _is_blank(name, body.get(name))}
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


def _is_blank(name: str, value: object) -> bool:
    return value is None or (name in _EMPTY and value == {})


@cache
def body_of(action: Action) -> Any:
    """The body of one action: exactly the fields that it has."""
    has = ACTION_FIELDS[action]
    own: dict[str, Any] = {"action": (Literal[action.value], ...)}
    for name in has.requestable:
        kind = _TYPES[name]
        if name in has.required:
            own[name] = (Annotated[kind, Field(min_length=1)] if name in _EMPTY else kind, ...)
        elif name in _EMPTY:
            own[name] = (kind, Field(default_factory=_EMPTY[name]))
        else:
            own[name] = (kind | None, None)
    model: Any = create_model(
        f"{action.title().replace('_', '')}Body", __base__=ActionBody, version=(Count | None, None), **own
    )
    model.__doc__ = None
    model.model_config["json_schema_extra"] = _schema_extra(action)
    return model


def _schema_extra(action: Action) -> dict[str, Any]:
    extra: dict[str, Any] = {"examples": [{"action": action.value, **EXAMPLES.get(action, {})}]}
    if names := ACTION_FIELDS[action].any_of:
        extra["anyOf"] = [{"required": [name]} for name in names]
    return extra


def _union(name: str, actions: tuple[Action, ...]) -> Any:
    bodies = tuple(body_of(action) for action in actions)
    kind: Any = Annotated[Union[bodies], Field(discriminator="action")]  # noqa: UP007 - made of a tuple
    return create_model(name, __base__=RootModel[kind])


TransitionBody: Any = _union("TransitionBody", REQUESTABLE)
"""One event asked of an order."""

ReturnTransitionBody: Any = _union("ReturnTransitionBody", OF_RETURNS)
"""One event asked of a return."""


def event_of(body: Any) -> Event:
    """The event that a body asks for."""
    body = body.root if isinstance(body, RootModel) else body
    values = {name: getattr(body, name) for name in ACTION_FIELDS[Action(body.action)].requestable}
    if "line_edits" in values:
        values["line_edits"] = {number: LineEdit(**edit.model_dump()) for number, edit in values["line_edits"].items()}
        values["details"] = values["details"].model_dump(exclude_unset=True)
    return make_event(Action(body.action), **values)
