"""Dead letters over HTTP: by cause, replayed and discarded in groups."""

from __future__ import annotations

from dataclasses import asdict, replace

import orjson
from sqlalchemy import insert, select, update

from connector.model.change import ChangeState, EntityKind, Refusal
from connector.model.dead_letter_group import fingerprint
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


async def refuse(api: Api, number: str, refusal: Refusal, entity: str = "order") -> None:
    """As a push records it."""
    async with api.store.transaction() as uow:
        await uow.connection.execute(
            update(outbox_table)
            .where(outbox_table.c.entity == entity, outbox_table.c.key == number)
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


async def test_viewer_sees_no_message_of_the_org(api: Api) -> None:
    """It may quote a value, such as the address of a person."""
    await api("POST", "/orders", ORDER)
    quoted = Refusal(
        code="INVALID_EMAIL_ADDRESS", message="Email: invalid email address: ann@x", field="Account.Email__c",
        source=None, fix="Correct it.", record="customer A/1",
    )  # fmt: skip
    await refuse(api, "W-1", quoted)
    answers = ("/dead-letters", "/dead-letters/groups", "/dead-letters/order/W-1")
    for path in answers:
        assert "ann@x" in str((await api("GET", path)).body)
        assert "ann@x" not in str((await api("GET", path, role=Role.VIEWER)).body)
    shown = (await api("GET", answers[-1], role=Role.VIEWER)).body
    assert shown["dead_letter"]["hidden"] is True
    assert shown["dead_letter"]["message"] == shown["explanation"] == "The e-mail address is not valid."
    full = (await api("GET", answers[-1])).body["dead_letter"]
    assert (full["hidden"], full["correction"]) == (False, "/api/v1/dead-letters/customer/A%2F1/correction")
    await refuse(api, "W-1", replace(quoted, record="line W-1-2"))
    assert (await api("GET", answers[-1])).body["dead_letter"]["correction"].endswith("/order/W-1/correction")
    await refuse(api, "W-1", replace(quoted, code="INSUFFICIENT_ACCESS_OR_READONLY"))
    assert (await api("GET", answers[-1])).body["dead_letter"]["correction"] is None


async def test_entity_is_corrected_and_sent_again(api: Api, clock: ManualClock) -> None:
    await api("POST", "/orders", ORDER)
    await refuse(api, "W-1", replace(TOO_LONG, record="order W-1"))
    path = "/dead-letters/order/W-1"
    shown = await api("GET", path, role=Role.VIEWER)
    assert (shown.body["dead_letter"]["code"], shown.body["version"]) == ("STRING_TOO_LONG", 1)
    assert shown.body["explanation"]
    version = shown.headers["ETag"]

    refused = await api("POST", f"{path}/correction", {"set": {"po_number": "PO-1"}})
    assert (refused.status, refused.body["field"]) == (428, "version")
    unknown = await api("POST", f"{path}/correction", {"set": {"po_numbr": "7"}, "version": 1})
    assert unknown.body["detail"].startswith("set.po_numbr: is unknown. Did you mean `po_number`?")
    wrong = await api("POST", f"{path}/correction", {"set": {"po_number": 7}, "version": 1})
    assert (wrong.status, wrong.body["field"]) == (422, "set.po_number")
    assert (await states(api))["W-1"] is ChangeState.DEAD

    done = await api("POST", f"{path}/correction", {"set": {"po_number": "PO-1"}}, headers={"If-Match": version})
    assert (done.status, done.body) == (200, {"version": 2, "replayed": 1})
    assert (await states(api))["W-1"] is ChangeState.DUE
    assert (await api("GET", "/orders/W-1")).body["po_number"] == "PO-1"
    [audited] = (await api("GET", "/audit", params={"action": "corrected"})).body["actions"]
    assert (audited["actor"], audited["detail"]["fields"]) == ("ops of tests", ["po_number"])

    again = {"set": {"po_number": "PO-2"}}
    assert (await api("POST", f"{path}/correction", again | {"version": 2})).status == 404  # no dead letter any more
    await refuse(api, "W-1", TOO_LONG)
    assert (await api("POST", f"{path}/correction", again | {"version": 1})).status == 409
    stale = await api("POST", f"{path}/correction", again, headers={"If-Match": version})
    assert (stale.status, stale.body["field"]) == (412, "If-Match")
    assert (await states(api))["W-1"] is ChangeState.DEAD


async def test_customer_at_fault_is_corrected_and_its_orders_are_sent_again(api: Api) -> None:
    for number in ("W-1", "W-2"):
        await api("POST", "/orders", ORDER | {"number": number})
        await refuse(api, number, replace(MISSING, record="customer ALFKI"))
    before = (await api("GET", "/customers/ALFKI")).body
    path = "/dead-letters/customer/ALFKI/correction"
    for field, value in (("email", 7), ("number", "X"), ("shoe_size", "44")):
        refused = await api("POST", path, {"set": {field: value}, "version": before["version"]})
        assert (refused.status, refused.body["field"]) == (422, f"set.{field}")
    assert (await api("POST", path, {"set": {}, "version": 1})).status == 422
    done = await api("POST", path, {"set": {"city": "Potsdam"}, "version": before["version"]})
    assert done.body == {"version": before["version"] + 1, "replayed": 2}
    assert (await api("GET", "/customers/ALFKI")).body == before | {"city": "Potsdam", "version": before["version"] + 1}
    assert set((await states(api)).values()) == {ChangeState.DUE}
    assert (await api("POST", path, {"set": {"city": "Bonn"}, "version": 2}, role=Role.VIEWER)).status == 403


async def test_correction_reads_no_dead_letters_of_others(api: Api) -> None:
    await api("POST", "/orders", ORDER | {"number": "W-1"})
    await api("POST", "/orders", ORDER | {"number": "W-2"})
    await refuse(api, "W-1", replace(MISSING, record="customer ALFKI"))
    await refuse(api, "W-2", TOO_LONG)
    async with api.store.transaction() as uow:  # whoever reads this one fails
        others = outbox_table.c.key == "W-2"
        await uow.connection.execute(update(outbox_table).where(others).values(refusal='{"code": "X"}'))
        own = (await uow.connection.execute(select(outbox_table).where(outbox_table.c.key == "W-1"))).mappings().one()
        there = {**own, "key": "W-3", "org": "emea"}  # refused for the same reason, by another org
        await uow.connection.execute(insert(outbox_table).values(there))
    body = {"set": {"city": "Potsdam"}, "version": (await api("GET", "/customers/ALFKI")).body["version"]}
    done = await api("POST", "/dead-letters/customer/ALFKI/correction", body)
    assert (done.status, done.body) == (200, {"version": body["version"] + 1, "replayed": 1})
    async with api.store.reader() as connection:
        [row] = (await outbox.find(connection, EntityKind.ORDER, ["W-1"])).values()
    assert row.state is ChangeState.DUE


async def test_product_at_fault_is_corrected_and_a_return_is_not(api: Api) -> None:
    await api("POST", "/orders", ORDER)
    await refuse(api, "W-1", replace(MISSING, record="product CHAI"))
    version = (await api("GET", "/products/CHAI")).body["version"]
    done = await api("POST", "/dead-letters/product/CHAI/correction", {"set": {"name": "Chai"}, "version": version})
    assert done.body["replayed"] == 1
    refused = await api("POST", "/dead-letters/return/W-1-RMA1/correction", {"set": {"reason": "x"}, "version": 1})
    assert (refused.status, refused.body["field"]) == (422, "entity")


async def test_dead_letters_are_read_page_by_page(api: Api, clock: ManualClock) -> None:
    for number in ("W-1", "W-2", "W-3"):
        await api("POST", "/orders", ORDER | {"number": number})
        await refuse(api, number, MISSING)
    seen, query = [], {"limit": "2"}
    while True:
        page = (await api("GET", "/dead-letters", params=query)).body
        seen.append([item["key"] for item in page["dead_letters"]])
        if page["after"] is None:
            break
        query["after"] = page["after"]
    assert seen == [["W-1", "W-2"], ["W-3"]]
    assert (await api("GET", "/dead-letters", params={"after": "soon"})).status == 400
    [group] = (await api("GET", "/dead-letters/groups")).body["groups"]
    assert (group["sample"]["key"], bool(group["explanation"])) == ("W-1", True)


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


async def test_keys_of_a_cause_are_sent_again_and_not_what_they_were_refused_for_otherwise(api: Api) -> None:
    for number in ("W-1", "W-2", "W-3"):
        await api("POST", "/orders", ORDER | {"number": number})
        await refuse(api, number, TOO_LONG if number == "W-3" else MISSING)
    async with api.store.transaction() as uow:  # the same key, refused by another org for another cause
        chosen = outbox_table.c.key == "W-1"
        own = (await uow.connection.execute(select(outbox_table).where(chosen))).mappings().one()
        there = {**own, "org": "emea", "refusal": orjson.dumps(asdict(TOO_LONG)).decode()}
        await uow.connection.execute(insert(outbox_table).values(there))
    name = fingerprint(EntityKind.ORDER, MISSING)
    assert (await api("POST", "/dead-letters/replay", {"group": name, "keys": ["W-2", "W-3"]})).body == {"count": 1}
    assert (await states(api))["W-3"] is ChangeState.DEAD
    assert (await api("POST", "/dead-letters/replay", {"group": name, "keys": ["W-3"]})).body == {"count": 0}
    async with api.store.for_org(None).transaction() as uow:
        keys = ["W-1", "W-9"]
        assert await dead_letters.change_group_by_person(uow, "replay", name, actor="bot", keys=keys) == 1
        rows = await uow.connection.execute(select(outbox_table.c.org, outbox_table.c.state).where(chosen))
        assert sorted(tuple(row) for row in rows) == [("", "due"), ("emea", "dead")]
    async with api.store.reader() as connection:
        entries = await journal.read(connection, "order", "W-1")
    assert [entry.action for entry in entries] == ["replayed"]
