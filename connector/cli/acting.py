"""`connector act`: something asked of an order from the command line, with the same rules as over HTTP."""

from __future__ import annotations

import getpass
from typing import Annotated, Any

import typer

from connector.cli import app
from connector.cli.loop import run
from connector.cli.output import as_json, plural
from connector.errors import UsageError

Lines = Annotated[list[str] | None, typer.Option("--line", metavar="N=QUANTITY", help="A line; may be repeated.")]


@app.command(short_help="Ask something of an order: verify, ship, cancel, …")
def act(
    number: Annotated[str, typer.Argument(help="The order.")],
    action: Annotated[str, typer.Argument(help="What to do, as docs/lifecycle.md lists it.")],
    line: Lines = None,
    written_off: Annotated[
        list[str] | None, typer.Option("--written-off", metavar="N=QUANTITY", help="Of an inspection.")
    ] = None,
    amount: Annotated[str | None, typer.Option(help="In the order's currency.")] = None,
    hold: Annotated[str | None, typer.Option(help="Why it is held, or released.")] = None,
    shipment: Annotated[int | None, typer.Option(help="Which one; needless where only one is meant.")] = None,
    status: Annotated[str | None, typer.Option(help="What the carrier says.")] = None,
    carrier: Annotated[str | None, typer.Option()] = None,
    tracking_number: Annotated[str | None, typer.Option()] = None,
    return_number: Annotated[int | None, typer.Option(help="Which return; needless where only one is meant.")] = None,
    reason: Annotated[str | None, typer.Option(help="Of a return.")] = None,
    resolution: Annotated[str | None, typer.Option(help="Of a return: refund or replacement.")] = None,
    warehouse: Annotated[str | None, typer.Option(help="Where goods are put, or given up.")] = None,
    note: Annotated[str | None, typer.Option(help="For the history.")] = None,
    json: Annotated[bool, typer.Option("--json", help="The order afterwards, as one JSON document.")] = False,
) -> None:
    """Ask something of an order. What it does not allow is refused in one line, and nothing is changed.

    `act NUMBER verify` goes by the rules: the order may end on hold instead. Without --line, allocate, pick, pack and
    ship concern all that is possible.
    """
    said = {
        "action": action, "lines": _quantities(line), "written_off": _quantities(written_off), "amount": amount,
        "hold": hold, "shipment": shipment, "status": status, "carrier": carrier, "tracking_number": tracking_number,
        "return_number": return_number, "reason": reason, "resolution": resolution, "warehouse": warehouse,
        "note": note,
    }  # fmt: skip
    document = run(_act(number, {name: value for name, value in said.items() if value not in (None, {})}))
    if json:
        as_json(document)
        return
    holds = f", on hold ({', '.join(document['holds'])})" if document["holds"] else ""
    typer.echo(
        f"Order {number} is {document['stage']}{holds}: {_words(document['fulfilment_status'])},"
        f" {_words(document['payment_status'])}, {document['amount_due']} {document['currency']} due,"
        f" {plural(len(document['shipments']), 'shipment')}."
    )


async def _act(number: str, said: dict[str, Any]) -> dict[str, Any]:
    from connector.model.event import Action
    from connector.orders.allocation import allocate
    from connector.orders.desk import Command, Desk
    from connector.orders.rules import rules_of
    from connector.orders.verification import verify
    from connector.settings import load_settings
    from connector.store import orders
    from connector.store.opening import opened
    from connector.web.answers import order_said
    from connector.web.bodies import TransitionBody, event_of

    event = event_of(_checked(TransitionBody, said))
    settings = load_settings()
    rules = rules_of(settings)
    async with opened(settings) as store, store.transaction() as uow:
        desk = Desk(uow, actor=getpass.getuser(), rules=rules)
        if event.action is Action.VERIFY:
            await verify(desk, [number])
        elif event.action is Action.ALLOCATE and not event.lines:
            await allocate(desk, [number])
        else:
            if event.action in _ALL and not event.lines and event.shipment is None:
                [(order, _)] = (await desk.load([number])).values()
                said["lines"] = _everything(order, event.action)
                event = event_of(_checked(TransitionBody, said))
            await desk.act([Command(number=number, event=event)])
        [order] = await orders.load(uow.connection, [number])
        return order_said(order)


_ALL = ("pick", "pack", "ship")


def _everything(order: Any, action: str) -> dict[str, Any]:
    """What of each line can be picked, or packed; nothing to ship on its own where a parcel waits for it."""
    packed = order.progress.packed
    left = {
        line.number: line.allocated - line.picked
        if action == "pick"
        else line.picked - line.shipped - packed(line.number)
        for line in order.lines
    }
    return {str(number): str(quantity) for number, quantity in left.items() if quantity > 0}


def _quantities(items: list[str] | None) -> dict[str, str]:
    found: dict[str, str] = {}
    for item in items or ():
        number, sign, quantity = item.partition("=")
        if not sign or not number.strip().isdecimal():
            raise UsageError(f"{item!r} is no line.", hint="Write the line's number and a quantity, as --line 1=2.")
        found[number.strip()] = quantity.strip()
    return found


def _checked(model: Any, said: dict[str, Any]) -> Any:
    from pydantic import ValidationError

    try:
        return model.model_validate(said)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        what = str(first["msg"]).removeprefix("Value error, ")
        raise UsageError(f"{place}: {what}.", hint="`connector act --help` lists what can be said.") from None


def _words(status: str) -> str:
    return status.replace("_", " ")
