"""Generated content: CSV, JSON and XML of bulk jobs, SOAP envelopes, CometD and Pub/Sub messages, zips."""

from __future__ import annotations

import io
import zipfile
from html import escape
from typing import Any

from hypothesis import strategies as st

from tests.org.fuzz.strategies import EVENT, bodies, corrupted, encoded, numbers, objects, texts, values
from tests.org.packages import manifest

COLUMNS = ("Name", "Id", "External_Key__c", "Phone", "NumberOfEmployees", "Parent.External_Key__c", "Owner.Username",
           "User:Owner.Username", "X:Owner.Username", "BillingAddress", "name", "", ".", ":", "Nope",
           "IsDeleted")  # fmt: skip
CELLS = ("", "#N/A", "1", "0", "true", "x", "2026-01-31", "1e400", '"', '""', ",", "\n", "a\r\nb", "\x00", "x" * 300,
"é",
         "001Lo0000000001IAA", "K-1")  # fmt: skip


@st.composite
def tables(draw: st.DrawFn) -> bytes:
    """Generate CSV that is mostly valid."""
    columns = draw(
        st.lists(st.sampled_from(COLUMNS[:6]), min_size=1, max_size=4, unique=True) | st.lists(st.sampled_from(COLUMNS))
    )
    width = len(columns)
    rows = draw(
        st.lists(
            st.lists(st.sampled_from(CELLS), min_size=width, max_size=width) | st.lists(st.sampled_from(CELLS)),
            max_size=5,
        )
    )
    end = draw(st.sampled_from(["\n", "\n", "\r\n", "\r"]))

    def cell(text: str) -> str:
        return '"' + text.replace('"', '""') + '"' if draw(st.booleans()) else text

    return end.join(",".join(cell(item) for item in row) for row in [columns, *rows]).encode() + end.encode()


csv_content = st.one_of(tables(), corrupted(tables()), st.binary(max_size=60))
json_content = st.one_of(
    st.lists(bodies("Account"), max_size=4).map(encoded), values.map(encoded), corrupted(st.lists(bodies(),
    max_size=3).map(encoded)),
    st.sampled_from([b"[NaN]", b'[{"Name": NaN}]', b"[" * 3_000, b'[{"a":' * 900 + b"1" + b"}]" * 900,
    b'[{"Name": 1e99999999999999999999}]']),
)  # fmt: skip


def element(name: str, inner: str, attributes: str = "") -> str:
    return f"<{name}{attributes}>{inner}</{name}>"


@st.composite
def nested(draw: st.DrawFn, depth: int = 3) -> str:
    if depth == 0 or draw(st.booleans()):
        return escape("".join(char for char in draw(texts) if char.isprintable()))
    names = st.sampled_from(
        ["sObject", "Name", "Account", "External_Key__c", "type", "Id", "fields", "fullName", "label", "a:b"]
    )
    nil = draw(st.sampled_from(["", "", ' xsi:nil="true"', ' x="1"']))
    return "".join(element(draw(names), draw(nested(depth - 1)), nil) for _ in range(draw(st.integers(0, 3))))  # type: ignore[misc]


XMLNS = ' xmlns="http://www.force.com/2009/06/asyncapi/dataload" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
_rows = st.lists(nested(), max_size=3).map(
    lambda rows: element("sObjects", "".join(element("sObject", row) for row in rows), XMLNS)
)
xml_content = st.one_of(
    _rows.map(str.encode), corrupted(_rows.map(str.encode)),
    st.sampled_from([b"", b"<a", b"<a/>", b"<a>" * 2_000, b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
                     element("sObjects", "<sObject>" + "<A><sObject>" * 500 + "</sObject></A>" * 500 + "</sObject>",
                     XMLNS).encode()]),
)  # fmt: skip


