"""Chapter L: the SOAP APIs, as beatbox, zeep, sfdclib, jsforce, CumulusCI and Salesforce's command line call them."""

from __future__ import annotations

import base64
import io
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from xml.etree.ElementTree import Element, fromstring

import pytest

from tests.org.conftest import Caller

PARTNER, METADATA = "urn:partner.soap.sforce.com", "http://soap.sforce.com/2006/04/metadata"
ENTERPRISE = "urn:enterprise.soap.sforce.com"


def plain(name: str) -> str:
    return name.rpartition("}")[2]


def all_of(source: Element, name: str) -> Iterator[Element]:
    return (item for item in source.iter() if plain(item.tag) == name)


def texts(source: Element, name: str) -> list[str | None]:
    return [item.text for item in all_of(source, name)]


async def soap(caller: Caller, body: str, *, kind: str = "u", headers: str = "", session: str = "") -> Element:
    own = {"u": PARTNER, "c": ENTERPRISE, "m": METADATA}[kind]
    token = session or caller.org.access_token
    text = (
        '<?xml version="1.0"?><e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"'
        f' xmlns:p="{own}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><e:Header><p:SessionHeader>'
        f"<p:sessionId>{token}</p:sessionId></p:SessionHeader>{headers}</e:Header><e:Body>{body}</e:Body></e:Envelope>"
    )
    url = f"{caller.org.url}/services/Soap/{kind}/58.0/00D"
    given = {"Content-Type": "text/xml", "SOAPAction": '""'}
    async with caller.http.post(url, data=text.encode(), headers=given) as answer:
        root = fromstring(await answer.text())  # noqa: S314
        assert (answer.status == 500) == any(all_of(root, "Fault"))
        return root


async def query(caller: Caller, soql: str) -> Element:
    return await soap(caller, f"<p:query><p:queryString>{soql}</p:queryString></p:query>")


async def test_soap_calls_write_and_read_rows(caller: Caller) -> None:
    """L8."""
    row = "<p:sObjects><p:type>Account</p:type><p:Name>{}</p:Name><p:External_Key__c>k</p:External_Key__c></p:sObjects>"
    created = await soap(caller, f"<p:create>{row.format('A &amp; B')}{row.format('')}</p:create>")
    assert texts(created, "success") == ["true", "false"]
    assert texts(created, "statusCode") == ["REQUIRED_FIELD_MISSING"]
    (account, nothing) = texts(created, "id")
    assert (account or "")[:3] == "001"
    assert nothing is None
    change = (
        f"<p:sObjects><p:type>Account</p:type><p:fieldsToNull>External_Key__c</p:fieldsToNull><p:Id>{account}</p:Id>"
    )
    assert texts(await soap(caller, f"<p:update>{change}</p:sObjects></p:update>"), "success") == ["true"]
    result = await query(caller, "SELECT Id, Name, External_Key__c, CreatedDate, Owner.Name FROM Account")
    assert texts(result, "size") == ["1"]
    assert texts(result, "Name") == ["A & B", "Local Administrator"]
    assert (texts(result, "CreatedDate")[0] or "").endswith(".000Z")
    (key,) = all_of(result, "External_Key__c")
    assert (key.text, set(key.attrib.values())) == (None, {"true"})
    assert texts(next(all_of(result, "records")), "type") == ["Account", "User"]
    assert texts(await soap(caller, f"<p:delete><p:ids>{account}</p:ids></p:delete>"), "success") == ["true"]


async def test_soap_upsert_reports_created_rows(caller: Caller) -> None:
    """L8."""
    row = "<p:sObjects><p:type>Account</p:type><p:External_Key__c>k</p:External_Key__c><p:Name>A</p:Name></p:sObjects>"
    call = f"<p:upsert><p:externalIDFieldName>External_Key__c</p:externalIDFieldName>{row}</p:upsert>"
    assert texts(await soap(caller, call), "created") == ["true"]
    assert texts(await soap(caller, call), "created") == ["false"]


