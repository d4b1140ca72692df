"""Chapter A: further users. They are rows of User, sign in, and what they write is stamped with them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import aiohttp
import pytest

from connector.cli.localorg import our_metadata
from connector.localorg.org import OrgOptions
from connector.localorg.seed_file import read_seed_file
from connector.localorg.server import LocalOrg
from tests.org import users
from tests.org.conftest import Caller
from tests.org.grpc_client import Client
from tests.org.test_injected_faults import SOAP


async def test_records_and_change_events_name_the_user_who_wrote(writer: Caller, client: Client) -> None:
    """A: by REST, SOAP, Bulk API 2.0 and 1.0, and the publisher of an event by gRPC."""
    rep = await users.add_user(writer)
    async with client.subscribed("/data/AccountChangeEvent") as stream:
        one = await rep.create("Account", Name="By REST")
        body = "<u:create><u:sObjects><type>Account</type><Name>By SOAP</Name></u:sObjects></u:create>"
        url = f"{writer.org.url}/services/Soap/u/60.0"
        headers = {"Content-Type": "text/xml", "SOAPAction": '""'}
        async with writer.http.post(url, data=SOAP.format(rep.token, body), headers=headers) as answer:
            assert answer.status == 200, await answer.text()
        status, job = await rep.call(
            "POST", "jobs/ingest", {"object": "Account", "operation": "insert", "contentType": "CSV"}
        )
        assert (status, job["createdById"]) == (200, rep.id)
        await writer.raw("PUT", f"jobs/ingest/{job['id']}/batches", b"Name\nBy bulk\n", **{"Content-Type": "text/csv"})
        await writer.call("PATCH", f"jobs/ingest/{job['id']}", {"state": "UploadComplete"})
        await writer.call("PATCH", f"sobjects/Account/{one}", {"Phone": "1"})
        commits = [payload["ChangeEventHeader"]["commitUser"] for payload, _ in await stream.events(4)]
    assert sorted(commits) == sorted([rep.id, rep.id, rep.id, writer.org.org.auth.identity.user_id])
    rows = await writer.query("SELECT Name, CreatedById, LastModifiedById, OwnerId FROM Account ORDER BY Name")
    assert {row["CreatedById"] for row in rows} == {row["OwnerId"] for row in rows} == {rep.id}
    assert [row["LastModifiedById"] == rep.id for row in rows] == [True, False, True]  # bulk, REST, SOAP


async def test_user_signs_in_with_its_own_password_and_is_shown_as_itself(caller: Caller) -> None:
    """A."""
    rep = await users.add_user(caller)
    admin = caller.org.username
    assert (await users.sign_in(caller, users.REP["Username"].upper()))[0] == 200
    for username, password in ((users.REP["Username"], caller.org.password), (admin, users.PASSWORD)):
        status, body = await users.sign_in(caller, username, password)
        assert (status, body["error_description"]) == (400, "authentication failure")
    headers = {"Authorization": f"Bearer {rep.token}"}
    async with caller.http.get(f"{caller.org.url}/services/oauth2/userinfo", headers=headers) as answer:
        body = await answer.json()
    assert (body["user_id"], body["preferred_username"], body["name"]) == (rep.id, "rita@reps.example", "Rita Novak")
    status, body = await users.sign_in(caller, admin, caller.org.password)
    assert (status, body["id"].rpartition("/")[2]) == (200, caller.org.org.auth.identity.user_id)


async def test_refreshed_token_is_of_the_same_user(caller: Caller) -> None:
    """A."""
    rep = await users.add_user(caller)
    _, body = await users.sign_in(caller, users.REP["Username"])
    form = {"grant_type": "refresh_token", "refresh_token": body["refresh_token"]}
    _, body = await users.token_request(caller, **form)
    assert body["id"].endswith(rep.id)
    await caller.call("PATCH", f"sobjects/User/{rep.id}", {"IsActive": False})
    status, body = await users.token_request(caller, **form)
    assert (status, body["error"]) == (400, "invalid_grant")


async def test_inactive_user_has_no_session(caller: Caller) -> None:
    """A: deactivation ends the sessions at once."""
    rep = await users.add_user(caller)
    await rep.create("Account", Name="Before")
    assert (await caller.call("PATCH", f"sobjects/User/{rep.id}", {"IsActive": False}))[0] == 204
    assert (await rep.refusal("GET", "limits"))[:2] == (401, "INVALID_SESSION_ID")
    assert (await users.sign_in(caller, users.REP["Username"]))[0] == 400
    admin = caller.org.org.auth.identity.user_id
    assert (await caller.refusal("PATCH", f"sobjects/User/{admin}", {"IsActive": False}))[1] == (
        "FIELD_INTEGRITY_EXCEPTION"
    )


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"Username": "RITA@reps.example"}, "DUPLICATE_USERNAME"),
        ({"Username": "admin@local-org.example"}, "DUPLICATE_USERNAME"),
        ({"Username": "rita"}, "FIELD_INTEGRITY_EXCEPTION"),
        ({"Username": "second@reps.example", "Alias": "longer than 8"}, "STRING_TOO_LONG"),
        ({"Username": "second@reps.example", "ProfileId": None}, "REQUIRED_FIELD_MISSING"),
    ],
)
async def test_user_names_are_unique_in_the_org(caller: Caller, fields: dict[str, Any], code: str) -> None:
    """A: whatever the case."""
    await users.add_user(caller)
    third = await caller.create("User", **await users.user_fields(caller, Username="third@reps.example"))
    given = await users.user_fields(caller, **fields)
    assert (await caller.refusal("POST", "sobjects/User", given))[:2] == (400, code)
    assert (await caller.refusal("PATCH", f"sobjects/User/{third}", fields))[1] == code
    assert (await caller.refusal("DELETE", f"sobjects/User/{third}"))[1] == "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY"


async def test_password_resource_checks_and_resets(caller: Caller) -> None:
    """A: `sobjects/User/ID/password`."""
    rep = await users.add_user(caller)
    path = f"sobjects/User/{rep.id}/password"
    assert await caller.call("GET", path) == (200, {"isExpired": False})
    assert (await caller.refusal("POST", path, {"NewPassword": "short"}))[:2] == (400, "INVALID_NEW_PASSWORD")
    _, body = await caller.call("DELETE", path)
    assert (await users.sign_in(caller, users.REP["Username"], body["NewPassword"]))[0] == 200
    assert (await users.sign_in(caller, users.REP["Username"]))[0] == 400


@pytest.fixture
async def seeded(tmp_path: Path) -> AsyncIterator[Caller]:
    seed = tmp_path / "org.yaml"
    seed.write_text(
        dedent("""\
            records:
              User:
                - {Username: rita@reps.example, LastName: Novak, Alias: rnovak, Email: rita@example.com}
            """)
    )
    file = read_seed_file(seed)
    options = OrgOptions(metadata_root=our_metadata(), settings=file.settings, records=file.records)
    async with LocalOrg(options) as org, aiohttp.ClientSession() as http:
        yield Caller(org, http)


async def test_seed_file_declares_users(seeded: Caller) -> None:
    """A: a user of the seed file has no password until one is set."""
    [row] = await seeded.query("SELECT Id, IsActive, Name, Profile.Name FROM User WHERE Username = 'rita@reps.example'")
    assert (row["IsActive"], row["Name"], row["Profile"]["Name"]) == (True, "Novak", "Standard User")
    assert (await users.sign_in(seeded, "rita@reps.example", ""))[0] == 400


async def test_bulk_v1_job_is_of_its_user(caller: Caller) -> None:
    """A."""
    rep = await users.add_user(caller)
    headers = {"X-SFDC-Session": rep.token}
    job = {"operation": "insert", "object": "Account", "contentType": "CSV"}
    async with caller.http.post(f"{caller.org.url}/services/async/60.0/job", json=job, headers=headers) as answer:
        assert (await answer.json())["createdById"] == rep.id
