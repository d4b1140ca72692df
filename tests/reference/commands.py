"""`docs/cli.md`: every command with its arguments, options, defaults and an example, as `--help` has them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from functools import cache
from io import StringIO
from typing import Any

import typer

from connector import cli
from connector.cli.examples import EXAMPLES, Example

HEAD = """\
<!-- Made from the code by `python -m tests.reference`: change no line here. The text of a command is the
docstring of its function in connector/cli; the text of an option is the `help` of its parameter; the
example and the link are a line of connector/cli/examples.py. A test compares this page with the code. -->

# Commands

`connector COMMAND --help` shows the same as this page. Commands that list something take `--json`.

| exit status | meaning |
|---|---|
| 0 | done |
| 1 | something failed, or is not in sync; the command below says what |
| 2 | wrong usage, settings or mapping: nothing was done |
| 130, 143 | the command was stopped by Ctrl-C or SIGTERM |

`serve`, `listen`, `localorg` and `mailcatcher` run until Ctrl-C or SIGTERM, and end with 0.

An error is one line on standard error that says what to do; errors of mapping files, rules and profiles are a line
each. If a push was killed (`kill -9`), its leases last up to fifteen seconds; the next push waits for them. Concurrent
pushes, of commands and services, share the work; each reports at its end whether everything is in sync.
"""
_VALUES = {"str": "TEXT", "int": "N", "float": "N", "Path": "FILE", "datetime": "TIME"}


@cache
def load() -> Any:
    """The tree of all commands. It is only read, and takes a tenth of a second to build."""
    cli.load_commands()
    return typer.main.get_command(cli.app)


def leaves(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command that does something, with its words."""
    if not hasattr(command, "commands"):
        yield words, command
        return
    for name, member in command.commands.items():
        if not member.hidden:
            yield from leaves(member, (*words, name))


def write_commands() -> str:
    root = load()
    page = StringIO()
    page.write(HEAD)
    page.write("\n| command | what it does |\n|---|---|\n")
    for name, member in _ordered(root.commands):
        first = re.split(r"(?<=\.) |\n\n", " ".join(_plain(member.help).split()), maxsplit=1)[0]
        page.write(f"| [`{name}`](#connector-{name}) | {_cell(first)} |\n")
    for name, member in _ordered(root.commands):
        if hasattr(member, "commands"):
            page.write(f"\n## connector {name}\n\n{_plain(member.help)}\n")
        level = "###" if hasattr(member, "commands") else "##"
        page.writelines(_section(level, words, command) for words, command in _leaves_in_order(member, name))
    return page.getvalue()


def _ordered(members: dict[str, Any]) -> list[tuple[str, Any]]:
    """Commands in the order of their files in `cli.GROUPS` and of their lines, whatever was imported first."""
    return sorted(members.items(), key=lambda item: min(_place(command) for _, command in leaves(item[1])))


def _leaves_in_order(member: Any, name: str) -> list[tuple[tuple[str, ...], Any]]:
    return sorted(leaves(member, (name,)), key=lambda leaf: _place(leaf[1]))


def _place(command: Any) -> tuple[int, int]:
    function = inspect.unwrap(command.callback)
    return cli.GROUPS.index(function.__module__.rpartition(".")[2]), function.__code__.co_firstlineno


def _section(level: str, words: tuple[str, ...], command: Any) -> str:
    name = " ".join(words)
    example = EXAMPLES.get(name, Example(f"{name} --help"))
    text = f"\n{level} connector {name}\n\n{_plain(command.help)}\n\n```sh\nconnector {example.line}\n```\n"
    if command.params:
        text += "\n| argument or option | default | meaning |\n|---|---|---|\n"
        text += "".join(_row(parameter) for parameter in command.params)
    if name == "act":
        text += f"\n```text\n{_actions(command)}\n```\n"
    if example.page:
        text += f"\nMore: [{example.page.partition('#')[0]}]({example.page})\n"
    return text


def _row(parameter: Any) -> str:
    default = parameter.default
    if parameter.param_type_name == "argument":
        name = str(parameter.metavar or parameter.name.upper().replace("_", "-"))
    elif parameter.is_bool_flag:
        name = " / ".join([*parameter.opts, *parameter.secondary_opts])
        default = parameter.opts[0] if default else None
    else:
        [option] = parameter.opts
        name = f"{option} {parameter.metavar or _value_of(parameter)}"
    if parameter.required:
        shown = "required"
    elif default in (None, "", [], ()):
        shown = ""
    else:
        shown = f"`{default:g}`" if isinstance(default, float) else f"`{default}`"
    return f"| `{name}` | {shown} | {_cell(_plain(parameter.help))}{_bounds(parameter)} |\n"


def _value_of(parameter: Any) -> str:
    """What stands for the value of an option that has no name for it."""
    kind = parameter.type_descriptor.annotation
    return _VALUES[str(getattr(kind, "__name__", kind))]


def _bounds(parameter: Any) -> str:
    least, most = getattr(parameter, "min", None), getattr(parameter, "max", None)
    if most is not None:
        return f" ({least:g} to {most})"
    return f" (at least {least:g})" if least is not None else ""


def _actions(command: Any) -> str:
    """The part of the help of `act` that lists the actions and their options."""
    context = typer.Context(command, info_name="act", terminal_width=80)
    formatter = context.make_formatter()
    command.format_epilog(context, formatter)
    text = str(formatter.getvalue())
    return text[text.index("Actions and their options") :].strip()


def _plain(text: str | None) -> str:
    """A docstring as paragraphs of one line each; lists stay lists."""
    paragraphs = re.split(r"\n\s*\n", (text or "").replace("\b", "").strip())
    return "\n\n".join(
        "\n".join(line.strip() for line in paragraph.splitlines())
        if re.match(r"\s*[-*] ", paragraph)
        else " ".join(paragraph.split())
        for paragraph in paragraphs
    )


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
