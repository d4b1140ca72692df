"""Mappings over HTTP: the active files, changes with preconditions, versions and plans."""

from __future__ import annotations

from typing import Any

import pytest

from connector.jobs.mappings.activation import Request
from connector.jobs.mappings.admin import MappingAdmin
from connector.mapping.version import read_texts
from connector.model.role import Role
from connector.settings import Settings
from connector.store import journal
from tests.web.conftest import Api

TEXTS = read_texts()
UPPER = TEXTS["order.yaml"].replace("Carrier__c: carrier", "Carrier__c: {path: carrier, transform: upper}")


@pytest.fixture
async def admin(api: Api) -> MappingAdmin:
    """The shipped mappings are version 1."""
    found = MappingAdmin(store=api.store, settings=Settings.model_validate({"_env_file": None}))
    await found.apply(TEXTS, Request(actor="ann", note="the first"))
    return found


async def as_admin(api: Api, method: str, path: str, body: Any = None, **more: Any) -> Any:
    return await api(method, path, body, role=Role.ADMIN, **more)


async def test_mapping_is_read_with_its_tables_and_changed_only_at_the_version_that_was_read(
    api: Api, admin: MappingAdmin
) -> None:
    read = await api("GET", "/mappings/order", role=Role.VIEWER)
    assert (read.status, read.headers["ETag"], read.body["version"]) == (200, '"1"', 1)
    assert (read.body["text"], read.body["tables"].keys()) == (TEXTS["order.yaml"], {"order_status"})
    change = {"text": UPPER, "note": "capitals"}
    assert (await api("PUT", "/mappings/order", change, role=Role.OPS)).status == 403

    dry = await as_admin(api, "PUT", "/mappings/order", change | {"dry_run": True})
    assert (dry.status, dry.body["applied"], dry.body["plan"]["base"]) == (200, None, 1)
    done = await as_admin(api, "PUT", "/mappings/order", change, headers={"If-Match": '"1"'})
    assert (done.status, done.headers["ETag"], done.body["applied"]["version"]["number"]) == (200, '"2"', 2)
    assert done.body["applied"]["version"]["changed"] == ["order.yaml"]
    stale = await as_admin(api, "PUT", "/mappings/order", {"text": TEXTS["order.yaml"]}, headers={"If-Match": '"1"'})
    assert (stale.status, stale.body["rule"], stale.body["field"]) == (412, "version", "If-Match")
    again = await as_admin(api, "PUT", "/mappings/order", change)
    assert (again.status, again.body["rule"]) == (409, "unchanged")
    async with api.store.reader() as connection:
        [entry] = await journal.read(connection, "mapping", "2")
    assert (entry.actor, entry.detail["note"], entry.detail["source"]) == ("admin of tests", "capitals", "HTTP API")


async def test_files_with_faults_are_refused_with_the_place_of_each(api: Api, admin: MappingAdmin) -> None:
    wrong = UPPER.replace("transform: upper", "transform: uper").replace("Freight__c: freight", "Freight__c: freigt")
    refused = await as_admin(api, "PUT", "/mappings/order", {"text": wrong})
    assert (refused.status, refused.body["rule"]) == (422, "mapping")
    assert [(item["field"], item["line"]) for item in refused.body["errors"]] == [
        ("Freight__c", "37"),
        ("Carrier__c", "41"),
    ]
    assert refused.body["errors"][1]["detail"].startswith(
        "mappings/order.yaml:41:31: Carrier__c: has the transform `uper`"
    )
    report = await as_admin(api, "POST", "/mappings/lint", {"files": {**TEXTS, "order.yaml": wrong}})
    assert [(item["level"], item["line"]) for item in report.body["problems"]] == [("error", 37), ("error", 41)]
    assert report.body["orgs"] == []
    missing = await as_admin(api, "POST", "/mappings/plans", {"files": {"product.yaml": None}})
    assert "product.yaml:1:1: file: is missing" in missing.body["errors"][0]["detail"]
    odd = await as_admin(api, "POST", "/mappings/lint", {"files": {"../order.yaml": "x"}})
    assert (odd.status, odd.body["rule"]) == (422, "input")
    assert (await as_admin(api, "GET", "/mappings/ordr")).body["hint"].startswith("Use one of customer, product, order")


