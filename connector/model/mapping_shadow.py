"""A version of the mappings that is computed beside the active one, and never sent. PURE."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class ShadowSample:
    """One value that differed: what the active version mapped, and what the shadow would have. `personal`: the values
    may be about a person."""

    entity: str
    key: str
    active: str | None
    shadow: str | None
    personal: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class ShadowField:
    """A field that differed: how often, and some samples. Without a field it is about whole records: one of the
    versions does not map them."""

    sobject: str
    field: str
    count: int
    samples: Sequence[ShadowSample]


@dataclass(frozen=True, kw_only=True, slots=True)
class Shadow:
    """A shadow: of the files with `digest`. `computed`: how often an entity that was due was mapped by it, `differing`
    how often the result differed. `outcome`: `applied` or `discarded`, once it has ended."""

    id: int
    digest: str
    base: int
    started_at: datetime
    started_by: str
    note: str | None
    computed: int
    differing: int
    ended_at: datetime | None = None
    ended_by: str | None = None
    outcome: str | None = None
    fields: Sequence[ShadowField] = ()
