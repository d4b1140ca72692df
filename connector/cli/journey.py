"""`connector journey`: everything that was done with one entity, in both directions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from connector.cli import app
from connector.cli.key_argument import key as parse_key
from connector.cli.output import as_json, moment, one_line
from connector.cli.runner import run
from connector.errors import ConnectorError, UsageError

if TYPE_CHECKING:
    from connector.api.journey import Journey, JourneyField, JourneyStep

ARROWS = {"here": "  ", "to_org": "->", "from_org": "<-"}


@app.command(short_help="Show everything that was done with one order, customer, product or return.")
def journey(
    entity: Annotated[str, typer.Argument(help="order, customer, product or return.")],
    key: Annotated[str, typer.Argument(help="The number of an order or customer, the SKU.", parser=parse_key)],
    redacted: Annotated[bool, typer.Option("--redacted", help="Without the values of personal data.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")] = False,
) -> None:
    """Show every step of one entity in the order of time: local changes, what was sent by which call and mapping
    version, the answers, what came from the org, and how both sides were merged."""
    from connector.model.change import EntityKind

    if entity not in set(EntityKind):
        raise UsageError(f"ENTITY: invalid value {entity!r}.", hint=f"Use one of {', '.join(EntityKind)}.")
    document = run(_load(entity, key, with_personal=not redacted))
    if json:
        as_json(document)
        return
    if document.is_cut:
        typer.echo("Earlier steps are left out: there are too many.")
    for step in document.steps:
        _print_step(step, document.key)
    if (waiting := document.waiting) is not None:
        why = f": {waiting.error}" if waiting.error else ""
        typer.echo(f"A change of {moment(waiting.captured_at)} is not in the org yet ({waiting.state}{why}).")


def _print_step(step: JourneyStep, key: str) -> None:
    of = f"{step.entity} {step.key}: " if step.key != key else ""
    who = f"  [{step.actor}]" if step.actor and f" by {step.actor}" not in step.text else ""
    who += f"  ({step.run})" if step.run else ""
    typer.echo(f"{moment(step.at)}  {ARROWS[step.direction]} {of}{one_line(step.text)}{who}")
    if step.call is not None:
        version = f", mapping version {step.mapping_version}" if step.mapping_version else ""
        status = step.call.status or "no answer"
        tried = f", {step.call.requests} requests" if step.call.requests > 1 else ""
        typer.echo(f"    call {step.call.id}: {status}, {step.call.milliseconds} ms{tried}{version}")
    if isinstance(message := (step.detail or {}).get("message"), str):
        typer.echo(f"    {one_line(message)}")
    for field in step.fields:
        typer.echo(f"    {_field_text(field)}")


def _field_text(field: JourneyField) -> str:
    name = f"{field.sobject} {field.record} {field.field}".rstrip()
    if field.hidden:
        return f"{name}: not shown"
    if field.effect == "deleted":
        return f"{name}: deleted"
    if field.effect is None:
        before = f" (before: {_text(field.before)})" if field.has_before and field.before != field.value else ""
        return f"{name} = {_text(field.value)}{before}"
    why = f" ({field.why})" if field.why else ""
    values = f"{_text(field.local)} here, {_text(field.remote)} in the org, {_text(field.base)} before"
    return f"{name}: {field.effect}: {values}{why}"


def _text(value: Any) -> str:
    return "nothing" if value is None else one_line(value)


async def _load(entity: str, key: str, *, with_personal: bool) -> Journey:
    from connector.api.journey import build_journey
    from connector.model.change import EntityKind
    from connector.settings import load_settings
    from connector.store.queries.journey import load_journey
    from connector.store.schema import open_store

    kind = EntityKind(entity)
    async with open_store(load_settings()) as store, store.reader() as connection:
        sources = await load_journey(connection, kind, key)
    if not (sources.is_known or sources.entries):
        raise ConnectorError(f"There is no {entity} {key} in the database.", hint="`connector import PATH` imports it.")
    return build_journey(entity, key, sources, with_personal=with_personal)
