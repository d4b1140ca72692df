"""A worker: a process of the service, with its roles and what it holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Worker:
    """A process of the service as it last reported itself.

    `alive`: it reported itself in time. `partitions`: those whose changes it sends at this moment; `org_partitions`:
    the same of other orgs than the default one, by name; `sends_products`: whether it sends products and prices.
    `topics`: those that it listens to; `org_topics`: the same of other orgs. A worker that has nothing to do holds no
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
    org_partitions: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    sends_products: bool = False
    topics: tuple[str, ...] = ()
    org_topics: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
