"""The options of `connector act`: the field of an event that each one sets, the help that lists them by action, and the
messages about one that is missing, invalid, or not an option of the action."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Iterable, Iterator, Mapping
from enum import EnumType
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand

from connector.errors import CommandError, UsageError

if TYPE_CHECKING:
    from connector.model.action_fields import ActionFields
    from connector.model.actions import Action
    from connector.validation import FieldError

HELP = "`connector act --help` lists the options of each action."
_OF_INPUT = frozenset({"input", "shipment", "return"})
"""Rules that say that an option is missing or wrong, and not that the order's state stands against it."""
_INDENT = 20


def option_of(name: str) -> str:
    """Return the option for a field of an event, such as `--tracking-number`. A mapping is given entry by entry, so its
    option is singular (`--line`); details are set with `--set`."""
    from connector.model.action_fields import FIELD_TYPES
    from connector.model.events import Details, LineEdits, Quantities

    kind = FIELD_TYPES[name]
    if kind == Details:
        return "--set"
    entry = name.removesuffix("s") if kind in (Quantities, LineEdits) else name
    return f"--{entry.replace('_', '-')}"


class ActCommand(TyperCommand):
    """Its help ends with the actions and the values to choose from; they are read only when somebody asks for help."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Help is given before the options are read, for which Typer loads more than help takes."""
        if "--help" in args:
            typer.echo(ctx.get_help())
            ctx.exit()
        return super().parse_args(ctx, args)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        super().format_epilog(ctx, formatter)
        for heading, rows in (
            ("Actions and their options ([optional]; each may have --note)", _actions()),
            ("Values", _values(param.name or "" for param in self.get_params(ctx))),
        ):
            formatter.write_paragraph()
            formatter.write_heading(heading)
            for name, text in rows:
                formatter.write(_row(name, text, formatter.width))


def _row(name: str, text: str, width: int) -> str:
    first = f"  {name}".ljust(_INDENT)
    wrapped = textwrap.fill(
        text,
        width,
        initial_indent=first,
        subsequent_indent=" " * _INDENT,
        break_on_hyphens=False,
        break_long_words=False,
    )
    return f"{(wrapped or first).rstrip()}\n"


def _actions() -> Iterator[tuple[str, str]]:
    from connector.model.action_fields import ACTION_FIELDS, REQUESTABLE

    for action in REQUESTABLE:
        yield action.value, _synopsis(ACTION_FIELDS[action])


def _synopsis(has: ActionFields) -> str:
    """`--status [--shipment] [--on]`."""
    words = [option_of(name) for name in has.required]
    if has.any_of:
        with_lines = "".join(f" (with {option_of(name)})" for name in has.with_lines)
        either = [option_of(name) + (with_lines if name == "lines" else "") for name in has.any_of]
        words.append(" and/or ".join(either))
    words += [f"[{option_of(name)}]" for name in has.optional if name != "note"]
    return " ".join(words)


def _values(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield the options among `names` that have a fixed set of values, with the values; last the names for `--set`."""
    from connector.model.action_fields import FIELD_TYPES
    from connector.model.order_header import CHANGEABLE
    from connector.model.shipments import CARRIER_STATUSES, ShipmentStatus

    for name in names:
        kind = FIELD_TYPES.get(name)
        if isinstance(kind, EnumType):
            yield option_of(name), ", ".join(CARRIER_STATUSES if kind is ShipmentStatus else kind)
    yield "--set", ", ".join(CHANGEABLE)


def check_options(action: Action, given: Collection[str]) -> None:
    """UsageError that names the options (fields in `given`) that `action` does not have."""
    from connector.model.action_fields import ACTION_FIELDS, listed_fields

    has = ACTION_FIELDS[action].requestable
    foreign = [option_of(name) for name in given if name not in has]
    if foreign:
        what = "is not an option" if len(foreign) == 1 else "are not options"
        takes = listed_fields([option_of(name) for name in has])
        raise UsageError(f"{listed_fields(foreign)} {what} of {action}; {action} takes {takes}.", hint=HELP)


def sentence(wrong: FieldError, action: Action, said: Mapping[str, object]) -> str:
    """`--hold is required; one of payment, address, …`: the option as it was typed, and what is wrong with it."""
    from connector.model.action_fields import ACTION_FIELDS

    text = wrong.ended
    if text.startswith("is missing"):
        any_of = ACTION_FIELDS[action].any_of
        if wrong.field in any_of:
            return f"{' or '.join(option_of(name) for name in any_of)} is required."
        text = text.replace("is missing", "is required", 1)
    value = said.get(wrong.field)
    typed = f"{_typed(wrong.field)} {value}" if text.startswith("is unknown") and value else _typed(wrong.field)
    if wrong.field.startswith("details."):
        text = text.replace("is unknown", "is not a detail", 1)
    return f"{typed} {text.replace('must be a number or a numeric text', 'must be a number, as 25.00')}"


def action_sentence(wrong: FieldError, action: str) -> str:
    """`ACTION 'shp' is unknown. Did you mean `ship`?`"""
    text = wrong.ended.removeprefix(f"{action} ").replace("must be one of", "is unknown; use one of", 1)
    return f"ACTION {action!r} {text}"


def naming_option(error: CommandError, given: Collection[str]) -> CommandError:
    """`error`, beginning with the option that is missing or wrong, if it is about one."""
    from connector.model.action_fields import FIELD_TYPES

    name = error.field.partition(".")[0]
    wrong = error.rule in _OF_INPUT or (error.rule == "amount" and name not in given)
    if name not in FIELD_TYPES or not wrong:
        return error
    return CommandError(f"{_typed(error.field)}: {error.message}", hint=error.hint, field=error.field, rule=error.rule)


def _typed(field: str) -> str:
    """`details.freight` is typed `--set freight`."""
    name, _, rest = field.partition(".")
    return f"{option_of(name)} {rest.replace('.', ' ')}".rstrip()
