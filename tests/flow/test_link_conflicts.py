"""Several links to one record, as an older database has them: every push resolves them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from connector.model.change import ChangeState, EntityKind
from connector.model.record import Link
from connector.model.stage import Stage
from connector.outbound.outcomes import Outcomes
from connector.outbound.repository import SyncRepository
from connector.store import links, outbox
from tests.flow.conftest import CUSTOMERS, PRODUCTS, World
from tests.flow.test_push import an_order
from tests.flow.test_push_conflicts import a_line
from tests.flow.test_record_identity import letters

ONE = an_order("A-1", stage=Stage.PLACED, lines=(a_line(1),))
TWO = an_order("A-2", stage=Stage.PLACED, lines=(a_line(1),))
CUSTOMER, PRODUCT, ORDER = EntityKind.CUSTOMER, EntityKind.PRODUCT, EntityKind.ORDER


async def linked(world: World, entity: str, *keys: str) -> dict[str, Link]:
    org_id = await world.service.client.connect()
    async with world.service.store.reader() as connection:
        return await links.get(connection, org_id, entity, keys)


async def steal(world: World, entity: str, *, thief: str, victim: str) -> None:
    """The thief's link names the record of the victim, which has none."""
    org_id = await world.service.client.connect()
    mine, theirs = [(await linked(world, entity, key))[key] for key in (thief, victim)]
    async with world.service.store.transaction() as uow:
        await links.drop(uow, org_id, entity, [victim])
        await links.put(uow, org_id, [replace(mine, salesforce_id=theirs.salesforce_id)])


async def test_price_record_linked_to_another_product_returns_to_its_own(world: World) -> None:
    await world.save([ONE])
    assert (await world.push()).in_sync
    before = await linked(world, "price", "P-1|USD", "P-2|USD")
    await steal(world, "price", thief="P-2|USD", victim="P-1|USD")
    await world.save([TWO], some_products=[replace(PRODUCTS[0], name="later"), *PRODUCTS[1:]])
    assert (await world.push()).in_sync
    assert await linked(world, "price", "P-1|USD", "P-2|USD") == before
    assert await world.count("PricebookEntry") == len(PRODUCTS)
    assert await world.count("Order") == 2


async def test_line_record_linked_to_another_order_returns_to_its_own(world: World) -> None:
    await world.save([ONE, TWO])
    assert (await world.push()).in_sync
    before = await linked(world, "line", "A-1-1", "A-2-1")
    await steal(world, "line", thief="A-2-1", victim="A-1-1")
    assert (await world.resync(ORDER, "A-1")).in_sync
    assert (await world.push()).in_sync
    found = await linked(world, "line", "A-1-1", "A-2-1")
    assert {key: link.salesforce_id for key, link in found.items()} == {
        key: link.salesforce_id for key, link in before.items()
    }
    assert await world.count("OrderItem") == 2


@pytest.mark.parametrize("seen", [True, False], ids=["stored before", "stored meanwhile"])
async def test_account_linked_elsewhere_during_the_call_is_left_out_and_both_are_read_back(
    world: World, seen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = world.service
    await world.save(some_customers=CUSTOMERS[:2])
    await world.push()
    await world.save(some_customers=[CUSTOMERS[0], replace(CUSTOMERS[1], city="later")])
    org_id = await service.client.connect()
    repository = SyncRepository(service.store, service.mappings, org_id=org_id)
    of = service.settings.sync.partitions
    [claimed] = await repository.claim(CUSTOMER, set(range(of)), of, 10)
    both = await linked(world, "customer", "C-1", "C-2")
    taken = replace(both["C-2"], salesforce_id=both["C-1"].salesforce_id)
    find, asked = links.find, 0

    async def late(*what: Any) -> dict[str, Link]:
        nonlocal asked
        asked += 1
        return {} if asked == 1 else await find(*what)

    if not seen and service.store.dialect != "sqlite":  # which has one writer: nobody stores anything meanwhile
        monkeypatch.setattr(links, "find", late)
    await repository.record(Outcomes(links=[taken], done=[claimed.change]))
    monkeypatch.undo()
    assert await linked(world, "customer", "C-1", "C-2") == both
    async with service.store.reader() as connection:
        unsent = await outbox.find(connection, CUSTOMER, ["C-1", "C-2"])
    assert {key: (row.state, row.unconfirmed) for key, row in unsent.items()} == dict.fromkeys(
        ["C-1", "C-2"], (ChangeState.DUE, True)
    )
    assert (await world.push()).in_sync
    assert await letters(world) == {}
