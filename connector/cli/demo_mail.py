"""The demo's mails: sent to a local mail catcher by SMTP, with links to a tracking page that is served, and counted."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer

from connector.cli.mailcatcher import running_catcher
from connector.cli.progress import Progress
from connector.errors import ConnectorError
from connector.wording import plural

if TYPE_CHECKING:
    from connector.localmail.catcher import MailCatcher
    from connector.localmail.mailbox import Mail
    from connector.service import Services
    from connector.settings.messages import MessageSettings

HOST = "127.0.0.1"
SENDER = "Your company <orders@shop.example>"
OPS = "ops@shop.example"
ROUNDS = 1000
MANY = 100
"""With more mails than this, a progress bar is shown."""


@dataclass(kw_only=True)
class DemoMail:
    """`received` counts mails by Message-ID, also those that the catcher has dropped; `with_pdf`: those with a PDF."""

    catcher: MailCatcher
    listener: socket.socket
    received: Counter[str] = field(default_factory=Counter, init=False)
    with_pdf: set[str] = field(default_factory=set, init=False)
    progress: Progress | None = field(default=None, init=False)
    service: Services | None = field(default=None, init=False)
    since: datetime = field(default=datetime(1970, 1, 1, tzinfo=UTC), init=False)
    _transport: Any = field(default=None, init=False)

    @property
    def public_url(self) -> str:
        return f"http://{HOST}:{self.listener.getsockname()[1]}"

    @property
    def received_count(self) -> int:
        return self.received.total()

    @property
    def settings(self) -> MessageSettings:
        from connector.settings.messages import MessageSettings, SmtpSecurity, Via

        return MessageSettings(
            via=Via.SMTP, sender=SENDER, ops_address=OPS, smtp_host=HOST, smtp_port=self.catcher.smtp_port,
            smtp_security=SmtpSecurity.NONE,
        )  # fmt: skip

    @asynccontextmanager
    async def serving(self, service: Services) -> AsyncIterator[None]:
        """Serve the API, which includes the tracking page that mails link to."""
        from aiohttp import web

        self.service = service
        self.since = service.clock.now()
        self._transport = service.transport()
        runner = web.AppRunner(service.web_app(), access_log=None, shutdown_timeout=1)
        await runner.setup()
        try:
            await web.SockSite(runner, self.listener).start()
            yield
        finally:
            await runner.cleanup()

    async def deliver(self) -> int:
        """Send the notifications that are due, and return how many mails arrived."""
        from connector.jobs.send_notifications import send_notifications
        from connector.model.notification import MessageState
        from connector.store import notifications

        assert self.service is not None
        before = self.received_count
        service = self.service
        async with service.store.reader() as connection:
            due = (await notifications.counts(connection))[MessageState.DUE]
        with ExitStack() as stack:
            if due > MANY:
                self.progress = stack.enter_context(Progress("Sending mails"))
                self.progress.expect(due)
            for _ in range(ROUNDS):
                report = await send_notifications(
                    service.store, service.composer, self._transport, service.settings.messages, clock=service.clock
                )
                if report.stopped or report.failed:
                    raise ConnectorError(f"The demo's mails cannot be sent: {report.stopped or 'some were refused'}")
                if not report.sent:
                    break
        self.progress = None
        return self.received_count - before

    def count_mail(self, mail: Mail) -> None:
        key = mail.header("Message-ID")
        self.received[key] += 1
        if any(item.content.startswith(b"%PDF-") for item in mail.attachments):
            self.with_pdf.add(key)
        if self.progress is not None:
            self.progress.advance()

    async def compare(self) -> bool:
        """Return whether the received mails are complete: one confirmation per confirmed order, one mail with a PDF per
        invoice, and none twice."""
        from connector.model.actions import EventKind
        from connector.model.notification import MessageKind, MessageState
        from connector.store import invoices, notifications
        from connector.store.queries.order_events import list_orders_with_event

        assert self.service is not None
        async with self.service.store.reader() as connection:
            captured = await notifications.list_captured_since(connection, self.since)
            confirmed = await list_orders_with_event(connection, EventKind.CONFIRMED, self.since)
            issued = await invoices.count_issued_since(connection, self.since)
        domain = SENDER.rpartition("@")[2].rstrip(">")
        sent = {f"<{item.key}@{domain}>": item for item in captured if item.state is MessageState.SENT}
        kinds = Counter(item.kind for item in sent.values())
        confirmation_counts = Counter(item.order for item in sent.values() if item.kind is MessageKind.CONFIRMATION)
        documents = [key for key, item in sent.items() if item.kind is MessageKind.INVOICE]
        complete = (
            len(sent) == len(captured)
            and all(self.received[key] == 1 for key in sent)
            and max(self.received.values(), default=0) <= 1
            and confirmation_counts == dict.fromkeys(confirmed, 1)
            and len(documents) == issued
            and self.with_pdf >= set(documents)
        )
        listed = ", ".join(plural(kinds[kind], kind.words) for kind in MessageKind if kinds[kind])
        verdict = "each exactly once, every invoice with its PDF" if complete else "NOT COMPLETE"
        typer.echo(f"Customers were sent {listed}: {verdict}.")
        return complete


@asynccontextmanager
async def open_demo_mail(port: int) -> AsyncIterator[DemoMail]:
    """Start a mail catcher, and open a socket for the tracking page and the console; a port that is taken is replaced
    by a free one."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError:
            listener.bind((HOST, 0))
        opened: list[DemoMail] = []
        async with running_catcher(on_mail=lambda mail: opened[0].count_mail(mail)) as catcher:
            opened.append(DemoMail(catcher=catcher, listener=listener))
            yield opened[0]
