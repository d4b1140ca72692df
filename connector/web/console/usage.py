"""What the org's limits leave: API calls by lane and hour, event deliveries, how topics are read; and what was sent to
customers and other systems."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from connector.inbound.inbound_status import InboundStatus, load_inbound_status
from connector.model.api_budget import CallResult
from connector.model.change_notice import NoticeState
from connector.model.hourly_counts import HOUR, hour_of
from connector.model.lane import CALL_LANES
from connector.model.notification import MessageState
from connector.outbound.budget_status import BudgetStatus, load_budget_status
from connector.settings.salesforce import DEFAULT_ORG
from connector.store import api_calls, change_notices, deliveries, notifications, orgs, outgoing_events
from connector.store.engine import Connection
from connector.web.chart import ColumnChart, draw_columns
from connector.web.console.formats import Place
from connector.web.console.frame import ConsoleAction, ConsolePage, Done, Form
from connector.web.console.job_note import note_job
from connector.web.path_number import is_number
from connector.web.problem import ProblemError
from connector.web.routing import RequestContext
from connector.wording import plural

HOURS = 24
MOST = 30
"""Failed messages, notices and events that are listed."""
POSITION_KEPT_HOURS = 72
"""How long an org knows a position in its events."""
_FAILED = (MessageState.FAILED, MessageState.EXPIRED)


@dataclass(frozen=True, kw_only=True, slots=True)
class OrgUsage:
    """The limits of an org. `chart`: our calls by hour and lane; `results`: what became of them; `events_chart`: the
    deliveries by hour."""

    name: str
    budget: BudgetStatus | None
    inbound: InboundStatus
    chart: ColumnChart
    results: Mapping[str, int]
    events_chart: ColumnChart


async def load_usage(call: RequestContext) -> Mapping[str, object]:
    async with call.store.reader() as connection:
        names = ["", *await orgs.list_named(connection)]
        messages = await notifications.counts(connection)
        notices = await change_notices.counts(connection)
        failed_messages = await notifications.list_page(connection, states=list(_FAILED), limit=MOST)
        failed_notices = await change_notices.list_page(connection, state=NoticeState.FAILED, limit=MOST)
        refused = await outgoing_events.list_refused(connection, limit=MOST)
    usages = [usage for name in names if (usage := await _load_org(call, name)) is not None]
    return {
        "usages": usages,
        "has_several": len(usages) > 1,
        "lanes": [lane.word for lane in CALL_LANES],
        "position_kept": HOUR * POSITION_KEPT_HOURS,
        "messages": {state.value: count for state, count in messages.items() if count},
        "notices": {state.value: count for state, count in notices.items() if count},
        "failed_messages": failed_messages,
        "failed_notices": failed_notices,
        "refused_events": refused,
    }


async def _load_org(call: RequestContext, name: str) -> OrgUsage | None:
    now, policies, place = call.store.clock.now(), call.allowances, Place.of(call.request)
    async with call.store.for_org(name).reader() as connection:
        org = await orgs.get_active(connection)
        if org is None:
            return None
        counts = await api_calls.counts(connection, org.org_id, now)
        inbound = await load_inbound_status(connection, org.org_id, now, policies.deliveries)
        return OrgUsage(
            name=name or DEFAULT_ORG,
            budget=await load_budget_status(connection, org.org_id, now, policies.calls),
            inbound=inbound,
            chart=_calls_chart(counts, now, place),
            results={
                result.value: total
                for result in CallResult
                if (total := sum(number for (_, _, of), number in counts.items() if of is result))
            },
            events_chart=await _events_chart(connection, org.org_id, inbound, now, place),
        )


def _hours(now: datetime) -> list[datetime]:
    return [hour_of(now) - HOUR * (HOURS - 1 - index) for index in range(HOURS)]


def _labels(hours: list[datetime], place: Place) -> list[str]:
    return [hour.astimezone(place.info).strftime("%H:%M") for hour in hours]


def _calls_chart(counts: api_calls.CallCounts, now: datetime, place: Place) -> ColumnChart:
    by_lane, hours = api_calls.by_lane(counts), _hours(now)
    series = {
        lane.word: [by_lane[lane].get(hour, 0) for hour in hours]
        for lane in CALL_LANES
        if any(by_lane.get(lane, {}).get(hour) for hour in hours)
    }
    return draw_columns("API calls of the last 24 hours, by hour and lane", _labels(hours, place), series)


async def _events_chart(
    connection: Connection, org_id: str, inbound: InboundStatus, now: datetime, place: Place
) -> ColumnChart:
    """The events that were delivered to us, of all topics."""
    hours, totals = _hours(now), dict.fromkeys(_hours(now), 0)
    for usage in inbound.deliveries:
        for hour, number in (await deliveries.counts(connection, org_id, usage.topic, now)).items():
            if hour in totals:
                totals[hour] += number
    series = {"status": [totals[hour] for hour in hours]} if any(totals.values()) else {}
    return draw_columns("Events delivered in the last 24 hours, by hour", _labels(hours, place), series)


async def retry_messages(call: RequestContext, form: Form) -> Done:
    """Let a message to a customer be sent again, or all that failed."""
    actor = call.token.name
    if form.get("all") == "yes":
        async with call.store.reader() as connection:
            found = await notifications.list_page(connection, states=list(_FAILED), limit=1000)
        ids = [item.id for item in found]
    else:
        ids = [_number(form)]
    changed = await call.store.transact(lambda uow: notifications.retry(uow, ids, by=actor))
    told = _say_sent(len(changed), "message") + await note_job(call, "notifications", len(changed))
    return Done(where="/usage#messages", told=told)


async def replay_notices(call: RequestContext, form: Form) -> Done:
    """Let a notice be posted again, or all that failed."""
    actor = call.token.name
    if form.get("all") == "yes":
        changed = await call.store.transact(
            lambda uow: change_notices.make_due(uow, state=NoticeState.FAILED, actor=actor)
        )
    else:
        number = _number(form)
        changed = await call.store.transact(
            lambda uow: change_notices.make_due(uow, ids=[number], state=NoticeState.FAILED, actor=actor)
        )
    told = _say_sent(len(changed), "notice") + await note_job(call, "webhooks", len(changed))
    return Done(where="/usage#notices", told=told)


async def replay_events(call: RequestContext, form: Form) -> Done:
    """Let all events that the org refused be published again."""
    actor = call.token.name
    count = await call.store.transact(lambda uow: outgoing_events.replay(uow, actor=actor))
    return Done(where="/usage#events", told=_say_sent(count, "event"))


def _number(form: Form) -> int:
    text = form.get("id", "")
    if not is_number(text):
        raise ProblemError(422, "input", "This form names nothing.", hint="Reload the page, and repeat it.")
    return int(text)


def _say_sent(count: int, noun: str) -> str:
    if not count:
        return "Nothing was left of it: somebody was faster."
    return f"{plural(count, f'{noun} is', f'{noun}s are')} sent again."


PAGE = ConsolePage(path="/usage", title="API and events", template="usage.html.j2", load=load_usage)
ACTIONS = (
    ConsoleAction(path="/usage/messages/retry", act=retry_messages),
    ConsoleAction(path="/usage/notices/replay", act=replay_notices),
    ConsoleAction(path="/usage/events/replay", act=replay_events),
)
