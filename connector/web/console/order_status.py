"""Why an order has its status in Salesforce: the rule of the mapping, the stage that brings the next status, and what
keeps the order, or the change, from it. Derived from the mapping in use, whatever its value table says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote, urlencode

from connector.errors import ConnectorError
from connector.jobs.job_obstacles import find_job_obstacle
from connector.jobs.schedule import JobDefinition, job_of
from connector.mapping.field_rule import FieldRule, explain_field
from connector.mapping.mapper import EntityMapping
from connector.mapping.spec import Owner
from connector.model.actions import Action
from connector.model.change import ChangeState, EntityKind, Unsent
from connector.model.job_run import JobTrigger
from connector.model.lifecycle_chart import main_line
from connector.model.order import Order
from connector.model.record import Link
from connector.model.role import Role
from connector.model.transitions import BY_COMMAND, TRANSITIONS
from connector.outbound.org_discovery import load_stored_profile
from connector.outbound.org_profile import ACTIVATED, DRAFT
from connector.store import api_calls, dead_letters, job_schedules, outages
from connector.store.engine import Connection
from connector.store.queries import holds
from connector.web.console.order_actions import ActionLink
from connector.web.routing import RequestContext

STATUS = "Status"
_AUTOMATION = "order_automation"


@dataclass(frozen=True, kw_only=True, slots=True)
class Obstacle:
    """What keeps the status from the next one. `more`: what only ops see; `title` and `address`: the way to end it."""

    text: str
    since: datetime | None = None
    more: str = ""
    title: str = ""
    address: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class StatusReason:
    """Why the order has `status` in Salesforce (None: it is not there yet). `file` and `line` are those of the rule,
    in the folder of the mappings. `then`: when it gets another one."""

    status: str | None
    why: str
    file: str = ""
    line: int = 0
    then: str = ""
    obstacles: Sequence[Obstacle] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderSync:
    """What is known of an order and its org. `org`: the name of the org, `org_id` its ID, empty if none has answered.
    `customer_state`: of a change of its customer that is not in the org. `conflicts`: fields that both sides changed.
    `is_imported`: it came with its stage, and automation leaves it alone."""

    org: str
    org_id: str
    link: Link | None
    unsent: Unsent | None
    customer_state: ChangeState | None
    conflicts: Collection[str]
    is_imported: bool

    @property
    def status(self) -> str | None:
        found = None if self.link is None else self.link.snapshot.get(STATUS)
        return None if found is None else str(found)


async def load_reason(
    call: RequestContext,
    connection: Connection,
    order: Order,
    sync: OrderSync,
    actions: Mapping[str, Sequence[ActionLink]],
) -> StatusReason | None:
    """`connection` reads for the org of the order. None if the mappings cannot be read: other pages say why."""
    try:
        mapping: EntityMapping[Order] = (await call.conflict_resolver().mappings()).order
        is_included = mapping.includes(order)
    except ConnectorError:
        return None
    links = [link for group in actions.values() for link in group]
    if not is_included:
        position = mapping.spec.when_position
        why = "The mapping leaves this order out (when): its changes are not sent."
        return StatusReason(
            status=sync.status,
            why=why,
            file="" if position is None else _file(position.file),
            line=0 if position is None else position.line,
        )
    rule = explain_field(mapping.spec.record, STATUS, order)
    if rule is None:
        why = "The status cannot be computed from this order."
        if mapping.source(mapping.sobject, STATUS) is None:
            why = "The mapping says nothing of the status: it is what Salesforce has."
        return StatusReason(status=sync.status, why=why)
    found = [item async for item in _unsent_obstacles(call, connection, order, sync, rule)]
    if rule.next_stage is not None and rule.owner is not Owner.SALESFORCE:
        found += [item async for item in _stage_obstacles(call, connection, order, sync, links)]
    return StatusReason(
        status=sync.status,
        why=_why(rule),
        file=_file(rule.position.file),
        line=rule.position.line,
        then=_then(rule),
        obstacles=found,
    )


def _file(path: str) -> str:
    return path.partition("/")[2]


def _why(rule: FieldRule) -> str:
    if rule.owner is Owner.SALESFORCE:
        return "The status belongs to Salesforce: the mapping does not send it."
    given = "an order without one" if rule.given is None else rule.given
    origin = "" if rule.origin is None else rule.origin.replace(".", " ").replace("_", " ")
    if rule.keeps:
        return f"The mapping leaves the status as it is for {f'the {origin} {given}' if origin else 'this order'}."
    value = "no value" if rule.value is None else rule.value
    if rule.is_constant:
        return f"The mapping always sends {value}."
    if not origin:
        return f"An expression of the mapping makes {value} of this order."
    return f"The mapping makes {value} of the {origin} {given}."


def _then(rule: FieldRule) -> str:
    if rule.next_stage is None or rule.owner is Owner.SALESFORCE:
        return ""
    return f"It becomes {rule.next_value} when the order is {rule.next_stage}."


async def _unsent_obstacles(
    call: RequestContext, connection: Connection, order: Order, sync: OrderSync, rule: FieldRule
) -> AsyncIterator[Obstacle]:
    """What keeps the status that the mapping makes now from being the one in the org."""
    if rule.keeps or rule.value is None or rule.owner is Owner.SALESFORCE or sync.status == rule.value:
        return
    with_personal = call.token.role.covers(Role.OPS)
    if STATUS in sync.conflicts:
        yield Obstacle(text="Both sides changed the status.", title="Decide", address="/conflicts")
        return
    if sync.unsent is None:
        yield await _nothing_due(connection, order, sync, rule)
        return
    if sync.unsent.state is ChangeState.DUE:
        async for obstacle in _waiting(call, connection, sync, sync.unsent):
            yield obstacle
        return
    what = "the latest change of this order"
    kind, key = "order", order.number
    if sync.unsent.state is ChangeState.BLOCKED:
        refused = None if sync.unsent.refusal is None else sync.unsent.refusal.record
        what = f"{refused or 'something'} that this order needs"
        kind, _, key = (refused or "").partition(" ")
    address = f"/errors/correct?{urlencode({'entity': kind, 'key': key})}" if with_personal and key else ""
    yield Obstacle(text=f"Salesforce refused {what}: {rule.value} is sent with it.", title="Correct", address=address)


async def _nothing_due(connection: Connection, order: Order, sync: OrderSync, rule: FieldRule) -> Obstacle:
    """Why another status is in the org although nothing is due."""
    if await dead_letters.list_discarded(connection, EntityKind.ORDER, [order.number]):
        return Obstacle(text="The latest change was given up after Salesforce had refused it. Push now sends it again.")
    if sync.link is None:
        if sync.customer_state is None:
            return Obstacle(text="The order was not sent yet. Push now sends it.")
        return Obstacle(text="A change of its customer is to be sent first.")
    profile = await load_stored_profile(connection, sync.org_id)
    categories = None if profile is None else (profile[0].category(sync.status), profile[0].category(rule.value))
    if categories == (ACTIVATED, DRAFT):
        stage = "confirmed" if rule.next_stage is None else rule.next_stage
        text = f"It was activated in Salesforce before the order was {stage} here, and stays {sync.status}."
        return Obstacle(text=text)
    text = f"Both sides agreed on {sync.status} last; by now the mapping makes {rule.value} of it. Push now sends it."
    return Obstacle(text=text)


async def _waiting(
    call: RequestContext, connection: Connection, sync: OrderSync, unsent: Unsent
) -> AsyncIterator[Obstacle]:
    """Why a change that is due was not sent yet."""
    yield Obstacle(text="The change waits to be sent.", since=unsent.captured_at)
    outage = await outages.get_current(connection)
    if outage is not None:
        yield Obstacle(text=f"Salesforce cannot be used now ({outage.code}).", since=outage.since)
    async for obstacle in _not_running(call, connection, job_of("push", sync.org)):
        yield obstacle
    if sync.org_id and unsent.lane is not None:
        budget = await api_calls.get_state(connection, sync.org_id)
        if not budget.allows(unsent.lane):
            text = f"Calls of its lane ({unsent.lane.word}) pause, to save the API budget."
            yield Obstacle(text=text, since=budget.since, title="API and events", address="/usage")
    if sync.customer_state is not None and sync.customer_state is not ChangeState.DUE:
        yield Obstacle(
            text="Salesforce refused its customer, which is sent first.", title="Refused changes", address="/errors"
        )
    if unsent.error is not None and outage is None:
        more = unsent.error if call.token.role.covers(Role.OPS) else ""
        yield Obstacle(text=f"Attempt {unsent.attempts:,} did not succeed.", more=more)


async def _stage_obstacles(
    call: RequestContext, connection: Connection, order: Order, sync: OrderSync, links: Sequence[ActionLink]
) -> AsyncIterator[Obstacle]:
    """What keeps the order at its stage."""
    with_personal = call.token.role.covers(Role.OPS)
    found = await holds.load_holds(connection, [order.number])
    for (_, reason), hold in sorted(found.items()):
        by = f"the verification rule {hold.rules}" if hold.rules else hold.placed_by
        text = f"The {reason} hold by {by} keeps it {order.stage}."
        link = _link(links, Action.RELEASE)
        address = "" if link is None else link.address
        more = (hold.note or "") if with_personal else ""
        yield Obstacle(text=text, since=hold.since, more=more, title="Release…", address=address)
    if found:
        return
    line = main_line()
    following = line[line.index(order.stage) + 1]
    if (order.stage, following) not in BY_COMMAND:
        reason_why = TRANSITIONS[order.stage, following](order.state)
        if reason_why is not None:
            yield Obstacle(text=f"It is not {following} yet: {reason_why}.")
        return
    action = next((item for item in (Action.VERIFY, Action.CONFIRM) if following == _STAGE_OF[item]), None)
    link = None if action is None else _link(links, action)
    title, address = ("", "") if link is None else (link.title, link.address)
    if action is Action.VERIFY and not sync.is_imported:
        stopped = [item async for item in _not_running(call, connection, _AUTOMATION)]
        text = "Nobody has verified it yet."
        if not stopped:
            trigger = await _trigger(call.jobs, connection, _AUTOMATION)
            text = f"The job {_AUTOMATION} verifies it: it runs {trigger}."
        yield Obstacle(text=text, title=title, address=address)
        for item in stopped:
            yield item
        return
    yield Obstacle(text=f"Nobody has {following} it yet.", title=title, address=address)


_STAGE_OF = {Action.VERIFY: "verified", Action.CONFIRM: "confirmed"}


async def _not_running(call: RequestContext, connection: Connection, job: str) -> AsyncIterator[Obstacle]:
    """Why the service does not run the job now."""
    turned_on = {item.name for item in call.jobs}
    found = await find_job_obstacle(connection, turned_on, job, call.store.clock.now())
    if found is not None:
        more = found.more if call.token.role.covers(Role.OPS) else ""
        address = "/jobs" if found.since is None else f"/jobs/{quote(job, safe='')}"
        address = "" if found.is_off else address
        yield Obstacle(text=found.text, since=found.since, more=more, title="Jobs", address=address)


async def _trigger(jobs: Sequence[JobDefinition], connection: Connection, name: str) -> JobTrigger | None:
    """When the job runs, by what a person changed or by the settings."""
    changed = (await job_schedules.load(connection)).get(name)
    if changed is not None and changed.trigger is not None:
        return changed.trigger
    return next((job.trigger for job in jobs if job.name == name), None)


def _link(links: Sequence[ActionLink], action: Action) -> ActionLink | None:
    return next((link for link in links if link.action is action), None)
