"""`connector act`: execute an action on an order, by the same rules as over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from connector.cli import app
from connector.cli.action_options import HELP, ActCommand, action_sentence, check_options, naming_option, sentence
from connector.cli.key_argument import key
from connector.cli.output import as_json
from connector.cli.runner import run
from connector.errors import CommandError, UsageError
from connector.wording import plural

if TYPE_CHECKING:
    from connector.model.events import Event
    from connector.orders.service import Executed
    from connector.store.order_history import StoredEvent

T = TypeVar("T")

Lines = Annotated[
    list[str] | None, typer.Option("--line", metavar="N=QUANTITY", help="Line number and quantity; may be repeated.")
]


@app.command(cls=ActCommand, short_help="Execute an action on an order: verify, ship, cancel, …")
def act(
    number: Annotated[str, typer.Argument(help="Order number.", parser=key)],
    action: Annotated[str, typer.Argument(help="One of the actions below.")],
    line: Lines = None,
    written_off: Annotated[
        list[str] | None,
        typer.Option("--written-off", metavar="N=QUANTITY", help="Line number and the quantity that is not restocked."),
    ] = None,
    line_edit: Annotated[
        list[str] | None,
        typer.Option(
            "--line-edit",
            metavar="N=SKU,QUANTITY[,PRICE[,DISCOUNT]]",
            help="New content of a line; quantity 0 removes it.",
        ),
    ] = None,
    details: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Set a detail, as --set promised_on=2026-01-31; --set NAME= clears it.",
        ),
    ] = None,
    amount: Annotated[str | None, typer.Option(help="Amount in the order's currency.")] = None,
    hold: Annotated[str | None, typer.Option(help="Reason of the hold.")] = None,
    shipment: Annotated[int | None, typer.Option(help="Number of the shipment, if several are possible.")] = None,
    status: Annotated[str | None, typer.Option(help="Status reported by the carrier.")] = None,
    carrier: Annotated[str | None, typer.Option(help="Carrier of the shipment.", parser=key)] = None,
    tracking_number: Annotated[str | None, typer.Option(help="The carrier's tracking number.", parser=key)] = None,
    return_number: Annotated[int | None, typer.Option(help="Number of the return, if several are possible.")] = None,
    reason: Annotated[str | None, typer.Option(help="Why the goods come back.")] = None,
    resolution: Annotated[str | None, typer.Option(help="What the customer gets for the return.")] = None,
    warehouse: Annotated[str | None, typer.Option(help="Warehouse of the stock.", parser=key)] = None,
    on: Annotated[str | None, typer.Option(help="Date of the action, as 2026-01-31; default: today.")] = None,
    reference: Annotated[str | None, typer.Option(help="External reference of the payment.", parser=key)] = None,
    note: Annotated[str | None, typer.Option(help="Note for the history.")] = None,
    request: Annotated[
        str | None, typer.Option(help="Idempotency key: a repeated request changes nothing.", parser=key)
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the resulting order as one JSON document.")] = False,
) -> None:
    """Execute an action on an order. If the order does not allow it, one line says why, and nothing is changed.

    `act NUMBER verify` applies the rules, which can put the order on hold instead. Without --line an action covers all
    possible quantities; without --amount, the whole remaining amount.
    """
    fields = {
        "lines": _parse_quantities("--line", line), "written_off": _parse_quantities("--written-off", written_off),
        "line_edits": _parse_line_edits(line_edit), "details": _parse_details(details), "amount": amount,
        "hold": hold, "shipment": shipment, "status": status, "carrier": carrier, "tracking_number": tracking_number,
        "return_number": return_number, "reason": reason, "resolution": resolution, "warehouse": warehouse,
        "on": on, "reference": reference, "note": note,
    }  # fmt: skip
    given_fields = {name: value for name, value in fields.items() if value not in (None, {})}
    executed, events = run(_execute(number, action, given_fields, request))
    order = executed.order
    if json:
        from connector.api.serializers import serialize_order

        as_json(serialize_order(order))
        return
    if not executed.replayed:
        from connector.api.event_text import done_texts

        for text in done_texts(action, order, events):
            typer.echo(text)
    holds = f", on hold ({', '.join(sorted(order.state.holds))})" if order.state.holds else ""
    typer.echo(
        f"{'Done already. ' if executed.replayed else ''}Order {number} is {order.stage}{holds}:"
        f" {_with_spaces(order.fulfillment_status)},"
        f" {_with_spaces(order.payment_status)}, {order.amount_due} {order.currency} due,"
        f" {plural(len(order.state.shipments), 'shipment')}."
    )


async def _execute(
    number: str, action: str, fields: Mapping[str, object], request: str | None
) -> tuple[Executed, list[StoredEvent]]:
    """Return the resulting order, and the events that this user's command added to its history."""
    from connector.orders.command import OrderCommand
    from connector.service import local_services
    from connector.settings import load_settings
    from connector.store import order_history
    from connector.store.journal import command_line_actor

    command = OrderCommand(number=number, event=_build_event(action, fields), request=request)
    actor = command_line_actor()
    async with local_services(load_settings()) as services:
        async with services.store.reader() as connection:
            known = len(await order_history.read(connection, number))
        try:
            executed = await services.orders.execute(command, actor=actor, audited=True)
        except CommandError as error:
            raise naming_option(error, fields) from None
        async with services.store.reader() as connection:
            events = (await order_history.read(connection, number))[known:]
        return executed, [event for event in events if event.actor == actor]


