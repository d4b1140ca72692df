"""What operators do is in the audit, with the request by which they did it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from connector.log import request_id
from connector.model.role import Role
from connector.store import journal, tokens
from connector.store.journal import JournalEntry
from tests.conftest import ManualClock
from tests.web.conftest import Api

TRIGGER = "/scheduler/jobs/prune/trigger"


async def actions(api: Api, **query: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await api("GET", "/audit", params=query, role=Role.VIEWER)).body["actions"]
    return found


async def test_action_is_listed_with_its_actor_and_request(api: Api) -> None:
    changed = await api("PUT", TRIGGER, {"seconds": 60}, headers={"X-Request-ID": "night-shift-7"})
    assert changed.headers["X-Request-ID"] == "night-shift-7"
    [action] = await actions(api, entity="job")
    expected = {"actor": "ops of tests", "action": "rescheduled", "entity": "job", "key": "prune"}
    assert {name: action[name] for name in expected} == expected
    assert action["request"] == "night-shift-7"
    assert action["detail"] == {"trigger": "every 60 s"}
    await api("POST", "/scheduler/jobs/prune/run", role=Role.ADMIN)
    assert [item["action"] for item in await actions(api, entity="job")] == ["run", "rescheduled"]


async def test_own_request_id_is_taken_only_if_it_is_a_plain_word(api: Api) -> None:
    for given in ("a b", "x" * 65, "<script>"):
        answer = await api("GET", "/audit", headers={"X-Request-ID": given})
        assert answer.headers["X-Request-ID"] not in {given, ""}


async def test_works_that_share_a_transaction_keep_the_ids_of_their_requests(api: Api) -> None:
    """On SQLite, waiting works are committed together, by a task that belongs to none of their requests."""
    names = [f"request-{number}" for number in range(8)]

    async def work_for(name: str) -> None:
        request_id.set(name)  # of this task alone
        await api.store.transact(lambda uow: journal.write(uow, [_noted(name)]))

    await asyncio.gather(*(work_for(name) for name in names))
    assert {item["key"]: item["request"] for item in await actions(api, action="noted")} == {
        name: name for name in names
    }


def _noted(name: str) -> JournalEntry:
    return JournalEntry(entity="test", key=name, action="noted", detail={}, actor="tester")


async def test_audit_is_filtered_and_read_page_by_page(api: Api, clock: ManualClock) -> None:
    assert {item["key"] for item in await actions(api, entity="token", action="created")} == {
        f"{role} of tests" for role in Role
    }
    clock.advance(3600)
    since = clock.now() - timedelta(seconds=1)
    async with api.store.transaction() as uow:
        await tokens.create(uow, "shop", Role.OPS, actor="ann")
        assert await tokens.revoke(uow, "shop", actor="ben")
        assert not await tokens.revoke(uow, "shop", actor="ben")
        await journal.write(uow, [JournalEntry(entity="order", key="1", action="written", detail={})])
    latest = await actions(api, since=since.isoformat())
    assert [(item["action"], item["actor"], item["key"]) for item in latest] == [
        ("revoked", "ben", "shop"), ("created", "ann", "shop"),
    ]  # fmt: skip
    assert [item["id"] for item in await actions(api, actor="ben")] == [latest[0]["id"]]
    assert len(await actions(api, key="shop")) == 2
    everything = await actions(api)
    first = (await api("GET", "/audit", params={"limit": "2"})).body
    second = (await api("GET", "/audit", params={"limit": "200", "before": str(first["before"])})).body
    assert first["actions"] + second["actions"] == everything
    assert second["before"] is None
    for query in ({"since": "yesterday"}, {"before": "x"}, {"limit": "0"}, {"who": "ann"}):
        assert (await api("GET", "/audit", params=query)).status == 400, query
