"""The metadata that an org starts with: the standard objects as its settings want them, and a project from disk."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from connector.localorg import org_schema
from connector.localorg.metadata import sfdx_source
from connector.localorg.metadata.component import Component
from connector.localorg.metadata.deployed import DeployedMetadata
from connector.localorg.metadata.installer import install
from connector.localorg.schema import Schema
from connector.localorg.settings import OrgSettings, dump_settings, load_settings


def first_metadata(settings: OrgSettings, project: Path | None) -> DeployedMetadata:
    """Return new metadata. MetadataError names the first wrong component of the project.

    A process that starts several orgs with the same settings and components installs them once; each org gets a copy.
    """
    components = sfdx_source.read_project(project) if project else ()
    metadata = DeployedMetadata(Schema())
    metadata.restore(_install_all(dump_settings(settings), components).snapshot())
    return metadata


@lru_cache(maxsize=16)
def _install_all(settings: str, components: tuple[Component, ...]) -> DeployedMetadata:
    metadata = DeployedMetadata(org_schema.schema_for(load_settings(settings)))
    for component in components:
        install(metadata, component)
    return metadata
