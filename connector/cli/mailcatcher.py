"""`connector mailcatcher`: a local mail server that delivers nothing, and a page that shows what it received."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli import app
from connector.cli.extras import require_localorg
from connector.cli.runner import run, until_stopped
from connector.errors import ConnectorError

if TYPE_CHECKING:
    from connector.localmail.catcher import MailCatcher
    from connector.localmail.mailbox import Mail


@app.command(short_help="Run a local mail server that only shows mails.")
def mailcatcher(
    smtp_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the mail server; 0 takes a free one.")
    ] = 1025,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the page; 0 takes a free one.")] = 8025,
) -> None:
    """Run a mail server until it is stopped (Ctrl-C or SIGTERM). It delivers nothing; its page shows the newest 1,000
    mails. It listens on this machine only and keeps everything in memory.
    """
    require_localorg("mailcatcher")

    async def work() -> None:
        async with running_catcher(smtp_port, port) as catcher:
            typer.echo(f"Mails are shown at {catcher.url}")
            typer.echo("\nTo send the connector's messages there, paste this into another terminal:\n")
            for name, value in environment(catcher).items():
                typer.echo(f"export {name}={value}")
            typer.echo("\nCtrl-C here stops it.")
            await until_stopped()

    run(work())


@asynccontextmanager
async def running_catcher(
    smtp_port: int = 0, port: int = 0, *, on_mail: Callable[[Mail], None] | None = None
) -> AsyncIterator[MailCatcher]:
    """A running mail catcher, which calls `on_mail` for every mail. Raises ConnectorError if a port cannot be used."""
    from connector.localmail.catcher import MailCatcher

    catcher = MailCatcher(smtp_port=smtp_port, port=port, on_mail=on_mail)
    try:
        try:
            await catcher.start()
        except OSError as error:
            raise ConnectorError(
                f"Port {smtp_port} or {port} cannot be used: {os.strerror(error.errno or 0).lower()}.",
                hint="Name another with --smtp-port or --port; 0 takes a free one.",
            ) from None
        yield catcher
    finally:
        await catcher.stop()


def environment(catcher: MailCatcher) -> Mapping[str, str]:
    """The settings that send messages to this catcher."""
    return {
        "CONNECTOR_MESSAGES__VIA": "smtp",
        "CONNECTOR_MESSAGES__SENDER": "orders@shop.example",
        "CONNECTOR_MESSAGES__SMTP_HOST": "127.0.0.1",
        "CONNECTOR_MESSAGES__SMTP_PORT": str(catcher.smtp_port),
        "CONNECTOR_MESSAGES__SMTP_SECURITY": "none",
    }
