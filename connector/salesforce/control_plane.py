"""simple-salesforce on our own token, for calls that are few and may block: describe, limits, deploys, bulk reads.

It never signs in by itself: eight of its threads with a dead token would sign in eight times.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit
from xml.etree.ElementTree import ParseError

import requests

from connector.errors import RetryClass, SalesforceError
from connector.salesforce.auth import Token, TokenOwner, silence_of
from connector.salesforce.errors import UnreadableResponseError, as_error, read_errors
from connector.salesforce.fault import NoResponse, classify_call
from connector.salesforce.session import OrgSession
from connector.salesforce.usage import Meter

if TYPE_CHECKING:
    from simple_salesforce.api import Salesforce

T = TypeVar("T")


class ControlPlane:
    """Runs functions of a `simple_salesforce.Salesforce` in the thread pool."""

    def __init__(
        self, tokens: TokenOwner, *, pool: Executor, meter: Meter, version: str, timeout: float, client: str
    ) -> None:
        self._tokens = tokens
        self._pool = pool
        self._meter = meter
        self._version = version
        self._timeout = timeout
        self._client = client

    async def run(self, use: Callable[[Salesforce], T]) -> T:
        """What `use` returns. It may run twice: once more with a new token after the org refused the first, could not
        be reached, or answered with another address.

        AuthError, TransportError or RefusedError as from any other call; it is not repeated here for other reasons.
        """
        token = await self._tokens.token()
        try:
            return await self._once(token, use)
        except SalesforceError as error:
            refused = error.retry_class is RetryClass.AUTH
            if not refused and error.code not in {NoResponse.NOT_CONNECTED, NoResponse.REDIRECTED}:
                raise
            renewed = await self._tokens.renew(token)
            if not refused and renewed.instance_url == token.instance_url:
                raise
        return await self._once(renewed, use)

    async def _once(self, token: Token, use: Callable[[Salesforce], T]) -> T:
        host = urlsplit(token.instance_url).netloc
        with OrgSession({f"https://{host}": token.instance_url}, timeout=self._timeout, client=self._client) as session:
            try:
                return await asyncio.get_running_loop().run_in_executor(
                    self._pool, self._blocking, token, host, session, use
                )
            finally:
                self._meter.count(write=False, times=session.calls)
                self._meter.read(session.limit_info)

    def _blocking(self, token: Token, host: str, session: OrgSession, use: Callable[[Salesforce], T]) -> T:
        # Imported here: it brings a SOAP stack along.
        from simple_salesforce.api import Salesforce
        from simple_salesforce.exceptions import SalesforceError as SimpleError

        org = Salesforce(session_id=token.access_token, instance=host, session=session, version=self._version)
        try:
            return use(org)
        except SimpleError as error:
            raise _translated(error) from None
        except requests.exceptions.RequestException as error:
            raise UnreadableResponseError(silence_of(error), token.instance_url) from None
        except (LookupError, TypeError, AttributeError, ValueError, ParseError):
            # An answer of another shape than simple-salesforce, or we, read out of it.
            raise UnreadableResponseError(NoResponse.UNREADABLE, token.instance_url) from None


def _translated(error: Any) -> SalesforceError:
    status = error.status if isinstance(getattr(error, "status", None), int) else 400
    errors = read_errors(getattr(error, "content", None))
    return as_error(classify_call(status, errors), status=status, errors=errors)
