"""What a text stands for that somebody typed to find orders or customers. Each step reads few rows through an index,
however many orders and customers there are."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from sqlalchemy import ColumnElement, Select, and_, case, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.search_keys import name_words
from connector.store.tables import customer_words, customers, orders

LAST = "\U0010ffff"
"""The character behind all others."""
MOST_NAMED = 200
"""Customers that are listed one by one; if more have such a name, orders are compared with the words themselves."""
MOST_PREFIXES = 20
MOST_NUMBERED = 1000
_PREFIX = re.compile(r"[^\W_]*[^\w\s]|\D+")
_TAIL = re.compile(r"\d{3}|\d+[^\w\s]\d")


@dataclass(frozen=True, kw_only=True, slots=True)
class TypedText:
    """`beginnings`: of orders' numbers. `customers`: numbers of customers; with `words`, also those whose name has
    words that begin so. `is_frequent`: many orders have these, so the latest ones are found at once by their time."""

    beginnings: tuple[str, ...]
    customers: tuple[str, ...]
    words: tuple[str, ...] = ()
    is_frequent: bool = False


async def read_text(connection: AsyncConnection, text: str) -> TypedText:
    """Read what orders are searched for: the beginning of an order's number, also without its prefix (`000002` for
    `SO-000002`), a customer's number, or words of its name."""
    typed = sorted({text, text.upper()})
    beginnings = (*typed, *await complete_numbers(connection, text))
    words = tuple(name_words(text))
    named = await list_named(connection, text, limit=MOST_NAMED + 1)
    found = TypedText(
        beginnings=beginnings,
        customers=(*typed, *named[:MOST_NAMED]),
        words=words if len(named) > MOST_NAMED else (),
    )
    is_frequent = await _are_many(connection, select(orders.c.number).where(_is_listed(found)))
    if found.words and not is_frequent:
        with_name = _customers_with(found.words).join(orders, orders.c.customer == customer_words.c.customer)
        is_frequent = await _are_many(connection, with_name)
    return replace(found, is_frequent=is_frequent)


def typed_condition(text: TypedText) -> ColumnElement[bool]:
    """Whether an order has what was typed. Of what is frequent, each order is looked at by itself: orders by their time
    meet some at once, and the database need not collect all."""
    conditions = [_is_listed(text)]
    if text.words and text.is_frequent:
        own = _customers_with(text.words).where(customer_words.c.customer == orders.c.customer)
        conditions.append(own.correlate(orders).exists())
    elif text.words:
        conditions.append(orders.c.customer.in_(_customers_with(text.words)))
    wanted = or_(*conditions)
    return case((wanted, 1), else_=0) == 1 if text.is_frequent else wanted


def _is_listed(text: TypedText) -> ColumnElement[bool]:
    numbered = [begins(orders.c.number, start) for start in text.beginnings]
    return or_(*numbered, orders.c.customer.in_(text.customers))


async def _are_many(connection: AsyncConnection, statement: Select[str]) -> bool:
    some = statement.limit(MOST_NUMBERED + 1).subquery()
    return (await connection.execute(select(func.count()).select_from(some))).scalar_one() > MOST_NUMBERED


def begins(column: ColumnElement[str], start: str) -> ColumnElement[bool]:
    return and_(column >= start, column < start + LAST)


async def list_named(connection: AsyncConnection, text: str, *, limit: int) -> list[str]:
    """Up to `limit` numbers of customers whose name has, for each word of the text, a word that begins so."""
    words = name_words(text)
    if not words:
        return []
    word = customer_words.c
    statement = _customers_with(tuple(words)).order_by(word.word, word.customer).limit(2 * limit)
    return list(dict.fromkeys((await connection.execute(statement)).scalars()))[:limit]


async def list_customers_like(connection: AsyncConnection, text: str, *, limit: int) -> list[str]:
    """Up to `limit` numbers of customers that begin so, or whose name has words that begin so, sorted."""
    found = set(await list_named(connection, text, limit=limit))
    number = customers.c.number
    for start in {text, text.upper()}:
        statement = select(number).where(begins(number, start)).order_by(number).limit(limit)
        found |= set((await connection.execute(statement)).scalars())
    return sorted(found)[:limit]


async def complete_numbers(connection: AsyncConnection, text: str) -> list[str]:
    """The text behind each prefix of orders' numbers (`SO-`), if it can be the rest of a number: three digits or more.
    Prefixes are found by one step in the index each; of more than `MOST_PREFIXES`, the first are tried."""
    if _TAIL.match(text) is None:
        return []
    found: list[str] = []
    number, after = orders.c.number, ""
    for _ in range(MOST_PREFIXES):
        statement = select(number).where(number > after).order_by(number).limit(1)
        first = (await connection.execute(statement)).scalar_one_or_none()
        if first is None:
            break
        prefix = _PREFIX.match(first)
        # Numbers of digits alone have no prefix; those behind all digits follow.
        after = ":" if prefix is None else prefix[0] + LAST
        if prefix is not None:
            found.append(prefix[0] + text)
    return found


def _customers_with(words: tuple[str, ...]) -> Select[str]:
    """Numbers of customers by the longest of these words, which fewest have; one with two such words is there twice."""
    first, *others = sorted(words, key=len, reverse=True)
    word = customer_words.c
    statement = select(word.customer).where(begins(word.word, first))
    for other in others:
        also = customer_words.alias()
        has = (also.c.customer == word.customer, begins(also.c.word, other))
        statement = statement.where(select(also.c.word).where(*has).correlate(customer_words).exists())
    return statement
