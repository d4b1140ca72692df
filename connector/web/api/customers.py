"""Read and put customers by number."""

from __future__ import annotations

from connector.api.schemas import CustomerPut
from connector.api.serializers import serialize_customer
from connector.model.customer import Customer
from connector.model.role import Role
from connector.store import customers
from connector.web import answers
from connector.web.pagination import QUERIES
from connector.web.resource import KeyedResource
from connector.web.routing import BodyHandler, Route

_RESOURCE: KeyedResource[Customer, CustomerPut] = KeyedResource(
    noun="customer", key="number", stored=customers,
    build=CustomerPut.customer, serialize=serialize_customer,
)  # fmt: skip

ROUTES = (
    Route(method="GET", path="/customers", result=answers.CUSTOMER_PAGE,
          role=Role.VIEWER, summary="Customers by number, page by page.",
          handler=_RESOURCE.list_items, queries=QUERIES),
    Route(method="GET", path="/customers/{number}", result=answers.CUSTOMER, role=Role.VIEWER, summary="One customer.",
          handler=_RESOURCE.get_item),
    Route(method="PUT", path="/customers/{number}", result=answers.CUSTOMER, role=Role.OPS,
          summary="Create or replace a customer; absent fields become empty. A repeated request changes nothing.",
          handler=BodyHandler(CustomerPut, _RESOURCE.put_item), statuses=(200, 201),
          headers=("If-Match", "If-None-Match")),
)  # fmt: skip
