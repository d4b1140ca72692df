"""Chapter E: Bulk API 2.0, ingest (E1) and query (E2), by plain HTTP and by simple-salesforce."""

from __future__ import annotations

import asyncio
import csv
import io
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connector.cli.localorg import our_metadata
from connector.localorg.bulk.csv_format import BadContentError, CsvDialect, parse_header, row_to_body
from connector.localorg.org import OrgOptions
from connector.localorg.server import LocalOrg
from tests.org.conftest import BASE, Caller
from tests.org.test_a_sign_in import Redirect

ACCOUNTS = {"object": "Account", "operation": "insert", "contentType": "CSV", "lineEnding": "LF"}
UPSERT = ACCOUNTS | {"operation": "upsert", "externalIdFieldName": "External_Key__c"}


class Bulk:
    """The calls of a bulk job."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller

    async def send(self, method: str, path: str, data: bytes = b"", kind: str = "text/csv") -> tuple[int, str, Any]:
        url = self.caller.org.url + (path if path.startswith("/") else f"{BASE}/{path}")
        headers = {"Authorization": f"Bearer {self.caller.org.access_token}", "Content-Type": kind}
        async with self.caller.http.request(method, url, data=data, headers=headers) as answer:
            return answer.status, await answer.text(), answer.headers

    async def create(self, **options: str) -> dict[str, Any]:
        status, job = await self.caller.call("POST", "jobs/ingest", options)
        assert status == 200, job
        return dict(job)

    async def over(self, job_id: str, kind: str = "ingest") -> dict[str, Any]:
        for _ in range(400):
            _, job = await self.caller.call("GET", f"jobs/{kind}/{job_id}")
            if job["state"] in {"JobComplete", "Failed", "Aborted"}:
                return dict(job)
            await asyncio.sleep(0.01)
        raise AssertionError(job)

    async def run(self, content: str, **options: str) -> dict[str, Any]:
        job = await self.create(**options)
        status, text, _ = await self.send("PUT", f"/{job['contentUrl']}", content.encode())
        assert (status, text) == (201, "")
        status, _ = await self.caller.call("PATCH", f"jobs/ingest/{job['id']}", {"state": "UploadComplete"})
        assert status == 200
        return await self.over(job["id"])

    async def results(self, job: dict[str, Any], which: str, **dialect: Any) -> list[dict[str, str]]:
        status, text, headers = await self.send("GET", f"jobs/ingest/{job['id']}/{which}")
        assert status == 200, text
        assert headers["Content-Type"].startswith("text/csv")
        return list(csv.DictReader(io.StringIO(text, newline=""), **dialect))


@pytest.fixture
def bulk(caller: Caller) -> Bulk:
    return Bulk(caller)


async def test_ingest_job_runs_from_open_to_results(bulk: Bulk, caller: Caller) -> None:
    """E1."""
    job = await bulk.create(**UPSERT)
    assert job["contentUrl"] == f"services/data/v66.0/jobs/ingest/{job['id']}/batches"
    assert (job["state"], job["apiVersion"], job["id"][:3]) == ("Open", 66.0, "750")
    assert (job["externalIdFieldName"], job["columnDelimiter"]) == ("External_Key__c", "COMMA")
    await caller.create("Account", Name="old", External_Key__c="K-1")
    content = 'External_Key__c,Name,BillingCity\nK-1,new,\nK-2,"a ""b"",\nc",Leeds\n,nokey,\nK-3,,\n'
    await bulk.send("PUT", f"/{job['contentUrl']}", content.encode())
    await caller.call("PATCH", f"jobs/ingest/{job['id']}", {"state": "UploadComplete"})
    done = await bulk.over(job["id"])
    assert (done["state"], done["jobType"]) == ("JobComplete", "V2Ingest")
    assert (done["numberRecordsProcessed"], done["numberRecordsFailed"]) == (4, 2)
    good = await bulk.results(done, "successfulResults")
    assert [(row["sf__Created"], row["External_Key__c"], row["Name"]) for row in good] == [
        ("false", "K-1", "new"), ("true", "K-2", 'a "b",\nc'),
    ]  # fmt: skip
    assert all(len(row["sf__Id"]) == 18 for row in good)
    bad = await bulk.results(done, "failedResults")
    assert [(row["sf__Error"], row["Name"]) for row in bad] == [
        ("MISSING_ARGUMENT:External_Key__c not specified:--", "nokey"),
        ("REQUIRED_FIELD_MISSING:Required fields are missing: [Name]:Name --", ""),
    ]
    assert await bulk.results(done, "unprocessedrecords") == []
    assert (await caller.call("DELETE", f"jobs/ingest/{job['id']}"))[0] == 204
    assert (await caller.call("GET", f"jobs/ingest/{job['id']}"))[0] == 404


async def test_empty_cell_keeps_the_field_and_na_clears_it(bulk: Bulk, caller: Caller) -> None:
    """E1."""
    record = await caller.create("Account", Name="A", BillingCity="Leeds", Phone="1")
    await bulk.run(f"Id,BillingCity,Phone\n{record},,#N/A\n", object="Account", operation="update")
    [row] = await caller.query("SELECT BillingCity, Phone FROM Account")
    assert (row["BillingCity"], row["Phone"]) == ("Leeds", None)


async def test_bulk_rows_accept_external_ids_booleans_and_numbers(bulk: Bulk, caller: Caller) -> None:
    """E1."""
    await caller.create("Account", Name="A", External_Key__c="C-1")
    done = await bulk.run(
        "External_Key__c,Account.External_Key__c,EffectiveDate,Status,Exact_Total__c\n"
        "O-1,C-1,2026-01-05,Draft,1234.5678\nO-2,C-9,2026-01-05,Draft,1\n",
        object="Order", operation="insert",
    )  # fmt: skip
    assert (done["numberRecordsProcessed"], done["numberRecordsFailed"]) == (2, 1)
    [row] = await caller.query("SELECT Account.Name, Exact_Total__c FROM Order")
    assert (row["Account"]["Name"], row["Exact_Total__c"]) == ("A", 1234.5678)
    [bad] = await bulk.results(done, "failedResults")
    assert bad["sf__Error"].startswith("INVALID_FIELD:Foreign key external ID: ")
    await bulk.run("Name,IsActive\nx,1\ny,TRUE\nz,0\n", object="Product2", operation="insert")
    active = await caller.query("SELECT Name FROM Product2 WHERE IsActive = true ORDER BY Name")
    assert [item["Name"] for item in active] == ["x", "y"]


@pytest.mark.parametrize(("delimiter", "mark"), [("PIPE", "|"), ("TAB", "\t"), ("CARET", "^"), ("BACKQUOTE", "`")])
async def test_bulk_content_is_read_in_every_dialect(bulk: Bulk, caller: Caller, delimiter: str, mark: str) -> None:
    """E1: delimiters and line endings."""
    content = f"Name{mark}Description\r\na,b{mark}x\r\n"
    done = await bulk.run(content, object="Account", operation="insert", columnDelimiter=delimiter, lineEnding="CRLF")
    [row] = await bulk.results(done, "successfulResults", delimiter=mark)
    assert (row["Name"], row["Description"]) == ("a,b", "x")


async def test_delete_job_deletes_rows_by_id(bulk: Bulk, caller: Caller) -> None:
    """E1: a delete job has IDs only."""
    record = await caller.create("Account", Name="A")
    done = await bulk.run(f"Id\n{record}\n001000000000000AAA\n", object="Account", operation="delete")
    assert (done["numberRecordsProcessed"], done["numberRecordsFailed"]) == (2, 1)
    assert await caller.query("SELECT Id FROM Account") == []


FAILED = [
    ("Nom\nA\n", {}, "InvalidBatch : Field name not found : Nom"),
    ("Name,Name\nA,B\n", {}, "InvalidBatch : Duplicate field name : Name"),
    ("Name\r\nA\r\n", {}, "ClientInputError : LineEnding is invalid on user data. Current LineEnding setting is LF"),
    ("Name\nA\n", {"lineEnding": "CRLF"},
     "ClientInputError : LineEnding is invalid on user data. Current LineEnding setting is CRLF"),
    ("Name;Phone\nA;1\n", {}, "InvalidBatch : Field name not found : Name;Phone"),
    ("", {}, "InvalidBatch : The content has no header"),
    ("Name\nA\n", {"operation": "update"}, "InvalidBatch : Field name not found : Id"),
    ("Name\nA\n", {"operation": "delete"}, "InvalidBatch : The 'delete' batch must contain only ids"),
    ("Name\nA\n", {"operation": "upsert", "externalIdFieldName": "External_Key__c"},
     "InvalidBatch : Field name not found : External_Key__c"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "options", "message"), FAILED, ids=[item[2] for item in FAILED])
async def test_invalid_content_fails_the_job(bulk: Bulk, content: str, options: dict[str, str], message: str) -> None:
    """E1."""
    done = await bulk.run(content, **ACCOUNTS | options)
    assert (done["state"], done["errorMessage"], done["numberRecordsProcessed"]) == ("Failed", message, 0)


async def test_failed_job_keeps_its_written_rows(bulk: Bulk, caller: Caller) -> None:
    """E1."""
    rows = "".join(f"A{number}\n" for number in range(450))
    done = await bulk.run(f'Name\n{rows}"open\n', **ACCOUNTS)
    assert done["state"] == "Failed"
    assert done["errorMessage"].startswith("ClientInputError : Error parsing the CSV at line ")
    assert done["numberRecordsProcessed"] == 400
    assert len(await caller.query("SELECT Id FROM Account")) == 400
    result = await bulk.results(done, "unprocessedrecords")
    assert [row["Name"] for row in result] == [f"A{number}" for number in range(400, 450)]


async def test_aborted_job_keeps_its_written_rows(bulk: Bulk, caller: Caller) -> None:
    """E1."""
    job = await bulk.create(**ACCOUNTS)
    rows = "".join(f"A{number}\n" for number in range(20_000))
    await bulk.send("PUT", f"/{job['contentUrl']}", f"Name\n{rows}".encode())
    await caller.call("PATCH", f"jobs/ingest/{job['id']}", {"state": "UploadComplete"})
    for _ in range(1_000):
        if (await caller.call("GET", f"jobs/ingest/{job['id']}"))[1]["numberRecordsProcessed"] >= 400:
            break
    status, aborted = await caller.call("PATCH", f"jobs/ingest/{job['id']}", {"state": "Aborted"})
    assert (status, aborted["state"]) == (200, "Aborted")
    await asyncio.sleep(0.05)
    done = await bulk.over(job["id"])
    count = (await caller.query("SELECT COUNT(Id) n FROM Account"))[0]["n"]
    assert 400 <= count < 20_000
    assert done["numberRecordsProcessed"] == count
    assert len(await bulk.results(done, "unprocessedrecords")) == 20_000 - count


REFUSED: list[tuple[str, str, Any, tuple[int, str]]] = [
    ("POST", "jobs/ingest", ACCOUNTS | {"object": "Nothing__c"}, (400, "INVALIDENTITY")),
    ("POST", "jobs/ingest", ACCOUNTS | {"operation": "merge"}, (400, "INVALIDJOB")),
    ("POST", "jobs/ingest", ACCOUNTS | {"contentType": "XML"}, (400, "INVALIDJOB")),
    ("POST", "jobs/ingest", ACCOUNTS | {"operation": "hardDelete"}, (400, "FEATURENOTENABLED")),
    ("POST", "jobs/ingest", UPSERT | {"externalIdFieldName": "Phone"}, (400, "INVALIDJOB")),
    ("POST", "jobs/ingest", [], (400, "JSON_PARSER_ERROR")),
    ("GET", "jobs/ingest/750000000000000AAA", None, (404, "NOT_FOUND")),
    ("GET", "jobs/nothing", None, (404, "NOT_FOUND")),
    ("DELETE", "jobs/ingest", None, (405, "METHOD_NOT_ALLOWED")),
]


@pytest.mark.parametrize(("method", "path", "given", "refusal"), REFUSED)
async def test_invalid_job_is_rejected(
    caller: Caller, method: str, path: str, given: Any, refusal: tuple[int, str]
) -> None:
    """E1: invalid options and calls."""
    assert (await caller.refusal(method, path, given))[:2] == refusal


async def test_invalid_state_transition_is_rejected(bulk: Bulk, caller: Caller) -> None:
    """E1."""
    job = await bulk.create(**ACCOUNTS)
    path = f"jobs/ingest/{job['id']}"
    for state in ("UploadComplete", "JobComplete", None):
        assert (await caller.refusal("PATCH", path, {"state": state}))[1] == "INVALIDJOBSTATE"
    assert (await caller.refusal("GET", f"{path}/successfulResults"))[1] == "INVALIDJOBSTATE"
    assert (await caller.refusal("DELETE", path))[1] == "INVALIDJOBSTATE"
    await bulk.send("PUT", f"/{job['contentUrl']}", b"Name\nA\n")
    status, text, _ = await bulk.send("PUT", f"/{job['contentUrl']}", b"Name\nB\n")
    assert (status, "INVALIDJOBSTATE" in text) == (400, True)
    status, text, _ = await bulk.send("GET", f"/services/data/v65.0/{path}")
    assert (status, "VERSIONMISMATCH" in text) == (409, True)
    await caller.call("PATCH", path, {"state": "Aborted"})
    assert (await caller.refusal("PATCH", path, {"state": "Aborted"}))[1] == "INVALIDJOBSTATE"


async def test_multipart_request_creates_and_starts_a_job(bulk: Bulk, caller: Caller) -> None:
    """E1."""
    boundary = (
        b'--X\r\nContent-Disposition: form-data; name="job"\r\nContent-Type: application/json\r\n\r\n'
        b'{"object":"Account","operation":"insert","contentType":"CSV"}\r\n'
        b'--X\r\nContent-Disposition: form-data; name="content"; filename="c.csv"\r\nContent-Type: text/csv\r\n\r\n'
        b"Name\nGr\xc3\xbcn\n\r\n--X--\r\n"
    )
    status, text, _ = await bulk.send("POST", "jobs/ingest", boundary, "multipart/form-data; boundary=X")
    assert (status, '"state":"UploadComplete"' in text) == (200, True)
    _, listed = await caller.call("GET", "jobs/ingest")
    assert (await bulk.over(listed["records"][0]["id"]))["numberRecordsProcessed"] == 1
    assert [row["Name"] for row in await caller.query("SELECT Name FROM Account")] == ["Grün"]


async def test_restarted_org_continues_its_jobs(tmp_path: Path) -> None:
    """Ours: jobs continue after a restart."""
    data = tmp_path / "org.db"
    rows = "".join(f"A{number}\n" for number in range(5_000))
    async with LocalOrg(OrgOptions(data=data, metadata_root=our_metadata())) as org, aiohttp.ClientSession() as http:
        bulk = Bulk(Caller(org, http))
        job = await bulk.create(**ACCOUNTS)
        await bulk.send("PUT", f"/{job['contentUrl']}", f"Name\n{rows}".encode())
        await bulk.caller.call("PATCH", f"jobs/ingest/{job['id']}", {"state": "UploadComplete"})
        for _ in range(5):
            await bulk.caller.call("GET", "limits")
    async with LocalOrg(OrgOptions(data=data, metadata_root=our_metadata())) as org, aiohttp.ClientSession() as http:
        bulk = Bulk(Caller(org, http))
        done = await bulk.over(job["id"])
        assert (done["state"], done["numberRecordsProcessed"]) == ("JobComplete", 5_000)
        assert (await bulk.caller.query("SELECT COUNT(Id) n FROM Account"))[0]["n"] == 5_000


async def test_jobs_count_against_the_daily_batches(bulk: Bulk, caller: Caller) -> None:
    """E1, F2."""
    await bulk.run("Name\nA\n", **ACCOUNTS)
    _, limits = await caller.call("GET", "limits")
    assert limits["DailyBulkApiBatches"]["Remaining"] == limits["DailyBulkApiBatches"]["Max"] - 1


# -- queries


async def queried(bulk: Bulk, soql: str, operation: str = "query") -> dict[str, Any]:
    status, job = await bulk.caller.call("POST", "jobs/query", {"operation": operation, "query": soql})
    assert status == 200, job
    assert job["state"] == "UploadComplete"
    return await bulk.over(job["id"], "query")


async def test_query_job_returns_its_rows_in_pages(bulk: Bulk, caller: Caller) -> None:
    """E2."""
    rows = "".join(f"A{number:04}\n" for number in range(2_500))
    await bulk.run(f"Name\n{rows}", **ACCOUNTS)
    done = await queried(bulk, "SELECT id, name, Parent.Name FROM account ORDER BY Name")
    assert (done["state"], done["numberRecordsProcessed"], done["jobType"]) == ("JobComplete", 2_500, "V2Query")
    names, locator, pages = [], "", 0
    while locator != "null":
        path = f"jobs/query/{done['id']}/results?maxRecords=1000" + (f"&locator={locator}" if locator else "")
        status, text, headers = await bulk.send("GET", path)
        assert status == 200
        page = list(csv.DictReader(io.StringIO(text)))
        assert list(page[0]) == ["Id", "Name", "Parent.Name"]
        assert int(headers["Sforce-NumberOfRecords"]) == len(page)
        names += [row["Name"] for row in page]
        locator, pages = headers["Sforce-Locator"], pages + 1
    assert (pages, names) == (3, [f"A{number:04}" for number in range(2_500)])


async def test_query_all_job_returns_deleted_rows(bulk: Bulk, caller: Caller) -> None:
    """E2."""
    record = await caller.create("Account", Name="gone")
    await caller.call("DELETE", f"sobjects/Account/{record}")
    soql = "SELECT Name, IsDeleted FROM Account"
    assert (await queried(bulk, soql))["numberRecordsProcessed"] == 0
    done = await queried(bulk, soql, "queryAll")
    _, text, _ = await bulk.send("GET", f"jobs/query/{done['id']}/results")
    assert text == '"Name","IsDeleted"\n"gone","true"\n'


@pytest.mark.parametrize(
    ("soql", "words"),
    [
        ("SELECT COUNT(Id) FROM Account", "Aggregate"),
        ("SELECT Name FROM Account GROUP BY Name", "GROUP BY"),
        ("SELECT Name FROM Account LIMIT 1 OFFSET 1", "OFFSET"),
        ("SELECT Name, (SELECT Id FROM Orders) FROM Account", "Child queries"),
        ("SELECT BillingAddress FROM Account", "compound"),
        ("SELECT FROM Account", "unexpected token"),
    ],
)
async def test_unsupported_query_job_is_rejected(caller: Caller, soql: str, words: str) -> None:
    """E2."""
    status, code, message = await caller.refusal("POST", "jobs/query", {"operation": "query", "query": soql})
    assert (status, code) == (400, "API_ERROR")
    assert words in message


async def test_query_that_cannot_run_fails_the_job(bulk: Bulk) -> None:
    """E2."""
    done = await queried(bulk, "SELECT Nothing__c FROM Account")
    assert done["state"] == "Failed"
    assert done["errorMessage"].startswith("INVALID_FIELD: ")


# -- clients nobody here wrote


async def test_simple_salesforce_runs_bulk2_jobs(caller: Caller) -> None:
    """E1, E2, L14."""
    from simple_salesforce import Salesforce

    def use() -> None:
        with requests.Session() as session:
            session.mount("https://", Redirect(caller.org.url))
            org = Salesforce(session_id=caller.org.access_token, instance="local.salesforce.com", session=session)
            records = [{"External_Key__c": f"K-{number}", "Name": f"N {number}"} for number in range(25)]
            [result] = org.bulk2.Account.upsert(records=records, external_id_field="External_Key__c", wait=0)
            assert (result["numberRecordsProcessed"], result["numberRecordsFailed"]) == (25, 0)
            assert org.bulk2.Account.get_successful_records(result["job_id"]).count("\n") == 26
            [failed] = org.bulk2.Account.insert(records=[{"Name": "", "Phone": "1"}], wait=0)
            assert failed["numberRecordsFailed"] == 1
            assert "REQUIRED_FIELD_MISSING" in org.bulk2.Account.get_failed_records(failed["job_id"])
            pages = list(org.bulk2.Account.query("SELECT External_Key__c, Name FROM Account", max_records=10, wait=0))
            assert sum(page.count("\n") for page in pages) == 25 + len(pages)

    await asyncio.to_thread(use)


# -- whatever comes


@given(st.text(max_size=200) | st.text(alphabet='Name,";\n\r#/A1', max_size=80))
@settings(max_examples=400)
def test_any_content_gives_rows_or_an_error(content: str) -> None:
    """E1: generated content."""
    try:
        list(CsvDialect().rows(content))
    except BadContentError as problem:
        assert " : " in str(problem)  # noqa: PT017 - nothing else may come out


@given(st.lists(st.lists(st.text(max_size=20), min_size=2, max_size=2), max_size=6))
@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
def test_written_csv_line_is_read_back(rows: list[list[str]]) -> None:
    """E1: quoting."""
    dialect = CsvDialect("PIPE", "CRLF")
    text = "".join(dialect.line(row) for row in [["Name", "Phone"], *rows])
    assert list(dialect.rows(text)) == [["Name", "Phone"], *rows]


def test_polymorphic_reference_names_its_type(caller: Caller) -> None:
    """E1."""
    plan = caller.org.org.dml.plan("Order")
    [column] = parse_header(["User:Owner.Username"], plan)
    assert row_to_body([column], ["a@b.c"]) == {"Owner": {"attributes": {"type": "User"}, "Username": "a@b.c"}}
