"""Versions of the mappings that people apply and roll back, while services work."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from connector.errors import CommandError, MappingError
from connector.jobs import resync_loop
from connector.jobs.mappings.activation import Request
from connector.jobs.resync_loop import ResyncLoop
from connector.localorg.write_plan import WritePlan
from connector.process_roles import ResyncOrg
from tests.flow.conftest import Silent
from tests.flow.mapping_sides import NAME, Side
from tests.flow.test_push import an_order
from tests.order_builders import changed


async def test_three_services_follow_versions_that_are_applied_and_rolled_back_while_they_work(
    sides: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None is restarted, nothing is lost, and the org gets every value of a version once."""
    services = [await sides(name) for name in ("one", "two", "three")]
    one = services[0]
    many = [an_order(f"A-{number}", customer=f"C-{number % 8 + 1}") for number in range(24)]
    await one.save(many)
    await one.push()
    monkeypatch.setattr(resync_loop, "LOOK_SECONDS", 0.01)
    stop, dml, written = asyncio.Event(), one.org.org.dml, list[str | None]()
    update = dml._update

    def count_update(plan: WritePlan, record_id: str, body: dict[str, Any]) -> Any:
        if plan.name == "Order":
            written.append(body.get("Description", "not sent"))
        return update(plan, record_id, body)

    monkeypatch.setattr(dml, "_update", count_update)

    async def push(side: Side) -> None:
        while not stop.is_set():
            await side.service.push(Silent(), scheduled=True)
            await asyncio.sleep(0.01)

    async def send_again(side: Side) -> None:
        await ResyncLoop(side.service.store, {"": ResyncOrg(side.service)}, ttl=30).run(stop)

    async def until_described(*texts: str | None) -> None:
        async with asyncio.timeout(60):
            while await descriptions() != {*texts} or await one.due():  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    async def descriptions() -> set[str | None]:
        return {row["Description"] for row in await one.query("SELECT Description FROM Order")}

    tasks = [asyncio.create_task(serve(side)) for side in services for serve in (push, send_again)]
    try:
        applied = await one.apply(
            lambda text: text.replace("{path: notes, owner: newest}", "{const: by the new version}"), file="order.yaml"
        )
        assert (applied.version.number, applied.version.author, len(applied.resyncs)) == (2, "ann", 1)
        await until_described("by the new version")
        back = await one.admin.rollback(1, Request(actor="bob", note="that was wrong"))
        assert (back.version.number, back.version.origin, back.version.base) == (3, "rollback", 2)
        await until_described(None)
        await one.save([changed(order, notes="later") for order in many[:8]])
        await until_described(None, "later")
        assert not any(task.done() for task in tasks)  # none failed
    finally:
        stop.set()
        await asyncio.gather(*tasks)
    assert Counter(written) == {"by the new version": 24, None: 24, "later": 8}
    assert await one.count("Order") == 24
    assert await one.problems() == []
    history = await one.admin.list_versions()
    assert [(item.number, item.author, list(item.changed)) for item in history] == [
        (3, "bob", ["order.yaml"]),
        (2, "ann", ["order.yaml"]),
        (1, None, []),
    ]


async def test_of_two_versions_applied_at_a_time_one_is_refused(sides: Any) -> None:
    side = await sides()
    await side.touch("1")
    await side.push()
    results = await asyncio.gather(
        *(
            side.apply(lambda text, word=word: text.replace(NAME + "name", NAME + word), base=1)
            for word in ("number", "city", "key")
        ),
        return_exceptions=True,
    )
    refused = [item for item in results if isinstance(item, CommandError)]
    assert [item.rule for item in refused] == ["version", "version"]
    assert await side.active() == 2
    with pytest.raises(CommandError, match="are the active version already"):
        await side.apply(lambda text: text, texts=await side.texts())
    with pytest.raises(MappingError, match="Nmae__c"):
        await side.apply(lambda text: text.replace(NAME, f"  Nmae__c: name\n{NAME}", 1))
    with pytest.raises(CommandError, match="There is no version 9"):
        await side.admin.rollback(9, Request(actor="ann"))
    assert await side.active() == 2


async def test_shadow_is_computed_for_real_traffic_and_writes_nothing_until_it_is_applied(sides: Any) -> None:
    side = await sides()
    await side.save([an_order(f"A-{number}", customer="C-1", notes="n") for number in range(3)])
    await side.push()
    texts = dict(await side.texts())
    texts["order.yaml"] = texts["order.yaml"].replace("{path: notes, owner: newest}", "{const: shadowed}")
    texts["order.yaml"] = texts["order.yaml"].replace("  Freight__c: freight\n", "")
    with pytest.raises(MappingError, match="Nope__c"):
        await side.admin.start_shadow(
            {**texts, "product.yaml": texts["product.yaml"] + "  Nope__c: sku\n"}, actor="ann"
        )
    with pytest.raises(CommandError, match="There is no shadow"):
        await side.admin.apply_shadow(Request(actor="ann"))
    started = await side.admin.start_shadow(texts, actor="ann", note="try it")
    assert (started.base, started.computed, started.note) == (1, 0, "try it")

    await side.save([changed(an_order("A-1", customer="C-1"), notes="ours")])
    await side.tick()
    await side.touch("9")
    await side.tick()
    rows = await side.query("SELECT External_Key__c, Description FROM Order")
    assert {row["External_Key__c"]: row["Description"] for row in rows} == {"A-0": "n", "A-1": "ours", "A-2": "n"}
    shadow = await side.admin.get_shadow()
    assert shadow is not None
    assert (shadow.computed, shadow.differing) == (3, 1)  # an order and two customers
    found = {
        item.field: (item.count, [(one.key, one.active, one.shadow) for one in item.samples]) for item in shadow.fields
    }
    assert found["Description"] == (1, [("A-1", "ours", "shadowed")])
    assert found["Freight__c"][1][0][2] == "not mapped"
    assert found.keys() == {"Description", "Freight__c"}
    assert [sample.personal for item in shadow.fields if item.field == "Description" for sample in item.samples] == [
        True
    ]

    applied = await side.admin.apply_shadow(Request(actor="ann", note="it was right"))
    assert (applied.version.number, await side.admin.get_shadow()) == (2, None)
    await side.resync()
    assert {row["Description"] for row in await side.query("SELECT Description FROM Order")} == {"shadowed"}
    await side.admin.start_shadow(await side.admin.get_texts(1), actor="ann")
    await side.apply(lambda text: text.replace(NAME + "name", NAME + "number"))
    with pytest.raises(CommandError, match="version 3 is active, from ann, not version 2"):
        await side.admin.apply_shadow(Request(actor="ann"))
    await side.admin.discard_shadow(actor="ann")
    assert await side.admin.get_shadow() is None
