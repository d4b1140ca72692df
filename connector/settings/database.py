"""`CONNECTOR_DATABASE__…`: how long the database may take."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class DatabaseSettings(BaseModel):
    """How long PostgreSQL may take. SQLite has no server to wait for."""

    model_config = ConfigDict(extra="forbid")

    connect_seconds: int = Field(default=10, ge=2, le=300)
    """Longest wait for a connection to PostgreSQL."""
    statement_seconds: float = Field(default=60, ge=0, le=86400)
    """Longest run of one statement, except in upgrades and dry runs; 0: no limit. A server that is silent for 30
    seconds longer is given up."""
    idle_seconds: float = Field(default=15, ge=0, le=86400)
    """How long a process may stand still in a transaction that writes, except in upgrades; then PostgreSQL ends the
    transaction, so that a process that is frozen, or whose machine is gone, holds up no other. 0: no limit."""
