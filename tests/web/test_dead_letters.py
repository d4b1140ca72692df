"""Dead letters over HTTP: by cause, replayed and discarded in groups."""

from __future__ import annotations

from dataclasses import asdict

import orjson
from sqlalchemy import update

from connector.model.change import ChangeState, EntityKind, Refusal
from connector.model.role import Role
from connector.store import dead_letters, journal, outbox
from connector.store.tables import outbox as outbox_table
from tests.conftest import ManualClock
from tests.web.conftest import ORDER, Api

MISSING = Refusal(
    code="REQUIRED_FIELD_MISSING", message="Required fields are missing: [City]", field="Order.City",
    source="order.yaml:14", fix="Fill the city.",
)  # fmt: skip
TOO_LONG = Refusal(code="STRING_TOO_LONG", message="Too long.", field="Order.PoNumber", source=None, fix="Shorten it.")


async def refuse(api: Api, number: str, refusal: Refusal) -> None:
    """As a push records it."""
    async with api.store.transaction() as uow:
        await uow.connection.execute(
            update(outbox_table)
            .where(outbox_table.c.entity == "order", outbox_table.c.key == number)
            .values(state=ChangeState.DEAD.value, refused_at=uow.now, refusal=orjson.dumps(asdict(refusal)).decode())
        )


async def states(api: Api) -> dict[str, ChangeState]:
    async with api.store.reader() as connection:
        rows = await outbox.find(connection, EntityKind.ORDER, ["W-1", "W-2", "W-3", "W-4"])
    return {key: row.state for key, row in rows.items()}


async def test_dead_letters_are_grouped_by_cause_and_changed_as_a_group(api: Api, clock: ManualClock) -> None:
    for number in ("W-1", "W-2", "W-3", "W-4"):
        await api("POST", "/orders", ORDER | {"number": number})
        clock.advance(60)
        await refuse(api, number, TOO_LONG if number == "W-3" else MISSING)

    groups = (await api("GET", "/dead-letters/groups", role=Role.VIEWER)).body
    assert groups["total"] == 4
    many, one = groups["groups"]
    assert (many["count"], many["code"], many["field"], many["source"]) == (
        3, "REQUIRED_FIELD_MISSING", "Order.City", "order.yaml:14",
    )  # fmt: skip
    assert (many["keys"], many["fix"]) == (["W-1", "W-2", "W-4"], "Fill the city.")
    assert many["first_refused_at"] < many["last_refused_at"]
    assert (one["count"], one["keys"]) == (1, ["W-3"])
    page = (await api("GET", "/dead-letters", params={"group": many["fingerprint"], "limit": "2"})).body
    assert ([item["key"] for item in page["dead_letters"]], page["total"]) == (["W-1", "W-2"], 3)
    assert page["dead_letters"][0]["group"] == many["fingerprint"]
    assert (await api("GET", "/dead-letters", params={"entity": "customer"})).body["total"] == 0

    replayed = await api("POST", "/dead-letters/replay", {"group": many["fingerprint"]})
    assert replayed.body == {"count": 3}
    assert await states(api) == {
        "W-1": ChangeState.DUE, "W-2": ChangeState.DUE, "W-3": ChangeState.DEAD, "W-4": ChangeState.DUE,
    }  # fmt: skip
    assert (await api("POST", "/dead-letters/replay", {"group": many["fingerprint"]})).body == {"count": 0}
    assert (await api("POST", "/dead-letters/discard", {"entity": "order", "keys": ["W-3"]})).body == {"count": 1}
    assert "W-3" not in await states(api)
    async with api.store.reader() as connection:
        assert await dead_letters.list_discarded(connection) == [(EntityKind.ORDER, "W-3")]
        [replayed_entry, *_] = await journal.read(connection, "order", "W-1")
    assert (replayed_entry.action, bool(replayed_entry.detail["by"])) == ("replayed", True)


async def test_what_is_ambiguous_is_refused(api: Api) -> None:
    for body in (
        {},
        {"entity": "order", "keys": []},
        {"all": True, "entity": "order"},
        {"keys": ["W-1"], "all": True},
        {"group": "x"},
    ):
        assert (await api("POST", "/dead-letters/replay", body)).status == 422, body
    assert (await api("POST", "/dead-letters/replay", {"all": True}, role=Role.VIEWER)).status == 403
    assert (await api("GET", "/dead-letters", params={"entity": "invoice"})).status == 400
