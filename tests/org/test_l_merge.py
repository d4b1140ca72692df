"""Chapter L: merging accounts and the recycle bin, by the SOAP calls `merge`, `undelete` and `emptyRecycleBin`."""

from __future__ import annotations

from html import escape
from typing import Any
from xml.etree.ElementTree import Element

import aiohttp
import pytest

from connector.cli.localorg import our_metadata
from connector.localorg.org import OrgOptions
from connector.localorg.server import LocalOrg
from connector.localorg.settings import OrgSettings
from connector.localorg.storage import Change
from tests.org.conftest import Caller
from tests.org.test_l_soap import all_of, soap, texts


def request(master: str, *losers: str, kind: str = "Account", **fields: str) -> str:
    given = "".join(f"<p:{name}>{escape(value)}</p:{name}>" for name, value in fields.items())
    ids = "".join(f"<p:recordToMergeIds>{item}</p:recordToMergeIds>" for item in losers)
    return (
        f"<p:request><p:masterRecord><p:type>{kind}</p:type><p:Id>{master}</p:Id>{given}</p:masterRecord>"
        f"{ids}</p:request>"
    )


async def merge(caller: Caller, *requests: str) -> list[Element]:
    answer = await soap(caller, f"<p:merge>{''.join(requests)}</p:merge>")
    return list(all_of(answer, "result"))


async def by_ids(caller: Caller, call: str, *ids: str) -> Element:
    return await soap(caller, f"<p:{call}>{''.join(f'<p:ids>{item}</p:ids>' for item in ids)}</p:{call}>")


async def every(caller: Caller, soql: str) -> list[dict[str, Any]]:
    status, body = await caller.call("GET", "queryAll?q=" + soql.replace(" ", "+"))
    assert status == 200, body
    return list(body["records"])


async def parent(caller: Caller, order: str) -> str:
    return str((await caller.query(f"SELECT AccountId FROM Order WHERE Id = '{order}'"))[0]["AccountId"])


async def test_merged_account_is_deleted_and_names_its_winner(caller: Caller) -> None:
    """L: SOAP API Developer Guide, merge()."""
    winner = await caller.create("Account", Name="Winner")
    loser = await caller.create("Account", Name="Loser", External_Key__c="K-1")
    (result,) = await merge(caller, request(winner, loser, Phone="1", External_Key__c="K-1"))
    assert (texts(result, "success"), texts(result, "id")) == (["true"], [winner])
    assert texts(result, "mergedRecordIds") == [loser]
    rows = await caller.query("SELECT Id, Name, Phone, External_Key__c FROM Account")
    assert [(row["Id"], row["Name"], row["Phone"], row["External_Key__c"]) for row in rows] == [
        (winner, "Winner", "1", "K-1")
    ]
    lost = await every(caller, "SELECT Id, IsDeleted, MasterRecordId FROM Account WHERE MasterRecordId != null")
    assert [(row["Id"], row["IsDeleted"], row["MasterRecordId"]) for row in lost] == [(loser, True, winner)]
    assert (await caller.call("GET", f"sobjects/Account/{loser}"))[0] == 404


async def test_merge_moves_contacts_and_orders_even_activated_ones(caller: Caller) -> None:
    """L: SOAP API Developer Guide, merge()."""
    order, _ = await caller.active_order()
    loser = await parent(caller, order)
    draft = await caller.draft(AccountId=loser)
    contact = await caller.create("Contact", LastName="Doe", AccountId=loser)
    winner = await caller.create("Account", Name="Winner")
    (result,) = await merge(caller, request(winner, loser))
    assert set(texts(result, "updatedRelatedIds")) == {order, draft, contact}
    assert {await parent(caller, order), await parent(caller, draft)} == {winner}
    assert (await caller.query("SELECT AccountId FROM Contact"))[0]["AccountId"] == winner
    assert (await caller.query("SELECT Status FROM Order WHERE Status = 'Activated'")) != []


async def test_merge_raises_events_of_children_losers_and_winner(caller: Caller) -> None:
    """L: SOAP API Developer Guide, merge()."""
    draft = await caller.draft()
    loser, winner = await parent(caller, draft), await caller.create("Account", Name="Winner")
    seen: list[Change] = []
    caller.org.org.storage.commit_listeners.append(seen.extend)
    await merge(caller, request(winner, loser))
    assert [(item.kind, item.id) for item in seen] == [("UPDATE", draft), ("DELETE", loser), ("UPDATE", winner)]


async def test_merge_requests_of_one_call_are_independent(caller: Caller) -> None:
    """L: SOAP API Developer Guide, merge()."""
    one, two, three = [await caller.create("Account", Name=name) for name in "ABC"]
    good, bad = await merge(caller, request(one, two), request(three, two))
    assert (texts(good, "success"), texts(bad, "success")) == (["true"], ["false"])
    assert texts(bad, "statusCode") == ["ENTITY_IS_DELETED"]


@pytest.mark.parametrize(
    ("master", "losers", "code"),
    [
        ("a", "", "NUMBER_OUTSIDE_VALID_RANGE"),
        ("a", "bcd", "NUMBER_OUTSIDE_VALID_RANGE"),
        ("a", "a", "INVALID_ARGUMENT"),
        ("x", "a", "MALFORMED_ID"),
        ("child", "a", "MERGE_FAILED"),
    ],
)
async def test_invalid_merge_is_rejected_and_changes_nothing(
    caller: Caller, master: str, losers: str, code: str
) -> None:
    """L: SOAP API Developer Guide, merge()."""
    ids = {name: await caller.create("Account", Name=name) for name in "abcd"}
    ids["child"] = await caller.create("Account", Name="child", ParentId=ids["a"])
    (result,) = await merge(caller, request(ids.get(master, "x"), *(ids[name] for name in losers)))
    assert (texts(result, "success"), texts(result, "statusCode")) == (["false"], [code])
    assert len(await caller.query("SELECT Id FROM Account")) == 5


