"""Chapter B: rows by ID and by external ID (B3), the values they hold (B1), and conditional requests (B6)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import quote

import pytest

from tests.org.conftest import BASE, SHARED, Caller

pytestmark = SHARED
NEVER = "001000000000000AAA"


async def test_created_row_has_a_location_header(shared: Caller) -> None:
    """B3."""
    answer = await shared.raw("POST", "sobjects/Account", b'{"Name": "B3"}', **{"Content-Type": "application/json"})
    assert (answer.status, answer.json["success"], answer.json["errors"]) == (201, True, [])
    assert answer.headers["Location"] == f"{BASE}/sobjects/Account/{answer.json['id']}"


async def test_row_is_read_with_all_or_requested_fields(shared: Caller) -> None:
    """B3: names are canonical, whatever the request's spelling (B1)."""
    account = await shared.create("aCCOUNT", nAME="Spelled", Phone="1")
    _, row = await shared.call("GET", f"sobjects/account/{account}?fields=name,PHONE")
    assert row == {
        "attributes": {"type": "Account", "url": f"{BASE}/sobjects/Account/{account}"},
        "Id": account, "Name": "Spelled", "Phone": "1",
    }  # fmt: skip
    _, row = await shared.call("GET", f"sobjects/Account/{account[:15]}")
    assert (row["Id"], row["Name"], "OwnerId" in row) == (account, "Spelled", True)
    refusal = await shared.refusal("GET", f"sobjects/Account/{account}?fields=Nothing")
    assert refusal == (400, "INVALID_FIELD", "No such column 'Nothing' on sobject of type Account")


async def test_update_keeps_fields_that_it_does_not_name(shared: Caller) -> None:
    """B3: null and empty text clear a field, an absent key keeps it (B1)."""
    account = await shared.create("Account", Name="A", Phone="1", Fax="2", Site="3")
    answer = await shared.raw(
        "PATCH", f"sobjects/Account/{account}", b'{"Phone": null, "Site": ""}', **{"Content-Type": "application/json"}
    )
    assert (answer.status, answer.body) == (204, b"")
    _, row = await shared.call("GET", f"sobjects/Account/{account}?fields=Phone,Fax,Site")
    assert (row["Phone"], row["Fax"], row["Site"]) == (None, "2", None)


async def test_update_with_an_id_in_the_body_is_rejected(shared: Caller) -> None:
    """B3."""
    account = await shared.create("Account", Name="A")
    refusal = await shared.refusal("PATCH", f"sobjects/Account/{account}", {"Id": account, "Name": "B"})
    assert refusal[:2] == (400, "INVALID_FIELD_FOR_INSERT_UPDATE")


async def test_post_with_method_override_updates_the_row(shared: Caller) -> None:
    """B3."""
    account = await shared.create("Account", Name="A")
    assert (await shared.call("POST", f"sobjects/Account/{account}?_HTTP_METHOD=PATCH", {"Name": "B"}))[0] == 204
    assert (await shared.query(f"SELECT Name FROM Account WHERE Id = '{account}'"))[0]["Name"] == "B"


