"""Products with their list prices: read, and put as a whole, by SKU."""

from __future__ import annotations

from sqlalchemy import select

from connector.model.product import Product
from connector.model.role import Role
from connector.store import products
from connector.store.tables import products as table
from connector.web.answers import product_said
from connector.web.bodies import ProductPut
from connector.web.conditions import condition_of, etag, failed, same_version
from connector.web.paging import QUERIES, page
from connector.web.problem import ProblemError
from connector.web.route import Answer, Call, Route, named


async def every(call: Call) -> Answer:
    async with call.store.reader() as connection:
        skus, following = await page(call, connection, select(table.c.sku), table.c.sku)
        found = await products.load(connection, skus)
        versions = await products.versions(connection, skus)
    said = [product_said(product, versions[product.sku]) for product in found]
    return Answer(value={"products": said, "after": following})


async def one(call: Call) -> Answer:
    sku = call.at("sku")
    async with call.store.reader() as connection:
        found = await products.load(connection, [sku])
        versions = await products.versions(connection, [sku])
    if not found:
        raise ProblemError(404, "unknown", f"There is no product {sku}.", field="sku")
    return _answer(found[0], versions[sku])


async def put(call: Call) -> Answer:
    """The product as the body says, whatever was there; equal to what is stored, it changes nothing."""
    sku, condition = named(call, "sku", call.body.sku), condition_of(call.request.headers)
    what = f"Product {sku}"
    async with call.store.transaction() as uow:
        known = (await products.versions(uow.connection, [sku], lock=True)).get(sku)
        condition.check(known, what)
        same_version(known, call.body.version, what)
        saved = await products.save(uow, [call.body.product(sku)])
        if condition.new and not saved.created:  # somebody else was quicker
            raise failed("If-None-Match", f"{what} is there already.")
        [found] = await products.load(uow.connection, [sku])
        version = (await products.versions(uow.connection, [sku]))[sku]
    return _answer(found, version, created=bool(saved.created))


def _answer(product: Product, version: int, *, created: bool = False) -> Answer:
    return Answer(value=product_said(product, version), status=201 if created else 200, headers=etag(version))


ROUTES = (
    Route(method="GET", path="/products", role=Role.VIEWER, summary="Products by SKU, a page at a time.",
          handler=every, queries=QUERIES),
    Route(method="GET", path="/products/{sku}", role=Role.VIEWER, summary="One product, with its prices.", handler=one),
    Route(method="PUT", path="/products/{sku}", role=Role.OPS,
          summary="A product as a whole; a price that is not named is gone. The same again changes nothing.",
          handler=put, body=ProductPut, statuses=(200, 201), headers=("If-Match", "If-None-Match")),
)  # fmt: skip