@st.composite
def job_infos(draw: st.DrawFn) -> bytes:
    """Generate bodies that create or change a Bulk API 1.0 job, in XML or JSON."""
    fields = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "operation": st.sampled_from(["insert", "update", "upsert", "delete", "query", "merge"]),
                "object": objects | st.just(EVENT), "contentType": st.sampled_from(["CSV", "JSON", "XML", "ZIP_CSV"]),
                "externalIdFieldName": st.sampled_from(["External_Key__c", "Nope", "Name"]),
                "concurrencyMode": st.sampled_from(["Serial", "x"]), "state": st.sampled_from(["Closed", "Aborted",
                "x"]),
            },
        )
    )  # fmt: skip
    if draw(st.booleans()):
        return encoded(
            {**fields, **draw(st.dictionaries(st.sampled_from(["operation", "object", "state"]), values, max_size=1))}
        )
    return element("jobInfo", "".join(element(name, str(value)) for name, value in fields.items()), XMLNS).encode()


# -- SOAP ------------------------------------------------------------------------------------------------------------


@st.composite
def envelopes(draw: st.DrawFn) -> bytes:
    call = draw(
        st.sampled_from(
            [
                "login",
                "deploy",
                "checkDeployStatus",
                "cancelDeploy",
                "query",
                "create",
                "update",
                "upsert",
                "delete",
                "retrieve",
                "describeSObject",
                "describeGlobal",
                "getUserInfo",
                "createMetadata",
                "readMetadata",
                "listMetadata",
                "",
            ]
        )
    )
    names = st.sampled_from(
        [
            "username",
            "password",
            "sObjects",
            "queryString",
            "ids",
            "metadata",
            "type",
            "fullNames",
            "ZipFile",
            "DeployOptions",
            "asyncProcessId",
            "includeDetails",
            "testLevel",
        ]
    )
    inner = "".join(element(f"m:{draw(names)}", draw(nested(2))) for _ in range(draw(st.integers(0, 4))))
    header = element(
        "env:Header", element("m:SessionHeader", element("m:sessionId", draw(st.sampled_from(["SESSION", "x", ""]))))
    )
    body = element("env:Body", element(f"m:{call}", inner))
    content = element(
        "env:Envelope", header + body, ' xmlns:env="http://schemas.xmlsoap.org/soap/envelope/" xmlns:m="urn:x"'
    )
    return draw(st.just(content.encode()) | corrupted(st.just(content.encode())))


# -- CometD ----------------------------------------------------------------------------------------------------------

CHANNELS = ("/meta/handshake", "/meta/connect", "/meta/subscribe", "/meta/unsubscribe", "/meta/disconnect",
f"/event/{EVENT}",
            "/data/ChangeEvents", "/meta/x", "")  # fmt: skip


@st.composite
def messages(draw: st.DrawFn) -> Any:
    if draw(st.integers(0, 9)) == 0:
        return draw(values)
    message = {"channel": draw(st.sampled_from(CHANNELS)), "clientId": "CLIENT", "id": draw(st.just("1") | values)}
    topic = draw(st.sampled_from(CHANNELS))
    more = {
        "version": values, "supportedConnectionTypes": st.just(["long-polling"]) | values, "clientId": values,
        "channel": values,
        "subscription": st.just(topic) | st.lists(texts, max_size=2) | values, "connectionType": values,
        "ext": st.builds(lambda replay: {"replay": {topic: replay}}, numbers | values) | values,
    }  # fmt: skip
    return {**message, **draw(st.fixed_dictionaries({}, optional=more))}


# -- zips ------------------------------------------------------------------------------------------------------------

PATHS = (
    "objects/Account.object", "objects/Odd__c.object", "objects/Odd__e.object", "permissionsets/P.permissionset",
    "layouts/Order-L.layout",
    "reportTypes/R.reportType", "reports/F/R.report", "dashboards/D/D.dashboard",
    "platformEventChannels/C__chn.platformEventChannel",
    "platformEventChannelMembers/M.platformEventChannelMember", "managedEventSubscriptions/K.managedEventSubscription",
    "settings/Order.settings", "nonsense", "../x", "objects/", "reports/F-meta.xml",
)  # fmt: skip
KINDS = ("CustomObject", "CustomField", "PermissionSet", "Layout", "ReportType", "Report", "Dashboard",
"PlatformEventChannel",
         "PlatformEventChannelMember", "ManagedEventSubscription", "ListView", "Settings")  # fmt: skip