async def test_plan_is_applied_once_and_a_version_is_returned_to(api: Api, admin: MappingAdmin) -> None:
    made = await as_admin(api, "POST", "/mappings/plans", {"files": {"order.yaml": UPPER}})
    assert (made.status, made.body["state"]) == (201, "open")
    assert [(item["kind"], item["field"]) for item in made.body["changes"]] == [("source", "Carrier__c")]
    where = made.headers["Location"].removeprefix("/api/v1")
    assert (await as_admin(api, "GET", where)).body == made.body
    assert (await api("GET", where, role=Role.OPS)).status == 403
    applied = await as_admin(api, "POST", f"{where}/apply", {"note": "by plan"})
    assert (applied.status, applied.body["version"]["note"]) == (200, "by plan")
    again = await as_admin(api, "POST", f"{where}/apply", {})
    assert (again.status, again.body["rule"]) == (409, "applied")
    assert (await as_admin(api, "POST", "/mappings/plans/nosuchplan/apply", {})).status == 404

    diff = await api("GET", "/mappings/versions/2/diff", role=Role.VIEWER)
    assert "+  Carrier__c: {path: carrier, transform: upper}" in diff.body["files"][0]["lines"]
    back = await as_admin(api, "POST", "/mappings/plans", {"rollback_to": 1})
    await as_admin(api, "POST", f"/mappings/plans/{back.body['id']}/apply", {})
    page = await api("GET", "/mappings/versions?limit=2", role=Role.VIEWER)
    assert [(item["number"], item["origin"], item["active"]) for item in page.body["versions"]] == [
        (3, "rollback", True),
        (2, "apply", False),
    ]
    rest = await api("GET", f"/mappings/versions?before={page.body['before']}", role=Role.VIEWER)
    assert [item["number"] for item in rest.body["versions"]] == [1]
    assert (await api("GET", "/mappings/versions/1", role=Role.VIEWER)).body["texts"] == dict(TEXTS)
    assert (await api("GET", "/mappings/versions/9", role=Role.VIEWER)).status == 404
    assert [item["state"] for item in (await as_admin(api, "GET", "/mappings/plans")).body["plans"]] == [
        "applied",
        "applied",
    ]


async def test_without_a_version_there_is_no_mapping(api: Api) -> None:
    none = await api("GET", "/mappings/order", role=Role.VIEWER)
    assert (none.status, none.body["detail"]) == (404, "No version of the mappings is stored yet.")


async def test_shadow_is_started_shown_applied_and_discarded(api: Api, admin: MappingAdmin) -> None:
    assert (await as_admin(api, "GET", "/mappings/shadow")).body == {"shadow": None}
    body = {"files": {"order.yaml": UPPER}, "note": "try it"}
    started = await as_admin(api, "PUT", "/mappings/shadow", body)
    assert (started.status, started.body["shadow"]["base"], started.body["shadow"]["note"]) == (200, 1, "try it")
    assert (await api("GET", "/mappings/shadow", role=Role.OPS)).status == 403
    assert (await as_admin(api, "GET", "/mappings/shadow")).body == started.body
    assert (await as_admin(api, "DELETE", "/mappings/shadow")).body == {"shadow": None}
    assert (await as_admin(api, "DELETE", "/mappings/shadow")).status == 404
    await as_admin(api, "PUT", "/mappings/shadow", body)
    applied = await as_admin(api, "POST", "/mappings/shadow/apply", {"note": "it was right"})
    assert (applied.status, applied.body["version"]["number"]) == (200, 2)
    assert (await as_admin(api, "GET", "/mappings/drift?state=all")).body == {"drifts": []}
