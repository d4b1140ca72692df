"""A message as it leaves the house, and the e-mail that it makes.

Whatever is in a name or a subject, it cannot become a header or a command: control characters are taken out here, the
e-mail library refuses what is left of them, and an address is either one we know the form of or none.
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
    """`key` tells a repeat from another message. `kind` and `about` are for programs: what it is, of which order."""

    key: str
    kind: str
    about: str
    recipient: str
    name: str
    subject: str
    text: str
    html: str
    attachments: tuple[Attachment, ...] = ()


def usable(address: str | None) -> str | None:
    """An address in the form that every mail server takes, None if there is none to be had."""
    found = _ADDRESS.fullmatch((address or "").strip())
    if found is None or not found[1].isascii() or not found[1].isprintable() or ".." in found[1]:
        return None
    try:
        domain = found[2].encode("idna").decode("ascii")
    except UnicodeError:
        return None
    if re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", domain) is None:
        return None
    return _written(f"{found[1]}@{domain}")


def _written(address: str) -> str | None:
    """None where the e-mail library would not put it into a header: `.ann@x`, `=?utf-8?q?x?=@x`."""
    try:
        return address if Address(addr_spec=address).addr_spec == address else None
    except (MessageError, ValueError, IndexError):  # it has no one exception for what it does not take
        return None


def one_line(text: str, longest: int) -> str:
    """`text` without line breaks and other control characters."""
    plain = "".join(" " if unicodedata.category(letter)[0] in "CZ" else letter for letter in text)
    words = " ".join(plain.split())
    return words if len(words) <= longest else f"{words[: longest - 1]}…"


def build_message(mail: Email, sender: str, at: datetime) -> EmailMessage:
    """The e-mail. Its Message-ID is the same whenever this message is sent."""
    whom = _sender(sender)
    message = EmailMessage(policy=SMTP)
    message["From"] = whom
    message["To"] = Address(one_line(mail.name, LONGEST_NAME), addr_spec=mail.recipient)
    message["Subject"] = one_line(mail.subject, LONGEST_SUBJECT)
    message["Date"] = format_datetime(at)
    message["Message-ID"] = f"<{mail.key}@{whom.domain}>"
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
