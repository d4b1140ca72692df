"""Customers: read, and put as a whole, by number."""

from __future__ import annotations

from connector.model.role import Role
from connector.store import customers
from connector.store.tables import customers as table
from connector.web.answers import customer_said
from connector.web.api.whole import Whole
from connector.web.bodies import CustomerPut
from connector.web.paging import QUERIES
from connector.web.route import Route

_WHOLE = Whole(
    noun="customer", key="number", column=table.c.number, stored=customers,
    made=CustomerPut.customer, said=customer_said,
)  # fmt: skip

ROUTES = (
    Route(method="GET", path="/customers", role=Role.VIEWER, summary="Customers by number, a page at a time.",
          handler=_WHOLE.every, queries=QUERIES),
    Route(method="GET", path="/customers/{number}", role=Role.VIEWER, summary="One customer.", handler=_WHOLE.one),
    Route(method="PUT", path="/customers/{number}", role=Role.OPS,
          summary="A customer as a whole; what is not said is empty. The same again changes nothing.",
          handler=_WHOLE.put, body=CustomerPut, statuses=(200, 201), headers=("If-Match", "If-None-Match")),
)  # fmt: skip
