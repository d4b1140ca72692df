"""`connector alerts`: what operators were told, and a test of the ways to tell them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli import app
from connector.cli.output import as_json, moment, table
from connector.cli.runner import run

if TYPE_CHECKING:
    from connector.api.alerts import AlertView

alerts = typer.Typer(
    help="What operators are told of when it begins and when it is over: outages, dead letters, failed jobs, …",
    short_help="What operators were told, and a test of how they are told.",
)
app.add_typer(alerts, name="alerts")

MAX_LISTED = 200

Json = Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")]


@alerts.command("list", short_help="List what is wrong now, as operators were told.")
def list_(
    all_: Annotated[bool, typer.Option("--all", help="Also what is over, the newest first.")] = False,
    json: Json = False,
) -> None:
    """List alerts that are open. Exit status 0, also if there are some."""
    found = run(_load(all_))
    if json:
        as_json({"alerts": found})
        return
    if not found:
        typer.echo("There were no alerts." if all_ else "There is no open alert.")
        return
    rows = [
        (
            "" if item.began_at is None else moment(item.began_at),
            "open" if item.ended_at is None else moment(item.ended_at),
            f"{item.rule} {item.subject}".strip(),
            item.text,
            ", ".join(sorted({message.channel for message in item.messages if message.state == "sent"}))
            or "nobody yet",
        )
        for item in found
    ]
    table(("began", "ended", "rule", "what", "told by"), rows)
    for item in found:
        for message in item.messages:
            if message.error is not None:
                typer.echo(f"Alert {item.id} could not be told by {message.channel}: {message.error}")


@alerts.command("test", short_help="Send a test message by every channel of the settings.")
def try_(json: Json = False) -> None:
    """Send a message that says that it is a test, once, by every channel of CONNECTOR_ALERTS__…. It is not stored, and
    not sent again. Exit status 1 if one was not accepted."""
    told = run(_test())
    if json:
        as_json(told)
    else:
        for channel, error in told.items():
            typer.echo(f"{channel}: " + ("accepted." if error is None else f"not accepted: {error}"))
        if any(told.values()):
            typer.echo("A test is sent once. An alert that is not accepted is stored; the service sends it again.")
    if any(told.values()):
        raise typer.Exit(1)


async def _load(all_: bool) -> list[AlertView]:
    from connector.api.alerts import view_alerts
    from connector.settings import load_settings
    from connector.store import alerts as stored
    from connector.store.schema import open_store

    async with open_store(load_settings()) as store, store.reader() as connection:
        found = await stored.list_page(connection, is_open=None if all_ else True, limit=MAX_LISTED)
        messages = await stored.list_messages(connection, [alert.id for alert in found])
    return view_alerts(found, messages)


async def _test() -> dict[str, str | None]:
    from connector.clock import SystemClock
    from connector.errors import SettingsError
    from connector.jobs.alerts import try_channels
    from connector.log import configure
    from connector.notifications.alert_channels import make_channels
    from connector.settings import load_settings

    settings, clock = load_settings(), SystemClock()
    configure(settings.log_level, **settings.log_options)
    channels = make_channels(settings, clock)
    if not channels:
        raise SettingsError(
            "Nobody is told of alerts.",
            hint="Set CONNECTOR_ALERTS__URL, CONNECTOR_ALERTS__EMAIL_TO or CONNECTOR_ALERTS__APPRISE_URLS.",
        )
    return await try_channels(channels, clock.now())
