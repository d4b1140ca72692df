"""`/services/Soap`: `u` and `c` are the partner and enterprise APIs with login, `m` is the Metadata API."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from aiohttp import web

from connector.localorg.api_call import ApiResponse
from connector.localorg.errors import Refusal, not_found
from connector.localorg.http.oauth import own_url
from connector.localorg.metadata.xml import MetadataError, parse_xml
from connector.localorg.soap import components, deployments
from connector.localorg.soap.envelope import (
    ENTERPRISE,
    METADATA,
    PARTNER,
    Namespaces,
    SoapMessage,
    parse_message,
    respond,
    respond_fault,
    respond_no_operation,
    tag,
)
from connector.localorg.soap.login import FIRST_VERSION_WITHOUT_LOGIN, render_login
from connector.localorg.soap.partner import PartnerCall

if TYPE_CHECKING:
    from connector.localorg.org import Org

MAX_BYTES = 52_428_800
_ROW_NAMESPACES = {"u": PARTNER, "c": ENTERPRISE}


async def handle(org: Org, request: web.Request, segments: list[str]) -> web.StreamResponse:
    kind = segments[2].lower() if len(segments) >= 4 else ""
    if kind not in {"u", "c", "m"} or request.method != "POST":
        raise not_found()
    namespaces = _ROW_NAMESPACES.get(kind, METADATA)
    raw = await request.read()
    if len(raw) > MAX_BYTES:
        return respond_fault("EXCEEDED_MAX_SIZE_REQUEST", f"The request is larger than {MAX_BYTES:,} bytes", namespaces)
    try:
        message = parse_message(parse_xml(raw, "envelope"))
    except MetadataError as error:
        return respond_fault("INVALID_SOAP_BODY", f"Parser error at line {error.line}: {error.problem}", namespaces)
    except Refusal as refusal:
        return respond_fault(refusal.code, refusal.message, namespaces)
    if kind == "m":
        return _handle_metadata(org, message)
    if message.call.name == "login":
        return _handle_login(org, request, kind, segments[3], message)
    return _handle_rows(org, kind, segments[3], message)


def render_refusal(request: web.Request, reply: ApiResponse) -> web.Response:
    """Render the refusal of a data call as a fault of the API that was called."""
    first = reply.body[0]
    kind = request.path.strip("/").split("/")[2:3] or [""]
    return respond_fault(first["errorCode"], first["message"], _ROW_NAMESPACES.get(kind[0].lower(), METADATA))


def _handle_login(org: Org, request: web.Request, kind: str, segment: str, message: SoapMessage) -> web.Response:
    version = re.fullmatch(r"(\d{1,3})\.0", segment, re.ASCII)
    if version is None or int(version[1]) >= FIRST_VERSION_WITHOUT_LOGIN:
        return respond_fault(
            "UNSUPPORTED_API_VERSION", f"login() is not available in API version {segment}", _ROW_NAMESPACES[kind]
        )
    user = org.auth.verify_password(message.call.get("username"), message.call.get("password"))
    if user is None:
        problem = "Invalid username, password, security token; or user locked out."
        return respond_fault("INVALID_LOGIN", problem, _ROW_NAMESPACES[kind])
    return respond(_ROW_NAMESPACES[kind], render_login(org, user, own_url(org, request), kind, segment))


def _signed_in_user(org: Org, message: SoapMessage) -> str | None:
    session = org.auth.read_session(message.header("SessionHeader", "sessionId"))
    return session.user_id if session is not None and session.kind == "A" else None


def _respond_invalid_session(namespaces: Namespaces) -> web.Response:
    return respond_fault("INVALID_SESSION_ID", "Invalid Session ID found in SessionHeader: Illegal Session", namespaces)


def _handle_rows(org: Org, kind: str, segment: str, message: SoapMessage) -> web.Response:
    namespaces = _ROW_NAMESPACES[kind]
    version = f"{segment.partition('.')[0]}.0"
    user_id = _signed_in_user(org, message)
    if user_id is None:
        return _respond_invalid_session(namespaces)
    try:
        call = PartnerCall(org, message, version, typed=kind == "c")
        org.usage.record_call("soap", write=call.is_write)
        client = message.header("CallOptions", "client")
        org.hub.origin = f"com/salesforce/api/soap/{version}" + (f";client={client}" if client else "")
        with org.dml.acting_as(user_id):
            body = call.response_body()
    except Refusal as refusal:
        return respond_fault(refusal.code, refusal.message, namespaces)
    if body is None:
        return respond_no_operation(namespaces, message.call.name)
    used, limit = org.usage.used, org.settings.api_limit
    info = {"limitInfo": {"current": used, "limit": limit, "type": "API REQUESTS"}}
    return respond(namespaces, body, tag("LimitInfoHeader", info))


def _handle_metadata(org: Org, message: SoapMessage) -> web.Response:
    user_id = _signed_in_user(org, message)
    if user_id is None:
        return _respond_invalid_session(METADATA)
    try:
        body = deployments.handle(org, message.call)
        writes = body is not None
        if body is None:
            body = components.handle(org, message.call)
            writes = message.call.name.endswith("Metadata") and message.call.name[0] in "cu"
            if body is None:
                return respond_no_operation(METADATA, message.call.name)
        org.usage.record_call("metadata", write=writes)
    except Refusal as refusal:
        return respond_fault(refusal.code, refusal.message, METADATA)
    return respond(METADATA, body)
