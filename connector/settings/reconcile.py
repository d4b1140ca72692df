"""`CONNECTOR_RECONCILE__…`: the comparison of every night."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict

from connector.settings.checks import matching


class ReconcileSettings(BaseModel):
    """The comparison of both sides that the service makes every night."""

    model_config = ConfigDict(extra="forbid")

    hour: Annotated[str, matching(r"off|0?\d|1\d|2[0-3]", "2 (the hour in UTC) or off")] = "2"
    """The hour of the day (UTC) at which the service compares both sides, or `off`."""
    heal: bool = False
    """Whether it also heals what differs, by the owner of each field."""

    @property
    def nightly_hour(self) -> int | None:
        return None if self.hour == "off" else int(self.hour)
