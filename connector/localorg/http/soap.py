"""SOAP: login and the Metadata API, for the clients that still use it. Elements of a login come in WSDL order: clients
read them by place."""

from __future__ import annotations

import re
from html import escape, unescape
from typing import TYPE_CHECKING, Any

from aiohttp import web

from connector.localorg.errors import Refusal, not_found
from connector.localorg.http.oauth import own_url
from connector.localorg.metadata.xml import MetadataError, read

if TYPE_CHECKING:
    from connector.localorg.org import Org

_WITHOUT_LOGIN = 65  # the first version that no longer has login()
_ENVELOPE = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"'
    ' xmlns="urn:partner.soap.sforce.com" xmlns:sf="urn:fault.partner.soap.sforce.com"'
    ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>{}</soapenv:Body></soapenv:Envelope>'
)


def inner(text: str, name: str) -> str | None:
    """What is in the first element of that name, whatever its prefix; None if there is none."""
    found = re.search(rf"<(?:\w+:)?{name}(?:\s[^>]*)?(?:/>|>(.*?)</(?:\w+:)?{name}\s*>)", text, re.DOTALL)
    return (found[1] or "") if found else None


def _element(text: str, name: str) -> str:
    found = (inner(text, name) or "").strip()
    if found.startswith("<![CDATA[") and found.endswith("]]>"):
        return found[9:-3]
    return unescape(found)


def tag(name: str, value: Any) -> str:
    """A value as elements: a mapping's members inside, a list's one after the other, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, list):
        return "".join(tag(name, item) for item in value)
    if isinstance(value, dict):
        return f"<{name}>{''.join(tag(key, item) for key, item in value.items())}</{name}>"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"<{name}>{escape(text)}</{name}>"


def _fault(code: str, message: str) -> web.Response:
    body = (
        f"<soapenv:Fault><faultcode>sf:{code}</faultcode><faultstring>{code}: {escape(message)}</faultstring>"
        f"<detail><sf:LoginFault><sf:exceptionCode>{code}</sf:exceptionCode>"
        f"<sf:exceptionMessage>{escape(message)}</sf:exceptionMessage></sf:LoginFault></detail></soapenv:Fault>"
    )
    return web.Response(status=500, text=_ENVELOPE.format(body), content_type="text/xml", charset="utf-8")


def _problem(raw: bytes) -> web.Response | None:
    """The fault of an envelope that is no XML: what is read below relies on elements that are closed."""
    try:
        read(raw, "envelope")
    except MetadataError as error:
        told = escape(f"Parser error at line {error.line}: {error.problem}")
        fault = f"<soapenv:Fault><faultcode>soapenv:Client</faultcode><faultstring>{told}</faultstring></soapenv:Fault>"
        return web.Response(status=500, text=_ENVELOPE.format(fault), content_type="text/xml", charset="utf-8")
    return None


async def answer(org: Org, request: web.Request, segments: list[str]) -> web.StreamResponse:
    """`/services/Soap/u/…` signs in, `/services/Soap/m/…` is the Metadata API."""
    if len(segments) >= 4 and segments[2].lower() == "m" and request.method == "POST":
        return await _metadata(org, request)
    if len(segments) < 4 or segments[2].lower() != "u" or request.method != "POST":
        raise not_found()
    raw = await request.read()
    if (problem := _problem(raw)) is not None:
        return problem
    text = raw.decode("utf-8", "replace")
    version = re.fullmatch(r"(\d{1,3})\.0", segments[3], re.ASCII)
    if version is None or int(version[1]) >= _WITHOUT_LOGIN:
        return _fault("UNSUPPORTED_API_VERSION", f"login() is not available in API version {segments[3]}")
    if not re.search(r"<(?:\w+:)?login\b", text):
        return _fault("INVALID_TYPE", "Only login() is answered here")
    if not org.auth.password_ok(_element(text, "username"), _element(text, "password")):
        return _fault("INVALID_LOGIN", "Invalid username, password, security token; or user locked out.")
    url = own_url(org, request)
    who = org.auth.identity
    short = who.organization_id[:15]
    user = {
        "accessibilityMode": "false",
        "chatterExternal": "false",
        "currencySymbol": "$",
        "orgAttachmentFileSizeLimit": "5242880",
        "orgDefaultCurrencyIsoCode": org.settings.currency,
        "orgDefaultCurrencyLocale": "en_US",
        "orgDisallowHtmlAttachments": "false",
        "orgHasPersonAccounts": "false",
        "organizationId": who.organization_id,
        "organizationMultiCurrency": str(org.settings.multi_currency).lower(),
        "organizationName": "Local Org",
        "profileId": "00eLo0000000001AAA",
        "roleId": "",
        "sessionSecondsValid": str(org.settings.token_seconds),
        "userDefaultCurrencyIsoCode": org.settings.currency,
        "userEmail": who.email,
        "userFullName": "Local Administrator",
        "userId": who.user_id,
        "userLanguage": "en_US",
        "userLocale": "en_US",
        "userName": who.username,
        "userTimeZone": "UTC",
        "userType": "Standard",
        "userUiSkin": "Theme3",
    }
    result = (
        f"<loginResponse><result><metadataServerUrl>{url}/services/Soap/m/{segments[3]}/{short}</metadataServerUrl>"
        "<passwordExpired>false</passwordExpired><sandbox>false</sandbox>"
        f"<serverUrl>{url}/services/Soap/u/{segments[3]}/{short}</serverUrl>"
        f"<sessionId>{org.auth.issue()}</sessionId><userId>{who.user_id}</userId>{tag('userInfo', user)}"
        "</result></loginResponse>"
    )
    return web.Response(text=_ENVELOPE.format(result), content_type="text/xml", charset="utf-8")


async def _metadata(org: Org, request: web.Request) -> web.StreamResponse:
    from connector.localorg.http import deploying

    raw = await request.read()
    if (problem := _problem(raw)) is not None:
        return problem
    text = raw.decode("utf-8", "replace")
    session = org.auth.read(_element(text, "sessionId"))
    if session is None or session.kind != "A":
        return _fault("INVALID_SESSION_ID", "Invalid Session ID found in SessionHeader: Illegal Session")
    org.usage.count("metadata", write=bool(inner(text, "deploy")))
    try:
        body = deploying.soap(org, text)
    except Refusal as refusal:
        return _fault(refusal.code, refusal.message)
    return web.Response(text=_ENVELOPE.format(body), content_type="text/xml", charset="utf-8")
