"""`connector messages`: list, preview, retry and discard the notifications of orders."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from connector.cli import app
from connector.cli.key_argument import key
from connector.cli.output import as_json, moment, plural, table
from connector.cli.runner import run
from connector.errors import ConnectorError, UsageError
from connector.files import create_private

if TYPE_CHECKING:
    from connector.model.notification import Notification
    from connector.notifications.renderer import RenderedText

messages = typer.Typer(
    help="What customers are sent: confirmations, invoices, and the other messages of an order's life.",
    short_help="What customers are sent; send it after all.",
)
app.add_typer(messages, name="messages")

Json = Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")]
Ids = Annotated[list[int], typer.Argument(metavar="ID...", help="As `connector messages list` names them.")]
MAX_LISTED = 1000
LIST_HINT = "`connector messages list` names them."


@messages.command("list", short_help="Messages and what became of them.")
def list_messages(
    state: Annotated[
        str | None, typer.Option(help="due, sent, failed, expired, skipped or discarded.", show_default=False)
    ] = None,
    order: Annotated[str | None, typer.Option(help="Only of this order.", show_default=False, parser=key)] = None,
    json: Json = False,
) -> None:
    """List messages and their state, the oldest first. The recipient is shown on the order only."""
    listed = run(_load_page(state, order))
    if json:
        as_json([_document(item) for item in listed])
        return
    if not listed:
        typer.echo("No messages.")
        return
    rows = [
        (
            str(item.id),
            item.order,
            f"{item.kind.words} {_visible_reference(item)}".strip(),
            item.state.value,
            moment(item.sent_at or item.due_at),
            item.error,
        )
        for item in listed
    ]
    table(("id", "order", "message", "state", "sent or due", "why"), rows)
    if len(listed) == MAX_LISTED:
        typer.echo(f"These are the first {MAX_LISTED:,}: name an order or a state.")


@messages.command(short_help="One message: how it stands, and why.")
def show(
    message: Annotated[int, typer.Argument(metavar="ID", help="As `connector messages list` names it.")],
    json: Json = False,
) -> None:
    """Show the state of a message."""
    stored = run(_find([message]))
    if not stored:
        raise ConnectorError(f"There is no message {message}.", hint=LIST_HINT)
    [message_row] = stored
    if json:
        as_json(_document(message_row))
        return
    title = f"{message_row.kind.words} {_visible_reference(message_row)}".strip()
    typer.echo(f"{title[0].upper()}{title[1:]} of order {message_row.order}: {message_row.state}")
    for name, value in (
        ("Captured", moment(message_row.captured_at)),
        ("Sent", moment(message_row.sent_at) if message_row.sent_at else None),
        ("Due", moment(message_row.due_at) if message_row.state == "due" else None),
        ("Attempts", str(message_row.attempts)),
        ("Why", message_row.error),
        ("Then", f"`connector messages retry {message_row.id}`" if _can_retry(message_row) else None),
    ):
        if value:
            typer.echo(f"  {name + ':':<10} {value}")


@messages.command(short_help="A message as it would be sent.")
def preview(
    number: Annotated[str, typer.Argument(help="The order.", parser=key)],
    kind: Annotated[
        str, typer.Argument(help="confirmation, shipment, invoice, cancellation, return_label, refund or escalation.")
    ],
    reference: Annotated[
        str | None, typer.Option(help="Of which shipment, invoice, …; else the latest.", show_default=False, parser=key)
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the page here instead.", show_default=False)
    ] = None,
) -> None:
    """Print a message as it would be sent now, with the templates in use; nothing is sent."""
    if html is not None and not html.parent.is_dir():
        raise UsageError(f"There is no folder {html.parent}.", hint="Make it, or name another file with --html.")
    rendered = run(_preview(number, kind, reference))
    if html is None:
        typer.echo(f"Subject: {rendered.subject}\n\n{rendered.text}", nl=False)
        return
    create_private(html)
    html.write_text(rendered.html, encoding="utf-8")
    typer.echo(f"{html} shows it.")


@messages.command(short_help="Have messages sent after all.")
def retry(
    ids: Annotated[
        list[int] | None,
        typer.Argument(metavar="[ID...]", help="As `connector messages list` names them.", show_default=False),
    ] = None,
    state: Annotated[
        str | None, typer.Option(help="All that are failed, expired, skipped or discarded.", show_default=False)
    ] = None,
    json: Json = False,
) -> None:
    """Have messages sent that failed, expired, or were skipped or discarded. Exit status 1 if one is none of these."""
    if bool(ids) == bool(state):
        raise UsageError("Which messages?", hint="Name their ids, or a --state.")
    chosen = ids or [item.id for item in run(_load_page(state, None))]
    _report("retried", chosen, run(_settle("retry", chosen)) if chosen else [], json=json)


@messages.command(short_help="Give messages up.")
def discard(ids: Ids, json: Json = False) -> None:
    """Give up messages that were not sent. Exit status 1 if one was sent, or is none."""
    _report("discarded", ids, run(_settle("discard", ids)), json=json)


def _report(name: str, ids: Sequence[int], settled: Sequence[Notification], *, json: bool) -> None:
    others = sorted(set(ids) - {item.id for item in settled})
    if json:
        as_json({name: [item.id for item in settled], "left": others})
    elif settled:
        then = "due again: the service sends them" if name == "retried" else "given up"
        typer.echo(f"{plural(len(settled), 'message')} {then}.")
    elif not others:
        typer.echo("No messages.")
    if others:
        numbers = ", ".join(map(str, others))
        which = "were given up" if name == "retried" else "were not sent"
        raise ConnectorError(f"Not {name}: {numbers}.", hint=f"Only messages that {which} can be. {LIST_HINT}")


def _visible_reference(item: Notification) -> str:
    """Its reference, if it is one that a person knows: the place of an event in the history is none."""
    return "" if item.kind in {"refund", "escalation"} else item.reference


async def _load_page(state: str | None, order: str | None) -> list[Notification]:
    from connector.model.notification import MessageState
    from connector.settings import load_settings
    from connector.store import notifications as store_messages
    from connector.store.schema import open_store

    if state is not None and state not in set(MessageState):
        raise UsageError(f"{state!r} is no state.", hint=f"It is one of {', '.join(MessageState)}.")
    states = [MessageState(state)] if state else []
    async with open_store(load_settings()) as store, store.reader() as connection:
        return await store_messages.list_page(connection, order=order, states=states, limit=MAX_LISTED)


async def _find(ids: list[int]) -> list[Notification]:
    from connector.settings import load_settings
    from connector.store import notifications as store_messages
    from connector.store.schema import open_store

    async with open_store(load_settings()) as store, store.reader() as connection:
        return await store_messages.find(connection, ids)


async def _preview(number: str, kind: str, reference: str | None) -> RenderedText:
    from connector.model.notification import MessageKind, NotificationRequest
    from connector.notifications.composer import ComposedNotification
    from connector.service import local_services
    from connector.settings import load_settings

    if kind not in set(MessageKind):
        raise UsageError(f"{kind!r} is no message.", hint=f"It is one of {', '.join(MessageKind)}.")
    async with local_services(load_settings()) as services, services.store.reader() as connection:
        composer = services.composer
        item = await composer.latest_request(connection, number, MessageKind(kind))
        if item is None:
            raise ConnectorError(f"There is no order {number}.", hint="`connector import PATH` brings orders in.")
        if reference is not None:
            item = NotificationRequest(order=number, kind=item.kind, reference=reference)
        [subject] = await composer.compose_all(connection, [item], services.clock.now())
    if not isinstance(subject, ComposedNotification):
        raise ConnectorError(subject.why, hint="Ask for another kind, or another --reference.")
    return composer.renderer.render(subject.view)


async def _settle(action: str, ids: list[int]) -> list[Notification]:
    from connector.settings import load_settings
    from connector.store import notifications as store_messages
    from connector.store.schema import open_store

    settle = store_messages.retry if action == "retry" else store_messages.discard
    async with open_store(load_settings()) as store, store.transaction() as uow:
        return await settle(uow, ids, by=getpass.getuser())


def _document(item: Notification) -> dict[str, Any]:
    from connector.api.serializers import serialize_message

    return serialize_message(item)


def _can_retry(item: Notification) -> bool:
    from connector.model.notification import UNSENT

    return item.state in UNSENT
