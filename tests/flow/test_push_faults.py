"""Nothing is lost or duplicated when responses are lost, processes die, the org fails or another worker interferes."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from connector.demo.sample_orders import orders as sample_orders
from connector.errors import AuthError, LeaseLostError
from connector.localorg.server import LocalOrg
from connector.model.stage import Stage
from connector.outbound import backoff, drain
from connector.outbound.batches import graph_calls
from connector.salesforce.transport import Transport
from connector.service import running_service
from tests.flow import forked_cli
from tests.flow.conftest import CUSTOMERS, PRODUCTS, World, settings_for
from tests.flow.test_push import an_order
from tests.order_builders import changed


@pytest.fixture(autouse=True)
def short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the attempts of a change."""
    monkeypatch.setattr(backoff, "FIRST_DELAY", timedelta(seconds=0.1))


def shipped(count: int, first: int = 1) -> list[object]:
    made = sample_orders(CUSTOMERS, PRODUCTS, count=count, first=first)
    return [changed(order, stage=Stage.SHIPPED) for order in made]


async def everything(world: World) -> tuple[int, int, int, int, int]:
    active = await world.query("SELECT COUNT(Id) n FROM Order WHERE Status = 'Activated'")
    return (
        await world.count("Account"),
        await world.count("Product2"),
        await world.count("Order"),
        await world.count("OrderItem"),
        active[0]["n"],
    )


def expected(orders: list[object]) -> tuple[int, int, int, int, int]:
    lines = sum(len(order.lines) for order in orders)  # type: ignore[attr-defined]
    return len(CUSTOMERS), len(PRODUCTS), len(orders), lines, len(orders)


CALLS = {
    "products": "PATCH composite/sobjects/Product2/External_Key__c",
    "prices": "POST composite/sobjects",
    "new orders": "POST composite/graph",
    "status": "PATCH composite/sobjects",
    "customers": "PATCH composite/sobjects/Account/External_Key__c",
}


