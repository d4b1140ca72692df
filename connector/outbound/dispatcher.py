"""Sends each call of a stream: handles calls that fail as a whole, and collects results into outcomes and counts.

A call that the org refuses for its contents is halved until the refused items stand alone. If the cause may be the org
itself, one path of halves is enough to decide. The entities of a call without an answer are postponed. `health` decides
when to stop the push.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence, Set
from dataclasses import replace
from typing import Generic, NamedTuple, Protocol, TypeVar

from connector.errors import ApiBudgetError, RefusedError, RetryClass, SalesforceError, Scope, TransportError
from connector.model.change import EntityKind, Refusal
from connector.model.lane import Lane
from connector.model.observed_value import ObservedValues
from connector.outbound.health import EMPTY_CALLS, is_deprioritized_product
from connector.outbound.outcomes import Outcomes
from connector.outbound.plan_types import PendingEntity, Rejection
from connector.outbound.push_parts import PushMonitor
from connector.outbound.repository import SyncRepository
from connector.outbound.results import Doubt, WriteResult, build_doubt, fields_written_by
from connector.outbound.send_notes import Name, SendNote, note_sends
from connector.salesforce.attempt_context import AttemptTracker, track_with
from connector.salesforce.call_gate import calls_in, get_call_scope
from connector.salesforce.errors import UnreadableResponseError
from connector.salesforce.fault import Fault, without_replay


class Item(Protocol):
    @property
    def pending(self) -> PendingEntity: ...


T = TypeVar("T", bound=Item)


class CallOutcome(NamedTuple):
    """The results of one call, or the `error` with which the org refused its contents. `unconfirmed`: the org may have
    executed the call nevertheless."""

    results: list[WriteResult]
    error: RefusedError | None
    unconfirmed: bool

    @property
    def cause_unclear(self) -> bool:
        return self.error is not None and self.error.scope is Scope.DOUBT


class _SplitResults(Generic[T]):
    """The results of the parts of a call, and the items that were refused even alone."""

    def __init__(self) -> None:
        self.results: list[WriteResult] = []
        self.refused_items: list[tuple[T, RefusedError, bool]] = []

    def add(self, items: Sequence[T], outcome: CallOutcome) -> None:
        self.results += outcome.results
        if outcome.error is not None:
            self.refused_items += [(item, outcome.error, outcome.unconfirmed) for item in items]

    def refusal_results(self) -> list[WriteResult]:
        return [_refused_result(item, error, doubtful) for item, error, doubtful in self.refused_items]

    def as_org_fault(self, items: Sequence[T], fault: Fault) -> list[WriteResult]:
        """Results that postpone all `items` because of the org: it accepted none of them."""
        unconfirmed_by_id = {id(item): doubtful for item, _, doubtful in self.refused_items}
        results = []
        for item in items:
            doubt = Doubt(fault=fault, sobject="") if id(item) in unconfirmed_by_id else None
            result = WriteResult(pending=item.pending, fault=fault, doubt=doubt)
            results.append(result.as_unconfirmed() if any(unconfirmed_by_id.values()) else result)
        return results


class CallDispatcher:
    """Makes the calls of one stream."""

    def __init__(self, repository: SyncRepository, monitor: PushMonitor) -> None:
        self._repository = repository
        self._stats = monitor.stats
        self._advance = monitor.advance
        self._health = monitor.health
        self._contradicted = monitor.contradicted
        self._empty_calls = Counter[str]()  # calls in a row, by step
        self._sends: dict[Name, SendNote] = {}  # not recorded yet

    async def send(
        self, items: Sequence[T], call: Callable[[Sequence[T]], Awaitable[list[WriteResult]]], *, step: str = ""
    ) -> list[WriteResult]:
        """Run `call(items)` and return its results, whatever happens to the call. Nothing is sent once the push is
        stopped.

        A `step` sends nothing more after two empty calls in a row (calls of which the org accepted nothing), or after
        one empty call with deprioritized products.
        """
        self._sends.clear()
        with calls_in(_lane_of(items)):
            async with self._health.call_slot():
                return await self._send_in_slot(items, call, step)

    async def _send_in_slot(
        self, items: Sequence[T], call: Callable[[Sequence[T]], Awaitable[list[WriteResult]]], step: str
    ) -> list[WriteResult]:
        if (org_error := self._health.held) is not None and self._empty_calls[step] >= EMPTY_CALLS:
            fault = _org_fault(self._health.stopped) if self._health.stopped is not None else _fault_of_error(org_error)
            return [replace(result, was_sent=False) for result in _postpone_all(items, fault)]
        before = self._health.empty_calls
        outcome = await self._send_once(items, call, unconfirmed=False)
        results = outcome.results if outcome.error is None else await self._split(items, call, outcome)
        if step and self._health.empty_calls > before:
            only_deprioritized = all(is_deprioritized_product(item.pending) for item in items)
            self._empty_calls[step] += EMPTY_CALLS if only_deprioritized else 1
        elif any(result.success for result in results):
            self._empty_calls[step] = 0
        return results

    async def _send_once(
        self, items: Sequence[T], call: Callable[[Sequence[T]], Awaitable[list[WriteResult]]], *, unconfirmed: bool
    ) -> CallOutcome:
        """Make one call. `unconfirmed`: an earlier call with these items may have been executed by the org."""
        with track_with(AttemptTracker(self._repository.may_send, unconfirmed, self._health.attempts)) as tracker:
            results, error = await self._call(items, call)
        if tracker.call.requests:
            self._sends |= note_sends(items, tracker.call, results)
        if tracker.unconfirmed:
            results = [result.as_unconfirmed() for result in results]
        return CallOutcome(results, error, tracker.unconfirmed)

    async def _call(
        self, items: Sequence[T], call: Callable[[Sequence[T]], Awaitable[list[WriteResult]]]
    ) -> tuple[list[WriteResult], RefusedError | None]:
        if self._health.stopped is not None:
            return _postpone_all(items, _org_fault(self._health.stopped)), None
        try:
            results = await call(items)
        except ApiBudgetError as error:  # this lane pauses; more urgent ones go on
            return _postpone_all(items, _fault_of_error(error)), None
        except SalesforceError as error:
            if isinstance(error, RefusedError) and error.scope is not Scope.ORG and not error.retry_class.retryable:
                return [], error
            self._health.call_failed(error)
            return _postpone_all(items, _fault_of_error(error)), None
        return self._health.judge(results), None

    async def _split(
        self, items: Sequence[T], call: Callable[[Sequence[T]], Awaitable[list[WriteResult]]], outcome: CallOutcome
    ) -> list[WriteResult]:
        """Find the refused items of a call that was refused as a whole, and send all others.

        If the cause is unclear and this push had nothing accepted yet, only the first half of each half is sent. If all
        of them are refused down to a single item, and one item from the other end is refused as well, the cause is the
        org.
        """
        first_call, error = self._health.calls, outcome.error
        split = _SplitResults[T]()
        part, others = items, list[Sequence[T]]()
        while outcome.cause_unclear and len(part) > 1 and not self._health.reached:
            part, other = _halves(part)
            others.append(other)
            outcome = await self._send_once(part, call, unconfirmed=outcome.unconfirmed)
        if outcome.cause_unclear and others and not self._health.reached:
            split.add(part, outcome)
            part, outcome = others[0][-1:], await self._send_once(others[0][-1:], call, unconfirmed=outcome.unconfirmed)
            others[0] = others[0][:-1]
            if outcome.cause_unclear and error is not None:
                split.add(part, outcome)
                self._health.call_failed(_org_error(error))
                return split.as_org_fault(items, _org_fault(error))
        await self._halve_if_refused(part, call, outcome, split)
        for other in others:
            await self._send_part(other, call, split, unconfirmed=outcome.unconfirmed)
        return split.results + (
            self._health.judge(split.refusal_results(), since=first_call) if split.refused_items else []
        )

    async def _send_part(
        self,
        items: Sequence[T],
        call: Callable[[Sequence[T]], Awaitable[list[WriteResult]]],
        split: _SplitResults[T],
        *,
        unconfirmed: bool,
    ) -> None:
        if items:
            await self._halve_if_refused(
                items, call, await self._send_once(items, call, unconfirmed=unconfirmed), split
            )

    async def _halve_if_refused(
        self,
        items: Sequence[T],
        call: Callable[[Sequence[T]], Awaitable[list[WriteResult]]],
        outcome: CallOutcome,
        split: _SplitResults[T],
    ) -> None:
        """Take over the outcome for `items`, or send each half of them."""
        if outcome.error is None or len(items) == 1:
            split.add(items, outcome)
            return
        for half in _halves(items):
            await self._send_part(half, call, split, unconfirmed=outcome.unconfirmed)

    def collect(self, results: Sequence[WriteResult], outcomes: Outcomes, *, done: Set[str]) -> None:
        """Add `results` to `outcomes`. Entities with keys in `done` are settled, unless one of their results is a
        failure.

        The entities of one call are of one kind, so the key identifies them.
        """
        self._collect_sends(results, outcomes)
        failed: set[str] = set()
        succeeded: dict[str, PendingEntity] = {}
        for result in results:
            key = result.pending.change.key
            if result.success:
                self._collect_success(result, outcomes)
                succeeded[key] = result.pending
                if key not in done:
                    outcomes.continued.append(result.pending.change)
            elif key not in failed:
                failed.add(key)
                self._collect_failure(result, outcomes)
        for key, pending in succeeded.items():
            if key in done and key not in failed:
                outcomes.done.append(pending.change)
                self._stats.done[pending.change.entity] += 1
                self._contradicted.discard((pending.change.entity, key))
                self._advance(1)

    def _collect_sends(self, results: Sequence[WriteResult], outcomes: Outcomes) -> None:
        """Add what was sent of these entities, and of accounts that traveled with them."""
        if not self._sends:
            return
        for result in results:
            change = result.pending.change
            accounts = [(EntityKind.CUSTOMER, link.key) for link in result.links if link.entity == EntityKind.CUSTOMER]
            for name in [(change.entity, change.key), *accounts]:
                if (note := self._sends.pop(name, None)) is not None:
                    outcomes.sends[name] = note

    async def record_unsent(
        self, *, refused: Sequence[Rejection] = (), unchanged: Sequence[PendingEntity] = ()
    ) -> None:
        """Record the outcomes of entities that need no call. Lines that somebody deleted in the org are handed to
        inbound sync, which knows the policy for them."""
        if not refused and not unchanged:
            return
        for item in refused:
            self._stats.refused[item.pending.change.entity] += 1
        for pending in unchanged:
            self._stats.unchanged[pending.change.entity] += 1
        self._advance(len(refused) + len(unchanged))
        done = [pending.change for pending in unchanged]
        deleted: dict[tuple[str, str], ObservedValues] = {
            (link.sobject, link.salesforce_id): {} for item in refused for link in item.deleted_lines
        }
        self._stats.changed_in_org += len(deleted)
        await self._repository.record(Outcomes(refused=list(refused), done=done, changed_in_org=deleted))

    def _collect_success(self, result: WriteResult, outcomes: Outcomes) -> None:
        outcomes.links.extend(result.links)
        outcomes.dropped_links.extend(result.dropped_links)
        self._stats.created.update(result.created)
        self._stats.updated.update(result.updated)

    def _collect_failure(self, result: WriteResult, outcomes: Outcomes) -> None:
        pending = result.pending
        entity = pending.change.entity
        if result.refusal is not None:
            outcomes.links.extend(result.links)
            outcomes.unconfirmed.extend(result.stale_links)
            outcomes.refused.append(Rejection(pending=pending, refusal=result.refusal, certain=result.certain))
            self._stats.refused[entity] += 1
            self._advance(1)
        elif result.fault is not None:
            waiting = outcomes.blocked_by_org if result.fault.scope is Scope.ORG else outcomes.postponed
            waiting.append((pending, result.fault))
            if result.doubt is not None or result.fault.scope is Scope.DOUBT or not result.was_sent:
                outcomes.deprioritized.append((pending.change, result.was_sent))
            self._stats.postponed[entity] += 1
        elif (entity, pending.change.key) in self._contradicted:
            # We read the org back, and it answers the same again, so the cause is not a lost answer.
            if result.fallback_refusal is not None:
                outcomes.refused.append(Rejection(pending=pending, refusal=result.fallback_refusal))
                self._stats.refused[entity] += 1
                self._advance(1)
            else:
                outcomes.postponed.append((pending, _RECORDS_KEEP_CHANGING))
                self._stats.postponed[entity] += 1
        else:
            # It stays due and unconfirmed: the next claim reads the org back and sends what differs from that.
            self._contradicted.add((entity, pending.change.key))
            outcomes.to_read_back.append(pending.change)
            if pending.link is None and result.certain:
                outcomes.not_created.append(pending.change)
            outcomes.dropped_links.extend(link for link in result.stale_links if link[0] == "price")
            outcomes.unconfirmed.extend(link for link in result.stale_links if link[0] != "price")


def _lane_of(items: Sequence[Item]) -> Lane:
    """The lane of a call: that of its most urgent item, or of the claim if none was claimed for its own sake."""
    lanes = [lane for item in items if (lane := item.pending.change.lane) is not None]
    return min(lanes) if lanes else get_call_scope().lane


def _postpone_all(items: Sequence[Item], fault: Fault) -> list[WriteResult]:
    return [WriteResult(pending=item.pending, fault=fault) for item in items]


def _fault_of_error(error: SalesforceError) -> Fault:
    outcome_known = (
        error.fault.outcome_known
        if isinstance(error, UnreadableResponseError)
        else not isinstance(error, TransportError)
    )
    return Fault(
        code=error.code or "NO_ANSWER",
        retry_class=error.retry_class,
        sentence=error.message,
        fix=without_replay(error.hint),
        outcome_known=outcome_known,
        scope=error.scope,
        detail=error.detail,
    )


def _refused_result(item: Item, error: RefusedError, unconfirmed: bool) -> WriteResult:
    pending = item.pending
    doubt = build_doubt(_fault_of_error(error), "", error.fields, fields_written_by(item))
    result = WriteResult(pending=pending, refusal=_build_refusal(error, pending), doubt=doubt)
    return result.as_unconfirmed() if unconfirmed else result


def _halves(items: Sequence[T]) -> tuple[Sequence[T], Sequence[T]]:
    middle = len(items) // 2
    return items[:middle], items[middle:]


def _org_fault(error: SalesforceError) -> Fault:
    """The fault of items that were not sent, or certainly not executed, because of `error`."""
    return replace(_fault_of_error(error), outcome_known=True, scope=Scope.ORG)


def _org_error(error: RefusedError) -> SalesforceError:
    """`error` as an error of the org: every part of the call was refused with it."""
    hint = without_replay(error.hint)
    org_error = SalesforceError(error.message, hint=hint, retry_class=error.retry_class, code=error.code)
    org_error.detail = error.detail
    return org_error


def _build_refusal(error: RefusedError, pending: PendingEntity) -> Refusal:
    change = pending.change
    return Refusal(
        code=error.code,
        message=f"{error.message} {error.detail}".strip(),
        field=error.fields[0] if error.fields else None,
        source=None,
        fix=error.hint,
        record=f"{change.entity} {change.key}",
    )


_RECORDS_KEEP_CHANGING = Fault(
    code="UNSETTLED",
    retry_class=RetryClass.TRANSIENT,
    sentence="The org's records change while we write to them.",
    fix="Nothing to do: it is tried again automatically.",
    outcome_known=False,
)
