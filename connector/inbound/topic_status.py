"""How each topic is being read, as the database says: for `connector status`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from connector.inbound.topic_cursor import PUBLISHED_STATE, STATE, listen_lease
from connector.model.deliveries import DeliveryMode, DeliveryUsage
from connector.model.listening_state import ListeningState, TopicActivity
from connector.store import cursors, leases, outages, workers
from connector.store.engine import Connection
from connector.store.outages import Outage


class TopicStatusKind(StrEnum):
    """`waiting`: a process would listen, and cannot now. `stopped`: no process does."""

    LISTENING = "listening"
    POLLING = "polling"
    WAITING = "waiting"
    STOPPED = "stopped"


@dataclass(frozen=True, kw_only=True, slots=True)
class TopicStatus:
    """`since`: when that began; `why` it is not listened to and the `fix`. `position_at`: when the position was last
    stored; an older one than 72 hours is no longer known to the org. `published`: we publish to it."""

    topic: str
    kind: TopicStatusKind
    since: datetime
    why: str
    fix: str
    position_at: datetime | None
    last_event_at: datetime | None
    gaps: int
    last_gap_at: datetime | None
    published: bool = False


async def list_topics(
    connection: Connection, org_id: str, usages: list[DeliveryUsage], now: datetime
) -> list[TopicStatus]:
    """Every topic that was ever listened to, and those we could not publish to."""
    stored = await cursors.list_all(connection, org_id)
    held = await leases.list_held(connection, listen_lease(org_id, ""), now)
    outage, listeners = await outages.get_current(connection), await workers.list_alive(connection, "listener", now)
    polled = {usage.topic for usage in usages if usage.mode is DeliveryMode.POLL}
    topics = []
    for name, document in stored.items():
        state = ListeningState.read(document) if name.startswith((STATE, PUBLISHED_STATE)) else None
        if state is None:
            continue
        topic = name.removeprefix(STATE).removeprefix(PUBLISHED_STATE)
        published = name.startswith(PUBLISHED_STATE)
        if published and state.activity is TopicActivity.LISTENING:
            continue
        position = {} if published else stored.get(cursors.events_of(topic), {})
        kind, why = TopicStatusKind(state.activity.value), state.why
        if not published and listen_lease(org_id, topic) not in held:
            if listeners:
                state = _without_holder(state, outage, _moment(position.get("at")))
                kind, why = TopicStatusKind.WAITING, state.why
            else:
                kind, why = TopicStatusKind.STOPPED, ""
        elif topic in polled:
            kind, why = TopicStatusKind.POLLING, "The event deliveries of the day are used up, but for a reserve."
        topics.append(
            TopicStatus(
                topic=topic,
                kind=kind,
                since=state.since,
                why=why,
                fix=state.fix if why == state.why else "",
                position_at=_moment(position.get("at")),
                last_event_at=_moment(position.get("last_event_at")),
                gaps=state.gaps,
                last_gap_at=state.last_gap_at,
                published=published,
            )
        )
    return topics


def _without_holder(state: ListeningState, outage: Outage | None, read_until: datetime | None) -> ListeningState:
    """The state of a topic that a living listener would take, but has not: most often it cannot sign in."""
    since, why, fix = state.since, state.why, state.fix
    if state.activity is TopicActivity.LISTENING:
        since = max(since, read_until or since)
        why, fix = "No listener has the topic at this moment.", "It takes it by itself; the log says what fails."
    if outage is not None:
        since, why, fix = max(since, outage.since), outage.message, outage.fix
    return replace(state, activity=TopicActivity.WAITING, since=since, why=why, fix=fix)


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
