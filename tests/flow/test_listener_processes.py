"""Listeners in processes of their own: killed, frozen and stopped, and what `connector status` says of them."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from connector.cli.localorg import our_metadata
from connector.inbound.topic_cursor import listen_lease
from connector.inbound.topic_status import TopicStatusKind, list_topics
from connector.jobs.listen import ACTION_TOPIC
from connector.jobs.publish_events import publish_lease
from connector.localorg.org import OrgOptions
from connector.localorg.server import LocalOrg, Ports
from connector.model.action_request import ActionState
from connector.service import running_service
from connector.store import leases, order_actions, order_history
from tests.flow import forked_cli
from tests.flow.cli_runner import Shell
from tests.flow.conftest import World
from tests.flow.pubsub import READY, answers, listening_settings, press, until
from tests.flow.test_push import an_order

NUMBERS = [f"N-{number}" for number in range(1, 6)]
LEASE_SECONDS = "1"


@pytest.fixture
async def org() -> AsyncIterator[LocalOrg]:
    async with LocalOrg(OrgOptions(metadata_root=our_metadata()), Ports(grpc=0)) as started:
        yield started


@pytest.fixture
async def world(org: LocalOrg, database_url: str) -> AsyncIterator[World]:
    async with running_service(listening_settings(org, database_url)) as service:
        started = World(org, service)
        await started.save([an_order(number, **READY) for number in NUMBERS])
        yield started


@pytest.fixture
def shell(org: LocalOrg, database_url: str, tmp_path: Path) -> Shell:
    settings = {
        "CONNECTOR_DATABASE_URL": database_url,
        "CONNECTOR_SALESFORCE__LOGIN_URL": org.url,
        "CONNECTOR_SALESFORCE__CLIENT_ID": org.client_id,
        "CONNECTOR_SALESFORCE__CLIENT_SECRET": org.client_secret,
        "CONNECTOR_SALESFORCE__PUBSUB_ENDPOINT": org.pubsub_endpoint,
        "CONNECTOR_SYNC__LEASE_SECONDS": LEASE_SECONDS,
    }
    return Shell(tmp_path, settings, run=forked_cli.run_forked)


@contextmanager
def listener(shell: Shell, name: str) -> Iterator[BaseProcess]:
    """A process with the role `listener`; its log is in the file NAME.err."""
    out, err = shell.folder / f"{name}.out", shell.folder / f"{name}.err"
    words = ["serve", "--roles", "listener"]
    process = forked_cli.start(words, environment=shell.environment, folder=shell.folder, out=out, err=err)
    try:
        yield process
    finally:
        process.kill()
        process.join()


async def test_killed_and_frozen_listeners_lose_nothing_and_double_nothing(world: World, shell: Shell) -> None:
    async def answered(count: int) -> None:
        async def complete() -> bool:
            return len(answers(world.org)) >= count

        await until(complete, seconds=60)

    with listener(shell, "first") as first:
        await until_listening(world)
        for number in NUMBERS:
            press(world.org, number, "hold", Reason__c="credit")
        await answered(1)
        os.kill(first.pid or 0, signal.SIGKILL)
    press(world.org, NUMBERS[0], "release", Reason__c="credit")
    with listener(shell, "second") as second:
        await answered(len(NUMBERS) + 1)
        await freeze(world, second)
        with listener(shell, "third") as third:
            for number in NUMBERS[1:]:
                press(world.org, number, "release")
            await answered(2 * len(NUMBERS))
            os.kill(second.pid or 0, signal.SIGCONT)
            log = shell.folder / "second.err"

            async def woken() -> bool:
                return "lease lost" in log.read_text()

            await until(woken, seconds=60)
            press(world.org, NUMBERS[0], "cancel")
            await answered(2 * len(NUMBERS) + 1)
            second.kill()
            second.join()
            assert "is listened to since" in shell("status").out
            os.kill(third.pid or 0, signal.SIGTERM)
            third.join(20)
            assert third.exitcode == 0
            assert '"event": "stopped"' in (shell.folder / "third.err").read_text().splitlines()[-1]
    assert {done for _, done, _ in answers(world.org)} == {True}
    async with world.service.store.reader() as connection:
        for number in NUMBERS:
            happened = [entry.event.action.value for entry in await order_history.read(connection, number)]
            assert happened == ["begin", "hold", "release", *(["cancel", "advance"] if number == NUMBERS[0] else [])]
        assert await order_actions.counts(connection) == {
            ActionState.ACCEPTED: 11, ActionState.REFUSED: 0, ActionState.PARKED: 0,
        }  # fmt: skip

    async def nobody_listens() -> bool:
        return f"Nobody listens to {ACTION_TOPIC}: `connector serve` does; position of" in shell("status").out

    await until(nobody_listens, seconds=60)  # the process that was killed counts as alive until its time is over
    listed = shell("actions", "list", "--order", NUMBERS[0]).out.splitlines()
    assert listed[1] == f"  Order {NUMBERS[0]} is canceled."
    assert shell("events", "list").out == "No event is refused.\n"
    assert shell("events", "replay").out == "Nothing to replay.\n"


async def freeze(world: World, process: BaseProcess) -> None:
    """Stop a process between two of its transactions: within one it would hold locks that the others wait for."""
    store = world.service.store

    async def can_write() -> bool:
        os.kill(process.pid or 0, signal.SIGSTOP)
        try:
            async with asyncio.timeout(0.5):
                async with store.transaction() as uow:
                    for topic in topics:
                        await leases.is_held(uow, listen_lease(org_id, topic), 0)
                    await leases.is_held(uow, publish_lease(org_id), 0)
        except TimeoutError:
            os.kill(process.pid or 0, signal.SIGCONT)
            return False
        return True

    org_id = await world.service.client.connect()
    topics = (ACTION_TOPIC, world.service.settings.inbound.topic)
    await until(can_write, seconds=60)


async def until_listening(world: World) -> None:
    async def listening() -> bool:
        async with world.service.store.reader() as connection:
            topics = await list_topics(connection, org_id, [], world.service.clock.now())
        return any((item.topic, item.kind) == (ACTION_TOPIC, TopicStatusKind.LISTENING) for item in topics)

    org_id = await world.service.client.connect()
    await until(listening, seconds=60)