async def test_deleted_row_and_unknown_id_have_different_errors(shared: Caller) -> None:
    """B3: a deleted row is ENTITY_IS_DELETED, an unknown ID is not found."""
    account = await shared.create("Account", Name="A")
    assert (await shared.call("DELETE", f"sobjects/Account/{account}")) == (204, "")
    for method, body in (("DELETE", None), ("PATCH", {"Name": "B"}), ("GET", None)):
        assert await shared.refusal(method, f"sobjects/Account/{account}", body) == (
            404, "ENTITY_IS_DELETED", "entity is deleted",
        )  # fmt: skip
        status, code, message = await shared.refusal(method, f"sobjects/Account/{NEVER}", body)
        assert (status, code, message) == (
            (404, "NOT_FOUND", "The requested resource does not exist")
            if method == "GET"
            else (404, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
        )


@pytest.mark.parametrize("value", ["abc", "801000000000000AAA", "00100000000000", "001000000000000AAB"])
async def test_id_of_another_object_is_404(shared: Caller, value: str) -> None:
    """B3."""
    refusal = await shared.refusal("GET", f"sobjects/Account/{value}")
    text = f"Provided external ID field does not exist or is not accessible: {value}"
    assert refusal == (404, "NOT_FOUND", text)


async def test_upsert_reports_whether_it_created_the_row(shared: Caller) -> None:
    """B3: 201, then 200 with `created: false`; up to version 45, 204 without a body."""
    path = "sobjects/Account/External_Key__c/B3-1"
    status, created = await shared.call("PATCH", path, {"Name": "A"})
    assert (status, created["success"], created["created"], created["errors"]) == (201, True, True, [])
    status, body = await shared.call("PATCH", path, {"Name": "B"})
    assert (status, body) == (200, {"id": created["id"], "success": True, "errors": [], "created": False})
    assert (await shared.call("PATCH", f"/services/data/v45.0/{path}", {"Name": "C"})) == (204, "")
    assert (await shared.call("GET", f"{path}?fields=Name"))[1]["Name"] == "C"
    assert (await shared.call("DELETE", path))[0] == 204
    assert (await shared.refusal("GET", path))[:2] == (404, "NOT_FOUND")
    _, after = await shared.call("PATCH", path, {"Name": "D"})
    assert (after["created"], after["id"] != created["id"]) == (True, True)  # the deleted row is not found (H9)


async def test_upsert_by_id_updates_and_post_inserts(shared: Caller) -> None:
    """B3."""
    account = await shared.create("Account", Name="A")
    status, body = await shared.call("PATCH", f"sobjects/Account/Id/{account}", {"Name": "B"})
    assert (status, body["id"], body["created"]) == (200, account, False)
    status, body = await shared.call("POST", "sobjects/Account/Id", {"Name": "C"})
    assert (status, body["created"], body["id"] != account) == (201, True, True)


async def test_upsert_with_update_only_does_not_create(shared: Caller) -> None:
    """B3."""
    path = "sobjects/Account/External_Key__c/B3-only?updateOnly=true"
    assert (await shared.refusal("PATCH", path, {"Name": "A"}))[:2] == (404, "NOT_FOUND")
    await shared.create("Account", Name="A", External_Key__c="B3-only")
    assert (await shared.call("PATCH", path, {"Name": "B"}))[0] == 200


async def test_key_of_several_rows_is_300_with_their_addresses(shared: Caller) -> None:
    """B2, B3: 300 and the list of rows."""
    ids = [await shared.create("Contact", LastName=name, Email="b3@example.com") for name in ("a", "b")]
    for method in ("GET", "PATCH", "DELETE"):
        body = {"LastName": "c"} if method == "PATCH" else None
        status, answer_body = await shared.call(method, "sobjects/Contact/Email/b3@example.com", body)
        assert (status, sorted(answer_body)) == (300, sorted(f"{BASE}/sobjects/Contact/{item}" for item in ids))


async def test_upsert_key_in_the_body_is_rejected(shared: Caller) -> None:
    """B3."""
    body = {"Name": "A", "external_key__c": "B3-2"}
    assert await shared.refusal("PATCH", "sobjects/Account/External_Key__c/B3-2", body) == (
        400, "INVALID_FIELD", "The External_Key__c field should not be specified in the sobject data.",
    )  # fmt: skip


@pytest.mark.parametrize("key", ["a/b", "a+b c", "100%", "a?b#c", "Köln", "..", "a&b=c;d"])
async def test_percent_encoded_key_is_decoded(shared: Caller, key: str) -> None:
    """B3."""
    path = f"sobjects/Account/External_Key__c/{quote(key, safe='')}".replace("/..", "/%2E%2E")
    answer = await shared.raw("PATCH", path, b'{"Name": "A"}', **{"Content-Type": "application/json"})
    assert answer.status == 201
    row = (await shared.raw("GET", path)).json
    assert (row["Id"], row["External_Key__c"]) == (answer.json["id"], key)


@pytest.mark.parametrize("field", ["Phone", "Nothing__c"])
async def test_lookup_by_a_field_that_is_no_key_is_rejected(shared: Caller, field: str) -> None:
    """B3."""
    refusal = await shared.refusal("PATCH", f"sobjects/Account/{field}/1", {"Name": "A"})
    assert refusal == (404, "NOT_FOUND", f"Provided external ID field does not exist or is not accessible: {field}")


async def test_parent_is_referenced_by_external_id(shared: Caller) -> None:
    """B3: the message shows the key in lower case."""
    parent = await shared.create("Account", Name="P", External_Key__c="B3-P")
    child = await shared.create("Account", Name="C", Parent={"External_Key__c": "B3-P"})
    assert (await shared.call("GET", f"sobjects/Account/{child}?fields=ParentId"))[1]["ParentId"] == parent
    assert await shared.refusal("POST", "sobjects/Account", {"Name": "C", "Parent": {"External_Key__c": "B3-Q"}}) == (
        400, "INVALID_FIELD", "Foreign key external ID: b3-q not found for field External_Key__c in entity Account",
    )  # fmt: skip
    for name in ("a", "b"):
        await shared.create("Contact", LastName=name, Email="twice@example.com")
    case = {"Contact": {"Email": "twice@example.com"}}
    status, code, message = await shared.refusal("POST", "sobjects/Case", case)
    assert (status, code) == (400, "INVALID_FIELD")
    assert message.startswith("More than one record found for external id field")


async def test_reference_to_the_wrong_object_is_rejected(shared: Caller) -> None:
    """B3, B8: MALFORMED_ID in a body; an unknown ID is an invalid cross reference."""
    account = await shared.create("Account", Name="A")
    body = {"LastName": "L", "AccountId": "005000000000000AAA"}
    status, code, message = await shared.refusal("POST", "sobjects/Contact", body)
    assert (status, code) == (400, "MALFORMED_ID")
    assert message == "Account ID: id value of incorrect type: 005000000000000AAA"
    refusal = await shared.refusal("POST", "sobjects/Contact", {"LastName": "L", "AccountId": NEVER})
    assert refusal == (400, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
    await shared.call("DELETE", f"sobjects/Account/{account}")
    refusal = await shared.refusal("POST", "sobjects/Contact", {"LastName": "L", "AccountId": account})
    assert refusal[:2] == (400, "ENTITY_IS_DELETED")


MOMENTS = [
    "2026-01-31T12:00:00Z",
    "2026-01-31T12:00:00+0000",
    "2026-01-31T12:00:00.999+00:00",
    "2026-01-31T13:00:00+01:00",
]


async def test_values_are_normalized_when_written(shared: Caller) -> None:
    """B1: datetimes in UTC without fractions, numbers as numbers, IDs of 18 characters, text trimmed (H9)."""
    _, entry = await shared.priced_product("B1", price="12.345")
    for moment in MOMENTS:
        returned = await shared.create("ReturnOrder", ExpectedArrivalDate=moment)
        _, row = await shared.call("GET", f"sobjects/ReturnOrder/{returned}")
        assert row["ExpectedArrivalDate"] == "2026-01-31T12:00:00.000+0000"
    _, row = await shared.call("GET", f"sobjects/PricebookEntry/{entry}")
    assert (row["UnitPrice"], len(row["Id"]), row["IsActive"]) == (12.35, 18, True)
    account = await shared.create("Account", Name="  B1  ", NumberOfEmployees=7, AnnualRevenue="12")
    _, row = await shared.call("GET", f"sobjects/Account/{account}")
    assert (row["Name"], row["NumberOfEmployees"], row["AnnualRevenue"]) == ("B1", 7, 12.0)
    assert row["CreatedDate"].endswith(".000+0000")


async def test_address_is_written_by_parts_and_read_as_compound(shared: Caller) -> None:
    """B1."""
    account = await shared.create("Account", Name="A", BillingCity="Bonn", BillingStreet="1")
    _, row = await shared.call("GET", f"sobjects/Account/{account}?fields=BillingAddress,ShippingAddress")
    assert row["ShippingAddress"] is None
    assert row["BillingAddress"] == {
        "city": "Bonn", "country": None, "geocodeAccuracy": None, "latitude": None, "longitude": None,
        "postalCode": None, "state": None, "street": "1",
    }  # fmt: skip
    refusal = await shared.refusal("PATCH", f"sobjects/Account/{account}", {"BillingAddress": {"city": "Rome"}})
    assert refusal[:2] == (400, "INVALID_FIELD_FOR_INSERT_UPDATE")


# -- B6 --------------------------------------------------------------------------------------------------------------


def http_date(moment: datetime) -> str:
    return format_datetime(moment, usegmt=True)


async def test_unchanged_row_is_304(shared: Caller) -> None:
    """B6: 304, with the date of the last change."""
    account = await shared.create("Account", Name="A")
    path = f"sobjects/Account/{account}"
    first = await shared.raw("GET", path)
    body = await shared.raw("GET", path, **{"If-Modified-Since": first.headers["Last-Modified"]})
    assert (body.status, body.body) == (304, b"")
    earlier = http_date(datetime.now(UTC) - timedelta(days=1))
    assert (await shared.raw("GET", path, **{"If-Modified-Since": earlier})).status == 200


async def test_write_to_a_row_changed_meanwhile_is_412(shared: Caller) -> None:
    """B6: 412 on a write, by date for any object."""
    order = await shared.draft()
    earlier, later = (http_date(datetime.now(UTC) + timedelta(days=days)) for days in (-1, 1))
    body, kind = b'{"PoNumber": "1"}', {"Content-Type": "application/json"}
    refused = await shared.raw("PATCH", f"sobjects/Order/{order}", body, **kind, **{"If-Unmodified-Since": earlier})
    assert refused.status == 412
    done = await shared.raw("PATCH", f"sobjects/Order/{order}", body, **kind, **{"If-Unmodified-Since": later})
    assert done.status == 204


async def test_only_accounts_have_an_etag(shared: Caller) -> None:
    """B6."""
    account, order = await shared.create("Account", Name="A"), await shared.draft()
    path = f"sobjects/Account/{account}"
    tag = (await shared.raw("GET", path)).headers["ETag"]
    assert "ETag" not in (await shared.raw("GET", f"sobjects/Order/{order}")).headers
    assert (await shared.raw("GET", path, **{"If-None-Match": tag})).status == 304
    assert (await shared.raw("GET", path, **{"If-None-Match": '"other"'})).status == 200
    assert (await shared.raw("GET", path, **{"If-Match": '"other"'})).status == 412
    body, kind = b'{"Phone": "1"}', {"Content-Type": "application/json"}
    assert (await shared.raw("PATCH", path, body, **kind, **{"If-Match": tag})).status == 204
    assert (await shared.raw("GET", path, **{"If-None-Match": tag})).status == 200
    assert (await shared.raw("PATCH", path, body, **kind, **{"If-Match": tag})).status == 412


async def test_unchanged_describe_is_304(shared: Caller) -> None:
    """B4, B6: also of all objects, and inside a composite."""
    for path in ("sobjects/Account/describe", "sobjects"):
        first = await shared.raw("GET", path)
        answer_body = await shared.raw("GET", path, **{"If-Modified-Since": first.headers["Last-Modified"]})
        assert (answer_body.status, answer_body.body) == (304, b"")
    step: dict[str, Any] = {"method": "GET", "url": f"{BASE}/sobjects/Account/describe", "referenceId": "d"}
    step["httpHeaders"] = {"If-Modified-Since": first.headers["Last-Modified"]}
    _, body = await shared.call("POST", "composite", {"compositeRequest": [step]})
    assert body["compositeResponse"][0]["httpStatusCode"] == 304
