"""Invoices as they were issued. The numbers have no gaps: a number is taken in the transaction that uses it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import bindparam, func, select
from sqlalchemy import insert as plain_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.store.sql import insert_into
from connector.store.tables import counters, invoices
from connector.store.unit_of_work import UnitOfWork

if TYPE_CHECKING:
    from sqlalchemy.sql.dml import ReturningInsert

SERIES = "invoice"


@dataclass(frozen=True, kw_only=True, slots=True)
class Invoice:
    """An issued invoice; `body` is JSON with its whole content."""

    number: str
    order_number: str
    issued_at: datetime
    currency: str
    amount: Decimal
    body: str

    @property
    def document(self) -> object:
        return orjson.loads(self.body)


async def take_numbers(uow: UnitOfWork, count: int) -> list[str]:
    """Take the next `count` numbers, from `INV-000001` on. Transactions that take numbers wait for each other."""
    if count == 0:
        return []
    row = {"name": SERIES, "value": count}
    last = (await uow.connection.execute(_raise_counter(uow.connection.dialect.name), row)).scalar_one()
    return [f"INV-{number:06d}" for number in range(last - count + 1, last + 1)]


@cache
def _raise_counter(dialect: str) -> ReturningInsert[Any]:
    statement = insert_into(counters, dialect)
    raised = {"value": counters.c.value + statement.excluded.value}
    return statement.on_conflict_do_update(index_elements=["name"], set_=raised).returning(counters.c.value)


_ISSUE = plain_insert(invoices)


async def issue(uow: UnitOfWork, items: Sequence[Invoice]) -> None:
    names = ("number", "order_number", "issued_at", "currency", "amount", "body")
    if items:
        rows = [{name: getattr(item, name) for name in names} for item in items]
        await uow.connection.execute(_ISSUE, rows)


async def find(connection: AsyncConnection, number: str) -> Invoice | None:
    row = (await connection.execute(select(invoices).where(invoices.c.number == number))).first()
    return None if row is None else Invoice(**row._mapping)


_OF_ORDER = select(invoices).where(invoices.c.order_number == bindparam("the_order")).order_by(invoices.c.number)


async def of_order(connection: AsyncConnection, order: str) -> list[Invoice]:
    """Return the invoices of an order, oldest first."""
    return [Invoice(**row._mapping) for row in await connection.execute(_OF_ORDER, {"the_order": order})]


async def count_issued_since(connection: AsyncConnection, since: datetime) -> int:
    """Return the number of invoices issued at `since` or later."""
    statement = select(func.count()).select_from(invoices).where(invoices.c.issued_at >= since)
    return (await connection.execute(statement)).scalar_one()
