"""`connector webhooks`: notices of applied changes for the company's own systems."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli import app
from connector.cli.output import as_json, moment, table
from connector.cli.runner import run
from connector.errors import UsageError
from connector.wording import plural

if TYPE_CHECKING:
    from connector.jobs.send_webhooks import WebhookReport
    from connector.model.change_notice import ChangeNotice, NoticeState

webhooks_app = typer.Typer(
    help="Notices of what was applied from Salesforce, posted to the company's webhook.",
    short_help="Notices of applied changes for your own systems.",
)
app.add_typer(webhooks_app, name="webhooks")

Json = Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")]
MAX_LISTED = 1000


@webhooks_app.command("list", short_help="Notices and what became of them.")
def list_notices(
    state: Annotated[str | None, typer.Option(help="Only this state: due, sent or failed.", show_default=False)] = None,
    json: Json = False,
) -> None:
    """Notices and what became of them, oldest first. Sent ones are kept for CONNECTOR_WEBHOOKS__KEEP_DAYS."""
    listed = run(_load_page(state))
    if json:
        as_json([asdict(item) for item in listed])
        return
    if not listed:
        typer.echo("No notices.")
        return
    table(
        ("ID", "type", "entity", "state", "at", "error"),
        [
            (item.id, item.type, f"{item.entity} {item.key}", item.state.value, moment(item.sent_at or item.due_at),
             item.error or "")
            for item in listed
        ],
    )  # fmt: skip
    if len(listed) == MAX_LISTED:
        typer.echo(f"The first {MAX_LISTED}; --json and --state narrow the list.")


@webhooks_app.command(short_help="Post the notices that are due now.")
def send(json: Json = False) -> None:
    """Post the notices that are due now; a running service does so by itself. Exit status 1 if some were not
    accepted."""
    report = run(_send())
    if json:
        as_json(asdict(report))
    else:
        typer.echo(f"{plural(report.sent, 'notice')} sent, {report.postponed} postponed, {report.failed} failed.")
        if report.stopped:
            typer.echo(report.stopped)
    if report.postponed or report.failed or report.stopped:
        raise typer.Exit(1)


@webhooks_app.command(short_help="Send notices again.")
def replay(
    ids: Annotated[
        list[int] | None, typer.Argument(metavar="[ID]...", help="As `connector webhooks list` shows them.")
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Every notice that failed.")] = False,
    hours: Annotated[
        float | None, typer.Option(help="Every notice of the last so many hours.", min=0, show_default=False)
    ] = None,
    json: Json = False,
) -> None:
    """Send notices again, with their old message IDs: a receiver that ignores repeats acts on none twice."""
    if sum((bool(ids), failed, hours is not None)) != 1:
        raise UsageError("replay: give IDs, or --failed, or --hours.")
    replayed = run(_replay(ids or [], failed, hours))
    if json:
        as_json({"replayed": replayed})
    else:
        typer.echo(
            f"{plural(len(replayed), 'notice')} due again: a running service or `connector webhooks send` sends them."
            if replayed
            else "No such notice."
        )
    if not replayed and ids:
        raise typer.Exit(1)


async def _load_page(state: str | None) -> list[ChangeNotice]:
    from connector.model.change_notice import NoticeState
    from connector.settings import load_settings
    from connector.store import change_notices
    from connector.store.schema import open_store

    if state is not None and state not in set(NoticeState):
        raise UsageError(f"--state: invalid state {state!r}: one of {', '.join(NoticeState)}.")
    wanted: NoticeState | None = None if state is None else NoticeState(state)
    async with open_store(load_settings()) as store, store.reader() as connection:
        return await change_notices.list_page(connection, state=wanted, limit=MAX_LISTED)


async def _send() -> WebhookReport:
    from connector.errors import SettingsError
    from connector.log import configure
    from connector.service import local_services
    from connector.settings import load_settings

    settings = load_settings()
    configure(settings.log_level, **settings.log_options)
    async with local_services(settings) as services:
        sender = services.notice_sender()
        if sender is None:
            raise SettingsError("CONNECTOR_WEBHOOKS__URL is not set.", hint="Set it and CONNECTOR_WEBHOOKS__SECRETS.")
        return await sender.send(at_once=True)


async def _replay(ids: list[int], failed: bool, hours: float | None) -> list[int]:
    from connector.model.change_notice import NoticeState
    from connector.settings import load_settings
    from connector.store import change_notices
    from connector.store.schema import open_store

    since = None if hours is None else datetime.now(UTC) - timedelta(hours=hours)
    state = NoticeState.FAILED if failed else None
    async with open_store(load_settings()) as store, store.transaction() as uow:
        return await change_notices.make_due(uow, ids=ids, state=state, since=since)
