"""The fuzzed APIs: how a case is sent to each, and what must hold of the response."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc
from hypothesis import strategies as st

from connector.localorg.pubsub import grpc_codec
from tests.org.fuzz import files, requests
from tests.org.fuzz.queries import queries
from tests.org.fuzz.requests import Request
from tests.org.fuzz.strategies import EVENT, encoded, segment, texts, values
from tests.org.fuzz.target import JSON, FaultError, Target

POLLS = 2_000
CSV = {"Content-Type": "text/csv"}


@dataclass(frozen=True)
class FuzzedApi:
    cases: st.SearchStrategy[Any]
    act: Callable[[Target, Any], object]
    weight: float = 1.0
    """The share of the requested cases that this API gets: some cost more."""


def send(target: Target, request: Request) -> object:
    return target.send(request.method, request.path, request.body, request.headers)


def query(target: Target, text: str) -> object:
    status, body = target.send("GET", f"query?q={segment(text)}")
    if status == 200:
        answer_body = json.loads(body)
        if answer_body["done"] and answer_body["records"] and len(answer_body["records"]) != answer_body["totalSize"]:
            raise FaultError("a size that is none", text)
    return None


def deep_query(target: Target, text: str) -> object:
    """Send a query as a subrequest, where any character is allowed, and as a bulk query."""
    step = {"method": "GET", "url": f"/services/data/v66.0/queryAll?q={segment(text)}&columns=true", "referenceId": "q"}
    target.send("POST", "composite", encoded({"compositeRequest": [step]}), JSON)
    return target.send("POST", "jobs/query", encoded({"operation": "query", "query": text}), JSON)


def _over(target: Target, path: str, done: Callable[[bytes], bool]) -> bytes:
    for _ in range(POLLS):
        _, body = target.send("GET", path, headers={"X-SFDC-Session": target.org.access_token})
        if done(body):
            return body
    raise FaultError("never over", path)


def ingest(target: Target, case: tuple[dict[str, Any], bytes]) -> object:
    settings, content = case
    status, body = target.send("POST", "jobs/ingest", encoded({"object": "Account", **settings}), JSON)
    if status != 200:
        return None
    job = json.loads(body)
    target.send("PUT", f"/{job['contentUrl']}", content, CSV)
    status, _ = target.send("PATCH", f"jobs/ingest/{job['id']}", b'{"state": "UploadComplete"}', JSON)
    if status != 200:
        return target.send("PATCH", f"jobs/ingest/{job['id']}", b'{"state": "Aborted"}', JSON)
    body = _over(
        target, f"jobs/ingest/{job['id']}", lambda body: b'"state":"JobComplete"' in body or b'"state":"Failed"' in body
    )
    if b"InternalServerError" in body:
        raise FaultError("job failed", body.decode())
    for which in ("successfulResults", "failedResults", "unprocessedrecords"):
        if target.send("GET", f"jobs/ingest/{job['id']}/{which}")[0] != 200:
            raise FaultError("no results", which)
    return target.send("DELETE", f"jobs/ingest/{job['id']}")


def classic(target: Target, case: tuple[str, str, bytes]) -> object:
    """Send a batch of a Bulk API 1.0 job."""
    operation, kind, content = case
    session = {"X-SFDC-Session": target.org.access_token}
    info = {"operation": operation, "object": "Account", "contentType": kind, "externalIdFieldName": "External_Key__c"}
    _, body = target.send("POST", "/services/async/66.0/job", encoded(info), {**session, **JSON})
    path = f"/services/async/66.0/job/{json.loads(body)['id']}"
    target.send("POST", f"{path}/batch", content, {**session, "Content-Type": f"application/{kind.lower()}"})
    over = (b"Completed", b"Failed", b"Not Processed")
    body = _over(target, f"{path}/batch", lambda body: any(b">" + word in body or b'"' + word in body for word in over))
    if b"InternalServerError" in body:
        raise FaultError("batch failed", body.decode())
    job = next(reversed(target.org.org.bulk_v1._jobs.values()))
    for batch in list(job.batches):
        target.send("GET", f"{path}/batch/{batch}/result", headers=session)
    return target.send("GET", path, headers=session)


def job_info(target: Target, case: tuple[str, bytes]) -> object:
    path, body = case
    kind = "application/json" if body.startswith(b"{") else "application/xml"
    headers = {"X-SFDC-Session": target.org.access_token, "Content-Type": kind}
    return target.send("POST", path, body, headers)


def soap(target: Target, case: tuple[str, bytes]) -> object:
    path, body = case
    body = body.replace(b"SESSION", target.org.access_token.encode())
    return target.send("POST", path, body, {"Content-Type": "text/xml", "SOAPAction": "x"})


def cometd(target: Target, listed: list[Any]) -> object:
    shake = {"channel": "/meta/handshake", "version": "1.0", "supportedConnectionTypes": ["long-polling"]}
    _, answer_body = target.send("POST", "/cometd/66.0", encoded([shake]), JSON)
    body = encoded(listed).replace(b"CLIENT", json.loads(answer_body)[0]["clientId"].encode())
    target.send("POST", "/cometd/66.0", body, JSON)
    target.org.app.cometd._clients.clear()
    return None


def deploy(target: Target, case: tuple[bytes, Any]) -> object:
    content, options = case
    parts = (("json", "application/json", encoded({"deployOptions": options})), ("file", "application/zip", content))
    body = b"".join(
        f'--XX\r\nContent-Disposition: form-data; name="{name}"; filename="f"\r\nContent-Type: {kind}\r\n\r\n'.encode()
        + data
        + b"\r\n"
        for name, kind, data in parts
    )
    headers = {"Content-Type": "multipart/form-data; boundary=XX"}
    status, answer_body = target.send("POST", "metadata/deployRequest", body + b"--XX--\r\n", headers)
    if status == 201:
        path = f"metadata/deployRequest/{json.loads(answer_body)['id']}?includeDetails=true"
        answer_body = _over(target, path, lambda answer_body: b'"done":true' in answer_body)
        if b"UNKNOWN" in answer_body:
            raise FaultError("deployment failed", answer_body.decode())
    return None


def multipart(target: Target, case: tuple[str, str, bytes]) -> object:
    path, kind, body = case
    return target.send("POST", path, body, {"Content-Type": f"multipart/form-data{kind}"})


FORMS = (
    b"--X\r\n\r\n--X--", b"--X\r\nContent-Disposition: form-data\r\n\r\nx\r\n--X--",
    b'--X\r\nContent-Disposition: form-data; name="job"\r\nContent-Transfer-Encoding: base64\r\n\r\n!\r\n--X\r\n'
    b'Content-Disposition: form-data; name="content"\r\n\r\n\xff\r\n--X--',
)  # fmt: skip
_calls: dict[Target, grpc.Channel] = {}
FINE = {
    grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.DEADLINE_EXCEEDED,
}  # fmt: skip


def pubsub(target: Target, case: tuple[str, list[bytes]]) -> object:
    name, sent = case
    channel = _calls.get(target)
    if channel is None:
        channel = _calls[target] = grpc.insecure_channel(str(target.org.pubsub_endpoint))
    identity = target.org.org.auth.identity
    metadata = (
        ("accesstoken", target.org.access_token),
        ("instanceurl", target.org.url),
        ("tenantid", identity.organization_id),
    )
    path = f"/{grpc_codec.SERVICE}/{name}"
    streams = name in grpc_codec.METHODS and grpc_codec.METHODS[name][2]
    deadline = 0.05 if streams else 10.0
    try:
        if streams:
            for _ in channel.stream_stream(path)(iter(sent), metadata=metadata, timeout=deadline):
                pass
        else:
            channel.unary_unary(path)(sent[0] if sent else b"", metadata=metadata, timeout=deadline)
    except grpc.RpcError as error:
        code = error.code()  # type: ignore[attr-defined]
        late = code is grpc.StatusCode.DEADLINE_EXCEEDED and not streams
        if code not in FINE or late:
            raise FaultError(f"gRPC {code.name} of {name}", str(error)) from None
    target.check()
    return None


def published(target: Target, payload: bytes) -> object:
    """Publish an event with arbitrary Avro bytes."""
    topic = f"/event/{EVENT}"
    schema = target.org.org.hub.schema_for_topic(topic)
    assert schema is not None
    event = grpc_codec.message_class("ProducerEvent")(id="x", schema_id=schema.id, payload=payload)
    return pubsub(
        target,
        ("Publish", [grpc_codec.message_class("PublishRequest")(topic_name=topic, events=[event]).SerializeToString()]),
    )


def _requests() -> st.SearchStrategy[tuple[str, list[bytes]]]:
    topics = st.sampled_from([f"/event/{EVENT}", "/data/ChangeEvents", "/data/OrderChangeEvent", ""]) | texts.filter(
        str.isprintable
    )
    counts = st.integers(-(2**31), 2**31 - 1)
    made: dict[str, st.SearchStrategy[Any]] = {
        "Subscribe": st.builds(
            lambda *values: grpc_codec.message_class("FetchRequest")(
                **dict(zip(("topic_name", "replay_preset", "replay_id", "num_requested"), values, strict=True))
            ),
            topics, st.sampled_from([0, 1, 2, 7]), st.binary(max_size=10), st.sampled_from([-1, 0, 1]) | counts,
        ),
        "ManagedSubscribe": st.builds(
            lambda name, count: grpc_codec.message_class("ManagedFetchRequest")(
                developer_name=name, num_requested=count
            ),
            topics, counts,
        ),
        "GetTopic": st.builds(lambda name: grpc_codec.message_class("TopicRequest")(topic_name=name), topics),
        "GetSchema": st.builds(lambda name: grpc_codec.message_class("SchemaRequest")(schema_id=name), topics),
        "Publish": st.builds(lambda name: grpc_codec.message_class("PublishRequest")(topic_name=name), topics),
        "PublishStream": st.builds(lambda name: grpc_codec.message_class("PublishRequest")(topic_name=name), topics),
    }  # fmt: skip

    def several(name: str) -> st.SearchStrategy[tuple[str, list[bytes]]]:
        content = made[name].map(lambda message: bytes(message.SerializeToString()))
        size = 2 if grpc_codec.METHODS[name][2] else 1
        return st.tuples(st.just(name), st.lists(content | st.binary(max_size=20), min_size=1, max_size=size))

    return st.sampled_from(sorted(made)).flatmap(several) | st.tuples(
        st.just("Nothing"), st.lists(st.binary(), max_size=1)
    )


_settings = st.fixed_dictionaries(
    {"operation": st.sampled_from(["insert", "update", "upsert", "delete"]),
    "externalIdFieldName": st.just("External_Key__c")},
    optional={"lineEnding": st.sampled_from(["LF", "CRLF"]), "columnDelimiter": st.sampled_from(["COMMA", "PIPE",
    "TAB"]),
              "object": st.sampled_from(["Account", "Contact", "Order", EVENT]) | values},
)  # fmt: skip
_operations = st.sampled_from(["insert", "update", "upsert", "delete"])
APIS: dict[str, FuzzedApi] = {
    "query": FuzzedApi(queries, query),
    "query in a composite, and in bulk": FuzzedApi(queries, deep_query),
    "rows": FuzzedApi(requests.rows(), send),
    "collections": FuzzedApi(requests.collections(), send),
    "composite, batch, graph": FuzzedApi(requests.composites(), send),
    "tree": FuzzedApi(requests.trees(), send),
    "addresses and headers": FuzzedApi(requests.addresses(), send),
    "ingest": FuzzedApi(st.tuples(_settings, files.csv_content), ingest, 0.3),
    "bulk 1.0 CSV": FuzzedApi(st.tuples(_operations, st.just("CSV"), files.csv_content), classic, 0.3),
    "bulk 1.0 JSON": FuzzedApi(st.tuples(_operations, st.just("JSON"), files.json_content), classic, 0.3),
    "bulk 1.0 XML": FuzzedApi(st.tuples(_operations, st.just("XML"), files.xml_content), classic, 0.3),
    "bulk 1.0 query": FuzzedApi(
        st.tuples(
            st.just("query"), st.sampled_from(["CSV", "JSON", "XML"]),
            queries.map(lambda text: text.encode("utf-8", "replace")),
        ),
        classic, 0.3,
    ),
    "bulk 1.0 jobs": FuzzedApi(
        st.tuples(
            st.sampled_from(
                ["/services/async/66.0/job", "/services/async/x/job", "/services/async/66.0/job/750"]
            ),
            files.job_infos(),
        ),
        job_info,
    ),
    "SOAP": FuzzedApi(
        st.tuples(
            st.sampled_from(
                ["/services/Soap/u/64.0", "/services/Soap/c/66.0", "/services/Soap/m/66.0", "/services/Soap/u/x"]
            ),
            files.envelopes(),
        ),
        soap,
    ),
    "CometD": FuzzedApi(st.lists(files.messages(), max_size=4), cometd),
    "Pub/Sub": FuzzedApi(_requests(), pubsub, 0.1),
    "Pub/Sub payloads": FuzzedApi(st.binary(max_size=60), published),
    "deployments": FuzzedApi(st.tuples(files.packages(), files.options), deploy, 0.2),
    "multipart": FuzzedApi(
        st.tuples(
            st.sampled_from(["jobs/ingest", "metadata/deployRequest", "/services/oauth2/token"]),
            st.sampled_from(["", "; boundary=X", "; boundary=", '; boundary="', ";;"]),
            st.binary(max_size=40) | st.sampled_from(FORMS),
        ),
        multipart,
    ),
}  # fmt: skip
