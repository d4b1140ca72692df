"""The client of one org.

Every call signs in when needed, is repeated while that can help within seconds, and ends with a result or one of three
errors: AuthError (no session), RefusedError (the org refused; nothing was done), TransportError (no usable response;
the work may have been done). Refused rows and graphs are outcomes, not errors.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.metadata import version as installed_version
from types import TracebackType
from typing import Any, TypeVar

from connector.clock import Clock
from connector.errors import RefusedError, RetryClass, SalesforceError, Scope
from connector.log import get_logger
from connector.model.describe import SObjectDescribe
from connector.model.outcome import Outcome
from connector.salesforce.attempt_context import get_tracker
from connector.salesforce.auth import Token, TokenOwner
from connector.salesforce.call_gate import CallGate
from connector.salesforce.collections import (
    Fields,
    Row,
    outcome_reader,
    records_body,
    update_body,
    update_order,
    upsert_path,
)
from connector.salesforce.composite import SubOutcome, SubRequest, composite_body, read_composite
from connector.salesforce.control_plane import ControlPlane
from connector.salesforce.describe import describe_path, read_describe
from connector.salesforce.errors import UnreadableResponseError, error_for_call, error_for_subrequest
from connector.salesforce.fault import NoResponse, classify_call
from connector.salesforce.graph import Graph, GraphOutcome, graph_body, read_graphs
from connector.salesforce.limits import QUERIES_PER_COMPOSITE, SUBREQUESTS_PER_COMPOSITE
from connector.salesforce.meter import Meter
from connector.salesforce.query import fits_url, query_path, read_page
from connector.salesforce.retry import Attempt, call_with_retry, parse_retry_after
from connector.salesforce.transport import HttpResponse, Transport, encode_body
from connector.salesforce.usage import CallCounts, Usage
from connector.settings.salesforce import DuplicateRules, SalesforceSettings

CLIENT_NAME = f"crm-connector/{installed_version('crm-connector')}"
"""Identifies us to the org: the `client` of change events and of its API usage log."""

DUPLICATE_HEADER = "Sforce-Duplicate-Rule-Header"

_POOL_THREADS = 4
_ABSENT_CODES = frozenset({"NOT_FOUND", "INVALID_TYPE"})
_QUERY_ERROR_CODES = frozenset({"MALFORMED_QUERY", "INVALID_FIELD", "INVALID_TYPE", "INVALID_QUERY_FILTER_OPERATOR"})

T = TypeVar("T")

log = get_logger(__name__)


class SalesforceClient:
    """An async context manager. Raises SettingsError at once if the settings cannot work; it makes no call before the
    first one that is requested.

    `attempts` is how often one call is attempted. One client serves any number of tasks. Each call asks the `gate`.
    """

    def __init__(
        self, settings: SalesforceSettings, *, clock: Clock, attempts: int, gate: CallGate | None = None
    ) -> None:
        self._settings = settings
        self._version = settings.api_version
        self._base = f"/services/data/v{settings.api_version}/"
        self._clock = clock
        self._attempts = attempts
        self._meter = Meter(gate)
        self._pool = ThreadPoolExecutor(_POOL_THREADS, thread_name_prefix="salesforce-control")
        self._tokens = TokenOwner(settings, clock=clock, pool=self._pool, client=CLIENT_NAME)
        timeout = settings.timeout_seconds
        # The subrequests of a composite or graph call do not inherit this header, so each carries its own.
        allow = settings.duplicate_rules is DuplicateRules.ALLOW
        duplicate_header = {DUPLICATE_HEADER: f"allowSave={str(allow).lower()}"}
        self._row_headers = duplicate_header if allow else {}
        self._transport = Transport(timeout=timeout, client=CLIENT_NAME, meter=self._meter, headers=duplicate_header)
        self.control = ControlPlane(
            self._tokens, pool=self._pool, meter=self._meter, version=self._version, timeout=timeout, client=CLIENT_NAME
        )

    async def __aenter__(self) -> SalesforceClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._tokens.close()
        await self._transport.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    @property
    def tokens(self) -> TokenOwner:
        """Return the owner of the session, which the Pub/Sub API uses too."""
        return self._tokens

    async def connect(self) -> str:
        """Sign in if necessary, and return the 18-character organization ID."""
        return (await self._tokens.token()).org_id

    async def reconnect(self) -> str:
        """Sign in again through the login URL, whatever session there is, and return the organization ID."""
        if (token := self._tokens.current) is not None:
            await self._tokens.renew(token)
        return await self.connect()

    @property
    def org_id(self) -> str:
        """The organization ID; available after the first call or `connect()`."""
        return self._session.org_id

    @property
    def user_id(self) -> str:
        """The ID of our user; available after the first call or `connect()`."""
        return self._session.user_id

    @property
    def instance_url(self) -> str:
        """The address of data calls; available after the first call or `connect()`."""
        return self._session.instance_url

    @property
    def usage(self) -> Usage | None:
        """API requests of the last 24 hours according to the org's newest response; None before the first."""
        return self._meter.usage

    @property
    def calls_made(self) -> CallCounts:
        """HTTP requests sent to the data API: reads and writes, repeats included."""
        return self._meter.calls

    async def collections_upsert(self, sobject: str, external_id: str, records: Sequence[Fields]) -> list[Outcome]:
        """Upsert up to 200 records of one type, each with its `external_id` field; outcomes in the same order."""
        if not records:
            return []
        body = records_body(sobject, records)
        return await self._write("PATCH", upsert_path(sobject, external_id), body, read=outcome_reader(len(records)))

    async def collections_create(self, sobject: str, records: Sequence[Fields]) -> list[Outcome]:
        """Create up to 200 records of a type that has no key. After a TransportError they may exist: query first."""
        if not records:
            return []
        return await self._write(
            "POST",
            "composite/sobjects",
            records_body(sobject, records),
            read=outcome_reader(len(records)),
            repeatable=False,
        )

    async def collections_update(self, rows: Sequence[Row]) -> list[Outcome]:
        """Update up to 200 rows (sObject, Salesforce ID, fields) of up to 10 types; outcomes in the same order."""
        if not rows:
            return []
        order = update_order(rows)
        body = update_body([rows[index] for index in order])
        outcomes = await self._write("PATCH", "composite/sobjects", body, read=outcome_reader(len(rows)))
        by_row = dict(zip(order, outcomes, strict=True))
        return [by_row[index] for index in range(len(rows))]

    async def graph(self, graphs: Sequence[Graph]) -> list[GraphOutcome]:
        """Send up to 75 graphs with up to 500 nodes; outcomes in the same order. Graphs with creates are not repeated
        after an unknown outcome."""
        if not graphs:
            return []
        repeatable = all(node.repeatable for graph in graphs for node in graph.nodes)
        body = graph_body(graphs, version=self._version, headers=self._row_headers)
        return await self._write(
            "POST",
            "composite/graph",
            body,
            read=lambda answer: read_graphs(answer.json(), graphs),
            repeatable=repeatable,
        )

    async def composite(
        self, subrequests: Sequence[SubRequest], *, all_or_none: bool, collate: bool, amounts: bool = True
    ) -> list[SubOutcome]:
        """Up to 25 subrequests, at most 5 of them queries or collections; outcomes in the same order.

        `collate=False` runs them strictly in order. With creates or deletes among them the call is not repeated after
        an unknown outcome. `amounts=False`: what is read has no fractions that matter, and is parsed in a fifth of the
        time.
        """
        if not subrequests:
            return []
        headers = self._row_headers
        body = composite_body(
            subrequests, version=self._version, all_or_none=all_or_none, collate=collate, headers=headers
        )
        reads_only = all(request.method == "GET" for request in subrequests)

        def read(answer: HttpResponse) -> list[SubOutcome]:
            parsed = answer.records() if reads_only and amounts else answer.json()
            return read_composite(parsed, subrequests, all_or_none=all_or_none)

        return await self._call(
            "POST",
            self._base + "composite",
            body,
            read=read,
            write=not reads_only,
            repeatable=all(request.repeatable for request in subrequests),
        )

    async def query(self, soql: str, *, include_deleted: bool = False) -> list[dict[str, Any]]:
        """All rows of a query, fractions as Decimal, without `attributes`."""
        return [row async for page in self.query_pages(soql, include_deleted=include_deleted) for row in page]

    async def query_pages(self, soql: str, *, include_deleted: bool = False) -> AsyncIterator[list[dict[str, Any]]]:
        """The rows page by page (up to 2,000), one API call each; a query too long for a URL goes by `/composite`."""
        path = query_path(soql, include_deleted=include_deleted)
        if fits_url(path):
            rows, following = await self._page(self._base + path)
        else:
            [outcome] = await self.composite(
                [SubRequest(reference="query", method="GET", path=path)], all_or_none=False, collate=True
            )
            if not outcome.success:
                raise error_for_subrequest(outcome.outcome.errors, status=outcome.status)
            rows, following = read_page(outcome.body)
        yield rows
        while following is not None:
            rows, following = await self._page(following)
            yield rows

    async def describe(self, sobject: str) -> SObjectDescribe:
        """The describe of one object. Raises RefusedError (NOT_FOUND) if the org does not have it or does not show it
        to us."""
        return await self.get(describe_path(sobject), read=lambda answer: read_describe(answer.json()))

    async def get(self, path: str, *, read: Callable[[HttpResponse], T]) -> T:
        """What `read` makes of one resource; `path` begins behind the version of the API."""
        return await self._call("GET", self._base + path, read=read, write=False)

    async def describe_many(
        self, sobjects: Sequence[str], queries: Sequence[str] = ()
    ) -> tuple[dict[str, SObjectDescribe], list[list[dict[str, Any]] | RefusedError]]:
        """Describes by object, and the rows of each query (fractions as floats), in one call while they fit (25
        subrequests, of which 5 queries).

        An object that the org does not have, or does not show to us, is missing from the result. A refused query yields
        its RefusedError.
        """
        describes: dict[str, SObjectDescribe] = {}
        results: list[list[dict[str, Any]] | RefusedError] = []
        names, texts = list(sobjects), list(queries)
        while names or texts:
            query_batch, texts = texts[:QUERIES_PER_COMPOSITE], texts[QUERIES_PER_COMPOSITE:]
            room = SUBREQUESTS_PER_COMPOSITE - len(query_batch)
            describe_batch, names = names[:room], names[room:]
            requests = [
                SubRequest(reference=f"d{index}", method="GET", path=describe_path(name))
                for index, name in enumerate(describe_batch)
            ] + [
                SubRequest(reference=f"q{place}", method="GET", path=query_path(text))
                for place, text in enumerate(query_batch)
            ]
            outcomes: Mapping[str, SubOutcome] = await self._outcomes_by_reference(requests)
            for place, name in enumerate(describe_batch):
                if (describe := await self._describe_from_outcome(name, outcomes.get(f"d{place}"))) is not None:
                    describes[name] = describe
            for place, text in enumerate(query_batch):
                results.append(await self._rows_from_outcome(text, outcomes.get(f"q{place}")))
        return describes, results

    async def _outcomes_by_reference(self, requests: Sequence[SubRequest]) -> dict[str, SubOutcome]:
        """The outcomes of one composite call; empty if the org refuses the call itself, so that each request is sent
        singly."""
        try:
            outcomes = await self.composite(requests, all_or_none=False, collate=False, amounts=False)
        except RefusedError as error:
            if error.retry_class.retryable or error.scope is Scope.ORG:
                raise
            log.info("composite_reads_refused", code=error.code, status=error.status)
            return {}
        return {outcome.reference: outcome for outcome in outcomes}

    async def _describe_from_outcome(self, sobject: str, outcome: SubOutcome | None) -> SObjectDescribe | None:
        if outcome is not None and outcome.success:
            return read_describe(outcome.body)
        if outcome is not None and outcome.outcome.errors[0].code in _ABSENT_CODES:
            return None
        try:
            return await self.describe(sobject)
        except RefusedError as error:
            if error.code in _ABSENT_CODES:
                return None
            raise

    async def _rows_from_outcome(self, soql: str, outcome: SubOutcome | None) -> list[dict[str, Any]] | RefusedError:
        if outcome is not None and not outcome.success and outcome.outcome.errors[0].code in _QUERY_ERROR_CODES:
            return error_for_subrequest(outcome.outcome.errors, status=outcome.status)
        if outcome is None or not outcome.success:
            try:
                return await self.query(soql)
            except RefusedError as error:
                if error.scope is Scope.ORG:
                    raise
                return error
        rows, following = read_page(outcome.body)
        while following is not None:
            more, following = await self._page(following)
            rows += more
        return rows

    async def _page(self, path: str) -> tuple[list[dict[str, Any]], str | None]:
        return await self._call("GET", path, read=lambda answer: read_page(answer.records()), write=False)

    async def _write(
        self, method: str, path: str, body: Any, *, read: Callable[[HttpResponse], T], repeatable: bool = True
    ) -> T:
        return await self._call(method, self._base + path, body, read=read, write=True, repeatable=repeatable)

    async def _call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        read: Callable[[HttpResponse], T],
        write: bool,
        repeatable: bool = True,
    ) -> T:
        """`path` starts at the root of the instance. The body is encoded once, however often it is sent. A response
        that `read` cannot parse counts as none."""
        content = None if body is None else encode_body(body)

        async def attempt() -> Attempt[T]:
            result = await self._attempt(method, path, content, read=read, write=write)
            if result.error is not None:
                result.error.hint = self._settings.with_full_names(result.error.hint)
            return result

        return await call_with_retry(attempt, clock=self._clock, attempts=self._attempts, repeatable=repeatable)

    async def _attempt(
        self, method: str, path: str, content: bytes | None, *, read: Callable[[HttpResponse], T], write: bool
    ) -> Attempt[T]:
        """One attempt. After an expired session, an unreachable address or a redirect it signs in again through the
        login URL and sends once more; that is no attempt of its own."""
        try:
            token = await self._tokens.token()
            try:
                response = await self._send(method, path, token, content, write=write)
            except UnreadableResponseError as error:
                if error.reason is not NoResponse.NOT_CONNECTED or not await self._address_changed(token):
                    raise
                response = await self._send(method, path, await self._tokens.token(), content, write=write)
            if response.status == 401 or (response.redirect_host is not None and await self._address_changed(token)):
                token = await self._tokens.renew(token)
                response = await self._send(method, path, token, content, write=write)
            if response.ok:
                return Attempt(value=response.parse(read))
        except UnreadableResponseError as error:
            return Attempt(error=error, soon=error.fault.soon, outcome_known=error.fault.outcome_known)
        except SalesforceError as error:
            return Attempt(error=error, soon=error.retry_class is RetryClass.TRANSIENT)
        errors = response.errors()
        fault = classify_call(response.status, errors)
        if response.redirect_host:
            fault = replace(fault, sentence=f"{fault.sentence.removesuffix('.')}: {response.redirect_host}.")
        refused = error_for_call(fault, status=response.status, errors=errors)
        retry_after = refused.retry_after = parse_retry_after(response.headers.get("Retry-After"), self._clock)
        return Attempt(error=refused, soon=fault.soon, outcome_known=fault.outcome_known, retry_after=retry_after)

    async def _address_changed(self, token: Token) -> bool:
        """Whether a new sign-in returns another address than that of `token`."""
        return (await self._tokens.renew(token)).instance_url != token.instance_url

    async def _send(self, method: str, path: str, token: Token, content: bytes | None, *, write: bool) -> HttpResponse:
        started, call = self._clock.now(), get_tracker().call
        status: int | None = None
        try:
            response = await self._transport.send(method, path, token=token, content=content, write=write, call=call.id)
            status = response.status
            return response
        finally:
            milliseconds = (self._clock.now() - started).total_seconds() * 1000
            bare_path = path.partition("?")[0].removeprefix(self._base)  # a query can hold personal data
            call.add(method, bare_path, status, milliseconds, size=len(content or b""))

    @property
    def _session(self) -> Token:
        token = self._tokens.current
        if token is None:
            raise RuntimeError("not signed in yet: await connect() first")
        return token
