"""Send notifications by SMTP, with one connection per batch.

A rejection of a recipient or of content concerns that message. Any other failure (no connection, no encryption, a wrong
password, a rejected sender) concerns every message, and counts against none. The server's texts are not stored, as they
repeat addresses.
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
from connector.errors import DeliveryError, RetryClass
from connector.notifications.transport.email import Email, build_message
from connector.settings.messages import MessageSettings, SmtpSecurity

GOODBYE_SECONDS = 2.0
ADDRESS_HINT = "Check that it runs, and CONNECTOR_MESSAGES__SMTP_HOST and CONNECTOR_MESSAGES__SMTP_PORT."
SECURITY_HINT = "Check CONNECTOR_MESSAGES__SMTP_SECURITY: starttls (usually port 587), tls (465) or none."
CERTIFICATE_HINT = (
    "CONNECTOR_MESSAGES__SMTP_HOST must be the name in the certificate, and its issuer must be trusted here."
)
CREDENTIALS_HINT = "Set CONNECTOR_MESSAGES__SMTP_USERNAME and CONNECTOR_MESSAGES__SMTP_PASSWORD correctly."
_ENHANCED = re.compile(r"\b[245]\.\d{1,3}\.\d{1,3}\b")
_CLOSING = 421


class SmtpTransport:
    """Implements `MailTransport`. It connects for the first message, and again after a connection broke."""

    def __init__(self, settings: MessageSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._connection: SMTP | None = None

    async def __aenter__(self) -> SmtpTransport:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        line, self._connection = self._connection, None
        if line is None:
            return
        try:
            async with asyncio.timeout(GOODBYE_SECONDS):
                await line.quit()
        except (SMTPException, OSError, TimeoutError):
            line.close()

    async def send(self, mail: Email) -> None:
        message = build_message(mail, self._settings.sender, self._clock.now())
        connection = await self._connect(message["From"].addresses[0].domain)
        try:
            async with asyncio.timeout(self._settings.timeout_seconds):
                await connection.sendmail(message["From"].addresses[0].addr_spec, [mail.recipient], _as_ascii(message))
        except aiosmtplib.SMTPSenderRefused as error:
            if error.code == _CLOSING:
                raise self._connection_broken() from None
            raise DeliveryError(
                f"The mail server rejected our sender address ({_code(error)}).",
                hint="Set CONNECTOR_MESSAGES__SENDER to an address that this server may send for.",
                retry_class=RetryClass.CONFIG, affects_all=True,
            ) from None  # fmt: skip
        except aiosmtplib.SMTPRecipientsRefused as error:
            raise self._rejection(error.recipients[0], "the recipient") from None
        except SMTPResponseException as error:
            raise self._rejection(error, "the message") from None
        except (SMTPException, OSError, TimeoutError):
            raise self._connection_broken() from None
        except BaseException:
            self._close()  # in the middle of a message: the next one must not be written behind it
            raise

    async def _connect(self, name: str) -> SMTP:
        if self._connection is not None and self._connection.is_connected:
            return self._connection
        settings = self._settings
        connection = SMTP(
            hostname=settings.smtp_host,
            port=settings.smtp_port,
            use_tls=settings.smtp_security is SmtpSecurity.TLS,
            start_tls=False,
            local_hostname=name,
            timeout=settings.timeout_seconds,
        )
        where = f"The mail server {settings.smtp_host}:{settings.smtp_port}"
        try:
            async with asyncio.timeout(settings.timeout_seconds):
                await self._sign_in(connection, where)
        except DeliveryError:
            connection.close()
            raise
        except SMTPResponseException as error:
            connection.close()
            raise _unreachable(f"{where} refused the connection ({_code(error)}).", ADDRESS_HINT) from None
        except (SMTPException, OSError, TimeoutError) as error:
            connection.close()
            cause = error.__cause__ or error
            if isinstance(cause, ssl.SSLCertVerificationError):
                what = f"The certificate of {where[0].lower()}{where[1:]} cannot be trusted."
                raise _unreachable(what, CERTIFICATE_HINT, RetryClass.CONFIG) from None
            if isinstance(cause, ssl.SSLError):
                raise _unreachable(
                    f"{where} does not support TLS on this port.", SECURITY_HINT, RetryClass.CONFIG
                ) from None
            raise _unreachable(f"{where} cannot be reached.", ADDRESS_HINT) from None
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection

    async def _sign_in(self, connection: SMTP, where: str) -> None:
        settings = self._settings
        await connection.connect()
        if settings.smtp_security is SmtpSecurity.STARTTLS:
            await connection.ehlo()
            if not connection.supports_extension("starttls"):
                raise _unreachable(f"{where} does not support STARTTLS on this port.", SECURITY_HINT, RetryClass.CONFIG)
            await connection.starttls()
        if settings.smtp_username:
            await connection.ehlo()
            if not connection.supported_auth_methods:
                raise _unreachable(f"{where} does not support sign-in on this port.", SECURITY_HINT, RetryClass.CONFIG)
            try:
                await connection.login(settings.smtp_username, settings.smtp_password.get_secret_value())
            except aiosmtplib.SMTPAuthenticationError as error:
                raise _unreachable(
                    f"{where} rejected our user name or password ({_code(error)}).", CREDENTIALS_HINT, RetryClass.AUTH
                ) from None

    def _rejection(self, error: SMTPResponseException, what: str) -> DeliveryError:
        if error.code == _CLOSING:
            return self._connection_broken()
        if 500 <= error.code < 600:
            hint = "Correct the customer's e-mail address." if what == "the recipient" else ""
            return DeliveryError(
                f"The mail server refused {what} permanently ({_code(error)}).", hint=hint, retry_class=RetryClass.DATA
            )
        return DeliveryError(
            f"The mail server did not accept {what} for now ({_code(error)}).", retry_class=RetryClass.TRANSIENT
        )

    def _connection_broken(self) -> DeliveryError:
        """Close the connection, and return the error for it: whether the message was accepted is not known."""
        self._close()
        return DeliveryError(
            "The connection to the mail server broke before it confirmed the message.",
            retry_class=RetryClass.TRANSIENT,
        )

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _as_ascii(message: EmailMessage) -> bytes:
    """Return the message in ASCII, so that every server accepts it."""
    return message.as_bytes(policy=message.policy.clone(cte_type="7bit"))


def _unreachable(what: str, hint: str, retry_class: RetryClass = RetryClass.TRANSIENT) -> DeliveryError:
    return DeliveryError(what, hint=hint, retry_class=retry_class, affects_all=True)


def _code(error: SMTPResponseException) -> str:
    """Return the reply code, as `550 5.1.1`, without the server's text, which would name the customer."""
    enhanced = _ENHANCED.search(error.message)
    return f"{error.code} {enhanced[0]}" if enhanced else str(error.code)