async def test_merge_with_an_invalid_winner_field_keeps_the_losers(caller: Caller) -> None:
    """L: SOAP API Developer Guide, merge()."""
    winner, loser = [await caller.create("Account", Name=name) for name in "AB"]
    await caller.create("Account", Name="C", External_Key__c="K-1")
    (result,) = await merge(caller, request(winner, loser, External_Key__c="K-1"))
    assert texts(result, "statusCode") == ["DUPLICATE_VALUE"]
    assert len(await caller.query("SELECT Id FROM Account")) == 3


async def test_merged_person_accounts_have_one_account_and_contact() -> None:
    """L: SOAP API Developer Guide, merge()."""
    settings = OrgSettings(person_accounts=True)
    async with (
        LocalOrg(OrgOptions(metadata_root=our_metadata(), settings=settings)) as org,
        aiohttp.ClientSession() as http,
    ):
        caller = Caller(org, http)
        types = await caller.query("SELECT Id FROM RecordType WHERE IsPersonType = true")
        one, two = [
            await caller.create("Account", LastName=name, RecordTypeId=types[0]["Id"]) for name in ("Doe", "Roe")
        ]
        company = await caller.create("Account", Name="Acme")
        mixed, good = await merge(caller, request(company, one), request(one, two))
        assert (texts(mixed, "statusCode"), texts(good, "success")) == (["MERGE_FAILED"], ["true"])
        contacts = await caller.query("SELECT AccountId, LastName FROM Contact")
        assert [(row["AccountId"], row["LastName"]) for row in contacts] == [(one, "Doe")]
        assert texts(await by_ids(caller, "undelete", two), "success") == ["true"]
        assert len(await caller.query("SELECT Id FROM Contact")) == 2


async def test_orders_are_not_mergeable(caller: Caller) -> None:
    """L: SOAP API Developer Guide, merge()."""
    one, two = await caller.draft(), await caller.draft()
    (result,) = await merge(caller, request(one, two, kind="Order"))
    assert texts(result, "statusCode") == ["INVALID_TYPE_FOR_OPERATION"]


async def test_undeleted_account_comes_back_with_its_dependents(caller: Caller) -> None:
    """L: SOAP API Developer Guide, undelete()."""
    account = await caller.create("Account", Name="A", External_Key__c="K-1")
    contact = await caller.create("Contact", LastName="Doe", AccountId=account)
    gone = await caller.create("Contact", LastName="Roe", AccountId=account)
    for path in (f"Contact/{gone}", f"Account/{account}"):
        assert (await caller.call("DELETE", f"sobjects/{path}"))[0] == 204
    seen: list[Change] = []
    caller.org.org.storage.commit_listeners.append(seen.extend)
    assert texts(await by_ids(caller, "undelete", account), "success") == ["true"]
    assert [row["Id"] for row in await caller.query("SELECT Id FROM Account")] == [account]
    assert [row["Id"] for row in await caller.query("SELECT Id FROM Contact")] == [contact]
    assert [(item.kind, item.id) for item in seen] == [("UNDELETE", account), ("UNDELETE", contact)]
    refused = await by_ids(caller, "undelete", account)
    assert texts(refused, "statusCode") == ["UNDELETE_FAILED"]


async def test_undeleted_merge_loser_has_no_children(caller: Caller) -> None:
    """L: SOAP API Developer Guide, undelete()."""
    draft = await caller.draft()
    loser, winner = await parent(caller, draft), await caller.create("Account", Name="Winner")
    await merge(caller, request(winner, loser))
    assert texts(await by_ids(caller, "undelete", loser), "success") == ["true"]
    rows = await caller.query(f"SELECT MasterRecordId FROM Account WHERE Id = '{loser}'")
    assert rows[0]["MasterRecordId"] is None
    assert await parent(caller, draft) == winner


async def test_undelete_is_rejected_if_the_key_is_taken_or_the_parent_deleted(caller: Caller) -> None:
    """L: SOAP API Developer Guide, undelete()."""
    account = await caller.create("Account", Name="A", External_Key__c="K-1")
    contact = await caller.create("Contact", LastName="Doe", AccountId=account)
    await caller.call("DELETE", f"sobjects/Account/{account}")
    assert texts(await by_ids(caller, "undelete", contact), "statusCode") == ["UNDELETE_FAILED"]
    await caller.create("Account", Name="B", External_Key__c="K-1")
    assert texts(await by_ids(caller, "undelete", account), "statusCode") == ["DUPLICATE_VALUE"]


async def test_emptied_recycle_bin_keeps_nothing(caller: Caller) -> None:
    """L: SOAP API Developer Guide, emptyRecycleBin()."""
    account = await caller.create("Account", Name="A")
    await caller.call("DELETE", f"sobjects/Account/{account}")
    assert len(await every(caller, "SELECT Id FROM Account")) == 1
    assert texts(await by_ids(caller, "emptyRecycleBin", account), "success") == ["true"]
    assert await every(caller, "SELECT Id FROM Account") == []
    assert texts(await by_ids(caller, "undelete", account), "success") == ["false"]
