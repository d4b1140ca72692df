"""Reads the rows of one large query by a query job of Bulk API 2.0: a few calls for any number of rows.

simple-salesforce creates the job and asks for its state. The results come through our own transport, one page at a
time: a download in simple-salesforce's thread could neither be repeated nor canceled, and would keep a process from
ending. Nobody deletes the job: the org does so after seven days.
"""

from __future__ import annotations

import csv
import io
from bisect import bisect_left
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol, TypeVar
from urllib.parse import urlencode

from connector.clock import Clock
from connector.errors import RefusedError, RetryClass, Scope, TransportError
from connector.model.describe import FieldDescribe
from connector.model.storable_text import storable_csv
from connector.salesforce.control_plane import ControlPlane
from connector.salesforce.errors import UnreadableResponseError
from connector.salesforce.fault import NoResponse
from connector.salesforce.transport import HttpResponse

BULK_FROM_PAGES = 10
"""With more pages than these to read, the rest is read by a bulk query: it takes about six calls, and one for each
100,000 rows."""
ROWS_PER_CALL = 100_000
"""Rows that one call for results asks for. The documentation names no maximum; an org may send fewer (Bulk API 2.0
Developer Guide, "Get Results for a Query Job")."""
ROWS_AT_ONCE = 2000
"""Rows that are converted at a time, so that a page takes the memory of its text and little more."""
_WAITS = (0.1, 0.3, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Seconds before each of the first questions for the state of a job; later ones wait half as long as the job has taken
so far, because each is a call."""
_LONGEST_WAIT = 300.0
_FASTEST_ORG = 200_000
"""Rows that no org is expected to find in less than a second: a job of many is asked for later."""
_SLICE = 2.0
"""The longest wait before `on_wait` is awaited again, in seconds."""
LONGEST_JOB = 4 * 3600.0
"""Seconds after which we give a job up."""
_ATTEMPTS = 3
_LONGEST_CELL = 1_048_576
"""Characters; a long text area holds up to 131,072, and Python's own limit is just there."""
_NUMBERS = frozenset({"currency", "double", "percent"})
_INTEGERS = frozenset({"int", "long"})

OnWait = Callable[[], Awaitable[None]]
T = TypeVar("T")
R = TypeVar("R")


class BulkClient(Protocol):
    """The client of an org, as far as query jobs need it."""

    @property
    def control(self) -> ControlPlane: ...

    async def get(self, path: str, *, read: Callable[[HttpResponse], R]) -> R: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class ResultPage:
    """One page of results as CSV; `locator` is where the next one begins, None at the end."""

    content: bytes
    locator: str | None


class BulkQuery:
    """Query jobs of one org."""

    def __init__(self, client: BulkClient, *, clock: Clock, rows_per_call: int = ROWS_PER_CALL) -> None:
        self._client = client
        self._clock = clock
        self._rows_per_call = rows_per_call

    async def rows(
        self,
        soql: str,
        fields: Mapping[str, FieldDescribe],
        *,
        include_deleted: bool = False,
        on_wait: OnWait | None = None,
        expected: int = 0,
    ) -> AsyncIterator[list[dict[str, Any]]]:
        """The rows of a query, up to 2,000 at a time, with values as the REST API has them (see `cell_reader`).

        `expected` is about how many rows there are; for more of them the org is first asked later. `on_wait` is awaited
        every two seconds while the org works on the job. Raises RefusedError if the org refuses the query or fails on
        it, TransportError if it does not answer or is not done within four hours.
        """
        job = await self._create(soql, include_deleted=include_deleted)
        await self._wait(job, on_wait, expected)
        locator: str | None = ""
        while locator is not None:
            page = await self._client.get(self._results_path(job, locator), read=_read_page)
            for rows in read_csv(page.content, fields):
                yield rows
            locator = page.locator
            del page  # before the next one is there

    async def _create(self, soql: str, *, include_deleted: bool) -> str:
        operation = "queryAll" if include_deleted else "query"
        job = await self._control(lambda jobs: jobs.create_job(operation, query=soql))
        return str(job["id"])

    async def _wait(self, job: str, on_wait: OnWait | None, expected: int) -> None:
        waited, turn = 0.0, bisect_left(_WAITS, expected / _FASTEST_ORG, hi=len(_WAITS) - 1)
        while waited < LONGEST_JOB:
            pause = _WAITS[turn] if turn < len(_WAITS) else min(waited / 2, _LONGEST_WAIT)
            turn += 1
            while pause > 0:
                if on_wait is not None:
                    await on_wait()
                await self._clock.sleep(min(pause, _SLICE))
                waited += min(pause, _SLICE)
                pause -= _SLICE
            info = await self._control(lambda jobs: jobs.get_job(job, True))
            match str(info["state"]):
                case "JobComplete":
                    return
                case "Failed" | "Aborted" as state:
                    raise _failed(state, str(info.get("errorMessage") or ""))
        raise TransportError(
            "The org has not finished a bulk query within four hours.",
            hint="Try again when the org is less busy.",
            retry_class=RetryClass.TRANSIENT,
            code="BULK_QUERY_TIMEOUT",
            scope=Scope.ORG,
        )

    async def _control(self, use: Callable[[Any], T]) -> T:
        """The result of a call by simple-salesforce, repeated while that can help. A job that was created twice costs
        a call and nothing else."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return await self._client.control.run(lambda org: use(_jobs_of(org)))
            except (RefusedError, TransportError) as error:
                if error.retry_class is not RetryClass.TRANSIENT or attempt == _ATTEMPTS:
                    raise
            await self._clock.sleep(_WAITS[attempt])
        raise AssertionError("the last attempt returns or raises")

    def _results_path(self, job: str, locator: str) -> str:
        parameters = {"maxRecords": self._rows_per_call} | ({"locator": locator} if locator else {})
        return f"jobs/query/{job}/results?{urlencode(parameters)}"


def estimate_calls(rows: int, *, rows_per_call: int = ROWS_PER_CALL) -> int:
    """About how many API calls a query of so many rows takes: the job, its state a few times, and the results."""
    waits = 3 + min(rows // 100_000, 8)
    return 1 + waits + max(1, -(-rows // rows_per_call))


def read_csv(content: bytes, fields: Mapping[str, FieldDescribe]) -> Iterator[list[dict[str, Any]]]:
    """The rows of one page, up to 2,000 at a time. Raises UnreadableResponseError for a row of another length."""
    csv.field_size_limit(_LONGEST_CELL)
    text = io.BytesIO(storable_csv(content))
    lines = csv.reader(io.TextIOWrapper(text, encoding="utf-8-sig", errors="replace", newline=""))
    header = next(lines, [])
    readers = [cell_reader(name, fields.get(name)) for name in header]
    rows: list[dict[str, Any]] = []
    for cells in lines:
        if len(cells) != len(header):
            raise UnreadableResponseError(NoResponse.UNREADABLE)
        rows.append(
            {name: read(cell) if cell else None for name, read, cell in zip(header, readers, cells, strict=True)}
        )
        if len(rows) == ROWS_AT_ONCE:
            yield rows
            rows = []
    if rows:
        yield rows


def cell_reader(name: str, field: FieldDescribe | None) -> Callable[[str], Any]:
    """The function from the text of a cell to the value that the REST API would have answered: bool, int, Decimal or
    text. (An empty cell is null: the format has no empty text.)"""
    kind = field.type if field is not None else ""
    if kind == "boolean" or name == "IsDeleted":
        return _read_boolean
    if kind in _NUMBERS:
        return Decimal
    return int if kind in _INTEGERS else _read_text


def _read_boolean(text: str) -> bool:
    return text.lower() in {"true", "1"}


def _read_text(text: str) -> str:
    return text


def _jobs_of(org: Any) -> Any:
    """simple-salesforce's client of jobs. Its public `query` blocks until a job is done, and cannot be canceled."""
    return org.bulk2.Account._client


def _read_page(response: HttpResponse) -> ResultPage:
    locator = response.headers.get("Sforce-Locator") or "null"
    if "Sforce-NumberOfRecords" not in response.headers:
        raise UnreadableResponseError(NoResponse.UNREADABLE)
    return ResultPage(content=response.content, locator=None if locator == "null" else locator)


def _failed(state: str, message: str) -> RefusedError:
    error = RefusedError(
        f"A bulk query ended as {state} in the org.",
        code="BULK_QUERY_FAILED",
        status=200,
        hint="The org's message says why; try again, or read fewer records at a time.",
        retry_class=RetryClass.TRANSIENT if "TIMEOUT" in message.upper() else RetryClass.UNKNOWN,
        scope=Scope.ORG,
    )
    error.detail = message
    return error
