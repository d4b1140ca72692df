"""The mail catcher's box: mails that nobody should send."""

from __future__ import annotations

from connector.localmail.mailbox import MAX_BOUNDARIES, Mailbox


def _nested(levels: int) -> bytes:
    parts = (
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (level, level) for level in range(levels)
    )
    return b"Subject: x\r\n" + b"".join(parts) + b"\r\nhello\r\n"


def test_mail_of_a_few_levels_is_read_whole() -> None:
    mail = Mailbox().add("a@shop.example", ("b@shop.example",), _nested(3))
    assert (mail.header("subject"), (mail.text or "").strip()) == ("x", "hello")


def test_mail_of_parts_in_parts_without_end_shows_its_head_only() -> None:
    for levels in (MAX_BOUNDARIES + 1, 20_000):
        mail = Mailbox().add("a@shop.example", ("b@shop.example",), _nested(levels))
        assert (mail.header("subject"), mail.text, mail.html, mail.attachments) == ("x", None, None, [])
