"""The proof that both sides agree: the latest comparison of each org, what differs by field, and healing."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from aiohttp import web

from connector.errors import CommandError
from connector.jobs.job_list import find_job, request_run
from connector.jobs.job_obstacles import note_missing_role
from connector.jobs.schedule import job_of
from connector.model.job_run import JobRun, JobState
from connector.model.reconciliation import FINDINGS, UNHEALABLE, Finding, Healing, ReconcileRun, RecordState
from connector.model.role import Role
from connector.settings.salesforce import DEFAULT_ORG
from connector.store import job_runs, leases, orgs, reconcile_runs
from connector.web.console.csv_page import send_csv
from connector.web.console.frame import ConsoleAction, ConsolePage, Done, Form
from connector.web.path_number import path_number, query_number
from connector.web.problem import ProblemError
from connector.web.routing import RequestContext

HISTORY = 20
MOST_FINDINGS = 100
MOST_FIELDS = 30
OLD = timedelta(hours=36)
"""From when on a proof is old: a comparison runs every night."""
COLUMNS = ("entity", "key", "state", "object", "record", "field", "owner", "agreed", "here", "in_salesforce",
           "heals_by", "detail")  # fmt: skip
_HEALS = {
    RecordState.DRIFTED: "by the owner of each field: ours is sent, theirs is applied, what both changed is merged",
    RecordState.MISSING_IN_ORG: "created in Salesforce, or deleted here, by the policy for deletions",
    RecordState.DELETED_IN_ORG: "decided by the policy for deletions",
    RecordState.UNLINKED: "linked with the record that has its key, and merged",
    RecordState.REMOVED_HERE: "deleted in Salesforce, because it was removed here",
    RecordState.MISSING_HERE: "left alone: a person decides what this record is",
    RecordState.DUPLICATE: "left alone: a person decides which record is the right one",
}
"""What healing does with a difference."""
_WORDS: Mapping[str, str] = {
    RecordState.PENDING: "on their way",
    RecordState.NOT_SYNCED: "left out of the synchronization",
    RecordState.HELD: "held since an undo",
}
MOST_RECORDS = 500
_LEADS_TO = {
    RecordState.IN_CONFLICT: ("/conflicts", "Conflicts"),
    RecordState.HELD: ("/conflicts/held", "Held values"),
    RecordState.REFUSED: ("/errors", "Refused changes"),
}
"""Where a person decides about records in these states."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OrgProof:
    """The latest proof of an org. `is_running`: a comparison is under way, `running` how far it
    is; `waiting`: a run of a job that no scheduler
    has begun; `failed`: the latest run of the job, if it failed after the proof."""

    name: str
    org_id: str
    run: ReconcileRun | None
    is_running: bool
    running: ReconcileRun | None
    waiting: JobRun | None
    failed: JobRun | None
    can_compare: bool

    @property
    def title(self) -> str:
        return self.name or DEFAULT_ORG

    @property
    def form_name(self) -> str:
        return self.name or DEFAULT_ORG

    @property
    def unverified(self) -> list[tuple[str, str]]:
        """What the proof does not cover: the state, and in words `1 refused`."""
        counts = Counter[str]()
        for by_state in () if self.run is None else self.run.counts.values():
            counts.update(by_state)
        del counts[RecordState.VERIFIED]
        return [
            (state, f"{count:,} {_WORDS.get(state, state.replace('_', ' '))}")
            for state, count in counts.items()
            if count
        ]


async def load_proofs(call: RequestContext) -> Mapping[str, object]:
    before = query_number(call, "before")
    proofs = await _load_proofs(call)
    names = {proof.org_id: proof.title for proof in proofs}
    async with call.store.reader() as connection:
        runs = await reconcile_runs.list_page(connection, org_ids=[*names], before=before, limit=HISTORY + 1)
    return {
        "proofs": proofs,
        "has_several": len(proofs) > 1,
        "names": names,
        "runs": runs[:HISTORY],
        "following": runs[HISTORY - 1].id if len(runs) > HISTORY else None,
        "is_later_page": before is not None,
        "old": call.store.clock.now() - OLD,
        "states": _shown_states([proof.run for proof in proofs if proof.run is not None]),
    }


async def _load_proofs(call: RequestContext) -> list[OrgProof]:
    now, jobs = call.store.clock.now(), {job.name for job in call.jobs}
    async with call.store.reader() as connection:
        names = ["", *await orgs.list_named(connection)]
        wanted = [job_of(kind, name) for name in names for kind in ("reconcile", "heal")]
        latest_runs = await job_runs.latest(connection, wanted)
    proofs = []
    for name in names:
        async with call.store.for_org(name).reader() as connection:
            org = await orgs.get_active(connection)
            if org is None:
                continue
            run = await reconcile_runs.latest(connection, org.org_id)
            running = await reconcile_runs.find_running(connection, org.org_id)
            seconds = await leases.seconds_left(connection, f"reconcile:{org.org_id}", now)
        of_org = [latest_runs[job] for kind in ("reconcile", "heal") if (job := job_of(kind, name)) in latest_runs]
        verified_at = None if run is None else run.finished_at
        failed = [
            item
            for item in of_org
            if item.state is JobState.FAILED
            and (verified_at is None or (item.ended_at or item.created_at) >= verified_at)
        ]
        proofs.append(
            OrgProof(
                name=name,
                org_id=org.org_id,
                run=run,
                is_running=seconds > 0,
                running=running if seconds > 0 else None,
                waiting=next((item for item in of_org if item.state is JobState.WAITING), None),
                failed=max(failed, key=lambda item: item.created_at, default=None),
                can_compare=job_of("reconcile", name) in jobs,
            )
        )
    return proofs


