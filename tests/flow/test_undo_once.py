"""One plan of an undo is carried out once, however often and by however many it is asked for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from connector.errors import CommandError
from connector.jobs.undo import undo_by_plan
from connector.jobs.undo_plan import plan_undo
from connector.model.undo import UndoPlan, UndoState
from connector.store import undos
from connector.store.undos import Undo
from tests.flow.test_undo import NUMBERS, begin, plan, undo, values


async def test_plan_is_carried_out_once(sides: Any) -> None:
    numbers = NUMBERS[:3]
    side = await begin(sides, numbers)
    context = side.service.inbound_context
    planned = await plan(side, "resync-1")

    async def ask(actor: str) -> tuple[UndoPlan, Undo | None]:
        return await undo_by_plan(context, "resync-1", planned.id, actor=actor)

    answers = await asyncio.gather(ask("ann"), ask("ben"), return_exceptions=True)
    [refused] = [item for item in answers if isinstance(item, BaseException)]
    assert isinstance(refused, CommandError)
    assert (refused.rule, "undo-" in refused.message, "does what this plan says already" in refused.message) == (
        "version", True, True,
    )  # fmt: skip
    with pytest.raises(CommandError, match="does what this plan says already"):
        await ask("ann")
    async with side.service.store.reader() as connection:
        [stored] = await undos.list_of_run(connection, "resync-1")
    assert (stored.total, stored.reached, stored.ended_at is None) == (3, 3, False)

    again = await plan(side, "resync-1")  # it waits to be sent
    assert {row.why for row in again.rows} == {f"It is on its way: {stored.run_name} puts it back."}
    assert (again.counts, again.id == planned.id) == ({UndoState.RESTORED.value: 3}, False)
    await side.push()
    assert await values(side, "Channel__c") == dict.fromkeys(numbers, "web")
    assert (await undo(side, stored.run_name, included=frozenset({"differs"}))).counts == {"restore": 3}
    once_more = await plan(side, "resync-1")  # the same fields and values as at first
    assert (once_more.counts, once_more.id == planned.id) == ({"restore": 3}, False)


async def test_second_of_two_is_told_that_the_first_was_quicker(sides: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    side = await begin(sides, NUMBERS[:1])
    context = side.service.inbound_context
    planned = await plan(side, "resync-1")

    async def plan_late(*arguments: Any) -> UndoPlan:
        with monkeypatch.context() as for_the_first:
            for_the_first.setattr("connector.jobs.undo.plan_undo", plan_undo)
            await undo_by_plan(context, "resync-1", planned.id, actor="ann")
        return await plan_undo(*arguments)

    monkeypatch.setattr("connector.jobs.undo.plan_undo", plan_late)
    with pytest.raises(CommandError, match="asked for by ann, does what this plan says already"):
        await undo_by_plan(context, "resync-1", planned.id, actor="ben")
