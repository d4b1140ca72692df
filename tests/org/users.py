"""A second user of the local org: created by API, signed in by JWT or with a password of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.org.conftest import Caller

REP = {
    "LastName": "Novak", "FirstName": "Rita", "Alias": "rnovak", "Email": "rita@example.com",
    "Username": "rita@reps.example", "TimeZoneSidKey": "Europe/Vienna", "LocaleSidKey": "en_US",
    "EmailEncodingKey": "UTF-8", "LanguageLocaleKey": "en_US",
}  # fmt: skip
PASSWORD = "correct horse 1"


@dataclass
class User(Caller):
    """Calls as a user of the org; `id` is the user's."""

    id: str
    token: str

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        return await super().call(method, path, body, **{"Authorization": f"Bearer {self.token}"} | headers)


async def user_fields(caller: Caller, **fields: Any) -> dict[str, Any]:
    [profile] = await caller.query("SELECT Id FROM Profile WHERE Name = 'Standard User'")
    return REP | {"ProfileId": profile["Id"]} | fields


async def token_request(caller: Caller, **form: str) -> tuple[int, dict[str, Any]]:
    client = {"client_id": caller.org.client_id, "client_secret": caller.org.client_secret}
    async with caller.http.post(f"{caller.org.url}/services/oauth2/token", data=client | form) as answer:
        return answer.status, await answer.json()


async def sign_in(caller: Caller, username: str, password: str = PASSWORD) -> tuple[int, dict[str, Any]]:
    return await token_request(caller, grant_type="password", username=username, password=password)


async def add_user(caller: Caller, **fields: Any) -> User:
    """Create a user with a password and sign it in."""
    given = await user_fields(caller, **fields)
    user = await caller.create("User", **given)
    status, body = await caller.call("POST", f"sobjects/User/{user}/password", {"NewPassword": PASSWORD})
    assert status == 204, body
    status, body = await sign_in(caller, given["Username"])
    assert status == 200, body
    return User(org=caller.org, http=caller.http, id=user, token=body["access_token"])
