"""Chapter G: the changes of a commit as change events (G8)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import grpc
import pytest

from connector.cli.localorg import our_metadata
from connector.localorg.org import OrgOptions
from connector.localorg.pubsub import grpc_codec
from connector.localorg.schema import Field
from connector.localorg.server import LocalOrg, Ports
from tests.org.conftest import Caller
from tests.org.grpc_client import Client, Stream

ALL, ORDERS, ACCOUNTS = "/data/ChangeEvents", "/data/OrderChangeEvent", "/data/AccountChangeEvent"


class Feed:
    """REST for writing, a subscription for the change events."""

    def __init__(self, caller: Caller, client: Client, stream: Stream) -> None:
        self.caller = caller
        self.client = client
        self.stream = stream

    async def payloads(self, count: int) -> list[dict[str, Any]]:
        return [payload for payload, _ in await self.stream.events(count)]

    async def one(self) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
        """Header, what is set, and the schema's field names."""
        [event] = (await self.stream.next()).events
        schema = await self.client.schema(event.event.schema_id)
        payload = await self.client.decoded(event)
        header = payload.pop("ChangeEventHeader")
        return header, {name: value for name, value in payload.items() if value is not None}, names(schema)


def names(schema: Any) -> list[str]:
    return [field["name"] for field in schema["fields"]]


def changed_names(bitmaps: list[str], fields: list[str]) -> set[str]:
    """Bitmaps as a client reads them: `Phone`, `BillingAddress.0`."""
    result = set()
    for bitmap in bitmaps:
        parent, _, digits = bitmap.rpartition("-")
        bits = int(digits, 16)
        places = [place for place in range(bits.bit_length()) if bits >> place & 1]
        result |= {f"{fields[int(parent)]}.{place}" for place in places} if parent else {fields[p] for p in places}
        assert len(digits) % 2 == 0
    return result


@pytest.fixture
async def feed() -> AsyncIterator[Feed]:
    async with (
        LocalOrg(OrgOptions(metadata_root=our_metadata()), Ports(grpc=0)) as org,
        aiohttp.ClientSession() as http,
        grpc.aio.insecure_channel(str(org.pubsub_endpoint)) as channel,
    ):
        client = Client(org, channel)
        async with client.subscribed(ALL) as stream:
            yield Feed(Caller(org, http), client, stream)


async def test_creation_event_has_all_values(feed: Feed) -> None:
    """G8."""
    account = await feed.caller.create("Account", Name="Köhler", NumberOfEmployees=7, BillingCity="Münster")
    header, values, _ = await feed.one()
    assert (header["entityName"], header["recordIds"], header["changeType"]) == ("Account", [account], "CREATE")
    assert (header["changedFields"], header["nulledFields"], header["sequenceNumber"]) == ([], [], 1)
    assert header["changeOrigin"] == "com/salesforce/api/rest/66.0"
    assert header["commitUser"] == values["CreatedById"]
    assert (values["Name"], values["NumberOfEmployees"], values["BillingAddress"]["City"]) == ("Köhler", 7, "Münster")
    assert abs(values["CreatedDate"] - header["commitTimestamp"]) < 1000  # both in milliseconds


async def test_update_event_names_changed_and_nulled_fields(feed: Feed) -> None:
    """G8."""
    account = await feed.caller.create("Account", Name="A", Phone="1", Website="w", BillingStreet="s")
    await feed.one()
    changes = {"Phone": "2", "Website": None, "BillingStreet": "t", "BillingCity": "c", "Name": "A"}
    await feed.caller.call("PATCH", f"sobjects/Account/{account}", changes)
    header, values, fields = await feed.one()
    assert header["changeType"] == "UPDATE"
    assert changed_names(header["changedFields"], fields) == {
        "Phone", "Website", "LastModifiedDate", "BillingAddress.0", "BillingAddress.1",
    }  # fmt: skip
    assert changed_names(header["nulledFields"], fields) == {"Website"}
    assert values.keys() == {"Phone", "BillingAddress", "LastModifiedDate"}
    assert {part: text for part, text in values["BillingAddress"].items() if text} == {"Street": "t", "City": "c"}


async def test_write_without_change_raises_no_event(feed: Feed) -> None:
    """G8."""
    account = await feed.caller.create("Account", Name="A")
    await feed.one()
    await feed.caller.call("PATCH", f"sobjects/Account/{account}", {"Name": "A"})
    await feed.caller.call("PATCH", f"sobjects/Account/{account}", {"Name": "B"})
    header, values, _ = await feed.one()
    assert (header["changeType"], values["Name"]) == ("UPDATE", "B")


async def test_deletion_event_is_a_header_only(feed: Feed) -> None:
    """G8."""
    account = await feed.caller.create("Account", Name="A")
    await feed.caller.call("DELETE", f"sobjects/Account/{account}")
    await feed.one()
    header, values, _ = await feed.one()
    assert (header["changeType"], header["recordIds"], values) == ("DELETE", [account], {})


