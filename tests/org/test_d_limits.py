"""Chapter D: every operation and limit of collections (D1), composite (D2) and batch (D3)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.org.conftest import BASE, SHARED, Caller

pytestmark = SHARED
NEVER = "001000000000000AAA"


def account(name: str, **more: Any) -> dict[str, Any]:
    return {"attributes": {"type": "Account"}, "Name": name, **more}


def contact(name: str, **more: Any) -> dict[str, Any]:
    return {"attributes": {"type": "Contact"}, "LastName": name, **more}


def step(reference: str, method: str, path: str, body: Any = None, **more: Any) -> dict[str, Any]:
    url = path if path.startswith(("/", "@")) else f"{BASE}/{path}"
    return {"method": method, "url": url, "referenceId": reference, **({} if body is None else {"body": body}), **more}


async def composed(caller: Caller, *steps: dict[str, Any], **options: Any) -> list[dict[str, Any]]:
    status, body = await caller.call("POST", "composite", {"compositeRequest": list(steps), **options})
    assert status == 200, body
    return list(body["compositeResponse"])


async def count(caller: Caller, name: str) -> int:
    return len(await caller.query(f"SELECT Id FROM Account WHERE Name = '{name}'"))


# -- D1 --------------------------------------------------------------------------------------------------------------


async def test_collection_creates_updates_and_deletes_rows(shared: Caller) -> None:
    """D1."""
    status, created = await shared.call("POST", "composite/sobjects", {"records": [account("D1"), contact("D1")]})
    assert status == 200
    assert [set(row) for row in created] == [{"id", "success", "errors"}] * 2
    ids = [row["id"] for row in created]
    changes = [{**account("D1 b"), "id": ids[0]}, {**contact("D1 b"), "Id": ids[1]}]
    _, body = await shared.call("PATCH", "composite/sobjects", {"records": changes})
    assert body == [{"id": item, "success": True, "errors": []} for item in ids]
    assert await count(shared, "D1 b") == 1
    _, body = await shared.call("DELETE", f"composite/sobjects?ids={','.join(ids)}&allOrNone=false")
    assert body == [{"id": item, "success": True, "errors": []} for item in ids]
    _, body = await shared.call("DELETE", f"composite/sobjects?ids={ids[0]},{NEVER},x")
    assert [row["errors"][0]["statusCode"] for row in body] == [
        "ENTITY_IS_DELETED", "INVALID_CROSS_REFERENCE_KEY", "MALFORMED_ID",
    ]  # fmt: skip


async def test_collection_upsert_needs_the_key_in_every_row(shared: Caller) -> None:
    """D1: the key may be the ID, null for a new row."""
    path = "composite/sobjects/Account/External_Key__c"
    rows = [account("D1", External_Key__c="D1-1"), account("no key"), account("D1", External_Key__c=None)]
    _, body = await shared.call("PATCH", path, {"records": rows})
    assert body[0] == {"id": body[0]["id"], "success": True, "errors": [], "created": True}
    assert [row["success"] for row in body] == [True, False, False]
    assert "id" not in body[1]
    _, [answer_body] = await shared.call("PATCH", path, {"records": [account("D1 b", external_key__c="D1-1")]})
    assert (answer_body["id"], answer_body["created"]) == (body[0]["id"], False)
    by_id = [account("D1 c", Id=body[0]["id"]), account("D1 new", Id=None)]
    _, body = await shared.call("PATCH", "composite/sobjects/Account/Id", {"records": by_id})
    assert [row["created"] for row in body] == [False, True]
    status, code, _ = await shared.refusal("PATCH", path, {"records": [contact("x")]})
    assert (status, code) == (400, "INVALID_TYPE")


async def test_rolled_back_upsert_fails_every_row(shared: Caller) -> None:
    """D1, L20."""
    rows = [account("D1 none", External_Key__c="D1-none"), account("x" * 300, External_Key__c="D1-long")]
    body = {"allOrNone": True, "records": rows}
    _, answer_body = await shared.call("PATCH", "composite/sobjects/Account/External_Key__c", body)
    assert [row["errors"][0]["statusCode"] for row in answer_body] == [
        "ALL_OR_NONE_OPERATION_ROLLED_BACK",
        "STRING_TOO_LONG",
    ]
    assert await count(shared, "D1 none") == 0


async def test_collection_read_returns_null_for_missing_rows(shared: Caller) -> None:
    """D1, L20: by GET and by POST, up to 2,000."""
    created_id = [await shared.create("Account", Name=name) for name in ("D1 r", "D1 s")]
    await shared.call("DELETE", f"sobjects/Account/{created_id[1]}")
    wanted = [created_id[1], NEVER, created_id[0]]
    for method, path, body in (
        ("GET", f"composite/sobjects/Account?ids={','.join(wanted)}&fields=name", None),
        ("POST", "composite/sobjects/Account", {"ids": wanted, "fields": ["Name"]}),
    ):
        status, answer_body = await shared.call(method, path, body)
        assert (status, answer_body[:2], answer_body[2]["Name"], answer_body[2]["Id"]) == (
            200,
            [None, None],
            "D1 r",
            created_id[0],
        )
    for ids, fields in (
        (created_id * 1_001, ["Name"]),
        (["x"], ["Name"]),
        (created_id, ["Nope"]),
        (created_id, []),
        ([], ["Name"]),
    ):
        status, _ = await shared.call("POST", "composite/sobjects/Account", {"ids": ids, "fields": fields})
        assert status == 400
    assert (await shared.call("POST", "composite/sobjects/Account", {"ids": [NEVER] * 2_000, "fields": ["Id"]}))[
        0
    ] == 200


async def test_collection_with_more_than_ten_chunks_is_rejected(shared: Caller) -> None:
    """D1: chunks of consecutive equal types."""
    mixed = [item for number in range(5) for item in (account(f"D1 m{number}"), contact("D1"))]
    status, body = await shared.call("POST", "composite/sobjects", {"records": mixed})
    assert (status, [row["success"] for row in body]) == (200, [True] * 10)
    status, _ = await shared.call("POST", "composite/sobjects", {"records": [*mixed, account("D1 eleventh")]})
    assert (status, await count(shared, "D1 eleventh")) == (400, 0)


async def test_collection_without_all_or_none_keeps_valid_rows(shared: Caller) -> None:
    """D1: it is the default."""
    _, body = await shared.call("POST", "composite/sobjects", {"records": [account("D1 alone"), account("x" * 300)]})
    assert [row["success"] for row in body] == [True, False]
    assert await count(shared, "D1 alone") == 1


@pytest.mark.parametrize(
    "body",
    [{}, {"records": []}, {"records": {}}, {"records": [1]}, {"records": [{"Name": "no type"}]}, [], None, "x",
     {"records": [{"attributes": {"type": "Nothing"}}]}, {"records": [{"attributes": {"type": 1}}]},
     {"records": [{"attributes": "Account"}]}, {"records": [account("x")], "allOrNone": "maybe"}],
)  # fmt: skip
async def test_malformed_collection_is_400(shared: Caller, body: Any) -> None:
    """D1: the whole request is 400."""
    for method, path in (("POST", "composite/sobjects"), ("PATCH", "composite/sobjects")):
        status, [answer_body] = await shared.call(method, path, body)
        assert (status, bool(answer_body["errorCode"])) == (400, True)


@pytest.mark.parametrize("attributes", ["Account", ["Account"], 1, {"type": ["Account"]}, {"type": 1}])
async def test_upsert_rejects_malformed_attributes(shared: Caller, attributes: Any) -> None:
    """D1."""
    body = {"records": [{"attributes": attributes, "Name": "A", "External_Key__c": "D1-attr"}]}
    status, code, _ = await shared.refusal("PATCH", "composite/sobjects/Account/External_Key__c", body)
    assert (status, code) == (400, "INVALID_TYPE")


async def test_every_collection_operation_is_limited_to_200_rows(shared: Caller) -> None:
    """D1."""
    rows = [account("x", External_Key__c=f"D1-{number}", Id=NEVER) for number in range(201)]
    for method, path in (("PATCH", "composite/sobjects"), ("PATCH", "composite/sobjects/Account/External_Key__c")):
        assert (await shared.call(method, path, {"records": rows}))[0] == 400
    assert (await shared.call("DELETE", f"composite/sobjects?ids={','.join([NEVER] * 201)}"))[0] == 400
    assert (await shared.call("DELETE", "composite/sobjects"))[0] == 400


async def test_collection_upsert_with_a_duplicate_key_is_rejected(shared: Caller) -> None:
    """D1: duplicates ignore case unless the field is case-sensitive."""
    created_id = await shared.create("Contact", LastName="D1", Email="d1-twice@example.com")
    rows = [contact("a", Email="d1-twice@example.com"), contact("b", Email="D1-Twice@example.com")]
    _, body = await shared.call("PATCH", "composite/sobjects/Contact/Email", {"records": rows})
    assert [row["errors"][0]["statusCode"] for row in body] == ["DUPLICATE_VALUE"] * 2
    assert body[0]["errors"][0]["message"].startswith("Duplicate external id specified: ")
    await shared.create("Contact", LastName="D1 other", Email="d1-twice@example.com")
    _, body = await shared.call("PATCH", "composite/sobjects/Contact/Email", {"records": rows[:1]})
    assert body[0]["errors"][0]["statusCode"] == "DUPLICATE_EXTERNAL_ID"
    assert (await shared.query(f"SELECT LastName FROM Contact WHERE Id = '{created_id}'"))[0]["LastName"] == "D1"


# -- D2 --------------------------------------------------------------------------------------------------------------


async def test_composite_reference_resolves_to_an_earlier_result(shared: Caller) -> None:
    """D2: created IDs, rows of queries, fields of rows; each response has its headers."""
    result = await composed(
        shared,
        step("made", "POST", "sobjects/Account", {"Name": "D2"}),
        step("found", "GET", "query?q=SELECT+Id,Name+FROM+Account+WHERE+Id='@{made.id}'"),
        step("row", "GET", "sobjects/Account/@{found.records[0].Id}?fields=Name"),
        step("child", "POST", "sobjects/Contact", {"LastName": "of @{row.Name}", "AccountId": "@{made.id}"}),
        step("gone", "DELETE", "sobjects/Contact/@{child.id}"),
    )
    assert [item["httpStatusCode"] for item in result] == [201, 200, 200, 201, 204]
    assert [item["referenceId"] for item in result] == ["made", "found", "row", "child", "gone"]
    assert result[0]["httpHeaders"] == {"Location": f"{BASE}/sobjects/Account/{result[0]['body']['id']}"}
    assert (result[2]["body"]["Name"], result[4]["body"]) == ("D2", None)


async def test_failed_subrequest_fails_only_its_dependents(shared: Caller) -> None:
    """D2: without allOrNone."""
    steps = [
        step("bad", "POST", "sobjects/Account", {}),
        step("needs", "POST", "sobjects/Contact", {"LastName": "x", "AccountId": "@{bad.id}"}),
        step("free", "POST", "sobjects/Account", {"Name": "D2 free"}),
    ]
    bad, needs, free = await composed(shared, *steps)
    assert (bad["httpStatusCode"], needs["httpStatusCode"], free["httpStatusCode"]) == (400, 400, 201)
    assert needs["body"] == [
        {"errorCode": "PROCESSING_HALTED", "message": "Invalid reference specified. No value for bad.id found in bad"}
    ]
    bad, needs, free = await composed(shared, *steps, allOrNone=True)
    assert free["body"] == [{
        "errorCode": "PROCESSING_HALTED",
        "message": "The transaction was rolled back since another operation in the same transaction failed.",
    }]  # fmt: skip
    assert await count(shared, "D2 free") == 1


async def test_composite_size_is_limited(shared: Caller) -> None:
    """D2: 25 subrequests, 5 of them queries or collections; it counts as one call."""
    reads = [step(f"r{number}", "GET", "limits") for number in range(25)]
    used = shared.org.org.usage.calls
    assert len(await composed(shared, *reads)) == 25
    assert shared.org.org.usage.calls == used + 1
    heavy = [step(f"q{number}", "GET", "query?q=SELECT+Id+FROM+User") for number in range(3)]
    heavy += [step(f"c{number}", "POST", "composite/sobjects", {"records": [account("D2")]}) for number in range(3)]
    assert [item["httpStatusCode"] for item in await composed(shared, *heavy[:5])] == [200] * 5
    for steps in ([*reads, step("one", "GET", "limits")], heavy, [step("same", "GET", "limits")] * 2, []):
        status, [body] = await shared.call("POST", "composite", {"compositeRequest": steps})
        assert (status, bool(body["errorCode"])) == (400, True)


WRONG_STEPS: list[Any] = [
    1, {}, step("a b", "GET", "limits"), step("", "GET", "limits"), step("a", "BREW", "limits"), step("a", "GET", ""),
    {"method": 1, "url": "x", "referenceId": "a"}, step("a", "POST", "sobjects/Account/@{a.id}"),
    step("a", "GET", "limits", httpHeaders=[1]),
]  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG_STEPS, ids=repr)
async def test_malformed_subrequest_fails_the_whole_composite(shared: Caller, wrong: Any) -> None:
    """D2: the whole request is rejected."""
    name = f"D2 {WRONG_STEPS.index(wrong)}"
    good = step("good", "POST", "sobjects/Account", {"Name": name})
    status, body = await shared.call("POST", "composite", {"compositeRequest": [good, wrong]})
    if status == 200:
        assert body["compositeResponse"][1]["httpStatusCode"] == 404
    else:
        assert (status, body[0]["errorCode"], await count(shared, name)) == (400, "JSON_PARSER_ERROR", 0)


@pytest.mark.parametrize(
    "path",
    ["composite", "composite/batch", "composite/tree/Account", "composite/graph", "jobs/ingest", "metadata/deployRequest",  # noqa: E501
     "nothing", "/services/oauth2/token", "/services/data/v66.0", "x", "@{made}", "@{made.id}", "@{made.errors}"],
)  # fmt: skip
async def test_unsupported_subrequest_of_a_composite_is_rejected(shared: Caller, path: str) -> None:
    """D2."""
    created = step("made", "POST", "sobjects/Account", {"Name": "D2"})
    _, result = await composed(shared, created, step("wrong", "POST", path, {}))
    assert (result["httpStatusCode"], result["body"][0]["errorCode"]) in {
        (404, "NOT_FOUND"),
        (400, "PROCESSING_HALTED"),
    }


async def test_subrequests_keep_their_order_only_without_collation(shared: Caller) -> None:
    """D2: `collateSubrequests` is true from version 49 on."""

    async def orders(version: str, **options: Any) -> set[tuple[str, ...]]:
        seen = set()
        for number in range(8):
            kinds = [("Account", {"Name": "D2 order"}), ("Contact", {"LastName": "x"}), ("Product2", {"Name": "x"})]
            steps = [step(f"r{place}", "POST", f"/services/data/v{version}/sobjects/{kind}", body) for place, (kind, body) in enumerate(kinds)]  # noqa: E501  # fmt: skip
            done: list[str] = []

            def listen(changes: list[Any], done: list[str] = done) -> None:
                done += [change.sobject for change in changes]

            shared.org.org.storage.commit_listeners.append(listen)
            try:
                path = f"/services/data/v{version}/composite"
                status, _ = await shared.call("POST", path, {"compositeRequest": steps, **options})
            finally:
                shared.org.org.storage.commit_listeners.remove(listen)
            assert (status, len(done)) == (200, 3), number
            seen.add(tuple(done))
        return seen

    listed = ("Account", "Contact", "Product2")
    assert await orders("66.0", collateSubrequests=False) == {listed}
    assert await orders("48.0") == {listed}
    assert len(await orders("66.0")) > 1


# -- D3 --------------------------------------------------------------------------------------------------------------


async def test_batch_counts_one_call_per_request(shared: Caller) -> None:
    """D3: each request commits by itself."""
    requests = [
        {"method": "POST", "url": "v66.0/sobjects/Account", "richInput": {"Name": "D3"}},
        {"method": "PATCH", "url": f"v66.0/sobjects/Account/{NEVER}", "richInput": {"Name": "x"}},
        {"method": "GET", "url": "v60.0/limits"},
    ]
    used = shared.org.org.usage.calls
    status, body = await shared.call("POST", "composite/batch", {"batchRequests": requests})
    assert shared.org.org.usage.calls == used + 3
    assert (status, body["hasErrors"]) == (200, True)
    assert [item["statusCode"] for item in body["results"]] == [201, 404, 200]
    assert body["results"][1]["result"][0]["errorCode"] == "INVALID_CROSS_REFERENCE_KEY"
    created = body["results"][0]["result"]["id"]
    one = {"method": "PATCH", "url": f"v66.0/sobjects/Account/{created}", "richInput": {"Phone": "1"}}
    _, body = await shared.call("POST", "composite/batch", {"batchRequests": [one]})
    assert body == {"hasErrors": False, "results": [{"statusCode": 204, "result": None}]}


async def test_batch_with_halt_on_error_stops_at_the_first_error(shared: Caller) -> None:
    """D3: earlier requests are kept, later ones are answered with 412."""
    requests = [
        {"method": "POST", "url": "v66.0/sobjects/Account", "richInput": {"Name": name}}
        for name in ("D3 kept", None, "D3 not")
    ]
    _, body = await shared.call("POST", "composite/batch", {"haltOnError": True, "batchRequests": requests})
    assert [item["statusCode"] for item in body["results"]] == [201, 400, 412]
    assert body["results"][2]["result"][0]["errorCode"] == "BATCH_PROCESSING_HALTED"
    assert (await count(shared, "D3 kept"), await count(shared, "D3 not")) == (1, 0)


@pytest.mark.parametrize("listed", [[], {}, None, [1], [{"method": "GET", "url": "v66.0/limits"}] * 26])
async def test_malformed_batch_is_rejected(shared: Caller, listed: Any) -> None:
    """D3: one to 25 requests."""
    assert (await shared.call("POST", "composite/batch", {"batchRequests": listed}))[0] == 400


@pytest.mark.parametrize("url", ["v67.0/limits", "v33.0/limits", "v66.0/composite", "limits", "", "v66.0/jobs/ingest"])
async def test_unsupported_request_of_a_batch_is_rejected(shared: Caller, url: str) -> None:
    """D3: versions from 34 to that of the batch."""
    _, body = await shared.call("POST", "composite/batch", {"batchRequests": [{"method": "GET", "url": url}]})
    assert (body["hasErrors"], body["results"][0]["statusCode"] in {400, 404}) == (True, True)
