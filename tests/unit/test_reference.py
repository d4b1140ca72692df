"""The pages of commands and settings say what the code says, and every example is a command that can be typed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from connector.cli.examples import EXAMPLES
from connector.settings import Settings
from connector.settings.checks import PREFIX
from connector.settings.unknown_names import list_names
from tests.reference import DOCS, PAGES, commands, settings

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", PAGES)
def test_page_equals_the_code(name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == PAGES[name](), "Run `python -m tests.reference`."


def test_every_command_has_an_example_and_a_text() -> None:
    known = {" ".join(words): command for words, command in commands.leaves(commands.load())}
    assert known.keys() - EXAMPLES.keys() == set(), "Add an example to connector/cli/examples.py."
    assert EXAMPLES.keys() - known.keys() == set(), "Remove the example from connector/cli/examples.py."
    assert [name for name, command in known.items() if not command.help] == []
    nameless = {name: [option.name for option in command.params if not option.help] for name, command in known.items()}
    assert {name: options for name, options in nameless.items() if options} == {}


@pytest.mark.parametrize("name", EXAMPLES)
def test_example_is_a_command_that_can_be_typed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    words = shlex.split(EXAMPLES[name].line)
    command: Any = commands.load()
    context = typer.Context(command, info_name="connector")
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
        context = typer.Context(command, info_name=command.name, parent=context)
    command.make_context(command.name, words, parent=context)  # raises an error of usage


def test_help_ends_with_the_example() -> None:
    command = commands.load().commands["push"]
    text = command.get_help(typer.Context(command, info_name="push"))
    assert text.rstrip().endswith("Example: connector push --dry-run")


def test_every_setting_has_a_section_and_a_meaning() -> None:
    assert Settings.model_fields.keys() - settings.names() == set(), "Add the group to tests/reference/settings.py."
    rows = [row for name in Settings.model_fields for row in settings.rows(Settings, name)]
    assert [row for row in rows if not row.split("|")[4].strip()] == [], "Describe the setting below its field."
    shown = {row.split("`")[1] for row in rows}
    leaves = set(list_names(Settings.model_fields))
    leaves -= {name.rpartition("__")[0] for name in leaves}
    assert {f"{PREFIX}{name.upper()}" for name in leaves if name != "orgs"} <= shown


def test_secrets_are_marked_and_their_defaults_are_not_shown() -> None:
    rows = {row.split("`")[1]: row for name in Settings.model_fields for row in settings.rows(Settings, name)}
    for name in ("SALESFORCE__CLIENT_SECRET", "WEBHOOKS__SECRETS", "DATABASE_URL", "ALERTS__APPRISE_URLS"):
        assert "*Secret.*" in rows[PREFIX + name]
    assert "*Secret.*" not in rows[f"{PREFIX}SALESFORCE__LOGIN_URL"]
    assert "***" not in "".join(rows.values())


def test_commands_in_the_guides_exist_with_their_options() -> None:
    root = commands.load()
    wrong = []
    for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        blocks = re.findall(r"```sh\n(.*?)```", text, re.S)
        lines = [line for block in blocks for line in block.splitlines()] + re.findall(r"`([^`\n]+)`", text)
        for line in lines:
            problem = _problem_of(root, re.split(r"\s#|\s*[|>&](?:\s|$)", line)[0].split())
            wrong += [f"{page.name}: {line}: {problem}"] if problem else []
    assert wrong == []


def _problem_of(command: Any, words: list[str]) -> str:
    """What is wrong with a line of a guide, which may have placeholders in place of values."""
    if words[:1] != ["connector"] or len(words) == 1 or not words[1][0].isalpha() or words[1].isupper():
        return ""
    words = words[1:]
    while hasattr(command, "commands") and words and words[0][0].isalpha() and not words[0].isupper():
        name = words.pop(0)
        if name not in command.commands:
            return f"no command {name}"
        command = command.commands[name]
    known = {"--help", *(option for item in command.params for option in [*item.opts, *item.secondary_opts])}
    given = {word.strip("[]…,.").partition("=")[0] for word in words if word.strip("[").startswith("--")}
    return f"no option {', '.join(given - known)}" if given - known else ""
