"""`connector localorg`: a Salesforce org of one's own, on loopback."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from connector.cli import app
from connector.cli.output import as_json_line


def our_metadata() -> Path:
    """The SFDX source of our fields, events and permission set."""
    return Path(str(files("connector") / "metadata"))


@app.command()
def localorg(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8080,
    data: Annotated[
        Path | None, typer.Option(help="Keep the org in this SQLite file; without it, it is gone when stopped.")
    ] = None,
    latency_ms: Annotated[int, typer.Option(min=0, max=60_000, help="Added to every call.")] = 0,
    bare: Annotated[
        bool, typer.Option("--bare", help="Without our fields: an org as Salesforce hands it over.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="First line: address and credentials as JSON.")] = False,
) -> None:
    """Run a strict local Salesforce org until it is stopped (Ctrl-C)."""
    from connector.localorg.server import LocalOrg

    async def run() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        org = LocalOrg(
            data=data, bare=bare, metadata_root=None if bare else our_metadata(), latency_ms=latency_ms, port=port
        )
        await org.start()
        try:
            if json:
                as_json_line(org.banner())
            else:
                _introduce(org.banner(), org.page_url)
            await stop.wait()
        finally:
            await org.stop()

    asyncio.run(run())


def environment(banner: Mapping[str, object]) -> dict[str, str]:
    """The settings that point the connector at an org with this banner."""
    return {
        "CONNECTOR_SALESFORCE__LOGIN_URL": str(banner["instance_url"]),
        "CONNECTOR_SALESFORCE__CLIENT_ID": str(banner["client_id"]),
        "CONNECTOR_SALESFORCE__CLIENT_SECRET": str(banner["client_secret"]),
    }


def _introduce(banner: Mapping[str, object], page: str) -> None:
    typer.echo(f"Local org at {banner['instance_url']}; what a sales rep would see: {page}")
    typer.echo("To point the connector at it:")
    for name, value in environment(banner).items():
        typer.echo(f"  export {name}={value}")
    typer.echo("Ctrl-C stops it.")
