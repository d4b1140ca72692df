"""`connector serve`: runs roles of the service until it is stopped."""

from __future__ import annotations

from typing import Annotated

import typer

from connector.cli import app
from connector.cli.runner import run, until_stopped


@app.command(short_help="Run the service: the API, the worker, the listener, the scheduler.")
def serve(
    roles: Annotated[
        str | None,
        typer.Option(help="What to run, with commas: api,worker,listener,scheduler. Default: all.", show_default=False),
    ] = None,
) -> None:
    """Run the service until Ctrl-C or SIGTERM. Its roles, all in this process unless --roles names some:

    api: the HTTP API and the console in a browser, at CONNECTOR_HTTP__HOST and CONNECTOR_HTTP__PORT. Every route
    needs a token, which `connector tokens create` creates; /healthz, /readyz, /openapi.json and the customers'
    tracking pages do not.

    worker: sends changes to the org. listener: receives changes of the org, unless CONNECTOR_INBOUND__LISTEN is false.
    scheduler: runs jobs at their times, and those that people ask for (`connector jobs list`).

    Several processes may have the same roles: they share the work, and take over from one that dies. Without
    CONNECTOR_SALESFORCE__LOGIN_URL there is neither worker nor listener. `python scheduler.py` is the same.
    """
    run(_serve(None if roles is None else [role.strip() for role in roles.split(",")]))


async def _serve(chosen: list[str] | None) -> None:
    from connector.log import configure
    from connector.process_roles import running_roles
    from connector.settings import load_settings

    settings = load_settings()
    configure(settings.service_log_level, **settings.log_options)

    def announce(where: str) -> None:
        typer.echo(f"Listening at {where}; Ctrl-C stops.")

    async with running_roles(settings, chosen, announce=announce) as states:
        if chosen is not None and "api" not in chosen:
            typer.echo(f"Running {', '.join(states)}; Ctrl-C stops.")
        await until_stopped()
