"""An index by which the first waiting event of each order is found."""

from __future__ import annotations

from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("outgoing_events_order", "outgoing_events", ["name", "order_number", "id"])
