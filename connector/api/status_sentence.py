"""The state of both sides as one sentence that is true: what waits, for whom, and what was last compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from connector.wording import plural


@dataclass(frozen=True, kw_only=True, slots=True)
class SyncState:
    """What the sentence is made of. `waiting` changes are to be sent, the oldest for `oldest_seconds`; `unread` records
    of the org are to be applied. `stopped` topics are read by nobody. `verified` of `total` records were the same on
    both sides at `verified_at`. `paused_jobs` are run by nobody until a person resumes them; `paused_changes` of those
    that wait do so to save the API budget. `other_outages` are those of orgs besides the default one, by name: code and
    since when."""

    has_org: bool
    outage_code: str | None = None
    outage_since: datetime | None = None
    waiting: int = 0
    oldest_seconds: int = 0
    unread: int = 0
    dead_letters: int = 0
    conflicts: int = 0
    parked: int = 0
    stopped: Sequence[str] = ()
    verified: int = 0
    total: int = 0
    verified_at: datetime | None = None
    paused_jobs: Sequence[str] = ()
    paused_changes: int = 0
    other_outages: Mapping[str, tuple[str, datetime]] = field(default_factory=dict)


def describe_sync(state: SyncState, moment: Callable[[datetime], str] | None = None) -> str:
    """One sentence; what is worst comes first. `moment` writes times; without it, they are in UTC."""
    written = moment or utc_moment
    parts = []
    if state.outage_code is not None and state.outage_since is not None:
        parts.append(f"the org has accepted nothing since {written(state.outage_since)} ({state.outage_code})")
    for name, (code, since) in state.other_outages.items():
        parts.append(f"the org {name} has accepted nothing since {written(since)} ({code})")
    if not state.has_org:
        parts.append("no org has answered yet")
    if state.paused_jobs:
        one_job = len(state.paused_jobs) == 1
        what = f"the job{'' if one_job else 's'} {_listed(state.paused_jobs)} {'is' if one_job else 'are'} paused"
        parts.append(f"{what} until somebody resumes {'it' if one_job else 'them'}")
    waits = [
        plural(number, noun)
        for number, noun in (
            (state.dead_letters, "refused change"), (state.conflicts, "conflict"), (state.parked, "parked record"),
        )
        if number
    ]  # fmt: skip
    if waits:
        one = sum((state.dead_letters, state.conflicts, state.parked)) == 1
        parts.append(f"{_listed(waits)} {'waits' if one else 'wait'} for a person")
    if state.stopped:
        parts.append(f"nobody listens to {_listed(state.stopped)}")
    if state.waiting:
        verb = "waits" if state.waiting == 1 else "wait"
        budget = f" ({state.paused_changes:,} to save the API budget)" if state.paused_changes else ""
        parts.append(
            f"{plural(state.waiting, 'change')} {verb} to be sent, the oldest for {state.oldest_seconds} s{budget}"
        )
    elif state.has_org:
        parts.append("every change is sent" if not state.dead_letters else "everything else is sent")
    if state.unread:
        parts.append(f"{plural(state.unread, 'record')} of the org {'is' if state.unread == 1 else 'are'} to be read")
    if state.verified_at is not None:
        compared = f"verified {state.verified:,} of {state.total:,} records at {written(state.verified_at)}"
        parts.append(compared)
    elif state.has_org:
        parts.append("both sides were never compared as a whole")
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}."


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def utc_moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
