"""`connector mcp`: a server of the Model Context Protocol, for agents."""

from __future__ import annotations

from typing import Annotated

import typer

from connector.cli import app
from connector.cli.runner import run
from connector.errors import SettingsError, UsageError


@app.command(short_help="Let an agent look, and act by plans (Model Context Protocol).")
def mcp(
    url: Annotated[
        str | None, typer.Option(help="Address of a running `connector serve`; default: CONNECTOR_MCP__URL.")
    ] = None,
    token: Annotated[
        str | None, typer.Option(help="Token for it. Better: CONNECTOR_MCP__TOKEN, which no other user can see.")
    ] = None,
) -> None:
    """Serve the Model Context Protocol on standard input and output: an agent starts this command.

    It is a client of the HTTP API, here or elsewhere, and may do what its token may: a viewer looks, ops also send
    refused changes again and resync, by plans that were shown before. `docs/agents.md` has the configuration.
    """
    try:
        import mcp as _  # noqa: F401 - the package of the extra
    except ModuleNotFoundError:
        raise UsageError(
            "connector mcp needs a package that is not installed: mcp.", hint='Run `pip install "crm-connector[mcp]"`.'
        ) from None
    run(_serve(url, token))


async def _serve(url: str | None, token: str | None) -> None:
    from importlib.metadata import version

    from pydantic import SecretStr

    from connector.agents.api_client import ApiClient
    from connector.agents.tools import make_server
    from connector.clock import SystemClock
    from connector.model.role import Role
    from connector.settings import load_settings

    settings = load_settings().mcp
    secret = settings.token if token is None else SecretStr(token)
    if not secret.get_secret_value():
        raise SettingsError(
            "CONNECTOR_MCP__TOKEN must be set: the token of the agent.",
            hint="`connector tokens create --role viewer --name agent` creates one.",
        )
    async with ApiClient(url or settings.url, secret) as client:
        role = Role(str((await client.get("/token"))["role"]))
        server = make_server(client, role, clock=SystemClock(), version=version("crm-connector"))
        await server.run_stdio_async()
