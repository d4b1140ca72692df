"""Chapter E: shapes of jobs and results (E1, E2), limits of content and calls."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from connector.localorg.bulk import csv_format
from tests.org.conftest import BASE, SHARED, Caller
from tests.org.test_e_bulk import ACCOUNTS, Bulk, queried

pytestmark = SHARED
CONTACTS = {"object": "Contact", "operation": "insert"}


@pytest.fixture
def bulk(shared: Caller) -> Bulk:
    return Bulk(shared)


async def test_job_response_has_the_documented_fields(bulk: Bulk) -> None:
    """E1: before and after the job has finished."""
    job = await bulk.create(**ACCOUNTS)
    assert set(job) == {
        "id", "operation", "object", "createdById", "createdDate", "systemModstamp", "state", "concurrencyMode",
        "contentType", "apiVersion", "contentUrl", "lineEnding", "columnDelimiter",
    }  # fmt: skip
    done = await bulk.run("Name\nE1\n", **ACCOUNTS)
    assert set(done) - set(job) == {
        "jobType", "numberRecordsProcessed", "numberRecordsFailed", "retries", "totalProcessingTime",
        "apiActiveProcessingTime", "apexProcessingTime", "isPkChunkingSupported",
    }  # fmt: skip
    _, listed = await bulk.caller.call("GET", "jobs/ingest?isPkChunkingEnabled=false&jobType=V2Ingest")
    assert (listed["done"], listed["nextRecordsUrl"], listed["records"][0]["id"]) == (True, None, done["id"])


async def test_jobs_are_listed_newest_first_with_a_locator(bulk: Bulk) -> None:
    """E1: the newest first, the rest behind a locator."""
    org = bulk.caller.org.org
    for _ in range(1_001):
        org.jobs.create(kind="query", version="66.0", user_id="", operation="query", sobject="User", query="x")
    _, first = await bulk.caller.call("GET", "jobs/query")
    assert (first["done"], len(first["records"])) == (False, 1_000)
    _, rest = await bulk.caller.call("GET", first["nextRecordsUrl"])
    assert (rest["done"], rest["nextRecordsUrl"], len(rest["records"]) >= 1) == (True, None, True)
    seen = [job["id"] for job in first["records"] + rest["records"]]
    assert len(set(seen)) == len(seen)
    assert (await bulk.caller.call("GET", "jobs/query?queryLocator=x"))[0] == 400


async def test_results_keep_the_columns_of_the_content(bulk: Bulk) -> None:
    """E1: they follow the org's own columns, also if no row succeeded."""
    done = await bulk.run("name,nUMBEROFemployees\nE1 cols,5\n,6\n", **ACCOUNTS)
    _, good, _ = await bulk.send("GET", f"jobs/ingest/{done['id']}/successfulResults/")
    assert good.splitlines()[0] == '"sf__Id","sf__Created","name","nUMBEROFemployees"'
    assert good.splitlines()[1].endswith('"true","E1 cols","5"')
    _, bad, _ = await bulk.send("GET", f"jobs/ingest/{done['id']}/failedResults/")
    assert bad.splitlines() == [
        '"sf__Id","sf__Error","name","nUMBEROFemployees"',
        '"","REQUIRED_FIELD_MISSING:Required fields are missing: [Name]:Name --","","6"',
    ]
    _, rest, _ = await bulk.send("GET", f"jobs/ingest/{done['id']}/unprocessedRecords/")
    assert rest.splitlines() == ['"name","nUMBEROFemployees"']


async def test_result_addresses_ignore_case(bulk: Bulk) -> None:
    """L2."""
    done = await bulk.run("Name\nL2\n", **ACCOUNTS)
    for name in ("UnprocessedRecords", "unprocessedrecords", "SUCCESSFULRESULTS", "failedresults"):
        assert (await bulk.send("GET", f"jobs/ingest/{done['id']}/{name}"))[0] == 200


async def test_key_of_several_records_fails_the_row(bulk: Bulk) -> None:
    """E1: the job continues."""
    for name in ("a", "b"):
        await bulk.caller.create("Contact", LastName=name, Email="e1@example.com")
    options = {"object": "Contact", "operation": "upsert", "externalIdFieldName": "Email"}
    done = await bulk.run("Email,LastName\ne1@example.com,x\ne1-new@example.com,y\n", **options)
    assert (done["state"], done["numberRecordsFailed"]) == ("JobComplete", 1)
    [bad] = await bulk.results(done, "failedResults")
    assert bad["sf__Error"].startswith("DUPLICATE_EXTERNAL_ID:")


