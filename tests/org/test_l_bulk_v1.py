"""Chapter L: Bulk API 1.0 (L6, L19), by simple-salesforce and by plain XML."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree

import pytest
import requests

from connector.localorg.http.bulk_v1 import NAMESPACE
from tests.org.conftest import Caller
from tests.org.test_a_sign_in import Redirect

TAG = f"{{{NAMESPACE}}}"


async def call(caller: Caller, method: str, path: str, body: str | None = None, **more: str) -> tuple[int, str]:
    headers = {"X-SFDC-Session": caller.org.access_token, "Content-Type": "application/xml; charset=UTF-8", **more}
    url = f"{caller.org.url}/services/async/66.0/{path}"
    async with caller.http.request(method, url, data=body, headers=headers) as answer:
        return answer.status, await answer.text()


def xml(text: str, name: str) -> str | None:
    return ElementTree.fromstring(text).findtext(f"{TAG}{name}")  # noqa: S314 - the local org's own


async def job(caller: Caller, **fields: str) -> str:
    body = "".join(f"<{name}>{value}</{name}>" for name, value in fields.items())
    status, text = await call(caller, "POST", "job", f'<jobInfo xmlns="{NAMESPACE}">{body}</jobInfo>')
    assert (status, xml(text, "state")) == (201, "Open")
    return str(xml(text, "id"))


async def done(caller: Caller, path: str) -> str:
    """Return the state of a finished batch."""
    async with asyncio.timeout(5):
        while (state := xml((await call(caller, "GET", path))[1], "state")) in {"Queued", "InProgress"}:
            pass
    return str(state)


async def test_simple_salesforce_runs_bulk_v1_jobs(caller: Caller, hurried: None) -> None:
    """L6, L19."""
    from simple_salesforce import Salesforce

    def use() -> None:
        with requests.Session() as session:
            session.mount("https://", Redirect(caller.org.url))
            org = Salesforce(session_id=caller.org.access_token, instance="local.salesforce.com", session=session)
            records = [{"External_Key__c": f"K-{number}", "Name": f"N {number}"} for number in range(250)]
            result = org.bulk.Account.upsert([*records, {"External_Key__c": "K-x"}], "External_Key__c", batch_size=200)
            assert [item["success"] for item in result] == [True] * 250 + [False]
            assert result[-1]["errors"][0]["statusCode"] == "REQUIRED_FIELD_MISSING"
            rows = org.bulk.Account.query("SELECT Name, External_Key__c FROM Account ORDER BY External_Key__c")
            assert len(rows) == 250
            assert rows[0]["Name"] == "N 0"
            gone = org.bulk.Account.delete([{"Id": result[0]["id"]}])
            assert gone[0]["success"]

    await asyncio.to_thread(use)
    assert (await caller.query("SELECT COUNT(Id) n FROM Account"))[0]["n"] == 249


async def test_jobs_and_batches_are_processed_in_xml(caller: Caller) -> None:
    """L6, L19."""
    parent = await caller.create("Account", Name="P", External_Key__c="P-1")
    job_id = await job(caller, operation="insert", object="Contact", contentType="XML")
    rows = (
        "<sObject><LastName>L</LastName><Account><sObject><External_Key__c>P-1</External_Key__c></sObject></Account>"
        '</sObject><sObject><LastName xsi:nil="true"/></sObject>'
    )
    content = f'<sObjects xmlns="{NAMESPACE}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">{rows}</sObjects>'
    status, text = await call(caller, "POST", f"job/{job_id}/batch", content)
    batch_id = xml(text, "id")
    assert (status, xml(text, "state")) == (201, "Queued")
    assert await done(caller, f"job/{job_id}/batch/{batch_id}") == "Completed"
    _, text = await call(caller, "GET", f"job/{job_id}/batch/{batch_id}/result")
    results = ElementTree.fromstring(text).findall(f"{TAG}result")  # noqa: S314
    assert [item.findtext(f"{TAG}success") for item in results] == ["true", "false"]
    assert results[1].findtext(f"{TAG}errors/{TAG}statusCode") == "REQUIRED_FIELD_MISSING"
    assert (await caller.query("SELECT AccountId FROM Contact"))[0]["AccountId"] == parent
    closed = f'<jobInfo xmlns="{NAMESPACE}"><state>Closed</state></jobInfo>'
    _, text = await call(caller, "POST", f"job/{job_id}", closed)
    assert (xml(text, "state"), xml(text, "numberBatchesCompleted"), xml(text, "numberRecordsFailed")) == (
        "Closed", "1", "1",
    )  # fmt: skip
    status, text = await call(caller, "POST", f"job/{job_id}/batch", content)
    assert (status, xml(text, "exceptionCode")) == (400, "InvalidJobState")


async def test_query_batch_returns_csv(caller: Caller) -> None:
    """L6, L19."""
    await caller.create("Account", Name='Say "hi"', Phone="1")
    job_id = await job(caller, operation="query", object="Account", contentType="CSV")
    _, text = await call(caller, "POST", f"job/{job_id}/batch", "SELECT name, Phone FROM Account", **{"Content-Type": "text/csv"})  # noqa: E501  # fmt: skip
    batch = f"job/{job_id}/batch/{xml(text, 'id')}"
    assert await done(caller, batch) == "Completed"
    _, text = await call(caller, "GET", f"{batch}/result")
    _, text = await call(caller, "GET", f"{batch}/result/{xml(text, 'result')}")
    assert text == '"Name","Phone"\n"Say ""hi""","1"\n'


