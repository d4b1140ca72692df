"""Records of the org that could not be applied are listed over HTTP, and applied again, some or all."""

from __future__ import annotations

import pytest

from connector.model.inbound_change import Source
from connector.model.role import Role
from connector.store import inbox, orgs
from connector.web.api import inbox as inbox_api
from tests.web.conftest import Api

IDS = [f"00100000000000{number}AAA" for number in range(1, 4)]


async def test_parked_records_are_listed_and_applied_again(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await api("GET", "/inbox", role=Role.VIEWER)).body == {"parked": [], "more": 0, "due": 0}
    async with api.store.transaction() as uow:
        await orgs.put(uow, "00D", login_url="", instance_url="", is_active=True)
        for record in IDS:
            await inbox.park(uow, "00D", ("Account", record), Source.POLL, error=f"{record} is odd", fix="correct it")
    monkeypatch.setattr(inbox_api, "MAX_LISTED", 2)

    body = (await api("GET", "/inbox", role=Role.VIEWER)).body

    assert (len(body["parked"]), body["more"], body["due"]) == (2, 1, 0)
    first = body["parked"][0]
    assert (first["sobject"], first["error"], first["fix"]) == ("Account", f"{first['record_id']} is odd", "correct it")
    assert (await api("POST", "/inbox/replay", {"records": IDS[:1]}, role=Role.VIEWER)).status == 403
    assert (await api("POST", "/inbox/replay", {"records": IDS[:1]})).body == {"replayed": 1}
    body = (await api("GET", "/inbox", role=Role.VIEWER)).body
    assert ({item["record_id"] for item in body["parked"]}, body["due"]) == (set(IDS[1:]), 1)
    assert (await api("POST", "/inbox/replay", {"all": True})).body == {"replayed": 2}
    for wrong in ({}, {"records": IDS, "all": True}, {"records": ["1"]}):
        assert (await api("POST", "/inbox/replay", wrong)).status == 422
