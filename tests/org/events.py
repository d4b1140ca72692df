"""Fixtures: a local org with its Pub/Sub API, and events to publish through it."""

from __future__ import annotations

from typing import Any

import grpc

from tests.org.grpc_client import Client

ACTION = "/event/Order_Action__e"
ORDERS, ACCOUNTS, ALL = "/data/OrderChangeEvent", "/data/AccountChangeEvent", "/data/ChangeEvents"
Code = grpc.StatusCode


async def action(client: Client, number: int = 1) -> tuple[str, bytes]:
    """Return schema ID and payload of an event."""
    schema_id = (await client.topic(ACTION)).schema_id
    body = await client.encoded(
        schema_id, CreatedDate=1, CreatedById="005000000000000", Order_Number__c=str(number), Action__c="hold",
        Reason__c=None, Requested_By__c=None,
    )  # fmt: skip
    return schema_id, body


async def published(client: Client, count: int, first: int = 1) -> list[bytes]:
    """Publish a number of events and return their replay IDs."""
    created = [(f"u-{number}", (await action(client, number))[1]) for number in range(first, first + count)]
    answer = await client.publish(ACTION, *created, schema_id=(await action(client))[0])
    assert [result.error.msg for result in answer.results] == [""] * count
    return [result.replay_id for result in answer.results]


def numbers(events: list[tuple[dict[str, Any], bytes]]) -> list[int]:
    return [int(payload["Order_Number__c"]) for payload, _ in events]
