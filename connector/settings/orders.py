"""`CONNECTOR_ORDERS__…`: what the service does with orders."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class OrderSettings(BaseModel):
    """What the service does with orders automatically."""

    model_config = ConfigDict(extra="forbid")

    automation_seconds: float = Field(default=0, ge=0, le=86400)
    """How often the service verifies placed orders, allocates waiting ones and escalates old holds; 0: never."""
