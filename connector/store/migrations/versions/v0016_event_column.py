"""The column of a history that says what happened is called `event`; an action is what somebody asks for."""

from __future__ import annotations

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

KINDS = (
    "'begun', 'changed', 'split', 'verified', 'confirmed', 'allocated', 'deallocated', 'picked', 'packed', "
    "'unpacked', 'labeled', 'shipped', 'tracked', 'delivered', 'canceled', 'invoiced', 'authorized', 'declined', "
    "'captured', 'refunded', 'held', 'escalated', 'released', 'return_requested', 'return_approved', "
    "'return_rejected', 'return_labeled', 'return_received', 'return_inspected', 'return_closed', 'advanced'"
)


def upgrade() -> None:
    with op.batch_alter_table("order_events") as batch:
        batch.drop_constraint(op.f("order_events_action_ck"), type_="check")
        batch.alter_column("action", new_column_name="event")
        batch.create_check_constraint(op.f("order_events_event_ck"), f"event IN ({KINDS})")