async def test_bulk_values_are_taken_as_they_are(bulk: Bulk) -> None:
    """E1: ISO 8601 dates, quoted line breaks; a row with a wrong number of cells fails alone."""
    account = await bulk.caller.create("Account", Name="E1 values")
    content = (
        "AccountId,EffectiveDate,Status,Description,IsReductionOrder\n"
        f'{account},2026-01-05,Draft,"one\n""two"", three",false\n'
        f"{account},05.01.2026,Draft,x,0\n{account},2026-01-05,Draft\n"
    )
    done = await bulk.run(content, object="Order", operation="insert")
    assert (done["numberRecordsProcessed"], done["numberRecordsFailed"]) == (3, 2)
    [row] = await bulk.caller.query(f"SELECT Description FROM Order WHERE AccountId = '{account}'")
    assert row["Description"] == 'one\n"two", three'
    errors = [item["sf__Error"] for item in await bulk.results(done, "failedResults")]
    assert [error.partition(":")[0] for error in errors] == ["JSON_PARSER_ERROR", "INVALID_CSV_LINE"]


async def test_content_size_is_limited(bulk: Bulk) -> None:
    """E1: 32,000 characters a field and in the header, 5,000 fields and 400,000 characters a row."""
    dialect = csv_format.CsvDialect()
    assert list(dialect.rows(f"a\n{'x' * 32_000}\n"))
    for content in (f"a\n{'x' * 32_001}\n", "a" * 32_001 + "\n", ",".join(["a"] * 5_001) + "\n",
                    "a\n" + ",".join(["x" * 30_000] * 14) + "\n"):  # fmt: skip
        with pytest.raises(csv_format.BadContentError, match=r"ClientInputError|too long"):
            list(dialect.rows(content))
    done = await bulk.run(f"Name,Description\nE1 long,{'x' * 32_001}\n", **ACCOUNTS)
    assert (done["state"], done["numberRecordsProcessed"]) == ("Failed", 0)


async def test_second_upload_or_wrong_type_is_rejected(bulk: Bulk) -> None:
    """E1."""
    job = await bulk.create(**ACCOUNTS)
    path = f"/{job['contentUrl']}"
    assert (await bulk.send("PUT", path, b"Name\nA\n", "application/json"))[0] == 415
    assert (await bulk.send("POST", path, b"Name\nA\n"))[0] == 405
    assert (await bulk.send("PUT", path, b"\xff\xfe"))[0] == 400
    assert (await bulk.send("PUT", path, b"Name\nA\n"))[0] == 201
    assert (await bulk.send("PUT", path, b"Name\nA\n"))[0] == 400


@pytest.mark.parametrize(
    "options",
    [{"columnDelimiter": "HASH"}, {"lineEnding": "CR"}, {"columnDelimiter": 1}, {"operation": []}, {"object": 7},
     {"externalIdFieldName": "Nope", "operation": "upsert"}, {"externalIdFieldName": {}, "operation": "upsert"}],
)  # fmt: skip
async def test_invalid_job_option_is_rejected(bulk: Bulk, options: dict[str, Any]) -> None:
    """E1."""
    status, [body] = await bulk.caller.call("POST", "jobs/ingest", ACCOUNTS | options)
    assert (status, body["errorCode"] in {"INVALIDJOB", "INVALIDENTITY"}) == (400, True)


async def test_job_requested_with_another_version_is_409(bulk: Bulk) -> None:
    """E1, E2: 409 by another."""
    job = await bulk.create(**ACCOUNTS)
    assert (await bulk.send("GET", f"/services/data/v60.0/jobs/ingest/{job['id']}"))[0] == 409
    done = await queried(bulk, "SELECT Id FROM User")
    assert (await bulk.send("GET", f"/services/data/v60.0/jobs/query/{done['id']}/results"))[0] == 409


async def test_job_calls_count_and_rows_do_not(bulk: Bulk) -> None:
    """E1, F1."""
    used = bulk.caller.org.org.usage.calls
    job = await bulk.create(**ACCOUNTS)
    await bulk.send("PUT", f"/{job['contentUrl']}", b"Name\nA\nB\nC\n")
    await bulk.caller.call("PATCH", f"jobs/ingest/{job['id']}", {"state": "UploadComplete"})
    await bulk.caller.call("GET", f"jobs/ingest/{job['id']}")
    assert bulk.caller.org.org.usage.calls == used + 4


