"""A poll of an org in which nothing has changed for a while reads nothing again, and misses nothing."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from tests.flow.conftest import World
from tests.flow.test_pull import begin


async def test_quiet_org_is_not_read_again_and_the_next_change_arrives(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await begin(world)
    assert sum(poll.rows for poll in (await world.service.pull()).polls) > 0  # the overlap
    monkeypatch.setattr("connector.inbound.poll.QUIET_AFTER", timedelta(minutes=-5))
    await world.service.pull()
    monkeypatch.undo()
    assert [poll.rows for poll in (await world.service.pull()).polls] == [0, 0, 0, 0]
    await asyncio.sleep(1.05)  # the org stamps by the second
    await world.change_in_org("Account", "C-1", Phone="later")
    assert (await world.service.pull()).applied.taken == {"Account.Phone": 1}
    assert sum(poll.rows for poll in (await world.service.pull()).polls) > 0  # something may come late again
