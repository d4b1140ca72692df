"""Delivery over real SMTP and HTTP: once, in order, and with retries after refusals."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
import structlog

from connector.jobs import send_notifications as job
from connector.jobs.send_notifications import DeliveryReport, send_notifications
from connector.model.actions import Action
from connector.model.holds import Hold
from connector.model.notification import MessageState
from connector.notifications.transport.email import Email
from connector.store import customers, notifications
from connector.store.engine import Store
from tests.mail_servers import (
    act,
    confirmed,
    correspondence,
    odd_server,
    opened,
    outbox,
    send,
    smtp_settings,
)
from tests.unit.store import samples

S = MessageState


async def states(store: Store) -> list[MessageState]:
    return [item.state for item in await outbox(store)]


async def test_confirmation_reaches_the_customer_with_order_and_tracking_link(store: Store) -> None:
    await confirmed(store)
    async with odd_server() as server:
        assert await send(store, server.settings) == DeliveryReport(sent=1)
        assert await send(store, server.settings) == DeliveryReport()
    [mail] = server.mails
    [message] = server.messages
    assert (mail.sender, mail.recipients) == ("orders@shop.example", ("info@bonapp.example",))
    assert str(message["From"]) == "Shop <orders@shop.example>"
    assert str(message["To"]) == "Bon app' <info@bonapp.example>"
    assert message["Subject"] == "Your order 1 is confirmed"
    assert mail.text is not None
    assert mail.html is not None
    for part in (mail.text, mail.html):
        for said in (
            "Chai",
            "Tofu",
            "1.5",
            "23.25",
            "15 % off",
            "32.38",
            "98.02 USD",
            "5 March 2026",
            "Rue 1",
            "Reims",
        ):
            assert said in part
        assert "https://orders.shop.example/track/" in part
    [sent] = await outbox(store)
    assert (sent.state, sent.attempts, sent.sent_at) == (S.SENT, 1, store.clock.now())


async def test_invoice_message_has_its_pdf_attached(store: Store) -> None:
    await confirmed(store)
    await act(store, Action.INVOICE, amount="50")
    async with odd_server() as server:
        assert (await send(store, server.settings)).sent == 2
    mail = server.mails[1]
    [attached] = mail.attachments
    assert (attached.name, attached.content_type) == ("INV-000001.pdf", "application/pdf")
    assert attached.content.startswith(b"%PDF-")
    assert attached.content.rstrip().endswith(b"%%EOF")
    assert "50.00 USD" in (mail.text or "")


async def test_messages_of_an_order_are_sent_in_event_order_over_one_connection(store: Store) -> None:
    await confirmed(store, "1", "2")
    await act(store, Action.INVOICE, "2", amount="1")
    await act(store, Action.INVOICE, "1", amount="1")
    async with odd_server() as server:
        assert (await send(store, server.settings)).sent == 4
    subjects = [message["Subject"] for message in server.messages]
    assert [subject for subject in subjects if subject.endswith("order 1") or "order 1 " in subject] == [
        "Your order 1 is confirmed", "Invoice INV-000002 for your order 1",
    ]  # fmt: skip
    assert server.connections == 1


async def test_transient_refusal_is_retried_and_later_messages_of_the_order_wait(store: Store, clock: Any) -> None:
    await confirmed(store, "1", "2")
    await act(store, Action.INVOICE, "1", amount="1")
    async with odd_server() as server:
        server.will("RCPT", "451 4.7.1 <info@bonapp.example> come back later")
        assert await send(store, server.settings) == DeliveryReport(sent=1, postponed=1)
        assert [message["Subject"] for message in server.messages] == ["Your order 2 is confirmed"]
        [first, _, invoice] = await outbox(store)
        assert (first.state, first.attempts, invoice.attempts) == (S.DUE, 1, 0)
        assert first.error == "The mail server did not accept the recipient for now (451 4.7.1)."
        assert await send(store, server.settings) == DeliveryReport()
        clock.advance(31)
        assert await send(store, server.settings) == DeliveryReport(sent=2)
    assert [message["Subject"] for message in server.messages][1:] == [
        "Your order 1 is confirmed", "Invoice INV-000001 for your order 1",
    ]  # fmt: skip


async def test_retry_delays_grow_and_attempts_are_limited(store: Store, clock: Any) -> None:
    await confirmed(store)
    waits = []
    async with odd_server() as server:
        server.will("RCPT", *["450 4.2.0 full"] * job.MAX_ATTEMPTS)
        for _ in range(job.MAX_ATTEMPTS):
            await send(store, server.settings)
            [message] = await outbox(store)
            waits.append((message.due_at - clock.now()).total_seconds())
            clock.advance(max(0.0, waits[-1]))
    assert waits[:4] == [30, 60, 120, 240]
    assert max(waits) == job.LONGEST_WAIT
    assert (message.state, message.attempts) == (S.FAILED, job.MAX_ATTEMPTS)
    assert (
        message.error == "Given up after 20 attempts. The mail server did not accept the recipient for now (450 4.2.0)."
    )


async def test_permanent_refusal_fails_at_once_without_personal_data(store: Store) -> None:
    await confirmed(store, "1", "2", "3")
    async with odd_server() as server:
        server.will("RCPT", "550 5.1.1 <info@bonapp.example> unknown", "554 no <info@bonapp.example>")
        with structlog.testing.capture_logs() as logs:
            assert await send(store, server.settings) == DeliveryReport(sent=1, failed=2)
        # And of the content.
        await act(store, Action.INVOICE, "3", amount="1")
        server.will("DATA", "552 5.3.4 too big")
        assert await send(store, server.settings) == DeliveryReport(failed=1)
    assert await states(store) == [S.FAILED, S.FAILED, S.SENT, S.FAILED]
    first, second, _, big = await outbox(store)
    hint = "Correct the customer's e-mail address."
    assert first.error == f"The mail server refused the recipient permanently (550 5.1.1). {hint}"
    assert second.error == f"The mail server refused the recipient permanently (554). {hint}"
    assert big.error == "The mail server refused the message permanently (552 5.3.4)."
    assert "bonapp" not in str(logs) + str(await outbox(store))


async def test_repeat_after_a_lost_response_has_the_same_message_id(store: Store, clock: Any) -> None:
    await confirmed(store)
    async with odd_server() as server:
        server.will("DATA", "gone")
        assert await send(store, server.settings) == DeliveryReport(postponed=1)
        clock.advance(60)
        assert await send(store, server.settings) == DeliveryReport(sent=1)
    first, again = server.messages
    assert first["Message-ID"] == again["Message-ID"]
    assert str(first["Message-ID"]).endswith("@shop.example>")


async def test_repeat_after_a_crash_before_the_record_has_the_same_message_id(
    store: Store, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await confirmed(store)
    settle = notifications.settle

    async def dies(*_: object, **__: object) -> bool:
        raise KeyboardInterrupt

    async with odd_server() as server:
        monkeypatch.setattr(notifications, "settle", dies)
        monkeypatch.setattr(notifications, "release", dies)
        with pytest.raises(KeyboardInterrupt):
            await send(store, server.settings)
        monkeypatch.setattr(notifications, "settle", settle)
        assert await send(store, server.settings) == DeliveryReport()  # claimed by the one that died
        clock.advance(job.CLAIM_SECONDS + job.max_attempt_seconds(server.settings) + 1)
        assert await send(store, server.settings) == DeliveryReport(sent=1)
    first, again = server.messages
    assert first["Message-ID"] == again["Message-ID"]


async def test_sender_that_lost_its_claim_records_nothing(store: Store, clock: Any) -> None:
    await confirmed(store)
    async with store.transaction() as uow:
        old = await notifications.claim(uow, limit=10, seconds=10)
    clock.advance(11)
    async with odd_server() as server:
        assert await send(store, server.settings) == DeliveryReport(sent=1)
    async with store.transaction() as uow:
        assert not await notifications.settle(uow, old.number, old.messages[0], S.FAILED, error="late")
    assert await states(store) == [S.SENT]


async def test_two_concurrent_senders_send_each_message_once(store: Store) -> None:
    numbers = [str(number) for number in range(60)]
    await confirmed(store, *numbers)
    async with odd_server() as server:
        done = await asyncio.gather(*(send(store, server.settings) for _ in range(4)))
    assert sum(item.sent for item in done) == 60
    assert len({str(message["Message-ID"]) for message in server.messages}) == len(server.messages) == 60


async def test_message_past_its_expiry_is_not_sent(store: Store, clock: Any) -> None:
    await confirmed(store)
    async with odd_server() as server:
        server.will("RCPT", "451 4.7.1 later")
        await send(store, server.settings)
        clock.advance(72 * 3600 + 1)
        assert await send(store, server.settings) == DeliveryReport(expired=1)
        assert server.mails == []
        [message] = await outbox(store)
        assert (message.error or "").startswith("It could not be sent within 72 hours. The mail server")
        async with store.transaction() as uow:
            assert await notifications.retry(uow, [message.id], by="anna")
        assert await send(store, server.settings) == DeliveryReport(sent=1)


async def test_message_to_a_customer_without_address_is_skipped_and_shown(store: Store) -> None:
    await confirmed(store, "1", customer="ALFKI")
    async with odd_server() as server:
        assert await send(store, server.settings) == DeliveryReport(skipped=1)
        [message] = await outbox(store)
        assert (message.state, message.error) == (S.SKIPPED, "The customer has no e-mail address.")
        for address in ("ann@", "a@b.example\nBcc: c@d.example"):
            async with store.transaction() as uow:
                await customers.save(uow, [replace(samples.ALFKI, email=address)])
                await notifications.retry(uow, [message.id], by="anna")
            assert await send(store, server.settings) == DeliveryReport(skipped=1)
            [message] = await outbox(store)
            assert message.error == "The customer's e-mail address is not valid."
    assert server.mails == []


async def test_confirmation_of_an_order_canceled_meanwhile_is_skipped(store: Store) -> None:
    await confirmed(store)
    await act(store, Action.CANCEL, lines={1: 2, 2: "1.5"})
    async with odd_server() as server:
        assert await send(store, server.settings) == DeliveryReport(sent=1, skipped=1)
    assert [message["Subject"] for message in server.messages] == ["Your order 1 was canceled"]


async def test_escalation_goes_to_the_ops_address_unless_the_hold_was_released(store: Store) -> None:
    await opened(store, "1", "2")
    for number in ("1", "2"):
        await act(store, Action.HOLD, number, hold=Hold.FRAUD, note="odd address")
        await act(store, Action.ESCALATE, number, hold=Hold.FRAUD)
    await act(store, Action.RELEASE, "2", hold=Hold.FRAUD)
    async with odd_server() as server:
        assert await send(store, server.settings) == DeliveryReport(sent=1, skipped=1)
    [mail] = server.mails
    assert mail.recipients == ("ops@shop.example",)
    assert "odd address" in (mail.text or "")


async def test_slow_batch_stops_before_its_claim_expires_and_the_rest_is_claimed_again(
    store: Store, clock: Any
) -> None:
    await confirmed(store, "1", "2", "3")
    said: list[str] = []

    class Slow:
        async def __aenter__(self) -> Slow:
            said.append("opened")
            return self

        async def __aexit__(self, *_: object) -> None: ...

        async def send(self, mail: Email) -> None:
            said.append(mail.about)
            clock.advance(50)

    done = await send_notifications(store, correspondence(), Slow(), smtp_settings(1, timeout_seconds=30), clock=clock)
    assert (done.sent, said) == (3, ["opened", "1", "2", "opened", "3"])
