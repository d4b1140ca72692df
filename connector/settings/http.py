"""`CONNECTOR_HTTP__…`: where the API listens."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from connector.settings.checks import matching


class HttpSettings(BaseModel):
    """Where the API listens. The default is loopback: put a TLS proxy in front of it."""

    model_config = ConfigDict(extra="forbid")

    host: str = "127.0.0.1"
    """The address at which `serve` listens; put a TLS proxy in front of it."""
    port: int = Field(default=8080, ge=0, le=65535)
    """The port at which `serve` listens; 0: a free one."""
    public_url: Annotated[str, matching(r"(https?://[^\s/?#@]+(/[^\s?#]*)?)?", "https://orders.shop.example")] = ""
    """The public address of `serve`: the beginning of links in messages to customers. Without it, messages have no
    link."""
    requests_per_minute: int = Field(default=6000, ge=0, le=10_000_000)
    """How many requests one token may make of one process; 0: as many as it likes."""
