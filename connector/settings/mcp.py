"""`CONNECTOR_MCP__…`: the service that agents use."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, SecretStr

from connector.settings.checks import check_issuer


class McpSettings(BaseModel):
    """The service that `connector mcp` asks for agents, and with which token."""

    model_config = ConfigDict(extra="forbid")

    url: Annotated[str, AfterValidator(check_issuer)] = "http://127.0.0.1:8080"
    """The address of the service (`connector serve`)."""
    token: SecretStr = SecretStr("")
    """A token of the service; the agent may do what its role may."""
