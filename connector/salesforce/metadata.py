"""Packages, deploys and watches our metadata (fields, events, permission set) through the Metadata API.

An SFDX source project becomes a zip file. Its manifest names every component, so the deployment touches nothing of the
org's own.
"""

from __future__ import annotations

import io
import zipfile
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any
from xml.etree import ElementTree

from connector.clock import Clock
from connector.errors import RetryClass, SalesforceError
from connector.salesforce.control_plane import ControlPlane

NAMESPACE = "http://soap.sforce.com/2006/04/metadata"
TIMEOUT_SECONDS = 900.0
POLL_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_RETRY_WAITS = (1.0, 5.0)
_RETRYABLE = (RetryClass.TRANSIENT, RetryClass.LIMIT)
_SOURCE = "-meta.xml"
_OBJECT_PARTS = {"field": ("fields", "CustomField"), "listView": ("listViews", "ListView")}
# Suffix of a file to its metadata type (Metadata API developer guide, "Metadata Types").
_TYPES = {
    "object": "CustomObject",
    "platformEventChannel": "PlatformEventChannel",
    "platformEventChannelMember": "PlatformEventChannelMember",
    "permissionset": "PermissionSet",
    "layout": "Layout",
    "reportType": "ReportType",
    "report": "Report",
    "dashboard": "Dashboard",
}
_FOLDERS = {"reportFolder": "Report", "dashboardFolder": "Dashboard"}


@dataclass(frozen=True, kw_only=True)
class Package:
    """`content` is the zip file; `members` are the components in its manifest, by metadata type."""

    content: bytes
    members: Mapping[str, tuple[str, ...]]

    @property
    def count(self) -> int:
        return sum(map(len, self.members.values()))


@dataclass(frozen=True, kw_only=True)
class ComponentFailure:
    """Why the org refused a component; `line` of its file in the package, if the org names one."""

    type: str
    name: str
    file: str
    line: int | None
    text: str


@dataclass(frozen=True, kw_only=True)
class DeployResult:
    """The result of a deployment."""

    id: str
    status: str
    done: int
    problems: tuple[ComponentFailure, ...] = field(default=())

    @property
    def succeeded(self) -> bool:
        return self.status == "Succeeded"


def build_package(root: Path, *, version: str, replacements: Mapping[str, str] = MappingProxyType({})) -> Package:
    """Build a package from the source project under `root`. Raises OSError or ParseError if it cannot be read.

    `replacements`: texts that differ by org, by the word that stands for them in the source (the Salesforce CLI knows
    them from `sfdx-project.json`).
    """
    files: dict[str, bytes] = {}
    members: dict[str, list[str]] = defaultdict(list)
    objects: dict[str, ElementTree.Element] = {}
    for path in sorted(root.rglob(f"*{_SOURCE}")):
        stem, _, suffix = path.name.removesuffix(_SOURCE).rpartition(".")
        if suffix in _OBJECT_PARTS:
            tag, type_ = _OBJECT_PARTS[suffix]
            owner = path.parent.parent.name
            members[type_].append(f"{owner}.{stem}")
            source = ElementTree.parse(path).getroot()  # noqa: S314 - our own file
            source.tag = f"{{{NAMESPACE}}}{tag}"
            objects.setdefault(owner, ElementTree.Element(f"{{{NAMESPACE}}}CustomObject")).append(source)
        elif suffix == "object":
            members["CustomObject"].append(stem)
            object_element = objects.setdefault(stem, ElementTree.Element(f"{{{NAMESPACE}}}CustomObject"))
            object_element.extend(ElementTree.parse(path).getroot())  # noqa: S314 - our own file
        elif suffix in _FOLDERS:
            members[_FOLDERS[suffix]].append(stem)
            files[f"{path.parent.name}/{stem}{_SOURCE}"] = path.read_bytes()
        elif suffix in _TYPES:
            inside = suffix in _FOLDERS.values() or _TYPES[suffix] in _FOLDERS.values()
            name = f"{path.parent.name}/{stem}" if inside else stem
            members[_TYPES[suffix]].append(name)
            folder = f"{path.parent.parent.name}/{path.parent.name}" if inside else path.parent.name
            files[f"{folder}/{stem}.{suffix}"] = _replace(path.read_bytes(), replacements)
    for name, element in objects.items():
        element[:] = sorted(element, key=lambda item: item.tag)  # repeated elements must lie together
        files[f"objects/{name}.object"] = _xml(element)
    files["package.xml"] = _manifest(members, version)
    return Package(content=_zip(files), members={name: tuple(sorted(items)) for name, items in members.items()})


