"""Deployment of our metadata: the contents of the package, and the result if the org refuses it."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import pytest

from connector.cli.localorg import our_metadata
from connector.clock import SystemClock
from connector.jobs.org_deploy import DeploySummary, deploy_metadata
from connector.localorg.server import LocalOrg
from connector.salesforce.client import SalesforceClient
from connector.salesforce.metadata import NAMESPACE, build_package
from tests.contract.conftest import Connect

FIELD = (
    f'<?xml version="1.0"?>\n<CustomField xmlns="{NAMESPACE}">\n<fullName>{{}}</fullName>\n<label>L</label>'
    "\n<type>Text</type>\n<length>{}</length></CustomField>"
)
TAG = f"{{{NAMESPACE}}}"


def parsed(content: bytes, path: str) -> ElementTree.Element:
    return ElementTree.fromstring(zipfile.ZipFile(io.BytesIO(content)).read(path))  # noqa: S314 - our own


def project(folder: Path, **lengths: int) -> Path:
    fields = folder / "objects" / "Order" / "fields"
    fields.mkdir(parents=True)
    for name, length in lengths.items():
        (fields / f"{name}.field-meta.xml").write_text(FIELD.format(name, length))
    return folder


def test_package_lists_each_component_and_groups_fields_by_object() -> None:
    package = build_package(our_metadata(), version="66.0")
    manifest = parsed(package.content, "package.xml")
    named = {
        (types.findtext(f"{TAG}name"), member.text) for types in manifest.iter(f"{TAG}types")
        for member in types.iter(f"{TAG}members")
    }  # fmt: skip
    assert ("CustomField", "Order.External_Key__c") in named
    assert ("CustomObject", "Order_Action__e") in named
    assert ("PermissionSet", "CRM_Connector") in named
    assert ("CustomObject", "Account") not in named  # nothing of the org's own is changed but the history of Order
    assert len(named) == package.count
    order = parsed(package.content, "objects/Order.object")
    assert {f"Order.{name.text}" for name in order.iter(f"{TAG}fullName")} >= {"Order.External_Key__c"}
    assert build_package(our_metadata(), version="66.0").content == package.content  # the same bytes each time


def test_reports_and_dashboards_are_deployed_in_their_folders(tmp_path: Path) -> None:
    for path in (
        "reports/Ours.reportFolder", "reports/Ours/Late.report", "dashboards/Ours.dashboardFolder",
        "dashboards/Ours/Day.dashboard", "layouts/Order-Ours.layout",
    ):  # fmt: skip
        file = tmp_path / f"{path}-meta.xml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("<x/>")
    package = build_package(tmp_path, version="66.0")
    assert package.members == {
        "Report": ("Ours", "Ours/Late"), "Dashboard": ("Ours", "Ours/Day"), "Layout": ("Order-Ours",),
    }  # fmt: skip
    assert sorted(zipfile.ZipFile(io.BytesIO(package.content)).namelist()) == [
        "dashboards/Ours-meta.xml", "dashboards/Ours/Day.dashboard", "layouts/Order-Ours.layout", "package.xml",
        "reports/Ours-meta.xml", "reports/Ours/Late.report",
    ]  # fmt: skip


async def deployed(client: SalesforceClient, root: Path) -> DeploySummary:
    return await deploy_metadata(
        client, root, version="66.0", clock=SystemClock(), on_progress=lambda _done, _total: None
    )


async def test_refused_component_is_reported_with_its_line_and_nothing_is_deployed(
    org: LocalOrg, client: SalesforceClient, tmp_path: Path
) -> None:
    summary = await deployed(client, project(tmp_path, Good__c=10, Bad__c=999))
    assert (summary.deployed.succeeded, summary.deployed.status) == (False, "Failed")
    [problem] = summary.deployed.problems
    assert (problem.type, problem.name, problem.file) == ("CustomField", "Order.Bad__c", "objects/Order.object")
    assert problem.line is not None
    assert "length" in problem.text
    sobject = org.org.schema.get("Order")
    assert sobject is not None
    assert "good__c" not in sobject.all_fields


async def test_channel_leaves_out_the_changes_of_the_user_that_deploys_it(org: LocalOrg, connect: Connect) -> None:
    member = {"Username": "sync@ours.example", "LastName": "Sync", "Email": "sync@ours.example", "IsActive": 1}
    user = str(org.org.dml.platform_insert("User", **member))
    org.org.auth.users.set_password(user, "correct horse 1")
    client = connect(auth="password", username="sync@ours.example", password="correct horse 1")
    summary = await deploy_metadata(
        client, our_metadata(), version="66.0", clock=SystemClock(), on_progress=lambda _done, _total: None
    )
    assert (summary.deployed.succeeded, summary.filtered_user) == (True, user)
    members = org.org.hub.channels["/data/Connector__chn"].values()
    assert {item.condition for item in members} == {f"ChangeEventHeader.commitUser != '{user}'"}
    assert len(members) == 3


async def test_package_without_permission_sets_assigns_none(client: SalesforceClient, tmp_path: Path) -> None:
    summary = await deployed(client, project(tmp_path, Good__c=10))
    assert (summary.deployed.status, summary.assigned, summary.unassigned) == ("Succeeded", (), ())


@pytest.mark.parametrize("fault", [{"status": 503, "count": 1}, {"expired_session": 1}])
async def test_deployment_survives_a_temporary_fault_while_waiting(
    org: LocalOrg, client: SalesforceClient, tmp_path: Path, fault: dict[str, int]
) -> None:
    org.org.faults.configure(dict(fault))
    summary = await deployed(client, project(tmp_path, Good__c=10))
    assert summary.deployed.succeeded
