"""What a check of the whole installation found. PURE."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class CheckStatus(StrEnum):
    """`warn`: it works, and somebody should look. `fail`: something cannot work. `skipped`: it could not be checked, or
    it is turned off."""

    PASS = "pass"  # noqa: S105 - the word for a check that found nothing
    WARN = "warn"
    FAIL = "fail"
    SKIPPED = "skipped"


@dataclass(frozen=True, kw_only=True, slots=True)
class HealthCheck:
    """One check: what was found in one sentence, what to do, and single items, such as problems of single fields."""

    name: str
    status: CheckStatus
    text: str
    fix: str = ""
    details: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class DoctorReport:
    """All checks, in the order in which they depend on each other. `api_calls`: those that count against the org's
    daily limit. `healthy`: no check failed."""

    checked_at: datetime
    seconds: float
    api_calls: int
    healthy: bool
    checks: Sequence[HealthCheck]


def passed(name: str, text: str, details: Sequence[str] = ()) -> HealthCheck:
    return HealthCheck(name=name, status=CheckStatus.PASS, text=text, details=tuple(details))


def warned(name: str, text: str, fix: str, details: Sequence[str] = ()) -> HealthCheck:
    return HealthCheck(name=name, status=CheckStatus.WARN, text=text, fix=fix, details=tuple(details))


def failed(name: str, text: str, fix: str, details: Sequence[str] = ()) -> HealthCheck:
    return HealthCheck(name=name, status=CheckStatus.FAIL, text=text, fix=fix, details=tuple(details))


def skipped(name: str, text: str) -> HealthCheck:
    return HealthCheck(name=name, status=CheckStatus.SKIPPED, text=text)
