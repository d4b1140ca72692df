"""`CONNECTOR_BUDGET__…`: how much of the org's API limit is ours."""

from __future__ import annotations

from pydantic import BaseModel, Field


class BudgetSettings(BaseModel):
    """How much of the org's API limit is ours."""

    reserve_percent: float = Field(default=10, ge=0, le=90)
    """The part of the org's API calls that is left to its other apps; the connector pauses before it uses these."""
    most_calls_per_day: int = Field(default=0, ge=0, le=1_000_000_000)
    """API calls that the connector may make in 24 hours; 0: as many as the org allows, but for the reserve."""
