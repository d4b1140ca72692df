"""Chapter I: the Metadata API by REST and SOAP (I3), checks of components (I2), field-level security (I4)."""

from __future__ import annotations

import asyncio
import io
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import requests

from connector.cli.localorg import our_metadata
from connector.localorg.org import OrgOptions
from connector.localorg.server import LocalOrg
from tests.org.conftest import BASE, Caller
from tests.org.packages import package, permission_set, text_field, xml
from tests.org.test_a_sign_in import Redirect

SOON = 10.0
Failures = list[tuple[str, str, int]]


@pytest.fixture
async def bare() -> AsyncIterator[Caller]:
    async with LocalOrg() as org, aiohttp.ClientSession() as http:
        yield Caller(org, http)


class Deployer:
    """REST deployments of one org."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller

    async def post(self, content: bytes, **options: Any) -> tuple[int, Any]:
        form = aiohttp.FormData()
        form.add_field("json", json.dumps({"deployOptions": options}), content_type="application/json")
        form.add_field("file", io.BytesIO(content), filename="deploy.zip", content_type="application/zip")
        headers = {"Authorization": f"Bearer {self.caller.org.access_token}"}
        url = f"{self.caller.org.url}{BASE}/metadata/deployRequest"
        async with self.caller.http.post(url, data=form, headers=headers) as answer:
            return answer.status, await answer.json()

    async def deploy(self, content: bytes, **options: Any) -> dict[str, Any]:
        """Return the result of a finished deployment."""
        status, body = await self.post(content, **options)
        assert (status, body["deployResult"]["done"]) == (201, False), body
        return await self.over(body["id"])

    async def over(self, deployment_id: str) -> dict[str, Any]:
        """Wait for the result."""
        async with asyncio.timeout(SOON):
            while True:
                _, body = await self.caller.call("GET", f"metadata/deployRequest/{deployment_id}?includeDetails=true")
                if body["deployResult"]["done"]:
                    return dict(body["deployResult"])
                await asyncio.sleep(0.01)

    async def failures(self, content: bytes, **options: Any) -> Failures:
        result = await self.deploy(content, **options)
        assert result["status"] == "Failed", result
        return [
            (item["fullName"], item["problem"], item["lineNumber"]) for item in result["details"]["componentFailures"]
        ]

    async def seen(self, sobject: str, field: str) -> dict[str, Any] | None:
        _, body = await self.caller.call("GET", f"sobjects/{sobject}/describe")
        return next((item for item in body["fields"] if item["name"] == field), None)

    async def assign(self, name: str) -> str:
        [rows] = await self.caller.query(f"SELECT Id FROM PermissionSet WHERE Name = '{name}'")
        user = self.caller.org.org.auth.identity.user_id
        return await self.caller.create("PermissionSetAssignment", PermissionSetId=rows["Id"], AssigneeId=user)


@pytest.fixture
def deployer(bare: Caller) -> Deployer:
    return Deployer(bare)


def with_field(name: str = "Grade__c", more: str = "") -> dict[str, str]:
    return {"objects/Account.object": xml("CustomObject", text_field(name, more=more))}


def field_and_set() -> bytes:
    files = {**with_field(), "permissionsets/Graders.permissionset": permission_set("Account.Grade__c")}
    return package(files, CustomObject="Account", PermissionSet="Graders")


# -- what is deployed exists ------------------------------------------------------------------------------------------


async def test_deployed_field_is_visible_once_a_permission_set_grants_it(deployer: Deployer) -> None:
    """I4."""
    done = await deployer.deploy(field_and_set())
    assert (done["status"], done["success"], done["numberComponentsDeployed"]) == ("Succeeded", True, 3)
    created = {
        (item["componentType"], item["fullName"]): item["created"] for item in done["details"]["componentSuccesses"]
    }
    assert created[("CustomField", "Account.Grade__c")]
    assert await deployer.seen("Account", "Grade__c") is None
    status, code, _ = await deployer.caller.refusal("POST", "sobjects/Account", {"Name": "A", "Grade__c": "x"})
    assert (status, code) == (400, "INVALID_FIELD")
    given = await deployer.assign("Graders")
    assert await deployer.seen("Account", "Grade__c") is not None
    account = await deployer.caller.create("Account", Name="A", Grade__c="x")
    assert (await deployer.caller.query("SELECT Grade__c FROM Account"))[0]["Grade__c"] == "x"
    await deployer.caller.call("DELETE", f"sobjects/PermissionSetAssignment/{given}")
    status, code, _ = await deployer.caller.refusal("GET", "query?q=SELECT+Grade__c+FROM+Account")
    assert (status, code) == (400, "INVALID_FIELD")
    _, row = await deployer.caller.call("GET", f"sobjects/Account/{account}")
    assert "Grade__c" not in row


async def test_read_only_field_cannot_be_written(deployer: Deployer) -> None:
    """B8, I4."""
    readers = {"permissionsets/Readers.permissionset": permission_set("Account.Grade__c", editable=False)}
    await deployer.deploy(package(with_field() | readers, CustomObject="Account", PermissionSet="Readers"))
    await deployer.assign("Readers")
    result = await deployer.seen("Account", "Grade__c")
    assert result is not None
    assert (result["createable"], result["updateable"]) == (False, False)
    status, code, _ = await deployer.caller.refusal("POST", "sobjects/Account", {"Name": "A", "Grade__c": "x"})
    assert (status, code) == (400, "INVALID_FIELD_FOR_INSERT_UPDATE")


async def test_repeated_deployment_updates_changed_properties_only(deployer: Deployer) -> None:
    """I3."""
    await deployer.deploy(field_and_set())
    await deployer.assign("Graders")
    second = await deployer.deploy(field_and_set())
    assert [item["created"] for item in second["details"]["componentSuccesses"]] == [False] * 3
    longer = {"objects/Account.object": xml("CustomObject", text_field("Grade__c", length=30))}
    await deployer.deploy(package(longer, CustomObject="Account"))
    result = await deployer.seen("Account", "Grade__c")
    assert result is not None
    assert result["length"] == 30
    other = xml("CustomObject", "<fields><fullName>Grade__c</fullName><label>G</label><type>Date</type></fields>")
    [(name, problem, _)] = await deployer.failures(package({"objects/Account.object": other}, CustomObject="Account"))
    assert (name, "Cannot change the type" in problem) == ("Account.Grade__c", True)


async def test_custom_object_and_event_can_be_deployed(deployer: Deployer) -> None:
    """I2."""
    files = {
        "objects/Visit__c.object": xml(
            "CustomObject",
            "<label>Visit</label><pluralLabel>Visits</pluralLabel><deploymentStatus>Deployed</deploymentStatus>"
            "<sharingModel>ReadWrite</sharingModel><nameField><label>Title</label><type>Text</type></nameField>"
            "<fields><fullName>Account__c</fullName><label>A</label><type>MasterDetail</type>"
            "<referenceTo>Account</referenceTo><relationshipName>Visits</relationshipName></fields>",
        ),
        "objects/Visited__e.object": xml(
            "CustomObject",
            "<label>Visited</label><pluralLabel>Visited</pluralLabel><eventType>HighVolume</eventType>"
            "<publishBehavior>PublishAfterCommit</publishBehavior>" + text_field("Title__c"),
        ),
        "platformEventChannels/Visits__chn.platformEventChannel": xml(
            "PlatformEventChannel", "<channelType>event</channelType><label>V</label>"
        ),
        "platformEventChannelMembers/Visits.platformEventChannelMember": xml(
            "PlatformEventChannelMember",
            "<eventChannel>Visits__chn</eventChannel><selectedEntity>Visited__e</selectedEntity>",
        ),
        "managedEventSubscriptions/Keeper.managedEventSubscription": xml(
            "ManagedEventSubscription",
            "<label>K</label><topicName>/event/Visits__chn</topicName><defaultReplay>EARLIEST</defaultReplay>"
            "<state>RUN</state>",
        ),
    }
    done = await deployer.deploy(
        package(files, CustomObject="*", PlatformEventChannel="*", PlatformEventChannelMember="*",
                ManagedEventSubscription="Keeper")
    )  # fmt: skip
    assert done["status"] == "Succeeded", done["details"]["componentFailures"]
    account = await deployer.caller.create("Account", Name="A")
    await deployer.caller.create("Visit__c", Name="First", Account__c=account)
    rows = await deployer.caller.query("SELECT Name, (SELECT Name FROM Visits__r) FROM Account")
    assert [row["Name"] for row in rows[0]["Visits__r"]["records"]] == ["First"]
    await deployer.caller.create("Visited__e", Title__c="x")
    hub = deployer.caller.org.org.hub
    assert hub.resolve_topics("/event/Visits__chn") == {"/event/Visited__e"}
    assert len(hub.bus.events_after(0, ["/event/Visited__e"], 10)) == 1


async def test_deployed_metadata_is_kept_after_a_restart(tmp_path: Path) -> None:
    """Ours."""
    async with LocalOrg(OrgOptions(data=tmp_path / "org.db")) as org, aiohttp.ClientSession() as http:
        deployer = Deployer(Caller(org, http))
        await deployer.deploy(field_and_set())
        await deployer.assign("Graders")
        await deployer.caller.create("Account", Name="A", Grade__c="x")
    async with LocalOrg(OrgOptions(data=tmp_path / "org.db")) as org, aiohttp.ClientSession() as http:
        assert (await Caller(org, http).query("SELECT Grade__c FROM Account"))[0]["Grade__c"] == "x"


# -- what is refused --------------------------------------------------------------------------------------------------


async def test_invalid_component_is_reported_with_its_line_and_nothing_deployed(deployer: Deployer) -> None:
    """I3."""
    wrong = text_field("Good__c") + "\n" + text_field("Bad__c", length=300)
    content = package({"objects/Account.object": xml("CustomObject", wrong)}, CustomObject="Account")
    assert await deployer.failures(content) == [("Account.Bad__c", "length must be between 1 and 255", 6)]
    assert (await deployer.deploy(package(with_field("Good__c"), CustomObject="Account")))["status"] == "Succeeded"
    partly = await deployer.deploy(content, rollbackOnError=False)
    assert (partly["status"], partly["numberComponentErrors"]) == ("SucceededPartial", 1)


async def test_check_only_deployment_changes_nothing(deployer: Deployer) -> None:
    """I3."""
    done = await deployer.deploy(field_and_set(), checkOnly=True)
    assert (done["status"], done["checkOnly"]) == ("Succeeded", True)
    assert await deployer.caller.query("SELECT Id FROM PermissionSet") == []


REFUSED: list[tuple[str, str, str, str]] = [
    ("permissionsets/P.permissionset", "PermissionSet", permission_set("Order.No__c"),
     "no CustomField named Order.No__c"),
    ("layouts/Order-L.layout", "Layout",
     xml("Layout", "<layoutSections><layoutColumns><layoutItems><behavior>Edit</behavior><field>No__c</field>"
                   "</layoutItems></layoutColumns></layoutSections>"), "no CustomField named Order.No__c"),
    ("layouts/Nothing-L.layout", "Layout", xml("Layout", ""), "'Nothing' is not available"),
    ("reportTypes/R.reportType", "ReportType",
     xml("ReportType", "<baseObject>Account</baseObject><category>other</category><deployed>true</deployed>"
                       "<label>R</label><join><outerJoin>false</outerJoin><relationship>No</relationship></join>"),
     "no relationship No of Account"),
    ("reports/F/R.report", "Report",
     xml("Report", "<format>Tabular</format><name>R</name><reportType>AccountList</reportType>"), "find folder:F"),
    ("reports/unfiled$public/R.report", "Report",
     xml("Report", "<format>Tabular</format><name>R</name><reportType>No__c</reportType>"), "report type No__c"),
    ("dashboards/unfiled$public/D.dashboard", "Dashboard",
     xml("Dashboard", "<title>D</title><dashboardType>SpecifiedUser</dashboardType><a><report>F/R</report></a>"),
     "no Report named F/R"),
    ("platformEventChannelMembers/M.platformEventChannelMember", "PlatformEventChannelMember",
     xml("PlatformEventChannelMember", "<eventChannel>No__chn</eventChannel><selectedEntity>X__e</selectedEntity>"),
     "no channel No__chn"),
    ("objects/Nothing.object", "CustomObject", xml("CustomObject", ""), "'Nothing' is not available"),
    ("objects/X__e.object", "CustomObject",
     xml("CustomObject", "<label>X</label><pluralLabel>X</pluralLabel><eventType>StandardVolume</eventType>"),
     "HighVolume"),
    ("objects/Account.object", "CustomObject",
     xml("CustomObject", "<listViews><fullName>L</fullName><label>L</label><filterScope>Everything</filterScope>"
                         "<columns>No__c</columns></listViews>"), "list view column: No__c"),
    ("objects/Account.object", "CustomObject", "<oops", "not well-formed"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "kind", "text", "problem"), REFUSED, ids=[f"{item[1]}-{item[3]}" for item in REFUSED])
async def test_component_with_a_broken_reference_is_rejected(
    deployer: Deployer, path: str, kind: str, text: str, problem: str
) -> None:
    """I2."""
    [(_, result, line)] = await deployer.failures(package({path: text}, **{kind: "*"}))
    assert problem in result
    assert line >= 1


async def test_invalid_package_fails_the_deployment(deployer: Deployer) -> None:
    """I3."""
    for content, problem in (
        (b"no zip", "The zip cannot be read"),
        (package({}, Nonsense="*"), "Unknown type name 'Nonsense'"),
        (package({"destructiveChanges.xml": "<x/>"}, CustomObject="*"), "destructiveChanges.xml"),
    ):
        status, body = await deployer.post(content)
        assert (status, body["deployResult"]["status"]) == (201, "Failed")
        assert problem in body["deployResult"]["errorMessage"]
    [(name, problem, _)] = await deployer.failures(package({}, CustomObject="Gone__c"))
    assert (name, "was not found in zipped directory" in problem) == ("package", True)


async def test_malformed_deployment_request_is_rejected(deployer: Deployer) -> None:
    """I3."""
    status, body = await deployer.post(b"x", testLevel="Never")
    assert (status, body[0]["errorCode"]) == (400, "INVALID_OPERATION")
    status, body = await deployer.post(b"x", nonsense=1)
    assert (status, body[0]["errorCode"]) == (400, "JSON_PARSER_ERROR")
    assert (await deployer.caller.call("POST", "metadata/deployRequest", {}))[0] == 415
    assert (await deployer.caller.call("GET", "metadata/deployRequest/0AfLo0000000009AAA"))[0] == 404


async def test_pending_deployment_can_be_canceled(deployer: Deployer) -> None:
    """I3."""
    _, body = await deployer.post(field_and_set())
    path = f"metadata/deployRequest/{body['id']}"
    status, body = await deployer.caller.call("PATCH", path, {"deployResult": {"status": "Canceling"}})
    assert (status, body["deployResult"]["status"]) == (202, "Canceled")
    await asyncio.sleep(0.1)
    assert await deployer.caller.query("SELECT Id FROM PermissionSet") == []


# -- by a client's own library ----------------------------------------------------------------------------------------


async def test_simple_salesforce_deploys_by_soap(bare: Caller) -> None:
    """I3."""
    from simple_salesforce import Salesforce

    def deployed(org: Any, content: bytes) -> Any:
        started = org.deploy(io.BytesIO(content), sandbox=False)
        end = time.monotonic() + SOON
        while (result := org.checkDeployStatus(started["asyncId"]))["state"] not in {"Succeeded", "Failed"}:
            assert time.monotonic() < end
        return result

    def use() -> None:
        with requests.Session() as session:
            session.mount("https://", Redirect(bare.org.url))
            org = Salesforce(session_id=bare.org.access_token, instance="local.salesforce.com", session=session)
            result = deployed(org, field_and_set())
            assert (result["state"], result["deployment_detail"]["deployed_count"]) == ("Succeeded", "3")
            result = deployed(org, package(with_field("Bad"), CustomObject="Account"))
            [error] = result["deployment_detail"]["errors"]
            assert (result["state"], error["message"]) == ("Failed", "fullName must end with __c")

    await asyncio.to_thread(use)
    assert [row["Name"] for row in await bare.query("SELECT Name FROM PermissionSet")] == ["Graders"]


async def test_connector_metadata_is_visible_once_deployed() -> None:
    """Ours."""
    async with LocalOrg(OrgOptions(metadata_root=our_metadata())) as org, aiohttp.ClientSession() as http:
        caller = Caller(org, http)
        assert await Deployer(caller).seen("Order", "External_Key__c") is not None
        rows = await caller.query("SELECT PermissionSet.Name, Assignee.Username FROM PermissionSetAssignment")
        assert [(row["PermissionSet"]["Name"], row["Assignee"]["Username"]) for row in rows] == [
            ("CRM_Connector", org.username)
        ]
