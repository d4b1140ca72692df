"""`CONNECTOR_EVENTS__…`: platform events."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class EventSettings(BaseModel):
    """Platform events between the org and us."""

    model_config = ConfigDict(extra="forbid")

    actions: bool = True
    """Whether actions that people ask for in the org (`Order_Action__e`) are carried out and answered."""
    order_status: bool = True
    """Whether each new stage and hold of an order is published (`Order_Status__e`)."""
