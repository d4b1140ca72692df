"""`connector db backup` and `connector db restore`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from connector.cli.db import db
from connector.cli.output import as_json, plural
from connector.cli.progress import Progress
from connector.cli.runner import run

if TYPE_CHECKING:
    from connector.jobs.backup import Restored
    from connector.store.backup import Copy

Json = Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")]
File = Annotated[Path, typer.Argument(metavar="FILE", show_default=False)]


@db.command(short_help="Copy the SQLite database while it is used.")
def backup(file: File, json: Json = False) -> None:
    """Copy the SQLite database to the new FILE, also while services write to it, and check the copy.

    FILE appears when it is whole, and only you may read it: it holds customer data. PostgreSQL has its own program for
    this, pg_dump.
    """
    copy = run(_back_up(file))
    if json:
        as_json(_document(copy))
    else:
        typer.echo(f"{copy.file} holds {_rows(copy)} (revision {copy.revision}, {copy.size:,} bytes), and was checked.")


@db.command(short_help="Put a backup in the place of the SQLite database.")
def restore(file: File, json: Json = False) -> None:
    """Put a backup in the place of the SQLite database, while nothing runs on it; the former file is kept beside it.

    The restored database is older than the org: compare both with `connector reconcile` before you start the service.
    """
    restored = run(_restore(file))
    if json:
        as_json(
            {
                **_document(restored.copy),
                "kept": None if restored.kept is None else str(restored.kept),
                "due": restored.due,
                "messages_due": restored.messages,
            }
        )
        return
    for text in _told(restored):
        typer.echo(text)


def _told(restored: Restored) -> list[str]:
    copy = restored.copy
    texts = [f"{copy.file} holds {_rows(copy)} (revision {copy.revision}), and was checked."]
    if restored.kept is not None:
        texts.append(f"The former database is {restored.kept} now.")
    texts.append(
        "It is older than the org: what was changed here since the backup is lost, and its links say what both sides"
        " agreed on then."
    )
    if restored.due:
        texts.append(
            f"{plural(restored.due, 'change')} of then are due again. To send one twice is harmless, but a value of"
            " today is replaced by that of then."
        )
    if restored.messages:
        texts.append(
            f"{plural(restored.messages, 'message')} to customers were due then, and may have been sent since:"
            " `connector messages list --state due` lists them, `connector messages discard` gives one up."
        )
    texts.append(
        "Next: `connector reconcile` compares both sides. Heal or correct what it finds, and start the service then."
    )
    return texts


def _rows(copy: Copy) -> str:
    return plural(sum(copy.rows.values()), "row")


def _document(copy: Copy) -> dict[str, Any]:
    return {"file": str(copy.file), "bytes": copy.size, "revision": copy.revision, "rows": dict(copy.rows)}


async def _back_up(file: Path) -> Copy:
    from connector.jobs.backup import back_up
    from connector.settings import load_settings
    from connector.store.schema import store_of

    store = store_of(load_settings())
    try:
        with Progress("Copying") as progress:
            return await back_up(store, file, _Bar(progress).show)
    finally:
        await store.close()


async def _restore(file: Path) -> Restored:
    from connector.clock import SystemClock
    from connector.jobs.backup import restore
    from connector.settings import load_settings

    settings = load_settings()
    with Progress("Restoring") as progress:
        return await restore(settings, file, now=SystemClock().now(), on_step=_Bar(progress).show)


class _Bar:
    """Shows the pages that are copied."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._done = 0

    def show(self, done: int, total: int) -> None:
        self._progress.advance(done - self._done)
        self._progress.expect(total - done)
        self._done = done
