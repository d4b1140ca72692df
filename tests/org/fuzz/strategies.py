"""Strategies for parts of requests: names of the schema, valid and invalid values, corrupted bytes."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from hypothesis import strategies as st

from connector.cli.localorg import our_metadata
from connector.localorg.metadata.sfdx_source import load_into_schema
from connector.localorg.standard_objects import standard_schema

SCHEMA = standard_schema()
load_into_schema(SCHEMA, our_metadata())
OBJECTS = sorted(item.name for item in SCHEMA)
FIELDS = sorted({field.name for item in SCHEMA for field in item.fields.values()})
EVENT = "Order_Action__e"
SOME_IDS = ("001Lo0000000001IAA", "801Lo0000000001IAA", "802Lo0000000001", "01sLo0000000001IAA", "005Lo0000000001IAA",
            "00D", "000000000000000AAA", "e01Lo0000000001IAA", "01g000000000000AAA-5")  # fmt: skip
ODD = (
    "", " ", "null", "true", "0", "-1", "1e400", "2026-01-31", "2026-02-30", "2026-01-31T10:00:00Z",
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59", "10:30:00.000Z", "a;b", "@{a.id}", "@{a}", "@{a.records[0].Id}", "Draft", "Activated",
    "x" * 300, "'", '"', "\\", "\x00", "\ud800", "é", "a@b.example", "%", "..", "/", "#N/A", "External_Key__c",
)  # fmt: skip

texts = st.one_of(st.sampled_from(ODD), st.sampled_from(SOME_IDS), st.text(max_size=12))
numbers = st.one_of(
    st.integers(-10, 10), st.integers(), st.sampled_from([10**40, -(10**18), 2**63]), st.floats(allow_nan=False),
    st.sampled_from([0.1, 1e15, 1e-300, 1e300]),
)  # fmt: skip
leaves = st.one_of(st.none(), st.booleans(), numbers, texts)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS) | texts, inner, max_size=3),
    max_leaves=6,
)
objects = st.sampled_from(OBJECTS)
latin = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=20)


@st.composite
def bodies(draw: st.DrawFn, sobject: str | None = None) -> dict[str, Any]:
    """Generate a request body of an object, with values that are sometimes valid."""
    sobject_schema = SCHEMA.get(sobject or draw(objects))
    names = [field.name for field in sobject_schema.fields.values()] if sobject_schema else FIELDS
    names += (
        [field.relationship_name for field in sobject_schema.fields.values() if field.relationship_name]
        if sobject_schema
        else []
    )
    body = draw(st.dictionaries(st.sampled_from(names), values, max_size=4))
    if draw(st.booleans()):
        body |= {"Name": "N", "LastName": "L"} if draw(st.booleans()) else {"Name": "N"}
    if draw(st.integers(0, 3)) == 0:
        body["attributes"] = draw(values)
    return body


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


@st.composite
def corrupted(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """Change, drop, double or insert a few bytes."""
    data = bytearray(draw(whole))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        match draw(st.integers(0, 3)):
            case 0 if at < len(data):
                data[at] = draw(st.integers(0, 255))
            case 1:
                del data[at : at + draw(st.integers(1, 8))]
            case 2:
                data[at:at] = data[at : at + draw(st.integers(1, 30))]
            case _:
                data[at:at] = draw(
                    st.binary(max_size=6) | st.sampled_from([b"\r\n", b'"', b"<", b"&", b"\x00", b"{", b"'", b","])
                )
    return bytes(data)


def segment(text: str) -> str:
    return quote(text.encode("utf-8", "replace"), safe="")
