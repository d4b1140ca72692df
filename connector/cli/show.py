"""`connector show`: one entity as it is stored here and in the org, and what is still due."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, is_dataclass
from datetime import datetime
from decimal import Decimal
from operator import attrgetter
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from connector.api.event_text import event_text
from connector.cli import app
from connector.cli.key_argument import key as parse_key
from connector.cli.output import amount, as_json, moment, one_line, quantity, table
from connector.cli.runner import run
from connector.errors import ConnectorError, UsageError
from connector.wording import plural

if TYPE_CHECKING:
    from connector.model.change import EntityKind
    from connector.model.order import Line, Order
    from connector.model.order_return import OrderReturn
    from connector.store.journal import JournalRecord

ENTITIES = ("customer", "product", "order", "return")
HIDDEN = {"version", "holds", "declined"}
"""Internal fields, or fields that are shown in another way; --json has them."""

LATEST = 10
_OF_THE_JOURNEY = frozenset({"call", "captured_at", "lane", "attempts", "mapping_version"})
"""Journal entries shown."""
NAMES = 22
"""Minimum width of the column of names."""


@app.command(short_help="Show one customer, product, order or return.")
def show(
    entity: Annotated[str, typer.Argument(help="customer, product, order or return.")],
    key: Annotated[
        str,
        typer.Argument(
            help="The number of a customer or order, the SKU of a product, a return as 10248-RMA1.", parser=parse_key
        ),
    ],
    json: Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")] = False,
) -> None:
    """Show one entity: its values here, its records in the org with the values that are noted of them here,
    what is due, and its history. Reads only the database.
    """
    from connector.model.change import EntityKind

    if entity not in ENTITIES:
        raise UsageError(f"ENTITY: invalid value {entity!r}.", hint="Use one of customer, product, order, return.")
    document = run(_load(EntityKind(entity), key))
    if json:
        as_json(document)
    else:
        _print(document)


async def _load(kind: EntityKind, key: str) -> dict[str, Any]:
    from connector.api.serializers import serialize_action, serialize_conflict
    from connector.model.change import EntityKind
    from connector.settings import load_settings
    from connector.store import (
        conflicts,
        customers,
        deleted_records,
        journal,
        links,
        order_actions,
        order_history,
        orders,
        orgs,
        outbox,
        products,
        restored_fields,
        returns,
        sync_messages,
    )
    from connector.store.queries.entity_orgs import find_orgs
    from connector.store.schema import open_store

    modules: dict[EntityKind, Any] = {
        EntityKind.CUSTOMER: customers,
        EntityKind.PRODUCT: products,
        EntityKind.ORDER: orders,
        EntityKind.RETURN: returns,
    }
    settings = load_settings()
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(settings))
        connection = await stack.enter_async_context(store.reader())
        entities = await modules[kind].load(connection, [key])
        if not entities:
            raise ConnectorError(
                f"There is no {kind} {key} in the database.", hint="`connector import PATH` imports it."
            )
        name = settings.org
        if settings.orgs:  # products are in all of them
            name = (await find_orgs(connection, kind, [key])).get(key, settings.org)
            connection = await stack.enter_async_context(store.for_org(name).reader())
        org = await orgs.get_active(connection)
        org_id = org.org_id if org else ""
        linked = list((await links.get(connection, org_id, kind.value, [key])).values())
        if kind is EntityKind.ORDER:
            linked += (await links.children(connection, org_id, "line", [key])).get(key, {}).values()
        elif kind is EntityKind.RETURN:
            linked += (await links.children(connection, org_id, "return_line", [key])).get(key, {}).values()
        elif kind is EntityKind.PRODUCT:
            linked += (await links.children(connection, org_id, "price", [key])).get(key, {}).values()
        deleted = {
            item.record_id: item
            for entity in {link.entity for link in linked}
            for item in (
                await deleted_records.get(
                    connection, org_id, entity, [link.key for link in linked if link.entity == entity]
                )
            ).values()
        }
        opened = [
            item
            for entity in sorted({link.entity for link in linked})
            for by_field in (
                await conflicts.open_fields(
                    connection, org_id, entity, [link.key for link in linked if link.entity == entity]
                )
            ).values()
            for item in by_field.values()
        ]
        told = await sync_messages.texts(connection, org_id, [link.salesforce_id for link in linked])
        unsent = await outbox.find(connection, kind, [key])
        restored = await restored_fields.list_pending(connection, org_id, linked) if key in unsent else {}
        entries = await journal.read(connection, kind.value, key, limit=LATEST)
        events = await order_history.read(connection, key) if kind is EntityKind.ORDER else []
        actions = await order_actions.list_latest(connection, order=key) if kind is EntityKind.ORDER else []
    document: dict[str, Any] = {"entity": kind.value, "key": key, "here": _entity_document(entities[0])}
    document["org"], document["is_of_other_org"] = name, name != settings.org
    document["in_org"] = [
        asdict(link)
        | {"deleted": asdict(deleted[link.salesforce_id]) if link.salesforce_id in deleted else None}
        | {"to_restore": restored.get((link.entity, link.key), {})}
        for link in linked
    ]
    document["unsent"] = {**asdict(unsent[key]), "state": unsent[key].state.word} if key in unsent else None
    document["conflicts"] = [serialize_conflict(item) for item in opened]
    document["told_in_org"] = [text for record in told.values() for text in record.splitlines()]
    document["journal"] = [_journal_document(entry) for entry in entries]
    if kind is EntityKind.ORDER:
        document["history"] = [
            {"at": event.at, "actor": event.actor, **event.payload, "stage": event.after} for event in events
        ]
        document["actions"] = [serialize_action(item) for item in actions]
    return document


def _journal_document(entry: JournalRecord) -> dict[str, Any]:
    """An entry with its detail; when a record was changed in the org is `changed_at`. What a journey shows of the call
    is left out."""
    detail = {
        "changed_at" if name == "at" else name: value
        for name, value in entry.detail.items()
        if name not in _OF_THE_JOURNEY
    }
    return {"at": entry.at, "action": entry.action, **detail}


def _entity_document(item: Any) -> dict[str, Any]:
    from connector.model.order import Order
    from connector.model.order_return import OrderReturn

    if isinstance(item, OrderReturn):
        return _return_document(item)
    if not isinstance(item, Order):
        return asdict(item)
    document = _flat_fields(item)
    document["lines"] = [_order_line_document(line) for line in item.lines]
    for name in ("exact_total", "amount_due", "fulfillment_status", "payment_status", "hold_reason"):
        document[name] = getattr(item, name)
    document["holds"] = sorted(item.state.holds)
    return document


def _order_line_document(line: Line) -> dict[str, Any]:
    document = _flat_fields(line)
    del document["waits"]
    return {**document, "exact_total": line.exact_total, "backordered": line.backordered}


def _flat_fields(item: Order | Line) -> dict[str, Any]:
    """Every field by name, those of inline parts as its own."""
    from connector.model.copying import inlined

    values = {name: attrgetter(path)(item) for name, path in inlined(type(item)).items()}
    return {name: asdict(value) if is_dataclass(value) and not isinstance(value, type)
            else {key: asdict(part) for key, part in value.items()} if isinstance(value, Mapping) else value
            for name, value in values.items()}  # fmt: skip


def _return_document(item: OrderReturn) -> dict[str, Any]:
    """A return alone: of its order only the number."""
    names = ("number", "status", "reason", "resolution", "carrier", "tracking_number", "requested_on")
    quantities = ("requested", "received", "restocked", "written_off", "exact_total")
    return {
        "order": item.order.number,
        "customer": {"number": item.customer.number, "name": item.customer.name},
        **{name: getattr(item, name) for name in names},
        "lines": [
            {"number": line.number, "sku": line.line.product.sku, **{name: getattr(line, name) for name in quantities}}
            for line in item.lines
        ],
    }


def _print(document: dict[str, Any]) -> None:
    here = document["here"]
    typer.echo(f"{document['entity'].capitalize()} {document['key']}, as it is here:")
    if "customer" in here:
        here["customer"] = f"{here['customer']['number']}  {here['customer']['name']}"
    _print_values((name, value) for name, value in here.items() if name not in HIDDEN)
    if here.get("lines") and document["entity"] == "return":
        names = ("sku", "requested", "received", "restocked", "written_off")
        returned = [(f"  {line['number']}", *(line[name] for name in names)) for line in here["lines"]]
        typer.echo("")
        table(("  line", *(name.replace("_", " ") for name in names)), returned)
    elif here.get("lines"):
        rows = [_line_cells(line) for line in here["lines"]]
        typer.echo("")
        table(("  line", "sku", "quantity", "shipped", "delivered", "unit_price", "discount", "exact_total"), rows)
    for shipment in here.get("shipments", {}).values():
        typer.echo(f"  {'shipment ' + str(shipment['number']):<22} {_shipment_text(shipment)}")
    for price in here.get("prices", ()):
        typer.echo(f"  {'price':<22} {amount(price['unit_price'])} {price['currency']}")
    for link in document["in_org"]:
        since = f" at {moment(link['synced_at'])}" if link["synced_at"] else ""
        typer.echo(f"\nIn the org: {link['sobject']} {link['salesforce_id']}, as noted here{since}:")
        _print_values(link["snapshot"].items(), _field_notes(link, document["conflicts"]))
        if (deleted := link["deleted"]) is not None:
            typer.echo(f"  {_deleted_text(deleted, document)}")
    if document.get("history"):
        typer.echo("\nHistory, oldest first:")
        for event in document["history"]:
            text = one_line(event_text(event, here["currency"]))
            typer.echo(f"  {moment(event['at'])}  {event['stage']:<10} {event['actor']:<12} {text}".rstrip())
    _print_differences(document)
    _print_actions(document.get("actions", ()))
    typer.echo("")
    if document["is_of_other_org"]:
        typer.echo(
            f"It belongs to the org {document['org']}: begin commands for it with CONNECTOR_ORG={document['org']}."
            if document["org"]
            else "It belongs to the default org: leave CONNECTOR_ORG out of commands for it."
        )
    _print_due(document)
    if document["journal"]:
        typer.echo("\nJournal, newest first:")
        for entry in document["journal"]:
            detail = " ".join(str(value) for name, value in entry.items() if name not in {"at", "action"} and value)
            typer.echo(f"  {moment(entry['at'])}  {entry['action']:<10} {one_line(detail)}")


def _print_differences(document: dict[str, Any]) -> None:
    """What both sides changed and a person decides, and what reps read on the record."""
    for item in document["conflicts"]:
        values = f"{item['local']!r} here, {item['remote']!r} in the org"
        typer.echo(f"\nConflict {item['id']}: {item['sobject']}.{item['field']} is {values}.")
        typer.echo(f"  `connector conflicts resolve {item['id']} --take local` or `--take salesforce` decides it.")
    for text in document["told_in_org"]:
        typer.echo(f"\nReps read on the record: {text}")


def _print_actions(actions: Sequence[Mapping[str, Any]]) -> None:
    """What people asked of the order in the org, and what they were answered."""
    if not actions:
        return
    typer.echo("\nAsked for in the org, newest first:")
    for action in actions[:LATEST]:
        reason = f" ({one_line(action['reason'])})" if action["reason"] else ""
        typer.echo(f"  {moment(action['at'])}  {action['action'] or '?'}{reason} by {action['who']}: {action['state']}")
        typer.echo(f"    {action['message']}")
    if len(actions) > LATEST:
        typer.echo(f"  … and {len(actions) - LATEST:,} earlier: --json lists the latest 100.")


def _deleted_text(deleted: dict[str, Any], document: dict[str, Any]) -> str:
    by = f" by {deleted['deleted_by']}" if deleted["deleted_by"] else ""
    when = f"{moment(deleted['deleted_at'])}{by}"
    if deleted["merged_into"]:
        return (
            f"Merged in the org into {deleted['merged_into']}, which is another customer's, {when}: orders of both"
            f" refer to it there. `connector resync {document['entity']} {document['key']} --recreate` gives this one"
            " an account of its own again."
        )
    return f"Deleted in the org {when}."


def _line_cells(line: dict[str, Any]) -> tuple[Any, ...]:
    values = [line["product"]["sku"], *(quantity(line[name]) for name in ("quantity", "shipped", "delivered"))]
    values.append(amount(line["unit_price"]))
    return (f"  {line['number']}", *values, _percent(line["discount"]), amount(line["exact_total"]))


def _shipment_text(shipment: dict[str, Any]) -> str:
    """`in transit, Swift Post SP1, shipped 2026-03-04`."""
    parts = [shipment["status"].replace("_", " ")]
    parts.append(" ".join(str(shipment[name]) for name in ("carrier", "tracking_number") if shipment[name]))
    parts += [f"{name} {shipment[f'{name}_on']}" for name in ("shipped", "delivered") if shipment[f"{name}_on"]]
    return ", ".join(part for part in parts if part)


def _print_due(document: dict[str, Any]) -> None:
    unsent = document["unsent"]
    listed = {link["key"] for link in document["in_org"]}
    missing = [price["currency"] for price in document["here"].get("prices", ()) if document["in_org"]
               and f"{document['key']}|{price['currency']}" not in listed]  # fmt: skip
    if unsent is None and missing:
        typer.echo(f"Nothing is due. The org has no {', '.join(missing)}, so that price is not in the org.")
    elif unsent is None:
        latest: dict[str, Any] = document["journal"][0] if document["journal"] else {"action": ""}
        if latest["action"] == "discarded":
            missing_there = "the org has older values" if document["in_org"] else "it is not in the org"
            typer.echo(f"Nothing is due, and {missing_there}: its change was discarded on {moment(latest['at'])}.")
            typer.echo(f"`connector resync {document['entity']} {document['key']}` sends it.")
        elif deleted := _own_deletion(document):
            if deleted["merged_into"]:
                typer.echo(f"Nothing is due: {deleted['merged_into']} took the place of its record.")
            else:
                typer.echo("Nothing is due, and the org does not have it: its record was deleted there.")
                typer.echo(f"`connector resync {document['entity']} {document['key']} --recreate` creates it again.")
        elif document["in_org"]:
            typer.echo("Nothing is due: the org has it as it is here.")
        elif latest["action"] == "unlinked":
            typer.echo(
                "Nothing is due, and it is linked to no record: `connector link` links it to one; its next change or"
            )
            typer.echo("`connector resync` finds one by its key, or creates one.")
        else:
            typer.echo("Nothing is due, and it is not in the org: the mapping leaves it out (`when:`).")
    elif unsent["refusal"]:
        refusal = unsent["refusal"]
        typer.echo(f"Refused: {refusal['message']}")
        typer.echo(f"  What to do: {refusal['fix']}")
        typer.echo(f"  Then: `connector dead-letters replay {_replay_target(document)}` and `connector push`.")
    else:
        tried = f", {plural(unsent['attempts'], 'attempt')} so far" if unsent["attempts"] else ""
        why = f" ({unsent['error']})" if unsent["error"] else ""
        typer.echo(f"Due since {moment(unsent['captured_at'])}{tried}{why}: `connector push` sends it.")


def _own_deletion(document: dict[str, Any]) -> dict[str, Any] | None:
    """How the record of the entity itself was deleted; else how one of a part, as a line."""
    deletions = [link["deleted"] for link in document["in_org"] if link["deleted"]]
    own = [item for item in deletions if item["entity"] == document["entity"]]
    return next(iter(own + deletions), None)


def _replay_target(document: dict[str, Any]) -> str:
    """What to replay. A blocked customer has no dead letter of its own; its orders have one."""
    return "--all" if document["unsent"]["state"] == "blocked" else f"{document['entity']} {document['key']}"


def _field_notes(link: dict[str, Any], conflicts: Sequence[dict[str, Any]]) -> dict[str, str]:
    """What becomes of values of a record that are not ours, by field."""
    notes = {name: f"to be restored to {_value_text(name, ours)}" for name, ours in link["to_restore"].items()}
    asked = {item["field"] for item in conflicts if (item["entity"], item["key"]) == (link["entity"], link["key"])}
    return notes | dict.fromkeys(asked, "as both sides last agreed: it is in conflict")


def _print_values(items: Iterable[tuple[str, Any]], notes: Mapping[str, str] = MappingProxyType({})) -> None:
    visible = [
        (name, value)
        for name, value in items
        if (value is not None or name in notes) and not isinstance(value, dict | list | tuple)
    ]
    width = max((NAMES, *(len(name) for name, _ in visible)))
    for name, value in visible:
        note = f"  ({notes[name]})" if name in notes else ""
        typer.echo(f"  {name:<{width}} {_value_text(name, value)}{note}")


def _value_text(name: str, value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, Decimal) and "quantity" in name.lower():
        return quantity(value)  # the org has every number as 2.0
    return amount(value) if isinstance(value, Decimal | bool) else one_line(value)


def _percent(fraction: Decimal) -> str:
    return f"{fraction * 100:.6f}".rstrip("0").rstrip(".") + " %" if fraction else ""
