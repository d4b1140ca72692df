"""Keys in one spelling: those stored before keys were normalized get theirs.

Where two keys look the same, nothing is thrown together: the one that was normal, or came first, has the key, and the
other gets `~2` behind it. Every entity that was renamed is due again, and the journal says what it was called.

Each table is read and written once, however many keys have another spelling.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from zlib import crc32

import sqlalchemy as sa
from alembic import op

from connector.model.keys import LONGEST, is_normal, visible_key
from connector.store.types import Instant, Key

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

CUSTOMER, PRODUCT, ORDER, WAREHOUSE, TOKEN = "customer", "product", "order", "warehouse", "token"
OF_AN_ORDER = (
    "order_lines", "order_events", "holds", "shipments", "returns", "reservations", "invoices", "messages",
)  # fmt: skip
PLACES: Mapping[str, tuple[tuple[str, str], ...]] = {
    CUSTOMER: (("customers", "number"), ("orders", "customer")),
    PRODUCT: (("products", "sku"), ("prices", "sku"), ("order_lines", "sku"), ("stock", "sku")),
    ORDER: (("orders", "number"), *((table, "order_number") for table in OF_AN_ORDER)),
}
"""Entities: their table with its key, then the columns that refer to it."""
NAMES: Mapping[str, tuple[tuple[str, str], ...]] = {
    TOKEN: (("tokens", "name"),),
    WAREHOUSE: (("stock", "warehouse"), ("reservations", "warehouse"), ("shipments", "warehouse")),
}
"""What has a name and no table that others refer to."""
LABELS = ("shipments", "returns", "orders")
OWNERS = {"line": ORDER, "return": ORDER, "return_line": "return", "price": PRODUCT}
"""What has a key that begins with its owner's."""
ENDS = {"line": re.compile(r"-\d+"), "return": re.compile(r"-RMA\d+"), "return_line": re.compile(r"-\d+"),
        "price": re.compile(r"\|[^|]*")}  # fmt: skip
OFFSPRING = {"split", "verify", "confirm", "inspect_return", "close_return"}
"""Actions whose `reference` is the number of an order; that of a payment belongs to whoever took the money."""
PAGE = 5_000

renamed = sa.Table(
    "renamed_keys",
    sa.MetaData(),
    sa.Column("entity", Key, primary_key=True),
    sa.Column("old", Key, primary_key=True),
    sa.Column("new", Key, nullable=False),
    sa.Column("secret", Key),
    prefixes=["TEMPORARY"],
)

New = dict[str, dict[str, str]]
"""The new keys by entity and old key."""


