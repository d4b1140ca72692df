"""A zip as the Metadata API takes it: `package.xml` and the files that it names."""

from __future__ import annotations

import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from connector.localorg.metadata.component import DEPENDENCY_ORDER, KINDS, Component, parse_file
from connector.localorg.metadata.xml import MetadataError, parse_xml

MAX_FILES = 10_000
MAX_BYTES = 400 * 1024 * 1024
_DESTRUCTIVE = {"destructiveChangesPre.xml": True, "destructiveChanges.xml": True, "destructiveChangesPost.xml": False}
_IMPLIED_BY = {"CustomField": "CustomObject", "ListView": "CustomObject"}  # named with the object they are part of


_UNREADABLE = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, NotImplementedError, RuntimeError, EOFError, OSError,
    ValueError, LookupError, ArithmeticError,
)  # fmt: skip
"""Exceptions that the library raises for a corrupt zip."""


class ArchiveError(Exception):
    """The zip as a whole cannot be used."""


@dataclass(frozen=True, slots=True)
class Removal:
    """A component to delete, before (`first`) or after the others are installed."""

    type: str
    name: str
    file: str
    first: bool = False


@dataclass
class Archive:
    components: list[Component] = field(default_factory=list)
    problems: list[tuple[str, MetadataError]] = field(default_factory=list)  # (type, problem)
    removals: list[Removal] = field(default_factory=list)


def open_archive(content: bytes) -> Archive:
    """Return the components of a zip. ArchiveError if it is no zip or has no readable manifest."""
    files = _read_files(content)
    manifest = files.pop("package.xml", None)
    if manifest is None:
        raise ArchiveError("No package.xml found")
    try:
        members = _manifest_members(manifest)
    except MetadataError as error:
        raise ArchiveError(f"package.xml: {error.problem} (line {error.line})") from None
    archive = Archive()
    for path, text in files.items():
        if path in _DESTRUCTIVE:
            _add_removals(archive, path, text)
            continue
        try:
            archive.components += parse_file(path, text)
        except MetadataError as error:
            kind = next((item.type for item in KINDS if path.startswith(f"{item.folder}/")), "")
            archive.problems.append((kind, MetadataError(path, error.line, error.problem)))
    _apply_manifest(archive, members)
    return archive


def _read_files(content: bytes) -> dict[str, bytes]:
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
        names = [item for item in archive.infolist() if not item.is_dir()]
        if len(names) > MAX_FILES or sum(item.file_size for item in names) > MAX_BYTES:
            raise ArchiveError("The package is too large: at most 10,000 files and 400 MB")
        files = {item.filename: archive.read(item) for item in names}
    except _UNREADABLE as error:
        raise ArchiveError(f"The zip cannot be read: {error}") from None
    if "package.xml" not in files:  # one folder around everything is taken, too
        inner = {name.partition("/")[2]: text for name, text in files.items() if "/" in name}
        if "package.xml" in inner and len(inner) == len(files):
            return inner
    return files


def _add_removals(archive: Archive, path: str, text: bytes) -> None:
    try:
        members = _manifest_members(text, path)
    except MetadataError as error:
        raise ArchiveError(f"{path}: {error.problem} (line {error.line})") from None
    if any("*" in names for names in members.values()):
        raise ArchiveError(f"{path}: components to delete are named one by one, not by *")
    first = _DESTRUCTIVE[path]
    archive.removals += [Removal(kind, name, path, first) for kind, names in members.items() for name in sorted(names)]


def _manifest_members(manifest: bytes, file: str = "package.xml") -> Mapping[str, set[str]]:
    """Return the members of a manifest by type."""
    members: dict[str, set[str]] = {}
    package = parse_xml(manifest, file)
    if package.name != "Package":
        raise MetadataError(file, package.line, f"{file} must hold a Package, not {package.name}")
    for types in package.children_named("types"):
        name = types.get("name")
        if name not in DEPENDENCY_ORDER:
            raise MetadataError(file, types.line, f"Unknown type name '{name}' specified in {file}")
        members.setdefault(name, set()).update(member.text.strip() for member in types.children_named("members"))
    return members


def _apply_manifest(archive: Archive, members_by_type: Mapping[str, set[str]]) -> None:
    """Keep the components that the manifest names; add a problem for each that it names and the zip lacks."""

    def is_listed(type_: str, name: str) -> bool:
        members = members_by_type.get(_family(type_), set()) | members_by_type.get(type_, set())
        owner = members_by_type.get(_IMPLIED_BY.get(type_, ""), set())
        return bool(members & {name, "*"}) or bool(owner & {name.partition(".")[0], "*"})

    present = {(item.type, item.name) for item in archive.components}
    archive.components = [item for item in archive.components if is_listed(item.type, item.name)]
    for type_, members in members_by_type.items():
        for name in sorted(members - {"*"}):
            folder = (f"{type_}Folder", name)
            if (type_, name) not in present and folder not in present:
                missing = "was named in package.xml, but was not found in zipped directory"
                problem = f"An object '{name}' of type {type_} {missing}"
                archive.problems.append((type_, MetadataError("package.xml", 1, problem)))


def _family(type_: str) -> str:
    """Return the type under which the manifest lists a folder: that of the members in it."""
    return type_.removesuffix("Folder")
