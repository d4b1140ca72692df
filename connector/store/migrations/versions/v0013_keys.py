"""Keys in one spelling: those stored before keys were normalized get theirs.

Where two keys look the same, nothing is thrown together: the one that was normal, or came first, has the key, and the
other gets `~2` behind it. Every entity that was renamed is due again, and the journal says what it was called.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from zlib import crc32

import sqlalchemy as sa
from alembic import op

from connector.model.keys import LONGEST, is_normal, visible_key
from connector.store.types import Instant

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

REFERENCES: Mapping[str, tuple[str, str, tuple[tuple[str, str], ...]]] = {
    "customer": ("customers", "number", (("orders", "customer"),)),
    "product": ("products", "sku", (("prices", "sku"), ("order_lines", "sku"), ("stock", "sku"))),
    "order": (
        "orders", "number",
        tuple((table, "order_number") for table in (
            "order_lines", "order_events", "holds", "shipments", "returns", "reservations", "invoices", "messages",
        )),
    ),
}  # fmt: skip
"""Entities with their table, its key, and the columns that refer to it."""
FAMILIES = {"customer": ("customer",), "product": ("product", "price"),
            "order": ("order", "line", "return", "return_line")}  # fmt: skip
"""What has a link under a key that begins with the entity's."""
SKU, WAREHOUSE, ORDER = "sku", "warehouse", "order"


def upgrade() -> None:
    connection = op.get_bind()
    renamed: dict[str, dict[str, str]] = {}
    for entity, (table, column, references) in REFERENCES.items():
        renamed[entity] = _new_keys(_keys(connection, table, column))
        for old, new in renamed[entity].items():
            _rename(connection, entity, table, column, references, old, new)
    renamed[WAREHOUSE] = _new_keys(_keys(connection, "stock", "warehouse"))
    for old, new in renamed[WAREHOUSE].items():
        for table in ("stock", "reservations", "shipments"):
            _set(connection, table, "warehouse", old, new)
    for old, new in _new_keys(_keys(connection, "tokens", "name")).items():
        _set(connection, "tokens", "name", old, new)
    for table, column in (("shipments", "tracking_number"), ("returns", "tracking_number"),
                          ("orders", "tracking_number")):  # fmt: skip
        for old in _keys(connection, table, column):
            if not is_normal(old) and visible_key(old):
                _set(connection, table, column, old, visible_key(old))
    if any(renamed.values()):
        _rename_in_histories(connection, renamed)


def _keys(connection: sa.Connection, table: str, column: str) -> list[str]:
    return list(connection.execute(sa.text(f"SELECT DISTINCT {column} FROM {table} WHERE {column} IS NOT NULL")  # noqa: S608
                                   ).scalars())  # fmt: skip


def _new_keys(keys: list[str]) -> dict[str, str]:
    """Those of `keys` that are not normal, with a key that nobody has."""
    odd = sorted(key for key in keys if not is_normal(key))
    taken = set(keys)
    new: dict[str, str] = {}
    for old in odd:
        new[old] = next(key for key in _candidates(visible_key(old) or "unnamed") if key not in taken)
        taken.add(new[old])
    return new


def _candidates(key: str) -> Iterator[str]:
    yield key
    number = 2
    while True:
        mark = f"~{number}"
        yield key[: LONGEST - len(mark)] + mark
        number += 1


def _set(connection: sa.Connection, table: str, column: str, old: str, new: str) -> None:
    statement = sa.text(f"UPDATE {table} SET {column} = :new WHERE {column} = :old")  # noqa: S608
    connection.execute(statement, {"new": new, "old": old})


def _rename(
    connection: sa.Connection, entity: str, table: str, column: str, references: tuple[tuple[str, str], ...],
    old: str, new: str,
) -> None:  # fmt: skip
    """The row is copied, for what refers to it must have something to refer to at every moment."""
    known = sa.Table(table, sa.MetaData(), autoload_with=connection)
    names = [item.name for item in known.columns if item.name != column]
    secret = None
    if entity == ORDER:  # the one other column that is unique
        find = sa.text("SELECT tracking_key FROM orders WHERE number = :old")
        secret = connection.execute(find, {"old": old}).scalar()
        connection.execute(sa.text("UPDATE orders SET tracking_key = NULL WHERE number = :old"), {"old": old})
    listed = ", ".join(names)
    copy = f"INSERT INTO {table} ({column}, {listed}) SELECT :new, {listed} FROM {table} WHERE {column} = :old"  # noqa: S608
    connection.execute(sa.text(copy), {"new": new, "old": old})
    for place in references:
        _set(connection, *place, old, new)
    connection.execute(sa.text(f"DELETE FROM {table} WHERE {column} = :old"), {"old": old})  # noqa: S608
    if secret is not None:
        statement = sa.text("UPDATE orders SET tracking_key = :secret WHERE number = :new")
        connection.execute(statement, {"secret": secret, "new": new})
    _forget_digests(connection, entity, new)
    _rename_links(connection, entity, old, new)
    _rename_in_queues(connection, entity, old, new)


