"""US spelling of what is stored: canceled, authorized, labeled; the edits of lines are called line_edits.

Histories are rewritten by replacing JSON keys and values in SQL. That is exact, because a quote inside a JSON string is
escaped: `"canceled":` never occurs inside a text.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

STAGES = "'placed', 'verified', 'confirmed', 'fulfilling', 'shipped', 'delivered', 'completed', 'canceled'"
SHIPMENTS = "'packed', 'labeled', 'in_transit', 'out_for_delivery', 'exception', 'delivered', 'void'"
ACTIONS = (
    "'begin', 'change', 'split', 'verify', 'confirm', 'allocate', 'deallocate', 'pick', 'pack', 'unpack', 'label', "
    "'ship', 'track', 'deliver', 'cancel', 'invoice', 'authorize', 'decline', 'capture', 'refund', 'hold', 'escalate', "
    "'release', 'request_return', 'approve_return', 'reject_return', 'label_return', 'receive_return', "
    "'inspect_return', 'close_return', 'advance'"
)
WAYS = (
    "'placed>verified', 'verified>placed', 'verified>confirmed', 'confirmed>fulfilling', 'fulfilling>shipped', "
    "'shipped>delivered', 'delivered>completed', 'placed>canceled', 'verified>canceled', 'confirmed>canceled', "
    "'fulfilling>canceled'"
)
KEYS = (("authorised", "authorized"), ("cancelled", "canceled"), ("terms", "line_edits"))
VALUES = (("stage", "cancelled", "canceled"), ("to", "cancelled", "canceled"), ("status", "labelled", "labeled"))


def upgrade() -> None:
    with op.batch_alter_table("orders") as batch:
        batch.drop_constraint(op.f("orders_stage_ck"), type_="check")
        batch.alter_column("authorised", new_column_name="authorized")
    _replace("orders", "stage", "cancelled", "canceled")
    with op.batch_alter_table("orders") as batch:
        batch.create_check_constraint(op.f("orders_stage_ck"), f"stage IN ({STAGES})")
    with op.batch_alter_table("order_lines") as batch:
        batch.drop_constraint(op.f("order_lines_cancelled_ck"), type_="check")
        batch.alter_column("cancelled", new_column_name="canceled")
        batch.create_check_constraint(
            op.f("order_lines_canceled_ck"), "CAST(canceled AS NUMERIC) <= CAST(quantity AS NUMERIC)"
        )
    with op.batch_alter_table("shipments") as batch:
        batch.drop_constraint(op.f("shipments_status_ck"), type_="check")
    _replace("shipments", "status", "labelled", "labeled")
    with op.batch_alter_table("shipments") as batch:
        batch.create_check_constraint(op.f("shipments_status_ck"), f"status IN ({SHIPMENTS})")
    with op.batch_alter_table("order_events") as batch:
        for name in ("action", "transition"):
            batch.drop_constraint(op.f(f"order_events_{name}_ck"), type_="check")
    _rewrite_histories()
    with op.batch_alter_table("order_events") as batch:
        batch.create_check_constraint(op.f("order_events_action_ck"), f"action IN ({ACTIONS})")
        batch.create_check_constraint(
            op.f("order_events_transition_ck"),
            f"stage_before IS NULL OR stage_before = stage_after OR stage_before || '>' || stage_after IN ({WAYS})",
        )


def _replace(table: str, column: str, old: str, new: str) -> None:
    at: sa.ColumnClause[str] = sa.column(column)
    op.get_bind().execute(sa.update(sa.table(table, at)).where(at == old).values({column: new}))


def _rewrite_histories() -> None:
    detail: sa.ColumnElement[str] = sa.column("detail", sa.Text)
    action: sa.ColumnClause[str] = sa.column("action", sa.Text)
    digest: sa.ColumnClause[str] = sa.column("request_digest", sa.Text)
    events = sa.table("order_events", action, sa.column("detail", sa.Text), digest)
    # A request that named what is renamed here cannot be compared any more: its repeat is recognized by its key alone.
    renamed = sa.or_(action == "authorise", detail.contains('"terms":'))
    op.get_bind().execute(events.update().where(renamed, digest.is_not(None)).values(request_digest=None))
    replaced: sa.ColumnElement[str] = detail
    for old, new in KEYS:
        replaced = sa.func.replace(replaced, f'"{old}":', f'"{new}":')
    for key, old, new in VALUES:
        for separator in (":", ": "):
            replaced = sa.func.replace(replaced, f'"{key}"{separator}"{old}"', f'"{key}"{separator}"{new}"')
    op.get_bind().execute(events.update().where(replaced != detail).values(detail=replaced))
    _replace("order_events", "action", "authorise", "authorize")
    for column in ("stage_before", "stage_after"):
        _replace("order_events", column, "cancelled", "canceled")
