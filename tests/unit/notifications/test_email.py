"""E-mails: no name, subject or address can add a header, and the mail is ASCII."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes, policy

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from connector.notifications.transport.email import Attachment, Email, build_message, normalize_address, one_line
from connector.notifications.transport.smtp import _as_ascii
from connector.settings.messages import MessageSettings

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SENDER = "Shop <orders@shop.example>"
HEADERS = {
    "From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type",
}  # fmt: skip


def a_mail(**changes: str) -> Email:
    values = {"name": "Ann", "subject": "Hello", "text": "Text\n", "html": "<p>Text</p>"} | changes
    pdf = Attachment(name="INV-1.pdf", content_type="application/pdf", content=b"%PDF-1.7")
    return Email(key="k", kind="invoice", about="1", recipient="a@b.example", attachments=(pdf,), **values)


@pytest.mark.parametrize("breaks", ["\r\n", "\n", "\r", "\x00", "\x0b", "\x85", "\u2028", "\u2029"])
@pytest.mark.parametrize("where", ["name", "subject"])
def test_line_break_in_a_value_cannot_add_a_header(where: str, breaks: str) -> None:
    sent = _as_ascii(build_message(a_mail(**{where: f"x{breaks}Bcc: spy@evil.example"}), SENDER, NOW))
    read = message_from_bytes(sent, policy=policy.default)
    assert set(read.keys()) == HEADERS
    assert "spy@evil.example" in str(read["To" if where == "name" else "Subject"])
    assert [address.addr_spec for address in read["To"].addresses] == ["a@b.example"]


@given(st.text(max_size=300), st.text(max_size=300), st.text(max_size=300))
def test_mail_with_any_content_has_our_headers_and_is_ascii(name: str, subject: str, text: str) -> None:
    text = text.encode("utf-8", "replace").decode()
    name, subject = (part.encode("utf-8", "replace").decode() for part in (name, subject))
    sent = _as_ascii(build_message(a_mail(name=name, subject=subject, text=text), SENDER, NOW))
    assert sent.isascii()
    read = message_from_bytes(sent, policy=policy.default)
    assert set(read.keys()) == HEADERS
    assert [address.addr_spec for address in read["To"].addresses] == ["a@b.example"]
    assert [part.get_filename() for part in read.iter_attachments()] == ["INV-1.pdf"]
    assert max(len(line) for line in sent.splitlines()) <= 998


def test_message_id_is_made_from_the_notification_key() -> None:
    first, again = (build_message(a_mail(), SENDER, NOW)["Message-ID"] for _ in range(2))
    assert first == again == "<k@shop.example>"
    assert build_message(a_mail(), "orders@shop.example", NOW)["From"] == "orders@shop.example"


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("ann@shop.example", "ann@shop.example"),
        (" ann@shop.example ", "ann@shop.example"),
        ("o'neil+news@shop.example", "o'neil+news@shop.example"),
        ("ann@münchen.example", "ann@xn--mnchen-3ya.example"),
        ("", None),
        (None, None),
        ("ann", None),
        ("ann@", None),
        ("@shop.example", None),
        ("a@b@c.example", None),
        ("ann@shop.example, ben@shop.example", None),
        ("ann@shop.example\r\nRCPT TO:<spy@evil.example>", None),
        ("Ann <ann@shop.example>", None),
        ("ann..x@shop.example", None),
        ("änn@shop.example", None),
        ("ann@-shop-.example", None),
        ("ann@" + "x" * 300 + ".example", None),
        ("ann\x00@shop.example", None),
        (".ann@shop.example", None),
        ("ann.@shop.example", None),
        ("a.n.n@shop.example", "a.n.n@shop.example"),
        ("=?utf-8?q?x?=@shop.example", None),
    ],
)
def test_address_is_accepted_by_every_server_or_rejected(said: str | None, found: str | None) -> None:
    assert normalize_address(said) == found


LOCAL = st.text(st.sampled_from("ann..=?=??utf-8?q_+'`|é \x7f"), max_size=20)
DOMAIN = st.text(st.sampled_from("shop..--xn8üß"), max_size=20)


@given(st.text(max_size=80) | st.builds("{}@{}".format, LOCAL, DOMAIN))
def test_accepted_address_is_plain_ascii_and_is_in_the_mail(text: str) -> None:
    found = normalize_address(text)
    if found is None:
        return
    assert found.isascii()
    assert found.isprintable()
    assert not set(found) & set(' <>,;:"\\')
    sent = _as_ascii(build_message(replace(a_mail(), recipient=found), SENDER, NOW))
    read = message_from_bytes(sent, policy=policy.default)
    assert [address.addr_spec for address in read["To"].addresses] == [found]


@pytest.mark.parametrize(
    "address", [".ann@shop.example", "ann.@shop.example", "a..n@shop.example", "=?x?q?x?=@shop.example"]
)
def test_sender_that_no_header_can_hold_is_rejected_as_a_setting(address: str) -> None:
    for sender in (address, f"Shop <{address}>"):
        with pytest.raises(ValidationError, match="must look like"):
            MessageSettings(sender=sender)


def test_long_subject_is_shortened() -> None:
    assert one_line("x" * 300, 10) == "x" * 9 + "…"