@pytest.mark.parametrize("lost", [1, 8])
@pytest.mark.parametrize("kind", CALLS)
async def test_lost_response_loses_and_duplicates_nothing(
    world: World, kind: str, lost: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The responses to calls of this kind and to those after them. One is lost for every attempt that a call has, and
    more: then the push ends without knowing what the org has written."""
    monkeypatch.setattr(drain, "graph_calls", partial(graph_calls, graphs=10))
    faults, send, losing = world.org.org.faults, Transport.send, False

    async def loses(self: Transport, method: str, path: str, **more: Any) -> Any:
        nonlocal losing
        if not losing and f"{method} {path.partition('/v66.0/')[2]}" == CALLS[kind]:
            losing, faults.lost_response = True, lost
        return await send(self, method, path, **more)

    monkeypatch.setattr(Transport, "send", loses)
    orders = shipped(16)  # two calls, as of a hundred
    await world.save(orders)  # type: ignore[arg-type]
    summary = await world.push()
    for _ in range(5):
        if summary.in_sync:
            break
        summary = await world.push()
    assert summary.in_sync
    assert losing
    assert faults.lost_response < lost
    assert await everything(world) == expected(orders)


def dies_after_graph(world: World, patched: pytest.MonkeyPatch) -> None:
    graph = world.service.client.graph

    async def dies(graphs: object) -> object:
        await graph(graphs)  # type: ignore[arg-type]
        raise RuntimeError("the process is gone")

    patched.setattr(world.service.client, "graph", dies)


async def test_push_killed_between_write_and_record_is_read_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    orders = shipped(40)
    await world.save(orders)  # type: ignore[arg-type]
    with monkeypatch.context() as patched:
        dies_after_graph(world, patched)
        with pytest.raises(RuntimeError, match="gone"):
            await world.push()
    assert await world.count("Order") == 40
    summary = await world.push()
    assert summary.in_sync
    assert summary.stats.recovered == 40
    assert await everything(world) == expected(orders)


async def test_large_order_written_but_not_recorded_is_read_back_with_every_line(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = an_order("A-1").lines[0]
    lines = tuple(replace(line, number=number, quantity=line.quantity + number) for number in range(1, 421))
    await world.save([an_order("A-1", lines=lines, stage=Stage.PLACED)])
    with monkeypatch.context() as patched:
        dies_after_graph(world, patched)
        with pytest.raises(RuntimeError, match="gone"):
            await world.push()
    before = world.writes
    assert (await world.push()).stats.recovered == 1
    assert world.writes == before + 1  # the customers without orders: the account is read back like the order
    changed = (replace(lines[0], quantity=line.quantity + 7), *lines[1:])
    await world.save([an_order("A-1", lines=changed, stage=Stage.CONFIRMED)])
    assert (await world.push()).in_sync
    assert await world.count("OrderItem") == 420
    assert world.writes == before + 3  # one line, then the status


async def test_new_database_links_existing_records(world: World, second_world: World) -> None:
    orders = shipped(30)
    await world.save(orders)  # type: ignore[arg-type]
    await world.push()
    await second_world.save([orders[0].with_header(notes="changed meanwhile"), *orders[1:]])
    summary = await second_world.push()
    assert summary.in_sync
    assert await everything(world) == expected(orders)
    assert (await world.order("SO-000001"))["Description"] == "changed meanwhile"


@pytest.mark.parametrize("fault", ["status_count", "expired_session", "row_lock"])
async def test_transient_fault_is_retried(world: World, fault: str) -> None:
    orders = shipped(20)
    await world.save(orders)  # type: ignore[arg-type]
    setattr(world.org.org.faults, fault, 1)
    assert (await world.push()).in_sync
    assert await everything(world) == expected(orders)


async def test_daily_limit_stops_the_push_and_loses_nothing(world: World) -> None:
    orders = shipped(20)
    await world.save(orders)  # type: ignore[arg-type]
    await world.service.client.query("SELECT Id FROM Organization")
    world.org.org.faults.limit = 1000
    with pytest.raises(Exception, match="API requests"):
        await world.push()
    world.org.org.faults.clear()
    assert (await world.push()).in_sync
    assert await everything(world) == expected(orders)


async def test_call_refused_for_one_record_is_halved_until_the_others_arrive(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from connector.errors import RefusedError, RetryClass

    orders = shipped(30)
    await world.save(orders)  # type: ignore[arg-type]
    graph = world.service.client.graph

    async def picky(graphs: list[object]) -> object:
        if any("SO-000007" in str(item) for item in graphs):
            raise RefusedError("no", code="JSON_PARSER_ERROR", status=400, retry_class=RetryClass.DATA)
        return await graph(graphs)  # type: ignore[arg-type]

    monkeypatch.setattr(world.service.client, "graph", picky)
    await world.push()
    [letter] = await world.dead_letters()
    assert letter.key == "SO-000007"
    assert await world.count("Order") == 29


async def test_worker_that_lost_its_lease_stores_nothing_more(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.save(shipped(5))  # type: ignore[arg-type]
    graph = world.service.client.graph

    async def usurped(graphs: object) -> object:
        answer = await graph(graphs)  # type: ignore[arg-type]
        store = world.service.store
        async with store.transaction() as uow:
            from sqlalchemy import text

            await uow.connection.execute(text("UPDATE leases SET term = term + 1, owner = 'somebody else'"))
        return answer

    with monkeypatch.context() as patched:
        patched.setattr(world.service.client, "graph", usurped)
        with pytest.raises(LeaseLostError):
            await world.push()
    async with world.service.store.transaction() as uow:
        from sqlalchemy import text

        await uow.connection.execute(text("DELETE FROM leases"))
    assert (await world.push()).in_sync
    assert await world.count("Order") == 5


async def test_refused_sign_in_is_reported_in_one_sentence(world: World) -> None:
    await world.save(shipped(1))  # type: ignore[arg-type]
    settings = world.service.settings
    wrong = settings.model_copy(
        update={"salesforce": settings.salesforce.model_copy(update={"client_id": "somebody else"})}
    )
    async with running_service(wrong) as service:
        from tests.flow.conftest import Silent

        with pytest.raises(AuthError, match="CLIENT_ID"):
            await service.push(Silent())


async def test_push_after_kill_9_loses_nothing(org: LocalOrg, world: World, tmp_path: Path) -> None:
    orders = shipped(400)
    await world.save(orders)  # type: ignore[arg-type]
    org.org.faults.latency_ms = 60
    settings = settings_for(org, world.service.settings.database_url)
    environment = {
        **os.environ,
        "CONNECTOR_DATABASE_URL": settings.database_url,
        "CONNECTOR_SALESFORCE__LOGIN_URL": org.url,
        "CONNECTOR_SALESFORCE__CLIENT_ID": org.client_id,
        "CONNECTOR_SALESFORCE__CLIENT_SECRET": org.client_secret,
        "CONNECTOR_SYNC__LEASE_SECONDS": "2",
    }
    out, err = tmp_path / "stdout", tmp_path / "stderr"
    kills = 0
    for writes in (4, 8, 11):
        process = forked_cli.start(["push"], environment=environment, folder=tmp_path, out=out, err=err)
        while org.org.usage.writes < writes and process.is_alive():  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.005)
        if process.is_alive():
            process.kill()
            kills += 1
        await asyncio.to_thread(process.join)
    assert kills >= 2
    org.org.faults.latency_ms = 0
    summary = await world.push()
    assert summary.in_sync
    assert await everything(world) == expected(orders)