async def test_all_or_none_header_rolls_back_the_call(caller: Caller) -> None:
    """L8."""
    rows = "".join(f"<p:sObjects><p:type>Account</p:type><p:Name>{name}</p:Name></p:sObjects>" for name in ("A", ""))
    content = "<p:AllOrNoneHeader><p:allOrNone>true</p:allOrNone></p:AllOrNoneHeader>"
    done = await soap(caller, f"<p:create>{rows}</p:create>", headers=content)
    assert texts(done, "statusCode") == ["ALL_OR_NONE_OPERATION_ROLLED_BACK", "REQUIRED_FIELD_MISSING"]
    assert await caller.query("SELECT Id FROM Account") == []


async def test_soap_rows_hold_parents_by_key_and_children(caller: Caller) -> None:
    """L8."""
    await caller.create("Account", Name="A", External_Key__c="k")
    parent = "<p:Account><p:type>Account</p:type><p:External_Key__c>k</p:External_Key__c></p:Account>"
    row = f"<p:sObjects><p:type>Contact</p:type><p:LastName>K</p:LastName>{parent}</p:sObjects>"
    assert texts(await soap(caller, f"<p:create>{row}</p:create>"), "success") == ["true"]
    result = await query(caller, "SELECT Name, (SELECT LastName FROM Contacts) FROM Account")
    (children,) = all_of(result, "Contacts")
    assert (texts(children, "done"), texts(children, "LastName"), texts(children, "size")) == (["true"], ["K"], ["1"])


async def test_query_more_returns_the_next_page(caller: Caller) -> None:
    """L8."""
    records = [{"attributes": {"type": "Account"}, "Name": str(number)} for number in range(200)]
    for _ in range(2):
        assert (await caller.call("POST", "composite/sobjects", {"records": records}))[0] == 200
    few = "<p:QueryOptions><p:batchSize>200</p:batchSize></p:QueryOptions>"
    call = "<p:query><p:queryString>SELECT Id FROM Account</p:queryString></p:query>"
    first = await soap(caller, call, headers=few)
    (locator,) = texts(first, "queryLocator")
    assert (texts(first, "done"), len(list(all_of(first, "records")))) == (["false"], 200)
    rest = await soap(caller, f"<p:queryMore><p:queryLocator>{locator}</p:queryLocator></p:queryMore>")
    assert (texts(rest, "done"), len(list(all_of(rest, "records")))) == (["true"], 200)


async def test_describe_elements_come_in_wsdl_order(caller: Caller) -> None:
    """L8."""
    call = "<p:describeSObjects><p:sObjectType>Order</p:sObjectType></p:describeSObjects>"
    (result,) = all_of(await soap(caller, call), "result")
    names = list(dict.fromkeys(plain(item.tag) for item in result))
    assert names == sorted(names)
    assert {"fields", "keyPrefix", "urlNew", "idEnabled"} <= set(names)
    field = next(item for item in all_of(result, "fields") if texts(item, "name") == ["Status"])
    parts = [plain(item.tag) for item in field]
    assert parts == sorted(parts)
    outcome = await soap(caller, "<p:describeGlobal/>")
    (result,) = all_of(outcome, "result")
    assert [plain(item.tag) for item in result][:2] == ["encoding", "maxBatchSize"]
    assert {"Account", "Order"} <= set(texts(outcome, "name"))


async def test_enterprise_row_has_its_own_xsi_type(caller: Caller) -> None:
    """L8: sfdclib and salesforce-api call the enterprise API."""
    row = '<p:sObjects xsi:type="p:Account"><Name>E</Name></p:sObjects>'
    assert texts(await soap(caller, f"<p:create>{row}</p:create>", kind="c"), "success") == ["true"]
    call = "<p:query><p:queryString>SELECT Id, Name FROM Account</p:queryString></p:query>"
    (record,) = all_of(await soap(caller, call, kind="c"), "records")
    assert set(record.attrib.values()) == {"sf:Account"}
    assert [plain(item.tag) for item in record] == ["Id", "Name"]