class _Seen:
    """What histories and queues have of other spellings; `owners` are all keys that something there belongs to."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.warehouses: set[str] = set()
        self.owners: dict[str, set[str]] = {}
        self.parts: dict[str, set[str]] = {}


def upgrade() -> None:
    connection = op.get_bind()
    seen = _Seen()
    _read_histories(connection, seen)
    stored = {entity: _keys(connection, places[:1]) for entity, places in PLACES.items()}
    if any(not is_normal(key) for keys in stored.values() for key in keys):
        _read_queues(connection, seen)
    new: New = {
        TOKEN: _new_keys(_keys(connection, NAMES[TOKEN])),
        WAREHOUSE: _new_keys(_keys(connection, NAMES[WAREHOUSE]) | seen.warehouses),
        **{entity: _new_keys(keys, seen.owners.get(entity, ())) for entity, keys in stored.items()},
    }
    entities = list(new)
    for part in OWNERS:
        found = {key: _new_key(new, part, key) for key in seen.parts.get(part, ())}
        new[part] = {old: key for old, key in found.items() if key is not None}
    labels = {key: visible_key(key) for key in _keys(connection, [(table, "tracking_number") for table in LABELS])}
    new["label"] = {key: label for key, label in labels.items() if label and not is_normal(key)}
    _rewrite_histories(connection, seen.events, new)
    if any(new.values()):
        _rename(connection, new)
        _journal(connection, {entity: new[entity] for entity in entities})


def _keys(connection: sa.Connection, places: Iterable[tuple[str, str]]) -> set[str]:
    found: set[str] = set()
    for table, column in places:
        at: sa.ColumnClause[str] = sa.column(column)
        stored = sa.select(at).select_from(sa.table(table)).where(at.is_not(None)).distinct()
        found.update(connection.execute(stored).scalars())
    return found


def _new_keys(keys: set[str], others: Iterable[str] = ()) -> dict[str, str]:
    """Those of `keys` that are not normal, with a key that nobody has."""
    taken = {*keys, *others}
    new: dict[str, str] = {}
    for old in sorted(key for key in keys if not is_normal(key)):
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


def _new_key(new: New, entity: str, key: str) -> str | None:
    """None if it keeps the one it has."""
    if entity not in OWNERS:
        return new.get(entity, {}).get(key)
    owner = _owner(entity, key)
    now = _new_key(new, OWNERS[entity], owner)
    return None if now is None else now + key[len(owner) :]


def _owner(part: str, key: str) -> str:
    """`A-1` of `A-1-RMA1`; empty if the key is not made so."""
    ends = list(ENDS[part].finditer(key))
    return key[: ends[-1].start()] if ends and ends[-1].end() == len(key) else ""


# What was read.


def _read_histories(connection: sa.Connection, seen: _Seen) -> None:
    events = sa.table(
        "order_events", *(sa.column(name, Key) for name in ("order_number", "action", "detail", "request")),
        sa.column("sequence", sa.Integer),
    )  # fmt: skip
    place = sa.tuple_(events.c.order_number, events.c.sequence)
    after: tuple[str, int] = ("", 0)
    while rows := connection.execute(
        sa.select(events).where(place > after).order_by(events.c.order_number, events.c.sequence).limit(PAGE)
    ).all():
        for row in rows:
            names = list(_named(row.action, json.loads(row.detail)))
            seen.warehouses.update(part[name] for part, name, entity in names if entity == WAREHOUSE)
            if not all(is_normal(part[name]) for part, name, _ in names) or not is_normal(row.request or "-"):
                seen.events.append(row)
        after = (rows[-1].order_number, rows[-1].sequence)


def _named(action: str, said: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str, str]]:
    """Where an event names something: the object, its field, and what it names."""
    parts = [(part, True) for part in (*said.get("shipments", ()), *said.get("terms", {}).values())]
    for part, inner in ((said, False), *parts):
        fields = {"warehouse": WAREHOUSE, "tracking_number": "label", "carrier": "carrier"}
        fields |= {"sku": PRODUCT} if inner else {"reference": ORDER if action in OFFSPRING else "payment"}
        yield from ((part, name, entity) for name, entity in fields.items() if isinstance(part.get(name), str))


def _read_queues(connection: sa.Connection, seen: _Seen) -> None:
    for name in ("links", "outbox", "journal"):
        table = sa.table(name, sa.column("entity", Key), sa.column("key", Key))
        mine = table.c.entity.in_((*PLACES, *OWNERS))
        for entity, key in connection.execute(sa.select(table.c.entity, table.c.key).where(mine).distinct()):
            chain = [(entity, key)]
            while (part := chain[-1][0]) in OWNERS:
                chain.append((OWNERS[part], _owner(part, chain[-1][1])))
            kind, owner = chain.pop()
            seen.owners.setdefault(kind, set()).add(owner)
            for part, its in chain if not is_normal(owner) else ():
                seen.parts.setdefault(part, set()).add(its)


# What is written.


def _rewrite_histories(connection: sa.Connection, found: list[Any], new: New) -> None:
    """Names and requests; what was asked in the old words cannot be compared any more."""
    requests = _new_requests(connection, found)
    rows = []
    for row in found:
        said = json.loads(row.detail)
        for part, name, entity in _named(row.action, said):
            old = part[name]
            if entity == "label" and not is_normal(old):
                part[name] = visible_key(old) or old
            part[name] = new.get(entity, {}).get(old, part[name])
        detail = json.dumps(said, ensure_ascii=False, separators=(",", ":"))
        request = requests.get((row.order_number, row.request), row.request)
        rows.append({"order": row.order_number, "number": row.sequence, "detail": detail, "request": request})
    if rows:
        statement = (
            "UPDATE order_events SET detail = :detail, request = :request, request_digest = NULL"
            " WHERE order_number = :order AND sequence = :number"
        )
        connection.execute(sa.text(statement), rows)


def _new_requests(connection: sa.Connection, found: list[Any]) -> dict[tuple[str, str], str]:
    odd = {(row.order_number, row.request) for row in found if not is_normal(row.request or "-")}
    orders = sorted({order for order, _ in odd})
    events = sa.table("order_events", sa.column("order_number", Key), sa.column("request", Key))
    known: dict[str, set[str]] = {}
    for start in range(0, len(orders), 500):
        mine = events.c.order_number.in_(orders[start : start + 500]), events.c.request.is_not(None)
        for order, request in connection.execute(sa.select(events).where(*mine)):
            known.setdefault(order, set()).add(request)
    return {(order, old): new for order in orders for old, new in _new_keys(known[order]).items()}


def _rename(connection: sa.Connection, new: New) -> None:
    renamed.create(connection, checkfirst=False)
    secrets = _secrets(connection, new[ORDER])
    rows = [
        {"entity": entity, "old": old, "new": key, "secret": secrets.get(old) if entity == ORDER else None}
        for entity, keys in new.items()
        for old, key in keys.items()
    ]
    connection.execute(renamed.insert(), rows)
    for entity, places in PLACES.items():
        if new[entity]:
            _rename_entity(connection, entity, *places)
    for name, columns in NAMES.items():
        for table, column in columns:
            _set(connection, name, table, column)
    for table in LABELS:
        _set(connection, "label", table, "tracking_number")
    _forget_digests(connection)
    for table in ("links", "outbox", "journal"):
        for entity in (*PLACES, *OWNERS):
            if new[entity]:
                _set(connection, entity, table, "key", of=entity)
    for part, owner in OWNERS.items():
        if new[owner] and part != "return":
            _set(connection, owner, "links", "parent", of=part)
    _rename_in_refusals(connection, new)
    _make_due(connection)
    renamed.drop(connection, checkfirst=False)


def _secrets(connection: sa.Connection, keys: Mapping[str, str]) -> dict[str, str]:
    """The one other column of orders that is unique."""
    if not keys:
        return {}
    orders = sa.table("orders", sa.column("number", Key), sa.column("tracking_key", Key))
    found = connection.execute(sa.select(orders).where(orders.c.tracking_key.is_not(None)))
    return {number: secret for number, secret in found if number in keys}


def _set(connection: sa.Connection, entity: str, table: str, column: str, *, of: str | None = None) -> None:
    """Put new keys of `entity` in place of the old ones; `of`: only in the rows of this entity."""
    rows = sa.table(table, sa.column(column, Key), sa.column("entity", Key))
    mine = [renamed.c.entity == entity, renamed.c.old == rows.c[column]]
    mine += [] if of is None else [rows.c.entity == of]
    connection.execute(sa.update(rows).values({column: renamed.c.new}).where(*mine))


def _rename_entity(
    connection: sa.Connection, entity: str, home: tuple[str, str], *references: tuple[str, str]
) -> None:  # fmt: skip
    """The rows are copied, for what refers to one must have something to refer to at every moment."""
    table, key = home
    names = [column["name"] for column in sa.inspect(connection).get_columns(table) if column["name"] != key]
    names = [name for name in names if name != "tracking_key"]
    rows = sa.table(table, *(sa.column(name) for name in (key, *names)))
    copies = sa.select(renamed.c.new, *(rows.c[name] for name in names)).where(
        renamed.c.entity == entity, renamed.c.old == rows.c[key]
    )
    connection.execute(sa.insert(rows).from_select([key, *names], copies))
    for place in references:
        _set(connection, entity, *place)
    connection.execute(sa.delete(rows).where(rows.c[key].in_(_olds(entity))))
    if entity == ORDER:
        orders = sa.table("orders", sa.column("number", Key), sa.column("tracking_key", Key))
        mine = renamed.c.entity == ORDER, renamed.c.new == orders.c.number
        connection.execute(sa.update(orders).values(tracking_key=renamed.c.secret).where(*mine))


def _olds(entity: str) -> sa.Select[Any]:
    return sa.select(renamed.c.old).where(renamed.c.entity == entity)


def _news(entity: str) -> sa.Select[Any]:
    return sa.select(renamed.c.new).where(renamed.c.entity == entity)


def _forget_digests(connection: sa.Connection) -> None:
    """Of what was asked in the old words: an order that is sent again is compared by what is stored instead, and what
    was asked of it under a request's key counts as done."""
    orders = sa.table("orders", *(sa.column(name, Key) for name in ("number", "customer", "placed_digest")))
    lines = sa.table("order_lines", *(sa.column(name, Key) for name in ("order_number", "sku")))
    with_product = sa.select(lines.c.order_number).where(lines.c.sku.in_(_news(PRODUCT)))
    mine = sa.or_(
        orders.c.number.in_(_news(ORDER)), orders.c.customer.in_(_news(CUSTOMER)), orders.c.number.in_(with_product)
    )
    connection.execute(sa.update(orders).values(placed_digest=None).where(mine))
    events = sa.table("order_events", *(sa.column(name, Key) for name in ("order_number", "request", "request_digest")))
    named = events.c.request.is_not(None), events.c.order_number.in_(_news(ORDER))
    connection.execute(sa.update(events).values(request_digest=None).where(*named))


