"""Customers: read, and put as a whole, by number."""

from __future__ import annotations

from sqlalchemy import select

from connector.model.customer import Customer
from connector.model.role import Role
from connector.store import customers
from connector.store.tables import customers as table
from connector.web.answers import customer_said
from connector.web.bodies import CustomerPut
from connector.web.conditions import condition_of, etag, failed, same_version
from connector.web.paging import QUERIES, page
from connector.web.problem import ProblemError
from connector.web.route import Answer, Call, Route, named


async def every(call: Call) -> Answer:
    async with call.store.reader() as connection:
        numbers, following = await page(call, connection, select(table.c.number), table.c.number)
        found = await customers.load(connection, numbers)
        versions = await customers.versions(connection, numbers)
    said = [customer_said(customer, versions[customer.number]) for customer in found]
    return Answer(value={"customers": said, "after": following})


async def one(call: Call) -> Answer:
    number = call.at("number")
    async with call.store.reader() as connection:
        found = await customers.load(connection, [number])
        versions = await customers.versions(connection, [number])
    if not found:
        raise ProblemError(404, "unknown", f"There is no customer {number}.", field="number")
    return _answer(found[0], versions[number])


async def put(call: Call) -> Answer:
    """The customer as the body says, whatever was there; equal to what is stored, it changes nothing."""
    number, condition = named(call, "number", call.body.number), condition_of(call.request.headers)
    what = f"Customer {number}"
    async with call.store.transaction() as uow:
        known = (await customers.versions(uow.connection, [number], lock=True)).get(number)
        condition.check(known, what)
        same_version(known, call.body.version, what)
        saved = await customers.save(uow, [call.body.customer(number)])
        if condition.new and not saved.created:  # somebody else was quicker
            raise failed("If-None-Match", f"{what} is there already.")
        [found] = await customers.load(uow.connection, [number])
        version = (await customers.versions(uow.connection, [number]))[number]
    return _answer(found, version, created=bool(saved.created))


def _answer(customer: Customer, version: int, *, created: bool = False) -> Answer:
    return Answer(value=customer_said(customer, version), status=201 if created else 200, headers=etag(version))


ROUTES = (
    Route(method="GET", path="/customers", role=Role.VIEWER, summary="Customers by number, a page at a time.",
          handler=every, queries=QUERIES),
    Route(method="GET", path="/customers/{number}", role=Role.VIEWER, summary="One customer.", handler=one),
    Route(method="PUT", path="/customers/{number}", role=Role.OPS,
          summary="A customer as a whole; what is not said is empty. The same again changes nothing.", handler=put,
          body=CustomerPut, statuses=(200, 201), headers=("If-Match", "If-None-Match")),
)  # fmt: skip
