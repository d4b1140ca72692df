"""Messages as e-mail, over one connection for a batch.

What the server says of one message (its recipient, its content) settles that message. What it says of us (no
connection, no encryption, a wrong password, a sender it does not take) concerns every message, and is never held
against one. A server's own words are not kept: they repeat addresses.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from email.message import EmailMessage
from types import TracebackType

import aiosmtplib
from aiosmtplib import SMTP, SMTPException, SMTPResponseException

from connector.clock import Clock
from connector.errors import PostError, RetryClass
from connector.notifications.transport.email import Email, build_message
from connector.settings import MessageSettings, Security

GOODBYE_SECONDS = 2.0
AGAIN = "It is tried again."
SECURITY = "CONNECTOR_MESSAGES__SMTP_SECURITY is starttls (mostly port 587), tls (465) or none."
TRUST = "CONNECTOR_MESSAGES__SMTP_HOST must be the name in its certificate, which somebody we trust must have signed."
NAMED = "Set CONNECTOR_MESSAGES__SMTP_USERNAME and SMTP_PASSWORD to what it knows."
_ENHANCED = re.compile(r"\b[245]\.\d{1,3}\.\d{1,3}\b")
_CLOSING = 421


class SmtpPost:
    """See `Post`. It connects with the first message, and again after a connection broke."""

    def __init__(self, settings: MessageSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._line: SMTP | None = None

    async def __aenter__(self) -> SmtpPost:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        line, self._line = self._line, None
        if line is None:
            return
        try:
            async with asyncio.timeout(GOODBYE_SECONDS):
                await line.quit()
        except (SMTPException, OSError, TimeoutError):
            line.close()

    async def send(self, mail: Email) -> None:
        made = build_message(mail, self._settings.sender, self._clock.now())
        line = await self._connected(made["From"].addresses[0].domain)
        try:
            async with asyncio.timeout(self._settings.timeout_seconds):
                await line.sendmail(made["From"].addresses[0].addr_spec, [mail.recipient], _bytes(made))
        except aiosmtplib.SMTPSenderRefused as error:
            if error.code == _CLOSING:
                raise self._broken() from None
            raise PostError(
                f"The mail server does not take our sender ({_code(error)}).",
                hint="Set CONNECTOR_MESSAGES__SENDER to an address that it sends for.",
                retry_class=RetryClass.CONFIG, whole=True,
            ) from None  # fmt: skip
        except aiosmtplib.SMTPRecipientsRefused as error:
            raise self._refused(error.recipients[0], "the recipient") from None
        except SMTPResponseException as error:
            raise self._refused(error, "the message") from None
        except (SMTPException, OSError, TimeoutError):
            raise self._broken() from None
        except BaseException:
            self._hang_up()  # in the middle of a message: the next one must not be written behind it
            raise

    async def _connected(self, name: str) -> SMTP:
        if self._line is not None and self._line.is_connected:
            return self._line
        settings = self._settings
        line = SMTP(
            hostname=settings.smtp_host,
            port=settings.smtp_port,
            use_tls=settings.smtp_security is Security.TLS,
            start_tls=False,
            local_hostname=name,
            timeout=settings.timeout_seconds,
        )
        where = f"The mail server {settings.smtp_host}:{settings.smtp_port}"
        try:
            async with asyncio.timeout(settings.timeout_seconds):
                await self._enter(line, where)
        except PostError:
            line.close()
            raise
        except SMTPResponseException as error:
            line.close()
            raise _unreachable(f"{where} turned us away ({_code(error)}).", AGAIN) from None
        except (SMTPException, OSError, TimeoutError) as error:
            line.close()
            cause = error.__cause__ or error
            if isinstance(cause, ssl.SSLCertVerificationError):
                what = f"The certificate of {where[0].lower()}{where[1:]} cannot be trusted."
                raise _unreachable(what, TRUST, RetryClass.CONFIG) from None
            if isinstance(cause, ssl.SSLError):
                raise _unreachable(f"{where} does not speak TLS here.", SECURITY, RetryClass.CONFIG) from None
            raise _unreachable(f"{where} cannot be reached.", AGAIN) from None
        except BaseException:
            line.close()
            raise
        self._line = line
        return line

    async def _enter(self, line: SMTP, where: str) -> None:
        settings = self._settings
        await line.connect()
        if settings.smtp_security is Security.STARTTLS:
            await line.ehlo()
            if not line.supports_extension("starttls"):
                raise _unreachable(f"{where} does not speak STARTTLS here.", SECURITY, RetryClass.CONFIG)
            await line.starttls()
        if settings.smtp_username:
            await line.ehlo()
            if not line.supported_auth_methods:
                raise _unreachable(f"{where} lets nobody sign in here.", SECURITY, RetryClass.CONFIG)
            try:
                await line.login(settings.smtp_username, settings.smtp_password.get_secret_value())
            except aiosmtplib.SMTPAuthenticationError as error:
                raise _unreachable(f"{where} does not let us in ({_code(error)}).", NAMED, RetryClass.AUTH) from None

    def _refused(self, error: SMTPResponseException, what: str) -> PostError:
        if error.code == _CLOSING:
            return self._broken()
        if 500 <= error.code < 600:
            hint = "Correct the customer's e-mail address." if what == "the recipient" else ""
            return PostError(
                f"The mail server refused {what} for good ({_code(error)}).", hint=hint, retry_class=RetryClass.DATA
            )
        return PostError(
            f"The mail server does not take {what} just now ({_code(error)}).", retry_class=RetryClass.TRANSIENT
        )

    def _broken(self) -> PostError:
        """Nothing more goes over this connection; whether the message was taken is not known."""
        self._hang_up()
        return PostError(
            "The connection to the mail server broke before it said whether it took the message.",
            retry_class=RetryClass.TRANSIENT,
        )

    def _hang_up(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None


def _bytes(made: EmailMessage) -> bytes:
    """The message for the wire: nothing in it but ASCII, so that every server takes it."""
    return made.as_bytes(policy=made.policy.clone(cte_type="7bit"))


def _unreachable(what: str, hint: str, retry_class: RetryClass = RetryClass.TRANSIENT) -> PostError:
    return PostError(what, hint=hint, retry_class=retry_class, whole=True)


def _code(error: SMTPResponseException) -> str:
    """`550 5.1.1`; the words beside it would name the customer."""
    found = _ENHANCED.search(error.message)
    return f"{error.code} {found[0]}" if found else str(error.code)
