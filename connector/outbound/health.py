"""Whether what the org refuses concerns a record or the org, judged over the calls of all streams.

Of one refusal nobody can tell, of its company one can:

    a code of the org (`Scope.ORG`), for a call or a row        the org's: stop, everything stays due
    a doubt (`Scope.DOUBT`), while a row of its object (of a
        doubt about a field: with that field) was accepted      the record's: a dead letter
    any other doubt                                             held: it stays due behind all others, one more call asks
        and the next call comes to nothing, too                 the org's: stop, if the push had no row accepted
        and then it is refused once more, although such a row
            was accepted since                                  the record's: a dead letter
    no answer, twice in a row                                   the org's: stop
    known errors of data, be it for every row                   the records': dead letters

Until the first call of a push is answered no second one is under way, so that a closed org costs one call and not one a
stream.
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
"""Calls in a row that came to nothing, after which there is no third."""

_MOST_DOUBTED = 10_000


class OrgHealth:
    """What the calls told of the org as a whole. One lasts as long as its process; `start` begins a push.

    `stopped`: why nothing is sent any more. `held`: why rows are held although the org takes others. `answered`:
    a call was; `reached`: a row was accepted. `calls` were answered; `fruitless` ones came to nothing in doubt.
    """

    def __init__(self) -> None:
        self.calls = 0
        self.fruitless = 0
        self._accepted: dict[str, int] = {}  # the latest call in which a row of the object was accepted
        self._written: dict[tuple[str, str], int] = {}  # the same for a field of an object
        self._doubted: dict[tuple[EntityKind, str], int] = {}  # the call in which it was doubted first
        self.start()

    def start(self, *, cautious: bool = False) -> None:
        """Begin a push; `cautious` after one that was stopped: each call is tried only once until one is answered."""
        self.stopped: SalesforceError | None = None
        self.held: SalesforceError | None = None
        self.reached = False
        self.answered = False
        self._began = self.calls
        self._empty = 0
        self._unanswered: SalesforceError | None = None
        self._cautious = cautious
        self._first = asyncio.Lock()

    @property
    def attempts(self) -> int | None:
        """How often the next call may be tried; None: as often as usual."""
        return 1 if self._empty or (self._cautious and not self.answered) else None

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Of one call."""
        if not self.answered:
            async with self._first:
                if not self.answered:
                    yield
                    return
        yield

    def failed(self, error: SalesforceError) -> None:
        """A call came to nothing."""
        if error.scope is Scope.ORG:
            self.stopped = self.stopped or error
        elif error.retry_class is not RetryClass.ROW_LOCK:
            self._came_to_nothing(error)

    def judge(self, pieces: Sequence[WriteResult], *, since: int | None = None) -> list[WriteResult]:
        """The pieces of an answered call, without refusals that are not the records'. Of a call in parts: `since` what
        number of calls they were sent."""
        self.calls += 1
        self.answered = True
        if not pieces:  # something was only looked at
            self._empty = 0
        org = next((piece.fault for piece in pieces if piece.fault and piece.fault.scope is Scope.ORG), None)
        if org is not None:
            self.stopped = self.stopped or as_error(org)
        accepted = self._accept(pieces)
        company = 1 if accepted else len(pieces)
        floor = self.calls - 1 if since is None else since
        judged = [self._held(piece, floor) if _doubtful(piece, company) else piece for piece in pieces]
        if org is None and not accepted:
            self._look_for_nothing(judged)
        if self.stopped is None:
            return judged
        return [
            replace(piece, fault=replace(piece.fault, scope=Scope.ORG))
            if piece.fault is not None and piece.fault.scope is Scope.DOUBT
            else piece
            for piece in judged
        ]

    def begin_round(self) -> None:
        """Over everything that is due: what came up in an earlier one may come up again."""
        if self.reached:
            self._empty = 0

    def close(self) -> SalesforceError | None:
        """At the end of a round: what stopped it. A round in which nothing but doubtful rows came up is stopped, too:
        nothing speaks for the org."""
        if self.held is not None and not self.reached:
            self.stopped = self.stopped or self.held
        if not self.answered:
            self.stopped = self.stopped or self._unanswered
        return self.stopped

    def _accept(self, pieces: Sequence[WriteResult]) -> bool:
        """Whether a row was accepted."""
        sobjects = {sobject for piece in pieces for sobject in (*piece.created, *piece.updated)}
        if not sobjects:
            return False
        self.reached = True
        self._empty = 0
        self._accepted.update(dict.fromkeys(sobjects, self.calls))
        for piece in pieces:
            self._written.update(dict.fromkeys(piece.written, self.calls))
            if piece.success:
                self._doubted.pop(_key(piece), None)
        return True

    def _taken_since(self, doubt: Doubt, call: int) -> bool:
        """Whether the org has accepted since then what it refused in doubt."""
        if doubt.fields:
            return all(self._written.get(field, 0) > call for field in doubt.fields)
        if not doubt.sobject:
            return max(self._accepted.values(), default=0) > call
        return self._accepted.get(doubt.sobject, 0) > call

    def _held(self, piece: WriteResult, floor: int) -> WriteResult:
        assert piece.doubt is not None
        doubt, key = piece.doubt, _key(piece)
        # What was doubted by an earlier process was so before this push.
        since = self._doubted.setdefault(key, self._began if piece.candidate.change.doubted else self.calls)
        if self._taken_since(doubt, min(since, floor)):
            del self._doubted[key]
            return replace(piece, doubt=None)
        if len(self._doubted) > _MOST_DOUBTED:
            self._doubted.clear()
        self.held = as_error(doubt.fault)
        return replace(piece, refusal=None, gone=(), fault=doubt.fault)

    def _look_for_nothing(self, judged: Sequence[WriteResult]) -> None:
        """Whether a call came to nothing. What the org has accepted in this push, it does not refuse to all."""
        empty = [piece for piece in judged if piece.fault and (piece.doubt or not piece.fault.outcome_known)]
        if not empty or not all(piece.fault or piece.success or piece.exists for piece in judged):
            return
        assert empty[0].fault is not None
        self.held = self.held or as_error(empty[0].fault)
        if all(piece.doubt and self._taken_since(piece.doubt, self._began) for piece in empty):
            return
        self.fruitless += 1
        self._came_to_nothing(
            self.held, stop=not self.reached and not all(is_known_product(piece.candidate) for piece in empty)
        )

    def _came_to_nothing(self, error: SalesforceError, *, stop: bool = True) -> None:
        self._empty += stop
        self._unanswered = error
        if self._empty >= EMPTY_CALLS:
            self.stopped = self.stopped or error


def is_known_product(candidate: PendingEntity) -> bool:
    """Whether it is a product that was in doubt before: it goes ahead of everything else, and must not keep that from
    being tried."""
    return candidate.change.doubted and candidate.change.entity is EntityKind.PRODUCT


def _doubtful(piece: WriteResult, company: int) -> bool:
    """A single record that is not found is looked for; of several, one asks what happened to the object."""
    return piece.doubt is not None and (piece.refusal is not None or company > 1)


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


def _key(piece: WriteResult) -> tuple[EntityKind, str]:
    change = piece.candidate.change
    return change.entity, change.key
