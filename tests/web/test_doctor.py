"""The doctor over HTTP: for ops only, because it calls the org; those who ask at the same time share a report."""

from __future__ import annotations

import asyncio

from connector.model.role import Role
from tests.web.conftest import Api


async def test_report_for_ops(api: Api) -> None:
    first, second = await asyncio.gather(api("GET", "/doctor"), api("GET", "/doctor"))
    assert (first.status, first.body) == (200, second.body)
    checks = {check["name"]: check for check in first.body["checks"]}
    assert (first.body["healthy"], checks["queue"]["status"]) == (True, "pass")
    assert checks["login"] == {
        "name": "login", "status": "warn", "text": "No org is configured, so nothing is sent.",
        "fix": checks["login"]["fix"], "details": [],
    }  # fmt: skip
    assert (await api("GET", "/doctor", role=Role.VIEWER)).status == 403
