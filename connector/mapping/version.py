"""The state of a folder of mapping files: its mappings, and a digest that identifies it on other machines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources.abc import Traversable
from pathlib import Path

from connector.errors import MappingError
from connector.files import UnusableFileError, read_file
from connector.mapping.loader import SUFFIX, VALUES, name_of, read_folder, shipped_mappings
from connector.mapping.mapper import MappingSet
from connector.mapping.problems import Position
from connector.mapping.text_folder import TextFolder, Texts, check_texts
from connector.mapping.yaml_nodes import MAX_BYTES

_MAX_ATTEMPTS = 3

_MAX_LOADED = 8
_loaded: dict[tuple[str, str], MappingVersion] = {}
"""By the name of the folder in messages, and the digest. Every org of a service and every conflict that
is resolved asks for the mappings again."""


@dataclass(frozen=True, kw_only=True)
class MappingVersion:
    """Equal files have an equal `digest`, wherever they are stored. `texts` are the files."""

    digest: str
    mappings: MappingSet
    texts: Texts

    @property
    def short(self) -> str:
        return self.digest[:12]


def folder_of(directory: Path | None) -> Traversable:
    """The given folder, or the shipped mappings."""
    return shipped_mappings() if directory is None else directory


def load_version(directory: Path | None = None) -> MappingVersion:
    """The files as they are now. Raises MappingError with every problem of every file, or if they change while being
    read."""
    folder, name = folder_of(directory), name_of(directory)
    for _ in range(_MAX_ATTEMPTS):
        contents = _read_contents(folder)
        before = _digest(contents)
        if (known := _loaded.get((name, before))) is not None:
            return known
        try:
            mappings = read_folder(folder, name)
        except MappingError:
            if _digest(_read_contents(folder)) == before:
                raise
            continue
        if _digest(_read_contents(folder)) == before:  # else a file was saved meanwhile
            texts = {path: content.decode() for path, content in contents.items()}
            return _keep(name, MappingVersion(digest=before, mappings=mappings, texts=texts))
    raise MappingError([f"{Position(file=name)}: folder: changes all the time: try again when it is complete."])


def load_texts(texts: Texts) -> MappingVersion:
    """The version with these files. Raises MappingError with every problem of every file."""
    check_texts(texts)
    folder, digest = TextFolder(texts), digest_of(texts)
    if (known := _loaded.get((folder.name, digest))) is not None:
        return known
    return _keep(folder.name, MappingVersion(digest=digest, mappings=read_folder(folder), texts=dict(texts)))


def read_texts(directory: Path | None = None) -> Texts:
    """The files of a folder, valid or not. Raises MappingError if one cannot be read as text."""
    texts, problems = {}, []
    for name, file in _files(folder_of(directory)):
        try:
            content = read_file(file, MAX_BYTES) if isinstance(file, Path) else file.read_bytes()
            texts[name] = content.decode()
        except UnicodeDecodeError:
            problems.append(f"{file}: file: is not UTF-8: save it as UTF-8.")
        except (OSError, UnusableFileError) as error:
            problems.append(f"{file}: file: {error}: correct it, or take it away.")
    if problems:
        raise MappingError(problems)
    return texts


def digest_of(texts: Texts) -> str:
    """The digest of a version with these files."""
    return _digest({name: text.encode() for name, text in texts.items()})


def _keep(folder: str, version: MappingVersion) -> MappingVersion:
    if len(_loaded) >= _MAX_LOADED:
        del _loaded[next(iter(_loaded))]
    _loaded[folder, version.digest] = version
    return version


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


def _read_contents(folder: Traversable) -> dict[str, bytes]:
    contents = {}
    for name, file in _files(folder):
        try:
            contents[name] = read_file(file, MAX_BYTES) if isinstance(file, Path) else file.read_bytes()
        except (OSError, UnusableFileError):
            contents[name] = b""  # reading it will report the problem
    return contents


def _digest(contents: Mapping[str, bytes]) -> str:
    """The files of the folder come before those of its value tables, each by name."""
    digest = sha256()
    for name in sorted(contents, key=lambda name: ("/" in name, name)):
        digest.update(f"{name}\n{len(contents[name])}\n".encode())
        digest.update(contents[name])
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
