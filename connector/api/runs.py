"""Runs that write, and what each wrote, as they stand in answers and documents.

Values of personal data are left out for readers who may not see them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from connector.api.resync_words import describe_resync
from connector.model.field_notes import FieldNote
from connector.model.job_run import JobRun
from connector.model.reconciliation import ReconcileRun
from connector.model.record import FieldValue
from connector.model.resync import Resync
from connector.model.run_name import RunKind, RunName, RunPlace
from connector.store.journal import JournalRecord
from connector.store.undos import Undo

HIDDEN_REASON = "The reason is for the role ops."
"""Stands in place of an error message, which may quote a value, for who may not see personal data."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunView:
    """One run. `what` says what it was about; `actor` who asked for it (empty: the service by itself). `counts` are its
    own figures. `waiting` entities are still to be sent. `undoes` is the run that an undo is of, `undone_by` are the
    undos of a run, and `left_alone` what an undo has left because somebody had changed it."""

    run: str
    kind: str
    what: str
    actor: str
    state: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    counts: Mapping[str, int]
    waiting: int = 0
    error: str | None = None
    undoes: str | None = None
    undone_by: tuple[str, ...] = ()
    left_alone: tuple[Mapping[str, object], ...] = ()

    @property
    def place(self) -> RunPlace:
        """Its place in the list of runs."""
        return RunPlace(self.created_at, RunName.parse(self.run))


@dataclass(frozen=True, kw_only=True, slots=True)
class RunField:
    """One field that was written: `before` is what it replaced, if that was known (`has_before`), `after` what took its
    place. `record` is our key of the record. `created`: the record was created with it; `deleted`: it was deleted.
    `personal`: it is personal data; `hidden`: its values are left out."""

    sobject: str
    record: str
    record_id: str | None
    field: str
    before: FieldValue
    has_before: bool
    after: FieldValue
    created: bool
    deleted: bool
    personal: bool
    hidden: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class RunWrite:
    """What was done with one entity by one call. `action` is a word of the journal (`written`, `refused`, `received`,
    `undone`, …), `side` is `org` if the org was written to, else `here`; `call` is the ID of the API call."""

    id: int
    at: datetime
    entity: str
    key: str
    action: str
    side: str
    call: str | None
    code: str | None
    fields: tuple[RunField, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class RunTotals:
    """What a run came to: records by what became of them, fields, refused entities, and calls."""

    created: int = 0
    updated: int = 0
    deleted: int = 0
    fields: int = 0
    refused: int = 0
    taken: int = 0
    calls: int = 0
    is_partial: bool = field(default=False)
    """Whether only the first writes were counted: it has very many."""


def view_resync_run(item: Resync, waiting: int, undone_by: Sequence[str] = ()) -> RunView:
    total = max(item.total, item.done)  # there may be more by now than when it was asked for
    counts = {"total": total, "done": item.done, "failed": item.failed, **item.counts}
    what = describe_resync(item.mode, item.entity, item.filter.as_document())
    return RunView(
        run=item.run_name, kind=RunKind.RESYNC.value, what=what,
        actor=item.actor, state=item.state.value, created_at=item.created_at, started_at=item.started_at,
        ended_at=item.ended_at, counts=counts, waiting=waiting, error=item.error, undone_by=tuple(undone_by),
    )  # fmt: skip


def view_reconcile_run(item: ReconcileRun, waiting: int, undone_by: Sequence[str] = ()) -> RunView:
    what = "everything" if item.full else ", ".join(f"{len(keys)} {kind}" for kind, keys in item.scope.items())
    return RunView(
        run=str(RunName(RunKind.RECONCILE, item.id)), kind=RunKind.RECONCILE.value, what=f"compare and heal {what}",
        actor="", state=item.state.value, created_at=item.started_at, started_at=item.started_at,
        ended_at=item.finished_at, counts={"healed": item.healed, "reads": item.calls}, waiting=waiting,
        undone_by=tuple(undone_by),
    )  # fmt: skip


def view_job_run(item: JobRun, waiting: int, undone_by: Sequence[str] = ()) -> RunView:
    counts = {name: value for name, value in item.result.items() if isinstance(value, int)}
    return RunView(
        run=str(RunName(RunKind.JOB, item.id)), kind=RunKind.JOB.value, what=item.job, actor=item.actor or "",
        state=item.state.value, created_at=item.created_at, started_at=item.started_at, ended_at=item.ended_at,
        counts=counts, waiting=waiting, error=item.error, undone_by=tuple(undone_by),
    )  # fmt: skip


def view_undo(item: Undo, waiting: int, now: datetime) -> RunView:
    is_done = item.ended_at is not None and not waiting
    is_stopped = item.is_stopped(now)
    counts = {**item.counts, "not_reached": item.total - item.reached} if is_stopped else item.counts
    state = "done" if is_done else "stopped" if is_stopped else "running"
    return RunView(
        run=item.run_name, kind=RunKind.UNDO.value, what=f"undo {item.run}", actor=item.actor,
        state=state, created_at=item.created_at, started_at=item.created_at,
        ended_at=item.ended_at if is_done else item.renewed_at if is_stopped else None, counts=counts, waiting=waiting,
        undoes=None if RunName.parse(item.run) is None else item.run,
        left_alone=tuple(item.left_alone),
    )  # fmt: skip


def view_write(entry: JournalRecord, *, with_personal: bool) -> RunWrite:
    """One entry of a run."""
    call, code = entry.detail.get("call"), entry.detail.get("code")
    fields = tuple(_fields(entry))
    return RunWrite(
        id=entry.id, at=entry.at, entity=entry.entity, key=entry.key, action=entry.action,
        side="here" if entry.action in {"received", "undone"} else "org",
        call=call.get("id") if isinstance(call, Mapping) else None, code=code if isinstance(code, str) else None,
        fields=fields if with_personal else tuple(map(_redacted, fields)),
    )  # fmt: skip


def redact_run(view: RunView) -> RunView:
    """The run without what may name or quote people: messages of the org and of rules, and who changed a field."""
    return replace(
        view,
        error=None if view.error is None else HIDDEN_REASON,
        left_alone=tuple(map(_redacted_field, view.left_alone)),
    )


def _fields(entry: JournalRecord) -> Iterator[RunField]:
    for note in entry.notes:
        if note.effect in {None, "deleted"}:
            yield _field(note, note.before, note.value, has_before=note.has_before)
        elif note.effect in {"taken", "undone"}:
            yield _field(note, note.local, note.remote, has_before=note.is_kept)


def _field(note: FieldNote, before: FieldValue, after: FieldValue, *, has_before: bool) -> RunField:
    return RunField(
        sobject=note.sobject, record=note.key, record_id=note.record_id, field=note.field, before=before,
        has_before=has_before, after=after, created=note.created, deleted=note.effect == "deleted",
        personal=note.is_personal, hidden=not note.is_kept,
    )  # fmt: skip


def _redacted(item: RunField) -> RunField:
    return replace(item, before=None, after=None, has_before=False, hidden=True) if item.personal else item


def _redacted_field(item: Mapping[str, object]) -> Mapping[str, object]:
    """What an undo has left: a field without who changed it, or an entity without the text of the rule."""
    if "field" not in item:
        return {name: "The rules of an order forbid it." if name == "why" else value for name, value in item.items()}
    return {name: None if name == "who" else value for name, value in item.items()}
