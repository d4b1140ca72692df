"""The other ends of the post, in this process: a mail server that does as a test says, and a receiver of webhooks."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from email.message import EmailMessage
from typing import Any

from aiohttp import web
from aiosmtpd.smtp import SMTP, Envelope, Session

from connector.jobs.send_notifications import DeliveryReport, send_notifications
from connector.localmail.mailbox import Mail, Mailbox
from connector.model.action_fields import make_event
from connector.model.actions import Action
from connector.model.events import Verify
from connector.model.notification import Notification
from connector.notifications.composer import NotificationComposer
from connector.notifications.renderer import TemplateRenderer
from connector.notifications.transport.transport import make_transport
from connector.orders.command import OrderCommand
from connector.orders.policy.rules import Rules, standard
from connector.orders.transaction import OrderTransaction
from connector.settings.messages import MessageSettings, SmtpSecurity, Via
from connector.store import notifications
from connector.store import stock as stocks
from connector.store.engine import Store
from tests.unit.store import samples
from tests.unit.store.samples import placements

RULES = replace(standard(), notified_kinds=standard().messages)
SECRET = "whsec_c2VjcmV0LW9mLXRoZS10ZXN0cy0yNC1ieXRlcw=="
MINE = {"customer": "BONAP", "ship_to_street": "Rue 1", "ship_to_country": "France"}


@dataclass
class OddServer:
    """Answers as `script` says, by the step it stands at (`RCPT`, `DATA`), once each; else it takes everything.

    `gone` closes the connection in place of an answer: for DATA the mail has been taken all the same.
    """

    box: Mailbox = field(default_factory=Mailbox)
    script: dict[str, deque[str]] = field(default_factory=dict)
    connections: int = 0
    port: int = 0
    hold: asyncio.Event | None = None
    """Until it is set, no content is answered."""

    def will(self, step: str, *answers: str) -> None:
        self.script.setdefault(step, deque()).extend(answers)

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's names
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        answer = self._answer(server, "RCPT")
        if answer is None:
            envelope.rcpt_tos.append(address)
        return answer or "250 OK"

    async def handle_MAIL(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        answer = self._answer(server, "MAIL")
        if answer is None:
            envelope.mail_from = address
        return answer or "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.hold is not None:
            await self.hold.wait()
        said = self.script.get("DATA")
        if not said or said[0] == "gone":
            content = envelope.original_content
            assert isinstance(content, bytes)
            self.box.add(str(envelope.mail_from), tuple(envelope.rcpt_tos), content)
        return self._answer(server, "DATA") or "250 OK"

    def _answer(self, server: SMTP, step: str) -> str | None:
        said = self.script.get(step)
        if not said:
            return None
        answer = said.popleft()
        if answer == "gone":
            assert server.transport is not None
            server.transport.abort()
        return answer

    @property
    def mails(self) -> list[Mail]:
        """The first first."""
        return list(self.box)[::-1]

    @property
    def messages(self) -> list[EmailMessage]:
        return [mail.message for mail in self.mails]

    @property
    def settings(self) -> MessageSettings:
        return smtp_settings(self.port)


def smtp_settings(port: int, **more: Any) -> MessageSettings:
    values: dict[str, Any] = {
        "via": Via.SMTP, "sender": "Shop <orders@shop.example>", "ops_address": "ops@shop.example",
        "smtp_host": "127.0.0.1", "smtp_port": port, "smtp_security": SmtpSecurity.NONE,
    }  # fmt: skip
    return MessageSettings(**values | more)


@asynccontextmanager
async def odd_server(**options: Any) -> AsyncIterator[OddServer]:
    odd = OddServer()

    def connected() -> SMTP:
        odd.connections += 1
        return SMTP(odd, enable_SMTPUTF8=True, hostname="localhost", **options)

    server = await asyncio.get_running_loop().create_server(connected, "127.0.0.1", 0)
    odd.port = server.sockets[0].getsockname()[1]
    try:
        yield odd
    finally:
        server.close()


@dataclass
class Hook:
    """What was posted, with its headers; it answers as told, once each, else 204."""

    url: str = ""
    answers: deque[tuple[int, dict[str, str]]] = field(default_factory=deque)
    posted: list[tuple[bytes, dict[str, str]]] = field(default_factory=list)

    @property
    def settings(self) -> MessageSettings:
        values: dict[str, Any] = {"webhook_url": self.url, "webhook_secret": SECRET}
        return MessageSettings(via=Via.WEBHOOK, ops_address="ops@shop.example", **values)


@asynccontextmanager
async def hook() -> AsyncIterator[Hook]:
    receiver = Hook()

    async def take(request: web.Request) -> web.Response:
        receiver.posted.append((await request.read(), dict(request.headers)))
        status, headers = receiver.answers.popleft() if receiver.answers else (204, {})
        return web.Response(status=status, headers=headers)

    app = web.Application(client_max_size=2**24)
    app.router.add_post("/in", take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/in"
    try:
        yield receiver
    finally:
        await runner.cleanup()


def correspondence(rules: Rules = RULES) -> NotificationComposer:
    return NotificationComposer(
        renderer=TemplateRenderer(),
        billing=rules.billing,
        public_url="https://orders.shop.example",
        ops_address="ops@shop.example",
    )


async def send(store: Store, settings: MessageSettings) -> DeliveryReport:
    way = make_transport(settings, store.clock)
    assert way is not None
    return await send_notifications(store, correspondence(), way, settings, clock=store.clock)


async def opened(store: Store, *numbers: str, **changes: Any) -> None:
    """Orders of a customer with an address, verified."""
    await samples.stock(store)
    numbers = numbers or ("1",)
    async with store.transaction() as uow:
        await stocks.count(uow, {("CHAI", "EAST"): Decimal(100), ("TOFU", "EAST"): Decimal(100)})
        transaction = OrderTransaction(uow, actor="shop", rules=RULES)
        await transaction.place(placements([samples.order(number, **MINE | changes) for number in numbers]))
        await transaction.execute_all([OrderCommand(number=number, event=Verify()) for number in numbers])


async def act(store: Store, action: Action, number: str = "1", rules: Rules = RULES, **event: Any) -> None:
    if "lines" in event:
        event["lines"] = {line: Decimal(quantity) for line, quantity in event["lines"].items()}
    if "amount" in event:
        event["amount"] = Decimal(event["amount"])
    async with store.transaction() as uow:
        command = OrderCommand(number=number, event=make_event(action, **event))
        await OrderTransaction(uow, actor="anna", rules=rules).execute_all([command])


async def confirmed(store: Store, *numbers: str, **changes: Any) -> None:
    await opened(store, *numbers, **changes)
    for number in numbers or ("1",):
        await act(store, Action.CONFIRM, number)


async def outbox(store: Store, order: str | None = None) -> list[Notification]:
    async with store.reader() as connection:
        return await notifications.list_page(connection, order=order)


async def owed(store: Store) -> list[tuple[str, str, str]]:
    """Order, kind and reference of every message."""
    return [(item.order, item.kind.value, item.reference) for item in await outbox(store)]
