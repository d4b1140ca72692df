"""Which fields each action has, read from its class, for whoever knows an action by its name alone. PURE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Any

from connector.errors import CommandError
from connector.model.actions import Action
from connector.model.events import EVENT_TYPES, Advance, Begin, Event


@dataclass(frozen=True, kw_only=True, slots=True)
class ActionFields:
    """The fields of one action, read from its class: who needs them by name (HTTP bodies, options, help, the history)
    finds them here."""

    required: tuple[str, ...]
    any_of: tuple[str, ...]
    optional: tuple[str, ...]
    with_lines: tuple[str, ...]
    recorded: tuple[str, ...]

    @property
    def requestable(self) -> tuple[str, ...]:
        """What a caller may give, the required fields first."""
        return (*self.required, *self.any_of, *self.with_lines, *self.optional)

    @property
    def every(self) -> frozenset[str]:
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
"""Actions that somebody can ask for; the others happen automatically."""
EVENT_FIELDS = tuple(dict.fromkeys(item.name for kind in EVENT_TYPES.values() for item in fields(kind)))
_NOT_GIVEN: tuple[object, ...] = (None, {})


def make_event(action: Action, **values: Any) -> Event:
    """The event of an action that is known by its name alone. CommandError for a field that the action does not have,
    or for want of one that it needs."""
    has = ACTION_FIELDS[action]
    given = {name: value for name, value in values.items() if value not in _NOT_GIVEN}
    for name in given:
        if name not in has.every:
            takes = listed_fields(has.requestable)
            raise CommandError(f"{name} is not a field of {action}; {action} takes {takes}.", field=name, rule="field")
    for name in has.required:
        if name not in given:
            raise CommandError(f"{action} needs {name}.", field=name, rule="input")
    return EVENT_TYPES[action](**given)


def listed_fields(names: Sequence[str]) -> str:
    """`amount, reference and note`."""
    *most, last = names or ("nothing",)
    return f"{', '.join(most)} and {last}" if most else last
