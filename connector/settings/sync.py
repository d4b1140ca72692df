"""`CONNECTOR_SYNC__…`: how outbound work is divided and repeated."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class SyncSettings(BaseModel):
    """How outbound work is divided and repeated."""

    model_config = ConfigDict(extra="forbid")

    partitions: int = Field(default=8, ge=1, le=256)
    """Into how many parts outbound work is divided, by account; all processes need the same number."""
    lease_seconds: float = Field(default=15, gt=0, le=600)
    """How long a part, a topic or a job stays with a process that is silent; then another process takes it over."""
    push_seconds: float = Field(default=1.0, gt=0, le=3600)
    """How often the service looks for changes that other processes made; its own are sent at once."""
    attempts_in_claim: int = Field(default=4, ge=1, le=10)
    """Attempts of one call before its orders return to the outbox with a later due time."""
