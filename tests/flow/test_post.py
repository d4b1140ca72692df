"""The SMTP and webhook transports: how responses and failures of servers are handled."""

from __future__ import annotations

import hmac
from base64 import b64decode, b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiosmtpd.smtp import AuthResult

from connector.errors import DeliveryError, RetryClass
from connector.jobs import send_notifications as job
from connector.jobs.send_notifications import DeliveryReport
from connector.localorg.certificates import load_or_create
from connector.model.actions import Action
from connector.model.notification import MessageState
from connector.notifications.transport.email import Email
from connector.notifications.transport.smtp import ADDRESS_HINT
from connector.notifications.transport.transport import make_transport
from connector.notifications.transport.webhook import SETTINGS_HINT
from connector.settings.messages import MessageSettings, SmtpSecurity
from connector.store.engine import Store
from tests.mail_servers import SECRET, act, confirmed, hook, odd_server, outbox, send, smtp_settings

S = MessageState


async def states(store: Store) -> list[MessageState]:
    return [item.state for item in await outbox(store)]


async def test_unreachable_server_is_not_counted_against_the_messages(store: Store, clock: Any) -> None:
    await confirmed(store, "1", "2")
    async with odd_server() as server:
        settings = server.settings
    for _ in range(job.MAX_ATTEMPTS + 5):
        done = await send(store, settings)
        assert done.failed == 0
        clock.advance(job.LONGEST_WAIT * 1.5)
    assert done.stopped == f"The mail server 127.0.0.1:{settings.smtp_port} cannot be reached. {ADDRESS_HINT}"
    assert await states(store) == [S.DUE, S.DUE]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (
            {"smtp_security": SmtpSecurity.STARTTLS},
            "does not support STARTTLS on this port. Check CONNECTOR_MESSAGES__SMTP_SECURITY",
        ),
        ({"smtp_security": SmtpSecurity.TLS}, "does not support TLS on this port."),
        ({"smtp_username": "u", "smtp_password": "hunter2"}, "does not support sign-in on this port."),
    ],
)
async def test_server_that_does_not_support_the_settings_stops_the_run(
    store: Store, more: dict[str, Any], says: str
) -> None:
    await confirmed(store, "1", "2")
    async with odd_server() as server:
        settings = server.settings.model_validate(server.settings.model_dump() | more)
        done = await send(store, settings)
    assert says in (done.stopped or "")
    assert "hunter2" not in (done.stopped or "")
    assert await states(store) == [S.DUE, S.DUE]
    assert server.mails == []


async def test_wrong_password_stops_the_run_and_is_not_printed(store: Store) -> None:
    await confirmed(store)

    def nobody(*_: object) -> AuthResult:
        return AuthResult(success=False, handled=False)

    async with odd_server(authenticator=nobody, auth_require_tls=False) as server:
        settings = smtp_settings(server.port, smtp_username="u", smtp_password="hunter2")
        done = await send(store, settings)
    assert "rejected our user name or password (535 5.7.8). Set CONNECTOR_MESSAGES__SMTP_USERNAME" in (
        done.stopped or ""
    )
    assert "hunter2" not in str(done) + str(await outbox(store))


async def test_starttls_with_an_untrusted_certificate_stops_the_run(store: Store, tmp_path: Path) -> None:
    await confirmed(store)
    ours = load_or_create(tmp_path)
    async with odd_server(tls_context=ours.ssl_context()) as server:
        done = await send(store, smtp_settings(server.port, smtp_security=SmtpSecurity.STARTTLS))
        assert "cannot be trusted" in (done.stopped or "")
        assert server.mails == []


