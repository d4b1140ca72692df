"""Which org the database works with, and each record of an org linked to one entity only.

Until now two entities could come to be linked to one record, when somebody in the org had retyped its key. The
link that was written last stays; each of the others is kept in the journal, and its entity waits for a person.
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
        *(sa.column(name, Key) for name in ("org_id", "entity", "key", "sobject", "salesforce_id", "snapshot")),
        sa.column("synced_at", Instant),
    )
    connection = op.get_bind()
    _know_orgs(connection, links)
    now = datetime.now(UTC)
    for kept, lost in _doubles(connection, links):
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


def _doubles(connection: sa.Connection, links: sa.TableClause) -> Iterator[tuple[Any, Any]]:
    """(The link that stays, one that goes) of records with several."""
    several = (
        sa.select(links.c.org_id, links.c.salesforce_id)
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
    entity = OWNERS.get(lost.entity, lost.entity)
    separator = "|" if lost.entity == "price" else "-"
    key = lost.key if entity == lost.entity else lost.key.rpartition(separator)[0]
    refusal = {
        "code": "LINKED_TO_ANOTHER",
        "message": f"{lost.sobject} {lost.salesforce_id} was linked to {lost.entity} {lost.key} and to {kept.entity}"
        f" {kept.key}; it is now linked to {kept.entity} {kept.key} alone.",
        "field": None,
        "source": None,
        "fix": f"Open the record in the org. If it is that of {kept.entity} {kept.key}, replay: {lost.entity}"
        f" {lost.key} gets a record of its own. If not, `connector unlink {kept.entity} {kept.key}`, then"
        f" `connector link {lost.entity} {lost.key} {lost.salesforce_id}`.",
        "record": f"{lost.entity} {lost.key}",
    }
    _refuse(connection, entity, key, json.dumps(refusal), now)


def _refuse(connection: sa.Connection, entity: str, key: str, refusal: str, now: datetime) -> None:
    outbox = sa.table(
        "outbox",
        *(sa.column(name, Key) for name in ("entity", "key", "state", "refusal", "error")),
        *(sa.column(name, sa.Integer) for name in ("slot", "lane", "version", "attempts")),
        *(sa.column(name, Instant) for name in ("due_at", "captured_at", "refused_at")),
        sa.column("unsure", sa.Boolean),
    )
    mine = (outbox.c.entity == entity, outbox.c.key == key)
    values = {"state": "dead", "refusal": refusal, "refused_at": now, "unsure": True, "error": None}
    changed = connection.execute(outbox.update().where(*mine).values(**values, version=outbox.c.version + 1))
    if changed.rowcount:
        return
    slot = crc32(_owner(connection, entity, key).encode()) & 0x7FFFFFFF
    times = {"due_at": now, "captured_at": now}
    connection.execute(
        outbox.insert().values(entity=entity, key=key, slot=slot, lane=3, version=1, attempts=0, **times, **values)
    )


def _owner(connection: sa.Connection, entity: str, key: str) -> str:
    """By whose key the work is shared out: an order goes with its customer."""
    if entity not in ORDERS:
        return key
    orders = sa.table("orders", sa.column("number", Key), sa.column("customer", Key))
    number = key if entity == "order" else key.rpartition("-")[0]
    return connection.execute(sa.select(orders.c.customer).where(orders.c.number == number)).scalar() or key
