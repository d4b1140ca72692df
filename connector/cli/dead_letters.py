"""`connector dead-letters`: list, show, replay and discard changes that the org refused."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli import app
from connector.cli.key_argument import key as parse_key
from connector.cli.output import as_json, moment
from connector.cli.runner import run
from connector.errors import CommandError, ConnectorError, UsageError
from connector.wording import plural

if TYPE_CHECKING:
    from connector.model.cause import Cause
    from connector.model.change import DeadLetter, EntityKind
    from connector.model.dead_letter_group import DeadLetterGroup

dead_letters_app = typer.Typer(
    help="Changes that the org refused. Someone must fix the cause before they are sent again.",
    short_help="List refused changes and why; send them again.",
)
app.add_typer(dead_letters_app, name="dead-letters")

Json = Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")]
Entity = Annotated[str, typer.Argument(help="customer, product, order or return.")]
AnyEntity = Annotated[
    str | None,
    typer.Argument(help="customer, product, order or return; with a key, only that one.", show_default=False),
]
All = Annotated[bool, typer.Option("--all", help="Every dead letter.")]
Group = Annotated[
    str | None,
    typer.Option("--group", metavar="CAUSE", help="Those with one cause, as `list` names it.", show_default=False),
]
LIST_HINT = "`connector dead-letters list` shows all."
Key = Annotated[str, typer.Argument(help="The number of a customer or order, the SKU of a product.", parser=parse_key)]
AnyKey = Annotated[
    str | None,
    typer.Argument(
        help="The number of a customer or order, the SKU of a product.", show_default=False, parser=parse_key
    ),
]


@dead_letters_app.command("list", short_help="List dead letters: why, and what to do.")
def list_dead_letters(
    by_cause: Annotated[
        bool, typer.Option("--by-cause", help="One paragraph for each cause: error code, field, mapping line.")
    ] = False,
    json: Json = False,
) -> None:
    """List dead letters, oldest first: what was refused, why, and what to do. Exit status 0 even if there are some."""
    if by_cause:
        _list_by_cause(json=json)
        return
    dead_letters = _load(None, None)
    if json:
        as_json([dead_letter_document(dead_letter) for dead_letter in dead_letters])
        return
    for dead_letter in dead_letters:
        print_dead_letter(dead_letter)
    if dead_letters:
        typer.echo(
            f"{plural(len(dead_letters), 'dead letter')}. Once fixed: `connector dead-letters replay --all`, then push."
        )
    else:
        typer.echo("No dead letters.")


def _list_by_cause(*, json: bool) -> None:
    from connector.model.dead_letter_group import CORRECTABLE_CODES

    groups, known = run(_load_groups())
    if json:
        said = ("assignee", "note", "snoozed_until")
        as_json(
            [
                asdict(item) | {name: getattr(known.get(item.fingerprint), name, None) for name in said}
                for item in groups
            ]
        )
        return
    for group in groups:
        field = f" on {group.field}" if group.field else ""
        mapped = f", mapped in {group.source}" if group.source else ""
        typer.echo(
            f"{plural(group.count, group.entity.value)}: {group.code}{field}{mapped} (cause {group.fingerprint})"
        )
        more = ", …" if group.count > len(group.keys) else ""
        since = f"since {moment(group.first_refused_at)}, last {moment(group.last_refused_at)}"
        typer.echo(f"  {', '.join(group.keys)}{more} ({since})")
        typer.echo(f"  {group.message}")
        if cause := known.get(group.fingerprint):
            whose = f"{cause.assignee}'s. " if cause.assignee else ""
            snoozed = f"Snoozed until {moment(cause.snoozed_until)}. " if cause.snoozed_until else ""
            if said_of_it := f"{whose}{snoozed}{cause.note or ''}".rstrip():
                typer.echo(f"  {said_of_it}")
        correct = "`connector dead-letters correct ENTITY KEY --set NAME=VALUE` corrects and replays one."
        typer.echo(f"  What to do: {group.fix} {correct if group.code in CORRECTABLE_CODES else ''}".rstrip() + "\n")
    typer.echo(
        f"{plural(len(groups), 'cause')} of {plural(sum(group.count for group in groups), 'dead letter')}."
        " Once fixed: `connector dead-letters replay --group CAUSE`, then push."
        if groups
        else "No dead letters."
    )


async def _load_groups() -> tuple[list[DeadLetterGroup], dict[str, Cause]]:
    """The causes, and what people said of them."""
    from connector.settings import load_settings
    from connector.store import causes, dead_letters
    from connector.store.schema import open_store

    async with open_store(load_settings()) as store, store.reader() as connection:
        return await dead_letters.group_by_cause(connection), await causes.list_open(connection)


def print_dead_letter(dead_letter: DeadLetter) -> None:
    """Print a few lines: what was refused, the record and field at fault, its cause, what to do."""
    from connector.model.dead_letter_group import fingerprint

    refusal = dead_letter.refusal
    own = f"{dead_letter.entity} {dead_letter.key}"
    field = f" on {refusal.field}" if refusal.field else ""
    of = f" of {refusal.record}" if refusal.record and refusal.record != own else ""
    typer.echo(f"{own}: {refusal.code}{field}{of} (cause {fingerprint(dead_letter.entity, refusal)})")
    typer.echo(f"  {refusal.message}")
    command = _correction_command(dead_letter)
    typer.echo(f"  What to do: {refusal.fix}" + (f" {command} corrects and replays it." if command else "") + "\n")


def _correction_command(dead_letter: DeadLetter) -> str:
    """The command that changes a value and replays the dead letter; empty if no value of an entity is at fault."""
    from shlex import quote

    from connector.model.dead_letter_group import find_correctable

    found = find_correctable(dead_letter.entity, dead_letter.key, dead_letter.refusal)
    return f"`connector dead-letters correct {found[0]} {quote(found[1])} --set NAME=VALUE`" if found else ""


@dead_letters_app.command(short_help="Show one dead letter in full.")
def show(entity: Entity, key: Key, json: Json = False) -> None:
    """Show one dead letter: the org's message, the record and mapping line it concerns, and what to do."""
    from connector.model.dead_letter_group import fingerprint

    matches = _load(_parse_kind(entity), [key])
    if not matches:
        raise ConnectorError(f"There is no dead letter of {entity} {key}.", hint=LIST_HINT)
    [dead_letter] = matches
    if json:
        as_json(dead_letter_document(dead_letter))
        return
    refusal = dead_letter.refusal
    command = _correction_command(dead_letter)
    typer.echo(f"{dead_letter.entity} {dead_letter.key}: {refusal.message}")
    for name, value in (
        ("Record", refusal.record),
        ("Field", refusal.field),
        ("Mapped in", refusal.source),
        ("Code", refusal.code),
        ("Cause", fingerprint(dead_letter.entity, refusal)),
        ("Refused", f"{moment(dead_letter.refused_at)}, {plural(dead_letter.attempts, 'attempt')}"),
        ("What to do", refusal.fix),
        ("Then", f"`connector dead-letters replay {entity} {key}`, and `connector push`"),
        ("Or", command and f"{command}, and `connector push`"),
    ):
        if value:
            typer.echo(f"  {name + ':':<12} {value}")


