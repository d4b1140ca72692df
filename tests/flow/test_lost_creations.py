"""The answer to a creation is lost, and a rep edits the new record before it is read back: the edit is kept."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from connector.model.customer import Customer
from connector.model.order import OrderInput
from connector.model.stage import Stage
from connector.salesforce.errors import UnreadableResponseError
from connector.salesforce.fault import NoResponse
from connector.store import customers
from tests.flow.test_later_changes import TimedWorld, timed
from tests.flow.test_pull import customer_here, order_here
from tests.flow.test_push import an_order
from tests.flow.test_push_conflicts import a_line

__all__ = ["timed"]  # a fixture

NEW = Customer(number="C-9", name="New", phone="ours", city="Kiel")


def new_order(number: str) -> OrderInput:
    return an_order(number, customer="C-9", stage=Stage.PLACED, lines=(a_line(1),), notes="ours", po_number="PO-1")


async def lose_creation(
    world: TimedWorld, monkeypatch: pytest.MonkeyPatch, call: str, meanwhile: Callable[[], Awaitable[None]]
) -> None:
    """Push; the org does the call of that name, something happens, and its answer does not arrive."""
    real = getattr(world.service.client, call)

    async def lossy(*values: Any, **named: Any) -> Any:
        await real(*values, **named)
        world.time.advance(5)
        await meanwhile()
        raise UnreadableResponseError(NoResponse.CONNECTION_LOST)

    with monkeypatch.context() as patch:
        patch.setattr(world.service.client, call, lossy)
        await world.push()
    world.time.advance(60)


async def values_in_org(world: TimedWorld) -> tuple[str, str, str, str]:
    [row] = await world.query(
        "SELECT Description, PoNumber, Account.Phone, Account.BillingCity FROM Order WHERE External_Key__c = 'N-2'"
    )
    return row["Description"], row["PoNumber"], row["Account"]["Phone"], row["Account"]["BillingCity"]


async def values_here(world: TimedWorld) -> tuple[str | None, ...]:
    order, customer = (await order_here(world, "N-2")).header, await customer_here(world, "C-9")
    return order.notes, order.po_number, customer.phone, customer.city


@pytest.mark.parametrize("ahead", [False, True], ids=["account travels with the order", "account goes ahead"])
async def test_edit_of_a_rep_after_a_creation_without_an_answer_is_kept(
    timed: TimedWorld, monkeypatch: pytest.MonkeyPatch, ahead: bool
) -> None:
    """What nobody edited is as it was sent; of what both sides edited, the later change stands."""

    async def rep_edits() -> None:
        await timed.change_there("Account", "C-9", Phone="theirs", BillingCity="theirs, earlier")
        if not ahead:
            await timed.change_there("Order", "N-2", Description="theirs")

    some = ["N-2", "N-3"] if ahead else ["N-2"]  # two orders need the account before both
    await timed.save([*map(new_order, some)], some_customers=[NEW], some_products=())
    await lose_creation(timed, monkeypatch, "collections_upsert" if ahead else "graph", rep_edits)
    await timed.change_here("C-9", city="ours, later")
    await timed.settle()

    notes = "ours" if ahead else "theirs"
    assert await values_in_org(timed) == (notes, "PO-1", "theirs", "ours, later")
    assert await values_here(timed) == (notes, "PO-1", "theirs", "ours, later")


async def test_edit_of_a_customer_that_was_created_alone_is_kept(
    timed: TimedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def rep_edits() -> None:
        await timed.change_there("Account", "C-9", Phone="theirs")

    async with timed.service.store.transaction() as uow:
        await customers.save(uow, [NEW])
    await lose_creation(timed, monkeypatch, "collections_upsert", rep_edits)
    await timed.settle()

    assert ((await timed.account("C-9"))["Phone"], (await customer_here(timed, "C-9")).phone) == ("theirs", "theirs")
