"""The org, as far as what is applied here needs it; and one that repeats its answers, for dry runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from connector.errors import RefusedError
from connector.model.outcome import Outcome
from connector.salesforce.composite import SubOutcome, SubRequest


class InboundOrg(Protocol):
    """Queries, and messages to reps."""

    async def query(self, soql: str, *, include_deleted: bool = False) -> list[dict[str, Any]]: ...

    async def composite(
        self, subrequests: Sequence[SubRequest], *, all_or_none: bool, collate: bool
    ) -> list[SubOutcome]: ...

    async def collections_update(self, rows: Sequence[tuple[str, str, Mapping[str, Any]]]) -> list[Outcome]: ...


class UnansweredError(Exception):
    """The org has not been asked this yet."""


class ReplayedOrg:
    """Answers what the org has answered before, and accepts every write without sending it.

    A request without an answer raises UnansweredError; `ask` then sends it. So a transaction that is rolled back makes
    no call while it is open: it ends, the org is asked, and it is run again.
    """

    def __init__(self, org: InboundOrg) -> None:
        self._org = org
        self._answers: dict[object, Any] = {}
        self._unanswered: tuple[object, Callable[[], Awaitable[Any]]] | None = None

    async def ask(self) -> None:
        """Send the request that had no answer. Raises TransportError if the org does not answer."""
        if self._unanswered is None:
            return
        name, call = self._unanswered
        self._unanswered = None
        try:
            self._answers[name] = await call()
        except RefusedError as error:
            self._answers[name] = error

    async def query(self, soql: str, *, include_deleted: bool = False) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self._answer(
            (soql, include_deleted), lambda: self._org.query(soql, include_deleted=include_deleted)
        )
        return rows

    async def composite(
        self, subrequests: Sequence[SubRequest], *, all_or_none: bool, collate: bool
    ) -> list[SubOutcome]:
        outcomes: list[SubOutcome] = self._answer(
            tuple((request.method, request.path) for request in subrequests),
            lambda: self._org.composite(subrequests, all_or_none=all_or_none, collate=collate),
        )
        return outcomes

    async def collections_update(self, rows: Sequence[tuple[str, str, Mapping[str, Any]]]) -> list[Outcome]:
        return [Outcome(success=True, id=record_id) for _, record_id, _ in rows]

    def _answer(self, name: object, call: Callable[[], Awaitable[Any]]) -> Any:
        if name not in self._answers:
            self._unanswered = name, call
            raise UnansweredError
        answer = self._answers[name]
        if isinstance(answer, RefusedError):
            raise answer
        return answer
