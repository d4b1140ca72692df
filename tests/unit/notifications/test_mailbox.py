"""The mailbox of the mail catcher: deeply nested mails."""

from __future__ import annotations

from connector.localmail.mailbox import MAX_BOUNDARIES, Mailbox


def _nested(levels: int) -> bytes:
    parts = (
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (level, level) for level in range(levels)
    )
    return b"Subject: x\r\n" + b"".join(parts) + b"\r\nhello\r\n"


def test_mail_with_a_few_nested_parts_is_read_completely() -> None:
    mail = Mailbox().add("a@shop.example", ("b@shop.example",), _nested(3))
    assert (mail.header("subject"), (mail.text or "").strip()) == ("x", "hello")


def test_mail_with_deeply_nested_parts_shows_its_headers_only() -> None:
    for levels in (MAX_BOUNDARIES + 1, 20_000):
        mail = Mailbox().add("a@shop.example", ("b@shop.example",), _nested(levels))
        assert (mail.header("subject"), mail.text, mail.html, mail.attachments) == ("x", None, None, [])