def _rename_in_refusals(connection: sa.Connection, new: New) -> None:
    """The record that a refused change waits for, and where its texts name it."""
    outbox = sa.table("outbox", *(sa.column(name, Key) for name in ("entity", "key", "refusal")))
    changed = []
    for entity, key, refusal in connection.execute(sa.select(outbox).where(outbox.c.refusal.is_not(None))):
        said = json.loads(refusal)
        kind, _, record = (said.get("record") or "").partition(" ")
        if (now := _new_key(new, kind, record)) is None:
            continue
        label = re.compile(rf"\b{re.escape(f'{kind} {record}')}(?![\w~-])")
        for name in ("message", "fix"):
            said[name] = label.sub(lambda _, kind=kind, now=now: f"{kind} {now}", said.get(name) or "")
        said["record"] = f"{kind} {now}"
        changed.append({"of": entity, "what": key, "said": json.dumps(said, ensure_ascii=False)})
    if changed:
        connection.execute(sa.text("UPDATE outbox SET refusal = :said WHERE entity = :of AND key = :what"), changed)


def _make_due(connection: sa.Connection) -> None:
    """Each entity that is not due yet, so that the org gets to know its key."""
    now = datetime.now(UTC)
    outbox = sa.table(
        "outbox", *(sa.column(name, Key) for name in ("entity", "key", "state")), sa.column("unsure", sa.Boolean),
        *(sa.column(name, sa.Integer) for name in ("slot", "lane", "version", "attempts")),
        *(sa.column(name, Instant) for name in ("due_at", "captured_at")),
    )  # fmt: skip
    orders = sa.table("orders", sa.column("number", Key), sa.column("customer", Key))
    missing = (
        sa.select(renamed.c.entity, renamed.c.new, orders.c.customer)
        .outerjoin(orders, (renamed.c.entity == ORDER) & (orders.c.number == renamed.c.new))
        .outerjoin(outbox, (outbox.c.entity == renamed.c.entity) & (outbox.c.key == renamed.c.new))
        .where(renamed.c.entity.in_(tuple(PLACES)), outbox.c.key.is_(None))
    )
    rows = [
        {
            "entity": entity, "key": key, "slot": crc32((customer or key).encode()) & 0x7FFFFFFF, "lane": 3,
            "version": 1, "state": "due", "attempts": 0, "unsure": True, "due_at": now, "captured_at": now,
        }
        for entity, key, customer in connection.execute(missing)
    ]  # fmt: skip
    if rows:
        connection.execute(outbox.insert(), rows)


def _journal(connection: sa.Connection, new: New) -> None:
    now = datetime.now(UTC)
    rows = []
    for entity, keys in new.items():
        for old, key in keys.items():
            taken = f"; {visible_key(old)} is another {entity}" if key != visible_key(old) else ""
            detail = json.dumps({"from": old, "why": f"a key has one spelling{taken}"})
            rows.append({"entity": entity, "key": key, "action": "renamed", "detail": detail, "at": now})
    journal = sa.table(
        "journal", *(sa.column(name) for name in ("entity", "key", "action", "detail")), sa.column("at", Instant)
    )
    if rows:
        connection.execute(journal.insert(), rows)
