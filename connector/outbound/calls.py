"""Around every call: what to do when all of it fails, and how its pieces become stored outcomes and counts.

A call the org refuses for its contents is halved until the culprit stands alone. A call without an answer puts its
entities off. Limits and a silent org end the stream: more calls would only make it worse.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence, Set
from typing import Protocol, TypeVar

from connector.errors import RefusedError, RetryClass, SalesforceError, TransportError
from connector.model.change import Refusal
from connector.outbound.ledger import LAST_ATTEMPT, Ledger, given_up
from connector.outbound.outcomes import Outcomes
from connector.outbound.pieces import Piece
from connector.outbound.tally import Tally
from connector.outbound.work import Candidate, Refused
from connector.salesforce.fault import Fault
from connector.salesforce.sending import Sending, watched

SILENT_CALLS = 2
"""Calls in a row without an answer after which a stream gives up; each was already tried several times."""


_OF_ALL_CALLS = frozenset({404, 405, 410, 415, 501})
"""Statuses that tell of the address, not of the contents: every other call would be refused as well."""


class Item(Protocol):
    @property
    def candidate(self) -> Candidate: ...


T = TypeVar("T", bound=Item)


class Calls:
    """The calls of one stream. `stopped` holds the error that ended it early."""

    def __init__(self, ledger: Ledger, tally: Tally, advance: Callable[[int], None]) -> None:
        self._ledger = ledger
        self._tally = tally
        self._advance = advance
        self._silent = 0
        self._surprised: set[tuple[str, str]] = set()
        self.stopped: SalesforceError | None = None

    async def send(
        self, items: Sequence[T], call: Callable[[Sequence[T]], Awaitable[list[Piece]]], *, doubtful: bool = False
    ) -> list[Piece]:
        """The pieces of `call(items)`, whatever happens to it; nothing is sent any more once the stream is stopped.

        `doubtful`: the items were part of a call before, and nobody knows whether the org did it.
        """
        if self.stopped is not None:
            pieces = [Piece(candidate=item.candidate, fault=_fault(self.stopped)) for item in items]
            return [piece.doubted() if doubtful else piece for piece in pieces]
        with watched(Sending(self._ledger.may_send, doubtful)) as sending:
            pieces = await self._sent(items, call, sending)
        return [piece.doubted() if sending.doubtful else piece for piece in pieces]

    async def _sent(
        self, items: Sequence[T], call: Callable[[Sequence[T]], Awaitable[list[Piece]]], sending: Sending
    ) -> list[Piece]:
        try:
            pieces = await call(items)
        except TransportError as error:
            self._silent += 1
            if self._silent >= SILENT_CALLS:
                self.stopped = error
            return [Piece(candidate=item.candidate, fault=_fault(error)) for item in items]
        except RefusedError as error:
            settings = error.retry_class is RetryClass.CONFIG and error.status in _OF_ALL_CALLS
            if error.retry_class.retryable or settings:
                if error.retry_class is RetryClass.LIMIT or settings:
                    self.stopped = error
                return [Piece(candidate=item.candidate, fault=_fault(error)) for item in items]
            if len(items) == 1:
                return [Piece(candidate=items[0].candidate, refusal=_refusal(error, items[0].candidate))]
            middle = len(items) // 2
            halves = (items[:middle], items[middle:])
            return [piece for half in halves for piece in await self.send(half, call, doubtful=sending.doubtful)]
        self._silent = 0
        return pieces

    def sort(self, pieces: Sequence[Piece], outcomes: Outcomes, *, done: Set[str]) -> None:
        """Add `pieces` to `outcomes`. Entities whose keys are in `done` are settled, unless one of their pieces failed.

        Entities of one call are of one kind, so that a key is enough.
        """
        failed: set[str] = set()
        succeeded: dict[str, Candidate] = {}
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

    async def settle(self, *, refused: Sequence[Refused] = (), unchanged: Sequence[Candidate] = ()) -> None:
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

    async def give_up(self, candidates: Sequence[Candidate]) -> None:
        """Dead letters for what was tried too often."""
        refused = [Refused(candidate=item, refusal=given_up(item.change, _TIRED)) for item in candidates]
        await self.settle(refused=refused)

    def _store(self, piece: Piece, outcomes: Outcomes) -> None:
        outcomes.put.extend(piece.links)
        outcomes.drop.extend(piece.dropped)
        self._tally.created.update(piece.created)
        self._tally.updated.update(piece.updated)

    def _fail(self, piece: Piece, outcomes: Outcomes) -> None:
        candidate = piece.candidate
        entity = candidate.change.entity
        if piece.refusal is not None:
            outcomes.put.extend(piece.links)
            outcomes.doubt.extend(piece.gone)
            outcomes.refused.append(Refused(candidate=candidate, refusal=piece.refusal, certain=piece.certain))
            self._tally.refused[entity] += 1
            self._advance(1)
        elif piece.fault is not None:
            outcomes.later.append((candidate, piece.fault))
            self._tally.later[entity] += 1
        elif (entity, candidate.change.key) in self._surprised:
            # We have looked, and the org says the same again: this is not about a lost answer.
            if piece.otherwise is not None:
                outcomes.refused.append(Refused(candidate=candidate, refusal=piece.otherwise))
                self._tally.refused[entity] += 1
                self._advance(1)
            else:
                outcomes.later.append((candidate, _UNSETTLED))
                self._tally.later[entity] += 1
        else:
            # It stays due and unsure: the next claim looks what the org has, and sends what differs from that.
            self._surprised.add((entity, candidate.change.key))
            outcomes.drop.extend(link for link in piece.gone if link[0] == "price")
            outcomes.doubt.extend(link for link in piece.gone if link[0] != "price")


def _fault(error: SalesforceError) -> Fault:
    code = error.code if isinstance(error, RefusedError) else "NO_ANSWER"
    known = not isinstance(error, TransportError)
    return Fault(code=code, retry_class=error.retry_class, sentence=error.message, fix=error.hint, outcome_known=known)


def _refusal(error: RefusedError, candidate: Candidate) -> Refusal:
    change = candidate.change
    return Refusal(
        code=error.code,
        message=error.message,
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

_TIRED = Fault(
    code="TOO_MANY_ATTEMPTS",
    retry_class=RetryClass.UNKNOWN,
    sentence=f"It was tried {LAST_ATTEMPT} times and never got through.",
    fix="Look at its journal (`connector show`) for what the org said.",
)
