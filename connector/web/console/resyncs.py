"""Resyncs: choose what is sent, read or compared again, see beforehand what that comes to, and follow it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from secrets import token_urlsafe

from connector.errors import CommandError
from connector.jobs.job_obstacles import is_role_missing
from connector.jobs.resync_request import ResyncPreview, change_resync, preview_resync, request_resyncs, view_resync
from connector.model.change import EntityKind
from connector.model.dead_letter_group import find_correctable
from connector.model.resync import Resync, ResyncMode
from connector.model.role import Role
from connector.model.stage import Stage
from connector.settings.salesforce import DEFAULT_ORG
from connector.store import dead_letters, mapping_versions, orgs, resyncs
from connector.store.queries.refused_days import count_refused_days
from connector.web.console.failures import list_failures
from connector.web.console.formats import Place, day
from connector.web.console.frame import ConsoleAction, ConsolePage, Done, Form, FormError
from connector.web.console.resync_form import FIELDS, RefusedWhen, ResyncChoice, day_beginnings, read_choice
from connector.web.path_number import is_number, path_number, query_number
from connector.web.problem import ProblemError
from connector.web.routing import RequestContext
from connector.wording import plural

PAGE_SIZE = 30
PREVIEW_LASTS = timedelta(days=1, hours=1)
CLOCK_SKEW = timedelta(minutes=1)
"""How far the clock of the replica that made a preview may be ahead."""
_OLD_PREVIEW = "This preview is older than a day. Look at what it comes to now, and start it then."
_NO_PREVIEW = "This form has no preview. Look at what it comes to below, and start it then."
MOST_REFUSED = 50
_DONE = {"pause": "It begins no further batch until it is resumed.", "resume": "It goes on.",
         "cancel": "It begins no further batch; what its last batch made due is still sent."}  # fmt: skip


async def load_resyncs(call: RequestContext) -> Mapping[str, object]:
    before = query_number(call, "before")
    async with call.store.reader() as connection:
        found = await resyncs.list_page(connection, before=before, limit=PAGE_SIZE + 1)
    now = call.store.clock.now()
    return {
        "resyncs": [view_resync(item, now) for item in found[:PAGE_SIZE]],
        "following": found[PAGE_SIZE - 1].id if len(found) > PAGE_SIZE else None,
        "is_later_page": before is not None,
    }


async def load_resync(call: RequestContext) -> Mapping[str, object]:
    """One resync, and what Salesforce refused of its kind while it ran."""
    number = path_number(call, "id", "resync")
    refused = []
    async with call.store.reader() as connection:
        found = await resyncs.get(connection, number)
        if found is None:
            raise ProblemError(404, "unknown", f"There is no resync {number}.", hint="Look for it in the list.")
        if found.failed and found.mode is ResyncMode.PUSH and found.started_at is not None:
            refused = await dead_letters.list_refused_between(
                connection, found.entity, since=found.started_at, until=found.ended_at, limit=MOST_REFUSED
            )
    view = view_resync(found, call.store.clock.now())
    correctable = {item.key for item in refused if find_correctable(item.entity, item.key, item.refusal)}
    return {"title": f"Resync {number}", "resync": view, "refused": refused, "correctable": correctable}


async def load_builder(call: RequestContext) -> Mapping[str, object]:
    """The form, and what it comes to as it is filled in by the address."""
    query = call.request.query
    async with call.store.reader() as connection:
        named = await orgs.list_named(connection)
        active = await mapping_versions.get_active(connection)
    chosen = {name: query[name] for name in FIELDS if query.get(name)}
    choice, previews, refused_days, failures = None, [], None, []
    now, place = call.store.clock.now(), Place.of(call.request)
    if query.get("preview"):
        choice = _read(call, chosen, now)
        previews = await _preview(call, choice)
        if choice.filter.of_refused:
            async with call.store.reader() as connection:
                refused_days = await count_refused_days(connection, *day_beginnings(place, now))
                failures = await list_failures(connection)
    return {
        "previewed_at": now.isoformat(),
        "request_key": token_urlsafe(16),
        "refused_on": _refused_on(chosen.get("refused", ""), place, now),
        "refused_days": refused_days,
        "failures": failures,
        "chosen": chosen,
        "choice": choice,
        "previews": previews,
        "count": sum(item.count for item in previews),
        "calls": sum(item.calls_at_most for item in previews),
        "minutes": sum(item.minutes_at_most for item in previews),
        "deliveries": sum(item.deliveries for item in previews),
        "orgs": [("", "every one"), *((name, name) for name in (DEFAULT_ORG, *named))] if named else [],
        "version": None if active is None else active.number,
        "stages": list(Stage),
    }


def _read(call: RequestContext, form: Form, moment: datetime | None = None) -> ResyncChoice:
    """`moment`: now, for times such as yesterday."""
    return read_choice(form, Place.of(call.request), moment or call.store.clock.now())


async def _preview(call: RequestContext, choice: ResyncChoice) -> list[ResyncPreview]:
    """What it comes to, by kind; of all kinds only those that there is something of. Raises FormError."""
    is_all = len(choice.kinds) > 1
    if is_all and (names := choice.filter.of_orders or (["keys"] if choice.filter.keys else [])):
        raise FormError({names[0]: f"{names[0]}: choose one kind of entity for this."})
    previews = []
    for kind in choice.kinds:
        if is_all and kind is EntityKind.RETURN and not (choice.filter.of_refused and choice.mode is ResyncMode.PUSH):
            continue  # returns are sent with their orders; only refused ones are chosen by themselves
        preview = await preview_resync(call.store, kind, choice.filter, choice.mode, partitions=call.partitions)
        if preview.count or not is_all:
            previews.append(preview)
    return previews


async def ask_preview(call: RequestContext, form: Form) -> Done:
    """Check the form, and lead to the address of its preview."""
    choice = _read(call, form)
    await _preview(call, choice)
    return Done(
        where=f"/resyncs/new?{choice.query}&preview=yes#preview", told="This is what it comes to. Nothing is begun yet."
    )


async def start(call: RequestContext, form: Form) -> Done:
    """Ask for what the preview of this address has shown: once, however often its form is sent."""
    request = form.get("request", "")
    if not 16 <= len(request) <= 64:
        raise FormError({"": _NO_PREVIEW})
    async with call.store.reader() as connection:
        before = await resyncs.list_of_request(connection, request)
    if before:
        return _asked(before, "This was asked for already")
    choice = _read(call, call.request.query, _moment_of(form, call.store.clock.now()))
    previews = [item for item in await _preview(call, choice) if item.count]
    if not previews:
        raise CommandError("Nothing is left to resync.", hint="Choose something else.", field="", rule="filter")
    _check_shown(form, previews, choice)
    asked = await request_resyncs(
        call.store, previews, priority=choice.priority, actor=call.token.name, request=request
    )
    async with call.store.reader() as connection:
        lacks_worker = await is_role_missing(connection, "worker", call.store.clock.now())
    nobody = "It waits, because no process of the service is a worker now"
    return _asked(asked, nobody if lacks_worker else "A worker begins within a second or two")


def _asked(found: Sequence[Resync], sentence: str) -> Done:
    names = ", ".join(plural(item.total, item.entity) for item in found)
    where = f"/resyncs/{found[0].id}" if len(found) == 1 else "/resyncs"
    return Done(where=where, told=f"{sentence}: {names}.")


def _moment_of(form: Form, now: datetime) -> datetime:
    """When the preview was made that a form starts: within the last day."""
    try:
        moment = datetime.fromisoformat(form.get("previewed_at", ""))
    except ValueError:
        raise FormError({"": _NO_PREVIEW}) from None
    if moment.tzinfo is None or not now - PREVIEW_LASTS <= moment <= now + CLOCK_SKEW:
        raise FormError({"": _NO_PREVIEW if moment.tzinfo is None else _OLD_PREVIEW})
    return moment.astimezone(UTC)


def _check_shown(form: Form, previews: Sequence[ResyncPreview], choice: ResyncChoice) -> None:
    """Raise FormError if there is more by now than the preview has shown; of a choice that new changes may join, by
    more than one of a hundred, and ten."""
    for item in previews:
        text = form.get(f"shown.{item.entity}", "")
        shown = int(text) if is_number(text) else 0
        spare = 0 if choice.filter.of_refused or choice.filter.keys else max(10, shown // 100)
        if item.count > shown + spare:
            more = f"There are {plural(item.count, item.entity)} by now; the preview has shown {shown:,}."
            raise FormError({"": f"{more} Nothing was begun: look at what it comes to now."})


def _refused_on(chosen: str, place: Place, now: datetime) -> str:
    """Which days are meant, in whose zone."""
    yesterday, today = (moment.astimezone(place.info).date() for moment in day_beginnings(place, now))
    days = {
        RefusedWhen.TODAY: f"today, {day(today, place)}",
        RefusedWhen.YESTERDAY: f"yesterday, {day(yesterday, place)}",
        RefusedWhen.WEEK: f"since {day(today - timedelta(days=7), place)}",
    }
    return f"{days[RefusedWhen(chosen)]} (in {place.zone})" if chosen in days else ""


async def change(call: RequestContext, form: Form, *, action: str) -> Done:
    number = path_number(call, "id", "resync")
    await change_resync(call.store, number, action, actor=call.token.name)
    where = "/resyncs" if form.get("from") == "list" else f"/resyncs/{number}"
    return Done(where=where, told=f"Resync {number}: {_DONE[action]}")


LIST = ConsolePage(path="/resyncs", title="Resyncs", template="resyncs.html.j2", load=load_resyncs)
NEW = ConsolePage(
    path="/resyncs/new", title="New resync", template="resync_new.html.j2", load=load_builder, role=Role.OPS
)
ONE = ConsolePage(path="/resyncs/{id}", title="Resync", template="resync.html.j2", load=load_resync)
PAGES = (LIST, NEW, ONE)
ACTIONS = (
    ConsoleAction(path="/resyncs/preview", act=ask_preview, page=NEW),
    ConsoleAction(path="/resyncs/start", act=start, page=NEW),
    *(
        ConsoleAction(path=f"/resyncs/{{id}}/{action}", act=partial(change, action=action), page=ONE)
        for action in ("pause", "resume", "cancel")
    ),
)
