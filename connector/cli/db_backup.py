"""`connector db backup` and `connector db restore`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from connector.cli.db import db
from connector.cli.output import as_json
from connector.cli.progress import Progress
from connector.cli.runner import run
from connector.wording import plural

if TYPE_CHECKING:
    from connector.jobs.backup import Restored
    from connector.store.backup import Copy

Json = Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")]
File = Annotated[Path, typer.Argument(metavar="FILE", help="The backup: a SQLite file.", show_default=False)]


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
def restore(
    file: File,
    keep_tokens: Annotated[
        bool,
        typer.Option(
            "--keep-tokens",
            help="Leave all API tokens of the backup valid, if there is no former database that says which are.",
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Put a backup in the place of the SQLite database, while nothing runs on it; the former file is kept beside it.

    The restored database is older than the org: compare both with `connector reconcile` before you let the service
    send. The jobs that send are paused. API tokens that were revoked since the backup stay revoked.
    """
    restored = run(_restore(file, keep_tokens=keep_tokens))
    if json:
        as_json(
            {
                **_document(restored.copy),
                "kept": None if restored.kept is None else str(restored.kept),
                "due": restored.due,
                "messages_due": restored.messages,
                "tokens_revoked": restored.stopped.tokens,
                "jobs_paused": list(restored.stopped.jobs),
                "runs_ended": restored.stopped.runs,
                "resyncs_paused": restored.stopped.resyncs,
                "alert_messages_given_up": restored.stopped.alerts,
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
    return [*texts, *_told_of_stopped(restored)]


def _told_of_stopped(restored: Restored) -> list[str]:
    stopped, texts = restored.stopped, []
    if stopped.tokens:
        why = "revoked since, or unknown to the former database"
        if not restored.former_tokens:
            why = "no former database says which were revoked since; --keep-tokens leaves all valid"
        texts.append(
            f"{plural(stopped.tokens, 'API token')} of then revoked ({why}): `connector tokens list` shows them,"
            " `connector tokens create` makes others."
        )
    if stopped.runs or stopped.resyncs or stopped.alerts:
        texts.append(
            f"What was under way then was stopped: {plural(stopped.runs, 'run')} of jobs ended as failed,"
            f" {plural(stopped.resyncs, 'resync')} paused (`connector resyncs list`),"
            f" {plural(stopped.alerts, 'message')} of alerts given up."
        )
    texts.append(
        f"The jobs {', '.join(stopped.jobs)} are paused, so that the service sends nothing of then: `connector jobs"
        " resume NAME` for each, when you have looked."
    )
    texts.append(
        "Next: `connector reconcile` compares both sides. What it heals in the org gets the value of then, also where"
        " that of the org is newer: heal or correct what it finds with care, and resume the jobs then."
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


async def _restore(file: Path, *, keep_tokens: bool) -> Restored:
    from connector.clock import SystemClock
    from connector.jobs.backup import restore
    from connector.settings import load_settings

    settings = load_settings()
    with Progress("Restoring") as progress:
        return await restore(
            settings, file, now=SystemClock().now(), keep_tokens=keep_tokens, on_step=_Bar(progress).show
        )


class _Bar:
    """Shows the pages that are copied."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._done = 0

    def show(self, done: int, total: int) -> None:
        self._progress.advance(done - self._done)
        self._progress.expect(total - done)
        self._done = done
