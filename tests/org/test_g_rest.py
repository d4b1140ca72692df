"""Chapter G: platform events published as rows (G9)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.org.conftest import SHARED, Caller

pytestmark = SHARED
EVENT = {"Order_Number__c": "G9", "Action__c": "hold"}
KIND = "Order_Action__e"


def heard(caller: Caller, after: int) -> int:
    return len(caller.org.org.hub.bus.events_after(after, [f"/event/{KIND}"], 1_000))


async def test_published_event_is_a_success_with_enqueued_note(shared: Caller) -> None:
    """G9: OPERATION_ENQUEUED with the event's UUID as message."""
    before = shared.org.org.hub.bus.latest
    status, body = await shared.call("POST", f"sobjects/{KIND}/", EVENT)
    assert (status, body["success"], body["id"][:3]) == (201, True, "e01")
    [note] = body["errors"]
    assert (note["statusCode"], note["fields"], len(note["message"])) == ("OPERATION_ENQUEUED", [], 36)
    [event] = shared.org.org.hub.bus.events_after(before, [f"/event/{KIND}"], 10)
    assert event.uuid == note["message"]


async def test_event_is_published_by_every_list_api(shared: Caller) -> None:
    """G9: collections, composite, tree and bulk insert."""
    before = shared.org.org.hub.bus.latest
    rows: list[dict[str, Any]] = [{"attributes": {"type": KIND}, **EVENT}] * 2
    _, body = await shared.call("POST", "composite/sobjects", {"records": rows})
    assert [row["errors"][0]["statusCode"] for row in body] == ["OPERATION_ENQUEUED"] * 2
    step = {"method": "POST", "url": f"/services/data/v66.0/sobjects/{KIND}", "referenceId": "e", "body": EVENT}
    _, body = await shared.call("POST", "composite", {"compositeRequest": [step]})
    assert body["compositeResponse"][0]["httpStatusCode"] == 201
    record = {"attributes": {"type": KIND, "referenceId": "e"}, **EVENT}
    assert (await shared.call("POST", f"composite/tree/{KIND}", {"records": [record]}))[0] == 201
    assert heard(shared, before) == 4


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", f"sobjects/{KIND}/e01000000000000AAA"), ("PATCH", f"sobjects/{KIND}/e01000000000000AAA"),
     ("DELETE", f"sobjects/{KIND}/e01000000000000AAA"), ("GET", f"query?q=SELECT+Id+FROM+{KIND}"),
     ("GET", f"composite/sobjects/{KIND}?ids=e01000000000000AAA&fields=Id"),
     ("POST", f"composite/sobjects/{KIND}"), ("PATCH", f"composite/sobjects/{KIND}/Id"),
     ("DELETE", "composite/sobjects?ids=e01000000000000AAA"), ("PATCH", f"sobjects/{KIND}/EventUuid/x"),
     ("GET", f"sobjects/{KIND}/Id/e01000000000000AAA")],
)  # fmt: skip
async def test_event_cannot_be_read_queried_or_changed(shared: Caller, method: str, path: str) -> None:
    """G9: it can be neither read nor queried, changed nor deleted."""
    bodies: dict[str, Any] = {"PATCH": {"records": [{"attributes": {"type": KIND}, "Id": "e01000000000000AAA", **EVENT}]},  # noqa: E501
                              "POST": {"ids": ["e01000000000000AAA"], "fields": ["EventUuid"]}}  # fmt: skip
    body = bodies.get(method) if "composite" in path else (EVENT if method == "PATCH" else None)
    status, answer_body = await shared.call(method, path, body)
    if status == 200:
        assert [row["success"] for row in answer_body] == [False]
    else:
        assert status in {400, 404}, answer_body


@pytest.mark.parametrize(
    ("body", "code"),
    [({"Nothing__c": 1}, "INVALID_FIELD"), ({"Order_Number__c": "x" * 300}, "STRING_TOO_LONG"),
     ({"Order_Number__c": {}}, "JSON_PARSER_ERROR"), ({"ReplayId": 1}, "INVALID_FIELD_FOR_INSERT_UPDATE")],
)  # fmt: skip
async def test_invalid_event_is_rejected_and_not_published(shared: Caller, body: dict[str, Any], code: str) -> None:
    """G9: refused at once, and nothing is published."""
    before = shared.org.org.hub.bus.latest
    assert (await shared.refusal("POST", f"sobjects/{KIND}", {**EVENT, **body}))[:2] == (400, code)
    assert heard(shared, before) == 0


async def test_event_published_after_commit_is_dropped_by_a_rollback(shared: Caller) -> None:
    """G9: `publishBehavior` decides."""
    sobject = shared.org.org.schema.get(KIND)
    assert sobject is not None
    rows = [{"attributes": {"type": KIND}, **EVENT}, {"attributes": {"type": "Account"}}]
    for immediate, published in ((False, 0), (True, 1)):
        before, stored, sobject.immediate = shared.org.org.hub.bus.latest, sobject.immediate, immediate
        try:
            await shared.call("POST", "composite/sobjects", {"allOrNone": True, "records": rows})
        finally:
            sobject.immediate = stored
        assert heard(shared, before) == published
