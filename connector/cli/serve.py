"""`connector serve`: runs the HTTP API until it is stopped."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from connector.cli import app
from connector.cli.runner import run, until_stopped
from connector.errors import ConnectorError, UsageError

ROLES = ("api",)


@app.command(short_help="Serve the HTTP API.")
def serve(
    roles: Annotated[str, typer.Option(help="What to run: api. `python -m scheduler` sends to the org.")] = "api",
) -> None:
    """Serve the HTTP API at CONNECTOR_HTTP__HOST and CONNECTOR_HTTP__PORT, until Ctrl-C or SIGTERM.

    Every route needs a token, which `connector tokens create` creates; /healthz, /readyz, /openapi.json and the
    customers' tracking pages do not.
    """
    unknown = [role for role in roles.split(",") if role not in ROLES]
    if unknown:
        hint = "Use api; `python -m scheduler` runs the jobs that send to the org."
        raise UsageError(f"--roles: invalid role {unknown[0]!r}.", hint=hint)
    run(_serve())


async def _serve() -> None:
    from aiohttp import web

    from connector.log import configure, get_logger
    from connector.service import local_services, tune_garbage_collection
    from connector.settings import load_settings
    from connector.web.server import Runner

    settings = load_settings()
    configure(settings.service_log_level)
    tune_garbage_collection()
    log = get_logger("serve")
    async with local_services(settings, follow_files=True) as services:
        runner = Runner(services.web_app(), shutdown_timeout=10)
        await runner.setup()
        try:
            site = web.TCPSite(runner, settings.http.host, settings.http.port)
            try:
                await site.start()
            except OSError as error:
                where = f"{settings.http.host}:{settings.http.port}"
                raise ConnectorError(
                    f"The API cannot listen at {where}: {os.strerror(error.errno or 0).lower()}.",
                    hint="Change CONNECTOR_HTTP__HOST or CONNECTOR_HTTP__PORT.",
                ) from None
            typer.echo(f"Listening at {site.name}; Ctrl-C stops.")
            log.info("started", at=site.name)
            await until_stopped()
        finally:
            await runner.cleanup()
    log.info("stopped")
