"""Chapter I: deployments over REST (I3), with valid and invalid input."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import pytest

from tests.org.conftest import SHARED, Caller
from tests.org.packages import package, permission_set
from tests.org.test_i_metadata import Deployer

pytestmark = SHARED


@pytest.fixture
def deployer(shared: Caller) -> Deployer:
    return Deployer(shared)


def permission_set_zip(name: str) -> bytes:
    return package({f"permissionsets/{name}.permissionset": permission_set(label=name)}, PermissionSet=name)


async def test_deployment_response_has_the_documented_fields(deployer: Deployer) -> None:
    """I3: Pending at first; numbers and details when it has finished."""
    status, body = await deployer.post(permission_set_zip("Shape"))
    assert (status, body["id"][:3], body["url"].endswith(body["id"])) == (201, "0Af", True)
    result = body["deployResult"]
    assert (result["status"], result["done"], result["success"]) == ("Pending", False, False)
    assert body["deployOptions"]["testLevel"] == "NoTestRun"
    done = await deployer.deploy(permission_set_zip("Shape2"))
    assert (done["status"], done["numberComponentsDeployed"], done["numberComponentsTotal"], done["numberComponentErrors"]) == (  # noqa: E501
        "Succeeded", 1, 1, 0,
    )  # fmt: skip
    assert {"componentSuccesses", "componentFailures", "retrieveResult", "runTestResult"} <= done["details"].keys()
    [success] = done["details"]["componentSuccesses"]
    assert (success["componentType"], success["fullName"], success["created"]) == ("PermissionSet", "Shape2", True)
    _, plain = await deployer.caller.call("GET", f"metadata/deployRequest/{done['id']}")
    assert "details" not in plain["deployResult"]


async def test_validated_deployment_can_be_quick_deployed(deployer: Deployer) -> None:
    """I3: quick deploy of a validation that succeeded."""
    checked = await deployer.deploy(permission_set_zip("Quick"), checkOnly=True)
    assert await deployer.caller.query("SELECT Id FROM PermissionSet WHERE Name = 'Quick'") == []
    status, body = await deployer.caller.call("POST", f"metadata/deployRequest/{checked['id']}", {})
    assert (status, body["id"] != checked["id"], body["deployResult"]["checkOnly"]) == (201, True, False)
    done = await deployer.over(body["id"])
    assert (done["status"], done["numberComponentsDeployed"]) == ("Succeeded", 1)
    assert len(await deployer.caller.query("SELECT Id FROM PermissionSet WHERE Name = 'Quick'")) == 1
    plain = await deployer.deploy(permission_set_zip("Quick"))
    for wrong in (plain["id"], done["id"]):
        status, [body] = await deployer.caller.call("POST", f"metadata/deployRequest/{wrong}", {})
        assert (status, body["errorCode"]) == (400, "INVALID_ID_FIELD")


@pytest.mark.parametrize(
    "options",
    [{"testLevel": []}, {"testLevel": 1}, {"checkOnly": "yes"}, {"checkOnly": 1}, {"rollbackOnError": {}},
     {"singlePackage": [True]}, {"runTests": "x"}, {"nonsense": True}],
)  # fmt: skip
async def test_invalid_deploy_option_is_rejected(deployer: Deployer, options: dict[str, Any]) -> None:
    """I3."""
    status, [body] = await deployer.post(permission_set_zip("Options"), **options)
    assert (status, body["errorCode"] in {"JSON_PARSER_ERROR", "INVALID_OPERATION"}) == (400, True)


def corrupt_zip(*, method: int = zipfile.ZIP_DEFLATED, at: float = 0.5) -> bytes:
    """Build a zip whose content cannot be unpacked."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("package.xml", "<Package>" + "<!-- padding -->" * 200 + "</Package>")
    data = bytearray(buffer.getvalue())
    start = data.index(b"package.xml") + 11
    middle = start + int((data.index(b"PK\x01\x02") - start) * at)
    data[middle : middle + 8] = b"\xff" * 8
    return bytes(data)


@pytest.mark.parametrize(
    "content",
    [b"", b"PK", corrupt_zip(), corrupt_zip(at=0), corrupt_zip(method=zipfile.ZIP_BZIP2),
     corrupt_zip(method=zipfile.ZIP_LZMA), corrupt_zip(method=zipfile.ZIP_LZMA, at=0), package({}),
     package({"package.xml": ""}), package({"package.xml": "<a>"})],
)  # fmt: skip
async def test_corrupt_zip_fails_the_deployment(deployer: Deployer, content: bytes) -> None:
    """I3: the org continues to work."""
    status, body = await deployer.post(content)
    assert status == 201
    done = await deployer.over(body["id"])
    assert done["status"] in {"Failed", "Succeeded"}
    assert (await deployer.deploy(permission_set_zip("After")))["status"] == "Succeeded"


@pytest.mark.parametrize(
    "text",
    [
        "<a>" * 3_000 + "</a>" * 3_000,
        "",
        "<x/>",
        '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
        "\x00",
        "<PermissionSet/>",
    ],
    ids=["deep", "empty", "other", "entities", "nul", "bare"],
)
async def test_invalid_file_fails_its_component(deployer: Deployer, text: str) -> None:
    """I3: a failure of the component, with its line."""
    for path, kind in (("permissionsets/P.permissionset", "PermissionSet"), ("objects/Account.object", "CustomObject"),
                       ("settings/Order.settings", "Settings"), ("reports/F/R.report", "Report"),
                       ("dashboards/F/D.dashboard", "Dashboard"), ("layouts/Order-L.layout", "Layout")):  # fmt: skip
        status, body = await deployer.post(package({path: text}, **{kind: "*"}))
        done = await deployer.over(body["id"])
        assert (status, done["status"] in {"Succeeded", "Failed"}, "UNKNOWN" in (done["errorMessage"] or "")) == (
            201, True, False,
        ), path  # fmt: skip


async def test_too_large_zip_is_rejected(deployer: Deployer, monkeypatch: pytest.MonkeyPatch) -> None:
    """I3: the limit is 39 MB, lowered here."""
    monkeypatch.setattr("connector.localorg.rest.metadata_api.MAX_ZIP_BYTES", 100)
    status, [body] = await deployer.post(permission_set_zip("Large"))
    assert (status, body["errorCode"]) == (400, "LIMIT_EXCEEDED")


async def test_zip_of_more_than_10000_files_fails(deployer: Deployer) -> None:
    """I3."""
    many = {f"permissionsets/P{number}.permissionset": "<x/>" for number in range(10_000)}
    _, body = await deployer.post(package(many, PermissionSet="*"))
    assert (body["deployResult"]["status"], "10,000 files" in body["deployResult"]["errorMessage"]) == ("Failed", True)
