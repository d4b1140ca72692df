"""Both sides change the lines of an order, and a push comes before the poll: the later change stands."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from connector.model.events import ChangeOrder, LineEdit
from connector.orders.command import OrderCommand
from tests.flow.test_later_changes import TimedWorld, timed
from tests.flow.test_lost_creations import NEW, lose_creation, new_order
from tests.flow.test_pull import NUMBER, change_notes, order_here
from tests.flow.test_push_conflicts import lose_answers

__all__ = ["timed"]  # a fixture


async def edit_here(world: TimedWorld, line: int, **values: Any) -> None:
    edits = {line: LineEdit(**{"sku": "P-1", "quantity": Decimal(12), "unit_price": Decimal(14)} | values)}
    event = ChangeOrder(line_edits=edits)
    await world.service.orders.execute(OrderCommand(number=NUMBER, event=event), actor="clerk")
    world.time.advance(5)


async def quantities(world: TimedWorld, number: str = NUMBER) -> tuple[list[int], list[int]]:
    """Of the lines here, and in the org."""
    there = (await world.order(number))["lines"]
    here = (await order_here(world, number)).lines
    return [int(line.quantity) for line in here], [int(there[key]["Quantity"]) for key in sorted(there)]


async def test_later_change_of_a_line_stands_though_the_push_comes_first(timed: TimedWorld) -> None:
    """Each of the two lines is changed on both sides; the push also sends other values of the lines."""
    await timed.change_there("OrderItem", f"{NUMBER}-2", Quantity=6)
    await edit_here(timed, 1, quantity=Decimal(7))
    await edit_here(timed, 2, sku="P-4", quantity=Decimal(8), unit_price=Decimal("12.75"))
    await timed.change_there("OrderItem", f"{NUMBER}-1", Quantity=5)
    await timed.hold()  # a later change of the order makes no line of it later

    assert (await timed.push()).stats.changed_in_org == 2

    assert await quantities(timed) == ([5, 8], [5, 8])
    await timed.settle()


async def test_line_that_a_rep_changed_is_kept_though_a_send_had_no_answer(
    timed: TimedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order is read back with its lines. What we sent of the other line is known to be ours."""

    async def rep_edits() -> None:
        timed.time.advance(5)
        await timed.change_there("OrderItem", f"{NUMBER}-1", Quantity=5)

    await edit_here(timed, 2, sku="P-4", quantity=Decimal(8), unit_price=Decimal("12.75"))
    await change_notes(timed, "ours")
    lose_answers(timed, monkeypatch, "collections_update", rep_edits)
    await timed.push()
    timed.time.advance(60)
    await timed.settle()

    assert await quantities(timed) == ([5, 8], [5, 8])


async def test_line_that_a_rep_changed_after_a_creation_without_an_answer_is_kept(
    timed: TimedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def rep_edits() -> None:
        await timed.change_there("OrderItem", "N-2-1", Quantity=5)

    await timed.save([new_order("N-2")], some_customers=[NEW], some_products=())
    await lose_creation(timed, monkeypatch, "graph", rep_edits)
    await timed.settle()

    assert await quantities(timed, "N-2") == ([5], [5])
