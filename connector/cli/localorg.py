"""`connector localorg`: runs a local Salesforce org."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli import app
from connector.cli.extras import require_localorg
from connector.cli.output import as_json_line, program
from connector.cli.runner import run, until_stopped
from connector.errors import ConnectorError, SeedFileError, UsageError

if TYPE_CHECKING:
    from connector.localorg.server import LocalOrg, Ports


def our_metadata(*, return_orders: bool = False) -> Path:
    """The SFDX source of our fields, events and permission set; or of what Return Orders need besides."""
    return Path(str(files("connector") / ("metadata_returns" if return_orders else "metadata")))


@app.command(short_help="Run a strict local Salesforce org to try things on.")
def localorg(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port for HTTP; 0 takes a free one.")] = 8180,
    tls_port: Annotated[int, typer.Option(min=0, max=65535, help="Port for TLS; 0 takes a free one.")] = 0,
    grpc_port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the Pub/Sub API; 0 takes a free one.")] = 0,
    data: Annotated[
        Path | None, typer.Option(help="Store the org in this SQLite file; without it, the org is deleted at the end.")
    ] = None,
    seed: Annotated[
        Path | None,
        typer.Option(help="A YAML file with the org's order settings, statuses, rules and records."),
    ] = None,
    latency_ms: Annotated[int, typer.Option(min=0, max=60_000, help="Milliseconds added to every call.")] = 0,
    bare: Annotated[
        bool, typer.Option("--bare", help="Without our custom fields: an org as Salesforce delivers it.")
    ] = False,
    rep: Annotated[
        bool,
        typer.Option("--rep", help="Print a token of a sales rep, too: their changes are not the connector's own."),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print address and credentials as one line of JSON.")] = False,
) -> None:
    """Run a strict local Salesforce org until it is stopped (Ctrl-C or SIGTERM).

    It refuses what Salesforce refuses, with Salesforce's own error codes, and counts API calls. It listens on this
    machine only. Our custom fields are deployed in it unless --bare.
    """
    require_localorg("localorg")

    async def work() -> None:
        from connector.localorg.server import Ports

        ports = Ports(port, tls_port, grpc_port)
        async with running_org(ports, data=data, bare=bare, seed=seed, latency_ms=latency_ms) as org:
            banner = org.banner() | (_rep_token(org) if rep else {})
            if json:
                as_json_line(banner)
            else:
                _print_banner(banner, org.page_url)
            await until_stopped()

    run(work())


@asynccontextmanager
async def running_org(
    ports: Ports, *, data: Path | None, bare: bool = False, seed: Path | None = None, latency_ms: int = 0
) -> AsyncIterator[LocalOrg]:
    """A running local org. Raises ConnectorError if a port or the file cannot be used, UsageError if its folder is
    missing, SeedFileError for an invalid seed file."""
    from connector.localorg.org import OrgOptions
    from connector.localorg.seed_file import InvalidSeedFileError, read_seed_file
    from connector.localorg.server import LocalOrg
    from connector.localorg.settings import SeedError

    if data is not None and not data.parent.is_dir():
        raise UsageError(f"--data: there is no folder {data.parent}.", hint="Create it, or name another file.")
    try:
        declared = read_seed_file(seed) if seed else None
    except InvalidSeedFileError as error:
        raise SeedFileError(error.lines) from None
    try:
        options = OrgOptions(
            data=data,
            metadata_root=None if bare else our_metadata(),
            settings=declared.settings if declared else None,
            records=declared.records if declared else None,
            latency_ms=latency_ms,
        )
        org = LocalOrg(options, ports)
    except SeedError as error:
        if declared is None:
            raise
        raise SeedFileError(declared.problem_lines(error)) from None
    except sqlite3.Error as error:
        raise ConnectorError(
            f"--data: the org cannot be stored in {data}: {error}.", hint="Name another file, or delete this one."
        ) from None
    try:
        await org.start()
    except OSError as error:
        await org.stop()
        raise ConnectorError(
            f"Port {_port_in_error(error, ports.http)} cannot be used: {os.strerror(error.errno or 0).lower()}.",
            hint="Name another with --port, --tls-port or --grpc-port; 0 takes a free one.",
        ) from None
    try:
        yield org
    finally:
        await org.stop()


def environment(banner: Mapping[str, object]) -> dict[str, str]:
    """The settings that connect to the org with this banner."""
    return {
        "CONNECTOR_SALESFORCE__LOGIN_URL": str(banner["instance_url"]),
        "CONNECTOR_SALESFORCE__CLIENT_ID": str(banner["client_id"]),
        "CONNECTOR_SALESFORCE__CLIENT_SECRET": str(banner["client_secret"]),
        "CONNECTOR_SALESFORCE__PUBSUB_ENDPOINT": str(banner["pubsub_endpoint"]),
    }


def _rep_token(org: LocalOrg) -> dict[str, str]:
    from connector.localorg.sales_rep import issue_rep_token

    try:
        return {"rep_token": issue_rep_token(org.org)}
    except ValueError as error:
        raise ConnectorError(f"--rep: the org refuses the user: {error}", hint="Correct --seed, or --data.") from None


def _print_banner(banner: Mapping[str, object], page: str) -> None:
    typer.echo(f"Local Salesforce org:  {banner['instance_url']}")
    typer.echo(f"The same by TLS:       {banner['tls_url']} (trust {banner['ca_file']})")
    typer.echo(f"Pub/Sub API (gRPC):    {banner['pubsub_endpoint']}, plain or by TLS")
    typer.echo(f"Page of a sales rep:   {page} (to look at, not to change)")
    typer.echo("\nTo point the connector at it, paste this into another terminal:\n")
    for name, value in environment(banner).items():
        typer.echo(f"export {name}={value}")
    if "rep_token" in banner:
        typer.echo(f"export REP_TOKEN={banner['rep_token']}")
    typer.echo(f"\nThen: {program()} db upgrade, {program()} import PATH, {program()} push. Ctrl-C here stops the org.")


def _port_in_error(error: OSError, port: int) -> str:
    """The port in the error's text; `port` if it has none."""
    match = re.search(r"', (\d+)\)", str(error))
    return match[1] if match else str(port)
