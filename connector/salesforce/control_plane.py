"""simple-salesforce with our token, for calls that are few and may block: describe, limits, deploys, bulk reads.

It never signs in by itself: eight of its threads with an expired token would sign in eight times.
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
from connector.salesforce.auth import Token, TokenOwner, classify_request_error
from connector.salesforce.errors import UnreadableResponseError, error_for_call, read_errors
from connector.salesforce.fault import NoResponse, classify_call
from connector.salesforce.meter import Meter
from connector.salesforce.session import OrgSession

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
        """The result of `use`, which may run twice: again with a new token if the org refused the first one, could not
        be reached, or redirected to another address.

        Raises AuthError, TransportError or RefusedError like any other call. It is not repeated here for other reasons.
        """
        token = await self._tokens.token()
        try:
            return await self._run_once(token, use)
        except SalesforceError as error:
            refused = error.retry_class is RetryClass.AUTH
            if not refused and error.code not in {NoResponse.NOT_CONNECTED, NoResponse.REDIRECTED}:
                raise
            renewed = await self._tokens.renew(token)
            if not refused and renewed.instance_url == token.instance_url:
                raise
        return await self._run_once(renewed, use)

    async def _run_once(self, token: Token, use: Callable[[Salesforce], T]) -> T:
        host = urlsplit(token.instance_url).netloc
        await self._meter.admit(token.org_id)
        with OrgSession({f"https://{host}": token.instance_url}, timeout=self._timeout, client=self._client) as session:
            try:
                return await asyncio.get_running_loop().run_in_executor(
                    self._pool, self._run_blocking, token, host, session, use
                )
            finally:
                self._meter.note_session(session.answers)

    def _run_blocking(self, token: Token, host: str, session: OrgSession, use: Callable[[Salesforce], T]) -> T:
        # Imported here: it brings a SOAP stack along.
        from simple_salesforce.api import Salesforce
        from simple_salesforce.exceptions import SalesforceError as SimpleError

        org = Salesforce(session_id=token.access_token, instance=host, session=session, version=self._version)
        try:
            return use(org)
        except SimpleError as error:
            raise _translate_error(error) from None
        except requests.exceptions.RequestException as error:
            raise UnreadableResponseError(classify_request_error(error), token.instance_url) from None
        except (LookupError, TypeError, AttributeError, ValueError, ParseError):
            # The response does not have the shape that simple-salesforce or we expect.
            raise UnreadableResponseError(NoResponse.UNREADABLE, token.instance_url) from None


def _translate_error(error: Any) -> SalesforceError:
    status = error.status if isinstance(getattr(error, "status", None), int) else 400
    errors = read_errors(getattr(error, "content", None))
    return error_for_call(classify_call(status, errors), status=status, errors=errors)