async def test_person_name_is_a_compound_field(feed: Feed) -> None:
    """G8."""
    contact = await feed.caller.create("Contact", FirstName="Ada", LastName="L")
    _, values, _ = await feed.one()
    assert (values["Name"]["FirstName"], values["Name"]["LastName"]) == ("Ada", "L")
    await feed.caller.call("PATCH", f"sobjects/Contact/{contact}", {"LastName": "M"})
    header, values, fields = await feed.one()
    assert changed_names(header["changedFields"], fields) == {"Name.2", "LastModifiedDate"}
    assert {part: text for part, text in values["Name"].items() if text} == {"LastName": "M"}


async def test_events_of_a_transaction_share_a_key_and_are_numbered(feed: Feed) -> None:
    """G8: the update of the order's total belongs to the transaction."""
    _, entry = await feed.caller.priced_product()
    order = await feed.caller.draft()
    await feed.payloads(3)  # product, account, order
    records = [
        {
            "attributes": {"type": "OrderItem"},
            "OrderId": order,
            "PricebookEntryId": entry,
            "Quantity": n,
            "UnitPrice": 1,
        }
        for n in (1, 2)
    ]
    await feed.caller.call("POST", "composite/sobjects", {"allOrNone": True, "records": records})
    headers = [payload["ChangeEventHeader"] for payload in await feed.payloads(3)]
    assert [(header["entityName"], header["changeType"]) for header in headers] == [
        ("OrderItem", "CREATE"), ("OrderItem", "CREATE"), ("Order", "UPDATE"),
    ]  # fmt: skip
    assert len({header["transactionKey"] for header in headers}) == 1
    assert len({header["commitNumber"] for header in headers}) == 1
    assert [header["sequenceNumber"] for header in headers] == sorted({h["sequenceNumber"] for h in headers})


async def test_rolled_back_change_raises_no_event(feed: Feed) -> None:
    """G8."""
    records = [{"attributes": {"type": "Account"}, "Name": "A"}, {"attributes": {"type": "Account"}}]
    await feed.caller.call("POST", "composite/sobjects", {"allOrNone": True, "records": records})
    live_id = await feed.caller.create("Account", Name="B")
    header, _, _ = await feed.one()
    assert header["recordIds"] == [live_id]


async def test_change_origin_names_the_client(feed: Feed) -> None:
    """G8, B7."""
    headers = {"Sforce-Call-Options": "client=shop"}
    await feed.caller.call("POST", "sobjects/Account", {"Name": "A"}, **headers)
    header, _, _ = await feed.one()
    assert header["changeOrigin"] == "com/salesforce/api/rest/66.0;client=shop"


async def test_object_that_is_not_selected_raises_no_event(feed: Feed) -> None:
    """G8."""
    hub = feed.caller.org.org.hub
    hub.configure({"captured": ["Account"]})
    await feed.caller.create("Contact", LastName="L")
    await feed.caller.create("Account", Name="A")
    header, _, _ = await feed.one()
    assert header["entityName"] == "Account"
    assert hub.resolve_topics(ORDERS) is None
    with pytest.raises(ValueError, match="captured"):
        hub.configure({"captured": ["Nothing"]})


async def test_gap_event_is_a_header_only(feed: Feed) -> None:
    """G8."""
    feed.caller.org.org.faults.configure({"event_gap": 1})
    account = await feed.caller.create("Account", Name="A")
    header, values, _ = await feed.one()
    assert (header["changeType"], header["recordIds"], values) == ("GAP_CREATE", [account], {})


async def test_update_reaches_the_topic_and_the_channel(feed: Feed) -> None:
    """G5, G8."""
    async with feed.client.subscribed(ACCOUNTS) as own:
        account = await feed.caller.create("Account", Name="A")
        await feed.caller.create("Contact", LastName="L")
        [(payload, replay)] = await own.events(1)
        assert payload["ChangeEventHeader"]["recordIds"] == [account]
        both = await feed.stream.events(2)
        assert both[0][1] == replay
    async with feed.client.subscribed(ALL, replay_preset=grpc_codec.CUSTOM, replay_id=replay) as rest:
        assert await rest.events(1) == both[1:]


async def test_old_schema_can_still_be_read(feed: Feed) -> None:
    """G7."""
    old = (await feed.client.topic(ACCOUNTS)).schema_id
    org = feed.caller.org.org
    account = org.schema.get("Account")
    assert account is not None
    account.add(Field(name="New__c", label="New", type="string", length=10))
    org.refresh()
    new = (await feed.client.topic(ACCOUNTS)).schema_id
    assert "New__c" not in names(await feed.client.schema(old))
    assert "New__c" in names(await feed.client.schema(new))
    await feed.caller.create("Account", Name="A", New__c="x")
    _, values, _ = await feed.one()
    assert values["New__c"] == "x"
