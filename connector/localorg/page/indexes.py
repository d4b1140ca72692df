"""Database indexes for the lists and the search of the pages, in addition to those of the org's queries.

Lists show the newest rows first, by rowid, with which every index ends. The indexes leave out deleted rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from connector.localorg.storage import quote

if TYPE_CHECKING:
    from connector.localorg.org import Org

STAGE, HOLD = "Lifecycle_Stage__c", "Hold_Reason__c"
_COLUMNS = (
    ("Order", "Status"),
    ("Order", STAGE),
    ("Account", "Name", "Id"),
    ("Product2", "Name", "Id"),
    ("Product2", "ProductCode"),
    ("Product2", "StockKeepingUnit"),
    ("ReturnOrder", "ReturnOrderNumber"),
    ("Case", "CaseNumber"),
)
LIVE_CONDITION = '"IsDeleted" = 0'
HELD_CONDITION = f'{LIVE_CONDITION} AND "{HOLD}" IS NOT NULL'


def create_indexes(org: Org) -> None:
    """Create the indexes whose columns exist, unless they are there."""
    execute = org.storage.connection.execute
    for sobject, *columns in _COLUMNS:
        if _has_column(org, sobject, columns[0]):
            name = quote(f"ix_page_{sobject}_{columns[0]}")
            listed = ", ".join(map(quote, columns))
            execute(f"CREATE INDEX IF NOT EXISTS {name} ON {quote(sobject)} ({listed}) WHERE {LIVE_CONDITION}")
    if _has_column(org, "Order", HOLD):
        execute(f'CREATE INDEX IF NOT EXISTS "ix_page_Order_held" ON "Order" ("IsDeleted") WHERE {HELD_CONDITION}')
    for sobject in ("Account", "Order", "Product2"):
        if not _has_column(org, sobject, "IsDeleted"):
            continue
        name = quote(f"ix_page_{sobject}_deleted")
        execute(f'CREATE INDEX IF NOT EXISTS {name} ON {quote(sobject)} ("IsDeleted") WHERE "IsDeleted" = 1')


def _has_column(org: Org, sobject: str, column: str) -> bool:
    plan = org.dml.find_plan(sobject)
    return plan is not None and {column, "IsDeleted"} <= plan.column_names
