"""Input limits: no request takes more CPU time per byte because it is larger."""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Callable

import pytest

from connector.localorg import sosl
from connector.localorg.errors import Refusal
from connector.localorg.metadata import xml
from connector.localorg.metadata.archive import ArchiveError, open_archive
from connector.localorg.metadata.xml import MetadataError, parse_xml
from connector.localorg.rest.multipart import MAX_PARTS, parse_parts
from connector.localorg.soap.envelope import parse_message
from connector.localorg.sosl import _contains_word, parse_search
from tests.org.conftest import SHARED, Caller

pytestmark = SHARED


def cost(act: Callable[[], object]) -> float:
    """Return CPU seconds, the least of three runs."""
    result = []
    for _ in range(3):
        before = time.process_time()
        act()
        result.append(time.process_time() - before)
    return min(result)


def multipart(size: int) -> bytes:
    lines = b"x\r\n" * size
    return b'--b\r\nContent-Disposition: form-data; name="json"\r\n\r\n' + lines + b"--b--"


GROWING: dict[str, Callable[[int], object]] = {
    "a SOAP body full of openings": lambda size: parse_message(
        parse_xml(b"<Envelope><Body><x><![CDATA[" + b"<sessionId " * size + b"]]></x></Body></Envelope>", "x")
    ),
    "XML text in many lines": lambda size: parse_xml(b"<a>" + b"x\n" * size * 4 + b"</a>", "x"),
    "XML text in many entities": lambda size: parse_xml(b"<a>" + b"&amp;" * size * 4 + b"</a>", "x"),
    "many elements": lambda size: parse_xml(b"<a>" + b"<b/>" * size + b"</a>", "x"),
    "a search for blanks": lambda size: _refused(lambda: parse_search("FIND {ab} RETURNING A" + " " * size + "x")),
    "a search for stars": lambda size: _contains_word("a" * size, "a*" * 30 + "b"),
    "lines of a form": lambda size: parse_parts(multipart(size), "multipart/form-data; boundary=b", "json"),
}


def _refused(act: Callable[[], object]) -> None:
    with pytest.raises(Refusal):
        act()


@pytest.mark.parametrize("act", GROWING.values(), ids=GROWING)
async def test_work_grows_linearly_with_the_length_of_the_input(act: Callable[[int], object]) -> None:
    size = 2_000
    small, large = cost(lambda: act(size)), cost(lambda: act(size * 8))
    assert large < max(small, 0.002) * 24, "quadratic work would be 64 times as much"


async def test_unauthenticated_soap_body_is_rejected_at_once(shared: Caller) -> None:
    body = b"<E><Body><![CDATA[" + b"<sessionId " * 20_000 + b"]]></Body></E>"
    answer = await shared.raw("POST", "/services/Soap/m/66.0", body, **{"Content-Type": "text/plain"})
    assert (answer.status, b"no SOAP envelope" in answer.body) == (500, True)


async def test_session_is_read_from_the_envelope_header_only(shared: Caller) -> None:
    token = shared.org.access_token
    body = f"<Envelope><Body><describeMetadata><sessionId>{token}</sessionId></describeMetadata></Body></Envelope>"
    answer = await shared.raw("POST", "/services/Soap/m/66.0", body.encode())
    assert b"INVALID_SESSION_ID" in answer.body


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"<a>" * 200 + b"</a>" * 200, "nested more than 100 levels"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "a document type is not allowed"),
        (b"<a>" + b"<b/>" * 200 + b"</a>", "more than 100 elements"),
        (b'<?xml version="1.0" encoding="nothing"?><a/>', "not readable"),
        (b'<?xml version="1.0" encoding="base64"?><a/>', "not readable"),
        (b'<?xml version="1.0" encoding="utf-7"?><a/>', "not readable"),
    ],
)
async def test_xml_beyond_its_limits_is_rejected(monkeypatch: pytest.MonkeyPatch, content: bytes, problem: str) -> None:
    monkeypatch.setattr(xml, "MAX_ELEMENTS", 100 if b"b/" in content else 10_000)
    with pytest.raises(MetadataError, match=problem):
        parse_xml(content, "x")


async def test_zip_bomb_is_rejected_unread() -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("package.xml", b"\0" * 1_000)
    raw = content.getvalue()
    large = (500 * 1024 * 1024).to_bytes(4, "little")
    spot = raw.rindex(b"PK\x01\x02") + 24
    with pytest.raises(ArchiveError, match="too large"):
        open_archive(raw[:spot] + large + raw[spot + 4 :])


async def test_cometd_request_of_too_many_messages_is_rejected(shared: Caller) -> None:
    body = b"[" + b",".join([b'{"channel": "/meta/handshake"}'] * 101) + b"]"
    answer = await shared.raw("POST", "/cometd/66.0", body, **{"Content-Type": "application/json"})
    assert (answer.status, answer.code) == (400, "LIMIT_EXCEEDED")


async def test_form_with_many_or_nested_parts_is_rejected() -> None:
    part = b'--b\r\nContent-Disposition: form-data; name="%d"\r\n\r\nx\r\n'
    with pytest.raises(Refusal, match=f"at most {MAX_PARTS} parts"):
        parse_parts(b"".join(part % number for number in range(50)), "multipart/form-data; boundary=b", "json")
    for kind in ("multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=other"):
        with pytest.raises(Refusal, match="multipart request"):
            parse_parts(part % 1, kind, "json")


async def test_form_part_keeps_every_byte() -> None:
    content = bytes(range(256)) + b"\r\n--c\r\n\\u0041"
    raw = b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\n' + content + b"\r\n--b--\r\n"
    assert parse_parts(raw, 'multipart/form-data; boundary="b"', "file") == [content]


@pytest.mark.parametrize(
    ("text", "word", "found"),
    [
        ("tea box", "te*", True), ("tea box", "*ox", True), ("tea box", "t*x", False), ("teabox", "t*b*x", True),
        ("tea-box", "tea-b*", True), ("abcbd", "a*b*d", True), ("abab", "a*b", True), ("abac", "a*b", False),
        ("tea", "t?a", True), ("tea", "t??a", False), ("a*b", "a", True),
    ],
)  # fmt: skip
async def test_search_word_with_wildcards_matches(text: str, word: str, *, found: bool) -> None:
    assert _contains_word(text, word) is found


async def test_too_long_search_is_rejected_or_finds_nothing(shared: Caller) -> None:
    with pytest.raises(Refusal, match="100000 characters"):
        parse_search("FIND {" + "a" * sosl.MAX_LENGTH + "}")
    await shared.create("Account", Name="Longsearch")
    body = {"q": "Longsearch OR " * 1_000, "sobjects": [{"name": "Account"}]}
    for term in ("ab OR " * 50 + "cd", "a*" * 11):
        refused = await shared.refusal("POST", "parameterizedSearch", {"q": term, "sobjects": [{"name": "Account"}]})
        assert refused[:2] == (400, "MALFORMED_SEARCH")
    status, answer = await shared.call("POST", "parameterizedSearch", body)
    assert (status, answer["searchRecords"]) == (200, [])
