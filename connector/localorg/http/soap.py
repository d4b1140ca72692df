"""`/services/Soap`: `u` and `c` are the partner and enterprise APIs with login, `m` is the Metadata API."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from aiohttp import web

from connector.localorg.api_call import ApiResponse
from connector.localorg.errors import Refusal, not_found
from connector.localorg.http.oauth import own_url
from connector.localorg.metadata.xml import MetadataError, read
from connector.localorg.soap.envelope import (
    ENTERPRISE,
    METADATA,
    PARTNER,
    Message,
    Namespaces,
    fault,
    message,
    no_operation,
    tag,
    told,
)
from connector.localorg.soap.login import WITHOUT_LOGIN, login

if TYPE_CHECKING:
    from connector.localorg.org import Org

MOST_BYTES = 52_428_800
_ROWS = {"u": PARTNER, "c": ENTERPRISE}


async def answer(org: Org, request: web.Request, segments: list[str]) -> web.StreamResponse:
    kind = segments[2].lower() if len(segments) >= 4 else ""
    if kind not in {"u", "c", "m"} or request.method != "POST":
        raise not_found()
    namespaces = _ROWS.get(kind, METADATA)
    raw = await request.read()
    if len(raw) > MOST_BYTES:
        return fault("EXCEEDED_MAX_SIZE_REQUEST", f"The request is larger than {MOST_BYTES:,} bytes", namespaces)
    try:
        came = message(read(raw, "envelope"))
    except MetadataError as error:
        return fault("INVALID_SOAP_BODY", f"Parser error at line {error.line}: {error.problem}", namespaces)
    except Refusal as refusal:
        return fault(refusal.code, refusal.message, namespaces)
    if kind == "m":
        return _metadata(org, came)
    if came.call.name == "login":
        return _login(org, request, kind, segments[3], came)
    return _rows(org, kind, segments[3], came)


def refused(request: web.Request, reply: ApiResponse) -> web.Response:
    """What a data call would be refused with, as a fault of the API that was called."""
    first = reply.body[0]
    kind = request.path.strip("/").split("/")[2:3] or [""]
    return fault(first["errorCode"], first["message"], _ROWS.get(kind[0].lower(), METADATA))


def _login(org: Org, request: web.Request, kind: str, wanted: str, came: Message) -> web.Response:
    version = re.fullmatch(r"(\d{1,3})\.0", wanted, re.ASCII)
    if version is None or int(version[1]) >= WITHOUT_LOGIN:
        return fault("UNSUPPORTED_API_VERSION", f"login() is not available in API version {wanted}", _ROWS[kind])
    if not org.auth.verify_password(came.call.get("username"), came.call.get("password")):
        problem = "Invalid username, password, security token; or user locked out."
        return fault("INVALID_LOGIN", problem, _ROWS[kind])
    return told(_ROWS[kind], login(org, own_url(org, request), kind, wanted))


def _signed_in(org: Org, came: Message) -> bool:
    session = org.auth.read_session(came.header("SessionHeader", "sessionId"))
    return session is not None and session.kind == "A"


def _no_session(namespaces: Namespaces) -> web.Response:
    return fault("INVALID_SESSION_ID", "Invalid Session ID found in SessionHeader: Illegal Session", namespaces)


def _rows(org: Org, kind: str, wanted: str, came: Message) -> web.Response:
    from connector.localorg.soap.partner import Partner

    namespaces = _ROWS[kind]
    version = f"{wanted.partition('.')[0]}.0"
    if not _signed_in(org, came):
        return _no_session(namespaces)
    try:
        call = Partner(org, came, version, typed=kind == "c")
        org.usage.record_call("soap", write=call.writes)
        client = came.header("CallOptions", "client")
        org.hub.origin = f"com/salesforce/api/soap/{version}" + (f";client={client}" if client else "")
        body = call.answer()
    except Refusal as refusal:
        return fault(refusal.code, refusal.message, namespaces)
    if body is None:
        return no_operation(namespaces, came.call.name)
    used, limit = org.usage.used, org.settings.api_limit
    info = {"limitInfo": {"current": used, "limit": limit, "type": "API REQUESTS"}}
    return told(namespaces, body, tag("LimitInfoHeader", info))


def _metadata(org: Org, came: Message) -> web.Response:
    from connector.localorg.rest import metadata_api
    from connector.localorg.soap import components

    if not _signed_in(org, came):
        return _no_session(METADATA)
    try:
        body = metadata_api.soap(org, came.call)
        writes = body is not None
        if body is None:
            body = components.answer(org, came.call)
            writes = came.call.name.endswith("Metadata") and came.call.name[0] in "cu"
            if body is None:
                return no_operation(METADATA, came.call.name)
        org.usage.record_call("metadata", write=writes)
    except Refusal as refusal:
        return fault(refusal.code, refusal.message, METADATA)
    return told(METADATA, body)
