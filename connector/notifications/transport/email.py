"""The data of an e-mail, and the MIME message built from it.

A name or subject cannot inject a header or an SMTP command: control characters are removed here, the e-mail library
rejects any that remain, and an address of an unknown form is not used.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

_ADDRESS = re.compile(r"([^\s@<>()\[\]:;,\\\"]{1,64})@([^\s@<>()\[\]:;,\\\"]{1,255})")
LONGEST_NAME, LONGEST_SUBJECT = 100, 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Attachment:
    name: str
    content_type: str
    content: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Email:
    """An e-mail to send. `key` identifies it when it is sent again; `kind` and `about` (the order) are for programs."""

    key: str
    kind: str
    about: str
    recipient: str
    name: str
    subject: str
    text: str
    html: str
    attachments: tuple[Attachment, ...] = ()


def normalize_address(address: str | None) -> str | None:
    """Return an address in the form that every mail server accepts; None if that is not possible."""
    match = _ADDRESS.fullmatch((address or "").strip())
    if match is None or not match[1].isascii() or not match[1].isprintable() or ".." in match[1]:
        return None
    try:
        domain = match[2].encode("idna").decode("ascii")
    except UnicodeError:
        return None
    if re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", domain) is None:
        return None
    return _accepted_by_library(f"{match[1]}@{domain}")


def _accepted_by_library(address: str) -> str | None:
    """Return `address`, or None if the e-mail library does not accept it in a header: `.ann@x`, `=?utf-8?q?x?=@x`."""
    try:
        return address if Address(addr_spec=address).addr_spec == address else None
    except (MessageError, ValueError, IndexError):  # it has no one exception for what it does not take
        return None


def one_line(text: str, longest: int) -> str:
    """Return `text` without line breaks and other control characters, cut to `longest` characters."""
    plain = "".join(" " if unicodedata.category(char)[0] in "CZ" else char for char in text)
    words = " ".join(plain.split())
    return words if len(words) <= longest else f"{words[: longest - 1]}…"


def build_message(mail: Email, sender: str, at: datetime) -> EmailMessage:
    """Build the MIME message. Its Message-ID is the same each time that this e-mail is sent."""
    from_address = _sender(sender)
    message = EmailMessage(policy=SMTP)
    message["From"] = from_address
    message["To"] = Address(one_line(mail.name, LONGEST_NAME), addr_spec=mail.recipient)
    message["Subject"] = one_line(mail.subject, LONGEST_SUBJECT)
    message["Date"] = format_datetime(at)
    message["Message-ID"] = f"<{mail.key}@{from_address.domain}>"
    message["Auto-Submitted"] = "auto-generated"  # so that no holiday notice answers it
    message.set_content(mail.text)
    message.add_alternative(mail.html, subtype="html")
    for item in mail.attachments:
        kind, _, subtype = item.content_type.partition("/")
        message.add_attachment(item.content, maintype=kind, subtype=subtype, filename=one_line(item.name, LONGEST_NAME))
    return message


def _sender(text: str) -> Address:
    name, bracket, address = text.strip().removesuffix(">").partition("<")
    if not bracket:
        return Address(addr_spec=text)
    return Address(one_line(name.strip(), LONGEST_NAME), addr_spec=address)
