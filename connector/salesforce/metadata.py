"""Our fields, events and permission set on their way into an org: packed, deployed, and watched until it is over.

An SFDX source project becomes a zip as the Metadata API takes it. Its manifest names every component by itself, so
nothing of the org's own objects is touched but what we add.
"""

from __future__ import annotations

import io
import zipfile
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from connector.clock import Clock
from connector.errors import RetryClass, SalesforceError
from connector.salesforce.control_plane import ControlPlane

NAMESPACE = "http://soap.sforce.com/2006/04/metadata"
LONGEST_SECONDS = 900.0
POLL_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_RESTARTS = (1.0, 5.0)
_PASSING = (RetryClass.TRANSIENT, RetryClass.LIMIT)
_SOURCE = "-meta.xml"
_INSIDE = {"field": ("fields", "CustomField"), "listView": ("listViews", "ListView")}
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
    """`content` is the zip, `members` what its manifest names, by metadata type."""

    content: bytes
    members: Mapping[str, tuple[str, ...]]

    @property
    def count(self) -> int:
        return sum(map(len, self.members.values()))


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Why the org refused a component; `line` of its file in the package, where the org tells one."""

    type: str
    name: str
    file: str
    line: int | None
    text: str


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """How a deployment ended."""

    id: str
    status: str
    done: int
    problems: tuple[Problem, ...] = field(default=())

    @property
    def succeeded(self) -> bool:
        return self.status == "Succeeded"


def packed(root: Path, *, version: str) -> Package:
    """The source project under `root` as a package. OSError or ParseError if it cannot be read: it is our own."""
    files: dict[str, bytes] = {}
    members: dict[str, list[str]] = defaultdict(list)
    objects: dict[str, ElementTree.Element] = {}
    for path in sorted(root.rglob(f"*{_SOURCE}")):
        stem, _, suffix = path.name.removesuffix(_SOURCE).rpartition(".")
        if suffix in _INSIDE:
            tag, type_ = _INSIDE[suffix]
            owner = path.parent.parent.name
            members[type_].append(f"{owner}.{stem}")
            source = ElementTree.parse(path).getroot()  # noqa: S314 - our own file
            source.tag = f"{{{NAMESPACE}}}{tag}"
            objects.setdefault(owner, ElementTree.Element(f"{{{NAMESPACE}}}CustomObject")).append(source)
        elif suffix == "object":
            members["CustomObject"].append(stem)
            whole = objects.setdefault(stem, ElementTree.Element(f"{{{NAMESPACE}}}CustomObject"))
            whole.extend(ElementTree.parse(path).getroot())  # noqa: S314 - our own file
        elif suffix in _FOLDERS:
            members[_FOLDERS[suffix]].append(stem)
            files[f"{path.parent.name}/{stem}{_SOURCE}"] = path.read_bytes()
        elif suffix in _TYPES:
            inside = suffix in _FOLDERS.values() or _TYPES[suffix] in _FOLDERS.values()
            name = f"{path.parent.name}/{stem}" if inside else stem
            members[_TYPES[suffix]].append(name)
            folder = f"{path.parent.parent.name}/{path.parent.name}" if inside else path.parent.name
            files[f"{folder}/{stem}.{suffix}"] = path.read_bytes()
    for name, element in objects.items():
        element[:] = sorted(element, key=lambda item: item.tag)  # repeated elements must lie together
        files[f"objects/{name}.object"] = _xml(element)
    files["package.xml"] = _manifest(members, version)
    return Package(content=_zip(files), members={name: tuple(sorted(items)) for name, items in members.items()})


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
    control: ControlPlane, package: Package, *, clock: Clock, check_only: bool, told: Callable[[int, int], None]
) -> Deployed:
    """Send a package and wait until the org is done with it; `told` hears (components done, of so many).

    All of it or nothing is deployed. SalesforceError if the org cannot be asked, or takes longer than fifteen minutes.
    """
    deployment_id = await _start(control, package.content, clock=clock, check_only=check_only)
    if not deployment_id:
        raise SalesforceError(
            "The org took the package, but gave no ID to ask after it.",
            hint="See Setup, Deployment Status, in the org.",
            retry_class=RetryClass.UNKNOWN,
        )
    end = clock.now() + timedelta(seconds=LONGEST_SECONDS)
    waits = iter(POLL_SECONDS)
    wait = 0.0
    while clock.now() < end:
        wait = next(waits, wait)
        await clock.sleep(wait)
        try:
            result = await control.run(lambda org: _asked(org, deployment_id))
        except SalesforceError as error:
            if error.retry_class not in _PASSING:
                raise
            continue  # the org works on all the same
        told(int(result.get("numberComponentsDeployed") or 0), int(result.get("numberComponentsTotal") or 0))
        if result.get("done"):
            return _ended(deployment_id, result)
    raise SalesforceError(
        f"The deployment {deployment_id} is not over after {LONGEST_SECONDS / 60:.0f} minutes.",
        hint="See Setup, Deployment Status, in the org.",
        retry_class=RetryClass.TRANSIENT,
    )


async def _start(control: ControlPlane, content: bytes, *, clock: Clock, check_only: bool) -> str | None:
    """The ID of the deployment. What passes is tried again: a package that was taken twice is deployed twice, and the
    second time changes nothing."""

    async def once() -> str | None:
        started = await control.run(
            lambda org: org.deploy(io.BytesIO(content), False, checkOnly=str(check_only).lower())
        )
        return started["asyncId"] or None

    for wait in _RESTARTS:
        try:
            return await once()
        except SalesforceError as error:
            if error.retry_class not in _PASSING:
                raise
        await clock.sleep(wait)
    return await once()


def _asked(org: Any, deployment_id: str) -> dict[str, Any]:
    answer = org.restful(f"metadata/deployRequest/{deployment_id}", params={"includeDetails": "true"})
    result: dict[str, Any] = answer["deployResult"]
    return result


def _ended(deployment_id: str, result: Mapping[str, Any]) -> Deployed:
    failures = (result.get("details") or {}).get("componentFailures") or []
    problems = tuple(
        Problem(
            type=item.get("componentType") or "",
            name=item.get("fullName") or "",
            file=item.get("fileName") or "",
            line=item.get("lineNumber"),
            text=item.get("problem") or "",
        )
        for item in failures
    )
    return Deployed(
        id=deployment_id,
        status=str(result.get("status")),
        done=int(result.get("numberComponentsDeployed") or 0),
        problems=problems,
    )


async def own_user(control: ControlPlane) -> str:
    """The ID of the user that we are signed in as."""

    def asked(org: Any) -> str:
        answer = org.session.get(f"https://{org.sf_instance}/services/oauth2/userinfo", headers=org.headers)
        answer.raise_for_status()
        return str(answer.json()["user_id"])

    return await control.run(asked)
