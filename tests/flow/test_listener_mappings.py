"""A running listener applies changes of the org by the mapping files as they are now."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from connector.jobs.reconcile import ReconcileOptions
from connector.mapping import loader
from connector.model.stage import Stage
from connector.service import Services, running_service
from connector.store import inbox, mapping_versions
from tests.flow.conftest import Silent, World, settings_for
from tests.flow.test_listen import NUMBER, TOPIC, listening, no_settling, notes_are, org, until  # noqa: F401 - fixtures
from tests.flow.test_pull import order_here
from tests.flow.test_push import an_order
from tests.flow.test_rep_messages import message_on

FIELD = "  Service_Level__c: {path: service_level, owner: newest"
LEVELS = "standard: standard\nexpress: express\nsame_day: same_day\n'*': null\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Mapping files with a value table of service levels."""
    copied = tmp_path / "mappings"
    shutil.copytree(str(loader.shipped_mappings()), copied)
    (copied / "values" / "service_level.yaml").write_text(LEVELS, encoding="utf-8")
    order = copied / "order.yaml"
    text = order.read_text(encoding="utf-8")
    assert FIELD in text
    order.write_text(text.replace(FIELD, f"{FIELD}, values: service_level"), encoding="utf-8")
    return copied


@pytest.fixture
async def world(org, database_url: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:  # type: ignore[no-untyped-def]  # noqa: F811
    monkeypatch.setattr("connector.jobs.listen.INTAKE_SECONDS", 0.05)
    settings = settings_for(org, database_url).model_copy(update={"mappings_dir": folder})
    salesforce = settings.salesforce.model_copy(update={"pubsub_endpoint": org.pubsub_endpoint})
    async with running_service(settings.model_copy(update={"salesforce": salesforce})) as service:
        started = World(org, service)
        await started.save([an_order(NUMBER, stage=Stage.PLACED, service_level="standard")])
        await started.push()
        await service.pull()
        yield started


async def is_parked(service: Services) -> bool:
    async with service.store.reader() as connection:
        return bool(await inbox.list_parked(connection))


async def problems(service: Services) -> list[str]:
    async with service.store.reader() as connection:
        since = service.clock.now().replace(year=2000)
        return [item.problem for item in await mapping_versions.list_problems(connection, since)]


async def test_pulls_and_comparisons_outlive_files_that_cannot_be_used(world: World, folder: Path) -> None:
    """As the schedule and resyncs make them, in a service whose files are being edited."""
    order, service = folder / "order.yaml", world.service
    good = order.read_text(encoding="utf-8")
    for edit, part in (("fields: [", "order.yaml"), (good.replace("PoNumber:", "Po_Number__c:"), "Po_Number__c")):
        order.write_text(edit, encoding="utf-8")
        await world.change_in_org("Order", NUMBER, Description=f"while {part} is wrong")
        await service.pull()
        assert await notes_are(world, f"while {part} is wrong")
        assert part in str(await problems(service))
        assert (await service.reconcile(ReconcileOptions(), Silent())).in_sync
    order.write_text(good, encoding="utf-8")
    await service.pull()
    assert await problems(service) == []


async def test_listener_follows_edited_files_and_outlives_those_that_cannot_be_used(world: World, folder: Path) -> None:
    levels, order = folder / "values" / "service_level.yaml", folder / "order.yaml"
    good = order.read_text(encoding="utf-8")
    service = world.service

    async def level_is(level: str) -> bool:
        return (await order_here(world)).header.service_level == level

    async def is_replayed(level: str) -> bool:
        async with service.store.transaction() as uow:
            await inbox.replay(uow)
        return await level_is(level)

    async def reported(part: str) -> bool:
        return any(part in problem for problem in await problems(service))

    async def is_well() -> bool:
        return not await problems(service)

    with capture_logs() as logs:
        async with listening(service) as job:
            stats = job.stats
            await world.change_in_org("Order", NUMBER, Service_Level__c="Overnight")
            await until(lambda: is_parked(service))
            async with service.store.reader() as connection:
                [item] = await inbox.list_parked(connection)
            problem = "Service_Level__c: the value 'Overnight' is not in the value table `service_level`"
            assert item.error == f"Order {item.record_id} (order {NUMBER}): {problem}"
            assert str(item.fix).startswith("Add a row for it to the value table `service_level`")
            await world.push()
            told = await message_on(world, item.record_id)
            assert told == (
                f"A change was not taken over: {problem}. Correct it, or ask the admin of the connector to allow it."
            )
            levels.write_text(f"{LEVELS}overnight: Overnight\n", encoding="utf-8")
            await until(lambda: is_replayed("overnight"))

            order.write_text("fields: [", encoding="utf-8")
            await until(lambda: reported("order.yaml"))
            await world.change_in_org("Order", NUMBER, Description="while a file was broken")
            await until(lambda: notes_are(world, "while a file was broken"))

            order.write_text(good.replace("PoNumber:", "Po_Number__c:"), encoding="utf-8")
            await until(lambda: reported("Po_Number__c"))
            await world.change_in_org("Order", NUMBER, Description="while a field was missing")
            await until(lambda: notes_are(world, "while a field was missing"))

            order.write_text(good.replace("  PoNumber: {path: po_number, owner: newest}\n", ""), encoding="utf-8")
            await until(is_well)
            await world.change_in_org("Order", NUMBER, Service_Level__c="express")
            await until(lambda: level_is("express"))
            assert job.stats is stats  # the stream went on
    assert [entry["event"] for entry in logs].count("mappings cannot be used") == 2
    assert not await is_parked(service)
