"""The folder of mapping files that a command works on.

Stored versions have no folder, so positions in mapping files name none; here they get the path by which a person can
open the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from connector.errors import MappingError, UsageError

if TYPE_CHECKING:
    from connector.jobs.mappings.admin import MappingAdmin
    from connector.jobs.mappings.views import LintReport, MappingPlan
    from connector.mapping.meaning import MappingChange


@dataclass(frozen=True, kw_only=True, slots=True)
class MappingFolder:
    """`texts` are the files; `path` is the folder as it was given, or `mappings` if it was not; `source` the name of
    the folder as a source of versions."""

    texts: Mapping[str, str]
    path: str = "mappings"
    source: str = ""

    def show(self, place: str) -> str:
        """Return `place`, which begins with the path of a mapping file, with the folder."""
        from connector.mapping.problems import show_in_folder

        return show_in_folder(place, self.path)

    def show_report(self, report: LintReport) -> LintReport:
        return replace(report, problems=[replace(item, file=self.show(item.file)) for item in report.problems])

    def show_plan(self, plan: MappingPlan) -> MappingPlan:
        warnings = [self.show(text) for text in plan.numbers.warnings]
        changes = [self._show_change(change) for change in plan.changes]
        return replace(plan, numbers=replace(plan.numbers, warnings=warnings), changes=changes)

    def _show_change(self, change: MappingChange) -> MappingChange:
        """A change with the place of its line; what was removed has one in the former version only."""
        from connector.mapping.meaning import ChangeKind
        from connector.mapping.problems import FOLDER

        if change.source is None:
            return change
        is_removed = change.kind is ChangeKind.REMOVED or change.after == "removed"
        inside = change.source.removeprefix(f"{FOLDER}/")
        return replace(change, source=f"before: {inside}" if is_removed else f"{self.path}/{inside}")

    @contextmanager
    def shown_errors(self) -> Iterator[None]:
        """Name the folder in a MappingError of the block."""
        try:
            yield
        except MappingError as error:
            raise MappingError([self.show(problem) for problem in error.problems]) from None


def read_folder(admin: MappingAdmin, folder: Path | None) -> MappingFolder:
    """The folder of an option, or else that of the settings."""
    from connector.jobs.mappings.files import source_of
    from connector.mapping.loader import name_of
    from connector.mapping.version import read_texts

    chosen = folder or admin.settings.mappings_dir
    if chosen is not None and not chosen.is_dir():
        option = "--dir" if folder is not None else "CONNECTOR_MAPPINGS_DIR"
        raise UsageError(f"{option}: there is no folder {chosen}.", hint="Correct it.")
    return MappingFolder(texts=read_texts(chosen), path=name_of(chosen), source=source_of(chosen))
