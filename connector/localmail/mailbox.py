"""Caught mails in memory: the newest ones, within a number and a size."""

from __future__ import annotations

import email
import email.policy
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from functools import cached_property

MAX_MAILS = 1000
MAX_MAIL_BYTES = 5 * 1024 * 1024
"""The server refuses larger mails."""
MAX_BOUNDARIES = 20
"""Of a mail with more MIME boundaries only the headers are shown."""
MAX_TOTAL_BYTES = 64 * 1024 * 1024
"""The size of all mails together."""


@dataclass(frozen=True)
class Attachment:
    name: str
    content_type: str
    content: bytes


@dataclass(frozen=True)
class Mail:
    """One mail. `sender` and `recipients` are those of the envelope."""

    number: int
    received_at: datetime
    sender: str
    recipients: tuple[str, ...]
    raw: bytes

    @cached_property
    def message(self) -> EmailMessage:
        raw = self.raw
        if raw.lower().count(b"boundary=") > MAX_BOUNDARIES:
            raw = raw.partition(b"\r\n\r\n")[0]  # each level of parts in parts looks at all lines
        return email.message_from_bytes(raw, policy=email.policy.default)

    def header(self, name: str) -> str:
        """Return a header; empty if it is missing or cannot be read."""
        try:
            return str(self.message.get(name, ""))
        except (ValueError, LookupError, AttributeError, TypeError):
            return ""

    @property
    def text(self) -> str | None:
        return self._body("plain")

    @property
    def html(self) -> str | None:
        return self._body("html")

    @property
    def attachments(self) -> list[Attachment]:
        try:
            parts = list(self.message.iter_attachments())
        except (AttributeError, KeyError, TypeError, ValueError):
            return []
        attachments = []
        for number, part in enumerate(parts, start=1):
            content = part.get_payload(decode=True)
            name = part.get_filename() or f"part-{number}"
            body = content if isinstance(content, bytes) else b""
            attachments.append(Attachment(name=name, content_type=part.get_content_type(), content=body))
        return attachments

    def _body(self, kind: str) -> str | None:
        try:
            part = self.message.get_body((kind,))
            return None if part is None else str(part.get_content())
        except (LookupError, ValueError, AttributeError, TypeError):  # a malformed mail
            return None


class Mailbox:
    """The newest mails. The oldest are dropped if there are too many or they are too large together."""

    def __init__(self, newest: int = MAX_MAILS, room: int = MAX_TOTAL_BYTES) -> None:
        self._mails: deque[Mail] = deque()
        self._max_mails = newest
        self._max_bytes = room
        self._total_bytes = 0
        self.caught = 0
        """How many mails were caught since the start."""

    def add(self, sender: str, recipients: tuple[str, ...], raw: bytes) -> Mail:
        self.caught += 1
        mail = Mail(number=self.caught, received_at=datetime.now(UTC), sender=sender, recipients=recipients, raw=raw)
        self._mails.append(mail)
        self._total_bytes += len(raw)
        while len(self._mails) > self._max_mails or (self._total_bytes > self._max_bytes and len(self._mails) > 1):
            self._total_bytes -= len(self._mails.popleft().raw)
        return mail

    def find(self, number: int) -> Mail | None:
        return next((mail for mail in self._mails if mail.number == number), None)

    def clear(self) -> None:
        self._mails.clear()
        self._total_bytes = 0

    def __iter__(self) -> Iterator[Mail]:
        """Yield the mails, newest first."""
        return reversed(self._mails)

    def __len__(self) -> int:
        return len(self._mails)