async def test_query_batch_in_json_has_dates_in_milliseconds(caller: Caller) -> None:
    """L6, L19."""
    order, _ = await caller.active_order()
    [row] = await caller.query("SELECT EffectiveDate, EndDate, CreatedDate, Account.CreatedDate FROM Order")
    job_id = await job(caller, operation="query", object="Order", contentType="JSON")
    text = "SELECT EffectiveDate, EndDate, CreatedDate, Account.CreatedDate FROM Order"
    _, content = await call(caller, "POST", f"job/{job_id}/batch", text)
    batch = f"job/{job_id}/batch/{json.loads(content)['id']}"
    for _ in range(200):
        if json.loads((await call(caller, "GET", batch))[1])["state"] == "Completed":
            break
        await asyncio.sleep(0.01)
    [result] = json.loads((await call(caller, "GET", f"{batch}/result"))[1])
    [record] = json.loads((await call(caller, "GET", f"{batch}/result/{result}"))[1])

    def milliseconds(value: str) -> int:
        moment = datetime.fromisoformat(value)
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)

    assert record["attributes"]["url"].endswith(order)
    assert record["EffectiveDate"] == milliseconds(row["EffectiveDate"])
    assert record["CreatedDate"] == milliseconds(row["CreatedDate"])
    assert record["Account"]["CreatedDate"] == milliseconds(row["Account"]["CreatedDate"])
    assert record["EndDate"] is None


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"operation": "explode", "object": "Account"}, "explode"),
        ({"operation": "insert", "object": "Nothing"}, "Nothing"),
        ({"operation": "upsert", "object": "Account"}, "External ID was blank"),
        ({"operation": "insert", "object": "Account", "contentType": "PDF"}, "PDF"),
    ],
)
async def test_invalid_job_is_rejected(caller: Caller, fields: dict[str, Any], problem: str) -> None:
    """L6, L19."""
    body = "".join(f"<{name}>{value}</{name}>" for name, value in fields.items())
    status, text = await call(caller, "POST", "job", f'<jobInfo xmlns="{NAMESPACE}">{body}</jobInfo>')
    assert (status, xml(text, "exceptionCode")) == (400, "InvalidJob")
    assert problem in str(xml(text, "exceptionMessage"))


async def test_invalid_batch_is_rejected(caller: Caller) -> None:
    """L6, L19."""
    for kind, content in (("JSON", "{"), ("CSV", "Nope\n1\n"), ("XML", "<x")):
        job_id = await job(caller, operation="insert", object="Account", contentType=kind)
        status, text = await call(caller, "POST", f"job/{job_id}/batch", content)
        assert status == 201
        batch_id = next(iter(caller.org.org.bulk_v1.find(job_id).batches))
        jobs = caller.org.org.bulk_v1
        jobs.run_batch(jobs.find(job_id), jobs.find(job_id).batches[batch_id])
        assert jobs.find(job_id).batches[batch_id].state == "Failed"
        status, text = await call(caller, "GET", f"job/{job_id}/batch/{batch_id}/result")
        assert status == 400
    status, text = await call(caller, "GET", "job/750Lo0000000009AAA")
    assert (status, xml(text, "exceptionCode")) == (400, "InvalidJob")
    status, text = await call(caller, "GET", "job/x", **{"X-SFDC-Session": "no"})
    assert (status, xml(text, "exceptionCode")) == (400, "InvalidSessionId")