async def test_client_name_is_recorded_in_changes_of_a_job(bulk: Bulk) -> None:
    """E1, B7."""
    heard: list[str] = []

    def listen(*_: Any) -> None:
        heard.append(bulk.caller.org.org.hub.origin)

    storage = bulk.caller.org.org.storage
    storage.commit_listeners.append(listen)
    try:
        status, job = await bulk.caller.call(
            "POST", "jobs/ingest", ACCOUNTS, **{"Sforce-Call-Options": "client=loader"}
        )
        assert status == 200
        await bulk.send("PUT", f"/{job['contentUrl']}", b"Name\nE1 origin\n")
        await bulk.caller.call("PATCH", f"jobs/ingest/{job['id']}", {"state": "UploadComplete"})
        await bulk.over(job["id"])
    finally:
        storage.commit_listeners.remove(listen)
    assert heard == ["com/salesforce/api/bulkapi/66.0;client=loader"]


# -- E2 --------------------------------------------------------------------------------------------------------------


async def test_query_job_and_results_have_the_documented_shape(bulk: Bulk) -> None:
    """E2: relationship fields under their path, nulls as empty cells, the delimiter as asked."""
    parent = await bulk.caller.create("Account", Name="E2 parent", External_Key__c="E2-1")
    await bulk.caller.create("Account", Name="E2", ParentId=parent)
    soql = "SELECT name, parent.external_key__c, Phone, IsDeleted, NumberOfEmployees FROM Account WHERE ParentId != null AND Name = 'E2'"  # noqa: E501
    body = {"operation": "query", "query": soql, "columnDelimiter": "PIPE", "lineEnding": "CRLF"}
    _, job = await bulk.caller.call("POST", "jobs/query", body)
    assert set(job) == {
        "id", "operation", "object", "createdById", "createdDate", "systemModstamp", "state", "concurrencyMode",
        "contentType", "apiVersion", "lineEnding", "columnDelimiter",
    }  # fmt: skip
    done = await bulk.over(job["id"], "query")
    assert (done["object"], done["jobType"], done["numberRecordsProcessed"]) == ("Account", "V2Query", 1)
    _, answer_body, headers = await bulk.send("GET", f"jobs/query/{job['id']}/results")
    assert answer_body == (
        '"Name"|"Parent.External_Key__c"|"Phone"|"IsDeleted"|"NumberOfEmployees"\r\n"E2"|"E2-1"|""|"false"|""\r\n'
    )
    assert (headers["Sforce-Locator"], headers["Sforce-NumberOfRecords"]) == ("null", "1")


@pytest.mark.parametrize("params", ["locator=x", "locator=LTU", "locator=" + "OQ" * 4_000, "maxRecords=" + "9" * 5_000,
                                    "maxRecords=-1", "maxRecords=x", "locator=MTAwMDAwMDA="])  # fmt: skip
async def test_invalid_result_locator_is_rejected(bulk: Bulk, params: str) -> None:
    """E2."""
    done = await queried(bulk, "SELECT Id FROM User")
    status, body, _ = await bulk.send("GET", f"jobs/query/{done['id']}/results?{params}")
    assert status in {200, 400}
    if status == 200:
        assert next(iter(csv.reader(io.StringIO(body)))) == ["Id"]
    assert (status == 400) is params.startswith("locator"), body


@pytest.mark.parametrize(
    "soql",
    ["SELECT TYPEOF What WHEN Account THEN Name END FROM Task", "SELECT Id FROM Account GROUP BY ROLLUP(Id)", "", "x"],
)
async def test_unsupported_query_feature_is_rejected(bulk: Bulk, soql: str) -> None:
    """E2."""
    status, _ = await bulk.caller.call("POST", "jobs/query", {"operation": "query", "query": soql})
    assert status == 400


async def test_query_job_can_be_aborted_and_deleted(bulk: Bulk) -> None:
    """E2: results exist for a complete job only."""
    org = bulk.caller.org.org  # a job that nobody works off
    waits = org.jobs.create(kind="query", version="66.0", user_id="", operation="query", sobject="User", query="x")
    assert (await bulk.caller.refusal("GET", f"jobs/query/{waits.id}/results"))[1] == "INVALIDJOBSTATE"
    status, body = await bulk.caller.call("PATCH", f"jobs/query/{waits.id}", {"state": "Aborted"})
    assert (status, body["state"]) == (200, "Aborted")
    assert (await bulk.caller.refusal("PATCH", f"jobs/query/{waits.id}", {"state": "Aborted"}))[1] == "INVALIDJOBSTATE"
    assert (await bulk.caller.refusal("GET", f"jobs/query/{waits.id}/results"))[1] == "INVALIDJOBSTATE"
    assert (await bulk.caller.call("DELETE", f"jobs/query/{waits.id}"))[0] == 204
    assert (await bulk.send("GET", f"{BASE}/jobs/query/{waits.id}/results"))[0] == 404
