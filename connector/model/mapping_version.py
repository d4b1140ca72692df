"""A version of the mappings as it is kept: its files, who made it active, when and why. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Origin(StrEnum):
    """How a version became active: edited files of a folder, files or a draft that somebody applied, or the content of
    an earlier version."""

    FILES = "files"
    APPLY = "apply"
    ROLLBACK = "rollback"


@dataclass(frozen=True, kw_only=True, slots=True)
class Activation:
    """One activation. `source` is the folder of its files, or where it was applied; `author` is None if the files were
    edited; `base` is the number of the version that it replaced."""

    number: int
    digest: str
    activated_at: datetime
    source: str
    origin: Origin = Origin.FILES
    author: str | None = None
    note: str | None = None
    base: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredVersion:
    """An activation with its files. `texts` is None for one of a release that stored only the digest."""

    activation: Activation
    texts: Mapping[str, str] | None


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceProblem:
    """The reason why a source cannot use its own files, as last reported."""

    source: str
    problem: str
    seen_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceState:
    """The files of a source when they were last seen valid; `number` is the version that they were while it was
    active, None if they were never active."""

    digest: str
    number: int | None
