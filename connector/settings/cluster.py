"""`CONNECTOR_CLUSTER__…` and `CONNECTOR_WORKERS`: what wakes workers."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, SecretStr


class WorkerEngine(StrEnum):
    """What wakes workers. `embedded`: the process that captured a change wakes its own worker; `cluster`:
    procrastinate wakes one of any process, of many on one PostgreSQL."""

    EMBEDDED = "embedded"
    CLUSTER = "cluster"


class ClusterSettings(BaseModel):
    """What workers need with `cluster`."""

    model_config = ConfigDict(extra="forbid")

    database_url: SecretStr = SecretStr("")
    """The address of the same PostgreSQL without a pooler, which procrastinate needs; without it,
    `CONNECTOR_DATABASE_URL`."""
