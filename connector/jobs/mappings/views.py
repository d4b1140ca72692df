"""Versions, their differences and their problems, as people are shown them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from difflib import unified_diff
from enum import StrEnum
from typing import Any

from connector.mapping.lint import LintProblem
from connector.mapping.meaning import MappingChange
from connector.mapping.text_folder import Texts
from connector.model.mapping_plan import PlanNumbers, Risk
from connector.model.mapping_version import Activation, Origin


@dataclass(frozen=True, kw_only=True, slots=True)
class VersionSummary:
    """A version. `changed`: the files that differ from the version that it replaced, as far as that is known.
    `has_content` is False only for versions of a release that stored no content."""

    number: int
    digest: str
    active: bool
    activated_at: datetime
    author: str | None
    note: str | None
    source: str
    origin: Origin
    base: int | None
    has_content: bool
    changed: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class VersionDetail(VersionSummary):
    """A version with its files by their path: `order.yaml`, `values/order_status.yaml`."""

    texts: Mapping[str, str] = field(default_factory=dict)


class FileChange(StrEnum):
    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True, kw_only=True, slots=True)
class FileDiff:
    """A file that differs; `lines` are a unified diff."""

    path: str
    change: FileChange
    lines: Sequence[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckedOrg:
    """An org that files were checked against, as it said of itself at `fetched_at`. The default one's name is empty."""

    name: str
    org_id: str
    fetched_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class LintReport:
    """`orgs` is empty if only the syntax was checked: no org is known yet."""

    problems: Sequence[LintProblem]
    orgs: Sequence[CheckedOrg] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Applied:
    """A version that was made active, and the resyncs that send what it changes."""

    version: VersionSummary
    resyncs: Sequence[int] = ()


class PlanState(StrEnum):
    """`open`: it can be applied. `outdated`: another version became active since. `applied`, `expired`: as they say."""

    OPEN = "open"
    OUTDATED = "outdated"
    APPLIED = "applied"
    EXPIRED = "expired"


@dataclass(frozen=True, kw_only=True, slots=True)
class MappingPlan:
    """What files would change, if they were made the active version in place of version `base`. `files`: the lines that
    differ, `changes`: what that means, `numbers`: what it comes to. `rollback_to`: the version whose content it is, if
    it is a return to one. `applied_as`: the version that it became."""

    id: str
    created_at: datetime
    expires_at: datetime
    actor: str
    state: PlanState
    base: int | None
    digest: str
    rollback_to: int | None
    applied_as: int | None
    numbers: PlanNumbers
    files: Sequence[FileDiff]
    changes: Sequence[MappingChange]


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanSummary:
    """A plan in a list."""

    id: str
    created_at: datetime
    expires_at: datetime
    actor: str
    state: PlanState
    base: int | None
    rollback_to: int | None
    applied_as: int | None
    risk: Risk


def summarize(activation: Activation, active: int | None, texts: Texts | None, base: Texts | None) -> VersionSummary:
    """`active` is the number of the active version, `base` the files that this one replaced."""
    return VersionSummary(**_fields(activation, active, texts, base))


def detail(activation: Activation, active: int | None, texts: Texts | None, base: Texts | None) -> VersionDetail:
    return VersionDetail(**_fields(activation, active, texts, base), texts=dict(texts or {}))


def without_texts(version: VersionDetail) -> VersionSummary:
    return VersionSummary(**{field.name: getattr(version, field.name) for field in fields(VersionSummary)})


def _fields(activation: Activation, active: int | None, texts: Texts | None, base: Texts | None) -> dict[str, Any]:
    return {
        "number": activation.number,
        "digest": activation.digest,
        "active": activation.number == active,
        "activated_at": activation.activated_at,
        "author": activation.author,
        "note": activation.note,
        "source": activation.source,
        "origin": activation.origin,
        "base": activation.base,
        "has_content": texts is not None,
        "changed": list_changed(base, texts) if texts is not None and base is not None else (),
    }


def list_changed(before: Texts, after: Texts) -> list[str]:
    """The files that differ, by their path."""
    return sorted(path for path in {*before, *after} if before.get(path) != after.get(path))


def diff_texts(before: Texts, after: Texts) -> list[FileDiff]:
    """The files that differ, with their lines."""
    return [
        FileDiff(path=path, change=_change(path, before, after), lines=_diff(path, before, after))
        for path in list_changed(before, after)
    ]


def _change(path: str, before: Texts, after: Texts) -> FileChange:
    if path not in before:
        return FileChange.ADDED
    return FileChange.CHANGED if path in after else FileChange.REMOVED


def _diff(path: str, before: Texts, after: Texts) -> list[str]:
    old, new = (texts.get(path, "").splitlines() for texts in (before, after))
    return list(unified_diff(old, new, f"a/{path}", f"b/{path}", lineterm=""))
