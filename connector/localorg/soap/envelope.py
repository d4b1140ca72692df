"""SOAP envelopes: parse a call, render a response or a fault."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

from aiohttp import web

from connector.localorg.errors import Refusal
from connector.localorg.metadata.xml import Element

XSI = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
_ENVELOPE = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns="{own}" xmlns:sf="{sf}"'
    f' xmlns:xsd="http://www.w3.org/2001/XMLSchema" {XSI}>{{header}}<soapenv:Body>{{body}}</soapenv:Body>'
    "</soapenv:Envelope>"
)
_FAULTS = {
    "INVALID_LOGIN": "LoginFault",
    "INVALID_FIELD": "InvalidFieldFault",
    "INVALID_TYPE": "InvalidSObjectFault",
    "MALFORMED_QUERY": "MalformedQueryFault",
    "MALFORMED_ID": "InvalidIdFault",
    "INVALID_QUERY_LOCATOR": "InvalidQueryLocatorFault",
    "INVALID_SESSION_ID": "UnexpectedErrorFault",
}


@dataclass(frozen=True, kw_only=True)
class Namespaces:
    """The namespaces of an API, of its rows and of its faults."""

    own: str
    rows: str
    faults: str


PARTNER = Namespaces(
    own="urn:partner.soap.sforce.com",
    rows="urn:sobject.partner.soap.sforce.com",
    faults="urn:fault.partner.soap.sforce.com",
)
ENTERPRISE = Namespaces(
    own="urn:enterprise.soap.sforce.com",
    rows="urn:sobject.enterprise.soap.sforce.com",
    faults="urn:fault.enterprise.soap.sforce.com",
)
METADATA = Namespaces(
    own="http://soap.sforce.com/2006/04/metadata",
    rows="http://soap.sforce.com/2006/04/metadata",
    faults="http://soap.sforce.com/2006/04/metadata",
)


@dataclass(frozen=True, kw_only=True)
class SoapMessage:
    """The call of an envelope, and its headers."""

    call: Element
    headers: Element

    def header(self, name: str, item: str) -> str:
        element = self.headers.child(name)
        return element.get(item) if element else ""


def parse_message(envelope: Element) -> SoapMessage:
    """Return the message of an envelope. Refusal if it has no call."""
    body = envelope.child("Body")
    if envelope.name != "Envelope" or body is None or not body.children:
        raise Refusal("INVALID_REQUEST", "The request is no SOAP envelope with a call")
    return SoapMessage(call=body.children[0], headers=envelope.child("Header") or Element("Header", 0))


def tag(name: str, value: Any) -> str:
    """Render a value as elements: a mapping as nested elements, a list as siblings, None as nothing."""
    if value is None:
        return ""
    if isinstance(value, list):
        return "".join(tag(name, item) for item in value)
    if isinstance(value, dict):
        return f"<{name}>{''.join(tag(key, item) for key, item in value.items())}</{name}>"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"<{name}>{escape(text)}</{name}>"


def nil(name: str) -> str:
    return f'<{name} xsi:nil="true"/>'


def respond(namespaces: Namespaces, body: str, header: str = "") -> web.Response:
    header_element = f"<soapenv:Header>{header}</soapenv:Header>" if header else ""
    text = _ENVELOPE.format(own=namespaces.own, sf=namespaces.rows, header=header_element, body=body)
    return web.Response(text=text, content_type="text/xml", charset="utf-8")


def respond_fault(code: str, text: str, namespaces: Namespaces = PARTNER) -> web.Response:
    kind = _FAULTS.get(code, "ApiFault")
    body = (
        f"<soapenv:Fault><faultcode>sf:{code}</faultcode><faultstring>{code}: {escape(text)}</faultstring>"
        f'<detail><sf:{kind} xsi:type="sf:{kind}"><sf:exceptionCode>{code}</sf:exceptionCode>'
        f"<sf:exceptionMessage>{escape(text)}</sf:exceptionMessage></sf:{kind}></detail></soapenv:Fault>"
    )
    envelope = _ENVELOPE.format(own=namespaces.own, sf=namespaces.faults, header="", body=body)
    return web.Response(status=500, text=envelope, content_type="text/xml", charset="utf-8")


def respond_no_operation(namespaces: Namespaces, name: str) -> web.Response:
    text = f"No operation available for request {{{namespaces.own}}}{name}, please check the WSDL for the service."
    body = (
        f"<soapenv:Fault><faultcode>soapenv:Client</faultcode><faultstring>{escape(text)}</faultstring></soapenv:Fault>"
    )
    envelope = _ENVELOPE.format(own=namespaces.own, sf=namespaces.faults, header="", body=body)
    return web.Response(status=500, text=envelope, content_type="text/xml", charset="utf-8")
