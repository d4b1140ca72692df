"""What reps asked of an order in the org is shown with the order, over HTTP and by the command."""

from __future__ import annotations

from typing import Any

import pytest

from connector.api.serializers import serialize_action
from connector.cli.show import _print_actions
from connector.model.action_request import ActionRequest, ActionState
from connector.model.role import Role
from connector.store import order_actions
from tests.web.conftest import ORDER, Api


async def test_order_shows_what_was_asked_of_it_and_the_answers(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    assert (await api("POST", "/orders", ORDER)).status == 201
    path = "/orders/W-1/actions"
    assert (await api("GET", path, role=Role.VIEWER)).body == {"number": "W-1", "actions": []}
    requests: tuple[dict[str, Any], ...] = (
        {
            "event_id": "e2",
            "order": "W-1",
            "action": "hold",
            "reason": "address",
            "requested_by": "Rita Rep",
            "request_id": "a1",
        },
        {"event_id": "e1", "order": "W-1", "action": "cancel", "user_id": "005A"},
        {"event_id": "e3", "order": "W-2", "action": "cancel"},
    )
    for fields, state in zip(requests, (ActionState.ACCEPTED, ActionState.REFUSED, ActionState.PARKED), strict=True):
        async with api.store.transaction() as uow:
            await order_actions.put(uow, "00D", ActionRequest(**fields), state, f"answer to {fields['event_id']}")

    actions = (await api("GET", path, role=Role.VIEWER)).body["actions"]

    assert [(item["action"], item["reason"], item["who"], item["state"], item["message"]) for item in actions] == [
        ("cancel", None, "005A", "refused", "answer to e1"),
        ("hold", "address", "Rita Rep", "accepted", "answer to e2"),
    ]
    assert [item["request_id"] for item in actions] == [None, "a1"]
    parked = (await api("GET", "/actions?state=parked", role=Role.VIEWER)).body["actions"]
    assert [(item["order"], item["event_id"]) for item in parked] == [("W-2", "e3")]
    assert len((await api("GET", "/actions", role=Role.VIEWER)).body["actions"]) == 3
    assert (await api("GET", "/actions?state=lost", role=Role.VIEWER)).body["field"] == "state"
    assert (await api("GET", "/orders/W-9/actions", role=Role.VIEWER)).status == 404
    async with api.store.reader() as connection:
        stored = await order_actions.list_latest(connection, order="W-1")
    capsys.readouterr()  # the log of the requests
    _print_actions([serialize_action(item) for item in stored])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "Asked for in the org, newest first:"
    assert lines[2].endswith("UTC  cancel by 005A: refused")
    assert lines[4].endswith("UTC  hold (address) by Rita Rep: accepted")
    assert lines[5] == "    answer to e2"
