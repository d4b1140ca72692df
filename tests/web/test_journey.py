"""Journeys over HTTP: of every kind of entity, page by page, and what a viewer does not read."""

from __future__ import annotations

from sqlalchemy import update

from connector.model.field_notes import SentRecord
from connector.model.role import Role
from connector.store import journal
from connector.store.journal import JournalEntry
from connector.store.tables import outbox
from tests.unit.store import samples
from tests.web.conftest import ORDER, Api


async def test_journey_has_the_history_and_what_was_sent(api: Api) -> None:
    await api("POST", "/orders", ORDER)
    await api.move(action="hold", hold="credit", note="asked by phone")
    call = {"id": "c1", "method": "POST", "path": "composite/graph", "status": 200, "requests": 1, "ms": 12}
    sent = SentRecord(sobject="Order", key="W-1", fields={"Status": "Draft", "Description": "secret"})
    entry = JournalEntry(
        entity="order", key="W-1", action="written", sent=[sent], personal={"Order": frozenset({"Description"})},
        detail={"call": call, "mapping_version": 3, "lane": 1, "captured_at": "2026-02-28T08:00:00+00:00"},
    )  # fmt: skip
    async with api.store.transaction() as uow:
        await journal.write(uow, [entry])

    told = (await api("GET", "/orders/W-1/journey")).body
    assert [step["kind"] for step in told["steps"]] == ["captured", "event", "event", "sent"]
    held, last = told["steps"][2:]
    assert (held["text"], held["actor"]) == ("Held credit, asked by phone.", "ops of tests")
    assert (last["direction"], last["mapping_version"], last["lane"]) == ("to_org", 3, "new")
    assert last["call"] == {
        "id": "c1", "method": "POST", "path": "composite/graph", "status": 200, "requests": 1, "milliseconds": 12,
    }  # fmt: skip
    assert {field["field"]: field["value"] for field in last["fields"]} == {"Status": "Draft", "Description": "secret"}
    assert told["waiting"]["state"] == "due"

    error = "FIELD_INTEGRITY_EXCEPTION: The org's message: ann@shop.example is no address."
    async with api.store.transaction() as uow:
        await uow.connection.execute(update(outbox).where(outbox.c.key == "W-1").values(error=error))
    assert (await api("GET", "/orders/W-1/journey")).body["waiting"]["error"] == error
    shown = await api("GET", "/orders/W-1/journey", role=Role.VIEWER)
    assert shown.body["waiting"]["error"] == "FIELD_INTEGRITY_EXCEPTION"
    assert shown.body["steps"][2]["text"] == "Held credit."
    assert {field["field"]: field["value"] for field in shown.body["steps"][3]["fields"]} == {
        "Status": "Draft", "Description": None,
    }  # fmt: skip
    assert "note" not in shown.body["steps"][2]["detail"]

    page = (await api("GET", "/orders/W-1/journey?after=1&limit=2")).body
    assert ([step["number"] for step in page["steps"]], page["after"]) == ([2, 3], 3)


async def test_every_kind_of_entity_has_a_journey(api: Api) -> None:
    await api("POST", "/orders", ORDER)
    for path in ("/customers/ALFKI/journey", "/products/CHAI/journey"):
        assert (await api("GET", path, role=Role.VIEWER)).status == 200, path
    for path in ("/orders/none", "/customers/none", "/products/none", "/returns/W-1-RMA9"):
        assert (await api("GET", f"{path}/journey")).status == 404, path
    assert (await api("GET", "/orders/W-1/journey?after=x")).status == 400


async def test_history_of_an_imported_order_says_that_it_was_imported_and_not_who_came_first(api: Api) -> None:
    await samples.place(api.store, samples.order("O-1"))
    await api("POST", "/orders", ORDER)
    for number in ("O-1", "W-1"):
        await api.move(number, action="hold", hold="credit")
    began, held = (await api("GET", "/orders/O-1/history")).body["history"]
    assert (began["event"], began["actor"], began["imported"], began["stage"]) == ("begun", "import", True, "placed")
    assert held["actor"] == "ops of tests"
    [placed, _] = (await api("GET", "/orders/W-1/history")).body["history"]
    assert (placed["event"], placed["actor"], "imported" in placed) == ("begun", "ops of tests", False)
    steps = [(await api("GET", f"/orders/{number}/journey")).body["steps"] for number in ("O-1", "W-1")]
    first = [next(step for step in found if step["kind"] == "event") for found in steps]
    assert [(step["text"], step["actor"]) for step in first] == [
        ("Imported before; its history begins here.", "import"), ("As it was placed.", "ops of tests"),
    ]  # fmt: skip
