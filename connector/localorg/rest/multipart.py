"""Parse multipart/form-data, as far as clients of the platform send it."""

from __future__ import annotations

from email.message import EmailMessage
from email.parser import BytesHeaderParser
from email.policy import HTTP

from connector.localorg.errors import Refusal

MAX_PARTS = 10
_MAX_HEADER_BYTES = 16_384


def parse_parts(raw: bytes, content_type: str, *names: str) -> list[bytes]:
    """Return the content of the named parts. Refusal if one is missing.

    The first part may have any name if it is JSON: jsforce calls that of a deployment `entity_content`, others `json`.
    """
    parts = {part.get_param("name", header="content-disposition"): part for part in _split_parts(raw, content_type)}
    stray = [name for name, part in parts.items() if name not in names and part.get_content_subtype() == "json"]
    if stray and names[0] not in parts:
        parts[names[0]] = parts.pop(stray[0])
    if not set(names) <= parts.keys():
        raise _invalid_multipart(f"A multipart request has the parts {' and '.join(names)}.")
    return [bytes(parts[name].get_payload(decode=True) or b"") for name in names]


def _split_parts(raw: bytes, content_type: str) -> list[EmailMessage]:
    """Split a body into its parts. Nested parts are not supported."""
    head = BytesHeaderParser(policy=HTTP).parsebytes(b"Content-Type: " + content_type[:_MAX_HEADER_BYTES].encode())
    boundary = head.get_boundary()
    if not boundary:
        raise _invalid_multipart("A multipart request names its boundary.")
    mark = b"\r\n--" + boundary.encode()
    _, *pieces = (b"\r\n" + raw).split(mark, MAX_PARTS + 1)
    if len(pieces) > MAX_PARTS:
        raise _invalid_multipart(f"A multipart request has at most {MAX_PARTS} parts.")
    parts = []
    for piece in pieces:
        if piece.startswith(b"--"):
            break
        lines, _, content = piece.partition(b"\r\n\r\n")
        if len(lines) > _MAX_HEADER_BYTES:
            raise _invalid_multipart("The headers of a part are too long.")
        part = BytesHeaderParser(policy=HTTP).parsebytes(lines.lstrip() + b"\r\n\r\n")
        part.set_payload(content.decode("latin-1"))
        parts.append(part)
    return parts


def _invalid_multipart(problem: str) -> Refusal:
    return Refusal("INVALID_MULTIPART_REQUEST", problem)
