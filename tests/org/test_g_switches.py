"""Chapter G: what an org does rarely, reached by a switch (`POST /_org/events`): merged events (G7), overflow (G9),
the end of the delivery allowance (F4); and the checks of published events (G4).
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from connector.localorg.pubsub import grpc_codec
from tests.org.conftest import Caller
from tests.org.events import ACCOUNTS, ACTION, Code, action, published
from tests.org.grpc_client import Client
from tests.org.test_g_cometd import Bayeux
from tests.org.test_g_filters import CHANNEL, select


async def admin(caller: Caller, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {caller.org.access_token}"}
    async with caller.http.request(method, f"{caller.org.url}/_org/{path}", json=body, headers=headers) as answer:
        return answer.status, await answer.json()


async def write_all(caller: Caller, method: str, *records: dict[str, Any]) -> list[dict[str, Any]]:
    given = [{"attributes": {"type": "Account"}} | record for record in records]
    status, body = await caller.call(method, "composite/sobjects", {"records": given})
    assert status == 200, body
    return list(body)


def header(payload: dict[str, Any]) -> tuple[str, list[str]]:
    return payload["ChangeEventHeader"]["changeType"], payload["ChangeEventHeader"]["recordIds"]


async def test_equal_changes_of_one_commit_are_one_event_with_all_ids(writer: Caller, client: Client) -> None:
    """G7: updates with the same values; a channel that enriches its events gets one for each record."""
    names = ["A", "B", "C"]
    ids = [row["id"] for row in await write_all(writer, "POST", *({"Name": name} for name in names))]
    condition = "ChangeEventHeader.changeType != 'DELETE'"
    assert (await select(writer, condition, enrichedFields=[{"name": "Name"}]))[0] == 201
    assert (await admin(writer, "POST", "events", {"merge_events": True}))[0] == 200
    async with client.subscribed(ACCOUNTS) as plain, client.subscribed(CHANNEL) as enriched:
        changed = [{"Id": record, "Phone": phone} for record, phone in zip(ids, ("1", "2", "1"), strict=True)]
        await write_all(writer, "PATCH", *changed)
        (one, _), (two, _) = await plain.events(2)
        assert [header(one), header(two)] == [("UPDATE", [ids[0], ids[2]]), ("UPDATE", [ids[1]])]
        assert (one["Phone"], two["Phone"]) == ("1", "2")
        assert {(payload["Name"], header(payload)[1][0]) for payload, _ in await enriched.events(3)} == set(
            zip(names, ids, strict=True)
        )
        assert (await writer.call("DELETE", f"composite/sobjects?ids={','.join(ids)}"))[0] == 200
        [(gone, _)] = await plain.events(1)
        assert header(gone) == ("DELETE", ids)


async def test_merged_events_pass_a_filter_of_the_header(writer: Caller, client: Client) -> None:
    """G7, G8."""
    rows = await write_all(writer, "POST", {"Name": "A"}, {"Name": "B"})
    assert (await select(writer, "ChangeEventHeader.changeType = 'UPDATE'"))[0] == 201
    await admin(writer, "POST", "events", {"merge_events": True})
    async with client.subscribed(CHANNEL) as stream:
        await write_all(writer, "PATCH", *({"Id": row["id"], "Phone": "1"} for row in rows))
        [(payload, _)] = await stream.events(1)
    assert header(payload) == ("UPDATE", [row["id"] for row in rows])


async def test_overflow_is_one_event_without_the_records(writer: Caller, client: Client) -> None:
    """G9: more changes in a transaction than the org tells one by one."""
    assert (await admin(writer, "POST", "events", {"overflow_after": 2}))[0] == 200
    async with client.subscribed(ACCOUNTS) as stream:
        rows = await write_all(writer, "POST", {"Name": "A"}, {"Name": "B"}, {"Name": "C"})
        await write_all(writer, "PATCH", *({"Id": row["id"], "Phone": "1"} for row in rows[:2]))
        payloads = [payload for payload, _ in await stream.events(3)]
    assert header(payloads[0]) == ("GAP_OVERFLOW", ["000000000000000AAA"])
    assert [header(item) for item in payloads[1:]] == [("UPDATE", [row["id"]]) for row in rows[:2]]


async def test_subscriber_is_refused_when_the_delivery_allowance_is_used_up(writer: Caller, client: Client) -> None:
    """G, F4: counted for each subscriber and shown by /limits; the rest is delivered first."""
    assert (await admin(writer, "POST", "events", {"delivery_limit": 3}))[0] == 200
    await published(client, 2)
    start = {"replay_preset": grpc_codec.EARLIEST}
    async with client.subscribed(ACTION, **start) as one, client.subscribed(ACTION, **start) as two:
        assert len(await one.events(2)) == 2
        assert len(await two.events(1)) == 1
        assert await two.end() == (Code.RESOURCE_EXHAUSTED, "subscription.limit.exceeded")
        limits = (await writer.call("GET", "limits"))[1]
        for name in ("DailyDeliveredPlatformEvents", "MonthlyPlatformEventsUsageEntitlement"):
            assert limits[name] == {"Max": 3, "Remaining": 0}
        bayeux = Bayeux(writer)
        await bayeux.shake()
        await bayeux.subscribe(ACTION, -2)
        [refused] = await bayeux.send("/meta/connect")
        assert refused["error"] == "403::Organization total events daily limit exceeded"
        assert (await admin(writer, "POST", "events", {"delivery_limit": None}))[0] == 200
        [event, event2, _] = await bayeux.send("/meta/connect")
        assert {event["channel"], event2["channel"]} == {ACTION}


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"merge_events": 1}, "true or false"),
        ({"overflow_after": -1}, "whole number"),
        ({"overflow_after": None}, "whole number"),
        ({"delivery_limit": "x"}, "whole number"),
    ],
)
async def test_invalid_switch_is_refused(caller: Caller, options: dict[str, Any], problem: str) -> None:
    """Ours."""
    status, body = await admin(caller, "POST", "events", options)
    assert (status, problem in body[0]["message"]) == (400, True), body


async def test_publishing_by_grpc_checks_what_rest_checks(writer: Caller, client: Client) -> None:
    """G4: required fields and lengths, with a result for each event."""
    schema_id, good = await action(client)
    names = {"CreatedDate": 1, "CreatedById": "005000000000000", "Reason__c": None, "Requested_By__c": None}

    async def body(**values: Any) -> bytes:
        return await client.encoded(schema_id, **names | {"Order_Number__c": "1", "Action__c": "hold"} | values)

    bad = [await body(Action__c=None), await body(Order_Number__c="x" * 300), await body(Action__c="")]
    answer = await client.publish(ACTION, *(("bad", item) for item in bad), ("good", good), schema_id=schema_id)
    problems = [result.error.msg.partition(":")[0] for result in answer.results]
    assert problems == ["REQUIRED_FIELD_MISSING", "STRING_TOO_LONG", "REQUIRED_FIELD_MISSING", ""]
    for fields, code in (({"Order_Number__c": "1"}, problems[0]), ({"Order_Number__c": "x" * 300}, problems[1])):
        sent = {"Action__c": "hold"} | fields if code == problems[1] else fields
        assert (await writer.refusal("POST", "sobjects/Order_Action__e", sent))[1] == code
    assert (await writer.refusal("POST", "sobjects/Order_Action__e", {"Nothing__c": "1"}))[1] == "INVALID_FIELD"


# -- triggers ----------------------------------------------------------------------------------------------------------


async def test_trigger_changes_what_was_written_where_its_condition_holds(writer: Caller, client: Client) -> None:
    """Ours: as a before-save flow does; the change event tells the final values."""
    trigger = {"name": "Rate", "sobject": "Account", "condition": "Phone = '1'",
               "set": {"Rating": "Hot", "AnnualRevenue": 15.0}}  # fmt: skip
    assert (await admin(writer, "PUT", "triggers", [trigger]))[0] == 200
    async with client.subscribed(ACCOUNTS) as stream:
        account = await writer.create("Account", Name="A", Rating="Cold")
        await writer.call("PATCH", f"sobjects/Account/{account}", {"Phone": "1", "Rating": "Warm"})
        (created, _), (changed, _) = await stream.events(2)
    assert (created["Rating"], changed["Rating"], changed["AnnualRevenue"]) == ("Cold", "Hot", 15.0)
    [row] = await writer.query("SELECT Rating, AnnualRevenue FROM Account")
    assert (row["Rating"], Decimal(str(row["AnnualRevenue"]))) == ("Hot", Decimal(15))
    assert await admin(writer, "PUT", "triggers", []) == (200, [])
    await writer.call("PATCH", f"sobjects/Account/{account}", {"Rating": "Warm"})
    assert (await writer.query("SELECT Rating FROM Account"))[0]["Rating"] == "Warm"


@pytest.mark.parametrize(
    ("trigger", "problem"),
    [
        ({"sobject": "Nothing", "set": {}}, "no records of Nothing"),
        ({"sobject": "Account", "set": {"Nothing": "x"}}, "Nothing is no field of Account"),
        ({"sobject": "Account", "set": {"CreatedDate": "x"}}, "CreatedDate is no field of Account that can be written"),
        ({"sobject": "Account", "set": {"AnnualRevenue": "x"}}, "set:"),
        ({"sobject": "Account", "set": {}, "condition": "Nothing = 1"}, "No such column"),
        ({"sobject": "Account"}, "set"),
        ({"sobject": "Account", "set": {}, "more": 1}, "more"),
    ],
)
async def test_invalid_trigger_is_refused(caller: Caller, trigger: dict[str, Any], problem: str) -> None:
    """Ours."""
    status, body = await admin(caller, "PUT", "triggers", [{"name": "T"} | trigger])
    assert (status, problem in body[0]["message"]) == (400, True), body
    assert await admin(caller, "GET", "triggers") == (200, [])