TAGS = (
    "fields", "fullName", "label", "pluralLabel", "type", "length", "precision", "scale", "unique", "externalId",
    "required", "valueSet",
    "valueSetDefinition", "value", "default", "defaultValue", "referenceTo", "relationshipName", "deploymentStatus",
    "nameField",
    "sharingModel", "eventType", "publishBehavior", "fieldPermissions", "field", "readable", "editable",
    "objectPermissions", "object",
    "listViews", "columns", "filterScope", "layoutSections", "layoutColumns", "layoutItems", "baseObject", "category",
    "deployed", "join",
    "relationship", "outerJoin", "sections", "table", "reportType", "format", "name", "title", "dashboardType",
    "report", "channelType",
    "eventChannel", "selectedEntity", "enrichedFields", "filterExpression", "topicName", "defaultReplay", "state",
    "visibleLines",
    "deleteConstraint", "caseSensitive", "displayFormat", "startingNumber", "formula", "summaryOperation",
)  # fmt: skip
ROOTS = ("CustomObject", "PermissionSet", "Layout", "ReportType", "Report", "Dashboard", "PlatformEventChannel",
"ManagedEventSubscription",
         "PlatformEventChannelMember", "x")  # fmt: skip
_inner_texts = st.sampled_from(
    ["Odd__c", "Text", "Number", "Lookup", "MasterDetail", "Picklist", "Checkbox", "Currency", "AutoNumber", "20",
    "-1", "x", "", "true",
     "false", "9" * 30, "Account", "Order", "No__c", "Order.External_Key__c", "Account.Name", "ReadWrite",
     "HighVolume", "data", "event",
     "EARLIEST", "RUN", "/event/Order_Action__e", "Order_Action__e", "OrderChangeEvent", "Deployed", "R__c",
     "Tabular", "A1", "1.5", "١"]
)  # fmt: skip


@st.composite
def components(draw: st.DrawFn, depth: int = 3) -> str:
    parts = []
    for _ in range(draw(st.integers(1, 4))):
        inner = draw(components(depth - 1)) if depth and draw(st.integers(0, 2)) == 0 else draw(_inner_texts)  # type: ignore[misc]
        parts.append(element(draw(st.sampled_from(TAGS)), inner))
    return "".join(parts)


@st.composite
def custom_fields(draw: st.DrawFn) -> str:
    """Generate a field definition that is nearly valid."""
    result = {"fullName": "Odd__c", "label": "Odd", "type": draw(_inner_texts), "length": draw(_inner_texts),
    "precision": draw(_inner_texts),
            "scale": draw(_inner_texts), "referenceTo": draw(_inner_texts), "relationshipName": draw(_inner_texts),
            "defaultValue": draw(_inner_texts), "unique": draw(_inner_texts),
            "visibleLines": draw(_inner_texts)}  # fmt: skip
    stored = draw(st.sets(st.sampled_from(sorted(result)), min_size=3))
    return element(
        "fields", "".join(element(name, result[name]) for name in sorted(stored | {"fullName", "label", "type"}))
    )


@st.composite
def packages(draw: st.DrawFn) -> bytes:
    files: dict[str, bytes] = {}
    for path in draw(st.lists(st.sampled_from(PATHS), max_size=3, unique=True)):
        body = draw(st.one_of(components(), custom_fields(), custom_fields().map(lambda field: field * 2)))
        root = draw(st.sampled_from(ROOTS))
        text = element(root, body, ' xmlns="http://soap.sforce.com/2006/04/metadata"').encode()
        files[path] = draw(st.just(text) | st.just(text) | corrupted(st.just(text)))
    types = (
        dict.fromkeys(KINDS, "*")
        if draw(st.booleans())
        else draw(st.dictionaries(st.sampled_from(KINDS), st.just("*"), max_size=4))
    )
    listed = manifest(types).encode()
    files["package.xml"] = draw(st.just(listed) | st.just(listed) | corrupted(st.just(listed)))
    buffer = io.BytesIO()
    method = draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]))
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for path, content in files.items():
            archive.writestr(path, content)
    data = buffer.getvalue()
    return data if draw(st.integers(0, 3)) else draw(corrupted(st.just(data)))


options = st.fixed_dictionaries({}, optional={"checkOnly": st.booleans() | values, "rollbackOnError": st.booleans(),
"testLevel": values,
                                              "runTests": values, "singlePackage": values}) | values  # fmt: skip
