"""Saves and loads customers. A save writes and captures only the customers that differ from what is stored."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any

from sqlalchemy import bindparam, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.change import EntityKind
from connector.model.customer import Customer
from connector.model.lane import Lane
from connector.model.search_keys import email_key, name_words, phone_key
from connector.store import dead_letters, field_times
from connector.store.partitions import slot_of_key
from connector.store.scope import DEFAULT, org_of
from connector.store.sql import (
    Row,
    Saved,
    all_keys,
    chunks,
    count_rows,
    insert_missing,
    list_page_of_keys,
    select_in,
    update_rows,
    upsert,
    versions_of,
)
from connector.store.tables import customer_orgs, customer_searches, customer_words, customers
from connector.store.unit_of_work import UnitOfWork

FIELDS = ("number", "name", "email", "phone", "street", "city", "state", "postal_code", "country",
          "first_name", "last_name", "tier", "credit_limit", "payment_terms")  # fmt: skip
COLUMNS = tuple(customers.c[name] for name in FIELDS)
_values = attrgetter(*FIELDS)
_CUSTOMERS = select(*COLUMNS)
_LOCKED = _CUSTOMERS.order_by(customers.c.number).with_for_update()
_INSERT_WORDS = insert(customer_words)
_DELETE_WORDS = delete(customer_words).where(customer_words.c.customer.in_(bindparam("the_numbers", expanding=True)))


async def save(
    uow: UnitOfWork,
    items: Sequence[Customer],
    *,
    lane: Lane = Lane.PROFILE,
    locked: Mapping[str, Customer] | None = None,
) -> Saved:
    """Store `items`, replacing customers with the same number. If a number occurs twice, the last one wins.

    `locked`: those of them that are stored, as `lock` has returned them in this transaction."""
    wanted = {customer.number: customer for customer in items}
    stored = {**locked} if locked is not None else await lock(uow.connection, wanted)

    new = [_row(uow, wanted[number]) | {"version": 1} for number in sorted(wanted.keys() - stored.keys())]
    created = await insert_missing(uow.connection, customers, new)
    if len(created) < len(new):  # another process has just inserted some of them
        stored |= await lock(uow.connection, {row["number"] for row in new} - created)
    await _assign_orgs(uow, [wanted[number] for number in sorted(created)])

    changed = [number for number in sorted(stored) if stored[number] != wanted[number]]
    await update_rows(uow.connection, customers, [_row(uow, wanted[number]) for number in changed])
    await _keep_searches(uow, [wanted[number] for number in sorted({*created, *changed})])
    await keep_words(uow, [wanted[key] for key in changed if stored[key].name != wanted[key].name])
    await _add_words(uow, [wanted[number] for number in sorted(created)])
    await field_times.note(uow, EntityKind.CUSTOMER, [(key, stored[key], wanted[key]) for key in changed], FIELDS)
    for number in [*created, *changed]:
        uow.changed(EntityKind.CUSTOMER, number, slot_of_key(number), lane)
    await dead_letters.requeue_blocked_by(uow, [f"{EntityKind.CUSTOMER} {number}" for number in changed])
    return Saved(created=len(created), updated=len(changed), unchanged=len(stored) - len(changed))


async def _assign_orgs(uow: UnitOfWork, created: Sequence[Customer]) -> None:
    """Store which org has the accounts of new customers. They stay there, whatever changes later."""
    org, route = org_of(uow.connection), uow.route
    rows = [{"customer": item.number, "org": org if route is None else route(item)} for item in created]
    if named := [row for row in rows if row["org"] != DEFAULT]:
        await uow.connection.execute(insert(customer_orgs), named)


async def load(connection: AsyncConnection, numbers: Sequence[str]) -> list[Customer]:
    """Return the customers in the sequence of `numbers`, without unknown ones."""
    rows = await select_in(connection, _CUSTOMERS, customers.c.number, numbers)
    customers_by_number = {row.number: customer_of(row) for row in rows}
    return [customers_by_number[number] for number in numbers if number in customers_by_number]


async def versions(connection: AsyncConnection, numbers: Sequence[str], *, lock: bool = False) -> dict[str, int]:
    """Return the version of each stored customer, by number. `lock`: lock the rows until the transaction ends."""
    return await versions_of(connection, customers, numbers, lock=lock)


async def lock(connection: AsyncConnection, numbers: Iterable[str]) -> dict[str, Customer]:
    """Lock the rows of these customers until the transaction ends; return those that are stored, by number."""
    rows = await select_in(connection, _LOCKED, customers.c.number, sorted(numbers))
    return {row.number: customer_of(row) for row in rows}


async def list_keys(connection: AsyncConnection, *, after: str | None, limit: int) -> list[str]:
    """Return up to `limit` customer numbers that follow `after`, in byte order."""
    return await list_page_of_keys(connection, select(customers.c.number), customers.c.number, after=after, limit=limit)


def keys(connection: AsyncConnection) -> AsyncIterator[str]:
    """Iterate over all customer numbers, in byte order."""
    return all_keys(connection, customers.c.number)


async def count(connection: AsyncConnection) -> int:
    return await count_rows(connection, customers)


def customer_of(row: Sequence[Any], start: int = 0) -> Customer:
    """Build the customer from a row in which `COLUMNS` begin at index `start`."""
    return Customer(**dict(zip(FIELDS, row[start : start + len(FIELDS)], strict=True)))


def _row(uow: UnitOfWork, customer: Customer) -> Row:
    return dict(zip(FIELDS, _values(customer), strict=True)) | {"updated_at": uow.now}


async def _keep_searches(uow: UnitOfWork, items: Sequence[Customer]) -> None:
    """Keep by which email and phone these customers are found, also if they have none any more."""
    rows = [
        {"customer": item.number, "email_key": email_key(item.email), "phone_key": phone_key(item.phone)}
        for item in items
    ]
    await upsert(uow.connection, customer_searches, rows)


async def keep_words(uow: UnitOfWork, renamed: Sequence[Customer]) -> None:
    """Store anew by which words of the name these customers are found."""
    for chunk in chunks(item.number for item in renamed):
        await uow.connection.execute(_DELETE_WORDS, {"the_numbers": chunk})
    await _add_words(uow, renamed)


async def _add_words(uow: UnitOfWork, items: Sequence[Customer]) -> None:
    rows = [{"customer": item.number, "word": word} for item in items for word in name_words(item.name)]
    if rows:
        await uow.connection.execute(_INSERT_WORDS, rows)
