"""Read an SFDX source project from disk."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from connector.localorg.ids import ADMINISTRATOR_ID
from connector.localorg.metadata.component import DEPENDENCY_ORDER, Component, parse_file
from connector.localorg.metadata.deployed import DeployedMetadata
from connector.localorg.metadata.installer import install
from connector.localorg.schema import Schema


class _File(NamedTuple):
    """A file, with what changes when it is written."""

    path: str
    modified: int
    size: int
    inode: int


ENVIRONMENT = {"CONNECTOR_USER_ID": ADMINISTRATOR_ID}
"""What the Salesforce CLI reads from the environment for the `replacements` of a project: here, the user that the org
gives out credentials for."""


def read_project(root: Path) -> tuple[Component, ...]:
    """Return all components in the package directories of a project, or under `root` if it is no project, in the order
    of installation."""
    project = root / "sfdx-project.json"
    folders = [root]
    replacements: dict[bytes, bytes] = {}
    if project.is_file():
        described = json.loads(project.read_text(encoding="utf-8"))
        folders = [root / package["path"] for package in described["packageDirectories"]]
        for item in described.get("replacements", ()):
            replacements[item["stringToReplace"].encode()] = ENVIRONMENT[item["replaceWithEnv"]].encode()
    files = tuple(tuple(sorted(_list_files(str(folder)))) for folder in folders)
    return _read_files(tuple(folders), files, tuple(replacements.items()))


def _list_files(folder: str) -> Iterator[_File]:
    """Yield the files of components below a folder."""
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _list_files(entry.path)
            elif entry.name.endswith("-meta.xml") and entry.is_file():
                facts = entry.stat()
                yield _File(entry.path, facts.st_mtime_ns, facts.st_size, facts.st_ino)


@lru_cache(maxsize=16)
def _read_files(
    folders: tuple[Path, ...], files: tuple[tuple[_File, ...], ...], replacements: tuple[tuple[bytes, bytes], ...]
) -> tuple[Component, ...]:
    """Read the files. A process that starts several orgs reads them again only if one has changed."""
    components: list[Component] = []
    for folder, listed in zip(folders, files, strict=True):
        for file in sorted(Path(item.path) for item in listed):
            content = file.read_bytes()
            for word, text in replacements:
                content = content.replace(word, text)
            components += _parse(file.relative_to(folder).as_posix(), content)
    return tuple(sorted(components, key=lambda item: DEPENDENCY_ORDER.index(item.type)))


@lru_cache(maxsize=512)
def _parse(path: str, content: bytes) -> tuple[Component, ...]:
    """Parse a file. A process that starts several orgs parses each file once."""
    return tuple(parse_file(path, content))


def load_project(deployed: DeployedMetadata, root: Path) -> list[str]:
    """Install a project; return the full names of its components in order. MetadataError names the first wrong one."""
    components = read_project(root)
    for component in components:
        install(deployed, component)
    return [component.name for component in components]


def load_into_schema(schema: Schema, root: Path) -> list[str]:
    """Add to a schema what a project declares."""
    return load_project(DeployedMetadata(schema), root)
