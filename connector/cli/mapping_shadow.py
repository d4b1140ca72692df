"""`connector mappings shadow`: a version that is computed for real traffic, and writes nothing."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli.mapping_folder import read_folder
from connector.cli.mapping_text import print_shadow
from connector.cli.mappings import Folder, Json, Note, mappings_app, print_applied, request_of, run_admin
from connector.cli.output import as_json
from connector.errors import UsageError

if TYPE_CHECKING:
    from connector.jobs.mappings.admin import MappingAdmin


@mappings_app.command(short_help="Compute files for real traffic, and write nothing.")
def shadow(
    start: Annotated[bool, typer.Option("--start", help="Begin with the files of --dir.")] = False,
    apply: Annotated[bool, typer.Option("--apply", help="End it, and make its files active.")] = False,
    discard: Annotated[bool, typer.Option("--discard", help="End it.")] = False,
    folder: Folder = None,
    note: Note = "",
    json: Json = False,
) -> None:
    """Show the version that is computed beside the active one for everything that is sent, and writes nothing: how
    often its values would have differed, by field, with samples. `--start` begins it, `--apply` or `--discard` ends
    it."""
    if start + apply + discard > 1:
        raise UsageError("Give only one of --start, --apply and --discard.")

    async def work(admin: MappingAdmin) -> None:
        from connector.store.journal import command_line_actor

        if apply:
            print_applied(await admin.apply_shadow(request_of(note, source="command line", resync=True)), json=json)
            return
        if discard:
            await admin.discard_shadow(actor=command_line_actor())
            typer.echo("The shadow was discarded.")
            return
        if start:
            files = read_folder(admin, folder)
            with files.shown_errors():
                await admin.start_shadow(files.texts, actor=command_line_actor(), note=note)
        found = await admin.get_shadow()
        if json:
            as_json(None if found is None else asdict(found))
        elif found is None:
            typer.echo("There is no shadow: `connector mappings shadow --start` begins one.")
        else:
            print_shadow(found)

    run_admin(work)
