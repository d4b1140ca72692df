"""Alerts over HTTP: what is open, what is over, page by page."""

from __future__ import annotations

from datetime import timedelta

from connector.model.alert import AlertRule, Condition, compare
from connector.model.role import Role
from connector.store import alerts
from tests.conftest import ManualClock
from tests.web.conftest import Api


async def hold(api: Api, *subjects: str) -> None:
    """Let the conflicts of these subjects hold, and no others."""
    conditions = [Condition(rule=AlertRule.JOB_FAILED, subject=name, text=f"{name} failed.") for name in subjects]
    async with api.store.transaction() as uow:
        changes = compare(await alerts.list_current(uow.connection), conditions, uow.now, timedelta(0))
        await alerts.apply(uow, changes, ["webhook"])


async def test_alerts_are_listed_with_what_became_of_their_messages(api: Api, clock: ManualClock) -> None:
    assert (await api("GET", "/alerts", role=Role.VIEWER)).body == {"alerts": [], "before": None}
    await hold(api, "prune", "push", "pull")
    async with api.store.transaction() as uow:
        due = await alerts.list_due(uow.connection, uow.now, 10)
        await alerts.record_sent(uow, due[0])
        await alerts.record_failure(uow, due[1], "The webhook cannot be reached.", due_at=None)
    clock.advance(60)
    await hold(api, "push", "pull")

    body = (await api("GET", "/alerts", role=Role.VIEWER)).body

    assert [item["subject"] for item in body["alerts"]] == ["pull", "push", "prune"]
    pull, push, prune = body["alerts"]
    assert (prune["text"], prune["began_at"][:16], prune["ended_at"][:16]) == (
        "prune failed.", "2026-03-01T12:00", "2026-03-01T12:01",
    )  # fmt: skip
    assert [(item["event"], item["state"]) for item in prune["messages"]] == [("began", "sent"), ("ended", "due")]
    assert [(item["state"], item["error"]) for item in push["messages"]] == [
        ("failed", "The webhook cannot be reached.")
    ]
    assert pull["ended_at"] is None
    for state, subjects in (("open", ["pull", "push"]), ("ended", ["prune"])):
        found = (await api("GET", f"/alerts?state={state}")).body["alerts"]
        assert [item["subject"] for item in found] == subjects
    first = (await api("GET", "/alerts?limit=2")).body
    second = (await api("GET", f"/alerts?limit=2&before={first['before']}")).body
    assert ([item["id"] for item in second["alerts"]], second["before"]) == ([prune["id"]], None)
    assert (await api("GET", "/alerts?state=odd")).body["field"] == "state"
