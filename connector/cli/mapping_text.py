"""A plan of mappings, as the command line shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from connector.cli.output import moment, paragraph, table
from connector.wording import plural

if TYPE_CHECKING:
    from connector.jobs.mappings.views import MappingPlan
    from connector.model.mapping_plan import EntityCount, RecordEffect
    from connector.model.mapping_shadow import Shadow

SAMPLES = 3
LONGEST = 40
"""Characters of a value."""


def print_plan(plan: MappingPlan) -> None:
    """Print what a plan comes to, a sample of the changes, and how to apply it."""
    numbers, cost = plan.numbers, plan.numbers.cost
    for change in plan.changes:
        place = f"{change.sobject}.{change.field}" if change.field else change.sobject
        values = f": {change.before or 'nothing'} -> {change.after or 'nothing'}"
        typer.echo(f"{change.kind} {place}{values} ({change.source})")
    if numbers.effects:
        typer.echo("")
        rows = [_row(item) for item in numbers.effects]
        table(("Record", "Field", "Before", "After", ""), rows)
        typer.echo("")
    for count in numbers.entities:
        paragraph(_count_text(count))
    if not numbers.entities:
        typer.echo("Nothing is in an org yet, so nothing changes there.")
    left = "" if cost.calls_left is None else f" of {max(cost.calls_left, 0):,} left today"
    typer.echo(f"To send it: about {plural(cost.calls, 'API call')}{left}, {cost.minutes:g} minutes.")
    if numbers.reads:
        typer.echo(f"{plural(numbers.reads, 'API call')} read what fields hold that were not read before.")
    typer.echo(f"Risk: {numbers.risk}.")
    for text in (*numbers.reasons, *(f"Warning: {text}" for text in numbers.warnings)):
        paragraph(f"  {text}")
    until = moment(plan.expires_at)
    typer.echo(f"Plan {plan.id}: `connector mappings apply {plan.id}` applies it, until {until}.")


def print_shadow(shadow: Shadow) -> None:
    """Print how a shadow differs from the active version."""
    by = f"since {moment(shadow.started_at)}, by {shadow.started_by}"
    typer.echo(f"A shadow is computed {by}{f': {shadow.note}' if shadow.note else '.'}")
    typer.echo(f"It was computed {plural(shadow.computed, 'time')}; {shadow.differing:,} of the results differed.")
    for field in shadow.fields:
        typer.echo(f"{field.sobject}{f'.{field.field}' if field.field else ''}: {plural(field.count, 'time')}")
        for sample in field.samples[:SAMPLES]:
            typer.echo(f"  {sample.entity} {sample.key}: {_short(sample.active)} -> {_short(sample.shadow)}")


def _row(item: RecordEffect) -> tuple[str, ...]:
    way = "to the org" if item.direction == "to_org" else "from the org"
    what = item.field or item.effect.value
    return f"{item.entity} {item.key}", what, _short(item.before), _short(item.after), way


def _short(text: str | None) -> str:
    plain = "" if text is None else " ".join(text.split())
    return plain if len(plain) <= LONGEST else f"{plain[: LONGEST - 1]}…"


def _count_text(count: EntityCount) -> str:
    about = "about " if count.estimated else ""
    parts = {"created": count.created, "no longer synced": count.left_out, "refused": count.refused}
    more = "".join(f", {about}{number:,} are {word}" for word, number in parts.items() if number)
    of_org = f" in org {count.org}" if count.org else ""
    sample = f" (computed for {count.examined:,} of them)" if count.estimated else ""
    changed = f"{about}{count.changed:,} change in {plural(count.records, 'record')}"
    return f"{plural(count.total, count.entity)}{of_org}: {changed}{more}{sample}."
