"""Read an SFDX source project from disk."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from connector.localorg.ids import ADMINISTRATOR_ID
from connector.localorg.metadata.component import DEPENDENCY_ORDER, Component, parse_file
from connector.localorg.metadata.deployed import DeployedMetadata
from connector.localorg.metadata.installer import install
from connector.localorg.schema import Schema

ENVIRONMENT = {"CONNECTOR_USER_ID": ADMINISTRATOR_ID}
"""What the Salesforce CLI reads from the environment for the `replacements` of a project: here, the user that the org
gives out credentials for."""


def read_components(root: Path) -> Iterator[Component]:
    """Yield all components in the package directories of a project, or under `root` if it is no project."""
    project = root / "sfdx-project.json"
    folders = [root]
    replacements: dict[bytes, bytes] = {}
    if project.is_file():
        described = json.loads(project.read_text(encoding="utf-8"))
        folders = [root / package["path"] for package in described["packageDirectories"]]
        for item in described.get("replacements", ()):
            replacements[item["stringToReplace"].encode()] = ENVIRONMENT[item["replaceWithEnv"]].encode()
    for folder in folders:
        for file in sorted(item for item in folder.rglob("*-meta.xml") if item.is_file()):
            content = file.read_bytes()
            for word, text in replacements.items():
                content = content.replace(word, text)
            yield from _parse(file.relative_to(folder).as_posix(), content)


@lru_cache(maxsize=512)
def _parse(path: str, content: bytes) -> tuple[Component, ...]:
    """Parse a file. A process that starts several orgs parses each file once."""
    return tuple(parse_file(path, content))


def load_project(deployed: DeployedMetadata, root: Path) -> list[str]:
    """Install a project; return the full names of its components in order. MetadataError names the first wrong one."""
    project_components = sorted(read_components(root), key=lambda item: DEPENDENCY_ORDER.index(item.type))
    for component in project_components:
        install(deployed, component)
    return [component.name for component in project_components]


def load_into_schema(schema: Schema, root: Path) -> list[str]:
    """Add to a schema what a project declares."""
    return load_project(DeployedMetadata(schema), root)
