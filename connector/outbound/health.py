"""Decides whether a refusal is caused by a record or by the org, from the calls of all streams.

A single refusal cannot tell, but the rows around it can:

    code of the org (`Scope.ORG`), for a call or a row          cause: the org. Stop; everything stays due.
    doubt (`Scope.DOUBT`), and a row of the same object (for
        a doubt about a field: with that field) was accepted    cause: the record. Dead letter.
    any other doubt                                             held: due behind all others; one more call is made
        the next call is empty too                              cause: the org. Stop if the push had no row accepted.
        refused again although such a row was accepted since    cause: the record. Dead letter.
    no answer, twice in a row                                   cause: the org. Stop.
    known data errors, even on every row                        cause: the records. Dead letters.

An empty call is one of which the org accepted nothing. A change that was held for a doubt is deprioritized. Until the
first call of a push is answered no second call is made, so an unavailable org costs one call, not one per stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from connector.errors import RetryClass, SalesforceError, Scope
from connector.model.change import EntityKind
from connector.outbound.plan_types import PendingEntity
from connector.outbound.results import Doubt, WriteResult
from connector.salesforce.fault import Fault

EMPTY_CALLS = 2
"""Empty calls in a row after which no further call is made."""

PROBE_CHANGES = 20
"""How many changes are claimed to find out whether an outage is over."""

_MAX_DEPRIORITIZED = 10_000


class OrgHealth:
    """What the calls reveal about the org. It lives as long as its process; `start` begins a push.

    `stopped`: why nothing more is sent. `held`: why rows are held although the org accepts others. `answered`: a call
    was answered. `reached`: a row was accepted. `calls` counts answered calls, `empty_calls` those that were empty
    because of doubts.
    """

    def __init__(self) -> None:
        self.calls = 0
        self.empty_calls = 0
        self._accepted: dict[str, int] = {}  # the latest call in which a row of the object was accepted
        self._accepted_fields: dict[tuple[str, str], int] = {}  # the same for a field of an object
        self._deprioritized: dict[tuple[EntityKind, str], int] = {}  # the call in which it was held first
        self.start()

    def start(self, *, cautious: bool = False) -> None:
        """Begin a push. `cautious`, after a push that was stopped: each call is attempted only once until one is
        answered."""
        self.stopped: SalesforceError | None = None
        self.held: SalesforceError | None = None
        self.reached = False
        self.answered = False
        self._calls_before_push = self.calls
        self._empty_calls_in_a_row = 0
        self._last_failure: SalesforceError | None = None
        self._cautious = cautious
        self._first_call = asyncio.Lock()

    @property
    def must_probe(self) -> bool:
        """Whether the org is called again during an outage, and has not answered yet: then few changes are enough."""
        return self._cautious and not self.answered

    def limit_claim(self, limit: int) -> int:
        """How many changes to claim, `limit` at most."""
        return min(limit, PROBE_CHANGES) if self.must_probe else limit

    @property
    def attempts(self) -> int | None:
        """The number of attempts for the next call; None for the usual number."""
        return 1 if self._empty_calls_in_a_row or self.must_probe else None

    @asynccontextmanager
    async def call_slot(self) -> AsyncIterator[None]:
        """Wait for the first call of the push to be answered, or make it."""
        if not self.answered:
            async with self._first_call:
                if not self.answered:
                    yield
                    return
        yield

    def call_failed(self, error: SalesforceError) -> None:
        """Count a call without results."""
        if error.scope is Scope.ORG:
            self.stopped = self.stopped or error
        elif error.retry_class is not RetryClass.ROW_LOCK:
            self._count_empty_call(error)

    def judge(self, results: Sequence[WriteResult], *, since: int | None = None) -> list[WriteResult]:
        """The results of an answered call, with refusals that are not the record's own turned into faults.

        For a call that was sent in parts, `since` is the value of `calls` before the first part.
        """
        self.calls += 1
        self.answered = True
        if not results:  # the call was a query
            self._empty_calls_in_a_row = 0
        org = next((result.fault for result in results if result.fault and result.fault.scope is Scope.ORG), None)
        if org is not None:
            self.stopped = self.stopped or as_error(org)
        accepted = self._accept(results)
        comparable_rows = 1 if accepted else len(results)
        accepted_after = self.calls - 1 if since is None else since
        judged = [
            self._hold_or_refuse(result, accepted_after) if _is_doubtful(result, comparable_rows) else result
            for result in results
        ]
        if org is None and not accepted:
            self._check_for_empty_call(judged)
        if self.stopped is None:
            return judged
        return [
            replace(result, fault=replace(result.fault, scope=Scope.ORG))
            if result.fault is not None and result.fault.scope is Scope.DOUBT
            else result
            for result in judged
        ]

    def begin_round(self) -> None:
        """Begin a round over everything that is due. What failed in an earlier round may fail again."""
        if self.reached:
            self._empty_calls_in_a_row = 0

    def close_round(self) -> SalesforceError | None:
        """The error that stops the push at the end of a round, or None.

        A round with nothing but doubts stops the push as well: there is no evidence that the org works.
        """
        if self.held is not None and not self.reached:
            self.stopped = self.stopped or self.held
        if not self.answered:
            self.stopped = self.stopped or self._last_failure
        return self.stopped

    def _accept(self, results: Sequence[WriteResult]) -> bool:
        """Note the accepted rows, and return whether there are any."""
        sobjects = {sobject for result in results for sobject in (*result.created, *result.updated)}
        if not sobjects:
            return False
        self.reached = True
        self._empty_calls_in_a_row = 0
        self._accepted.update(dict.fromkeys(sobjects, self.calls))
        for result in results:
            self._accepted_fields.update(dict.fromkeys(result.written_fields, self.calls))
            if result.success:
                self._deprioritized.pop(_key(result), None)
        return True

    def _accepted_since(self, doubt: Doubt, call: int) -> bool:
        """Whether the org has accepted, after `call`, what it refused in doubt."""
        if doubt.fields:
            return all(self._accepted_fields.get(field, 0) > call for field in doubt.fields)
        if not doubt.sobject:
            return max(self._accepted.values(), default=0) > call
        return self._accepted.get(doubt.sobject, 0) > call

    def _hold_or_refuse(self, result: WriteResult, accepted_after: int) -> WriteResult:
        assert result.doubt is not None
        doubt, key = result.doubt, _key(result)
        # A change that an earlier process deprioritized counts as held since before this push.
        since = self._deprioritized.setdefault(
            key, self._calls_before_push if result.pending.change.deprioritized else self.calls
        )
        if self._accepted_since(doubt, min(since, accepted_after)):
            del self._deprioritized[key]
            return replace(result, doubt=None)
        if len(self._deprioritized) > _MAX_DEPRIORITIZED:
            self._deprioritized.clear()
        self.held = as_error(doubt.fault)
        return replace(result, refusal=None, stale_links=(), fault=doubt.fault)

    def _check_for_empty_call(self, judged: Sequence[WriteResult]) -> None:
        """Count the call if it was empty. Objects or fields that the org has accepted in this push are not refused in
        general."""
        empty = [result for result in judged if result.fault and (result.doubt or not result.fault.outcome_known)]
        if not empty or not all(result.fault or result.success or result.already_exists for result in judged):
            return
        assert empty[0].fault is not None
        self.held = self.held or as_error(empty[0].fault)
        if all(result.doubt and self._accepted_since(result.doubt, self._calls_before_push) for result in empty):
            return
        self.empty_calls += 1
        self._count_empty_call(
            self.held, stop=not self.reached and not all(is_deprioritized_product(result.pending) for result in empty)
        )

    def _count_empty_call(self, error: SalesforceError, *, stop: bool = True) -> None:
        self._empty_calls_in_a_row += stop
        self._last_failure = error
        if self._empty_calls_in_a_row >= EMPTY_CALLS:
            self.stopped = self.stopped or error


def is_deprioritized_product(pending: PendingEntity) -> bool:
    """Whether this is a deprioritized product. Products go first, and must not keep everything else from being sent."""
    return pending.change.deprioritized and pending.change.entity is EntityKind.PRODUCT


def _is_doubtful(result: WriteResult, comparable_rows: int) -> bool:
    """Whether the cause must be judged. A single record that is not found is read back; if several are not found, the
    object may be hidden."""
    return result.doubt is not None and (result.refusal is not None or comparable_rows > 1)


def as_error(fault: Fault) -> SalesforceError:
    error = SalesforceError(
        f"{fault.sentence.removesuffix('.')} ({fault.code}).",
        hint=fault.fix,
        retry_class=fault.retry_class,
        code=fault.code,
        scope=fault.scope,
    )
    error.detail = fault.detail
    return error


def _key(result: WriteResult) -> tuple[EntityKind, str]:
    change = result.pending.change
    return change.entity, change.key