async def test_starttls_with_a_trusted_certificate_sends(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await confirmed(store)
    ours = load_or_create(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(ours.ca))
    async with odd_server(tls_context=ours.ssl_context(), require_starttls=True) as server:
        settings = smtp_settings(server.port, smtp_security=SmtpSecurity.STARTTLS, smtp_host="localhost")
        assert await send(store, settings) == DeliveryReport(sent=1)
    assert len(server.mails) == 1


async def test_rejected_sender_stops_the_run_for_every_message(store: Store) -> None:
    await confirmed(store, "1", "2")
    async with odd_server() as server:
        server.will("MAIL", "550 5.7.1 not yours")
        done = await send(store, server.settings)
    assert "rejected our sender address (550 5.7.1)" in (done.stopped or "")
    assert (done.postponed, done.failed, await states(store)) == (1, 0, [S.DUE, S.DUE])


async def test_broken_connection_is_reopened_for_the_next_message(store: Store) -> None:
    await confirmed(store, "1", "2")
    async with odd_server() as server:
        server.will("RCPT", "gone")
        assert await send(store, server.settings) == DeliveryReport(sent=1, postponed=1)
        assert server.connections == 2


async def test_server_that_always_breaks_ends_the_run_and_fails_no_message(store: Store) -> None:
    await confirmed(store, *(str(number) for number in range(6)))
    async with odd_server() as server:
        server.will("RCPT", *["gone"] * 10)
        done = await send(store, server.settings)
    assert (done.postponed, done.failed, done.sent) == (job.MAX_FAILURES_IN_A_ROW, 0, 0)
    assert done.stopped
    assert [item.attempts for item in await outbox(store)] == [1, 1, 1, 0, 0, 0]


async def test_webhook_request_has_a_verifiable_signature(store: Store) -> None:
    await confirmed(store)
    await act(store, Action.INVOICE, amount="50")
    async with hook() as receiver:
        assert await send(store, receiver.settings) == DeliveryReport(sent=2)
    for body, headers in receiver.posted:
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        digest = hmac.new(b64decode(SECRET.removeprefix("whsec_")), signed, sha256).digest()
        assert headers["webhook-signature"] == f"v1,{b64encode(digest).decode()}"
        assert int(headers["webhook-timestamp"]) == int(store.clock.now().timestamp())
    said = [orjson.loads(body) for body, _ in receiver.posted]
    assert [item["type"] for item in said] == ["order.confirmation", "order.invoice"]
    assert said[0]["data"]["to"] == {"address": "info@bonapp.example", "name": "Bon app'"}
    assert said[0]["data"]["order"] == "1"
    [attached] = said[1]["data"]["attachments"]
    assert b64decode(attached["content"]).startswith(b"%PDF-")


async def test_retry_after_of_a_webhook_is_respected_and_the_id_stays_the_same(store: Store, clock: Any) -> None:
    await confirmed(store, "1", "2")
    async with hook() as receiver:
        receiver.answers.append((429, {"Retry-After": "600"}))
        done = await send(store, receiver.settings)
        assert (done.postponed, done.sent, len(receiver.posted)) == (1, 0, 1)
        [first, _] = await outbox(store)
        assert (first.due_at - clock.now()).total_seconds() == 600
        clock.advance(601)
        assert await send(store, receiver.settings) == DeliveryReport(sent=2)
    ids = [headers["webhook-id"] for _, headers in receiver.posted]
    assert sorted(ids) == sorted([ids[0], *set(ids)])


@pytest.mark.parametrize(
    ("status", "state", "says"),
    [
        (400, S.FAILED, "The webhook refused the message permanently (HTTP 400)."),
        (
            410,
            S.DUE,
            "The webhook does not exist, or rejected the signature (HTTP 410). Set CONNECTOR_MESSAGES__WEBHOOK_URL and",
        ),
        (422, S.FAILED, "The webhook refused the message permanently (HTTP 422)."),
        (302, S.DUE, "The webhook redirects to another address (HTTP 302). Set CONNECTOR_MESSAGES__WEBHOOK_URL and"),
        (
            401,
            S.DUE,
            "The webhook does not exist, or rejected the signature (HTTP 401). Set CONNECTOR_MESSAGES__WEBHOOK_URL and",
        ),
        (
            404,
            S.DUE,
            "The webhook does not exist, or rejected the signature (HTTP 404). Set CONNECTOR_MESSAGES__WEBHOOK_URL and",
        ),
        (500, S.DUE, "The webhook did not accept the message for now (HTTP 500)."),
        (429, S.DUE, "The webhook did not accept the message for now (HTTP 429)."),
    ],
)
async def test_webhook_status_decides_between_sent_retry_and_failure(
    store: Store, status: int, state: MessageState, says: str
) -> None:
    await confirmed(store)
    async with hook() as receiver:
        receiver.answers.append((status, {"Location": f"{receiver.url}?elsewhere"} if status == 302 else {}))
        await send(store, receiver.settings)
    [message] = await outbox(store)
    assert message.state is state
    assert (message.error or "").startswith(says)
    assert len(receiver.posted) == 1


async def test_unreachable_webhook_is_retried(store: Store) -> None:
    await confirmed(store)
    async with hook() as receiver:
        settings = receiver.settings
    done = await send(store, settings)
    assert (done.stopped, done.failed) == (f"The webhook cannot be reached. Check that it runs. {SETTINGS_HINT}", 0)


async def test_no_transport_is_made_without_settings(store: Store) -> None:
    assert make_transport(MessageSettings(), store.clock) is None


async def test_smtp_and_webhook_report_refusals_alike(store: Store) -> None:
    """Both transports raise DeliveryError, and nothing else, for a refused message."""
    mail = Email(key="k", kind="invoice", about="1", recipient="a@b.example", name="A", subject="S", text="t", html="h")
    async with odd_server() as server, hook() as receiver:
        server.will("RCPT", "550 no")
        receiver.answers.append((400, {}))
        for settings in (server.settings, receiver.settings):
            way = make_transport(settings, store.clock)
            assert way is not None
            async with way as post:
                with pytest.raises(DeliveryError) as refused:
                    await post.send(mail)
                assert (refused.value.retry_class, refused.value.affects_all) == (RetryClass.DATA, False)
                await post.send(mail)
    assert (len(server.mails), len(receiver.posted)) == (1, 2)
