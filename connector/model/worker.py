"""A worker: a process of the service, with its roles and what it holds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Worker:
    """A process of the service as it last reported itself.

    `alive`: it reported itself in time. `partitions`: those whose changes it sends at this moment; `sends_products`:
    whether it sends products and prices. `topics`: those that it listens to. A worker that has nothing to do holds no
    partition.
    """

    id: str
    host: str
    pid: int
    roles: tuple[str, ...]
    engine: str
    started_at: datetime
    seen_at: datetime
    alive: bool
    partitions: tuple[int, ...] = ()
    sends_products: bool = False
    topics: tuple[str, ...] = ()
