"""Set-up: the steps that connect an own org, each with what is known of it, and the doctor's checks with their fixes.

The doctor signs in to the org and makes some calls, so it examines only when somebody asks for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from aiohttp import web

from connector.model.change import EntityKind
from connector.model.health_check import CheckStatus, DoctorReport
from connector.model.role import Role
from connector.store import links, orgs
from connector.store.queries.entity_counts import count_entities
from connector.web.console.frame import ConsolePage
from connector.web.routing import RequestContext

OF_SETTINGS = ("settings", "file modes", "mapping files", "database")
OF_LOGIN = ("login", "org")
OF_METADATA = ("user", "objects", "fields", "external IDs", "events", "channel", "topics")
OF_MAPPINGS = ("mappings", "record types", "price book", "currencies", "order statuses", "returns")
MOST_DETAILS = 40


class StepState(StrEnum):
    """`unknown`: only the doctor can say."""

    DONE = "done"
    NEXT = "next"
    WRONG = "wrong"
    UNKNOWN = "unknown"
    LATER = "later"


@dataclass(frozen=True, kw_only=True, slots=True)
class SetupStep:
    """A step. `found`: what is known of it, in sentences; `fixes`: what to do about what is wrong; `details`: single
    items that are missing."""

    name: str
    state: StepState
    found: Sequence[str] = ()
    fixes: Sequence[str] = ()
    details: Sequence[str] = ()


async def load_setup(call: RequestContext) -> Mapping[str, object] | web.StreamResponse:
    wants_check = call.query_value("check") is not None
    if wants_check and "HX-Request" in call.request.headers:
        return web.Response(status=204)  # a page that follows changes does not examine the org each time
    report = await call.doctor() if wants_check else None
    async with call.store.reader() as connection:
        org = await orgs.get_active(connection)
        linked = {} if org is None else await links.count(connection, org.org_id)
        entities = await count_entities(connection)
    is_configured = any(job.name == "push" for job in call.jobs)
    steps = _steps(report, is_configured=is_configured, has_org=org is not None, linked=linked, entities=entities)
    return {
        "report": report,
        "steps": steps,
        "done": sum(step.state is StepState.DONE for step in steps),
        "next": next((step for step in steps if step.state in {StepState.NEXT, StepState.WRONG}), None),
        "org": org,
        "is_configured": is_configured,
        "linked": linked,
        "entities": {kind.value: count for kind, count in entities.items()},
        "most_details": MOST_DETAILS,
    }


def _steps(
    report: DoctorReport | None,
    *,
    is_configured: bool,
    has_org: bool,
    linked: Mapping[str, int],
    entities: Mapping[EntityKind, int],
) -> list[SetupStep]:
    """The steps in their sequence. What waits for an earlier one is `later`; the first that is not done is `next`."""
    orders = linked.get(EntityKind.ORDER.value, 0)
    customers = linked.get(EntityKind.CUSTOMER.value, 0)
    raw = [
        _step(
            "address",
            is_done=is_configured,
            found=["CONNECTOR_SALESFORCE__LOGIN_URL is set." if is_configured else "No org is configured."],
        ),
        _examined("login", report, OF_LOGIN, needs="org", is_known=has_org),
        _examined("metadata", report, OF_METADATA, needs="fields"),
        _examined("doctor", report, (*OF_SETTINGS, *OF_MAPPINGS), needs="mappings"),
        _step(
            "records",
            is_done=customers > 0,
            found=[f"{customers:,} of {entities.get(EntityKind.CUSTOMER, 0):,} customers have an account in the org."],
        ),
        _step("order", is_done=orders > 0, found=[f"{orders:,} orders are in the org."]),
    ]
    steps, waits = [], False
    for step in raw:
        state = step.state
        if state is StepState.NEXT and waits:
            state = StepState.LATER
        waits = waits or state in {StepState.NEXT, StepState.WRONG}
        steps.append(SetupStep(name=step.name, state=state, found=step.found, fixes=step.fixes, details=step.details))
    return steps


def _step(name: str, *, is_done: bool, found: Sequence[str]) -> SetupStep:
    return SetupStep(name=name, state=StepState.DONE if is_done else StepState.NEXT, found=found)


def _examined(
    name: str, report: DoctorReport | None, checks: Sequence[str], *, needs: str, is_known: bool = False
) -> SetupStep:
    """A step of which the doctor knows. `needs`: the check without which nothing is known. `is_known`: the step was
    done once, as far as the database says."""
    if report is None:
        return SetupStep(name=name, state=StepState.DONE if is_known else StepState.UNKNOWN)
    found = {check.name: check for check in report.checks if check.name in checks}
    failed = [check for check in found.values() if check.status is CheckStatus.FAIL]
    wrong = [*failed, *(check for check in found.values() if check.status is CheckStatus.WARN)]
    is_skipped = needs not in found or found[needs].status is CheckStatus.SKIPPED
    shown = wrong or [check for check in found.values() if check.status is CheckStatus.PASS]
    return SetupStep(
        name=name,
        state=StepState.WRONG if failed else StepState.NEXT if is_skipped else StepState.DONE,
        found=[found[needs].text] if is_skipped and not wrong else [f"{check.name}: {check.text}" for check in shown],
        fixes=[check.fix for check in wrong if check.fix],
        details=[detail for check in wrong for detail in check.details],
    )


PAGE = ConsolePage(path="/setup", title="Set-up", template="setup.html.j2", load=load_setup, role=Role.OPS)
