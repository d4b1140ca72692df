"""Generated requests of the data API: rows, collections, composite, batch, graph, tree, addresses, headers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from tests.org.fuzz.strategies import (
    EVENT,
    FIELDS,
    SOME_IDS,
    bodies,
    corrupted,
    encoded,
    latin,
    objects,
    segment,
    texts,
    values,
)

BASE = "/services/data/v66.0"
METHODS = ("GET", "POST", "PATCH", "DELETE", "PUT", "HEAD")


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)


ids = st.one_of(st.sampled_from(SOME_IDS), texts)
segments = ids.map(segment)
keys = st.sampled_from(["External_Key__c", "Id", "Email", "Name", "OrderNumber", "Nope__c"])
sobjects = st.one_of(objects, objects, objects, st.just(EVENT), texts.map(segment))
records = bodies().flatmap(
    lambda body: st.fixed_dictionaries(
        {}, optional={"attributes": _attributes, "Id": ids, "External_Key__c": texts}
    ).map(lambda more: {**body, **more})
)
_attributes = st.one_of(
    st.builds(lambda kind, ref: {"type": kind, "referenceId": ref}, objects, st.sampled_from("abcdef")), values
)


@st.composite
def row_paths(draw: st.DrawFn) -> str:
    path = f"sobjects/{draw(sobjects)}"
    match draw(st.integers(0, 6)):
        case 0:
            return path
        case 1:
            return f"{path}/{draw(segments)}"
        case 2 | 3:
            return f"{path}/{draw(keys)}/{draw(segments)}"
        case 4:
            fields = draw(st.lists(st.sampled_from(FIELDS) | segments, max_size=3))
            return f"{path}/{draw(segments)}?fields={','.join(fields)}"
        case 5:
            kind = draw(st.sampled_from(["updated", "deleted"]))
            return f"{path}/{kind}?start={draw(texts.map(segment))}&end={draw(texts.map(segment))}"
    return f"{path}/{draw(st.sampled_from(['describe', 'eventSchema', 'describe/layouts', 'listviews']))}"


def rows() -> st.SearchStrategy[Request]:
    body = st.one_of(bodies(), bodies(), values).map(encoded)
    return st.builds(
        lambda method, path, body: Request(method, path, body if method in {"POST", "PATCH", "PUT"} else None,
        dict(JSON)),
        st.sampled_from(METHODS), row_paths(), body | corrupted(body),
    )  # fmt: skip


@st.composite
def collections(draw: st.DrawFn) -> Request:
    envelope: Any = {"allOrNone": draw(st.booleans() | values), "records": draw(st.lists(records, max_size=4) | values)}
    if draw(st.integers(0, 3)) == 0:
        envelope = {
            "ids": draw(st.lists(ids, max_size=3) | values),
            "fields": draw(st.lists(st.sampled_from(FIELDS)) | values),
        }
    path = "composite/sobjects" + draw(st.sampled_from(["", f"/{draw(sobjects)}", f"/{draw(sobjects)}/{draw(keys)}"]))
    method = draw(st.sampled_from(METHODS))
    if method in {"GET", "DELETE"}:
        path += f"?ids={','.join(draw(st.lists(segments, max_size=3)))}&fields=Id&allOrNone={draw(segments)}"
    return Request(method, path, None if method in {"GET", "HEAD", "DELETE"} else encoded(envelope), dict(JSON))


@st.composite
def steps(draw: st.DrawFn, reference: str) -> Any:
    if draw(st.integers(0, 15)) == 0:
        return draw(values)
    path = draw(
        st.one_of(
            row_paths(),
            row_paths(),
            st.sampled_from(["limits", "composite", "query?q=SELECT+Id+FROM+User", "jobs/ingest"]),
        )
    )
    url = draw(
        st.sampled_from([f"{BASE}/{path}"] * 6 + ["@{a.id}", "@{a}", "", path, f"{BASE}/sobjects/Account/@{{a.id}}"])
    )
    step = {
        "method": draw(st.sampled_from(METHODS)),
        "url": url,
        "referenceId": reference,
        "body": draw(bodies() | values),
    }
    if draw(st.integers(0, 3)) == 0:
        step |= draw(
            st.fixed_dictionaries(
                {},
                optional={
                    "httpHeaders": values,
                    "method": values,
                    "referenceId": values,
                    "url": values,
                    "richInput": values,
                },
            )
        )
    return step


@st.composite
def composites(draw: st.DrawFn) -> Request:
    listed = [draw(steps(name)) for name in draw(st.sampled_from(["a", "ab", "abc", "abcd", "aa", ""]))]
    kind = draw(st.sampled_from(["", "/graph", "/batch"]))
    flag = st.booleans() | values
    envelope: Any
    if kind == "/graph":
        graph = {"graphId": draw(st.just("g") | values), "compositeRequest": listed}
        envelope = {"graphs": draw(st.sampled_from([[graph], [graph, graph], graph, []]))}
    elif kind == "/batch":
        envelope = {"haltOnError": draw(flag), "batchRequests": listed}
        for step in listed:
            if isinstance(step, dict) and isinstance(step.get("url"), str) and draw(st.booleans()):
                step["url"] = step["url"].removeprefix("/services/data/")
    else:
        envelope = {"compositeRequest": listed, "allOrNone": draw(flag), "collateSubrequests": draw(flag)}
    return Request(
        "POST", f"composite{kind}", draw(st.just(encoded(envelope)) | corrupted(st.just(encoded(envelope)))), dict(JSON)
    )


@st.composite
def branches(draw: st.DrawFn, depth: int = 3) -> Any:
    record = draw(records)
    record["attributes"] = draw(st.just({"type": "x", "referenceId": draw(texts)}) | values)
    if depth and draw(st.booleans()):
        name = draw(st.sampled_from(["Contacts", "Orders", "OrderItems", "ChildAccounts", "Name"]))
        record[name] = draw(
            st.builds(lambda rows: {"records": rows}, st.lists(branches(depth - 1), max_size=2)) | values  # type: ignore[misc]
        )
    return record


def trees() -> st.SearchStrategy[Request]:
    return st.builds(
        lambda name, listed: Request("POST", f"composite/tree/{name}", encoded({"records": listed}), dict(JSON)),
        st.one_of(st.sampled_from(["Account", "Order", EVENT]), sobjects), st.lists(branches(), max_size=3) | values,
    )  # fmt: skip


HEADERS = (
    "Sforce-Call-Options", "Sforce-Query-Options", "If-Modified-Since", "If-Unmodified-Since", "If-Match",
    "If-None-Match",
    "Content-Type", "Accept", "Accept-Encoding", "Content-Encoding", "X-PrettyPrint", "Authorization", "Cookie",
    "X-SFDC-Session",
    "Sforce-Auto-Assign", "Sforce-Duplicate-Rule-Header", "Expect", "Range",
)  # fmt: skip
HEADER_VALUES = (
    "client=a;b=c", "client", ";;=,,", "batchSize=999999999999999999999", "batchSize=-1",
    "Thu, 01 Jan 1970 00:00:00 GMT",
    "Thu, 99 Foo 99999 99:99:99 +9999", "Mon, 01 Jan 0001 00:00:00 +2359", "31 Dec 9999 23:59:59 -2359", "*",
    '"a", W/"b"',
    "application/json", "application/json; charset=utf-99", "multipart/form-data", "multipart/form-data; boundary=x",
    "text/csv",
    "gzip", "deflate", "br", "1", "Basic x", "Basic eDp5", "Bearer 5Aep861x", "Bearer 00D!", "TRUE", "",
)  # fmt: skip
RESOURCES = (
    "search?q=", "search?q=FIND%20{a}", "parameterizedSearch?q=", "recent", "tooling/query?q=", "tooling/sobjects/",
    "commerce/sale/order",
    "query?explain=", "/services/oauth2/authorize?", "sobjects/Order/describe/layouts/", "/services/Soap/c/66.0",
    "", "limits", "limits/recordCount?sObjects=", "sobjects", "query?q=", "queryAll?q=", "query/", "jobs/ingest",
    "jobs/query",
    "jobs/ingest/750Lo0000000001IAA", "jobs/query/750/results?locator=", "metadata/deployRequest", "composite",
    "event/eventSchema/",
    "/services/oauth2/token", "/services/oauth2/revoke", "/services/oauth2/introspect", "/services/oauth2/userinfo",
    "/id/x/y",
    "/services/Soap/u/64.0", "/services/Soap/m/", "/services/async/66.0/job", "/cometd/66.0", "/cometd",
    "/services/data",
    "/_org/nothing", "/", "/search?q=", "/orders", "/accounts", "//", "/services/data/v99999999999999999999.0/limits",
    "/services/data/v6६.0/limits",
)  # fmt: skip


@st.composite
def addresses(draw: st.DrawFn) -> Request:
    """Generate any address with any headers and a short body."""
    path = draw(st.sampled_from(RESOURCES) | row_paths()) + draw(segments | st.just(""))
    if draw(st.booleans()):
        pairs = draw(st.lists(st.tuples(segments, segments), max_size=3))
        path += ("&" if "?" in path else "?") + "&".join(f"{name}={value}" for name, value in pairs)
    if draw(st.integers(0, 5)) == 0:
        path += "?_HTTP_METHOD=" + draw(st.sampled_from(METHODS) | segments)
    headers = draw(st.dictionaries(st.sampled_from(HEADERS), st.sampled_from(HEADER_VALUES) | latin, max_size=3))
    method = draw(st.sampled_from([*METHODS, "OPTIONS", "TRACE", "BREW"]))
    body = draw(
        st.none() | st.binary(max_size=20) | values.map(encoded) | st.sampled_from([b"a=b&c", b"grant_type=password"])
    )
    return Request(method, path.encode("ascii", "backslashreplace").decode(), body, headers)


JSON = {"Content-Type": "application/json"}
