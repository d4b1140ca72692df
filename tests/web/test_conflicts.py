"""Conflicts over HTTP: listed page by page, and one in full."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

from connector.model.conflict import Conflict, ConflictState
from connector.model.customer import Customer
from connector.model.record import Link
from connector.model.role import Role
from connector.store import conflict_rules, conflicts, customers, links, orgs
from tests.web.conftest import Api

ORG = "00D000000000001AAA"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


async def open_conflicts(api: Api, count: int) -> list[int]:
    items = [
        Conflict(
            id=0,
            org_id=ORG,
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


async def linked_customer_in_conflict(api: Api, number: str) -> int:
    """A customer whose phone both sides have changed; the number of the conflict."""
    record = f"001{number:0>15}"
    link = Link(entity="customer", key=number, sobject="Account", salesforce_id=record, snapshot={"Phone": "1"})
    conflict = Conflict(
        id=0,
        org_id=ORG,
        entity="customer",
        key=number,
        field="Phone",
        sobject="Account",
        record_id=record,
        base="1",
        local="2",
        remote="3",
        opened_at=NOON,
    )
    async with api.store.transaction() as uow:
        await customers.save(uow, [Customer(number=number, name=number, phone="2")])
        await links.put(uow, ORG, [link])
        [opened] = await conflicts.open_or_update(uow, [conflict])
    return opened.id


async def phone_of(api: Api, number: str) -> str | None:
    async with api.store.reader() as connection:
        [customer] = await customers.load(connection, [number])
    return customer.phone


async def test_resolution_lets_one_side_stand_and_needs_ops(api: Api) -> None:
    conflict = await linked_customer_in_conflict(api, "K-1")
    path, body = f"/conflicts/{conflict}/resolution", {"take": "salesforce"}
    assert (await api("POST", path, body, role=Role.VIEWER)).status == 403
    assert (await api("POST", path, {"take": "both"})).body["field"] == "take"

    answer = await api("POST", path, body)

    assert (answer.status, answer.body["state"], answer.body["also_resolved"]) == (200, "salesforce", [])
    assert await phone_of(api, "K-1") == "3"
    again = await api("POST", path, body)
    assert (again.status, again.body["rule"]) == (409, "conflict")
    assert (await api("POST", "/conflicts/99/resolution", body)).status in {404, 422}


async def test_resolution_of_values_that_have_changed_since_they_were_read_is_refused(api: Api) -> None:
    conflict = await linked_customer_in_conflict(api, "K-1")
    path, body = f"/conflicts/{conflict}", {"take": "salesforce"}
    tag = (await api("GET", path)).headers["ETag"]
    assert (await api("GET", path, headers={"If-None-Match": f'"0", {tag}'})).status == 304
    async with api.store.transaction() as uow:
        [stored] = await conflicts.find(uow.connection, [conflict])
        await conflicts.open_or_update(uow, [replace(stored, remote="4")])

    assert (await api("GET", path, headers={"If-None-Match": tag})).body["remote"] == "4"
    refused = await api("POST", f"{path}/resolution", body, headers={"If-Match": tag})
    assert (refused.status, refused.body["field"]) == (412, "If-Match")
    assert await phone_of(api, "K-1") == "2"
    tag = (await api("GET", path)).headers["ETag"]
    assert (await api("POST", f"{path}/resolution", body, headers={"If-Match": tag})).status == 200
    assert await phone_of(api, "K-1") == "4"


async def test_answer_kept_as_a_rule_resolves_other_conflicts_of_the_field(api: Api) -> None:
    first, second = [await linked_customer_in_conflict(api, number) for number in ("K-1", "K-2")]
    async with api.store.transaction() as uow:
        await orgs.put(uow, ORG, login_url="", instance_url="", is_active=True)
        await conflict_rules.put(uow, "00D-other", "Account", "Phone", ConflictState.LOCAL, actor="chief")

    answer = await api("POST", f"/conflicts/{first}/resolution", {"take": "salesforce", "always": True})

    assert answer.body["also_resolved"] == [second]
    assert await phone_of(api, "K-2") == "3"
    [rule] = (await api("GET", "/conflict-rules", role=Role.VIEWER)).body["rules"]
    assert (rule["sobject"], rule["field"], rule["choice"]) == ("Account", "Phone", "salesforce")
    assert (await api("DELETE", "/conflict-rules/Account/Phone")).status == 200
    assert (await api("DELETE", "/conflict-rules/Account/Phone")).status == 404
    assert (await api("GET", "/conflict-rules")).body["rules"] == []
    async with api.store.reader() as connection:
        assert len(await conflict_rules.answers(connection, "00D-other")) == 1