@dead_letters_app.command(short_help="Make dead letters due again.")
def replay(
    entity: AnyEntity = None, key: AnyKey = None, group: Group = None, all_: All = False, json: Json = False
) -> None:
    """Make dead letters due again; the next push sends them. Exit status 1 if the named one does not exist."""
    count = _replay_or_discard_named("replay", entity, key, group, all_=all_)
    if json:
        as_json({"replayed": count})
    elif not count and key is not None:
        typer.echo(f"{entity} {key} is no longer a dead letter; it is due, and `connector push` sends it.")
    elif count:
        typer.echo(
            f"{plural(count, 'dead letter')} due again: `connector push` sends {'it' if count == 1 else 'them'}."
        )
    else:
        typer.echo("No dead letters.")


@dead_letters_app.command(short_help="Change what was refused, and send it again.")
def correct(
    entity: Entity,
    key: Key,
    values: Annotated[
        list[str], typer.Option("--set", metavar="NAME=VALUE", help="A field and its new value; nothing empties it.")
    ],
    json: Json = False,
) -> None:
    """Change fields of an entity that the org refused, or because of which it refused others (the customer of an
    order), by the same rules as any change, and make what was refused due again. The next push sends it."""
    given: dict[str, object] = {}
    for text in values:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise UsageError(f"--set: {text!r} is not of the form NAME=VALUE.")
        given[name] = value or None
    replayed = run(_correct(_parse_kind(entity), key, given))
    if json:
        as_json({"replayed": replayed})
    else:
        typer.echo(f"{entity} {key} is changed, and {plural(replayed, 'dead letter')} due again: `connector push`.")