def _build_event(action: str, fields: Mapping[str, object]) -> Event:
    """Build the event from the options. Raises UsageError, which names every missing, invalid or foreign option."""
    from pydantic import ValidationError

    from connector.api.transitions import ActionBody, TransitionBody, body_of
    from connector.model.action_fields import REQUESTABLE
    from connector.model.actions import Action
    from connector.validation import field_errors

    is_action = action in set(REQUESTABLE)
    if is_action:
        check_options(Action(action), fields)
    model: type[ActionBody | TransitionBody] = body_of(Action(action)) if is_action else TransitionBody
    try:
        body = model.model_validate({"action": action, **fields})
    except ValidationError as error:
        errors = field_errors(error, model)
        texts = [
            sentence(wrong, Action(action), fields) if is_action else action_sentence(wrong, action) for wrong in errors
        ]
        raise UsageError(" ".join(texts), hint=HELP) from None
    return body.requested_action().event if isinstance(body, ActionBody) else body.root.event


def _parse_quantities(option: str, items: list[str] | None) -> dict[str, str]:
    quantities: dict[str, str] = {}
    for item in items or ():
        number, sign, quantity = item.partition("=")
        if not sign or not number.strip().isdecimal():
            raise UsageError(
                f"{option}: invalid value {item!r}.", hint=f"Write the line number and a quantity, as {option} 1=2."
            )
        _put_once(quantities, option, number, quantity.strip())
    return quantities


def _put_once(target: dict[str, T], option: str, name: str, value: T) -> None:
    """Set `target[name]`. Raises UsageError for a repeated name, because the last value would win silently."""
    name = name.strip()
    if name in target:
        raise UsageError(f"{option}: {name} is given twice.", hint="Give it once.")
    target[name] = value


def _parse_line_edits(items: list[str] | None) -> dict[str, dict[str, str]]:
    edits: dict[str, dict[str, str]] = {}
    for item in items or ():
        number, sign, rest = item.partition("=")
        parts = [part.strip() for part in rest.split(",")]
        if not sign or not number.strip().isdecimal() or not 2 <= len(parts) <= 4:
            hint = "Write line number, SKU and quantity, as --line-edit 2=TEA-EB-100,5; price and discount may follow."
            raise UsageError(f"--line-edit: invalid value {item!r}.", hint=hint)
        _put_once(
            edits, "--line-edit", number, dict(zip(("sku", "quantity", "unit_price", "discount"), parts, strict=False))
        )
    return edits


def _parse_details(items: list[str] | None) -> dict[str, str | bool | None]:
    """Parse NAME=VALUE; an empty value clears the detail."""
    from connector.model.order_header import CHANGEABLE, FieldKind

    flag_values = {"yes": True, "true": True, "no": False, "false": False}
    flags = {name for name, info in CHANGEABLE.items() if info.kind is FieldKind.FLAG}
    details: dict[str, str | bool | None] = {}
    for item in items or ():
        name, sign, value = item.partition("=")
        if not sign:
            raise UsageError(
                f"--set: invalid value {item!r}.", hint="Write NAME=VALUE, as --set promised_on=2026-01-31."
            )
        flag = flag_values.get(value.lower()) if name.strip() in flags else None
        _put_once(details, "--set", name, value or None if flag is None else flag)
    return details


def _with_spaces(status: str) -> str:
    return status.replace("_", " ")
