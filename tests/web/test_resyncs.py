"""Resyncs over HTTP: what one would come to, asking for it, and what people do with it."""

from __future__ import annotations

from connector.model.change import ChangeState, EntityKind
from connector.model.role import Role
from connector.store import journal, outbox
from tests.web.conftest import ORDER, Api
from tests.web.test_dead_letters import MISSING, refuse

RESYNCS = "/scheduler/resyncs"


async def test_a_dry_run_counts_what_the_filter_chooses(api: Api) -> None:
    for number in ("W-1", "W-2", "W-3"):
        await api("POST", "/orders", ORDER | {"number": number, "channel": "web" if number != "W-3" else "phone"})
    await api.move("W-2", action="verify")

    async def count(entity: str = "order", **chosen: object) -> tuple[int, list[str]]:
        body = {"entity": entity, "filter": chosen, "dry_run": True}
        said = await api("POST", RESYNCS, body)
        assert (said.status, said.body["resync"]) == (200, None), said.body
        return said.body["preview"]["count"], said.body["preview"]["sample"]

    assert await count() == (3, ["W-1", "W-2", "W-3"])
    assert await count(stage="verified") == (1, ["W-2"])
    assert await count(channel="web", customer="ALFKI") == (2, ["W-1", "W-2"])
    assert await count(channel="fax") == (0, [])
    assert await count(keys=["W-3", "W-9"]) == (1, ["W-3"])
    assert await count(changed_since="2026-03-01T11:00:00Z") == (3, ["W-1", "W-2", "W-3"])
    assert await count(changed_since="2026-03-01T13:00:00Z") == (0, [])
    assert await count(changed_until="2026-03-01T12:00:00Z") == (0, [])
    assert await count(changed_until="2026-03-01T13:00:00Z", stage="placed") == (2, ["W-1", "W-3"])
    assert await count(error="REQUIRED_FIELD_MISSING") == (0, [])
    await refuse(api, "W-3", MISSING)
    assert await count(error="REQUIRED_FIELD_MISSING") == (1, ["W-3"])
    assert await count(refused_since="2026-03-01T12:00:00Z", refused_until="2026-03-02T00:00:00Z") == (1, ["W-3"])
    assert await count(refused_until="2026-03-01T12:00:00Z") == (0, [])
    assert await count("return", refused_since="2026-03-01T12:00:00Z") == (0, [])
    assert (await count("customer", keys=["ALFKI"]))[0] == 1
    chosen = {"keys": ["W-9", "W-3", *(f"X-{number}" for number in range(30))]}
    for more in ({"dry_run": True}, {}):
        preview = (await api("POST", RESYNCS, {"entity": "order", "filter": chosen, **more})).body["preview"]
        assert preview["unknown_keys"] == ["W-9", *(f"X-{number}" for number in range(19))]
        assert (preview["count"], preview["sample"]) == (1, ["W-3"])
    preview = (await api("POST", RESYNCS, {"entity": "order", "dry_run": True})).body["preview"]
    assert preview["unknown_keys"] == []
    assert (preview["calls_at_most"], preview["deliveries"]) == (
        9,
        0,
    )  # 9 rows in one call, and 8 partitions
    assert [item["total"] for item in (await api("GET", RESYNCS)).body["resyncs"]] == [1]


async def test_a_resync_is_asked_for_paused_resumed_and_canceled(api: Api) -> None:
    await api("POST", "/orders", ORDER)
    asked = await api("POST", RESYNCS, {"entity": "order", "filter": {"stage": "placed"}, "priority": "high"})
    assert asked.status == 202
    resync = asked.body["resync"]
    assert asked.headers["Location"] == f"/api/v1/scheduler/resyncs/{resync['id']}"
    assert (resync["state"], resync["total"], resync["filter"]) == ("waiting", 1, {"stage": "placed"})
    path = f"{RESYNCS}/{resync['id']}"
    assert (await api("POST", f"{path}/pause")).body["state"] == "paused"
    again = await api("POST", f"{path}/pause")
    assert (again.status, again.body["detail"]) == (
        409, f"Resync {resync['id']} is paused: pause is not possible now.",
    )  # fmt: skip
    assert (await api("POST", f"{path}/resume")).body["state"] == "waiting"
    assert (await api("POST", f"{path}/cancel")).body["state"] == "canceled"
    assert (await api("POST", f"{path}/resume")).status == 409
    assert (await api("GET", path, role=Role.VIEWER)).body["state"] == "canceled"
    async with api.store.reader() as connection:
        entries = await journal.read(connection, "resync", str(resync["id"]))
        [row] = (await outbox.find(connection, EntityKind.ORDER, ["W-1"])).values()
    assert [entry.action for entry in reversed(entries)] == ["asked", "paused", "resumed", "canceled"]
    assert row.state is ChangeState.DUE  # as placing it left it


async def test_what_cannot_be_meant_is_refused_with_its_field(api: Api) -> None:
    for body, field in (
        ({"entity": "return"}, "entity"),
        ({"entity": "customer", "filter": {"stage": "placed"}}, "filter.stage"),
        ({"entity": "order", "filter": {"customer": "NOBODY"}}, "filter.customer"),
        ({"entity": "order", "filter": {"stage": "lost"}}, "filter.stage"),
        ({"entity": "order", "filter": {"error": "no code"}}, "filter.error"),
        ({"entity": "order", "filter": {"mapping_version": 7}}, "filter.mapping_version"),
        ({"entity": "order", "filter": {"colour": "red"}}, "filter.colour"),
        ({"entity": "order", "filter": {"changed_since": "0001-01-01T00:00:00+14:00"}}, "filter.changed_since"),
        ({"entity": "order", "filter": {"changed_since": "yesterday"}}, "filter.changed_since"),
        (
            {"entity": "order", "filter": {"refused_since": "2026-03-02T00:00Z", "refused_until": "2026-03-01T00:00Z"}},
            "filter.refused_until",
        ),
        ({"entity": "return", "filter": {"stage": "placed", "error": "X"}}, "entity"),
        ({"entity": "invoice"}, "entity"),
        ({"entity": "order", "mode": "both"}, "mode"),
    ):
        refused = await api("POST", RESYNCS, body)
        assert (refused.status, refused.body["field"]) == (422, field), refused.body
    assert (await api("POST", RESYNCS, {"entity": "order"}, role=Role.VIEWER)).status == 403
    for action in ("pause", "resume", "cancel"):
        assert (await api("POST", f"{RESYNCS}/77/{action}")).status == 404
    assert (await api("GET", f"{RESYNCS}/x")).status == 404
