"""The org has characters that a database does not store: each is replaced, and nothing else is held up by it."""

from __future__ import annotations

from connector.model.stage import Stage
from tests.flow.conftest import World
from tests.flow.test_pull import (
    OwnedWorld,
    begin,
    both_sides_rest,
    change_notes,
    customer_here,
    open_conflicts,
    order_here,
    owned,
)
from tests.flow.test_push import an_order
from tests.flow.test_reconcile import found, reconcile

__all__ = ["owned"]  # a fixture

NUL, REPLACED = "a\x00b", "a\N{REPLACEMENT CHARACTER}b"


async def put_nul(world: World, sobject: str, key: str, field: str) -> None:
    """A value with NUL, which the local org takes from no client: a real one may have it from code of its own."""
    record = await world.change_in_org(sobject, key, **{field: "a b"})
    storage = world.org.org.storage.connection
    storage.execute(f'UPDATE "{sobject}" SET "{field}" = ? WHERE "Id" = ?', (NUL, record))


async def test_record_with_nul_is_applied_with_all_others(world: World) -> None:
    await begin(world, an_order("N-1", stage=Stage.PLACED), an_order("N-2", stage=Stage.PLACED))
    await put_nul(world, "Order", "N-1", "Description")
    await put_nul(world, "Account", "C-1", "Phone")
    await world.change_in_org("Order", "N-2", Description="fine")

    assert (await world.service.pull()).applied.taken == {"Order.Description": 2, "Account.Phone": 1}

    assert [(await order_here(world, number)).header.notes for number in ("N-1", "N-2")] == [REPLACED, "fine"]
    assert (await customer_here(world)).phone == REPLACED
    await both_sides_rest(world)
    assert not found(await reconcile(world))
    query = 'SELECT "Description" FROM "Order" WHERE "External_Key__c" = ?'
    assert world.org.org.storage.connection.execute(query, ("N-1",)).fetchone()[0] == NUL  # nothing was sent


async def test_conflict_and_refusal_with_nul_are_stored_and_shown(owned: OwnedWorld) -> None:
    async with owned("ask") as world:
        await begin(world, an_order("N-1", stage=Stage.PLACED), an_order("N-2", stage=Stage.PLACED))
        await put_nul(world, "Order", "N-1", "Description")
        await change_notes(world, "ours")
        await world.service.pull()
        [conflict] = await open_conflicts(world)
        assert (conflict.local, conflict.remote) == ("ours", REPLACED)

        refusal = {"code": "FIELD_CUSTOM_VALIDATION_EXCEPTION", "message": f"not {NUL}"}
        world.org.org.faults.configure({"rows": {"sobject": "Order", **refusal}})
        await world.save([an_order("N-3", stage=Stage.PLACED)])
        await world.push()
        [letter] = await world.dead_letters()
        assert (letter.key, letter.refusal.message) == ("N-3", f"not {REPLACED}")
