"""`connector conflicts`: what both sides changed, and whose value stands."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from connector.cli import app
from connector.cli.output import as_json, moment, one_line, table
from connector.cli.runner import run
from connector.errors import ConnectorError, UsageError
from connector.wording import plural

if TYPE_CHECKING:
    from connector.jobs.conflict_resolution import Resolution
    from connector.model.conflict import Conflict, ConflictRule, ConflictState
    from connector.store.engine import Store

conflicts_app = typer.Typer(
    help="Fields that both sides changed to different values, and that a person decides.",
    short_help="What both sides changed; whose value stands.",
)
app.add_typer(conflicts_app, name="conflicts")

Json = Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")]
Id = Annotated[int, typer.Argument(help="The conflict's number, from `conflicts list`.", min=1)]
LIST_HINT = "`connector conflicts list` shows those that are open."
MAX_LISTED = 1000


@conflicts_app.command("list", short_help="Open conflicts, oldest first.")
def list_conflicts(
    all_: Annotated[bool, typer.Option("--all", help="Resolved ones too.")] = False, json: Json = False
) -> None:
    """Open conflicts, oldest first, with the value on each side. Exit status 0 also if there are some."""
    from connector.model.conflict import ConflictState

    listed = run(_load_page(None if all_ else ConflictState.OPEN))
    if json:
        as_json([conflict_document(item) for item in listed])
        return
    if not listed:
        typer.echo("No conflicts.")
        return
    table(
        ("ID", "Entity", "Field", "agreed before", "here", "in the org", "state"),
        [
            (
                item.id,
                f"{item.entity} {item.key}",
                f"{item.sobject}.{item.field}",
                _text(item.base),
                _text(item.local),
                _text(item.remote),
                item.state.value,
            )
            for item in listed
        ],
    )
    typer.echo(
        f"{plural(len(listed), 'conflict')}. `connector conflicts resolve ID --take local` or `--take salesforce`."
    )


@conflicts_app.command(short_help="One conflict in full.")
def show(conflict_id: Id, json: Json = False) -> None:
    """One conflict: the record, what both sides agreed on before, both values, when each side changed, and who."""
    item = run(_load(conflict_id))
    if item is None:
        raise ConnectorError(f"There is no conflict {conflict_id}.", hint=LIST_HINT)
    if json:
        as_json(conflict_document(item))
        return
    typer.echo(f"{item.sobject}.{item.field} of {item.entity} {item.key}: {item.state}")
    for name, value in (
        ("Record", item.record_id),
        ("Before", _text(item.base)),
        ("Here", f"{_text(item.local)}{_since(item.local_changed_at)}"),
        ("In the org", f"{_text(item.remote)}{_since(item.remote_changed_at)}{_by(item.remote_changed_by)}"),
        ("Opened", moment(item.opened_at)),
        ("Resolved", moment(item.resolved_at) + _by(item.resolved_by) if item.resolved_at else None),
    ):
        if value:
            typer.echo(f"  {name + ':':<12} {value}")


@conflicts_app.command(short_help="Let one side's value stand, on both sides.")
def resolve(
    conflict_id: Id,
    take: Annotated[str, typer.Option("--take", help="Whose value stands: local or salesforce.")],
    always: Annotated[
        bool, typer.Option("--always", help="Keep the answer as a rule: for this field, nobody is asked again.")
    ] = False,
    json: Json = False,
) -> None:
    """Let one side's value stand. The other side gets it at once: here in the same transaction, in the org by a push.

    With --always, other open conflicts of the field are resolved in the same way, and later ones do not open;
    `connector conflicts rules` lists such rules. Exit status 1 if the conflict is not open, or if the order does not
    allow the org's value any more.
    """
    from connector.model.conflict import ConflictState

    choices = {ConflictState.LOCAL.value, ConflictState.SALESFORCE.value}
    if take not in choices:
        raise UsageError(f"invalid --take {take!r}.", hint="Use one of local, salesforce.")
    resolved, sent = run(_resolve(conflict_id, ConflictState(take), always=always))
    item = resolved.conflict
    if json:
        as_json(conflict_document(item) | {"also_resolved": list(resolved.also_resolved), "sent": sent})
    else:
        stands = item.local if item.state is ConflictState.LOCAL else item.remote
        kind, key = _sent_entity(item)
        where = "on both sides" if sent else f"here; it is not in the org yet: `connector show {kind} {key}` says why"
        typer.echo(f"{item.sobject}.{item.field} of {item.entity} {item.key} is {_text(stands)} {where}.")
        if always:
            also = plural(len(resolved.also_resolved), "other open conflict")
            typer.echo(f"Kept as a rule for {item.sobject}.{item.field}; {also} resolved by it.")
    if not sent:
        raise typer.Exit(1)


@conflicts_app.command("rules", short_help="Answers that are kept as rules.")
def list_rules(
    remove: Annotated[
        str | None, typer.Option("--remove", metavar="OBJECT.FIELD", help="Ask again about this field.")
    ] = None,
    json: Json = False,
) -> None:
    """Answers to conflicts that are kept as rules: whose value stands whenever both sides change the field."""
    rules = run(_rules(None if remove is None else remove.strip()))
    if json:
        as_json([asdict(item) | {"choice": item.choice.value} for item in rules])
        return
    if remove is not None:
        typer.echo(f"{remove.strip()} has no rule any more: a person decides again.")
    if not rules:
        typer.echo("No rules. `connector conflicts resolve ID --take … --always` makes one.")
        return
    table(
        ("Field", "whose value stands", "made by", "at"),
        [(f"{item.sobject}.{item.field}", item.choice.value, item.made_by, moment(item.made_at)) for item in rules],
    )


async def _rules(remove: str | None) -> list[ConflictRule]:
    """The rules of the active org, after the one of field `remove` is removed."""
    from connector.settings import load_settings
    from connector.store import conflict_rules, orgs
    from connector.store.journal import command_line_actor
    from connector.store.schema import open_store

    async with open_store(load_settings()) as store:
        if remove is not None:
            sobject, _, field = remove.partition(".")
            async with store.transaction() as uow:
                org = await orgs.get_active(uow.connection)
                if org is None or not await conflict_rules.remove(
                    uow, org.org_id, sobject, field, actor=command_line_actor()
                ):
                    hint = "`connector conflicts rules` lists the rules, as Order.Description."
                    raise ConnectorError(f"There is no rule for {remove!r}.", hint=hint)
        async with store.reader() as connection:
            org = await orgs.get_active(connection)
            return [] if org is None else await conflict_rules.list_all(connection, org.org_id)


def conflict_document(item: Conflict) -> dict[str, Any]:
    """The conflict as one JSON object."""
    return asdict(item) | {"state": item.state.value}


async def _load_page(state: ConflictState | None) -> list[Conflict]:
    from connector.settings import load_settings
    from connector.store import conflicts
    from connector.store.schema import open_store

    async with open_store(load_settings()) as store, store.reader() as connection:
        return await conflicts.list_page(connection, state=state, limit=MAX_LISTED)


async def _load(conflict_id: int) -> Conflict | None:
    from connector.settings import load_settings
    from connector.store import conflicts
    from connector.store.schema import open_store

    async with open_store(load_settings()) as store, store.reader() as connection:
        return await conflicts.get(connection, conflict_id)


async def _resolve(conflict_id: int, choice: ConflictState, *, always: bool) -> tuple[Resolution, bool]:
    """What was resolved, and whether the org has the value."""
    from connector.cli.progress import NullProgress
    from connector.log import configure
    from connector.model.conflict import ConflictState as State
    from connector.service import running_service
    from connector.settings import load_settings
    from connector.store.journal import command_line_actor

    settings = load_settings()
    configure(settings.log_level, **settings.log_options)
    async with running_service(settings) as service:
        resolver, actor = service.conflict_resolver(), command_line_actor()
        resolved = await resolver.resolve(conflict_id, choice, actor=actor, always=always)
        if choice is State.SALESFORCE:
            return resolved, True
        await service.push(NullProgress())
        return resolved, await _is_in_org(service.org_store, resolved.conflict)


async def _is_in_org(store: Store, conflict: Conflict) -> bool:
    """Whether the org has the entity as it is here: whatever else is due, refused or discarded does not matter."""
    from connector.model.change import EntityKind
    from connector.store import dead_letters, outbox

    entity, key = _sent_entity(conflict)
    kind = EntityKind(entity)
    async with store.reader() as connection:
        unsent = await outbox.find(connection, kind, [key])
        return not unsent and not await dead_letters.list_discarded(connection, kind, [key])


def _sent_entity(conflict: Conflict) -> tuple[str, str]:
    """The entity that is sent: the order of a line, else the entity itself."""
    from connector.model.record import owner_of

    return owner_of(conflict.entity, conflict.key) or (conflict.entity, conflict.key)


def _text(value: object) -> str:
    return "(empty)" if value is None or value == "" else one_line(value)


def _since(when: Any) -> str:
    return f", changed {moment(when)}" if when else ""


def _by(who: str | None) -> str:
    return f" by {who}" if who else ""
