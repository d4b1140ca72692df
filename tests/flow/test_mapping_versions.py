"""Edited mapping files are followed without a restart, and two versions never alternate in the org."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from connector.errors import MappingError
from connector.jobs.mappings.activation import Request
from connector.jobs.mappings.files import MappingFiles
from connector.jobs.mappings.versions import MappingVersions, OtherMappingsError
from connector.mapping import loader
from connector.model.change import EntityKind
from connector.model.stage import Stage
from connector.outbound import drain
from tests.flow.conftest import Silent
from tests.flow.mapping_sides import KEYS, NAME, NAMES
from tests.flow.test_push import an_order
from tests.order_builders import changed


async def test_service_follows_edited_mappings_without_a_restart(sides: Any) -> None:
    service = await sides()
    await service.touch("1")
    await service.tick()
    assert await service.names() == NAMES
    service.name_customers_by("number")
    await service.touch("2")
    await service.tick(2)  # one look sees the edit, the next one that it is complete
    await service.touch("3")
    await service.tick()
    assert await service.names() == KEYS
    assert await service.active() == 2


async def test_service_does_not_undo_what_a_resync_has_sent_by_newer_files(sides: Any) -> None:
    service = await sides()
    await service.touch("1")
    await service.tick()
    service.name_customers_by("number")
    command = await sides()
    assert (await command.resync()).in_sync
    assert await command.names() == KEYS
    await service.touch("2")
    await service.tick()
    assert await service.phones() == {"2"}
    assert await service.names() == KEYS
    assert await service.active() == 2


async def test_process_with_other_mapping_files_works_by_the_active_version(sides: Any) -> None:
    """Neither it nor its files are touched, and it reads by the active version, too."""
    here, elsewhere = await sides("here"), await sides("elsewhere")
    await here.touch("1")
    await here.tick()
    await elsewhere.tick()
    here.name_customers_by("number")
    await here.resync()
    await here.touch("2")
    await elsewhere.tick()
    assert (await here.phones(), await here.names(), await here.active()) == ({"2"}, KEYS, 2)
    assert await here.problems() == []
    await here.touch("3")
    assert (await elsewhere.push()).in_sync
    assert (await here.phones(), await here.names(), await here.active()) == ({"3"}, KEYS, 2)


async def test_edit_of_files_that_another_version_has_replaced_is_reported_and_not_used(sides: Any) -> None:
    here, elsewhere = await sides("here"), await sides("elsewhere")
    await here.touch("1")
    await here.tick()
    await elsewhere.tick()
    await here.apply(lambda text: text.replace(NAME + "name", NAME + "number"), note="numbers as names")
    elsewhere.name_customers_by("city")
    await here.touch("2")
    with capture_logs() as log:
        for _ in range(3):
            await elsewhere.tick()
    assert [entry["event"] for entry in log if entry["log_level"] == "error"] == ["mappings cannot be used"]
    assert (await here.phones(), await here.active()) == ({"2"}, 2)
    assert await here.names() == KEYS
    [problem] = await here.problems()
    assert "were edited, but version 2 of the mappings, from ann, was made active since" in problem
    assert "`connector mappings export FOLDER`" in problem
    await here.touch("3")
    assert "version 2 of the mappings, from ann" in str((await elsewhere.push()).mapping_problem)
    assert await here.active() == 2

    shutil.copyfile(here.folder / "customer.yaml", elsewhere.folder / "customer.yaml")  # the edit is taken back
    await elsewhere.tick(3)
    assert await here.problems() == []
    (elsewhere.folder / "customer.yaml").write_text((await here.texts())["customer.yaml"], encoding="utf-8")
    await elsewhere.tick(3)
    elsewhere.name_customers_by("city")  # now it is an edit of the active version
    await elsewhere.tick(3)
    await here.touch("4")
    await elsewhere.tick()
    assert (await here.active(), await here.names()) == (3, {"Münster"})


async def test_edit_that_was_refused_stays_so_after_a_return_to_the_version_that_it_was_made_on(sides: Any) -> None:
    side = await sides()
    await side.touch("1")
    await side.tick()
    await side.apply(lambda text: text.replace(NAME + "name", NAME + "city"))
    await side.tick()
    good = (side.folder / "customer.yaml").read_text(encoding="utf-8")
    side.name_customers_by("number")
    await side.tick(3)
    assert ("were edited" in str(await side.problems()), await side.active()) == (True, 2)
    await side.admin.rollback(1, Request(actor="ann", note="back to the names"))
    for number in range(2, 5):
        await side.touch(str(number))
        await side.tick()
    assert (await side.active(), await side.names()) == (3, NAMES)
    assert "version 3 of the mappings, from ann, was made active since" in str(await side.problems())
    assert (await (await sides()).resync()).in_sync  # a process that starts with these files decides alike
    assert (await side.active(), await side.names()) == (3, NAMES)

    (side.folder / "customer.yaml").write_text(
        good, encoding="utf-8"
    )  # the edit is taken back, and another one is made on the active version
    await side.tick(3)
    assert await side.problems() == []
    side.name_customers_by("number")
    await side.tick(2)
    await side.touch("5")
    await side.tick()
    assert (await side.active(), await side.names()) == (4, KEYS)


async def test_edit_after_a_return_counts_as_one_of_the_active_version(sides: Any) -> None:
    """The files were never edited before, and nothing was due since."""
    side = await sides()
    await side.touch("1")
    await side.tick()
    await side.apply(lambda text: text.replace(NAME + "name", NAME + "city"), resync=False)
    await side.tick()
    await side.admin.rollback(1, Request(actor="ann", resync=False))
    await side.tick()
    side.name_customers_by("number")
    await side.tick(2)
    await side.touch("2")
    await side.tick()
    assert (await side.active(), await side.names(), await side.problems()) == (4, KEYS, [])


async def test_reverted_files_count_as_an_edit_and_old_files_elsewhere_do_not(sides: Any) -> None:
    here, elsewhere = await sides("here"), await sides("elsewhere")
    await here.touch("1")
    await here.push()
    here.name_customers_by("number")
    assert (await here.resync()).in_sync
    here.name_customers_by("name")
    await here.touch("2")
    assert (await here.push()).in_sync
    assert await here.active() == 3
    assert await here.names() == NAMES
    elsewhere.name_customers_by("number")
    fresh = await sides("elsewhere")
    await here.touch("3")
    assert (await fresh.resync(EntityKind.CUSTOMER)).in_sync  # it was replaced, and nobody edited anything there
    assert (await fresh.active(), await fresh.names()) == (3, NAMES)


async def test_version_whose_content_an_earlier_release_did_not_store_is_used_by_those_who_have_its_files(
    sides: Any,
) -> None:
    here, elsewhere = await sides("here"), await sides("elsewhere")
    await here.touch("1")
    await elsewhere.push()
    here.name_customers_by("number")
    assert (await here.resync()).in_sync
    await here.forget_contents()
    await here.touch("2")
    with pytest.raises(OtherMappingsError, match="nothing is sent from here"):
        await elsewhere.push()
    assert await elsewhere.service.push(Silent(), scheduled=True)
    assert [text for text in await here.problems() if text.startswith("The active mapping is version 2 (")]
    assert await here.phones() == {"1"}
    await here.tick()  # it has the files, and stores them
    await here.touch("3")
    assert (await elsewhere.push()).in_sync
    assert (await here.phones(), await here.names(), await here.active()) == ({"3"}, KEYS, 2)


@pytest.mark.parametrize(
    ("line", "says"),
    [("  Nmae__c: name", "customer.yaml:"), ("  Phone: [", "customer.yaml:"), ("  Phone: phoen", "customer.yaml:")],
)
async def test_service_keeps_the_last_good_version_while_an_edit_cannot_be_used(
    sides: Any, line: str, says: str
) -> None:
    """Not YAML, a path that there is not, and a field that the org has not."""
    service = await sides()
    await service.touch("1")
    await service.tick()
    good = (service.folder / "customer.yaml").read_text(encoding="utf-8")
    service.edit("customer.yaml", lambda text: text.replace(NAME, f"{line}\n{NAME}", 1))
    with capture_logs() as log:
        for phone in ("2", "3", "4"):
            await service.touch(phone)
            await service.tick()
    assert await service.phones() == {"4"}
    assert len([entry for entry in log if entry["log_level"] == "error"]) == 1
    [problem] = await service.problems()
    assert says in problem
    await service.touch("5")
    with pytest.raises(MappingError, match=says):
        await service.push()
    assert await service.active() == 1
    (service.folder / "customer.yaml").write_text(good, encoding="utf-8")
    service.name_customers_by("number")
    await service.tick(2)
    await service.touch("6")
    await service.tick()
    assert (await service.names(), await service.phones()) == (KEYS, {"6"})
    assert await service.problems() == []


async def test_service_that_has_sent_nothing_yet_keeps_the_files_it_started_with(sides: Any) -> None:
    one = await sides()
    await one.tick(2)  # nothing is due
    one.edit("order.yaml", lambda text: "entity: [\n" + text)
    await one.tick(2)
    await one.save([an_order("A-1", customer="C-1")])
    summary = await one.tick(2)
    assert (summary.waiting, await one.count("Order")) == (0, 1)
    assert any("order.yaml:" in problem for problem in await one.problems())


async def test_running_push_continues_with_a_version_activated_meanwhile(
    sides: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await sides()
    await first.save([an_order(f"A-{number}", customer=f"C-{number % 8 + 1}") for number in range(4)])
    await first.touch("1")
    await first.push()
    monkeypatch.setattr(drain, "ORDERS_PER_CLAIM", 1)
    await first.save(
        [changed(an_order(f"A-{number}", customer=f"C-{number % 8 + 1}"), notes="new") for number in range(4)]
    )
    real, stop, go = first.service.client.collections_update, asyncio.Event(), asyncio.Event()

    async def slow(rows: Any) -> Any:
        if not stop.is_set():
            stop.set()
            await go.wait()
        return await real(rows)

    monkeypatch.setattr(first.service.client, "collections_update", slow)
    pushing = asyncio.create_task(first.push())
    await stop.wait()
    first.edit("order.yaml", lambda text: text.replace("Description: ", "Description: {expr: '\"by B\"'} # ", 1))
    second = await sides()
    changing = asyncio.create_task(second.resync(EntityKind.ORDER))
    while await first.active() == 1:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    go.set()
    summaries = [await pushing, await changing]
    assert [summary.in_sync for summary in summaries] == [True, True]
    rows = await first.query("SELECT Description FROM Order")
    assert {row["Description"] for row in rows} == {"by B"}


async def test_dry_run_shows_what_an_edit_would_do_and_does_not_activate_it(sides: Any) -> None:
    side = await sides()
    await side.touch("1")
    await side.push()
    side.name_customers_by("number")
    fresh = await sides()
    foretold = await fresh.service.push(Silent(), dry_run=True, prepare=fresh.again(None))
    assert foretold.stats.updated["Account"] == 2
    assert await side.active() == 1
    assert await side.names() == NAMES


async def test_edit_that_does_not_fit_the_org_is_not_activated(sides: Any) -> None:
    side = await sides()
    await side.save([changed(an_order("A-1"), stage=Stage.SHIPPED)])
    await side.push()
    side.edit("customer.yaml", lambda text: text.replace(NAME, f"  Nmae__c: name\n{NAME}", 1))
    fresh = await sides()
    with pytest.raises(MappingError, match="Nmae__c"):
        await fresh.resync()
    assert await side.active() == 1
    assert await side.due() == {}


def test_reload_waits_until_an_edit_is_complete(tmp_path: Path) -> None:
    shutil.copytree(str(loader.shipped_mappings()), tmp_path / "mappings")
    files = MappingFiles(tmp_path / "mappings")
    before = files.version
    path = tmp_path / "mappings" / "customer.yaml"
    path.write_text("entity: [\n", encoding="utf-8")  # a save that is under way
    assert not files.reload_if_changed(immediately=False)
    path.write_text(
        f"{(Path(str(loader.shipped_mappings())) / 'customer.yaml').read_text()}\n# edited\n", encoding="utf-8"
    )
    assert not files.reload_if_changed(immediately=False)
    assert files.reload_if_changed(immediately=False)
    assert files.error is None
    assert files.version.digest != before.digest
    assert not files.reload_if_changed(immediately=True)
    assert MappingVersions(files).current is files.version.mappings
