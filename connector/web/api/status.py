"""Status: orders by stage, holds with their age, what waits to be sent, and what comes back from the org."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from connector.api.serializers import serialize_hold, serialize_reconciliation
from connector.api.status_sentence import SyncState, describe_sync
from connector.inbound.inbound_status import InboundStatus, load_inbound_status
from connector.inbound.topic_status import TopicStatusKind
from connector.model.change_notice import NoticeState
from connector.model.job_run import PausedJob
from connector.model.role import Role
from connector.outbound.budget_status import BudgetStatus, load_budget_status
from connector.outbound.other_orgs import OtherOrg, load_other_orgs
from connector.store import (
    change_notices,
    dead_letters,
    inbox,
    job_schedules,
    notifications,
    orders,
    orgs,
    outages,
    outbox_counts,
    reconcile_runs,
    workers,
)
from connector.store.outages import Outage
from connector.store.queries.holds import list_holds
from connector.store.queries.queue_ages import list_queue_ages
from connector.web import answers
from connector.web.api.freshness import Freshness, load_freshness, seconds
from connector.web.routing import ApiResponse, RequestContext, Route


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueView:
    """Changes of one kind in one lane that wait to be sent, and for how many seconds the oldest has."""

    entity: str
    lane: str
    changes: int
    oldest_seconds: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Status:
    """`summary` says it in a sentence; `queue` is what waits to be sent, by kind and lane. Orders by stage; changes to
    be sent by entity and state; messages to customers and webhook notices by state; what comes back from the org; an
    outage of the org, and the latest reconciliation, if there is one; where the API budget stands, once there is an
    org; the number of processes of the service that are alive, by role. Where one database serves several orgs, changes
    and dead letters are those of all, what is said of the org is said of the default one, and `other_orgs` lists the
    others. The service does not run `paused_jobs` until a person resumes them."""

    summary: str
    freshness: Freshness
    queue: list[QueueView]
    dead_letters: int
    orders: Mapping[str, int]
    unsent: Mapping[str, Mapping[str, int]]
    outage: Outage | None
    budget: BudgetStatus | None
    inbound: InboundStatus
    reconciliation: Mapping[str, object] | None
    messages: Mapping[str, int]
    webhooks: Mapping[str, int]
    workers: Mapping[str, int]
    other_orgs: list[OtherOrg]
    paused_jobs: list[PausedJob]


async def get_status(call: RequestContext) -> ApiResponse:
    return ApiResponse(value=await load_status(call))


async def load_status(call: RequestContext, moment: Callable[[datetime], str] | None = None) -> Status:
    """`moment` writes the times of the summary; without it, they are in UTC."""
    async with call.store.reader() as connection:
        stages = await orders.counts(connection)
        unsent = await outbox_counts.counts(connection)
        message_counts = await notifications.counts(connection)
        notice_counts = await change_notices.counts(connection)
        outage = await outages.get_current(connection)
        org = await orgs.get_active(connection)
        org_id = None if org is None else org.org_id
        reconciled = None if org_id is None else await reconcile_runs.latest(connection, org_id)
        alive = await workers.count_alive_by_role(connection, call.store.clock.now())
        now, policies = call.store.clock.now(), call.allowances
        inbound = await load_inbound_status(connection, org_id, now, policies.deliveries)
        budget = await load_budget_status(connection, org_id, now, policies.calls)
        ages = await list_queue_ages(connection)
        unread, oldest_unread = await inbox.due_since(connection, org_id)
        freshness = await load_freshness(connection, org_id, now, ages, oldest_unread)
        dead = await dead_letters.count_dead_letters(connection)
        paused = await job_schedules.list_paused(connection)
    others = await load_other_orgs(call.store, policies.calls) if call.store.org is None else []
    topics = () if inbound.events is None else inbound.events.topics
    state = SyncState(
        has_org=org is not None,
        outage_code=None if outage is None else outage.code,
        outage_since=None if outage is None else outage.since,
        waiting=sum(age.count for age in ages),
        oldest_seconds=freshness.to_org,
        unread=unread,
        dead_letters=dead,
        conflicts=inbound.conflicts,
        parked=inbound.parked,
        stopped=[topic.topic for topic in topics if topic.kind is TopicStatusKind.STOPPED],
        verified=0 if reconciled is None else reconciled.verified,
        total=0 if reconciled is None else reconciled.total,
        verified_at=None if reconciled is None else reconciled.finished_at,
        paused_jobs=[job.name for job in paused],
        paused_changes=0 if budget is None else sum(budget.waiting.values()),
        other_outages={org.name: (org.outage.code, org.outage.since) for org in others if org.outage is not None},
    )
    return Status(
        summary=describe_sync(state, moment),
        freshness=freshness,
        queue=[
            QueueView(entity=age.entity, lane=age.lane, changes=age.count, oldest_seconds=seconds(now, age.oldest))
            for age in ages
        ],
        dead_letters=dead,
        orders={stage.value: count for stage, count in stages.items()},
        unsent={kind.value: {state.word: n for state, n in states.items()} for kind, states in unsent.items()},
        outage=outage,
        budget=budget,
        inbound=inbound,
        reconciliation=None if reconciled is None else serialize_reconciliation(reconciled),
        messages={state.value: count for state, count in message_counts.items()},
        webhooks={state.value: notice_counts[state] for state in (NoticeState.DUE, NoticeState.FAILED)},
        workers=alive,
        other_orgs=others,
        paused_jobs=paused,
    )


async def get_holds(call: RequestContext) -> ApiResponse:
    """List orders on hold, the oldest hold first."""
    async with call.store.reader() as connection:
        holds = await list_holds(connection)
    return ApiResponse(value={"holds": [serialize_hold(hold) for hold in holds]})


ROUTES = (
    Route(method="GET", path="/status", role=Role.VIEWER, handler=get_status, result=Status, by_org=True,
          summary="Orders by stage, unsent changes, messages, and what comes back from the org."),
    Route(method="GET", path="/holds", role=Role.VIEWER, summary="Orders on hold, the oldest hold first.",
          handler=get_holds, result=answers.HoldList),
)  # fmt: skip
