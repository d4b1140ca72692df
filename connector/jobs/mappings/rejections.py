"""Why a version is not made active, or not found, and whether a plan can be applied."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from connector.errors import CommandError, MappingError
from connector.jobs.mappings.views import PlanState
from connector.mapping.lint import LintProblem
from connector.model.mapping_plan import PLAN_LIFETIME_TEXT, StoredPlan
from connector.model.mapping_version import Activation


class InvalidMappingsError(MappingError):
    """Files that cannot be used; `found` are the problems with their places."""

    def __init__(self, found: Sequence[LintProblem]) -> None:
        super().__init__([str(item) for item in found])
        self.found = found


MOST_NOTE = 500
"""Characters of a note."""


def check_base(active: Activation | None, digest: str, base: int | None) -> None:
    """Raise CommandError if another version than `base` is active, or if the files are those of the active one."""
    if base is not None and (active is None or active.number != base):
        raise changed_error(active, base)
    if active is not None and active.digest == digest:
        raise CommandError(
            f"These files are the active version already: version {active.number}.",
            hint="There is nothing to apply.",
            field="files",
            rule="unchanged",
        )


def check_note(note: str) -> None:
    if len(note) > MOST_NOTE:
        hint = f"Use at most {MOST_NOTE}."
        raise CommandError(f"note: has {len(note)} characters.", hint=hint, field="note", rule="input")


def changed_error(active: Activation | None, base: int | None) -> CommandError:
    now = "none is active" if active is None else f"version {active.number} is active"
    by = "" if active is None else f", from {active.author or active.source}"
    former = "none" if base is None else f"version {base}"
    return CommandError(
        f"The mappings have changed: {now}{by}, not {former}.",
        hint="Look at the differences (`connector mappings diff`), plan again, and apply that.",
        field="version",
        rule="version",
    )


def plan_state(plan: StoredPlan, active: int | None, now: datetime) -> PlanState:
    if plan.applied_as is not None:
        return PlanState.APPLIED
    if plan.base != active:
        return PlanState.OUTDATED
    return PlanState.EXPIRED if now >= plan.expires_at else PlanState.OPEN


def check_plan(plan: StoredPlan, active: Activation | None, now: datetime) -> None:
    """Raise CommandError if the plan cannot be applied."""
    state = plan_state(plan, None if active is None else active.number, now)
    if state is PlanState.OUTDATED:
        raise changed_error(active, plan.base)
    if state is not PlanState.OPEN:
        hint = "Plan again: `connector mappings plan` shows what it changes now."
        raise CommandError(f"Plan {plan.id} is {state}.", hint=hint, field="plan", rule=state.value)


def unknown_plan_error(plan_id: str) -> CommandError:
    shown = plan_id[:40].encode("unicode_escape").decode()
    hint = f"A plan can be applied for {PLAN_LIFETIME_TEXT}: `connector mappings plan` makes one."
    return CommandError(f"There is no plan {shown}.", hint=hint, field="plan", rule="unknown")


def unknown_version_error(number: int) -> CommandError:
    hint = "`connector mappings history` lists the versions."
    return CommandError(f"There is no version {number} of the mappings.", hint=hint, field="number", rule="unknown")


def no_content_error(number: int) -> CommandError:
    return CommandError(
        f"The content of version {number} is not stored: an earlier release made it active.",
        hint="Use the files that it was made of, or another version.",
        field="number",
        rule="content",
    )


def no_active_error() -> CommandError:
    hint = "The first push, or `connector mappings apply`, makes the files active."
    return CommandError("No version of the mappings is active yet.", hint=hint, field="number", rule="unknown")


def no_shadow_error() -> CommandError:
    hint = "`connector mappings shadow --start` begins one."
    return CommandError("There is no shadow.", hint=hint, field="shadow", rule="unknown")
