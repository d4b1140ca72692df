"""The command line: one file per group of commands, heavy imports inside the commands.

Exit status: 0 done, 1 something is not in sync or failed, 2 wrong usage. An error is one line that says what to do.
"""

from __future__ import annotations

import sys
from importlib import import_module

import typer

from connector.errors import ConnectorError

GROUPS = ("importing", "showing", "pushing", "letters", "database", "org", "demo")

app = typer.Typer(
    name="connector",
    help="Keeps a company's order lifecycle and its Salesforce org telling the same story.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def main() -> None:
    """Entry point of `connector` and `python -m connector`."""
    for group in GROUPS:
        import_module(f"connector.cli.{group}")  # registers its commands
    try:
        app()
    except ConnectorError as error:
        print(f"connector: {error}", file=sys.stderr)
        sys.exit(error.exit_status)
    except KeyboardInterrupt:
        print("connector: stopped.", file=sys.stderr)
        sys.exit(130)
