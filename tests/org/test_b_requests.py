"""Chapter B: what requests share (B1), statuses (B2), smaller resources (B5), headers (B7), refusals (B8)."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

from tests.org.conftest import BASE, SHARED, Caller

pytestmark = SHARED
JSON = {"Content-Type": "application/json"}


async def test_response_is_compact_json_unless_pretty_print_is_requested(shared: Caller) -> None:
    """B1."""
    answer = await shared.raw("GET", "limits")
    assert answer.headers["Content-Type"] == "application/json;charset=UTF-8"
    assert b"\n" not in answer.body
    assert b"\n" in (await shared.raw("GET", "limits", **{"X-PrettyPrint": "1"})).body


async def test_every_response_has_the_limit_header(shared: Caller) -> None:
    """B1, L5: the header counts one more after every call."""
    used = []
    for path in ("limits", "sobjects/Nothing", "query?q=SELECT"):
        label, _, figures = (await shared.raw("GET", path)).headers["Sforce-Limit-Info"].partition("=")
        used.append(int(figures.partition("/")[0]))
        assert (label, figures.partition("/")[2]) == ("api-usage", str(shared.org.org.settings.api_limit))
    assert used == [used[0], used[0] + 1, used[0] + 2]


async def test_request_and_response_may_be_compressed(shared: Caller) -> None:
    """B1."""
    packed = gzip.compress(b'{"Name": "packed"}')
    answer = await shared.raw("POST", "sobjects/Account", packed, **JSON, **{"Content-Encoding": "gzip"})
    assert answer.status == 201
    answer = await shared.raw("GET", "sobjects/Account/describe", **{"Accept-Encoding": "gzip"})
    assert answer.headers["Content-Encoding"] == "gzip"


async def test_oauth_authorization_scheme_is_accepted(shared: Caller) -> None:
    """B1: `OAuth` and `Bearer`."""
    answer = await shared.raw("GET", "limits", Authorization=f"OAuth {shared.org.access_token}")
    assert answer.status == 200


async def test_body_that_is_not_json_is_rejected(shared: Caller) -> None:
    """B1, B8: 415 for another type, JSON_PARSER_ERROR for invalid or missing JSON."""
    answer = await shared.raw("POST", "sobjects/Account", b"<a/>", **{"Content-Type": "application/xml"})
    assert (answer.status, answer.code) == (415, "UNSUPPORTED_MEDIA_TYPE")
    for body in (b'{"Name": "A"', b"{'Name': 1}", b'{"Name": NaN}', b"\xff\xfe", b"[]", b'"x"', b"1"):
        answer = await shared.raw("POST", "sobjects/Account", body, **JSON)
        assert (answer.status, answer.code) == (400, "JSON_PARSER_ERROR"), body
    answer = await shared.raw("POST", "sobjects/Account", b"", **JSON)
    assert answer.json[0]["message"] == "The HTTP entity body is required, but this request has no entity body."


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "sobjects/Account/001000000000000AAA", "HEAD,GET,PATCH,DELETE"),
        ("DELETE", "sobjects/Account", "HEAD,GET,POST"),
        ("POST", "limits", "HEAD,GET"),
        ("POST", "query?q=x", "HEAD,GET"),
        ("PUT", "composite/sobjects", "HEAD,POST,PATCH,DELETE"),
    ],
)
async def test_unsupported_method_is_405(shared: Caller, method: str, path: str, allowed: str) -> None:
    """B2, B5."""
    refusal = await shared.refusal(method, path, {} if method in {"PUT", "POST"} else None)
    assert refusal == (405, "METHOD_NOT_ALLOWED", f"HTTP Method '{method}' not allowed. Allowed are {allowed}")


async def test_too_long_address_or_headers_are_rejected(shared: Caller) -> None:
    """B2: 414 beyond 16,384 bytes of address, 431 with the headers."""
    assert (await shared.raw("GET", "query?q=" + "x" * 16_400)).status == 414
    assert (await shared.raw("GET", "limits", **{"X-Long": "x" * 7_000, "X-More": "x" * 7_000, "X-And": "x" * 4_000})).status == 431  # noqa: E501  # fmt: skip


async def test_retired_version_is_410_and_future_version_404(shared: Caller) -> None:
    """B2: each call may use another version."""
    for version, status in (
        ("v30.0", 410),
        ("v68.0", 404),
        ("v66", 404),
        ("66.0", 404),
        ("v31.0", 200),
        ("v67.0", 200),
    ):
        assert (await shared.raw("GET", f"/services/data/{version}/limits")).status == status


async def test_unknown_resource_is_404(shared: Caller) -> None:
    """B2, B4."""
    for path in ("nothing", "sobjects/Nothing", "sobjects/Nothing/describe", "limits/nothing", "composite/nothing"):
        refusal = await shared.refusal("GET", path)
        assert refusal == (404, "NOT_FOUND", "The requested resource does not exist"), path


# -- B5 --------------------------------------------------------------------------------------------------------------


def window(start: datetime, end: datetime) -> str:
    return f"start={quote(start.isoformat(timespec='seconds'))}&end={quote(end.isoformat(timespec='seconds'))}"


async def test_updated_and_deleted_list_records_of_a_time_window(shared: Caller) -> None:
    """B5: seconds are ignored; the next window begins where this one ended."""
    live_id, gone = await shared.create("Account", Name="kept"), await shared.create("Account", Name="gone")
    await shared.call("DELETE", f"sobjects/Account/{gone}")
    now = datetime.now(UTC)
    span = window(now - timedelta(minutes=2), now + timedelta(minutes=2))
    _, updated = await shared.call("GET", f"sobjects/Account/updated/?{span}")
    assert live_id in updated["ids"]
    assert gone not in updated["ids"]
    covered = (now + timedelta(minutes=2)).strftime("%Y-%m-%dT%H:%M:00.000+0000")
    assert updated["latestDateCovered"] == covered
    _, deleted = await shared.call("GET", f"sobjects/Account/deleted?{span}")
    [result] = [row for row in deleted["deletedRecords"] if row["id"] == gone]
    assert result["deletedDate"].endswith(".000+0000")
    assert set(deleted) == {"deletedRecords", "earliestDateAvailable", "latestDateCovered"}


async def test_invalid_replication_window_is_rejected(shared: Caller) -> None:
    """B5, B8."""
    now = datetime.now(UTC)
    day = timedelta(days=1)
    spans = [window(now, now), window(now, now - day), window(now - 31 * day, now), "", "start=x&end=y",
             "start=0001-01-01T00:00:00%2B23:00&end=9999-12-31T23:59:59-23:00",
             window(now - day, now).replace("%2B00%3A00", "")]  # fmt: skip
    for span in spans:
        for kind in ("updated", "deleted"):
            refusal = await shared.refusal("GET", f"sobjects/Account/{kind}?{span}")
            assert refusal[:2] == (400, "INVALID_REPLICATION_DATE"), span


@pytest.mark.parametrize("sobject", ["Order_Action__e", "Organization", "OrderHistory"])
async def test_object_that_is_not_replicateable_has_no_windows(shared: Caller, sobject: str) -> None:
    """B5: `replicateable` of the describe."""
    now = datetime.now(UTC)
    span = window(now - timedelta(days=1), now)
    _, body = await shared.call("GET", f"sobjects/{sobject}")
    status, answer = await shared.call("GET", f"sobjects/{sobject}/updated?{span}")
    replicated = body["objectDescribe"]["replicateable"]
    assert (status, replicated or answer[0]["errorCode"]) == (
        (200, True) if replicated else (400, "INVALID_TYPE_FOR_OPERATION")
    )


async def test_record_count_leaves_out_empty_objects(shared: Caller) -> None:
    """B5."""
    await shared.create("Account", Name="A")
    _, body = await shared.call("GET", "limits/recordCount?sObjects=account,Nothing,Order_Action__e,Organization")
    counts = {item["name"]: item["count"] for item in body["sObjects"]}
    assert counts["Organization"] == 1
    assert set(counts) == {"Account", "Organization"}
    assert (await shared.call("GET", "limits/recordCount?sObjects=CaseHistory"))[1] == {"sObjects": []}


# -- B7 --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "client"),
    [("client=shop/1.0", "shop/1.0"), ("client=shop; defaultNamespace=x", "shop"), ("defaultNamespace=x,client=a b", "a b"),  # noqa: E501
     ("CLIENT = shop", "shop"), ("nonsense", ""), ("", "")],
)  # fmt: skip
async def test_client_name_is_recorded_in_change_events(shared: Caller, options: str, client: str) -> None:
    """B7: on any write, also inside a composite."""
    origins: list[str] = []

    def listen(*_: Any) -> None:
        origins.append(shared.org.org.hub.origin)

    shared.org.org.storage.commit_listeners.append(listen)
    try:
        await shared.call("POST", "sobjects/Account", {"Name": "A"}, **{"Sforce-Call-Options": options})
        records = [{"attributes": {"type": "Account"}, "Name": "A"}]
        await shared.call("POST", "composite/sobjects", {"records": records}, **{"Sforce-Call-Options": options})
    finally:
        shared.org.org.storage.commit_listeners.remove(listen)
    assert origins == ["com/salesforce/api/rest/66.0" + (f";client={client}" if client else "")] * 2


async def test_query_batch_size_is_kept_within_its_bounds(shared: Caller) -> None:
    """B7: 200 to 2,000; with two long texts selected never more than 200 rows come (C1)."""
    parent = await shared.create("Account", Name="batches")
    for _ in range(2):
        records = [{"attributes": {"type": "Contact"}, "LastName": "B7", "AccountId": parent}] * 150
        await shared.call("POST", "composite/sobjects", {"records": records})
    where = quote(f"FROM Contact WHERE AccountId = '{parent}'")
    for size, rows in (("250", 250), ("1", 200), ("5000", 300), ("9" * 5_000, 300), ("x", 300)):
        _, body = await shared.call(
            "GET", f"query?q=SELECT+Id+{where}", **{"Sforce-Query-Options": f"batchSize={size}"}
        )
        assert (len(body["records"]), body["done"]) == (rows, rows == 300)
    _, body = await shared.call("GET", f"query?q=SELECT+Description,Account.Description+{where}")
    assert (len(body["records"]), body["done"], body["totalSize"]) == (200, False, 300)


# -- B8 --------------------------------------------------------------------------------------------------------------

REFUSED: list[tuple[str, dict[str, Any], str, str, list[str] | None]] = [
    ("Account", {}, "REQUIRED_FIELD_MISSING", "Required fields are missing: [Name]", ["Name"]),
    ("Account", {"Name": "A", "foo": 1}, "INVALID_FIELD", "No such column 'foo' on sobject of type Account", None),
    ("Order", {"TotalAmount": 1}, "INVALID_FIELD_FOR_INSERT_UPDATE",
     "Unable to create/update fields: TotalAmount. Please check the security settings of this field and verify that it is"  # noqa: E501
     " read/write for your profile or permission set.", ["TotalAmount"]),
    ("Order", {"EffectiveDate": "31/01/2026"}, "JSON_PARSER_ERROR",
     "Cannot deserialize instance of date from VALUE_STRING value 31/01/2026 or request may be missing a required field"
     " at [line:1, column:1]", None),
    ("Contact", {"LastName": "L", "Email": "x"}, "INVALID_EMAIL_ADDRESS", "Email: invalid email address: x", ["Email"]),
    ("Order", {"Status": "Foo"}, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
     "Status: bad value for restricted picklist field: Foo", ["Status"]),
    ("Account", {"Name": "A", "NumberOfEmployees": 10**12}, "NUMBER_OUTSIDE_VALID_RANGE",
     "Employees: value outside of valid range on numeric field: 1000000000000", ["NumberOfEmployees"]),
    ("OrderHistory", {}, "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "entity type cannot be inserted: OrderHistory", None),
]  # fmt: skip


@pytest.mark.parametrize(("sobject", "body", "code", "message", "fields"), REFUSED, ids=[item[2] for item in REFUSED])
async def test_refusal_has_code_message_and_fields(
    shared: Caller, sobject: str, body: dict[str, Any], code: str, message: str, fields: list[str] | None
) -> None:
    """B8: in the shape of row resources and in that of collections."""
    status, [answer_body] = await shared.call("POST", f"sobjects/{sobject}", body)
    assert (status, answer_body["errorCode"], answer_body["message"], answer_body.get("fields")) == (
        400,
        code,
        message,
        fields,
    )
    records = [{"attributes": {"type": sobject}, **body}]
    _, [row] = await shared.call("POST", "composite/sobjects", {"records": records})
    assert row == {"success": False, "errors": [{"statusCode": code, "message": message, "fields": fields or []}]}


async def test_query_error_names_the_position(shared: Caller) -> None:
    """B8, C3: the text, a caret, row and column, then the message."""
    refusal = await shared.refusal("GET", f"query?q={quote('SELECT Id FROM XYZZY')}")
    assert refusal == (
        400, "INVALID_TYPE",
        "\nSELECT Id FROM XYZZY\n               ^\nERROR at Row:1:Column:16\nsObject type 'XYZZY' is not supported. If you"  # noqa: E501
        " are attempting to use a custom object, be sure to append the '__c' after the entity name. Please reference your"  # noqa: E501
        " WSDL or the describe call for the appropriate names.",
    )  # fmt: skip
    _, code, message = await shared.refusal("GET", f"query?q={quote('SELECT Id FROM Account WHERE Name == 1')}")
    assert code == "MALFORMED_QUERY"
    assert message.endswith("ERROR at Row:1:Column:36\nunexpected token: '='")


async def test_deep_or_large_body_is_rejected_and_the_org_continues(shared: Caller) -> None:
    """B8: deep nesting and huge numbers."""
    deep = b'{"a":' * 900 + b"1" + b"}" * 900
    for path in ("sobjects/Account", "composite", "composite/graph", "composite/batch", "composite/sobjects"):
        answer = await shared.raw("POST", path, deep, **JSON)
        assert answer.status == 400, path
    for number in ("1e99999999999999999999", "9" * 5_000, "-1e-99999999999999999999"):
        answer = await shared.raw("POST", "sobjects/Account", json.dumps({"Name": "A"}).encode()[:-1] + f', "AnnualRevenue": {number}}}'.encode(), **JSON)  # noqa: E501  # fmt: skip
        assert answer.status in {201, 400}, number
    assert (await shared.call("GET", "limits"))[0] == 200
    assert BASE.endswith("66.0")
