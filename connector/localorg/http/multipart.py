"""multipart/form-data, as far as clients of the platform send it."""

from __future__ import annotations

from email.parser import BytesParser
from email.policy import HTTP

from connector.localorg.errors import Refusal


def parts(raw: bytes, content_type: str, *names: str) -> list[bytes]:
    """The content of the named parts. Refusal if one is missing.

    A JSON part goes by any name: jsforce calls that of a deployment `entity_content`, others `json`.
    """
    message = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + raw)
    found = {part.get_param("name", header="content-disposition"): part for part in message.iter_parts()}
    stray = [name for name, part in found.items() if name not in names and part.get_content_subtype() == "json"]
    if stray and names[0] not in found:
        found[names[0]] = found.pop(stray[0])
    if not set(names) <= found.keys():
        raise Refusal("INVALID_MULTIPART_REQUEST", f"A multipart request has the parts {' and '.join(names)}.")
    return [bytes(found[name].get_payload(decode=True) or b"") for name in names]
