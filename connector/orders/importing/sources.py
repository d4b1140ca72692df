"""The files that are meant by the paths of the command line, in the order in which they are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from connector.errors import UsageError
from connector.orders.importing.profile import Profile

OBJECTS = (".ndjson", ".jsonl")


@dataclass(kw_only=True)
class Sources:
    """`tables`: CSV files by their name in the profile; `objects`: NDJSON. Of each name several may be given."""

    tables: dict[str, list[Path]] = field(default_factory=dict)
    objects: list[Path] = field(default_factory=list)

    @property
    def paths(self) -> list[Path]:
        return list(dict.fromkeys([*(path for paths in self.tables.values() for path in paths), *self.objects]))

    def names(self) -> dict[Path, str]:
        """What messages call them: the name, and the path where two have the same name."""
        count = [path.name for path in self.paths]
        return {path: path.name if count.count(path.name) == 1 else str(path) for path in self.paths}


def find_sources(paths: Sequence[Path], profile: Profile) -> Sources:
    """Files as given; of a folder, those that the profile names. UsageError for what is not there or means nothing."""
    found = Sources(tables={name: [] for name in profile.files})
    seen: set[tuple[str, Path]] = set()

    def add(name: str, path: Path) -> None:
        if (name, path.resolve()) not in seen:
            seen.add((name, path.resolve()))
            (found.tables[name] if name else found.objects).append(path)

    for path in paths:
        if not path.exists():
            raise UsageError(f"There is no {path}.")
        named = _in_folder(path, profile) if path.is_dir() else _of_file(path, profile)
        for name, file in named:
            add(name, file)
    missing = sorted(file for name, file in profile.files.items() if not found.tables[name])
    if missing and not profile.own:
        raise UsageError(f"The profile needs {', '.join(missing)}, which is not there.")
    found.tables = {name: files for name, files in found.tables.items() if files}
    return found


def _in_folder(folder: Path, profile: Profile) -> list[tuple[str, Path]]:
    inside = [(name, folder / file) for name, file in profile.files.items() if (folder / file).is_file()]
    if profile.own:
        inside += [("", file) for file in sorted(folder.iterdir()) if file.suffix in OBJECTS and file.is_file()]
    if not inside:
        hint = "Name a profile with --profile." if profile.own else "Name the files, or correct `files` in the profile."
        raise UsageError(f"There is none of {', '.join(profile.files.values())} in {folder}.", hint=hint)
    return inside


def _of_file(path: Path, profile: Profile) -> list[tuple[str, Path]]:
    names = [name for name, file in profile.files.items() if Path(file).name == path.name]
    if names:
        return [(name, path) for name in names]
    if path.suffix in OBJECTS:
        if profile.own:
            return [("", path)]
        raise UsageError(f"{path.name} is NDJSON, which is our own form.", hint="Import it without --profile.")
    if not profile.own and len(set(profile.files.values())) == 1:
        return [(name, path) for name in profile.files]
    hint = "Name a profile with --profile." if profile.own else "Give it that name, or correct `files` in the profile."
    raise UsageError(f"{path.name} is none of {', '.join(profile.files.values())}.", hint=hint)
