"""Histories name what happened in the past tense: shipped, not ship.

The digest of a request names what was asked, which is called as before: requests stay comparable.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

WORDS = (
    ("begin", "begun"),
    ("change", "changed"),
    ("verify", "verified"),
    ("confirm", "confirmed"),
    ("allocate", "allocated"),
    ("deallocate", "deallocated"),
    ("pick", "picked"),
    ("pack", "packed"),
    ("unpack", "unpacked"),
    ("label", "labeled"),
    ("ship", "shipped"),
    ("track", "tracked"),
    ("deliver", "delivered"),
    ("cancel", "canceled"),
    ("invoice", "invoiced"),
    ("authorize", "authorized"),
    ("decline", "declined"),
    ("capture", "captured"),
    ("refund", "refunded"),
    ("hold", "held"),
    ("escalate", "escalated"),
    ("release", "released"),
    ("request_return", "return_requested"),
    ("approve_return", "return_approved"),
    ("reject_return", "return_rejected"),
    ("label_return", "return_labeled"),
    ("receive_return", "return_received"),
    ("inspect_return", "return_inspected"),
    ("close_return", "return_closed"),
    ("advance", "advanced"),
)
KINDS = (
    "'begun', 'changed', 'split', 'verified', 'confirmed', 'allocated', 'deallocated', 'picked', 'packed', "
    "'unpacked', 'labeled', 'shipped', 'tracked', 'delivered', 'canceled', 'invoiced', 'authorized', 'declined', "
    "'captured', 'refunded', 'held', 'escalated', 'released', 'return_requested', 'return_approved', "
    "'return_rejected', 'return_labeled', 'return_received', 'return_inspected', 'return_closed', 'advanced'"
)


def upgrade() -> None:
    with op.batch_alter_table("order_events") as batch:
        batch.drop_constraint(op.f("order_events_action_ck"), type_="check")
    action: sa.ColumnClause[str] = sa.column("action", sa.Text)
    events = sa.table("order_events", action)
    op.get_bind().execute(events.update().values(action=sa.case(dict(WORDS), value=action, else_=action)))
    with op.batch_alter_table("order_events") as batch:
        batch.create_check_constraint(op.f("order_events_action_ck"), f"action IN ({KINDS})")
