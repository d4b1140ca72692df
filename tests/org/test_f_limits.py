"""Chapter F: what counts as a call (F1), how limits are shown (F2), and what happens when they are used up (F1, F3,
F4).
"""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from connector.cli.localorg import our_metadata
from connector.localorg.org import Org, OrgOptions
from connector.localorg.server import LocalOrg
from connector.localorg.settings import OrgSettings
from tests.org.conftest import SHARED, Caller

pytestmark = SHARED
TOLD = [
    "DailyApiRequests", "DailyBulkApiBatches", "DailyBulkV2QueryJobs", "DailyBulkV2QueryFileStorageMB",
    "DailyDeliveredPlatformEvents", "HourlyPublishedPlatformEvents", "MonthlyPlatformEventsUsageEntitlement",
    "MonthlyPlatformEvents", "DailyStandardVolumePlatformEvents", "HourlyPublishedStandardVolumePlatformEvents",
    "DailyStreamingApiEvents", "StreamingApiConcurrentClients", "DurableStreamingApiConcurrentClients", "DataStorageMB",
    "FileStorageMB", "DailyAsyncApexExecutions", "ConcurrentAsyncGetReportInstances", "ConcurrentSyncReportRuns",
    "HourlyODataCallout", "SingleEmail", "MassEmail", "DailyWorkflowEmails", "PermissionSets",
]  # fmt: skip


async def test_limits_show_max_and_remaining(shared: Caller) -> None:
    """F2, L11."""
    _, body = await shared.call("GET", "limits")
    assert [name for name in TOLD if name not in body] == []
    for name, limit in body.items():
        assert isinstance(limit["Max"], int), name
        assert 0 <= limit["Remaining"] <= limit["Max"], name
    assert set(body["PermissionSets"]["CreateCustom"]) == {"Max", "Remaining"}


async def test_remaining_calls_match_the_limit_header(shared: Caller) -> None:
    """F2, L5."""
    answer = await shared.raw("GET", "limits")
    used, most = answer.headers["Sforce-Limit-Info"].removeprefix("api-usage=").split("/")
    assert answer.json["DailyApiRequests"] == {"Max": int(most), "Remaining": int(most) - int(used)}


@pytest.mark.parametrize(
    ("method", "path", "body", "calls"),
    [
        ("GET", "query?q=SELECT+Id+FROM+User", None, 1),
        ("POST", "composite/sobjects", {"records": [{"attributes": {"type": "Account"}, "Name": "F1"}] * 200}, 1),
        ("POST", "sobjects/Order_Action__e", {"Order_Number__c": "1", "Action__c": "hold"}, 1),
        ("GET", "sobjects/Nothing", None, 1),
        ("POST", "sobjects/Account", {}, 1),
        ("GET", "/services/data", None, 0),
    ],
)
async def test_every_call_counts_also_a_rejected_one(
    shared: Caller, method: str, path: str, body: Any, calls: int
) -> None:
    """F1: the list of versions needs no session and does not count."""
    used = shared.org.org.usage.calls
    await shared.call(method, path, body)
    assert shared.org.org.usage.calls == used + calls


async def test_call_beyond_the_daily_limit_is_403() -> None:
    """F1, B8: the limit header is still sent."""
    async with LocalOrg(OrgOptions(settings=OrgSettings(api_limit=3))) as org, aiohttp.ClientSession() as http:
        caller = Caller(org, http)
        for left in (2, 1, 0):
            assert (await caller.call("GET", "limits"))[1]["DailyApiRequests"]["Remaining"] == left
        answer = await caller.raw("GET", "limits")
        assert (answer.status, answer.json) == (
            403, [{"message": "TotalRequests Limit exceeded.", "errorCode": "REQUEST_LIMIT_EXCEEDED"}],
        )  # fmt: skip
        assert answer.headers["Sforce-Limit-Info"] == "api-usage=3/3"
        assert "Retry-After" not in answer.headers


def spent(org: Org) -> None:
    org.usage.published.add(250_000)


async def test_event_beyond_the_hourly_limit_is_rejected() -> None:
    """F4, G9: the row fails with LIMIT_EXCEEDED."""
    async with LocalOrg(OrgOptions(metadata_root=our_metadata())) as org, aiohttp.ClientSession() as http:
        caller = Caller(org, http)
        event = {"Order_Number__c": "1", "Action__c": "hold"}
        assert (await caller.call("POST", "sobjects/Order_Action__e", event))[0] == 201
        _, body = await caller.call("GET", "limits")
        hourly = body["HourlyPublishedPlatformEvents"]
        assert (hourly["Max"], hourly["Remaining"]) == (250_000, 249_999)
        spent(org.org)
        status, code, _ = await caller.refusal("POST", "sobjects/Order_Action__e", event)
        assert (status, code) == (400, "LIMIT_EXCEEDED")
        records = [{"attributes": {"type": "Order_Action__e"}, **event}]
        _, [row] = await caller.call("POST", "composite/sobjects", {"records": records})
        assert row["errors"][0]["statusCode"] == "LIMIT_EXCEEDED"
