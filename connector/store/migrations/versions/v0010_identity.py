"""Which org the database works with, and each record of an org linked to one entity only.

Until now two entities could come to be linked to one record, when somebody in the org had retyped its key. The
link that was written last stays; each of the others is kept in the journal, and its entity waits for a person. Lines
and prices go with their order or product: those of one that loses its record are forgotten with it, whichever was
written last, and the one that keeps it is compared with the org.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from zlib import crc32

import sqlalchemy as sa
from alembic import op

from connector.store.types import Instant, Key

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

OWNERS = {"line": "order", "price": "product", "return_line": "return"}
PARTS = {owner: part for part, owner in OWNERS.items()}
LINKABLE = {"customer", "product", "order"}
ORDERS = {"order", "return"}
JOURNAL = ("org_id", "entity", "key", "action", "detail")


def upgrade() -> None:
    op.create_table(
        "orgs",
        sa.Column("org_id", Key),
        sa.Column("login_url", sa.Text, nullable=False),
        sa.Column("instance_url", sa.Text, nullable=False),
        sa.Column("seen_at", Instant, nullable=False),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("org_id", name="orgs_pk"),
    )
    op.add_column("journal", sa.Column("org_id", Key))
    links = sa.table(
        "links",
        *(
            sa.column(name, Key)
            for name in ("org_id", "entity", "key", "parent", "sobject", "salesforce_id", "snapshot")
        ),
        sa.column("synced_at", Instant),
    )
    connection = op.get_bind()
    _know_orgs(connection, links)
    now = datetime.now(UTC)
    for of_parts in (False, True):
        for kept, lost in _doubles(connection, links, of_parts=of_parts):
            _set_aside(connection, links, kept, lost, now)
    op.drop_index("links_salesforce_id", "links")
    op.create_index("links_salesforce_id", "links", ["org_id", "salesforce_id"], unique=True)


def _know_orgs(connection: sa.Connection, links: sa.TableClause) -> None:
    """Every org that there are links to; the one written to last is the one the database works with."""
    statement = sa.select(links.c.org_id, sa.func.max(links.c.synced_at)).group_by(links.c.org_id)
    rows = list(connection.execute(statement))
    latest = max(rows, key=lambda row: (row[1], row[0]))[0] if rows else None
    orgs = sa.table(
        "orgs",
        *(sa.column(name, Key) for name in ("org_id", "login_url", "instance_url")),
        sa.column("seen_at", Instant),
        sa.column("active", sa.Boolean),
    )
    for org_id, at in rows:
        values = {"org_id": org_id, "login_url": "", "instance_url": "", "active": org_id == latest}
        connection.execute(orgs.insert().values(**values, seen_at=at))


def _doubles(connection: sa.Connection, links: sa.TableClause, *, of_parts: bool) -> Iterator[tuple[Any, Any]]:
    """(The link that stays, one that goes) of records with several: of lines and prices, or of all else."""
    some = links.c.entity.in_(OWNERS) if of_parts else links.c.entity.not_in(OWNERS)
    several = (
        sa.select(links.c.org_id, links.c.salesforce_id)
        .where(some)
        .group_by(links.c.org_id, links.c.salesforce_id)
        .having(sa.func.count() > 1)
    )
    for org_id, record in list(connection.execute(several)):
        found = sa.select(links).where(links.c.org_id == org_id, links.c.salesforce_id == record)
        kept, *others = sorted(
            connection.execute(found), key=lambda row: (row.synced_at, row.entity, row.key), reverse=True
        )
        for lost in others:
            yield kept, lost


def _set_aside(connection: sa.Connection, links: sa.TableClause, kept: Any, lost: Any, now: datetime) -> None:
    _forget(connection, links, lost, kept, now)
    if lost.entity in PARTS:
        mine = (links.c.org_id == lost.org_id, links.c.entity == PARTS[lost.entity], links.c.parent == lost.key)
        for part in list(connection.execute(sa.select(links).where(*mine))):
            _forget(connection, links, part, kept, now)
    kept_by = _owner(kept)
    entity, key = _owner(lost)
    refusal = {
        "code": "LINKED_TO_ANOTHER",
        "message": f"{lost.sobject} {lost.salesforce_id} was linked to {lost.entity} {lost.key} and to {kept.entity}"
        f" {kept.key}; it is now linked to {kept.entity} {kept.key} alone.",
        "field": None,
        "source": None,
        "fix": _fix(kept, lost),
        "record": f"{lost.entity} {lost.key}",
    }
    _refuse(connection, entity, key, json.dumps(refusal), now)
    if kept_by != (entity, key):
        _compare(connection, *kept_by, now)


def _fix(kept: Any, lost: Any) -> str:
    """What a person does; only what has a record of its own can be linked by hand."""
    if lost.entity in OWNERS:
        entity, key = _owner(lost)
        return f"Replay: {entity} {key} is compared with the org first, which knows whose record it is."
    replay = (
        f"Open the record in the org. If it is that of {kept.entity} {kept.key}, replay: {lost.entity} {lost.key}"
        " gets a record of its own."
    )
    if lost.entity not in LINKABLE:
        return replay
    return (
        f"{replay} If not, `connector unlink {kept.entity} {kept.key}`, then"
        f" `connector link {lost.entity} {lost.key} {lost.salesforce_id}`."
    )


def _owner(link: Any) -> tuple[str, str]:
    """The entity by which it is sent."""
    if link.entity not in OWNERS:
        return link.entity, link.key
    return OWNERS[link.entity], link.key.rpartition("|" if link.entity == "price" else "-")[0]


def _forget(connection: sa.Connection, links: sa.TableClause, lost: Any, kept: Any, now: datetime) -> None:
    connection.execute(
        links.delete().where(links.c.org_id == lost.org_id, links.c.entity == lost.entity, links.c.key == lost.key)
    )
    journal = sa.table(
        "journal",
        sa.column("at", Instant),
        *(sa.column(name, Key) for name in JOURNAL),
    )
    why = {"code": "LINKED_TO_ANOTHER", "id": lost.salesforce_id, "holder": f"{kept.entity} {kept.key}"}
    connection.execute(
        journal.insert().values(
            at=now, org_id=lost.org_id, entity=lost.entity, key=lost.key, action="unlinked",
            detail=json.dumps({**why, "snapshot": json.loads(lost.snapshot)}),
        )
    )  # fmt: skip


def _compare(connection: sa.Connection, entity: str, key: str, now: datetime) -> None:
    """What the org holds of it is looked at before anything else is written."""
    _store(connection, entity, key, {"unsure": True}, {"state": "due"}, now)


def _refuse(connection: sa.Connection, entity: str, key: str, refusal: str, now: datetime) -> None:
    values = {"state": "dead", "refusal": refusal, "refused_at": now, "unsure": True, "error": None}
    _store(connection, entity, key, values, {}, now)


def _store(
    connection: sa.Connection, entity: str, key: str, values: dict[str, Any], new: dict[str, Any], now: datetime
) -> None:
    """Set `values` of an outbox row; one that is not there yet has `new` ones besides."""
    outbox = sa.table(
        "outbox",
        *(sa.column(name, Key) for name in ("entity", "key", "state", "refusal", "error")),
        *(sa.column(name, sa.Integer) for name in ("slot", "lane", "version", "attempts")),
        *(sa.column(name, Instant) for name in ("due_at", "captured_at", "refused_at")),
        sa.column("unsure", sa.Boolean),
    )
    mine = (outbox.c.entity == entity, outbox.c.key == key)
    changed = connection.execute(outbox.update().where(*mine).values(**values, version=outbox.c.version + 1))
    if changed.rowcount:
        return
    slot = crc32(_shared_by(connection, entity, key).encode()) & 0x7FFFFFFF
    times = {"due_at": now, "captured_at": now}
    connection.execute(
        outbox.insert().values(
            entity=entity, key=key, slot=slot, lane=3, version=1, attempts=0, **times, **values, **new
        )
    )


def _shared_by(connection: sa.Connection, entity: str, key: str) -> str:
    """By whose key the work is shared out: an order goes with its customer."""
    if entity not in ORDERS:
        return key
    orders = sa.table("orders", sa.column("number", Key), sa.column("customer", Key))
    number = key if entity == "order" else key.rpartition("-")[0]
    return connection.execute(sa.select(orders.c.customer).where(orders.c.number == number)).scalar() or key
