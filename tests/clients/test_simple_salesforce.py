"""simple-salesforce, unchanged, by TLS: every way to sign in, Bulk, search and the Metadata API.

It appends `.salesforce.com` to every domain; an adapter sends the requests to the local org under that name.
"""

from __future__ import annotations

import asyncio
import time
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from requests.adapters import HTTPAdapter
from simple_salesforce import Salesforce, SalesforceLogin
from simple_salesforce.exceptions import SalesforceAuthenticationFailed

from connector.cli.localorg import our_metadata
from connector.localorg.org import OrgOptions
from connector.localorg.server import LocalOrg, Ports
from tests.org.packages import package, text_field, xml

DOMAIN = "local.my"
Use = Callable[[requests.Session], Any]


class Led(HTTPAdapter):
    """An adapter that sends every request to the local org, whatever its host."""

    def __init__(self, org: LocalOrg) -> None:
        super().__init__()
        self._url, self._ca = str(org.tls_url), str(org.ca_file)

    def send(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        request.url = self._url + request.path_url
        return super().send(request, *args, **{**kwargs, "verify": self._ca})


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
async def org(key: rsa.RSAPrivateKey) -> AsyncIterator[LocalOrg]:
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )  # fmt: skip
    async with LocalOrg(
        OrgOptions(metadata_root=our_metadata(), jwt_public_key=public.decode()), Ports(tls=0)
    ) as running:
        yield running


@contextmanager
def session(org: LocalOrg) -> Iterator[requests.Session]:
    with requests.Session() as made:
        made.mount("https://", Led(org))
        yield made


async def used(org: LocalOrg, use: Callable[[Salesforce], Any]) -> Any:
    """Return what a signed-in client read."""

    def work() -> Any:
        with session(org) as made:
            client = Salesforce(
                consumer_key=org.client_id, consumer_secret=org.client_secret, domain=DOMAIN, session=made,
                version="60.0",
            )  # fmt: skip
            return use(client)

    return await asyncio.to_thread(work)


async def test_simple_salesforce_signs_in_in_every_way(org: LocalOrg, key: rsa.RSAPrivateKey) -> None:
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()  # fmt: skip
    app = {"consumer_key": org.client_id, "consumer_secret": org.client_secret}
    user = {"username": org.username, "password": org.password}
    ways: list[dict[str, str]] = [
        {**user, "security_token": org.security_token},
        {**user, "security_token": ""},
        {**user, "organizationId": org.org.auth.identity.organization_id},
        {**user, **app},
        app,
        {"username": org.username, "consumer_key": org.client_id, "privatekey": private, "domain": "login"},
    ]

    def work() -> list[tuple[str, str]]:
        with session(org) as made:
            result = [SalesforceLogin(**{"domain": DOMAIN, **way}, session=made) for way in ways]
            with pytest.raises(SalesforceAuthenticationFailed, match="INVALID_LOGIN"):
                SalesforceLogin(**{**ways[0], "password": "no"}, domain=DOMAIN, session=made)
            with pytest.raises(SalesforceAuthenticationFailed, match="invalid_client"):
                SalesforceLogin(**{**app, "consumer_secret": "no"}, domain=DOMAIN, session=made)
            return result

    tokens = await asyncio.to_thread(work)
    assert len(tokens) == len(ways)
    assert all(org.org.auth.bearer_session(f"Bearer {token}") for token, _ in tokens)
    assert {f"https://{host}" for _, host in tokens} == {org.tls_url}


async def test_simple_salesforce_uses_bulk_and_search(org: LocalOrg, hurried: None) -> None:
    def use(client: Salesforce) -> None:
        rows = [{"Name": "Acme Brothers", "External_Key__c": "k"}, {"Name": "", "External_Key__c": "l"}]
        classic = client.bulk.Account.upsert(rows, "External_Key__c", batch_size=100)
        assert [(row["success"], row["created"]) for row in classic] == [(True, True), (False, False)]
        (job,) = client.bulk2.Account.upsert(records=rows, external_id_field="External_Key__c")
        assert (job["numberRecordsProcessed"], job["numberRecordsFailed"]) == (2, 1)
        assert "REQUIRED_FIELD_MISSING" in client.bulk2.Account.get_failed_records(job["job_id"])
        result = client.search("FIND {Brothers} IN ALL FIELDS RETURNING Account(Name)")
        assert [row["Name"] for row in result["searchRecords"]] == ["Acme Brothers"]
        assert len(client.quick_search("Brothers")["searchRecords"]) == 1
        assert client.Order.describe_layout("012000000000000AAA")["detailLayoutSections"]
        types = client.toolingexecute(
            "query/?q=SELECT+DataType+FROM+FieldDefinition+WHERE+DurableId='Order.EffectiveDate'"
        )
        assert [row["DataType"] for row in types["records"]] == ["Date"]

    await used(org, use)


async def test_simple_salesforce_uses_metadata_api(
    org: LocalOrg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(org.ca_file))  # zeep has a session of its own
    content = tmp_path / "deploy.zip"
    content.write_bytes(
        package({"objects/Account.object": xml("CustomObject", text_field("By_Zip__c"))},
                CustomField="Account.By_Zip__c")
    )  # fmt: skip
    assert zipfile.is_zipfile(content)

    def use(client: Salesforce) -> None:
        started = client.deploy(
            str(content), sandbox=True, checkOnly=False, rollbackOnError=True, testLevel="NoTestRun"
        )
        assert started["state"] == "Queued"
        api = client.mdapi
        kinds = {item.xmlName for item in api.describe_metadata().metadataObjects}
        assert {"CustomObject", "PermissionSet"} <= kinds
        created = api.CustomField(fullName="Account.By_Zeep__c", label="Z", type=api.FieldType("Text"), length=20)
        api.CustomField.create(created)
        assert api.CustomField.read("Account.By_Zeep__c").length == 20
        listed = api.list_metadata([api.ListMetadataQuery(type="CustomField")])
        assert "Account.By_Zeep__c" in {item.fullName for item in listed}
        api.CustomField.delete("Account.By_Zeep__c")
        for _ in range(200):  # the deployment goes on by itself
            if client.checkDeployStatus(started["asyncId"], sandbox=True)["state"] == "Succeeded":
                break
            time.sleep(0.05)
        api._client.transport.session.close()  # it leaves that to the end of the process

    await used(org, use)
    names = {name for kind, name in org.org.deployed.names if kind == "CustomField"}
    assert {"Account.By_Zip__c", "Account.By_Zeep__c"} & names == {"Account.By_Zip__c"}
