"""Fault injection (F1, F3, A4) in SOAP and Bulk API 1.0, in the shapes of these APIs."""

from __future__ import annotations

import aiohttp
import pytest

from tests.org.conftest import Caller

SOAP = (
    '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/" xmlns:u="urn:partner.soap.sforce.com">'
    "<e:Header><u:SessionHeader><u:sessionId>{}</u:sessionId></u:SessionHeader></e:Header><e:Body>{}</e:Body>"
    "</e:Envelope>"
)
CREATE = (
    "<u:create><u:sObjects><s:type xmlns:s='urn:sobject.partner.soap.sforce.com'>Account</s:type>"
    "<Name>Acme</Name></u:sObjects></u:create>"
)
JOB = {"operation": "insert", "object": "Account", "contentType": "CSV"}


async def soap(caller: Caller) -> tuple[int, str]:
    url, body = f"{caller.org.url}/services/Soap/u/60.0", SOAP.format(caller.org.access_token, CREATE)
    headers = {"Content-Type": "text/xml", "SOAPAction": '""'}
    async with caller.http.post(url, data=body, headers=headers) as answer:
        return answer.status, await answer.text()


async def classic(caller: Caller) -> tuple[int, str]:
    headers = {"X-SFDC-Session": caller.org.access_token}
    async with caller.http.post(f"{caller.org.url}/services/async/60.0/job", json=JOB, headers=headers) as answer:
        return answer.status, await answer.text()


async def trouble(caller: Caller, **faults: int) -> None:
    url, headers = f"{caller.org.url}/_org/faults", {"Authorization": f"Bearer {caller.org.access_token}"}
    async with caller.http.post(url, json=faults, headers=headers) as answer:
        assert answer.status == 200, await answer.text()


@pytest.mark.parametrize(
    ("fault", "in_soap", "in_classic"),
    [
        ({"expired_session": 1}, (500, "sf:INVALID_SESSION_ID"), (400, "InvalidSessionId")),
        ({"limit": 1}, (500, "sf:REQUEST_LIMIT_EXCEEDED"), (400, "ExceededQuota")),
        ({"concurrent_limit": 1}, (500, "ConcurrentRequests"), (400, "ConcurrentRequests")),
        ({"status": 503, "count": 1}, (503, "<html>"), (503, "<html>")),
        ({"status": 429, "count": 1}, (429, "<html>"), (429, "<html>")),
        ({"status": 599, "count": 1}, (599, "<html>"), (599, "<html>")),
    ],
)
async def test_injected_refusal_has_the_shape_of_the_called_api(
    caller: Caller, fault: dict[str, int], in_soap: tuple[int, str], in_classic: tuple[int, str]
) -> None:
    for face, (status, text) in ((soap, in_soap), (classic, in_classic)):
        await trouble(caller, **fault)
        result = await face(caller)
        assert (result[0], text in result[1]) == (status, True), result
        assert (await face(caller))[0] < 300
    assert len(await caller.query("SELECT Id FROM Account")) == 1


@pytest.mark.parametrize(("fault", "written"), [("reset", 0), ("lost_response", 1), ("truncated", 1)])
@pytest.mark.parametrize("face", [soap, classic])
async def test_injected_fault_ends_the_connection_early(caller: Caller, face: object, fault: str, written: int) -> None:
    await trouble(caller, **{fault: 1})
    with pytest.raises(aiohttp.ClientError):
        await face(caller)  # type: ignore[operator]
    assert len(await caller.query("SELECT Id FROM Account")) == (written if face is soap else 0)
    [call] = [item for item in caller.org.org.usage.log if item.fault == fault]
    assert (call.method, call.status) == ("POST", {"truncated": 200 if face is soap else 201}.get(fault, 0))


async def test_soap_and_bulk_calls_count_and_are_logged(caller: Caller) -> None:
    """F1: every REST, SOAP and Bulk call counts."""
    before = caller.org.org.usage.used
    await soap(caller)
    await classic(caller)
    assert caller.org.org.usage.used == before + 2
    assert [item.path.split("/")[2] for item in caller.org.org.usage.log] == ["Soap", "async"]