async def _correct(kind: EntityKind, key: str, values: dict[str, object]) -> int:
    from connector.jobs.dead_letter_correction import Correction, DeadLetterCorrector, find_version
    from connector.service import local_services
    from connector.settings import load_settings
    from connector.store.journal import command_line_actor

    async with local_services(load_settings()) as services:
        async with services.store.reader() as connection:
            version = await find_version(connection, kind, key)
        correction = Correction(entity=kind, key=key, version=version or 0, values=values)
        corrector = DeadLetterCorrector(services.store, services.orders)
        try:
            return (await corrector.correct(correction, actor=command_line_actor())).replayed
        except CommandError as error:
            error.message = error.message.replace(f"{error.field}:", f"--set {error.field.removeprefix('set.')}:", 1)
            raise


@dead_letters_app.command(short_help="Discard dead letters.")
def discard(
    entity: AnyEntity = None, key: AnyKey = None, group: Group = None, all_: All = False, json: Json = False
) -> None:
    """Discard dead letters: their changes are not sent. The org keeps the values that it has, and an entity that was
    never sent stays out of it, until the entity changes again or `connector resync ENTITY KEY` sends it. Exit status 1
    if the named one does not exist.
    """
    count = _replay_or_discard_named("discard", entity, key, group, all_=all_)
    if json:
        as_json({"discarded": count})
    elif not count:
        typer.echo("No dead letters.")
    else:
        named = f"{entity or 'ENTITY'} {key or 'KEY'}"
        what = "its change is not sent" if count == 1 else "their changes are not sent"
        typer.echo(f"{plural(count, 'dead letter')} discarded: {what}. `connector resync {named}` sends it after all.")


def _replay_or_discard_named(action: str, entity: str | None, key: str | None, group: str | None, *, all_: bool) -> int:
    """Replay or discard the named dead letters, and return their number."""
    if [entity is not None, group is not None, all_].count(True) != 1:
        raise UsageError(
            f"dead-letters {action}: one of ENTITY, --group and --all is required.",
            hint="Give an entity with or without a key, or --group with a cause, or --all.",
        )
    if group is not None:
        changed = run(_replay_or_discard_group(action, group))
        if not changed:
            hint = "`connector dead-letters list --by-cause` shows the causes."
            raise ConnectorError(f"There is no dead letter with the cause {group}.", hint=hint)
        return changed
    kind = None if entity is None else _parse_kind(entity)
    count, due = run(_replay_or_discard(action, kind, None if key is None else [key]))
    if not count and key is not None and not (due and action == "replay"):
        raise ConnectorError(f"There is no dead letter of {entity} {key}.", hint=LIST_HINT)
    return count


async def _replay_or_discard(action: str, entity: EntityKind | None, keys: list[str] | None) -> tuple[int, bool]:
    """Return the number of dead letters, and whether the named entity is due already, because it was corrected."""
    from connector.model.change import ChangeState
    from connector.settings import load_settings
    from connector.store import dead_letters, outbox
    from connector.store.journal import command_line_actor
    from connector.store.schema import open_store

    async with open_store(load_settings()) as store, store.transaction() as uow:
        count = await dead_letters.change_by_person(uow, action, entity, keys, actor=command_line_actor())
        unsent = await outbox.find(uow.connection, entity, keys) if entity and keys else {}
        return count, any(row.state is ChangeState.DUE for row in unsent.values())


async def _replay_or_discard_group(action: str, name: str) -> int:
    from connector.settings import load_settings
    from connector.store import dead_letters
    from connector.store.journal import command_line_actor
    from connector.store.schema import open_store

    async with open_store(load_settings()) as store, store.transaction() as uow:
        return await dead_letters.change_group_by_person(uow, action, name, actor=command_line_actor())


def _parse_kind(text: str) -> EntityKind:
    from connector.model.change import EntityKind

    try:
        return EntityKind(text)
    except ValueError:
        raise UsageError(
            f"ENTITY: invalid value {text!r}.", hint="Use one of customer, product, order, return."
        ) from None


def _load(entity: EntityKind | None, keys: list[str] | None) -> list[DeadLetter]:
    from connector.settings import load_settings
    from connector.store import dead_letters
    from connector.store.schema import open_store

    async def work() -> list[DeadLetter]:
        async with open_store(load_settings()) as store, store.reader() as connection:
            return await dead_letters.list_dead_letters(connection, entity=entity, keys=keys)

    return run(work())


def dead_letter_document(dead_letter: DeadLetter) -> dict[str, object]:
    from connector.model.dead_letter_group import fingerprint

    return {
        "entity": dead_letter.entity.value,
        "key": dead_letter.key,
        **asdict(dead_letter.refusal),
        "attempts": dead_letter.attempts,
        "captured_at": dead_letter.captured_at,
        "refused_at": dead_letter.refused_at,
        "group": fingerprint(dead_letter.entity, dead_letter.refusal),
    }
