"""The fields of each action, read from its event class, for code that knows an action only by name. PURE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from types import NoneType
from typing import Any, get_args, get_type_hints

from connector.errors import CommandError
from connector.model.actions import Action
from connector.model.events import EVENT_TYPES, Advance, Begin, Event, EventBase


@dataclass(frozen=True, kw_only=True, slots=True)
class ActionFields:
    """The field names of one action. HTTP bodies, command line options, help and the history are made from them.

    `required`: must be given. `any_of`: at least one must be given. `with_lines`: must be given together with `lines`.
    `recorded`: filled in when the action is carried out, so no caller may give it.
    """

    required: tuple[str, ...]
    any_of: tuple[str, ...]
    optional: tuple[str, ...]
    with_lines: tuple[str, ...]
    recorded: tuple[str, ...]

    @property
    def requestable(self) -> tuple[str, ...]:
        """The fields that a caller may give, required ones first."""
        return (*self.required, *self.any_of, *self.with_lines, *self.optional)

    @property
    def names(self) -> frozenset[str]:
        return frozenset((*self.requestable, *self.recorded))


def _fields_of(kind: type[Event]) -> ActionFields:
    own = [item for item in fields(kind) if item.name != "note"]
    recorded = tuple(item.name for item in own if item.metadata.get("recorded"))
    required = tuple(item.name for item in own if item.default is MISSING and item.default_factory is MISSING)
    apart = {*recorded, *required, *kind.any_of, *kind.with_lines}
    requestable = kind not in (Begin, Advance)
    optional = tuple(item.name for item in own if item.name not in apart) + (("note",) if requestable else ())
    return ActionFields(
        required=required, any_of=kind.any_of, optional=optional, with_lines=kind.with_lines, recorded=recorded
    )


ACTION_FIELDS: Mapping[Action, ActionFields] = {action: _fields_of(kind) for action, kind in EVENT_TYPES.items()}
REQUESTABLE = tuple(action for action, has in ACTION_FIELDS.items() if has.requestable)
"""The actions that a caller can ask for; the others happen automatically."""
EVENT_FIELDS = tuple(dict.fromkeys(item.name for kind in EVENT_TYPES.values() for item in fields(kind)))


def _types() -> dict[str, object]:
    annotations = {item.name: item.type for kind in EVENT_TYPES.values() for item in fields(kind)}
    all_fields = type("Every", (), {"__annotations__": annotations, "__module__": EventBase.__module__})
    hints = get_type_hints(all_fields, include_extras=True)  # of all classes one by one it takes 7 ms
    return {name: _without_none(hint) for name, hint in hints.items()}


def _without_none(hint: Any) -> object:
    forms = get_args(hint)
    return forms[0] if forms[-1:] == (NoneType,) else hint


FIELD_TYPES: Mapping[str, object] = _types()
"""The type of each event field by its name, None aside."""
_NOT_GIVEN: tuple[object, ...] = (None, {})


def make_event(action: Action, **values: Any) -> Event:
    """Build the event of `action`. Raises CommandError for a field that the action does not have, or if a required one
    is missing."""
    has = ACTION_FIELDS[action]
    given = {name: value for name, value in values.items() if value not in _NOT_GIVEN}
    for name in given:
        if name not in has.names:
            takes = listed_fields(has.requestable)
            raise CommandError(f"{name} is not a field of {action}; {action} takes {takes}.", field=name, rule="field")
    for name in has.required:
        if name not in given:
            raise CommandError(f"{action} needs {name}.", field=name, rule="input")
    return EVENT_TYPES[action](**given)


def listed_fields(names: Sequence[str]) -> str:
    """Return the names as text: `amount, reference and note`."""
    *most, last = names or ("nothing",)
    return f"{', '.join(most)} and {last}" if most else last
