"""Repairs what is stored only to be found: the status of an order's link, what a customer is searched by, and the lines
that wait for stock. Each is written with what it follows from. But a process of an earlier release that goes on beside
an upgraded database does not write it, and the upgrade of a large table does not fill it.

Rows are compared page by page without a lock; only what differs is written, in transactions of their own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from sqlalchemy import JSON, ColumnElement, Text, case, cast, func, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.search_keys import email_key, name_words, phone_key
from connector.model.stage import OPEN
from connector.store import customers as customer_store
from connector.store import waiting_lines
from connector.store.backorder_tables import waiting_lines as waiting_table
from connector.store.engine import Store
from connector.store.sql import all_keys, chunks, select_in, upsert
from connector.store.tables import customer_searches, customer_words, customers, links, orders

PAGE = 1000


async def repair(store: Store) -> dict[str, int]:
    """Write what is missing or wrong, and return how many rows that were, by kind."""
    return {
        "waiting_orders": await _repair_waiting_lines(store),
        "order_statuses": await _repair_statuses(store),
        "customer_searches": await _repair_searches(store),
        "customer_words": await _repair_words(store),
    }


async def _repair_statuses(store: Store) -> int:
    place = (links.c.org_id, links.c.entity, links.c.key)
    repaired, last = 0, ("", "", "")
    while True:
        page = select(*place).where(links.c.entity == "order", tuple_(*place) > tuple_(*last)).order_by(*place)
        async with store.reader() as connection:
            rows = (await connection.execute(page.limit(PAGE))).all()
            wrong = [
                (org_id, keys)
                for org_id in sorted({row.org_id for row in rows})
                if (
                    keys := await _wrong_statuses(connection, org_id, [row.key for row in rows if row.org_id == org_id])
                )
            ]
        for org_id, keys in wrong:
            async with store.transaction() as uow:
                right = _status_of_snapshot(uow.connection)
                chosen = (links.c.org_id == org_id, links.c.entity == "order", links.c.key.in_(keys))
                repaired += (await uow.connection.execute(update(links).where(*chosen).values(status=right))).rowcount
        if len(rows) < PAGE:
            return repaired
        last = (rows[-1].org_id, rows[-1].entity, rows[-1].key)
        await asyncio.sleep(0)


async def _wrong_statuses(connection: AsyncConnection, org_id: str, keys: Sequence[str]) -> list[str]:
    is_wrong = links.c.status.is_distinct_from(_status_of_snapshot(connection))
    statement = select(links.c.key).where(links.c.org_id == org_id, links.c.entity == "order", is_wrong)
    return [row.key for row in await select_in(connection, statement, links.c.key, keys)]


def _status_of_snapshot(connection: AsyncConnection) -> ColumnElement[Any]:
    if connection.dialect.name == "sqlite":
        return func.json_extract(links.c.snapshot, "$.Status")
    # PostgreSQL cannot read a text with a null character: such a link gets its status when it is written.
    has_null = func.strpos(links.c.snapshot, "\\u0000") > 0
    read = func.json_extract_path_text(cast(links.c.snapshot, JSON), "Status", type_=Text)
    return case((has_null, links.c.status), else_=read)


async def _repair_searches(store: Store) -> int:
    repaired = 0
    async with store.reader() as connection:
        numbers = [key async for key in all_keys(connection, customers.c.number)]
    for page in chunks(numbers):
        async with store.reader() as connection:
            wrong = await _wrong_searches(connection, page)
        if wrong:
            async with store.transaction() as uow:
                stored = await customer_store.lock(uow.connection, wrong)
                rows = [
                    {"customer": number, "email_key": email_key(item.email), "phone_key": phone_key(item.phone)}
                    for number, item in sorted(stored.items())
                ]
                await upsert(uow.connection, customer_searches, rows)
            repaired += len(rows)
        await asyncio.sleep(0)
    return repaired


async def _wrong_searches(connection: AsyncConnection, numbers: Sequence[str]) -> list[str]:
    searched = customer_searches.c
    statement = select(
        customers.c.number, customers.c.email, customers.c.phone, searched.email_key, searched.phone_key
    ).outerjoin(customer_searches, searched.customer == customers.c.number)
    return [
        row.number
        for row in await select_in(connection, statement, customers.c.number, numbers)
        if (email_key(row.email), phone_key(row.phone)) != (row.email_key, row.phone_key)
    ]


async def _repair_words(store: Store) -> int:
    repaired, last = 0, ""
    page = select(customers.c.number, customers.c.name).order_by(customers.c.number).limit(PAGE)
    word = customer_words.c
    while True:
        async with store.reader() as connection:
            names = dict((await connection.execute(page.where(customers.c.number > last))).all())
            words: dict[str, set[str]] = {number: set() for number in names}
            for row in await select_in(connection, select(word.customer, word.word), word.customer, names):
                words[row.customer].add(row.word)
        wrong = [number for number, name in names.items() if words[number] != set(name_words(name))]
        if wrong:
            async with store.transaction() as uow:
                stored = await customer_store.lock(uow.connection, wrong)
                await customer_store.keep_words(uow, [stored[number] for number in sorted(stored)])
            repaired += len(wrong)
        if len(names) < PAGE:
            return repaired
        last = max(names)
        await asyncio.sleep(0)


async def _repair_waiting_lines(store: Store) -> int:
    """Of orders that may wait, and of those that have lines in the table."""
    async with store.reader() as connection:
        open_ones = select(orders.c.number).where(orders.c.stage.in_([stage.value for stage in OPEN]))
        numbers = set((await connection.execute(open_ones)).scalars())
        numbers |= set((await connection.execute(select(waiting_table.c.order_number).distinct())).scalars())
    repaired = 0
    for chunk in chunks(sorted(numbers)):
        async with store.reader() as connection:
            wrong = await waiting_lines.list_wrong(connection, chunk)
        if wrong:
            async with store.transaction() as uow:
                locking = select(orders.c.number).order_by(orders.c.number).with_for_update()
                await select_in(uow.connection, locking, orders.c.number, wrong)
                await waiting_lines.refresh(uow, wrong)
            repaired += len(wrong)
        await asyncio.sleep(0)
    return repaired
