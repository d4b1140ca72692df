"""Read and put products, with their list prices, by SKU."""

from __future__ import annotations

from connector.api.schemas import ProductPut
from connector.api.serializers import serialize_product
from connector.model.role import Role
from connector.store import products
from connector.web import answers
from connector.web.pagination import QUERIES
from connector.web.resource import KeyedResource
from connector.web.routing import BodyHandler, Route

_RESOURCE = KeyedResource(
    noun="product", key="sku", stored=products, build=ProductPut.product, serialize=serialize_product
)  # fmt: skip

ROUTES = (
    Route(method="GET", path="/products", result=answers.PRODUCT_PAGE,
          role=Role.VIEWER, summary="Products by SKU, page by page.",
          handler=_RESOURCE.list_items, queries=QUERIES),
    Route(method="GET", path="/products/{sku}", result=answers.PRODUCT,
          role=Role.VIEWER, summary="One product, with its prices.",
          handler=_RESOURCE.get_item),
    Route(method="PUT", path="/products/{sku}", result=answers.PRODUCT, role=Role.OPS,
          summary="Create or replace a product; absent prices are removed. A repeated request changes nothing.",
          handler=BodyHandler(ProductPut, _RESOURCE.put_item), statuses=(200, 201),
          headers=("If-Match", "If-None-Match")),
)  # fmt: skip
