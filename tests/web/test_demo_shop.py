"""The demo's shop leaves alone what a person has touched."""

from __future__ import annotations

from connector.store.queries.order_events import list_touched_by_people
from tests.unit.store import samples
from tests.web.conftest import Api


async def test_order_that_a_person_has_touched_is_known(api: Api) -> None:
    await samples.place(api.store, samples.order("S-1"), samples.order("S-2"))
    async with api.store.reader() as connection:
        assert await list_touched_by_people(connection, ["S-1", "S-2"]) == set()
    assert (await api.move("S-1", action="hold", hold="manual")).status == 200
    async with api.store.reader() as connection:
        assert await list_touched_by_people(connection, ["S-1", "S-2"]) == {"S-1"}
