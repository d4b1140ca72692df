"""A fault of one message does not affect others: it is reported, and the others are sent once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
import structlog
from sqlalchemy import update

from connector.jobs import send_notifications as job
from connector.jobs.send_notifications import DeliveryReport, send_notifications
from connector.model.actions import Action
from connector.model.notification import MessageState, Notification
from connector.notifications import composer as letters
from connector.notifications.transport.email import Email, build_message
from connector.notifications.transport.transport import make_transport
from connector.store import customers, notifications
from connector.store.engine import Store
from connector.store.notifications import Claim
from connector.store.tables import invoices
from tests.db_locks import blocked
from tests.mail_servers import act, confirmed, correspondence, odd_server, outbox, send, smtp_settings
from tests.unit.store import samples

S = MessageState


async def states(store: Store) -> list[MessageState]:
    return [item.state for item in await outbox(store)]


@pytest.mark.parametrize("address", [".ann@bonapp.example", "ann.@bonapp.example", "=?utf-8?q?x?=@bonapp.example"])
async def test_invalid_address_does_not_stop_other_messages(store: Store, address: str) -> None:
    await confirmed(store, "1", customer="ALFKI")
    await confirmed(store, "2")
    async with store.transaction() as uow:
        await customers.save(uow, [replace(samples.ALFKI, email=address)])
    async with odd_server() as server:
        assert await send(store, server.settings) == DeliveryReport(sent=1, skipped=1)
    assert await states(store) == [S.SKIPPED, S.SENT]


async def test_mail_that_cannot_be_built_fails_and_the_others_are_sent(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await confirmed(store, "1", "2", "3")

    def spoiled(mail: Email, *rest: Any) -> Any:
        if mail.about == "1":
            raise ValueError(f"not to be logged: {mail.recipient}")
        return build_message(mail, *rest)

    monkeypatch.setattr("connector.notifications.transport.smtp.build_message", spoiled)
    async with odd_server() as server:
        with structlog.testing.capture_logs() as logs:
            assert await send(store, server.settings) == DeliveryReport(sent=2, failed=1)
    first, *_ = await outbox(store)
    assert (first.state, first.attempts, first.error) == (S.FAILED, 1, job.FAULT)
    [said] = logs
    assert said["event"] == "internal_error"
    assert said["exception"].endswith("ValueError")
    assert ", in spoiled" in said["exception"]
    assert "bonapp" not in str(logs)


async def test_unreadable_invoice_fails_only_its_own_message(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    await confirmed(store, "1", "2", "3")
    for number in ("1", "2", "3"):
        await act(store, Action.INVOICE, number, amount="1")
    async with store.transaction() as uow:
        await uow.connection.execute(update(invoices).where(invoices.c.order_number == "1").values(body="{}"))
    drawn = letters.invoice_pdf

    def spoiled(view: Any) -> bytes:
        if view.order == "2":
            raise RuntimeError("no such glyph")
        return drawn(view)

    monkeypatch.setattr(letters, "invoice_pdf", spoiled)
    async with odd_server() as server:
        assert await send(store, server.settings) == DeliveryReport(sent=4, failed=2)
    assert [(item.order, item.state, item.error) for item in await outbox(store) if item.kind == "invoice"] == [
        ("1", S.FAILED, job.FAULT), ("2", S.FAILED, job.FAULT), ("3", S.SENT, None),
    ]  # fmt: skip


async def test_message_discarded_during_the_claim_is_not_sent(store: Store) -> None:
    await confirmed(store, "1", "2")
    first, second = await outbox(store)

    async def claimed() -> Claim:
        async with store.transaction() as uow:
            return await notifications.claim(uow, limit=10, seconds=60)

    async with store.transaction() as uow:
        await notifications.discard(uow, [first.id], by="anna")
        claiming = asyncio.create_task(claimed())
        await blocked(store, 1)
    claim = await claiming
    assert [message.id for message in claim.messages] == [second.id]
    async with store.transaction() as uow:
        assert not await notifications.settle(uow, claim.number, first, S.SENT)
    assert await states(store) == [S.DISCARDED, S.DUE]


async def test_slow_send_is_aborted_before_its_claim_expires(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """In real time: the longest attempt is short."""
    await confirmed(store, "1", "2")
    monkeypatch.setattr(job, "max_attempt_seconds", lambda _: 1.5)
    ended: list[str] = []

    class Stuck:
        async def __aenter__(self) -> Stuck:
            return self

        async def __aexit__(self, *_: object) -> None: ...

        async def send(self, mail: Email) -> None:
            if mail.about == "1":
                try:
                    await asyncio.Event().wait()
                finally:
                    ended.append(mail.about)

    async with asyncio.timeout(20):
        done = await send_notifications(store, correspondence(), Stuck(), smtp_settings(1), clock=store.clock)
    assert (done, ended) == (DeliveryReport(sent=1, postponed=1), ["1"])
    first, _ = await outbox(store)
    assert (first.state, first.error) == (S.DUE, "It was not composed and accepted within 1.5 seconds.")


async def test_remaining_claim_time_covers_building_connecting_and_sending(store: Store, clock: Any) -> None:
    settings = smtp_settings(1, timeout_seconds=30)
    assert job.max_attempt_seconds(settings) >= job.COMPOSE_SECONDS + 2 * settings.timeout_seconds
    await confirmed(store, *map(str, range(20)))
    left: list[float] = []

    class Watched:
        async def __aenter__(self) -> Watched:
            return self

        async def __aexit__(self, *_: object) -> None: ...

        async def send(self, mail: Email) -> None:
            async with store.reader() as connection:
                [row] = [item for item in await notifications.list_page(connection) if item.key == mail.key]
                left.append(await _left(store, row))
            clock.advance(7)

    await send_notifications(store, correspondence(), Watched(), settings, clock=clock)
    assert len(left) == 20
    assert min(left) > job.max_attempt_seconds(settings)


async def _left(store: Store, message: Notification) -> float:
    """The seconds until the claim expires."""
    async with store.reader() as connection:
        table = notifications.messages
        until = (await connection.execute(table.select().where(table.c.id == message.id))).one().claimed_until
    return float((until - store.clock.now()).total_seconds())


async def test_aborted_message_leaves_no_data_on_the_connection(store: Store) -> None:
    """In the middle of a message, the next command would be read as its text."""
    await confirmed(store, "1")
    async with odd_server() as server:
        way = make_transport(server.settings, store.clock)
        assert way is not None
        mail = Email(
            key="k", kind="invoice", about="1", recipient="a@b.example", name="", subject="s", text="t", html="h"
        )
        async with way as post:
            await post.send(mail)
            server.hold = asyncio.Event()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await post.send(mail)
            server.hold.set()
            server.hold = None
            await post.send(replace(mail, key="k2"))
        assert server.connections == 2
    assert [str(message["Message-ID"]) for message in server.messages][-1] == "<k2@shop.example>"


async def test_expired_messages_are_queried_once_per_run(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    await confirmed(store, *map(str, range(job.BATCH + 1)))
    expire, asked = notifications.expire, 0

    async def counted(*args: Any) -> int:
        nonlocal asked
        asked += 1
        return await expire(*args)

    monkeypatch.setattr(notifications, "expire", counted)
    async with odd_server() as server:
        assert (await send(store, server.settings)).sent == job.BATCH + 1
    assert asked == 1
