"""The command line: one file per group of commands, heavy imports inside the commands.

Exit status: 0 done, 1 something is not in sync or failed, 2 wrong usage. An error is one line that says what to do.
Mapping files, profiles and rules report all their errors at once, one per line.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import traceback
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from connector.cli.examples import add_examples
from connector.cli.runner import STOPPED, StoppedError
from connector.errors import ConnectorError, ListedError, SalesforceError

GROUPS = (
    "localorg",
    "demo",
    "org_deploy",
    "import_",
    "push",
    "pull",
    "listen",
    "reconcile",
    "conflicts",
    "held",
    "inbox",
    "actions",
    "webhooks",
    "db",
    "status",
    "db_backup",
    "doctor",
    "show",
    "journey",
    "act",
    "stock",
    "analytics",
    "dead_letters",
    "causes",
    "link",
    "messages",
    "tokens",
    "sessions",
    "serve",
    "workers",
    "jobs",
    "resyncs",
    "mappings",
    "mapping_shadow",
    "runs",
    "alerts",
    "audit",
    "mcp",
    "mailcatcher",
)
"""In the order of a first visit, which is that of `connector --help`."""

INTERRUPTED = 130

_PLAIN_TEXTS = {
    "Input should be a valid integer, unable to parse string as an integer": "must be a whole number",
    "Input should be a valid number, unable to parse string as a number": "must be a number",
    "Input should be greater than or equal to": "must be at least",
    "Input should be less than or equal to": "must be at most",
}
"""What pydantic says of a value, in plain words."""

app = typer.Typer(
    name="connector",
    help="Syncs orders, customers and products between your SQL database and Salesforce, both ways.",
    epilog="New here? Run `connector demo --once`: it needs no account and no setup.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def main() -> None:
    """Entry point of `connector` and `python -m connector`."""
    gc.set_threshold(50_000, 20, 20)  # modules being loaded leave little garbage, and looking for it takes time
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _terminated)
    load_commands()
    sys.exit(_status())


def load_commands() -> None:
    """Register the commands of every group, and add their examples."""
    for group in GROUPS:
        import_module(f"connector.cli.{group}")  # registers its commands
    add_examples(app)


def _terminated(number: int, _frame: object) -> NoReturn:
    """Handle SIGTERM before the command's work begins; from then on `runner.run` handles it."""
    sys.exit(128 + number)


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        from importlib.metadata import version as installed

        typer.echo(f"connector {installed('crm-connector')}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(2)


def _status() -> int:
    """Run the command, print its error if it fails, and return the exit status."""
    try:
        status = app(standalone_mode=False)
    except StoppedError as stopped:
        _tell(str(stopped))
        sys.stdout.flush()
        os._exit(stopped.exit_status)  # a running sign-in has its own thread, for which a normal exit would wait
    except ListedError as error:
        for problem in error.problems:
            print(f"connector: {problem}", file=sys.stderr)
        return error.exit_status
    except ConnectorError as error:
        _tell(_in_full(error))
        return error.exit_status
    except typer.TyperException as error:
        return _misused(error)
    except OSError as error:
        _tell(f"{error.strerror or type(error).__name__}{f': {error.filename}' if error.filename else ''}.")
        return 1
    except Exception as error:
        return _our_fault(error)
    if status == INTERRUPTED:
        _tell(STOPPED)
    return status if isinstance(status, int) else 0


def _misused(error: typer.TyperException) -> int:
    context = getattr(error, "ctx", None)
    hint = f" Try `{context.command_path} --help`." if context is not None else ""
    message = error.format_message()
    for text, plain in _PLAIN_TEXTS.items():
        message = message.replace(text, plain)
    if context is not None and "unexpected extra argument" in message and _takes_folder(context.command):
        hint = " Name the folder with --dir."
    _tell(message + ("" if message.endswith((".", "?", ".)", "?)")) else ".") + hint)
    return error.exit_code


def _takes_folder(command: Any) -> bool:
    return any("--dir" in parameter.opts for parameter in command.params)


def _our_fault(error: Exception) -> int:
    """Report an unexpected error in one line. The text of the error is left out, because it could quote a secret."""
    if os.environ.get("CONNECTOR_LOG_LEVEL", "").upper() == "DEBUG":
        traceback.print_exception(error)
        return 1
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = "/".join(Path(frame.filename).parts[-3:])
    _tell(
        f"Internal error ({type(error).__name__} in {place}:{frame.lineno}). "
        "Please report it with the output of CONNECTOR_LOG_LEVEL=DEBUG."
    )
    return 1


def _in_full(error: ConnectorError) -> str:
    """The text of `error`, with the org's own message."""
    words = error.detail if isinstance(error, SalesforceError) else ""
    return f"{error} The org's message: {words}" if words else str(error)


def _tell(text: str) -> None:
    print(f"connector: {' '.join(text.split())}", file=sys.stderr)
