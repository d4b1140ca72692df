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
    term: Annotated[
        list[str] | None,
        typer.Option(
            "--term", metavar="N=SKU,QUANTITY[,PRICE[,DISCOUNT]]", help="Of a change: a line; quantity 0 ends it."
        ),
    ] = None,
    detail: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Of a change: ship_to_street, promised_on, …; --set NAME= takes it out.",
        ),
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
    request: Annotated[str | None, typer.Option(help="Your own name for this: the same again does nothing.")] = None,
    json: Annotated[bool, typer.Option("--json", help="The order afterwards, as one JSON document.")] = False,
) -> None:
    """Ask something of an order. What it does not allow is refused in one line, and nothing is changed.

    `act NUMBER verify` goes by the rules: the order may end on hold instead. Without --line an action concerns all that
    is possible, without --amount all that is left.
    """
    said = {
        "action": action, "lines": _quantities(line), "written_off": _quantities(written_off),
        "terms": _terms(term), "details": _details(detail), "amount": amount,
        "hold": hold, "shipment": shipment, "status": status, "carrier": carrier, "tracking_number": tracking_number,
        "return_number": return_number, "reason": reason, "resolution": resolution, "warehouse": warehouse,
        "note": note,
    }  # fmt: skip
    asked = {name: value for name, value in said.items() if value not in (None, {})}
    document, again = run(_act(number, asked, request))
    if json:
        as_json(document)
        return
    holds = f", on hold ({', '.join(document['holds'])})" if document["holds"] else ""
    typer.echo(
        f"{'Done before. ' if again else ''}Order {number} is {document['stage']}{holds}:"
        f" {_words(document['fulfilment_status'])},"
        f" {_words(document['payment_status'])}, {document['amount_due']} {document['currency']} due,"
        f" {plural(len(document['shipments']), 'shipment')}."
    )


async def _act(number: str, said: dict[str, Any], request: str | None) -> tuple[dict[str, Any], bool]:
    """The order afterwards, and whether this request was carried out before."""
    from connector.orders.asking import ask
    from connector.orders.desk import Command, Desk
    from connector.orders.rules import rules_of
    from connector.settings import load_settings
    from connector.store import orders
    from connector.store.again import repeated
    from connector.store.opening import opened
    from connector.web.answers import order_said
    from connector.web.bodies import TransitionBody, event_of

    asked = Command(number=number, event=event_of(_checked(TransitionBody, said)), request=_named(request))
    settings = load_settings()
    rules = rules_of(settings)
    async with opened(settings) as store:

        async def once() -> tuple[dict[str, Any], bool]:
            async with store.transaction() as uow:
                desk = Desk(uow, actor=getpass.getuser(), rules=rules)
                await ask(desk, asked)
                [order] = await orders.load(uow.connection, [number])
                return order_said(order), (number, asked.request) in desk.repeated

        return await repeated(store.clock, once)


def _named(request: str | None) -> str | None:
    from connector.web.bodies import KEY

    if request is not None and not KEY.fullmatch(request):
        raise UsageError("--request must be 1 to 80 characters that can be seen.")
    return request


def _quantities(items: list[str] | None) -> dict[str, str]:
    found: dict[str, str] = {}
    for item in items or ():
        number, sign, quantity = item.partition("=")
        if not sign or not number.strip().isdecimal():
            raise UsageError(f"{item!r} is no line.", hint="Write the line's number and a quantity, as --line 1=2.")
        found[number.strip()] = quantity.strip()
    return found


def _terms(items: list[str] | None) -> dict[str, dict[str, str]]:
    found = {}
    for item in items or ():
        number, sign, rest = item.partition("=")
        parts = [part.strip() for part in rest.split(",")]
        if not sign or not number.strip().isdecimal() or not 2 <= len(parts) <= 4:
            hint = "Write line, SKU and quantity, as --term 2=TEA-EB-100,5; price and discount may follow."
            raise UsageError(f"{item!r} is no line.", hint=hint)
        found[number.strip()] = dict(zip(("sku", "quantity", "unit_price", "discount"), parts, strict=False))
    return found


def _details(items: list[str] | None) -> dict[str, str | bool | None]:
    """An empty value takes a detail out."""
    yes_no = {"yes": True, "true": True, "no": False, "false": False}
    found: dict[str, str | bool | None] = {}
    for item in items or ():
        name, sign, value = item.partition("=")
        if not sign:
            raise UsageError(f"{item!r} is no detail.", hint="Write it as --set promised_on=2026-01-31.")
        name = name.strip()
        found[name] = yes_no.get(value.lower(), value) if name == "ship_complete" else value or None
    return found


def _checked(model: Any, said: dict[str, Any]) -> Any:
    from pydantic import ValidationError

    from connector.orders.wrongs import wrongs

    try:
        return model.model_validate(said)
    except ValidationError as error:
        first = wrongs(error, model)[0]
        hint = "`connector act --help` lists what can be said."
        raise UsageError(first.sentence("act"), hint=hint) from None


def _words(status: str) -> str:
    return status.replace("_", " ")
