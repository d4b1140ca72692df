"""`CONNECTOR_RETENTION__…`: for how long things are kept."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class KeptValues(StrEnum):
    """Of which fields the journal keeps the values: all, all but personal data, or none. Names are always kept."""

    ALL = "all"
    BUSINESS = "business"
    NONE = "none"


class RetentionSettings(BaseModel):
    """For how many days finished things are kept. What waits for a person or for the org is never deleted."""

    model_config = ConfigDict(extra="forbid")

    failed_notice_days: float = Field(default=90, ge=1, le=36500)
    """Webhook notices that failed, from their last attempt on. Sent ones are kept for
    `CONNECTOR_WEBHOOKS__KEEP_DAYS`."""
    action_days: float = Field(default=30, ge=4, le=36500)
    """Actions of reps and their answers. The org can deliver an action again for 72 hours: it is known for longer."""
    refused_event_days: float = Field(default=90, ge=1, le=36500)
    """Our events that the org refused, from the last attempt on."""
    conflict_days: float = Field(default=365, ge=1, le=36500)
    """Conflicts, from their resolution on."""
    topic_history_days: float = Field(default=365, ge=1, le=36500)
    """What the journal says of topics: gaps, changes between streaming and polling, what could not be decoded."""
    cause_days: float = Field(default=90, ge=1, le=36500)
    """Causes of dead letters, from when they were closed on."""
    job_run_days: float = Field(default=30, ge=1, le=36500)
    """Runs of jobs, from their end on."""
    idle_run_days: float = Field(default=2, ge=1, le=36500)
    """Runs that had nothing to do."""
    message_days: float = Field(default=730, ge=30, le=36500)
    """Messages to customers that were sent. As long as one is kept, the same is not sent again."""
    resync_days: float = Field(default=90, ge=1, le=36500)
    """Resyncs, from their end on."""
    journal_values: KeptValues = KeptValues.ALL
    """Of which fields the journal keeps the values, as they were sent and merged."""
    journal_value_days: float = Field(default=30, ge=0, le=36500)
    """The values of fields in the journal."""
    journal_days: float = Field(default=400, ge=1, le=36500)
    """The steps of each entity in the journal: sent, refused, received, merged."""
    audit_days: float = Field(default=1100, ge=1, le=36500)
    """The audit log: what operators did."""
