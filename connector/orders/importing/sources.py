"""Find the files that the paths of the command line stand for, in the order in which they are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from connector.errors import UsageError
from connector.orders.importing.profile import Profile

OBJECTS = (".ndjson", ".jsonl")


@dataclass(kw_only=True)
class Sources:
    """`tables`: CSV files by their name in the profile, several for a name; `objects`: NDJSON files."""

    tables: dict[str, list[Path]] = field(default_factory=dict)
    objects: list[Path] = field(default_factory=list)

    @property
    def paths(self) -> list[Path]:
        return list(dict.fromkeys([*(path for paths in self.tables.values() for path in paths), *self.objects]))

    def names(self) -> dict[Path, str]:
        """Return the name of each file in messages: its file name, or its path if two have the same name."""
        count = [path.name for path in self.paths]
        return {path: path.name if count.count(path.name) == 1 else str(path) for path in self.paths}


def find_sources(paths: Sequence[Path], profile: Profile) -> Sources:
    """Return the files at `paths`; from a folder, those that the profile names.

    Raises UsageError if a path does not exist, the profile does not name a file, or a file of the profile is missing.
    """
    sources = Sources(tables={name: [] for name in profile.files})
    seen: set[tuple[str, Path]] = set()

    def add(name: str, path: Path) -> None:
        if (name, path.resolve()) not in seen:
            seen.add((name, path.resolve()))
            (sources.tables[name] if name else sources.objects).append(path)

    for path in paths:
        if not path.exists():
            raise UsageError(f"{path} does not exist.", hint="Correct the path.")
        files = _match_folder(path, profile) if path.is_dir() else _match_file(path, profile)
        for name, file in files:
            add(name, file)
    missing = sorted(file for name, file in profile.files.items() if not sources.tables[name])
    if missing and not profile.own:
        are = "is" if len(missing) == 1 else "are"
        raise UsageError(f"The profile needs {', '.join(missing)}, which {are} not there.", hint="Add what is missing.")
    sources.tables = {name: files for name, files in sources.tables.items() if files}
    return sources


def _match_folder(folder: Path, profile: Profile) -> list[tuple[str, Path]]:
    inside = [(name, folder / file) for name, file in profile.files.items() if (folder / file).is_file()]
    if profile.own:
        inside += [("", file) for file in sorted(folder.iterdir()) if file.suffix in OBJECTS and file.is_file()]
    if not inside:
        hint = (
            "Rename the files, or describe them with --profile."
            if profile.own
            else "Name the files, or correct `files` in the profile."
        )
        raise UsageError(f"{folder} contains none of {', '.join(profile.files.values())}.", hint=hint)
    return inside


def _match_file(path: Path, profile: Profile) -> list[tuple[str, Path]]:
    names = [name for name, file in profile.files.items() if Path(file).name == path.name]
    if names:
        return [(name, path) for name in names]
    if path.suffix in OBJECTS:
        if profile.own:
            return [("", path)]
        raise UsageError(f"{path.name} is NDJSON, which --profile cannot read.", hint="Import it without --profile.")
    if not profile.own and len(set(profile.files.values())) == 1:
        return [(name, path) for name in profile.files]
    hint = (
        "Rename the files, or describe them with --profile."
        if profile.own
        else "Give it that name, or correct `files` in the profile."
    )
    raise UsageError(f"{path.name} is not one of {', '.join(profile.files.values())}.", hint=hint)
