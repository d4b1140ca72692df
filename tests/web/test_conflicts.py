"""Conflicts over HTTP: listed page by page, and one in full."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from connector.model.conflict import Conflict, ConflictState
from connector.model.role import Role
from connector.store import conflicts
from tests.web.conftest import Api

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


async def open_conflicts(api: Api, count: int) -> list[int]:
    items = [
        Conflict(
            id=0,
            org_id="00D000000000001AAA",
            entity="order",
            key=f"N-{number}",
            field="Description",
            sobject="Order",
            record_id=f"801{number:015}",
            base=None,
            local="ours",
            remote=Decimal("12.50"),
            opened_at=NOON,
            remote_changed_at=NOON,
            remote_changed_by="005000000000001AAA",
        )
        for number in range(count)
    ]
    async with api.store.transaction() as uow:
        return [item.id for item in await conflicts.open_or_update(uow, items)]


async def test_open_conflicts_are_listed_with_both_values(api: Api) -> None:
    first, second = await open_conflicts(api, 2)
    async with api.store.transaction() as uow:
        await conflicts.resolve(uow, [second], ConflictState.LOCAL, actor="chief")

    answer = await api("GET", "/conflicts", role=Role.VIEWER)

    assert answer.status == 200
    [item] = answer.body["conflicts"]
    assert (item["id"], item["entity"], item["key"], item["field"]) == (first, "order", "N-0", "Description")
    assert (item["base"], item["local"], item["remote"]) == (None, "ours", "12.5")
    assert item["remote_changed_by"] == "005000000000001AAA"
    resolved = await api("GET", "/conflicts?state=local", role=Role.VIEWER)
    assert [(item["id"], item["resolved_by"]) for item in resolved.body["conflicts"]] == [(second, "chief")]


async def test_conflicts_come_page_by_page(api: Api) -> None:
    ids = await open_conflicts(api, 201)
    first = (await api("GET", "/conflicts")).body
    assert ([item["id"] for item in first["conflicts"]], first["after"]) == (ids[:200], ids[199])
    second = (await api("GET", f"/conflicts?after={first['after']}")).body
    assert ([item["id"] for item in second["conflicts"]], second["after"]) == (ids[200:], None)


async def test_one_conflict_is_shown_in_full(api: Api) -> None:
    [number] = await open_conflicts(api, 1)
    answer = await api("GET", f"/conflicts/{number}")
    assert (answer.status, answer.body["state"], answer.body["record_id"]) == (200, "open", f"801{0:015}")


async def test_unknown_conflicts_and_states_are_named(api: Api) -> None:
    for path, status, field in (
        ("/conflicts/7", 404, "id"),
        ("/conflicts/x", 404, "id"),
        ("/conflicts?state=old", 400, "state"),
        ("/conflicts?after=x", 400, "after"),
    ):
        answer = await api("GET", path)
        assert (answer.status, answer.body["field"]) == (status, field), path