def _replace(content: bytes, replacements: Mapping[str, str]) -> bytes:
    for word, text in replacements.items():
        content = content.replace(word.encode(), text.encode())
    return content


def _manifest(members: Mapping[str, list[str]], version: str) -> bytes:
    root = ElementTree.Element(f"{{{NAMESPACE}}}Package")
    for type_ in sorted(members):
        types = ElementTree.SubElement(root, f"{{{NAMESPACE}}}types")
        for name in sorted(members[type_]):
            ElementTree.SubElement(types, f"{{{NAMESPACE}}}members").text = name
        ElementTree.SubElement(types, f"{{{NAMESPACE}}}name").text = type_
    ElementTree.SubElement(root, f"{{{NAMESPACE}}}version").text = version
    return _xml(root)


def _xml(element: ElementTree.Element) -> bytes:
    ElementTree.indent(element, space="    ")
    text: bytes = ElementTree.tostring(element, encoding="UTF-8", xml_declaration=True, default_namespace=NAMESPACE)
    return text


def _zip(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(files):
            archive.writestr(zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0)), files[path])
    return buffer.getvalue()


async def deploy(
    control: ControlPlane, package: Package, *, clock: Clock, check_only: bool, on_progress: Callable[[int, int], None]
) -> DeployResult:
    """Deploy a package and wait for the result; `on_progress` receives (components done, total).

    Everything is deployed or nothing. Raises SalesforceError if the org is unavailable or takes longer than fifteen
    minutes.
    """
    deployment_id = await _start_deployment(control, package.content, clock=clock, check_only=check_only)
    if not deployment_id:
        raise SalesforceError(
            "The org took the package, but gave no ID to ask after it.",
            hint="See Setup, Deployment Status, in the org.",
            retry_class=RetryClass.UNKNOWN,
        )
    end = clock.now() + timedelta(seconds=TIMEOUT_SECONDS)
    waits = iter(POLL_SECONDS)
    wait = 0.0
    while clock.now() < end:
        wait = next(waits, wait)
        await clock.sleep(wait)
        try:
            result = await control.run(lambda org: _get_status(org, deployment_id))
        except SalesforceError as error:
            if error.retry_class not in _RETRYABLE:
                raise
            continue  # the org continues to deploy
        on_progress(int(result.get("numberComponentsDeployed") or 0), int(result.get("numberComponentsTotal") or 0))
        if result.get("done"):
            return _build_result(deployment_id, result)
    raise SalesforceError(
        f"The deployment {deployment_id} is not over after {TIMEOUT_SECONDS / 60:.0f} minutes.",
        hint="See Setup, Deployment Status, in the org.",
        retry_class=RetryClass.TRANSIENT,
    )


async def _start_deployment(control: ControlPlane, content: bytes, *, clock: Clock, check_only: bool) -> str | None:
    """Start the deployment and return its ID. Passing errors are retried: a package that was accepted twice is deployed
    twice, and the second time changes nothing."""

    async def start() -> str | None:
        started = await control.run(
            lambda org: org.deploy(io.BytesIO(content), False, checkOnly=str(check_only).lower())
        )
        return started["asyncId"] or None

    for wait in _RETRY_WAITS:
        try:
            return await start()
        except SalesforceError as error:
            if error.retry_class not in _RETRYABLE:
                raise
        await clock.sleep(wait)
    return await start()


def _get_status(org: Any, deployment_id: str) -> dict[str, Any]:
    answer = org.restful(f"metadata/deployRequest/{deployment_id}", params={"includeDetails": "true"})
    result: dict[str, Any] = answer["deployResult"]
    return result


def _build_result(deployment_id: str, result: Mapping[str, Any]) -> DeployResult:
    failures = (result.get("details") or {}).get("componentFailures") or []
    problems = tuple(
        ComponentFailure(
            type=item.get("componentType") or "",
            name=item.get("fullName") or "",
            file=item.get("fileName") or "",
            line=item.get("lineNumber"),
            text=item.get("problem") or "",
        )
        for item in failures
    )
    return DeployResult(
        id=deployment_id,
        status=str(result.get("status")),
        done=int(result.get("numberComponentsDeployed") or 0),
        problems=problems,
    )
