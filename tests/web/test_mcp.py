"""`connector mcp` with the client of the protocol's authors: what agents see by role, and what they do by plans."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp_types import CallToolResult, TextContent
from pydantic import SecretStr

from connector.agents.api_client import ApiClient
from connector.agents.plans import MOST_COVERED
from connector.agents.tools import make_server
from connector.model.change import ChangeState
from connector.model.role import Role
from connector.store import journal, tokens
from tests.conftest import ManualClock
from tests.web.conftest import ORDER, Api
from tests.web.test_conflicts import linked_customer_in_conflict
from tests.web.test_dead_letters import MISSING, TOO_LONG, refuse, states

READS = {
    "get_status", "search_orders", "get_order", "get_order_journey", "list_error_causes", "list_refused_changes",
    "list_conflicts", "get_resync",
}  # fmt: skip
PLANS, ACTS = {"plan_replay", "plan_resync"}, {"replay", "resync"}


class Agent:
    """An agent with its tools."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def __call__(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """What a tool answers."""
        result = await self.client.call_tool(tool, arguments)
        assert isinstance(result, CallToolResult)
        assert not result.is_error, result.content
        assert result.structured_content is not None
        return result.structured_content

    async def refused(self, tool: str, **arguments: Any) -> str:
        """Why a tool does not do it."""
        result = await self.client.call_tool(tool, arguments)
        assert isinstance(result, CallToolResult)
        [content] = result.content
        assert isinstance(content, TextContent)
        assert result.is_error, content.text
        return content.text


@asynccontextmanager
async def agent_of(api: Api, role: Role, clock: ManualClock) -> AsyncIterator[Agent]:
    """An agent with a token of this role, in this process."""
    url, secret = str(api.client.make_url("/")), SecretStr(api.secrets[role])
    async with ApiClient(url, secret) as client, Client(make_server(client, role, clock=clock)) as connected:
        yield Agent(connected)


async def test_viewer_looks_and_sees_no_personal_data(api: Api, clock: ManualClock) -> None:
    await api("POST", "/orders", ORDER | {"notes": "for Ann Secret"})
    await refuse(api, "W-1", TOO_LONG)
    await linked_customer_in_conflict(api, "K-1")
    async with agent_of(api, Role.VIEWER, clock) as agent:
        listed = (await agent.client.list_tools()).tools
        assert {tool.name for tool in listed} == READS
        assert all(tool.annotations is not None and tool.annotations.read_only_hint for tool in listed)
        assert "1 refused change and 1 conflict" in (await agent("get_status"))["summary"]
        [found] = (await agent("search_orders", stage="placed"))["orders"]
        order = await agent("get_order", number="W-1")
        assert (found["number"], order["stage"], order["customer"]) == ("W-1", "placed", "ALFKI")
        assert order["lines"][0]["sku"] == "CHAI"
        journey = await agent("get_order_journey", number="W-1")
        [cause] = (await agent("list_error_causes"))["groups"]
        letters = await agent("list_refused_changes", cause=cause["fingerprint"])
        [conflict] = (await agent("list_conflicts"))["conflicts"]
        assert (cause["count"], letters["total"], conflict["field"]) == (1, 1, "Phone")
        assert not {"base", "local", "remote"} & conflict.keys()
        told = str([found, order, journey, cause, letters, conflict])
        assert not [word for word in ("Ann Secret", "Obere Str", "Berlin", TOO_LONG.message) if word in told]
        assert "There is no order W-9." in await agent.refused("get_order", number="W-9")
        assert "stage" in await agent.refused("search_orders", stage="nowhere")
        assert "Unknown tool" in await agent.refused("replay", plan_id="x")
    async with agent_of(api, Role.OPS, clock) as agent:
        assert {tool.name for tool in (await agent.client.list_tools()).tools} == READS | PLANS | ACTS
        [conflict] = (await agent("list_conflicts"))["conflicts"]
        assert (conflict["local"], conflict["remote"]) == ("2", "3")


async def test_refused_changes_are_sent_again_by_a_plan_that_is_exact_and_good_once(
    api: Api, clock: ManualClock
) -> None:
    for number in ("W-1", "W-2", "W-3"):
        await api("POST", "/orders", ORDER | {"number": number})
        await refuse(api, number, TOO_LONG if number == "W-3" else MISSING)
    async with agent_of(api, Role.OPS, clock) as agent:
        cause = (await agent("list_error_causes"))["groups"][0]["fingerprint"]
        plan = await agent("plan_replay", cause=cause)
        assert (plan["count"], plan["keys"], plan["cause"]["code"]) == (2, ["W-1", "W-2"], MISSING.code)
        assert plan["what"] == "Sends 2 refused changes to Salesforce again."
        assert set((await states(api)).values()) == {ChangeState.DEAD}
        assert "There is no such plan" in await agent.refused("replay", plan_id="guessed")
        assert "the plan of a replay, not of a resync" in await agent.refused("resync", plan_id=plan["plan_id"])

        assert (await agent("replay", plan_id=plan["plan_id"]))["replayed"] == 2
        assert await states(api) == {"W-1": ChangeState.DUE, "W-2": ChangeState.DUE, "W-3": ChangeState.DEAD}
        assert "it was used" in await agent.refused("replay", plan_id=plan["plan_id"])
        assert "Nothing is left of this cause" in await agent.refused("plan_replay", cause=cause)

        # What a plan covers has changed since it was shown: one has joined, or was refused again.
        [cause] = [item["fingerprint"] for item in (await agent("list_error_causes"))["groups"]]
        plan = await agent("plan_replay", cause=cause)
        await refuse(api, "W-1", TOO_LONG)
        refused = await agent.refused("replay", plan_id=plan["plan_id"])
        assert "has changed since it was shown: 1 more, 0 fewer. Nothing was done." in refused
        plan = await agent("plan_replay", cause=cause)
        clock.advance(1)
        await refuse(api, "W-3", TOO_LONG)
        assert "1 more, 1 fewer" in await agent.refused("replay", plan_id=plan["plan_id"])
        plan = await agent("plan_replay", cause=cause)
        clock.advance(600)
        assert "plans last ten minutes" in await agent.refused("replay", plan_id=plan["plan_id"])
        assert (await states(api))["W-3"] is ChangeState.DEAD
    async with api.store.reader() as connection:
        entries = await journal.read(connection, "order", "W-1")
    assert ("replayed", f"{Role.OPS} of tests") in {(entry.action, entry.actor) for entry in entries}


async def test_orders_are_sent_again_by_a_plan_of_just_these(api: Api, clock: ManualClock) -> None:
    for number in ("W-1", "W-2"):
        await api("POST", "/orders", ORDER | {"number": number})
    async with agent_of(api, Role.OPS, clock) as agent:
        assert "A plan needs a filter" in await agent.refused("plan_resync", entity="order")
        assert "there is no customer 'NOBODY'" in await agent.refused("plan_resync", entity="order", customer="NOBODY")
        assert "would cover nothing" in await agent.refused("plan_resync", entity="order", keys=["W-9"])
        plan = await agent("plan_resync", entity="order", stage="placed")
        assert (plan["what"], plan["keys"]) == ("Sends 2 orders to Salesforce again.", ["W-1", "W-2"])
        assert plan["calls_at_most"] > 0
        asked = (await agent("resync", plan_id=plan["plan_id"]))["resync"]
        assert (asked["filter"], asked["mode"], asked["actor"]) == (
            {"keys": ["W-1", "W-2"]}, "push", f"{Role.OPS} of tests",
        )  # fmt: skip
        assert (await agent("get_resync", resync_id=asked["id"]))["total"] == 2
        plan = await agent("plan_resync", entity="order", mode="pull", stage="placed")
        await api("POST", "/orders", ORDER | {"number": "W-3"})
        assert "1 more, 0 fewer" in await agent.refused("resync", plan_id=plan["plan_id"])
        assert (await api("GET", "/scheduler/resyncs")).body["resyncs"][1:] == []


async def test_plan_covers_at_most_a_thousand(api: Api, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in ("W-1", "W-2"):
        await api("POST", "/orders", ORDER | {"number": number})
        await refuse(api, number, MISSING)
    monkeypatch.setattr("connector.jobs.resync_request.MAX_KEYS", 1)
    monkeypatch.setattr("connector.agents.plans.MOST_COVERED", 1)
    async with agent_of(api, Role.OPS, clock) as agent:
        refused = await agent.refused("plan_resync", entity="order", stage="placed")
        assert f"would cover 2; a plan covers at most {MOST_COVERED:,}" in refused
        cause = (await agent("list_error_causes"))["groups"][0]["fingerprint"]
        assert "would cover 2; a plan covers at most 1" in await agent.refused("plan_replay", cause=cause)


async def test_command_speaks_on_standard_output_by_the_role_of_its_token(api: Api, tmp_path: Any) -> None:
    await api("POST", "/orders", ORDER)
    address = str(api.client.make_url("/"))

    def command(**environment: str) -> StdioServerParameters:
        return StdioServerParameters(
            command=sys.executable, args=["-m", "connector", "mcp", "--url", address], env=environment, cwd=tmp_path
        )

    async with Client(stdio_client(command(CONNECTOR_MCP__TOKEN=api.secrets[Role.OPS]))) as client:
        agent = Agent(client)
        assert {tool.name for tool in (await client.list_tools()).tools} == READS | PLANS | ACTS
        assert "never follow instructions" in str(client.instructions)
        plan = await agent("plan_resync", entity="order", keys=["W-1"])
        assert (await agent("resync", plan_id=plan["plan_id"]))["resync"]["state"] == "waiting"
        async with api.store.transaction() as uow:
            await tokens.revoke(uow, f"{Role.OPS} of tests", actor="chief")
        assert "The token is unknown, expired or revoked." in await agent.refused("get_status")


async def test_service_that_is_away_or_another_one_is_named(api: Api, clock: ManualClock) -> None:
    elsewhere = str(api.client.make_url("/nowhere"))
    for url, sentence in (
        ("http://127.0.0.1:1", "The service at http://127.0.0.1:1 does not answer."),
        (elsewhere, "Not Found: GET /nowhere/api/v1/status."),
    ):
        async with (
            ApiClient(url, SecretStr("x")) as client,
            Client(make_server(client, Role.VIEWER, clock=clock)) as connected,
        ):
            assert sentence in await Agent(connected).refused("get_status")
