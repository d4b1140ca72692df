"""The journal says who did something, and by which HTTP request; of what was sent or merged it keeps the fields.

Actors of earlier entries stand in their details, as `by` or `actor`."""

from __future__ import annotations

import orjson
import sqlalchemy as sa
from alembic import op

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None

_OF_PEOPLE = ("replayed", "discarded", "resolved", "linked", "unlinked", "message retried", "message discarded")
_BATCH = 1000


def upgrade() -> None:
    key = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.add_column("journal", sa.Column("actor", key))
    op.add_column("journal", sa.Column("request", sa.Text))
    op.add_column("journal", sa.Column("fields", sa.Text))
    _copy_actors()
    where = sa.text("actor IS NOT NULL")
    op.create_index("journal_actor", "journal", ["id"], sqlite_where=where, postgresql_where=where)
    where = sa.text("fields IS NOT NULL")
    op.create_index("journal_fields", "journal", ["at"], sqlite_where=where, postgresql_where=where)


def _copy_actors() -> None:
    connection = op.get_bind()
    journal = sa.table("journal", *map(sa.column, ("id", "entity", "action", "detail", "actor")))
    column = journal.c
    of_people = sa.or_(column.entity.in_(("job", "resync")), column.action.in_(_OF_PEOPLE))
    chosen = sa.select(column.id, column.detail).where(of_people).order_by(column.id).limit(_BATCH)
    statement = sa.update(journal).where(column.id == sa.bindparam("the_id")).values(actor=sa.bindparam("the_actor"))
    last = 0
    while rows := connection.execute(chosen.where(column.id > last)).all():
        last = rows[-1].id
        found = []
        for number, text in rows:
            detail = orjson.loads(text)
            if (actor := detail.get("actor") or detail.get("by")) is not None:
                found.append({"the_id": number, "the_actor": str(actor)})
        if found:
            connection.execute(statement, found)
