"""Who stands in the history of an order that was changed in the org."""

from __future__ import annotations

import pytest

from connector.model.stage import Stage
from connector.store import order_history
from tests.flow.conftest import World, rep_of
from tests.flow.test_pull import NUMBER, begin
from tests.flow.test_push import an_order


async def test_history_of_each_order_names_who_changed_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records of several users come by one page, and are applied together."""
    await begin(world, an_order(NUMBER, stage=Stage.PLACED), an_order("B-2"))
    first = f"Rep ({rep_of(world.org)})"
    await world.change_in_org("Order", NUMBER, Description="by the first")
    await world.change_in_org("OrderItem", f"{NUMBER}-1", Quantity=5)
    user = {"Username": "two@local-org.example", "LastName": "Two", "Name": "Two", "IsActive": 1}
    user_id = world.org.org.dml.platform_insert("User", **user)
    monkeypatch.setattr("tests.flow.conftest.rep_of", lambda _: user_id)
    await world.change_in_org("Order", "B-2", Description="by the second")
    await world.change_in_org("OrderItem", f"{NUMBER}-2", Quantity=6)

    await world.service.pull()

    async with world.service.store.reader() as connection:
        histories = {number: await order_history.read(connection, number) for number in (NUMBER, "B-2")}
    actors = {
        number: [entry.actor for entry in entries if not entry.is_imported and entry.actor != "clerk"]
        for number, entries in histories.items()
    }
    second = f"Two ({user_id})"
    both = ", ".join(sorted((first, second)))
    assert set(actors["B-2"]) == {f"salesforce {second}"}
    assert set(actors[NUMBER]) == {f"salesforce {first}", f"salesforce {both}"}
