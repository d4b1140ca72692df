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
    """Return the body of the response; None if the call is not about deployments."""
    act = {"checkDeployStatus": _check, "cancelDeploy": _cancel, "deploy": _deploy}.get(call.name)
    return None if act is None else act(org, call)


def _deploy(org: Org, call: Element) -> str:
    try:
        content = base64.b64decode("".join(call.get("ZipFile").split()), validate=True)
    except (binascii.Error, ValueError):
        raise Refusal("INVALID_ZIP_FILE", "ZipFile is not base64.") from None
    element = call.child("DeployOptions") or call.child("deployOptions")
    options: dict[str, Any] = {}
    for name, default in OPTIONS.items():
        value = element.get(name) if element else ""
        if value and isinstance(default, bool):
            options[name] = value.lower() == "true"
        elif value and name == "testLevel":
            options[name] = value
    started = metadata_api.start_deployment(org, content, options)
    result = {"done": False, "id": started.id, "state": "Queued"}
    return f'<deployResponse xmlns="{METADATA.own}">{tag("result", result)}</deployResponse>'


def _check(org: Org, call: Element) -> str:
    deployment = _require_deployment(org, call)
    result = metadata_api.render_deploy_result(org, deployment, details=call.get("includeDetails").lower() == "true")
    return f'<checkDeployStatusResponse xmlns="{METADATA.own}">{tag("result", result)}</checkDeployStatusResponse>'


def _cancel(org: Org, call: Element) -> str:
    deployment = _require_deployment(org, call)
    org.deployments.cancel(deployment)
    result = {"done": deployment.done, "id": deployment.id}
    return f'<cancelDeployResponse xmlns="{METADATA.own}">{tag("result", result)}</cancelDeployResponse>'


def _require_deployment(org: Org, call: Element) -> Deployment:
    deployment_id = call.get("asyncProcessId") or call.get("String")
    deployment = org.deployments.find(deployment_id)
    if deployment is None:
        raise Refusal("INVALID_CROSS_REFERENCE_KEY", f"invalid cross reference id: {deployment_id[:80]}")
    return deployment
