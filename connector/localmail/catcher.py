"""The mail catcher: SMTP on one port, its page on another, both on loopback only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aiohttp import web
from aiosmtpd.smtp import SMTP, Envelope, Session

from connector.localmail.mailbox import MAX_MAIL_BYTES, Mail, Mailbox
from connector.localmail.page import make_app

HOST = "127.0.0.1"


class _SmtpHandler:
    """The handler that aiosmtpd calls when a mail is complete."""

    def __init__(self, box: Mailbox, on_mail: Callable[[Mail], None] | None) -> None:
        self._mailbox = box
        self._on_mail = on_mail

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - its name
        content: Any = envelope.original_content or envelope.content or b""
        raw = content.encode() if isinstance(content, str) else bytes(content)
        mail = self._mailbox.add(envelope.mail_from or "", tuple(envelope.rcpt_tos), raw)
        if self._on_mail is not None:
            self._on_mail(mail)
        return f"250 2.0.0 Caught as {mail.number}"


class MailCatcher:
    """Catches mail from `start` to `stop`. Port 0 takes a free port. It calls `on_mail` with every mail, also with
    those that the mailbox drops later.
    """

    def __init__(self, *, smtp_port: int = 0, port: int = 0, on_mail: Callable[[Mail], None] | None = None) -> None:
        self.mailbox = Mailbox()
        self._handler = _SmtpHandler(self.mailbox, on_mail)
        self._smtp_port = smtp_port
        self._port = port
        self._server: asyncio.Server | None = None
        self._runner: web.AppRunner | None = None

    @property
    def smtp_port(self) -> int:
        return self._smtp_port

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self._port}"

    async def start(self) -> None:
        """Start both servers. OSError if a port is not available."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connection, HOST, self._smtp_port)
        self._smtp_port = self._server.sockets[0].getsockname()[1]
        self._runner = web.AppRunner(
            make_app(self.mailbox), access_log=None, handle_signals=False, shutdown_timeout=1.0
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, self._port).start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> MailCatcher:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def _connection(self) -> SMTP:
        return SMTP(
            self._handler, data_size_limit=MAX_MAIL_BYTES, enable_SMTPUTF8=True, hostname="localhost",
            ident="Mail catcher", timeout=60,
        )  # fmt: skip
