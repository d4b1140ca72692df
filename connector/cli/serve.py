"""`connector serve`: runs roles of the service until it is stopped."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli import app
from connector.cli.runner import run, until_stopped
from connector.errors import ConnectorError, UsageError

if TYPE_CHECKING:
    from connector.service import LocalServices

API, LISTENER = "api", "listener"
ROLES = (API, LISTENER)


@app.command(short_help="Serve the HTTP API, and listen to the org.")
def serve(
    roles: Annotated[
        str | None,
        typer.Option(help="What to run: api, listener, or both with a comma. `python -m scheduler` sends to the org."),
    ] = None,
) -> None:
    """Serve the HTTP API at CONNECTOR_HTTP__HOST and CONNECTOR_HTTP__PORT, and listen to the org, until Ctrl-C or
    SIGTERM.

    Without --roles it listens if an org is configured and CONNECTOR_INBOUND__LISTEN is not false; one process listens,
    others take over when it ends. Every route of the API needs a token, which `connector tokens create` creates;
    /healthz, /readyz, /openapi.json and the customers' tracking pages do not.
    """
    chosen = None if roles is None else [role.strip() for role in roles.split(",")]
    unknown = [role for role in chosen or () if role not in ROLES]
    if unknown:
        hint = "Use api, listener or api,listener; `python -m scheduler` runs the jobs that send to the org."
        raise UsageError(f"--roles: invalid role {unknown[0]!r}.", hint=hint)
    run(_serve(chosen))


async def _serve(roles: list[str] | None) -> None:
    from connector.log import configure, get_logger
    from connector.salesforce.address import has_pubsub
    from connector.service import local_services, running_service, tune_garbage_collection
    from connector.settings import load_settings

    settings = load_settings()
    configure(settings.service_log_level)
    tune_garbage_collection()
    log = get_logger("serve")
    can_listen = settings.inbound.listen and has_pubsub(settings.salesforce)
    if roles is not None and LISTENER in roles and not can_listen:
        raise UsageError(
            "--roles: the listener cannot run.",
            hint="It needs CONNECTOR_SALESFORCE__LOGIN_URL, CONNECTOR_SALESFORCE__PUBSUB_ENDPOINT if the org is on this"
            " machine, and CONNECTOR_INBOUND__LISTEN not to be false.",
        )
    listens = can_listen and (roles is None or LISTENER in roles)
    async with AsyncExitStack() as stack:
        services: LocalServices
        if listens:
            service = await stack.enter_async_context(running_service(settings, follow_files=True))
            services, listener = service, service.listener()
        else:
            services = await stack.enter_async_context(local_services(settings, follow_files=True))
            listener = None
        if roles is None or API in roles:
            where = await stack.enter_async_context(_serving_api(services))
            typer.echo(f"Listening at {where}; Ctrl-C stops.")
            log.info("started", at=where)
        if listener is not None:
            await stack.enter_async_context(listener.running())
            if roles == [LISTENER]:
                typer.echo("Listening to the org; Ctrl-C stops.")
        await until_stopped()
    log.info("stopped")


@asynccontextmanager
async def _serving_api(services: LocalServices) -> AsyncIterator[str]:
    """Serve the API during the block; its address."""
    from aiohttp import web

    from connector.web.server import Runner

    http = services.settings.http
    runner = Runner(services.web_app(), shutdown_timeout=10)
    await runner.setup()
    try:
        site = web.TCPSite(runner, http.host, http.port)
        try:
            await site.start()
        except OSError as error:
            raise ConnectorError(
                f"The API cannot listen at {http.host}:{http.port}: {os.strerror(error.errno or 0).lower()}.",
                hint="Change CONNECTOR_HTTP__HOST or CONNECTOR_HTTP__PORT.",
            ) from None
        yield site.name
    finally:
        await runner.cleanup()
