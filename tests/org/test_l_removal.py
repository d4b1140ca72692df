"""Chapter L: destructive changes, as Salesforce's command line and CumulusCI deploy them."""

from __future__ import annotations

from connector.localorg.metadata.deployments import OPTIONS, Deployment
from tests.org.conftest import Caller
from tests.org.packages import manifest, package, permission_set, text_field, xml


def deployed(caller: Caller, content: bytes) -> Deployment:
    deployments = caller.org.org.deployments
    started = deployments.start(content, dict(OPTIONS))
    deployments.run(started)
    return started


def fields(caller: Caller, sobject: str) -> set[str]:
    body = caller.org.org.schema.get(sobject)
    assert body is not None
    return set(body.all_fields)


async def test_components_are_removed_before_and_after_the_others(caller: Caller) -> None:
    """I3, L17."""
    two = "".join(text_field(name) for name in ("Old__c", "New__c"))
    files = {
        "objects/Account.object": xml("CustomObject", two),
        "permissionsets/Set.permissionset": permission_set("Account.Old__c", "Account.New__c"),
    }
    created = package(files, CustomField="Account.Old__c Account.New__c", PermissionSet="Set")
    assert deployed(caller, created).status == "Succeeded"
    sent = {
        "objects/Account.object": xml("CustomObject", text_field("New__c", length=99)),
        "destructiveChangesPre.xml": manifest({"CustomField": "Account.New__c"}),
        "destructiveChangesPost.xml": manifest({"CustomField": "Account.Old__c Account.No__c", "PermissionSet": "Set"}),
    }
    done = deployed(caller, package(sent, CustomField="Account.New__c"))
    assert done.status == "Succeeded"
    result = {(item.name, item.file.partition(".")[0]): item for item in done.messages}
    assert result["Account.Old__c", "destructiveChangesPost"].deleted
    assert result["Set", "destructiveChangesPost"].deleted
    assert result["Account.No__c", "destructiveChangesPost"].problem == "No CustomField named: Account.No__c found"
    assert done.messages[0].name == "Account.New__c"
    assert {"new__c", "old__c"} & fields(caller, "Account") == {"new__c"}
    assert await caller.query("SELECT Id FROM PermissionSet WHERE Name = 'Set'") == []


async def test_removal_of_a_needed_component_fails_the_deployment(caller: Caller) -> None:
    """I3, L17."""
    gone = manifest({"CustomObject": "Account", "CustomField": "Order.Channel__c"})
    done = deployed(caller, package({"destructiveChanges.xml": gone}))
    assert (done.status, [item.problem for item in done.failures]) == (
        "Failed", ["Cannot delete standard object: Account"],
    )  # fmt: skip
    assert "channel__c" in fields(caller, "Order")


async def test_removed_object_loses_its_fields_and_rows(caller: Caller) -> None:
    """I3, L17."""
    name = "<nameField><label>Name</label><type>Text</type></nameField>"
    own = f"{name}<label>Box</label><pluralLabel>Boxes</pluralLabel><deploymentStatus>Deployed</deploymentStatus>"
    text = xml("CustomObject", f"{own}<sharingModel>ReadWrite</sharingModel>{text_field('Size__c')}")
    content = package({"objects/Box__c.object": text}, CustomObject="Box__c")
    assert deployed(caller, content).status == "Succeeded"
    await caller.create("Box__c", Name="A")
    gone = package({"destructiveChanges.xml": manifest({"CustomObject": "Box__c"})})
    assert deployed(caller, gone).status == "Succeeded"
    assert (await caller.call("GET", "sobjects/Box__c/describe"))[0] == 404
    assert not caller.org.org.deployed.has("CustomField", "Box__c.Size__c")
    assert deployed(caller, content).status == "Succeeded"
    assert await caller.query("SELECT Id FROM Box__c") == []


async def test_wildcard_in_destructive_changes_is_rejected(caller: Caller) -> None:
    """I3, L17."""
    done = deployed(caller, package({"destructiveChanges.xml": manifest({"CustomField": "*"})}))
    assert (done.status, "not by *" in str(done.error)) == ("Failed", True)