async def test_user_info_and_server_timestamp_are_returned(caller: Caller) -> None:
    """L8."""
    info = await soap(caller, "<p:getUserInfo/>")
    assert texts(info, "userName") == [caller.org.username]
    assert (texts(await soap(caller, "<p:getServerTimestamp/>"), "timestamp")[0] or "").endswith("Z")
    session = caller.org.org.auth.issue()
    await soap(caller, "<p:logout/>", session=session)
    ended = await soap(caller, "<p:getUserInfo/>", session=session)
    assert texts(ended, "exceptionCode") == ["INVALID_SESSION_ID"]


async def test_get_updated_and_get_deleted_list_records(caller: Caller) -> None:
    """L8."""
    account = await caller.create("Account", Name="A")
    gone = await caller.create("Account", Name="B")
    assert (await caller.call("DELETE", f"sobjects/Account/{gone}"))[0] == 204
    now = datetime.now(UTC)
    start, end = ((now + timedelta(minutes=by)).strftime("%Y-%m-%dT%H:%M:%SZ") for by in (-5, 5))
    window = f"<p:sObjectType>Account</p:sObjectType><p:startDate>{start}</p:startDate><p:endDate>{end}</p:endDate>"
    assert texts(await soap(caller, f"<p:getUpdated>{window}</p:getUpdated>"), "ids") == [account]
    assert texts(await soap(caller, f"<p:getDeleted>{window}</p:getDeleted>"), "id") == [gone]


@pytest.mark.parametrize(
    ("call", "code", "kind"),
    [
        ("<p:query><p:queryString>SELECT No FROM Account</p:queryString></p:query>", "INVALID_FIELD", "InvalidField"),
        ("<p:query><p:queryString>SELECT</p:queryString></p:query>", "MALFORMED_QUERY", "MalformedQuery"),
        ("<p:describeSObject><p:sObjectType>No</p:sObjectType></p:describeSObject>", "INVALID_TYPE", "InvalidSObject"),
        ("<p:queryMore><p:queryLocator>x</p:queryLocator></p:queryMore>", "INVALID_QUERY_LOCATOR",
         "InvalidQueryLocator"),
    ],
)  # fmt: skip
async def test_fault_has_the_type_of_its_error(caller: Caller, call: str, code: str, kind: str) -> None:
    """L8."""
    fault = await soap(caller, call)
    assert texts(fault, "exceptionCode") == [code]
    assert any(all_of(fault, f"{kind}Fault"))


async def test_unknown_operation_is_a_fault(caller: Caller) -> None:
    """L8."""
    fault = await soap(caller, "<p:convertLead/>")
    assert (texts(fault, "faultstring")[0] or "").startswith(f"No operation available for request {{{PARTNER}}}convert")


# -- the Metadata API --------------------------------------------------------------------------------------------------


def field(name: str, *, length: int = 10) -> str:
    return (
        f'<p:metadata xsi:type="p:CustomField"><p:fullName>{name}</p:fullName><p:label>F</p:label>'
        f"<p:length>{length}</p:length><p:type>Text</p:type></p:metadata>"
    )


async def metadata(caller: Caller, call: str) -> Element:
    return await soap(caller, call, kind="m")