def _forget_digests(connection: sa.Connection, entity: str, new: str) -> None:
    """Of what was asked in the old words: an order that is sent again is compared by what is stored instead."""
    of = {
        "customer": "customer = :new",
        "product": "number IN (SELECT order_number FROM order_lines WHERE sku = :new)",
        "order": "number = :new",
    }[entity]
    connection.execute(sa.text(f"UPDATE orders SET placed_digest = NULL WHERE {of}"), {"new": new})  # noqa: S608


def _rename_links(connection: sa.Connection, entity: str, old: str, new: str) -> None:
    links = sa.table("links", *(sa.column(name) for name in ("org_id", "entity", "key", "parent")))
    rows = connection.execute(
        sa.select(links).where(
            links.c.entity.in_(FAMILIES[entity]),
            sa.or_(links.c.key == old, links.c.parent == old, links.c.key.startswith(f"{old}-RMA", autoescape=True)),
        )
    ).all()
    for row in rows:
        key = new + row.key[len(old) :]
        parent = row.parent and new + row.parent[len(old) :]
        here = (links.c.org_id == row.org_id) & (links.c.entity == row.entity) & (links.c.key == row.key)
        connection.execute(links.update().where(here).values(key=key, parent=parent))


def _rename_in_queues(connection: sa.Connection, entity: str, old: str, new: str) -> None:
    """What is due, and what was written down; the entity is due, so that the org gets to know its key."""
    now = datetime.now(UTC)
    for table in ("outbox", "journal"):
        rows = sa.table(table, sa.column("entity"), sa.column("key"))
        families = FAMILIES[entity] if table == "journal" or entity == ORDER else (entity,)
        mine = sa.select(rows.c.entity, rows.c.key).distinct().where(
            rows.c.entity.in_(families),
            sa.or_(rows.c.key == old, rows.c.key.startswith(f"{old}-RMA", autoescape=True)),
        )  # fmt: skip
        for kind, key in connection.execute(mine).all():
            changed = rows.update().where(rows.c.entity == kind, rows.c.key == key)
            connection.execute(changed.values(key=new + key[len(old) :]))
    outbox = sa.table(
        "outbox",
        *(sa.column(name) for name in ("entity", "key", "slot", "lane", "version", "state", "attempts", "unsure")),
        *(sa.column(name, Instant) for name in ("due_at", "captured_at")),
    )
    if (
        connection.execute(sa.select(outbox.c.key).where(outbox.c.entity == entity, outbox.c.key == new)).first()
        is None
    ):
        account = new
        if entity == ORDER:
            find = sa.text("SELECT customer FROM orders WHERE number = :new")
            account = str(connection.execute(find, {"new": new}).scalar())
        connection.execute(
            outbox.insert().values(
                entity=entity, key=new, slot=crc32(account.encode()) & 0x7FFFFFFF, lane=3, version=1, state="due",
                attempts=0, unsure=True, due_at=now, captured_at=now,
            )
        )  # fmt: skip
    journal = sa.table(
        "journal", *(sa.column(name) for name in ("entity", "key", "action", "detail")), sa.column("at", Instant)
    )
    taken = f"; {visible_key(old)} is another {entity}" if new != visible_key(old) else ""
    detail = json.dumps({"from": old, "why": f"a key has one spelling{taken}"})
    connection.execute(journal.insert().values(entity=entity, key=new, action="renamed", detail=detail, at=now))


def _rename_in_histories(connection: sa.Connection, renamed: Mapping[str, Mapping[str, str]]) -> None:
    """What events say of products, warehouses and the orders that they made."""
    names = {SKU: renamed["product"], WAREHOUSE: renamed[WAREHOUSE], "reference": renamed["order"]}
    events = sa.table("order_events", *(sa.column(name) for name in ("order_number", "sequence", "detail")))
    for number, sequence, detail in connection.execute(sa.select(events)).all():
        said = json.loads(detail)
        for part in (said, *said.get("terms", {}).values()):
            for field, keys in names.items():
                if part.get(field) in keys:
                    part[field] = keys[part[field]]
        after: Any = json.dumps(said, ensure_ascii=False, separators=(",", ":"))
        if after != detail and json.loads(detail) != said:
            here = (events.c.order_number == number) & (events.c.sequence == sequence)
            connection.execute(events.update().where(here).values(detail=after))
