"""Duplicate rules: which rows are rejected, what the response lists, and what the caller may save anyway."""

from __future__ import annotations

from typing import Any

import pytest

from connector.localorg.settings import DuplicateRule, OrgSettings
from tests.org.conftest import BASE
from tests.org.test_seed import running


@pytest.mark.parametrize(("action", "saved"), [("alert", 201), ("block", 400)])
async def test_duplicate_is_rejected_unless_the_caller_allows_it(action: Any, saved: int) -> None:
    """B7, B8: DUPLICATES_DETECTED with the matches; `allowSave=true` passes an alert, never a block."""
    rule = DuplicateRule(name="Same_Account", sobject="Account", match=["Name", "BillingPostalCode"], action=action)
    async with running(OrgSettings(duplicate_rules=[rule])) as caller:
        body = {"Name": "Acme", "BillingPostalCode": "10115"}
        first = await caller.create("Account", **body)
        await caller.create("Account", Name="Acme")
        same = body | {"Name": "ACME"}
        status, [error] = await caller.call("POST", "sobjects/Account", same)
        assert (status, error["errorCode"], error["message"]) == (
            400, "DUPLICATES_DETECTED", "Use one of these records?"
        )  # fmt: skip
        result = error["duplicateResult"]
        assert (result["duplicateRule"], result["allowSave"]) == ("Same_Account", action == "alert")
        [match] = result["matchResults"][0]["matchRecords"]
        assert match["record"]["Id"] == first
        assert match["record"]["attributes"]["url"] == f"{BASE}/sobjects/Account/{first}"
        sent = {"records": [{"attributes": {"type": "Account"}, **same}]}
        _, [row] = await caller.call("POST", "composite/sobjects", sent)
        assert row["errors"][0]["statusCode"] == "DUPLICATES_DETECTED"
        header = {"Sforce-Duplicate-Rule-Header": "allowSave=true; includeRecordDetails=false"}
        assert (await caller.call("POST", "sobjects/Account", same, **header))[0] == saved


def _errors(answer: Any) -> list[dict[str, Any]]:
    """Yield every error with matches, at any depth of a response."""
    if isinstance(answer, list):
        return [error for item in answer for error in _errors(item)]
    if not isinstance(answer, dict):
        return []
    own = [answer] if "duplicateResult" in answer else []
    return own + [error for name, item in answer.items() if name != "duplicateResult" for error in _errors(item)]


DOORS: dict[str, tuple[str, str, Any]] = {
    "upsert": ("PATCH", "sobjects/Account/External_Key__c/new", "{}"),
    "collection": ("POST", "composite/sobjects", {"records": ["{}"]}),
    "collection upsert": ("PATCH", "composite/sobjects/Account/External_Key__c", {"records": ["{} key"]}),
    "composite": ("POST", "composite", {"compositeRequest": [
        {"method": "POST", "url": f"{BASE}/sobjects/Account", "referenceId": "a", "body": "{}"}]}),
    "composite collection": ("POST", "composite", {"compositeRequest": [
        {"method": "POST", "url": f"{BASE}/composite/sobjects", "referenceId": "a", "body": {"records": ["{}"]}}]}),
    "graph": ("POST", "composite/graph", {"graphs": [{"graphId": "g", "compositeRequest": [
        {"method": "POST", "url": f"{BASE}/sobjects/Account", "referenceId": "a", "body": "{}"}]}]}),
    "batch": ("POST", "composite/batch", {"batchRequests": [
        {"method": "POST", "url": "v66.0/sobjects/Account", "richInput": "{}"}]}),
    "tree": ("POST", "composite/tree/Account", {"records": ["{} tree"]}),
}  # fmt: skip


def _filled(template: Any, body: dict[str, Any]) -> Any:
    if isinstance(template, dict):
        return {name: _filled(item, body) for name, item in template.items()}
    if isinstance(template, list):
        return [_filled(item, body) for item in template]
    attributes = {"type": "Account"} | ({"referenceId": "a"} if str(template).endswith("tree") else {})
    key = {"External_Key__c": "new"} if str(template).endswith("key") else {}
    listed = body | key | {"attributes": attributes}
    return {"{}": listed, "{} key": listed, "{} tree": listed}.get(template, template)


@pytest.mark.parametrize("action", ["alert", "block"])
async def test_duplicate_result_lists_the_matches_in_every_api(action: Any) -> None:
    """B7, B8: rows, collections, composite, graph, batch and tree; the header applies to all."""
    rule = DuplicateRule(name="Same_Account", sobject="Account", match=["Name"], action=action)
    async with running(OrgSettings(duplicate_rules=[rule])) as caller:
        first = await caller.create("Account", Name="Acme")
        header = {"Sforce-Duplicate-Rule-Header": "allowSave=true"}
        for door, (method, path, template) in DOORS.items():
            sent = _filled(template, {"Name": "ACME"})
            _, answer = await caller.call(method, path, sent)
            [error] = _errors(answer)
            code = error.get("statusCode") or error.get("errorCode")
            [match] = error["duplicateResult"]["matchResults"]
            result = (code, match["entityType"], [item["record"]["Id"] for item in match["matchRecords"]])
            assert result == ("DUPLICATES_DETECTED", "Account", [first]), door
            status, answer = await caller.call(method, path, sent, **header)
            passed = status < 400 and not _errors(answer)
            assert passed == (action == "alert"), door
            for row in await caller.query("SELECT Id FROM Account"):
                if row["Id"] != first:
                    await caller.call("DELETE", f"sobjects/Account/{row['Id']}")
