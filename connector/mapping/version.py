"""The state of a folder of mapping files: its mappings, and a digest that identifies it on other machines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources.abc import Traversable
from pathlib import Path

from connector.errors import MappingError
from connector.files import UnusableFileError, read_file
from connector.mapping.loader import SUFFIX, VALUES, read_folder, shipped_mappings
from connector.mapping.mapper import MappingSet
from connector.mapping.problems import Position
from connector.mapping.yaml_nodes import MAX_BYTES

_MAX_ATTEMPTS = 3

_MAX_LOADED = 8
_loaded: dict[tuple[str, str], MappingVersion] = {}
"""By the name of the folder, which stands in messages, and the digest. Every org of a service and every conflict that
is resolved asks for the mappings again."""


@dataclass(frozen=True, kw_only=True)
class MappingVersion:
    """Equal files have an equal `digest`, wherever they are stored."""

    digest: str
    mappings: MappingSet

    @property
    def short(self) -> str:
        return self.digest[:12]


def folder_of(directory: Path | None) -> Traversable:
    """The given folder, or the shipped mappings."""
    return shipped_mappings() if directory is None else directory


def load_version(directory: Path | None = None) -> MappingVersion:
    """The files as they are now. Raises MappingError with every problem of every file, or if they change while being
    read."""
    folder = folder_of(directory)
    for _ in range(_MAX_ATTEMPTS):
        before = _digest(folder)
        if (known := _loaded.get((folder.name, before))) is not None:
            return known
        try:
            mappings = read_folder(folder)
        except MappingError:
            if _digest(folder) == before:
                raise
            continue
        if _digest(folder) == before:  # else a file was saved meanwhile
            if len(_loaded) >= _MAX_LOADED:
                del _loaded[next(iter(_loaded))]
            version = _loaded[folder.name, before] = MappingVersion(digest=before, mappings=mappings)
            return version
    raise MappingError([f"{Position(file=folder.name)}: folder: changes all the time: try again when it is complete."])


def fingerprint(directory: Path | None = None) -> object:
    """A value that changes when a file of the folder is saved, added or removed; cheaper than the digest."""
    entries = []
    for _, file in _files(folder_of(directory)):
        if isinstance(file, Path):
            try:
                status = file.stat()
            except OSError:
                continue  # deleted or not accessible: reading it will report the problem
            entries.append((str(file), status.st_mtime_ns, status.st_size, status.st_ino))
    return tuple(entries)


def _digest(folder: Traversable) -> str:
    digest = sha256()
    for name, file in _files(folder):
        try:
            content = read_file(file, MAX_BYTES) if isinstance(file, Path) else file.read_bytes()
        except (OSError, UnusableFileError):
            content = b""  # reading it will report the problem
        digest.update(f"{name}\n{len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def _files(folder: Traversable) -> Iterator[tuple[str, Traversable]]:
    """Names and files, in the same order on every machine."""
    for prefix, place in (("", folder), (f"{VALUES}/", folder.joinpath(VALUES))):
        try:
            files = sorted(place.iterdir(), key=lambda file: file.name) if place.is_dir() else []
        except OSError:
            files = []
        for file in files:
            if file.name.endswith((SUFFIX, ".yml")) and not file.name.startswith("."):
                yield f"{prefix}{file.name}", file
