"""Around every call: what to do when all of it fails, and how its pieces become stored outcomes and counts.

A call the org refuses for its contents is halved until the culprits stand alone; where the reason may be the org's, one
path of halves is enough to tell. A call without an answer puts its entities off. `health` says when to stop: more calls
would only make it worse.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence, Set
from dataclasses import replace
from typing import Generic, NamedTuple, Protocol, TypeVar

from connector.errors import RefusedError, RetryClass, SalesforceError, Scope, TransportError
from connector.model.change import Refusal
from connector.outbound.health import EMPTY_CALLS, OrgHealth, is_known_product
from connector.outbound.outcomes import Outcomes
from connector.outbound.plan_types import PendingEntity, Rejection
from connector.outbound.repository import SyncRepository
from connector.outbound.results import Doubt, WriteResult, doubt_of, written_by
from connector.outbound.stats import SyncStats
from connector.salesforce.attempt_context import AttemptTracker, current_tracker
from connector.salesforce.errors import UnreadableResponseError
from connector.salesforce.fault import Fault, without_replay


class Item(Protocol):
    @property
    def candidate(self) -> PendingEntity: ...


T = TypeVar("T", bound=Item)


class Sent(NamedTuple):
    """What one call came to: pieces, or the `error` it was refused with for what is in it. `doubtful`: the org may have
    done it all the same."""

    pieces: list[WriteResult]
    error: RefusedError | None
    doubtful: bool

    @property
    def in_doubt(self) -> bool:
        return self.error is not None and self.error.scope is Scope.DOUBT


class _Answers(Generic[T]):
    """What the parts of a call came to: `pieces`, and items that were refused `alone`."""

    def __init__(self) -> None:
        self.pieces: list[WriteResult] = []
        self.alone: list[tuple[T, RefusedError, bool]] = []

    def add(self, items: Sequence[T], sent: Sent) -> None:
        self.pieces += sent.pieces
        if sent.error is not None:
            self.alone += [(item, sent.error, sent.doubtful) for item in items]

    def refusals(self) -> list[WriteResult]:
        return [_refused(item, error, doubtful) for item, error, doubtful in self.alone]

    def of_the_org(self, items: Sequence[T], fault: Fault) -> list[WriteResult]:
        """All of `items` put off: nothing was taken of them."""
        tried = {id(item): doubtful for item, _, doubtful in self.alone}
        pieces = []
        for item in items:
            doubt = Doubt(fault=fault, sobject="") if id(item) in tried else None
            piece = WriteResult(candidate=item.candidate, fault=fault, doubt=doubt)
            pieces.append(piece.doubted() if any(tried.values()) else piece)
        return pieces


class CallDispatcher:
    """The calls of one stream."""

    def __init__(
        self, ledger: SyncRepository, tally: SyncStats, advance: Callable[[int], None], health: OrgHealth
    ) -> None:
        self._ledger = ledger
        self._tally = tally
        self._advance = advance
        self._health = health
        self._surprised: set[tuple[str, str]] = set()
        self._fruitless = Counter[str]()  # calls in a row, by step

    async def send(
        self, items: Sequence[T], call: Callable[[Sequence[T]], Awaitable[list[WriteResult]]], *, step: str = ""
    ) -> list[WriteResult]:
        """The pieces of `call(items)`, whatever happens to it; nothing is sent any more once the push is stopped.

        A `step` whose calls came to nothing twice in a row, or once with products that were in doubt before, is over.
        """
        async with self._health.turn():
            if (held := self._health.held) is not None and self._fruitless[step] >= EMPTY_CALLS:
                fault = _held(self._health.stopped) if self._health.stopped is not None else _fault(held)
                return [replace(piece, tried=False) for piece in _put_off(items, fault)]
            before = self._health.fruitless
            sent = await self._once(items, call, doubtful=False)
            pieces = sent.pieces if sent.error is None else await self._split(items, call, sent)
            if step and self._health.fruitless > before:
                again = all(is_known_product(item.candidate) for item in items)
                self._fruitless[step] += EMPTY_CALLS if again else 1
            elif any(piece.success for piece in pieces):
                self._fruitless[step] = 0
            return pieces

    async def _once(
        self, items: Sequence[T], call: Callable[[Sequence[T]], Awaitable[list[WriteResult]]], *, doubtful: bool
    ) -> Sent:
        """`doubtful`: the items were part of a call before, and nobody knows whether the org did it."""
        with current_tracker(AttemptTracker(self._ledger.may_send, doubtful, self._health.attempts)) as sending:
            pieces, error = await self._answer(items, call)
        if sending.doubtful:
            pieces = [piece.doubted() for piece in pieces]
        return Sent(pieces, error, sending.doubtful)

    async def _answer(
        self, items: Sequence[T], call: Callable[[Sequence[T]], Awaitable[list[WriteResult]]]
    ) -> tuple[list[WriteResult], RefusedError | None]:
        if self._health.stopped is not None:
            return _put_off(items, _held(self._health.stopped)), None
        try:
            pieces = await call(items)
        except SalesforceError as error:
            if isinstance(error, RefusedError) and error.scope is not Scope.ORG and not error.retry_class.retryable:
                return [], error
            self._health.failed(error)
            return _put_off(items, _fault(error)), None
        return self._health.judge(pieces), None

    async def _split(
        self, items: Sequence[T], call: Callable[[Sequence[T]], Awaitable[list[WriteResult]]], sent: Sent
    ) -> list[WriteResult]:
        """The pieces of `items`, which were refused as a whole: those that are refused alone, too, are the culprits.

        In doubt, as long as the push had nothing accepted, the first part of each part is asked alone. If all of them
        are refused down to a single item, and one from the other end is as well, it is the org's.
        """
        since, error = self._health.calls, sent.error
        answers = _Answers[T]()
        part, others = items, list[Sequence[T]]()
        while sent.in_doubt and len(part) > 1 and not self._health.reached:
            part, other = _halves(part)
            others.append(other)
            sent = await self._once(part, call, doubtful=sent.doubtful)
        if sent.in_doubt and others and not self._health.reached:
            answers.add(part, sent)
            part, sent = others[0][-1:], await self._once(others[0][-1:], call, doubtful=sent.doubtful)
            others[0] = others[0][:-1]
            if sent.in_doubt and error is not None:
                answers.add(part, sent)
                self._health.failed(_of_all(error))
                return answers.of_the_org(items, _held(error))
        await self._halve(part, call, sent, answers)
        for other in others:
            await self._ask(other, call, answers, doubtful=sent.doubtful)
        return answers.pieces + (self._health.judge(answers.refusals(), since=since) if answers.alone else [])

    async def _ask(
        self,
        items: Sequence[T],
        call: Callable[[Sequence[T]], Awaitable[list[WriteResult]]],
        answers: _Answers[T],
        *,
        doubtful: bool,
    ) -> None:
        if items:
            await self._halve(items, call, await self._once(items, call, doubtful=doubtful), answers)

    async def _halve(
        self,
        items: Sequence[T],
        call: Callable[[Sequence[T]], Awaitable[list[WriteResult]]],
        sent: Sent,
        answers: _Answers[T],
    ) -> None:
        """Take the answer for `items`, or ask for each half of them."""
        if sent.error is None or len(items) == 1:
            answers.add(items, sent)
            return
        for half in _halves(items):
            await self._ask(half, call, answers, doubtful=sent.doubtful)

    def sort(self, pieces: Sequence[WriteResult], outcomes: Outcomes, *, done: Set[str]) -> None:
        """Add `pieces` to `outcomes`. Entities whose keys are in `done` are settled, unless one of their pieces failed.

        Entities of one call are of one kind, so that a key is enough.
        """
        failed: set[str] = set()
        succeeded: dict[str, PendingEntity] = {}
        for piece in pieces:
            key = piece.candidate.change.key
            if piece.success:
                self._store(piece, outcomes)
                succeeded[key] = piece.candidate
            elif key not in failed:
                failed.add(key)
                self._fail(piece, outcomes)
        for key, candidate in succeeded.items():
            if key in done and key not in failed:
                outcomes.done.append(candidate.change)
                self._tally.done[candidate.change.entity] += 1
                self._advance(1)

    async def settle(self, *, refused: Sequence[Rejection] = (), unchanged: Sequence[PendingEntity] = ()) -> None:
        """Record what needs no call."""
        if not refused and not unchanged:
            return
        for item in refused:
            self._tally.refused[item.candidate.change.entity] += 1
        for candidate in unchanged:
            self._tally.unchanged[candidate.change.entity] += 1
        self._advance(len(refused) + len(unchanged))
        done = [candidate.change for candidate in unchanged]
        await self._ledger.record(Outcomes(refused=list(refused), done=done))

    def _store(self, piece: WriteResult, outcomes: Outcomes) -> None:
        outcomes.put.extend(piece.links)
        outcomes.drop.extend(piece.dropped)
        self._tally.created.update(piece.created)
        self._tally.updated.update(piece.updated)

    def _fail(self, piece: WriteResult, outcomes: Outcomes) -> None:
        candidate = piece.candidate
        entity = candidate.change.entity
        if piece.refusal is not None:
            outcomes.put.extend(piece.links)
            outcomes.doubt.extend(piece.gone)
            outcomes.refused.append(Rejection(candidate=candidate, refusal=piece.refusal, certain=piece.certain))
            self._tally.refused[entity] += 1
            self._advance(1)
        elif piece.fault is not None:
            waiting = outcomes.held if piece.fault.scope is Scope.ORG else outcomes.later
            waiting.append((candidate, piece.fault))
            if piece.doubt is not None or piece.fault.scope is Scope.DOUBT or not piece.tried:
                outcomes.behind.append((candidate.change, piece.tried))
            self._tally.later[entity] += 1
        elif (entity, candidate.change.key) in self._surprised:
            # We have looked, and the org says the same again: this is not about a lost answer.
            if piece.otherwise is not None:
                outcomes.refused.append(Rejection(candidate=candidate, refusal=piece.otherwise))
                self._tally.refused[entity] += 1
                self._advance(1)
            else:
                outcomes.later.append((candidate, _UNSETTLED))
                self._tally.later[entity] += 1
        else:
            # It stays due and unsure: the next claim looks what the org has, and sends what differs from that.
            self._surprised.add((entity, candidate.change.key))
            outcomes.looked.append(candidate.change)
            outcomes.drop.extend(link for link in piece.gone if link[0] == "price")
            outcomes.doubt.extend(link for link in piece.gone if link[0] != "price")


def _put_off(items: Sequence[Item], fault: Fault) -> list[WriteResult]:
    return [WriteResult(candidate=item.candidate, fault=fault) for item in items]


def _fault(error: SalesforceError) -> Fault:
    known = (
        error.fault.outcome_known
        if isinstance(error, UnreadableResponseError)
        else not isinstance(error, TransportError)
    )
    return Fault(
        code=error.code or "NO_ANSWER",
        retry_class=error.retry_class,
        sentence=error.message,
        fix=without_replay(error.hint),
        outcome_known=known,
        scope=error.scope,
        detail=error.detail,
    )


def _refused(item: Item, error: RefusedError, doubtful: bool) -> WriteResult:
    candidate = item.candidate
    doubt = doubt_of(_fault(error), "", error.fields, written_by(item))
    piece = WriteResult(candidate=candidate, refusal=_refusal(error, candidate), doubt=doubt)
    return piece.doubted() if doubtful else piece


def _halves(items: Sequence[T]) -> tuple[Sequence[T], Sequence[T]]:
    middle = len(items) // 2
    return items[:middle], items[middle:]


def _held(error: SalesforceError) -> Fault:
    """For what was not sent, or certainly not done, because of `error`."""
    return replace(_fault(error), outcome_known=True, scope=Scope.ORG)


def _of_all(error: RefusedError) -> SalesforceError:
    """`error` as one of the org: each part of the call was refused with it."""
    hint = without_replay(error.hint)
    found = SalesforceError(error.message, hint=hint, retry_class=error.retry_class, code=error.code)
    found.detail = error.detail
    return found


def _refusal(error: RefusedError, candidate: PendingEntity) -> Refusal:
    change = candidate.change
    return Refusal(
        code=error.code,
        message=f"{error.message} {error.detail}".strip(),
        field=error.fields[0] if error.fields else None,
        source=None,
        fix=error.hint,
        record=f"{change.entity} {change.key}",
    )


_UNSETTLED = Fault(
    code="UNSETTLED",
    retry_class=RetryClass.TRANSIENT,
    sentence="The org's records change while we write to them.",
    fix="It is tried again by itself.",
    outcome_known=False,
)
