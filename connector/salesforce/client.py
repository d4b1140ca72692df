"""One org, as the rest of the connector calls it.

Every call signs in when needed, is tried again while that can help within seconds, and ends in an answer or in one of
three errors: AuthError (no session to be had), RefusedError (the org said no; nothing was done), TransportError (no
usable answer; the work may have been done). Rows and graphs the org refused are no errors but outcomes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.metadata import version as installed_version
from types import TracebackType
from typing import Any, TypeVar

import structlog

from connector.clock import Clock
from connector.errors import RefusedError, RetryClass, SalesforceError, Scope
from connector.model.describe import SObjectDescribe
from connector.model.outcome import Outcome
from connector.salesforce.auth import Token, TokenOwner
from connector.salesforce.collections import (
    Fields,
    Row,
    read_outcomes,
    records_body,
    update_body,
    update_order,
    upsert_path,
)
from connector.salesforce.composite import SubOutcome, SubRequest, composite_body, read_composite
from connector.salesforce.control_plane import ControlPlane
from connector.salesforce.describe import describe_path, read_describe
from connector.salesforce.errors import UnreadableResponseError, as_error, as_refused
from connector.salesforce.fault import NoResponse, classify_call
from connector.salesforce.graph import Graph, GraphOutcome, graph_body, read_graphs
from connector.salesforce.limits import QUERIES_PER_COMPOSITE, SUBREQUESTS_PER_COMPOSITE
from connector.salesforce.query import fits_url, query_path, read_page
from connector.salesforce.retry import Attempt, call_with_retry, retry_after
from connector.salesforce.transport import HttpResponse, Transport, dump
from connector.salesforce.usage import CallCounts, Meter, Usage
from connector.settings import DuplicateRules, SalesforceSettings

CLIENT_NAME = f"crm-connector/{installed_version('crm-connector')}"
"""How the org knows us: the `client` of change events and of its API usage log."""

DUPLICATE_HEADER = "Sforce-Duplicate-Rule-Header"

_POOL_THREADS = 4
_ABSENT = frozenset({"NOT_FOUND", "INVALID_TYPE"})
_FINAL_FOR_QUERIES = frozenset({"MALFORMED_QUERY", "INVALID_FIELD", "INVALID_TYPE", "INVALID_QUERY_FILTER_OPERATOR"})

T = TypeVar("T")

log = structlog.get_logger(__name__)


class SalesforceClient:
    """Use as an async context manager. SettingsError at once if the settings cannot work; no call before the first.

    `attempts` is how often one call is tried. One client serves any number of tasks.
    """

    def __init__(self, settings: SalesforceSettings, *, clock: Clock, attempts: int) -> None:
        self._version = settings.api_version
        self._base = f"/services/data/v{settings.api_version}/"
        self._clock = clock
        self._attempts = attempts
        self._meter = Meter()
        self._pool = ThreadPoolExecutor(_POOL_THREADS, thread_name_prefix="salesforce-control")
        self._tokens = TokenOwner(settings, clock=clock, pool=self._pool, client=CLIENT_NAME)
        timeout = settings.timeout_seconds
        # Of a composite or graph call each subrequest says it for itself: they inherit no such header.
        allow = settings.duplicate_rules is DuplicateRules.ALLOW
        said = {DUPLICATE_HEADER: f"allowSave={str(allow).lower()}"}
        self._row_headers = said if allow else {}
        self._transport = Transport(timeout=timeout, client=CLIENT_NAME, meter=self._meter, headers=said)
        self.control = ControlPlane(
            self._tokens,
            pool=self._pool,
            meter=self._meter,
            version=self._version,
            timeout=timeout,
            client=CLIENT_NAME,
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

    async def connect(self) -> str:
        """Sign in, if not done yet, and say whose org it is: the 18-character organization ID."""
        return (await self._tokens.token()).org_id

    async def reconnect(self) -> str:
        """Sign in anew through the login URL, whatever session there is, and say whose org it is."""
        if (token := self._tokens.current) is not None:
            await self._tokens.renew(token)
        return await self.connect()

    @property
    def org_id(self) -> str:
        """The organization ID; after the first call, or `connect()`."""
        return self._session.org_id

    @property
    def instance_url(self) -> str:
        """Where data calls go; after the first call, or `connect()`."""
        return self._session.instance_url

    @property
    def usage(self) -> Usage | None:
        """API requests of the last 24 hours as the org's newest answer told; None before the first."""
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
        return await self._write("PATCH", upsert_path(sobject, external_id), body, read=_outcomes(len(records)))

    async def collections_create(self, sobject: str, records: Sequence[Fields]) -> list[Outcome]:
        """Create up to 200 records of a type that has no key. After a TransportError they may exist: query first."""
        if not records:
            return []
        return await self._write(
            "POST",
            "composite/sobjects",
            records_body(sobject, records),
            read=_outcomes(len(records)),
            repeatable=False,
        )

    async def collections_update(self, rows: Sequence[Row]) -> list[Outcome]:
        """Update up to 200 rows (sObject, Salesforce ID, fields) of up to 10 types; outcomes in the same order."""
        if not rows:
            return []
        order = update_order(rows)
        body = update_body([rows[index] for index in order])
        outcomes = await self._write("PATCH", "composite/sobjects", body, read=_outcomes(len(rows)))
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
        self, subrequests: Sequence[SubRequest], *, all_or_none: bool, collate: bool
    ) -> list[SubOutcome]:
        """Up to 25 subrequests, at most 5 of them queries or collections; outcomes in the same order.

        `collate=False` runs them strictly in order. With creates or deletes among them the call is not repeated after
        an unknown outcome.
        """
        if not subrequests:
            return []
        headers = self._row_headers
        body = composite_body(
            subrequests, version=self._version, all_or_none=all_or_none, collate=collate, headers=headers
        )
        reads_only = all(request.method == "GET" for request in subrequests)

        def read(answer: HttpResponse) -> list[SubOutcome]:
            parsed = answer.records() if reads_only else answer.json()
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
                raise as_refused(outcome.outcome.errors, status=outcome.status)
            rows, following = read_page(outcome.body)
        yield rows
        while following is not None:
            rows, following = await self._page(following)
            yield rows

    async def describe(self, sobject: str) -> SObjectDescribe:
        """RefusedError (NOT_FOUND) for an object the org does not have or does not show us."""
        return await self._call(
            "GET", self._base + describe_path(sobject), read=lambda answer: read_describe(answer.json()), write=False
        )

    async def describe_many(
        self, sobjects: Sequence[str], queries: Sequence[str] = ()
    ) -> tuple[dict[str, SObjectDescribe], list[list[dict[str, Any]] | RefusedError]]:
        """Describes by object and the rows of each query, in one call while they fit (25, of which 5 queries).

        An object the org does not have, or does not show us, is missing from the answer; a refused query is its
        RefusedError.
        """
        describes: dict[str, SObjectDescribe] = {}
        results: list[list[dict[str, Any]] | RefusedError] = []
        names, texts = list(sobjects), list(queries)
        while names or texts:
            some_texts, texts = texts[:QUERIES_PER_COMPOSITE], texts[QUERIES_PER_COMPOSITE:]
            room = SUBREQUESTS_PER_COMPOSITE - len(some_texts)
            some_names, names = names[:room], names[room:]
            requests = [
                SubRequest(reference=f"d{place}", method="GET", path=describe_path(name))
                for place, name in enumerate(some_names)
            ] + [
                SubRequest(reference=f"q{place}", method="GET", path=query_path(text))
                for place, text in enumerate(some_texts)
            ]
            outcomes: Mapping[str, SubOutcome] = await self._outcomes_by_reference(requests)
            for place, name in enumerate(some_names):
                if (described := await self._described(name, outcomes.get(f"d{place}"))) is not None:
                    describes[name] = described
            for place, text in enumerate(some_texts):
                results.append(await self._queried(text, outcomes.get(f"q{place}")))
        return describes, results

    async def _outcomes_by_reference(self, requests: Sequence[SubRequest]) -> dict[str, SubOutcome]:
        """Empty if the org refuses the composite call itself: each is then asked for singly."""
        try:
            outcomes = await self.composite(requests, all_or_none=False, collate=False)
        except RefusedError as error:
            if error.retry_class.retryable or error.scope is Scope.ORG:
                raise
            log.info("composite_reads_refused", code=error.code, status=error.status)
            return {}
        return {outcome.reference: outcome for outcome in outcomes}

    async def _described(self, sobject: str, outcome: SubOutcome | None) -> SObjectDescribe | None:
        if outcome is not None and outcome.success:
            return read_describe(outcome.body)
        if outcome is not None and outcome.outcome.errors[0].code in _ABSENT:
            return None
        try:
            return await self.describe(sobject)
        except RefusedError as error:
            if error.code in _ABSENT:
                return None
            raise

    async def _queried(self, soql: str, outcome: SubOutcome | None) -> list[dict[str, Any]] | RefusedError:
        if outcome is not None and not outcome.success and outcome.outcome.errors[0].code in _FINAL_FOR_QUERIES:
            return as_refused(outcome.outcome.errors, status=outcome.status)
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
        """`path` from the root of the instance. The body is written out once, however often it is sent; an answer that
        `read` cannot make sense of counts as none."""
        content = None if body is None else dump(body)

        async def attempt() -> Attempt[T]:
            return await self._attempt(method, path, content, read=read, write=write)

        return await call_with_retry(attempt, clock=self._clock, attempts=self._attempts, repeatable=repeatable)

    async def _attempt(
        self, method: str, path: str, content: bytes | None, *, read: Callable[[HttpResponse], T], write: bool
    ) -> Attempt[T]:
        """One try. A session that is over, an address that nobody answers at and one that leads elsewhere are given up
        for a new sign-in through the login URL, which is no try of its own."""
        try:
            token = await self._tokens.token()
            try:
                answer = await self._send(method, path, token, content, write=write)
            except UnreadableResponseError as error:
                if error.silence is not NoResponse.NOT_CONNECTED or not await self._moved(token):
                    raise
                answer = await self._send(method, path, await self._tokens.token(), content, write=write)
            if answer.status == 401 or (answer.moved_to is not None and await self._moved(token)):
                token = await self._tokens.renew(token)
                answer = await self._send(method, path, token, content, write=write)
            if answer.ok:
                return Attempt(value=answer.understood(read))
        except UnreadableResponseError as error:
            return Attempt(error=error, soon=error.fault.soon, outcome_known=error.fault.outcome_known)
        except SalesforceError as error:
            return Attempt(error=error, soon=error.retry_class is RetryClass.TRANSIENT)
        errors = answer.errors()
        fault = classify_call(answer.status, errors)
        if answer.moved_to:
            fault = replace(fault, sentence=f"{fault.sentence.removesuffix('.')}: {answer.moved_to}.")
        refused = as_error(fault, status=answer.status, errors=errors)
        asked = refused.retry_after = retry_after(answer.headers.get("Retry-After"), self._clock)
        return Attempt(error=refused, soon=fault.soon, outcome_known=fault.outcome_known, retry_after=asked)

    async def _moved(self, token: Token) -> bool:
        """Whether a new sign-in names another address than the one of `token`."""
        return (await self._tokens.renew(token)).instance_url != token.instance_url

    async def _send(self, method: str, path: str, token: Token, content: bytes | None, *, write: bool) -> HttpResponse:
        started = self._clock.now()
        status: int | str = "none"
        try:
            answer = await self._transport.send(method, path, token=token, content=content, write=write)
            status = answer.status
            return answer
        finally:
            milliseconds = (self._clock.now() - started).total_seconds() * 1000
            # Without its parameters: a query can hold personal data.
            log.debug(
                "salesforce_call",
                method=method,
                path=path.partition("?")[0],
                status=status,
                milliseconds=round(milliseconds),
                bytes=len(content or b""),
            )

    @property
    def _session(self) -> Token:
        token = self._tokens.current
        if token is None:
            raise RuntimeError("not signed in yet: await connect() first")
        return token


def _outcomes(expected: int) -> Callable[[HttpResponse], list[Outcome]]:
    return lambda answer: read_outcomes(answer.json(), expected=expected)