async def test_metadata_components_are_saved_read_listed_and_deleted(caller: Caller) -> None:
    """L8: jsforce and simple-salesforce do so one by one."""
    name = "Account.By_Soap__c"
    assert texts(await metadata(caller, f"<p:createMetadata>{field(name)}</p:createMetadata>"), "success") == ["true"]
    twice = await metadata(caller, f"<p:createMetadata>{field(name)}</p:createMetadata>")
    assert (texts(twice, "success"), texts(twice, "statusCode")) == (["false"], ["DUPLICATE_DEVELOPER_NAME"])
    saved = await metadata(caller, f"<p:upsertMetadata>{field(name, length=30)}</p:upsertMetadata>")
    assert (texts(saved, "created"), texts(saved, "success")) == (["false"], ["true"])
    expected = f"<p:fullNames>{name}</p:fullNames><p:fullNames>Account.No__c</p:fullNames>"
    read = await metadata(caller, f"<p:readMetadata><p:type>CustomField</p:type>{expected}</p:readMetadata>")
    assert (texts(read, "fullName"), texts(read, "length")) == ([name], ["30"])
    assert len(list(all_of(read, "records"))) == 2
    listed = "<p:listMetadata><p:queries><p:type>CustomField</p:type></p:queries></p:listMetadata>"
    assert name in texts(await metadata(caller, listed), "fullName")
    remove = f"<p:deleteMetadata><p:type>CustomField</p:type><p:fullNames>{name}</p:fullNames></p:deleteMetadata>"
    assert texts(await metadata(caller, remove), "success") == ["true"]
    assert texts(await metadata(caller, remove), "success") == ["false"]
    assert name not in texts(await metadata(caller, listed), "fullName")


async def test_invalid_component_is_rejected_alone(caller: Caller) -> None:
    """L8."""
    both = field("Account.Good__c") + field("Nothing.Bad__c")
    done = await metadata(caller, f"<p:createMetadata>{both}</p:createMetadata>")
    assert texts(done, "success") == ["true", "false"]
    missing = await metadata(caller, f"<p:updateMetadata>{field('Account.No__c')}</p:updateMetadata>")
    assert texts(missing, "statusCode") == ["INVALID_CROSS_REFERENCE_KEY"]


async def test_describe_metadata_lists_the_kinds(caller: Caller) -> None:
    """L8."""
    kinds = await metadata(caller, "<p:describeMetadata><p:asOfVersion>58.0</p:asOfVersion></p:describeMetadata>")
    assert {"CustomObject", "PermissionSet", "PlatformEventChannelMember"} <= set(texts(kinds, "xmlName"))
    assert set(texts(kinds, "childXmlNames")) == {"CustomField", "ListView"}


async def test_retrieved_zip_can_be_deployed(caller: Caller) -> None:
    """L8: `sf project retrieve start` of the command line; CumulusCI calls checkStatus in between."""
    types = "".join(
        f"<p:types><p:members>{name}</p:members><p:name>{kind}</p:name></p:types>"
        for kind, name in (("CustomField", "Account.External_Key__c"), ("PermissionSet", "*"), ("Layout", "No"))
    )
    request = f"<p:retrieveRequest><p:singlePackage>true</p:singlePackage><p:unpackaged>{types}</p:unpackaged>"
    started = await metadata(caller, f"<p:retrieve>{request}</p:retrieveRequest></p:retrieve>")
    (number,) = texts(started, "id")
    expected = f"<p:asyncProcessId>{number}</p:asyncProcessId>"
    assert texts(await metadata(caller, f"<p:checkStatus>{expected}</p:checkStatus>"), "state") == ["Completed"]
    done = await metadata(caller, f"<p:checkRetrieveStatus>{expected}</p:checkRetrieveStatus>")
    assert texts(done, "problem") == ["Entity of type 'Layout' named 'No' cannot be found"]
    content = base64.b64decode(texts(done, "zipFile")[0] or "")
    archive = zipfile.ZipFile(io.BytesIO(content))
    assert "objects/Account.object" in archive.namelist()
    assert b"External_Key__c" in archive.read("objects/Account.object")
    assert archive.read("objects/Account.object").count(b"<fields>") == 1
    deployment = caller.org.org.deployments.start(content, {"rollbackOnError": True, "checkOnly": False})
    caller.org.org.deployments.run(deployment)
    assert deployment.status == "Succeeded", deployment.failures


async def test_malformed_envelope_is_a_fault(caller: Caller) -> None:
    """L8."""
    assert texts(await soap(caller, ""), "exceptionCode") == ["INVALID_REQUEST"]
    assert texts(await soap(caller, "<p:describeMetadata/>", kind="m", session="no"), "exceptionCode") == [
        "INVALID_SESSION_ID"
    ]
