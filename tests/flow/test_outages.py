"""A service whose org is unavailable, and processes that die while they send."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
import structlog

from connector.errors import ConnectorError
from connector.jobs.push_loop import OutageLog
from connector.log import configure
from connector.outbound import health
from connector.outbound.health import OrgHealth
from connector.outbound.repository import SyncRepository
from connector.store import mapping_versions
from tests.flow.conftest import Silent, World
from tests.flow.org_faults import ANSWERS, LITE, NEW, OLD, calls, due, html, outage
from tests.flow.test_push import an_order
from tests.flow.test_push_conflicts import a_line


class Later:
    """The machine's clock, as far ahead as a test says."""

    def __init__(self, real: Any) -> None:
        self._real = real
        self.ahead = 0.0

    def now(self) -> Any:
        return self._real.now() + timedelta(seconds=self.ahead)

    async def sleep(self, seconds: float) -> None:
        await self._real.sleep(seconds)

    def jitter(self) -> float:
        return 0.0


@pytest.fixture
def ahead(world: World) -> Later:
    later = Later(world.service.clock)
    world.service.store.clock = later
    return later


async def test_service_retries_an_unavailable_org_at_growing_intervals_and_reports_it_once(
    world: World, ahead: Later
) -> None:
    await world.save(NEW)
    world.org.org.faults.configure({"answer": {**ANSWERS["403 forbidden"], "count": 100_000}})
    asked: list[float] = []
    log = OutageLog()
    configure("INFO")
    with structlog.testing.capture_logs() as lines:
        for _ in range(2_000):
            before = calls(world)
            log.tell(await world.service.push(Silent(), scheduled=True))
            if calls(world) > before:
                asked.append(ahead.ahead)
            found = await outage(world)
            assert found is not None
            ahead.ahead += max(1.0, (found.next_attempt_at - ahead.now()).total_seconds() / 2)
            if len(asked) == 12:
                break
        world.org.org.faults.clear()
        ahead.ahead += 300
        log.tell(await world.service.push(Silent(), scheduled=True))
    gaps = [later - earlier for earlier, later in pairwise(asked)]
    assert gaps[-1] >= 299
    assert all(gap <= 310 for gap in gaps)
    told = [line["event"] for line in lines if line["event"].startswith("org_outage")]
    assert told == ["org_outage", "org_outage_over"]
    assert (await due(world), await outage(world)) == (0, None)


@LITE
async def test_processes_share_one_retry_interval(world: World, ahead: Later) -> None:
    await world.save(NEW)
    world.org.org.faults.configure({"answer": {**ANSWERS["403 forbidden"], "count": 100_000}})
    another = replace(world.service, push_context=replace(world.service.push_context, health=OrgHealth()))
    await world.service.push(Silent(), scheduled=True)
    ahead.ahead += 5
    before = calls(world)
    await world.service.push(Silent(), scheduled=True)
    asked = calls(world) - before
    for service in (world.service, another, another):
        await service.push(Silent(), scheduled=True)
    assert (asked, calls(world) - before) == (1, 1)
    with pytest.raises(ConnectorError):
        await another.push(Silent())  # somebody asked for it
    assert calls(world) - before == 2


async def test_org_is_called_again_with_a_few_changes_and_then_gets_all(
    world: World, ahead: Later, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To prepare a full call for each try costs the time of the other orgs of the process."""
    monkeypatch.setattr(health, "PROBE_CHANGES", 2)
    claimed: list[int] = []
    claim = SyncRepository.claim

    async def noted_claim(self: SyncRepository, *arguments: Any, **more: Any) -> list[Any]:
        claimed.append(len(found := await claim(self, *arguments, **more)))
        return found

    await world.save(OLD)
    await world.push()
    already = await world.count("Order")
    monkeypatch.setattr(SyncRepository, "claim", noted_claim)
    await world.save([an_order(f"M-{number}", customer="C-1") for number in range(12)])
    world.org.org.faults.configure({"status": {"code": 503, "count": 100_000}})
    await world.service.push(Silent(), scheduled=True)
    waiting = await due(world)
    claimed.clear()
    ahead.ahead += 10
    before = calls(world)
    await world.service.push(Silent(), scheduled=True)
    assert (calls(world) - before, sum(claimed), await due(world)) == (1, 2, waiting)
    world.org.org.faults.clear()
    ahead.ahead += 300
    await world.service.push(Silent(), scheduled=True)
    assert (await due(world), await outage(world), await world.count("Order") - already) == (0, None, 12)
    assert not await world.dead_letters()


@LITE
async def test_service_paused_by_other_mappings_does_not_end_an_outage(world: World, ahead: Later) -> None:
    await world.save(OLD)
    await world.push()
    await world.save(NEW)
    world.org.org.faults.configure({"answer": {**ANSWERS["403 forbidden"], "count": 100_000}})
    await world.service.push(Silent(), scheduled=True)
    async with world.service.store.transaction() as uow:
        assert await mapping_versions.activate(uow, "of-another-host", "another:host", base=1) == 2
    before, ahead.ahead = await outage(world), 600
    summary = await world.service.push(Silent(), scheduled=True)
    after = await outage(world)
    assert before is not None
    assert after is not None
    assert (after.attempts, summary.outage is not None) == (before.attempts, True)


@LITE
async def test_retry_after_of_the_org_is_respected(world: World, ahead: Later) -> None:
    await world.save(NEW)
    world.org.org.faults.configure({"answer": {**html(429, retry_after=200), "count": 100_000}})
    await world.service.push(Silent(), scheduled=True)
    found = await outage(world)
    assert found is not None
    assert 195 < (found.next_attempt_at - ahead.now()).total_seconds() <= 200


async def test_orders_in_flight_when_the_process_died_never_become_dead_letters(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thirty times. What was sent and not recorded is looked at, and goes out with the next push."""
    many = [an_order(f"K-{number}", customer=f"C-{number % 8 + 1}", lines=(a_line(1),)) for number in range(30)]
    await world.save(many)
    with monkeypatch.context() as patched:
        _die_when_sending(world, patched, any_order=True)
        for _ in range(30):
            with pytest.raises(RuntimeError, match="gone"):
                await world.push()
    before = calls(world)
    assert (await world.push()).in_sync
    assert await world.dead_letters() == []
    assert await world.count("Order") == 30
    assert calls(world) - before < 60


async def test_record_that_ends_the_process_each_time_is_isolated(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [an_order(f"K-{number}", customer=f"C-{number % 8 + 1}", lines=(a_line(1),)) for number in range(30)]
    await world.save(many)
    sent: list[int] = []
    with monkeypatch.context() as patched:
        _die_when_sending(world, patched, any_order=False, sent=sent)
        for _ in range(20):
            with pytest.raises(RuntimeError, match="gone"):
                await world.push()
        assert sent[-1] == 1
        assert await world.count("Order") == 29
        await world.save([many[0].with_header(number="K-100")])
        with pytest.raises(RuntimeError, match="gone"):
            await world.push()
        assert await world.count("Order") == 30
    assert await world.dead_letters() == []
    assert (await world.push()).in_sync


def _die_when_sending(
    world: World, patched: pytest.MonkeyPatch, *, any_order: bool, sent: list[int] | None = None
) -> None:
    graph = world.service.client.graph

    async def dies(graphs: Any) -> Any:
        poison = any_order or any("'K-7'" in str(item) for item in graphs)
        if poison:
            if sent is not None:
                sent.append(len(graphs))
            raise RuntimeError("the process is gone")
        return await graph(graphs)

    patched.setattr(world.service.client, "graph", dies)
