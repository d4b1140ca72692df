"""Repeated requests after a lost response: they execute once, and the second response is equivalent."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import func, select

from connector.errors import AbortedError, RetryClass, StoreError
from connector.model.actions import Action
from connector.model.role import Role
from connector.orders import service
from connector.orders.command import OrderCommand
from connector.orders.transaction import OrderTransaction
from connector.store.retry import REPEATS
from connector.store.tables import order_events
from tests.web.conftest import ORDER, Api, Said

KEY = {"Idempotency-Key": "3f0c"}


async def ask(api: Api, body: dict[str, Any], headers: dict[str, str] = KEY, path: str = "") -> Said:
    return await api("POST", path or "/orders/W-1/transitions", body, headers=headers)


async def events(api: Api, action: str) -> int:
    async with api.store.reader() as connection:
        statement = (
            select(func.count()).select_from(order_events).where(order_events.c.event == Action(action).happened.value)
        )
        return int((await connection.execute(statement)).scalar_one())


async def test_repeated_capture_with_one_key_captures_once(api: Api) -> None:
    await api("POST", "/orders", ORDER)
    first = await ask(api, {"action": "capture", "amount": 10})
    assert (first.body["captured"], first.headers.get("Idempotency-Replayed")) == ("10", None)
    again = await ask(api, {"action": "capture", "amount": "10.00"}, {"Idempotency-Key": '"3f0c"'})
    assert (again.status, again.headers["Idempotency-Replayed"]) == (200, "true")
    assert (again.body, again.headers["ETag"]) == (first.body, first.headers["ETag"])
    assert await events(api, "capture") == 1
    other = await ask(api, {"action": "capture", "amount": 10}, {"Idempotency-Key": "3f0d"})
    assert (other.body["captured"], await events(api, "capture")) == ("20", 2)


async def test_repeat_is_replayed_after_the_order_has_changed(api: Api) -> None:
    await api("POST", "/orders", ORDER)
    seen = (await api("GET", "/orders/W-1")).headers["ETag"]
    headers = KEY | {"If-Match": seen}
    await ask(api, {"action": "capture", "amount": 10}, headers)
    await api.move(action="authorize", amount=5)
    again = await ask(api, {"action": "capture", "amount": 10}, headers)
    assert (again.status, again.body["authorized"], await events(api, "capture")) == (200, "5", 1)
    new = await ask(api, {"action": "capture", "amount": 10}, {"Idempotency-Key": "other", "If-Match": seen})
    assert new.status == 412


@pytest.mark.parametrize("body", [{"action": "capture", "amount": 11}, {"action": "authorize", "amount": 10}])
async def test_different_request_under_the_same_key_is_rejected(api: Api, body: dict[str, Any]) -> None:
    await api("POST", "/orders", ORDER)
    await ask(api, {"action": "capture", "amount": 10})
    said = await ask(api, body)
    assert (said.status, said.body["rule"]) == (409, "idempotency")
    assert (await api("GET", "/orders/W-1")).body["captured"] == "10"
    # Another order's keys are its own.
    await api("POST", "/orders", ORDER | {"number": "W-2"})
    assert (await ask(api, body, path="/orders/W-2/transitions")).status == 200


async def test_ten_concurrent_repeats_execute_once(api: Api) -> None:
    await api("POST", "/orders", ORDER)
    said = await asyncio.gather(*(ask(api, {"action": "capture", "amount": 10}) for _ in range(10)))
    assert {(answer.status, answer.body["captured"]) for answer in said} == {(200, "10")}
    assert sorted("Idempotency-Replayed" in answer.headers for answer in said) == [False] + [True] * 9
    assert await events(api, "capture") == 1


async def test_rejected_request_can_be_repeated_under_its_key(api: Api) -> None:
    await api("POST", "/orders", ORDER)
    assert (await ask(api, {"action": "refund", "amount": 3})).status == 422
    await api.move(action="capture", amount=10)
    assert (await ask(api, {"action": "refund", "amount": 3})).body["refunded"] == "3"


async def test_replayed_verification_does_not_verify_again(api: Api) -> None:
    await api("POST", "/orders", ORDER | {"ship_to_street": None})
    seen = (await api("GET", "/orders/W-1")).headers["ETag"]
    assert (await ask(api, {"action": "verify"}, KEY | {"If-Match": seen})).body["holds"] == ["address"]
    await api.move(action="release", hold="address")
    again = await ask(api, {"action": "verify"})
    assert (again.body["stage"], again.headers["Idempotency-Replayed"]) == ("placed", "true")
    assert (await ask(api, {"action": "verify"}, {"If-Match": seen})).status == 412
    assert (await ask(api, {"action": "verify"}, {"Idempotency-Key": "second"})).body["stage"] == "verified"


async def test_repeated_return_request_creates_one_return(api: Api) -> None:
    await api("POST", "/orders", ORDER)
    for action in ("verify", "confirm"):
        await api.move(action=action)
    await api("POST", "/allocations", {"numbers": ["W-1"]})
    for action in ("pick", "ship"):
        await api.move(action=action, lines={"1": 2})
    await api.move(action="deliver")
    body = {"order": "W-1", "lines": {"1": 1}}
    said = await asyncio.gather(*(ask(api, body, path="/returns") for _ in range(4)))
    assert sorted(answer.status for answer in said) == [200, 200, 200, 201]
    assert {answer.body["key"] for answer in said} == {"W-1-RMA1"}
    await api("POST", "/returns", body)
    again = await ask(api, body, path="/returns")
    assert (again.body["key"], again.headers["Location"]) == ("W-1-RMA1", "/api/v1/returns/W-1-RMA1")
    moves = "/returns/W-1-RMA1/transitions"
    assert (await ask(api, {"action": "approve_return"}, path=moves)).status == 409  # the key is taken
    twice = [await ask(api, {"action": "approve_return"}, {"Idempotency-Key": "a"}, moves) for _ in range(2)]
    assert [(answer.status, answer.body["status"]) for answer in twice] == [(200, "approved")] * 2


@pytest.mark.parametrize("key", ["", " ", '""', "x" * 81, "a\tb"])
async def test_invalid_idempotency_key_is_rejected(api: Api, key: str) -> None:
    await api("POST", "/orders", ORDER)
    said = await ask(api, {"action": "capture", "amount": 10}, {"Idempotency-Key": key})
    assert (said.status, said.body["field"]) == (400, "Idempotency-Key")


async def test_history_shows_the_idempotency_key(api: Api) -> None:
    await api("POST", "/orders", ORDER)
    await ask(api, {"action": "capture", "amount": 10})
    story = (await api("GET", "/orders/W-1/history", role=Role.VIEWER)).body["history"]
    assert [event.get("request") for event in story] == [None, "3f0c"]


async def test_stored_digest_of_an_address_differs_between_orders(api: Api) -> None:
    body = {"action": "change", "details": {"ship_to_street": "Rue 1"}}
    for number in ("W-1", "W-2"):
        await api("POST", "/orders", ORDER | {"number": number})
        for key in ("k1", "k2"):
            for replayed in (None, "true"):
                path = f"/orders/{number}/transitions"
                said = await ask(api, body, {"Idempotency-Key": key}, path)
                assert (said.status, said.headers.get("Idempotency-Replayed")) == (200, replayed)
    async with api.store.reader() as connection:
        statement = select(order_events.c.request_digest).where(order_events.c.request.is_not(None))
        kept = list((await connection.execute(statement)).scalars())
    assert len(kept) == len(set(kept)) == 4


GIVEN_UP = AbortedError("Given up.")
UNREACHABLE = StoreError("Not there.", retry_class=RetryClass.TRANSIENT)


@pytest.mark.parametrize(
    ("error", "failures", "status", "tries"),
    [
        (GIVEN_UP, REPEATS, 200, REPEATS + 1),
        (GIVEN_UP, REPEATS + 1, 503, REPEATS + 1),
        (UNREACHABLE, 1, 503, 1),
    ],
)
async def test_aborted_transaction_is_retried_before_the_response(
    api: Api, monkeypatch: pytest.MonkeyPatch, error: StoreError, failures: int, status: int, tries: int
) -> None:
    await api("POST", "/orders", ORDER)
    real, asked = service.execute_in, 0

    async def given_up(transaction: OrderTransaction, command: OrderCommand) -> bool:
        """Abort after the work is done, as at a commit."""
        nonlocal asked
        asked += 1
        replayed = await real(transaction, command)
        if asked <= failures:
            raise error
        return replayed

    monkeypatch.setattr(service, "execute_in", given_up)
    said = await ask(api, {"action": "capture", "amount": 10})
    assert (said.status, asked) == (status, tries)
    assert "Idempotency-Replayed" not in said.headers
    assert await events(api, "capture") == (status == 200)
    assert (await api("GET", "/orders/W-1")).body["captured"] == ("10" if status == 200 else "0")
