"""`connector act`: something asked of an order from the command line, with the same rules as over HTTP."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from connector.cli import app
from connector.cli.action_options import HELP, ActCommand, check_options, naming_option, sentence
from connector.cli.key_argument import key
from connector.cli.output import as_json, plural
from connector.cli.runner import run
from connector.errors import CommandError, UsageError

if TYPE_CHECKING:
    from connector.model.events import Event

Lines = Annotated[
    list[str] | None, typer.Option("--line", metavar="N=QUANTITY", help="A line and how much of it; may be repeated.")
]


@app.command(cls=ActCommand, short_help="Ask something of an order: verify, ship, cancel, …")
def act(
    number: Annotated[str, typer.Argument(help="The order.", parser=key)],
    action: Annotated[str, typer.Argument(help="What to do: one of the actions below.")],
    line: Lines = None,
    written_off: Annotated[
        list[str] | None,
        typer.Option("--written-off", metavar="N=QUANTITY", help="A line of which so much goes on no shelf."),
    ] = None,
    line_edit: Annotated[
        list[str] | None,
        typer.Option(
            "--line-edit",
            metavar="N=SKU,QUANTITY[,PRICE[,DISCOUNT]]",
            help="A line as it is to be; quantity 0 takes it out.",
        ),
    ] = None,
    detail: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="A detail as it is to be, as --set promised_on=2026-01-31; --set NAME= takes it out.",
        ),
    ] = None,
    amount: Annotated[str | None, typer.Option(help="In the order's currency.")] = None,
    hold: Annotated[str | None, typer.Option(help="Why it is held, or released.")] = None,
    shipment: Annotated[int | None, typer.Option(help="Optional if only one is possible.")] = None,
    status: Annotated[str | None, typer.Option(help="What the carrier says.")] = None,
    carrier: Annotated[str | None, typer.Option(help="Who takes the shipment.", parser=key)] = None,
    tracking_number: Annotated[str | None, typer.Option(help="The carrier's number.", parser=key)] = None,
    return_number: Annotated[int | None, typer.Option(help="Optional if only one is possible.")] = None,
    reason: Annotated[str | None, typer.Option(help="Why it comes back.")] = None,
    resolution: Annotated[str | None, typer.Option(help="What the customer gets for it.")] = None,
    warehouse: Annotated[str | None, typer.Option(help="The one that is concerned.", parser=key)] = None,
    on: Annotated[str | None, typer.Option(help="The day it happened, as 2026-01-31; default: today.")] = None,
    reference: Annotated[str | None, typer.Option(help="The payment's number elsewhere.", parser=key)] = None,
    note: Annotated[str | None, typer.Option(help="For the history.")] = None,
    request: Annotated[
        str | None, typer.Option(help="Your idempotency key: the same again changes nothing.", parser=key)
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="The order afterwards, as one JSON document.")] = False,
) -> None:
    """Ask something of an order. What it does not allow is refused in one line, and nothing is changed.

    `act NUMBER verify` goes by the rules: the order may end on hold instead. Without --line an action concerns all that
    is possible, without --amount all that is left.
    """
    fields = {
        "lines": _parse_quantities("--line", line), "written_off": _parse_quantities("--written-off", written_off),
        "line_edits": _parse_line_edits(line_edit), "details": _parse_details(detail), "amount": amount,
        "hold": hold, "shipment": shipment, "status": status, "carrier": carrier, "tracking_number": tracking_number,
        "return_number": return_number, "reason": reason, "resolution": resolution, "warehouse": warehouse,
        "on": on, "reference": reference, "note": note,
    }  # fmt: skip
    given_fields = {name: value for name, value in fields.items() if value not in (None, {})}
    document, replayed = run(_execute(number, action, given_fields, request))
    if json:
        as_json(document)
        return
    holds = f", on hold ({', '.join(document['holds'])})" if document["holds"] else ""
    typer.echo(
        f"{'Done before. ' if replayed else ''}Order {number} is {document['stage']}{holds}:"
        f" {_with_spaces(document['fulfillment_status'])},"
        f" {_with_spaces(document['payment_status'])}, {document['amount_due']} {document['currency']} due,"
        f" {plural(len(document['shipments']), 'shipment')}."
    )


async def _execute(
    number: str, action: str, fields: dict[str, Any], request: str | None
) -> tuple[dict[str, Any], bool]:
    """The order afterwards, and whether this request was carried out before."""
    from connector.api.serializers import serialize_order
    from connector.orders.command import OrderCommand
    from connector.service import local_services
    from connector.settings import load_settings

    command = OrderCommand(number=number, event=_build_event(action, fields), request=request)
    async with local_services(load_settings()) as services:
        try:
            executed = await services.orders.execute(command, actor=getpass.getuser())
        except CommandError as error:
            raise naming_option(error, fields) from None
    return serialize_order(executed.order), executed.replayed


def _build_event(action: str, fields: dict[str, Any]) -> Event:
    """The event that the options ask for; UsageError that names every option that is missing, wrong, or too much."""
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
        texts = [sentence(wrong, Action(action), fields) if is_action else wrong.sentence("act") for wrong in errors]
        raise UsageError(" ".join(texts), hint=HELP) from None
    return body.transition().event if isinstance(body, ActionBody) else body.root.event


def _parse_quantities(option: str, items: list[str] | None) -> dict[str, str]:
    quantities: dict[str, str] = {}
    for item in items or ():
        number, sign, quantity = item.partition("=")
        if not sign or not number.strip().isdecimal():
            raise UsageError(f"{item!r} is no line.", hint=f"Write the line's number and a quantity, as {option} 1=2.")
        _put_once(quantities, option, number, quantity.strip())
    return quantities


def _put_once(target: dict[str, Any], option: str, name: str, value: Any) -> None:
    """The last of two would count in silence."""
    name = name.strip()
    if name in target:
        raise UsageError(f"{option} names {name} twice.", hint="Name it once.")
    target[name] = value


def _parse_line_edits(items: list[str] | None) -> dict[str, dict[str, str]]:
    edits: dict[str, dict[str, str]] = {}
    for item in items or ():
        number, sign, rest = item.partition("=")
        parts = [part.strip() for part in rest.split(",")]
        if not sign or not number.strip().isdecimal() or not 2 <= len(parts) <= 4:
            hint = "Write line, SKU and quantity, as --line-edit 2=TEA-EB-100,5; price and discount may follow."
            raise UsageError(f"{item!r} is no line.", hint=hint)
        _put_once(
            edits, "--line-edit", number, dict(zip(("sku", "quantity", "unit_price", "discount"), parts, strict=False))
        )
    return edits


def _parse_details(items: list[str] | None) -> dict[str, str | bool | None]:
    """An empty value takes a detail out."""
    from connector.model.order_header import CHANGEABLE, FieldKind

    flag_values = {"yes": True, "true": True, "no": False, "false": False}
    flags = {name for name, info in CHANGEABLE.items() if info.kind is FieldKind.FLAG}
    details: dict[str, str | bool | None] = {}
    for item in items or ():
        name, sign, value = item.partition("=")
        if not sign:
            raise UsageError(f"{item!r} is no detail.", hint="Write it as --set promised_on=2026-01-31.")
        flag = flag_values.get(value.lower()) if name.strip() in flags else None
        _put_once(details, "--set", name, value or None if flag is None else flag)
    return details


def _with_spaces(status: str) -> str:
    return status.replace("_", " ")
