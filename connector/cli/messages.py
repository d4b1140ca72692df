"""`connector messages`: list, preview, retry and discard the notifications of orders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from connector.cli import app
from connector.cli.key_argument import key
from connector.cli.output import as_json, moment, table
from connector.cli.runner import run
from connector.errors import ConnectorError, UsageError
from connector.files import create_private
from connector.wording import plural

if TYPE_CHECKING:
    from connector.model.notification import Notification
    from connector.notifications.renderer import RenderedText

messages = typer.Typer(
    help="Messages to customers: confirmations, invoices, and the other notifications of an order.",
    short_help="List, preview and resend messages to customers.",
)
app.add_typer(messages, name="messages")

Json = Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")]
Ids = Annotated[list[int], typer.Argument(metavar="ID...", help="As `connector messages list` shows them.")]
MAX_LISTED = 1000
LIST_HINT = "`connector messages list` shows all messages."


@messages.command("list", short_help="List messages and their state.")
def list_messages(
    state: Annotated[
        str | None,
        typer.Option(help="Only this state: due, sent, failed, expired, skipped or discarded.", show_default=False),
    ] = None,
    order: Annotated[str | None, typer.Option(help="Only this order.", show_default=False, parser=key)] = None,
    json: Json = False,
) -> None:
    """List messages and their state, oldest first. The recipient is shown only on the order."""
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
        typer.echo(f"Only the first {MAX_LISTED:,} are listed: use --order or --state.")


@messages.command(short_help="Show one message: its state, and why.")
def show(
    message: Annotated[int, typer.Argument(metavar="ID", help="As `connector messages list` shows it.")],
    json: Json = False,
) -> None:
    """Show the state of a message, why, and what to do."""
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


@messages.command(short_help="Print a message as it would be sent.")
def preview(
    number: Annotated[str, typer.Argument(help="Order number.", parser=key)],
    kind: Annotated[
        str, typer.Argument(help="confirmation, shipment, invoice, cancellation, return_label, refund or escalation.")
    ],
    reference: Annotated[
        str | None,
        typer.Option(help="Which shipment, invoice, …; default: the latest.", show_default=False, parser=key),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the HTML page to this file instead.", show_default=False)
    ] = None,
) -> None:
    """Print a message as it would be sent now, with the templates in use; nothing is sent."""
    if html is not None and not html.parent.is_dir():
        raise UsageError(f"--html: the folder {html.parent} does not exist.", hint="Create it, or name another file.")
    rendered = run(_preview(number, kind, reference))
    if html is None:
        typer.echo(f"Subject: {rendered.subject}\n\n{rendered.text}", nl=False)
        return
    create_private(html)
    html.write_text(rendered.html, encoding="utf-8")
    typer.echo(f"Written to {html}.")


@messages.command(short_help="Make messages due again.")
def retry(
    ids: Annotated[
        list[int] | None,
        typer.Argument(metavar="[ID...]", help="As `connector messages list` shows them.", show_default=False),
    ] = None,
    state: Annotated[
        str | None, typer.Option(help="All in this state: failed, expired, skipped or discarded.", show_default=False)
    ] = None,
    json: Json = False,
) -> None:
    """Make messages due again that failed, expired, were skipped or discarded. Exit status 1 if one of the IDs is in
    another state, or does not exist.
    """
    if bool(ids) == bool(state):
        raise UsageError("messages retry: either ID or --state is required.", hint=LIST_HINT)
    chosen = ids or [item.id for item in run(_load_page(state, None))]
    settled, obstacle = run(_settle("retry", chosen)) if chosen else ([], "")
    _report("retried", chosen, settled, obstacle, json=json)


@messages.command(short_help="Discard messages that were not sent.")
def discard(ids: Ids, json: Json = False) -> None:
    """Discard messages that were not sent. Exit status 1 if one of the IDs was sent, or does not exist."""
    settled, obstacle = run(_settle("discard", ids))
    _report("discarded", ids, settled, obstacle, json=json)


def _report(name: str, ids: Sequence[int], settled: Sequence[Notification], obstacle: str, *, json: bool) -> None:
    """`obstacle`: why the service sends none now."""
    others = sorted(set(ids) - {item.id for item in settled})
    if json:
        as_json({name: [item.id for item in settled], "left": others})
    elif settled:
        then = f"due again. {obstacle}" if obstacle else "due again: the service sends them."
        typer.echo(f"{plural(len(settled), 'message')} {then if name == 'retried' else 'discarded.'}")
    elif not others:
        typer.echo("No messages.")
    if others:
        numbers = ", ".join(map(str, others))
        allowed = (
            "failed, expired, skipped and discarded messages" if name == "retried" else "messages that were not sent"
        )
        raise ConnectorError(f"Not {name}: {numbers}.", hint=f"Only {allowed} can be {name}. {LIST_HINT}")


def _visible_reference(item: Notification) -> str:
    """The reference, if it means something to a person; the position of an event in the history does not."""
    return "" if item.kind in {"refund", "escalation"} else item.reference


async def _load_page(state: str | None, order: str | None) -> list[Notification]:
    from connector.model.notification import MessageState
    from connector.settings import load_settings
    from connector.store import notifications as store_messages
    from connector.store.schema import open_store

    if state is not None and state not in set(MessageState):
        raise UsageError(f"--state: invalid state {state!r}.", hint=f"Use one of {', '.join(MessageState)}.")
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
        raise UsageError(f"KIND: invalid value {kind!r}.", hint=f"Use one of {', '.join(MessageKind)}.")
    async with local_services(load_settings()) as services, services.store.reader() as connection:
        composer = services.composer
        item = await composer.latest_request(connection, number, MessageKind(kind))
        if item is None:
            raise ConnectorError(f"There is no order {number}.", hint="`connector import PATH` brings orders in.")
        if reference is not None:
            item = NotificationRequest(order=number, kind=item.kind, reference=reference)
        [subject] = await composer.compose_all(connection, [item], services.clock.now())
    if not isinstance(subject, ComposedNotification):
        raise ConnectorError(subject.why, hint=_missing_hint(kind, number))
    return composer.renderer.render(subject.view)


def _missing_hint(kind: str, number: str) -> str:
    if kind == "invoice":
        return f"`connector act {number} invoice` makes one; or choose another kind or --reference."
    return "Choose another kind, or another --reference."


async def _settle(action: str, ids: list[int]) -> tuple[list[Notification], str]:
    """The messages that were changed, and why the service sends none now."""
    from connector.jobs.job_obstacles import find_job_obstacle
    from connector.jobs.schedule import define_jobs
    from connector.settings import load_settings
    from connector.store import notifications as store_messages
    from connector.store.journal import command_line_actor
    from connector.store.schema import open_store

    settle = store_messages.retry if action == "retry" else store_messages.discard
    settings = load_settings()
    turned_on = {job.name for job in define_jobs(settings)}
    async with open_store(settings) as store, store.transaction() as uow:
        settled = await settle(uow, ids, by=command_line_actor())
        obstacle = await find_job_obstacle(uow.connection, turned_on, "notifications", uow.now)
        return settled, "" if obstacle is None else f"{obstacle.text} {obstacle.more}"


def _document(item: Notification) -> dict[str, Any]:
    from connector.api.serializers import serialize_message

    return serialize_message(item)


def _can_retry(item: Notification) -> bool:
    from connector.model.notification import UNSENT

    return item.state in UNSENT
