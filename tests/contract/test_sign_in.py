"""Every sign-in method of our client, against an org that checks it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import SecretStr

from connector.cli.localorg import our_metadata
from connector.clock import SystemClock
from connector.errors import AuthError, RefusedError, SettingsError
from connector.localorg.org import OrgOptions
from connector.localorg.server import LocalOrg
from connector.salesforce.client import SalesforceClient
from connector.settings.salesforce import AuthMethod, SalesforceSettings
from tests.contract.conftest import Connect


async def test_sign_in_by_client_credentials_succeeds(org: LocalOrg, connect: Connect) -> None:
    client = connect()
    assert await client.connect() == org.org.auth.identity.organization_id
    assert client.instance_url == org.url


SIGN_IN = """
import asyncio, sys
from connector.clock import SystemClock
from connector.salesforce.client import SalesforceClient
from connector.salesforce.query import soql
from connector.settings.salesforce import SalesforceSettings
async def main():
    settings = SalesforceSettings(login_url=sys.argv[1], client_id=sys.argv[2], client_secret=sys.argv[3])
    async with SalesforceClient(settings, clock=SystemClock(), attempts=1) as client:
        print(len(await client.query(soql("SELECT Id FROM Account WHERE Name = {name}", name="O'Neil"))))
asyncio.run(main())
print({"simple_salesforce", "zeep", "lxml", "jwt", "cryptography"} & sys.modules.keys())
"""


async def test_sign_in_and_query_load_nothing_for_metadata_or_assertions(org: LocalOrg) -> None:
    """They take more memory than the sign-in of a worker is worth."""
    arguments = ["-c", SIGN_IN, org.url, org.client_id, org.client_secret]
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE)
    answer, _ = await process.communicate()
    *_, rows, loaded = answer.decode().splitlines()
    assert (rows, loaded) == ("0", "set()")


async def test_sign_in_by_user_and_password_succeeds(org: LocalOrg, connect: Connect) -> None:
    password = SecretStr(org.password + org.security_token)
    client = connect(auth=AuthMethod.PASSWORD, username=org.username, password=password)
    assert await client.connect() == org.org.auth.identity.organization_id


async def test_wrong_password_is_rejected_without_being_quoted(org: LocalOrg, connect: Connect) -> None:
    client = connect(auth=AuthMethod.PASSWORD, username=org.username, password=SecretStr("hunter2"))
    with pytest.raises(AuthError, match="invalid_grant") as refused:
        await client.connect()
    assert "hunter2" not in str(refused.value)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    path = tmp_path / "key.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )  # fmt: skip
    return path


def public_half(path: Path) -> str:
    key = serialization.load_pem_private_key(path.read_bytes(), None).public_key()
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


async def test_sign_in_by_signed_assertion_succeeds(key_file: Path) -> None:
    async with LocalOrg(OrgOptions(metadata_root=our_metadata(), jwt_public_key=public_half(key_file))) as org:
        settings = SalesforceSettings(
            login_url=org.url, client_id=org.client_id, auth=AuthMethod.JWT, username=org.username,
            private_key_file=key_file,
        )  # fmt: skip
        async with SalesforceClient(settings, clock=SystemClock(), attempts=3) as client:
            assert await client.connect() == org.org.auth.identity.organization_id
            assert len(await client.query("SELECT Id FROM Organization")) == 1


async def test_assertion_signed_by_another_key_is_rejected(key_file: Path, connect: Connect, org: LocalOrg) -> None:
    client = connect(auth=AuthMethod.JWT, username=org.username, private_key_file=key_file)
    with pytest.raises(AuthError, match="invalid_"):
        await client.connect()


async def test_invalid_private_key_file_is_rejected(connect: Connect, org: LocalOrg, tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_text("-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n")
    client = connect(auth=AuthMethod.JWT, username=org.username, private_key_file=path)
    with pytest.raises(SettingsError) as refused:
        await client.connect()
    assert "hunter2" not in str(refused.value)


async def test_expired_session_is_renewed_once_for_all_waiting_calls(org: LocalOrg, client: SalesforceClient) -> None:
    await client.query("SELECT Id FROM Organization")
    before = org.org.usage.calls
    org.org.faults.expired_session = 1
    found = await asyncio.gather(*(client.query("SELECT Id FROM Organization") for _ in range(6)))
    assert [len(rows) for rows in found] == [1] * 6
    assert org.org.usage.calls - before == 7


async def test_expired_session_of_simple_salesforce_is_renewed(org: LocalOrg, client: SalesforceClient) -> None:
    await client.connect()
    org.org.faults.expired_session = 1
    limits = await client.control.run(lambda simple: simple.limits())
    assert limits["DailyApiRequests"]["Max"] > 0


async def test_unknown_object_in_simple_salesforce_raises_our_error(client: SalesforceClient) -> None:
    with pytest.raises(RefusedError) as refused:
        await client.control.run(lambda simple: simple.Nothing__c.describe())
    assert (refused.value.code, refused.value.status) == ("NOT_FOUND", 404)
