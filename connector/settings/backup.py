"""`CONNECTOR_BACKUP__…`: backups of the database."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from connector.settings.checks import OptionalPath, matching


class BackupSettings(BaseModel):
    """Backups of the SQLite database that the service makes."""

    model_config = ConfigDict(extra="forbid")

    folder: OptionalPath = None
    """Where the service makes a backup of the SQLite database every day; without it, it makes none."""
    hour: Annotated[str, matching(r"0?\d|1\d|2[0-3]", "1 (the hour in UTC)")] = "1"
    """The hour of the day (UTC) at which it does."""
    keep: int = Field(default=7, ge=1, le=1000)
    """How many backups are kept; the oldest ones are deleted."""
