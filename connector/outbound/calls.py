"""Around every call: what to do when all of it fails, and how its pieces become stored outcomes and counts.

A call the org refuses for its contents is halved until the culprit stands alone; if both halves are refused for a
reason that may be the org's, it is the org's. A call without an answer puts its entities off. `health` says when to
stop: more calls would only make it worse.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence, Set
from dataclasses import replace
from typing import NamedTuple, Protocol, TypeVar

from connector.errors import RefusedError, RetryClass, SalesforceError, Scope, TransportError
from connector.model.change import Refusal
from connector.outbound.health import OrgHealth
from connector.outbound.ledger import Ledger
from connector.outbound.outcomes import Outcomes
from connector.outbound.pieces import Piece, doubt_of
from connector.outbound.tally import Tally
from connector.outbound.work import Candidate, Refused
from connector.salesforce.fault import Fault, without_replay
from connector.salesforce.refusal import NoAnswerError
from connector.salesforce.sending import Sending, watched


class Item(Protocol):
    @property
    def candidate(self) -> Candidate: ...


T = TypeVar("T", bound=Item)


class Sent(NamedTuple):
    """What one call came to: pieces, or the `error` it was refused with for what is in it. `doubtful`: the org may have
    done it all the same."""

    pieces: list[Piece]
    error: RefusedError | None
    doubtful: bool


class Calls:
    """The calls of one stream."""

    def __init__(self, ledger: Ledger, tally: Tally, advance: Callable[[int], None], health: OrgHealth) -> None:
        self._ledger = ledger
        self._tally = tally
        self._advance = advance
        self._health = health
        self._surprised: set[tuple[str, str]] = set()

    async def send(self, items: Sequence[T], call: Callable[[Sequence[T]], Awaitable[list[Piece]]]) -> list[Piece]:
        """The pieces of `call(items)`, whatever happens to it; nothing is sent any more once the push is stopped."""
        async with self._health.turn():
            sent = await self._once(items, call, doubtful=False)
            return sent.pieces if sent.error is None else await self._split(items, call, sent.error, sent.doubtful)

    async def _once(
        self, items: Sequence[T], call: Callable[[Sequence[T]], Awaitable[list[Piece]]], *, doubtful: bool
    ) -> Sent:
        """`doubtful`: the items were part of a call before, and nobody knows whether the org did it."""
        with watched(Sending(self._ledger.may_send, doubtful, self._health.attempts)) as sending:
            pieces, error = await self._answer(items, call)
        if sending.doubtful:
            pieces = [piece.doubted() for piece in pieces]
        return Sent(pieces, error, sending.doubtful)

    async def _answer(
        self, items: Sequence[T], call: Callable[[Sequence[T]], Awaitable[list[Piece]]]
    ) -> tuple[list[Piece], RefusedError | None]:
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
        self,
        items: Sequence[T],
        call: Callable[[Sequence[T]], Awaitable[list[Piece]]],
        error: RefusedError,
        doubtful: bool,
        *,
        company: bool = False,
    ) -> list[Piece]:
        """`items` were refused as a whole; with `company` another part of the same call was not."""
        if len(items) == 1:
            candidate = items[0].candidate
            piece = Piece(candidate=candidate, refusal=_refusal(error, candidate), doubt=doubt_of(_fault(error), ""))
            pieces = [piece] if company else self._health.judge([piece])
            return [piece.doubted() for piece in pieces] if doubtful else pieces
        middle = len(items) // 2
        halves = (items[:middle], items[middle:])
        sent = [await self._once(half, call, doubtful=doubtful) for half in halves]
        if all(half.error is not None and half.error.scope is Scope.DOUBT for half in sent):
            self._health.failed(_of_all(error))
            pieces = _put_off(items, _held(error))
            return [piece.doubted() for piece in pieces] if any(half.doubtful for half in sent) else pieces
        pieces = []
        for half, (answered, refused, unknown) in zip(halves, sent, strict=True):
            pieces += answered if refused is None else await self._split(half, call, refused, unknown, company=True)
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
            waiting = outcomes.held if piece.fault.scope is Scope.ORG else outcomes.later
            waiting.append((candidate, piece.fault))
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
            outcomes.looked.append(candidate.change)
            outcomes.drop.extend(link for link in piece.gone if link[0] == "price")
            outcomes.doubt.extend(link for link in piece.gone if link[0] != "price")


def _put_off(items: Sequence[Item], fault: Fault) -> list[Piece]:
    return [Piece(candidate=item.candidate, fault=fault) for item in items]


def _fault(error: SalesforceError) -> Fault:
    known = error.fault.outcome_known if isinstance(error, NoAnswerError) else not isinstance(error, TransportError)
    return Fault(
        code=error.code or "NO_ANSWER",
        retry_class=error.retry_class,
        sentence=error.message,
        fix=without_replay(error.hint),
        outcome_known=known,
        scope=error.scope,
    )


def _held(error: SalesforceError) -> Fault:
    """For what was not sent, or certainly not done, because of `error`."""
    return replace(_fault(error), outcome_known=True, scope=Scope.ORG)


def _of_all(error: RefusedError) -> SalesforceError:
    """`error` as one of the org: each part of the call was refused with it."""
    hint = without_replay(error.hint)
    return SalesforceError(error.message, hint=hint, retry_class=error.retry_class, code=error.code)


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
