"""The deployment calls of the SOAP Metadata API: deploy, checkDeployStatus, cancelDeploy."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

from connector.localorg.errors import Refusal
from connector.localorg.metadata.deployments import OPTIONS, Deployment
from connector.localorg.metadata.xml import Element
from connector.localorg.rest import metadata_api
from connector.localorg.soap.envelope import METADATA, tag

if TYPE_CHECKING:
    from connector.localorg.org import Org


def handle(org: Org, call: Element) -> str | None:
    """The body of the answer to one call; None if it is none of a deployment."""
    answer = {"checkDeployStatus": _check, "cancelDeploy": _cancel, "deploy": _deploy}.get(call.name)
    return None if answer is None else answer(org, call)


def _deploy(org: Org, call: Element) -> str:
    try:
        content = base64.b64decode("".join(call.get("ZipFile").split()), validate=True)
    except (binascii.Error, ValueError):
        raise Refusal("INVALID_ZIP_FILE", "ZipFile is not base64.") from None
    given = call.child("DeployOptions") or call.child("deployOptions")
    wanted: dict[str, Any] = {}
    for name, default in OPTIONS.items():
        value = given.get(name) if given else ""
        if value and isinstance(default, bool):
            wanted[name] = value.lower() == "true"
        elif value and name == "testLevel":
            wanted[name] = value
    started = metadata_api.start_deployment(org, content, wanted)
    told = {"done": False, "id": started.id, "state": "Queued"}
    return f'<deployResponse xmlns="{METADATA.own}">{tag("result", told)}</deployResponse>'


def _check(org: Org, call: Element) -> str:
    found = _require_deployment(org, call)
    told = metadata_api.render_deploy_result(org, found, details=call.get("includeDetails").lower() == "true")
    return f'<checkDeployStatusResponse xmlns="{METADATA.own}">{tag("result", told)}</checkDeployStatusResponse>'


def _cancel(org: Org, call: Element) -> str:
    found = _require_deployment(org, call)
    org.deployments.cancel(found)
    told = {"done": found.done, "id": found.id}
    return f'<cancelDeployResponse xmlns="{METADATA.own}">{tag("result", told)}</cancelDeployResponse>'


def _require_deployment(org: Org, call: Element) -> Deployment:
    wanted = call.get("asyncProcessId") or call.get("String")
    found = org.deployments.find(wanted)
    if found is None:
        raise Refusal("INVALID_CROSS_REFERENCE_KEY", f"invalid cross reference id: {wanted[:80]}")
    return found
