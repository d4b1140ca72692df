"""`connector mappings`: the mappings as versions: check, apply, history, roll back, export."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from connector.cli import app
from connector.cli.mapping_folder import MappingFolder, read_folder
from connector.cli.mapping_text import print_plan
from connector.cli.output import as_json, moment, table
from connector.cli.runner import run
from connector.errors import CommandError, UsageError
from connector.wording import plural

if TYPE_CHECKING:
    from connector.jobs.mappings.activation import Request
    from connector.jobs.mappings.admin import MappingAdmin
    from connector.jobs.mappings.views import Applied, CheckedOrg, FileDiff, VersionSummary

T = TypeVar("T")

mappings_app = typer.Typer(
    help="The mappings as versions: check files, make them active, look at versions, return to an earlier one.",
    short_help="Check, apply and roll back field mappings.",
)
app.add_typer(mappings_app, name="mappings")

Json = Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")]
Number = Annotated[int, typer.Argument(help="The version's number, from `mappings history`.", min=1)]
Folder = Annotated[
    Path | None,
    typer.Option(
        "--dir", help="The folder of the files; else that of CONNECTOR_MAPPINGS_DIR, or the shipped ones.",
        show_default=False,
    ),
]  # fmt: skip
Note = Annotated[str, typer.Option(help="Why; it stands in the history.", show_default=False)]
NoResync = Annotated[
    bool, typer.Option("--no-resync", help="Records get the new values with their next change, not now.")
]


@mappings_app.command(short_help="Say what is wrong with mapping files.")
def check(
    folder: Folder = None,
    active: Annotated[bool, typer.Option("--active", help="The active version instead of files.")] = False,
    refresh: Annotated[
        bool, typer.Option("--refresh/--stored", help="Ask the org what it is like, or use what it said last.")
    ] = True,
    json: Json = False,
) -> None:
    """Check the syntax of mapping files and, if an org is known, whether it accepts what they map: fields, types,
    lengths, permissions and picklist values. Each problem has its line. Exit status 1 if there is an error."""
    if active and folder is not None:
        raise UsageError("--active: give either --active or --dir.")

    async def work(admin: MappingAdmin) -> None:
        files = MappingFolder(texts=await _load_active(admin)) if active else read_folder(admin, folder)
        report = files.show_report(await admin.lint(files.texts, refresh=refresh))
        errors = sum(item.level == "error" for item in report.problems)
        if json:
            as_json({**asdict(report), "errors": errors})
        else:
            for item in report.problems:
                typer.echo(f"{item.level}: {item}")
            _print_checked(report.orgs, errors, len(report.problems) - errors)
        if errors:
            raise typer.Exit(1)

    run_admin(work)


def _print_checked(orgs: Sequence[CheckedOrg], errors: int, warnings: int) -> None:
    known = [f"org {org.org_id} as of {moment(org.fetched_at)}" for org in orgs]
    against = f"Checked against {' and '.join(known)}" if known else "Checked without an org: none is known yet"
    typer.echo(f"{against}: {plural(errors, 'error')}, {plural(warnings, 'warning')}.")


@mappings_app.command(short_help="Say what mapping files would change.")
def plan(
    folder: Folder = None,
    rollback_to: Annotated[
        int | None, typer.Option("--rollback", help="A return to this version instead.", min=1, show_default=False)
    ] = None,
    orders: Annotated[
        list[str] | None,
        typer.Option("--order", metavar="NUMBER", help="Show this order; can be repeated.", show_default=False),
    ] = None,
    limit: Annotated[int, typer.Option(help="How many changes of fields to show.", min=1, max=1000)] = 20,
    json: Json = False,
) -> None:
    """Say what mapping files would change, if they were active: the fields of your orders, customers and products, both
    ways, with numbers, API calls and the risk. Nothing is changed. `mappings apply PLAN` applies the plan for a day, as
    long as no other version becomes active."""
    if rollback_to is not None and folder is not None:
        raise UsageError("--rollback: give either --rollback or --dir.")

    async def work(admin: MappingAdmin) -> None:
        from connector.jobs.mappings.planning import PlanRequest
        from connector.store.journal import command_line_actor

        request, actor = PlanRequest(limit=limit, orders=tuple(orders or ())), command_line_actor()
        if rollback_to is not None:
            found = await admin.plan_rollback(rollback_to, actor=actor, request=request)
        else:
            files = read_folder(admin, folder)
            with files.shown_errors():
                found = files.show_plan(await admin.plan(files.texts, actor=actor, request=request))
        if json:
            as_json(asdict(found))
        else:
            print_plan(found)

    run_admin(work)


@mappings_app.command(short_help="Make mapping files the active version.")
def apply(
    plan_id: Annotated[
        str | None,
        typer.Argument(metavar="[PLAN]", help="The plan's ID, from `mappings plan`.", show_default=False),
    ] = None,
    folder: Folder = None,
    note: Note = "",
    no_resync: NoResync = False,
    json: Json = False,
) -> None:
    """Make mapping files, or those of a plan, the active version, for every running process at once, and have the
    service send what they change. Files with errors are refused."""
    if plan_id is not None and folder is not None:
        raise UsageError("PLAN: give either a plan or --dir.")

    async def work(admin: MappingAdmin) -> None:
        if plan_id is not None:
            request = request_of(note, source="command line", resync=not no_resync)
            applied = await admin.apply_plan(plan_id, request)
        else:
            files = read_folder(admin, folder)
            request = request_of(note, source=files.source, is_folder=True, resync=not no_resync)
            with files.shown_errors():
                applied = await admin.apply(files.texts, request)
        print_applied(applied, json=json)

    run_admin(work)


@mappings_app.command(short_help="Return to an earlier version.")
def rollback(number: Number, note: Note = "", no_resync: NoResync = False, json: Json = False) -> None:
    """Make the content of an earlier version a new version, and have the service send what that changes. A field that
    only the present version maps keeps the value that it has in the org."""

    async def work(admin: MappingAdmin) -> None:
        request = request_of(note or f"Return to version {number}.", source="command line", resync=not no_resync)
        print_applied(await admin.rollback(number, request), json=json)

    run_admin(work)


@mappings_app.command(short_help="List the versions, the newest first.")
def history(
    before: Annotated[int | None, typer.Option(help="Only with a smaller number.", min=1, show_default=False)] = None,
    limit: Annotated[int, typer.Option(help="How many.", min=1, max=1000)] = 20,
    json: Json = False,
) -> None:
    """List the versions, the newest first: when each became active, by whom, why, and which files it changed."""

    async def work(admin: MappingAdmin) -> None:
        found = await admin.list_versions(before=before, limit=limit)
        if json:
            as_json([asdict(item) for item in found])
        elif not found:
            typer.echo("No version was active yet: the first push, or `connector mappings apply`, makes one.")
        else:
            rows = [_row(item) for item in found]
            table(("Version", "Since", "By", "Changed", "Note"), rows)

    run_admin(work)


def _row(item: VersionSummary) -> tuple[object, ...]:
    changed = ", ".join(item.changed) if item.has_content else "not stored"
    name = f"{item.number} (active)" if item.active else str(item.number)
    return name, moment(item.activated_at), item.author or item.source, changed, item.note or ""


@mappings_app.command(short_help="Show one version.")
def show(
    number: Annotated[
        int | None, typer.Argument(help="The version's number; else the active one.", min=1, show_default=False)
    ] = None,
    file: Annotated[str | None, typer.Option(help="Print only this file: order.yaml.", show_default=False)] = None,
    json: Json = False,
) -> None:
    """Show a version: since when, by whom, why, and its files."""

    async def work(admin: MappingAdmin) -> None:
        found = await admin.get_active() if number is None else await admin.get_version(number)
        if found is None:
            raise _none_active()
        if file is not None:
            if file not in found.texts:
                hint = f"Use one of {', '.join(found.texts)}." if found.texts else "Its content is not stored."
                raise UsageError(f"--file: version {found.number} has no {file!r}.", hint=hint)
            typer.echo(found.texts[file], nl=False)
        elif json:
            as_json(asdict(found))
        else:
            typer.echo(f"Version {found.number}{', active' if found.active else ''} ({found.digest[:12]})")
            typer.echo(f"  since {moment(found.activated_at)}, by {found.author or found.source} ({found.origin})")
            if found.note:
                typer.echo(f"  {found.note}")
            if found.base is not None:
                typer.echo(f"  replaced version {found.base}; changed: {', '.join(found.changed) or 'nothing'}")
            for path, text in found.texts.items():
                typer.echo(f"  {path}: {plural(len(text.splitlines()), 'line')}")

    run_admin(work)


@mappings_app.command(short_help="Show what differs between two versions.")
def diff(first: Number, second: Number, json: Json = False) -> None:
    """Show the lines that differ between two versions."""

    async def work(admin: MappingAdmin) -> None:
        found = await admin.diff_versions(first, second)
        if json:
            as_json([asdict(item) for item in found])
        else:
            _print_diff(found)

    run_admin(work)


def _print_diff(found: list[FileDiff]) -> None:
    for item in found:
        for line in item.lines:
            typer.echo(line)
    if not found:
        typer.echo("They are the same.")


@mappings_app.command(short_help="List what changes in the org break in the mappings.")
def drift(
    all_: Annotated[bool, typer.Option("--all", help="Also what is over.")] = False,
    refresh: Annotated[bool, typer.Option("--refresh", help="Ask the org first what it is like.")] = False,
    accept: Annotated[
        bool, typer.Option("--accept", help="Compare with the org as it is now from now on; errors stay.")
    ] = False,
    json: Json = False,
) -> None:
    """List what an admin changed in the org that breaks the active mappings, or may concern them, since when, and the
    lines. A service looks every quarter of an hour at what the org last said of itself. Exit status 1 if there is an
    error."""

    async def work(admin: MappingAdmin) -> None:
        from connector.jobs.mappings.drift import watch_drift
        from connector.jobs.mappings.org_profiles import refresh_orgs
        from connector.store.journal import command_line_actor

        if refresh:
            await refresh_orgs(admin.store, admin.settings)
            await watch_drift(admin.store, admin.settings)
        if accept:
            await admin.accept_drift(actor=command_line_actor())
        found = await admin.list_drift(healed=all_)
        if json:
            as_json([asdict(item) for item in found])
        for item in [] if json else found:
            over = "" if item.healed_at is None else f", over since {moment(item.healed_at)}"
            org = f" in org {item.org}" if item.org else ""
            typer.echo(f"{item.level}: {item.text}{org}")
            typer.echo(f"  since {moment(item.first_seen)}{over}; {', '.join(item.places)}")
        if not found and not json:
            typer.echo("No change in the org concerns the mappings.")
        if any(item.level == "error" and item.healed_at is None for item in found):
            raise typer.Exit(1)

    run_admin(work)


@mappings_app.command(short_help="Print the JSON Schema of mapping files.")
def schema() -> None:
    """Print the JSON Schema of mapping files and value tables, with which an editor completes and checks them:
    `connector mappings schema > mappings/.schema.json`, and in the first line of a file
    `# yaml-language-server: $schema=.schema.json`."""
    from connector.mapping.json_schema import build_schema

    as_json(build_schema())


@mappings_app.command(short_help="Write a version to files.")
def export(
    folder: Annotated[Path, typer.Argument(help="The folder; it is made if it is not there.")],
    number: Annotated[
        int | None, typer.Option("--number", help="The version; else the active one.", min=1, show_default=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that differ, delete those it lacks.")] = False,
) -> None:
    """Write the files of a version to a folder, to edit them there. With CONNECTOR_MAPPINGS_DIR set to the folder, an
    edit of the active version becomes the next one."""

    async def work(admin: MappingAdmin) -> None:
        from connector.jobs.mappings.files import source_of

        active = await admin.get_active()
        if number is None and active is None:
            raise _none_active()
        chosen = number or (0 if active is None else active.number)
        written = _write(folder, await admin.get_texts(chosen), force=force)
        if active is not None and chosen == active.number:
            await admin.record_export(chosen, source_of(folder))
        typer.echo(f"{plural(written, 'file')} written to {folder}.")

    run_admin(work)


def _write(folder: Path, texts: Mapping[str, str], *, force: bool) -> int:
    from connector.mapping.text_folder import check_texts
    from connector.mapping.version import read_texts

    check_texts(texts)
    present = read_texts(folder) if folder.is_dir() else {}
    differing = sorted(path for path, text in present.items() if texts.get(path) != text)
    if differing and not force:
        raise UsageError(
            f"FOLDER: {folder} has files that differ: {', '.join(differing)}.",
            hint="Use another folder, or --force to replace them.",
        )
    for path in differing:
        if path not in texts:
            (folder / path).unlink()
    changed = [path for path, text in texts.items() if present.get(path) != text]
    for path in changed:
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(texts[path].encode())
    return len(changed)


def print_applied(applied: Applied, *, json: bool) -> None:
    if json:
        as_json(asdict(applied))
        return
    typer.echo(f"Version {applied.version.number} of the mappings is active; every running process follows it.")
    if applied.resyncs:
        numbers = ", ".join(map(str, applied.resyncs))
        typer.echo(
            f"The service sends what it changes (resync {numbers}); `connector resyncs list` says how far it is."
        )


def request_of(note: str, *, source: str, resync: bool, is_folder: bool = False) -> Request:
    from connector.jobs.mappings.activation import Request
    from connector.store.journal import command_line_actor

    return Request(actor=command_line_actor(), note=note, source=source, is_folder=is_folder, resync=resync)


async def _load_active(admin: MappingAdmin) -> Mapping[str, str]:
    found = await admin.get_active()
    if found is None:
        raise _none_active()
    return await admin.get_texts(found.number)


def _none_active() -> CommandError:
    hint = "The first push, or `connector mappings apply`, makes the files active."
    return CommandError("No version of the mappings is active yet.", hint=hint, field="number", rule="unknown")


def run_admin(work: Callable[[MappingAdmin], Awaitable[T]]) -> T:
    return run(_with_admin(work))


async def _with_admin(work: Callable[[MappingAdmin], Awaitable[T]]) -> T:
    from connector.jobs.mappings.admin import MappingAdmin
    from connector.log import configure
    from connector.settings import load_settings
    from connector.store.schema import open_store

    settings = load_settings()
    configure(settings.log_level, **settings.log_options)
    async with open_store(settings) as store:
        return await work(MappingAdmin(store=store.for_org(None) if settings.orgs else store, settings=settings))