def _shown_states(runs: Sequence[ReconcileRun]) -> list[str]:
    found = {state for run in runs for counts in run.counts.values() for state, count in counts.items() if count}
    return [state.value for state in RecordState if state.value in found]


async def load_run(call: RequestContext) -> Mapping[str, object]:
    """One comparison: counts, drift by field, and the differences that were kept."""
    run, name = await _find(call)
    async with call.store.reader() as connection:
        findings = await reconcile_runs.list_findings(connection, run.id, limit=MOST_FINDINGS + 1)
        latest = await reconcile_runs.latest(connection, run.org_id)
    ways = Counter(field.healing for finding in findings for field in finding.fields)
    healing = [
        (entity, state.value.replace("_", " "), counts[state], _HEALS[state])
        for entity, counts in run.counts.items()
        for state in RecordState
        if state in FINDINGS and counts.get(state)
    ]
    healable = sum(
        count for counts in run.counts.values() for state, count in counts.items() if state in FINDINGS - UNHEALABLE
    )
    return {
        "title": f"Comparison {run.id}",
        "run": run,
        "org": name,
        "is_latest": latest is not None and latest.id == run.id,
        "states": _shown_states([run]),
        "fields": sorted(run.fields.items(), key=lambda item: (-item[1], item[0]))[:MOST_FIELDS],
        "findings": findings[:MOST_FINDINGS],
        "more": max(0, run.differing - min(len(findings), MOST_FINDINGS)),
        "healing": healing,
        "healable": healable,
        "ways": [(way, ways[way]) for way in Healing if ways[way]],
        "is_hidden": not call.token.role.covers(Role.OPS),
        "can_heal": job_of("heal", "" if name == DEFAULT_ORG else name) in {job.name for job in call.jobs},
    }


async def load_records(call: RequestContext) -> Mapping[str, object]:
    """The records of a comparison in one state, with the reason of each, as far as they are listed."""
    run, name = await _find(call)
    state = call.query_choice("state", RecordState) or RecordState.DRIFTED
    entity = call.query_value("entity")
    counts = [of_kind.get(state, 0) for kind, of_kind in run.counts.items() if entity in {None, kind}]
    async with call.store.reader() as connection:
        found = await reconcile_runs.list_records(connection, run.id, states=[state], entity=entity, limit=MOST_RECORDS)
    return {
        "title": f"Comparison {run.id}",
        "run": run,
        "org": name,
        "state": state,
        "entity": entity,
        "what": _WORDS.get(state, state.value.replace("_", " ")),
        "records": found,
        "total": sum(counts),
        "leads_to": _LEADS_TO.get(state),
        "is_difference": state in FINDINGS,
        "is_hidden": not call.token.role.covers(Role.OPS),
    }


async def stream_differences(call: RequestContext) -> web.StreamResponse:
    """The differences of a run as CSV, a row for each field."""
    run, _ = await _find(call)

    async def rows() -> AsyncGenerator[Sequence[object], None]:
        async with call.store.reader() as connection:
            for finding in await reconcile_runs.list_findings(connection, run.id, limit=10_000):
                for row in _rows_of(finding):
                    yield row

    return await send_csv(call, f"differences-{run.id}.csv", COLUMNS, rows())


def _rows_of(finding: Finding) -> list[tuple[object, ...]]:
    begin = (finding.entity, finding.key, finding.state.value, finding.sobject, finding.record_id)
    return [
        (*begin, item.field, item.owner, item.base, item.local, item.remote, item.healing.value, finding.detail)
        for item in finding.fields
    ] or [(*begin, "", "", "", "", "", "", finding.detail)]


async def _find(call: RequestContext) -> tuple[ReconcileRun, str]:
    number = path_number(call, "id", "comparison")
    async with call.store.reader() as connection:
        run = await reconcile_runs.get(connection, number)
    if run is None:
        raise ProblemError(404, "unknown", f"There is no comparison {number}.", hint="Look for it in the list.")
    for proof in await _load_proofs(call):
        if proof.org_id == run.org_id:
            return run, proof.title
    return run, run.org_id


async def start(call: RequestContext, form: Form) -> Done:
    """Compare both sides; with healing, if the form says so."""
    org, kind = form.get("org", DEFAULT_ORG), "heal" if form.get("heal") == "yes" else "reconcile"
    try:
        job = find_job(call.jobs, job_of(kind, "" if org == DEFAULT_ORG else org))
    except CommandError:
        hint = "Set CONNECTOR_SALESFORCE__LOGIN_URL for the service, or that of this org."
        raise ProblemError(422, "unknown", f"The service has no org {org[:40]!r}.", field="", hint=hint) from None
    run = await request_run(call.store, job, actor=call.token.name)
    what = "Both sides are compared, and what differs is healed" if kind == "heal" else "Both sides are compared"
    note = await note_missing_role(call.store, "scheduler")
    return Done(where="/reconcile", told=f"{what} as soon as a scheduler takes it (run {run.id} of {job.name}).{note}")


LIST = ConsolePage(path="/reconcile", title="Reconcile", template="reconcile.html.j2", load=load_proofs)
PAGES = (
    LIST,
    ConsolePage(path="/reconcile/{id}", title="Comparison", template="reconcile_run.html.j2", load=load_run),
    ConsolePage(path="/reconcile/{id}/records", title="", template="reconcile_records.html.j2", load=load_records),
    ConsolePage(path="/reconcile/{id}/differences.csv", title="", template="", load=stream_differences, role=Role.OPS),
)
ACTIONS = (ConsoleAction(path="/reconcile/start", act=start, page=LIST),)
