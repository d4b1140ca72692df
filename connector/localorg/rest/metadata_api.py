"""`metadata/deployRequest`: deployments by REST.

(Metadata API developer guide, "Deploying and Retrieving Metadata with the REST API".)
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING, Any

from connector.localorg.api_call import ApiCall, ApiResponse, method_not_allowed, parse_json
from connector.localorg.errors import Refusal, not_found
from connector.localorg.field_values import format_timestamp
from connector.localorg.metadata.deployments import OPTIONS, ComponentMessage, Deployment
from connector.localorg.rest.multipart import parse_parts

if TYPE_CHECKING:
    from connector.localorg.org import Org

QUEUE_SECONDS = 0.05
MAX_ZIP_BYTES = 39 * 1024 * 1024
TEST_LEVELS = {"NoTestRun", "RunSpecifiedTests", "RunLocalTests", "RunAllTestsInOrg"}


def handle(org: Org, call: ApiCall) -> ApiResponse:
    match [call.tail[1].lower() if len(call.tail) > 1 else "", *call.tail[2:]]:
        case ["deployrequest"]:
            if call.method != "POST":
                raise method_not_allowed(call, "POST")
            return ApiResponse(201, _render_deployment(org, call, _start_from_multipart(org, call), details=False))
        case ["deployrequest", deployment_id] if call.method == "POST":
            return ApiResponse(201, _render_deployment(org, call, _quick_deploy(org, deployment_id), details=False))
        case ["deployrequest", deployment_id]:
            return _handle_deployment(org, call, deployment_id)
    raise not_found()


def _start_from_multipart(org: Org, call: ApiCall) -> Deployment:
    content_type = call.headers.get("content-type", "")
    if not content_type.lower().startswith("multipart/form-data"):
        raise Refusal("UNSUPPORTED_MEDIA_TYPE", "A deployment is multipart/form-data, with the parts json and file.")
    described, content = parse_parts(call.raw, content_type, "json", "file")
    body = parse_json(described)
    options = body.get("deployOptions") if isinstance(body, dict) else None
    return start_deployment(org, content, options if isinstance(options, dict) else {})


def _quick_deploy(org: Org, deployment_id: str) -> Deployment:
    """Deploy what was validated."""
    checked = org.deployments.find(deployment_id)
    if checked is None:
        raise not_found()
    started = org.deployments.quick_deploy(checked)
    if started is None:
        raise Refusal("INVALID_ID_FIELD", f"{deployment_id} is no validation that can be deployed")
    asyncio.get_running_loop().call_later(QUEUE_SECONDS, org.deployments.run, started)
    return started


def _is_valid_option(name: str, value: Any) -> bool:
    """Whether the value of a deploy option has the right type."""
    if name == "runTests":
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    return isinstance(value, type(OPTIONS[name]))


def start_deployment(org: Org, content: bytes, deploy_options: dict[str, Any]) -> Deployment:
    if len(content) > MAX_ZIP_BYTES:
        raise Refusal("LIMIT_EXCEEDED", "Maximum size of request reached. Maximum size of request is 52428800 bytes.")
    unknown = sorted(deploy_options.keys() - OPTIONS.keys())
    if unknown:
        raise Refusal("JSON_PARSER_ERROR", f'Unrecognized field "{unknown[0]}" of the deploy options')
    invalid = next(
        (name for name, value in deploy_options.items() if value is not None and not _is_valid_option(name, value)),
        None,
    )
    if invalid:
        raise Refusal("JSON_PARSER_ERROR", f'The option "{invalid}" has a value of another type')
    options = OPTIONS | {name: value for name, value in deploy_options.items() if value is not None}
    if options["testLevel"] not in TEST_LEVELS:
        raise Refusal("INVALID_OPERATION", f"testLevel of '{options['testLevel']}' is not valid")
    started = org.deployments.start(content, options)
    asyncio.get_running_loop().call_later(QUEUE_SECONDS, org.deployments.run, started)
    return started


def _handle_deployment(org: Org, call: ApiCall, deployment_id: str) -> ApiResponse:
    deployment = org.deployments.find(deployment_id)
    if deployment is None:
        raise not_found()
    if call.method in {"GET", "HEAD"}:
        return ApiResponse(
            200,
            _render_deployment(org, call, deployment, details=call.params.get("includeDetails", "").lower() == "true"),
        )
    if call.method == "PATCH":
        body = parse_json(call.raw)
        result = body.get("deployResult") if isinstance(body, dict) else None
        if not isinstance(result, dict) or result.get("status") != "Canceling":
            raise Refusal("INVALID_INPUT", "The only thing to set is the status Canceling.")
        org.deployments.cancel(deployment)
        return ApiResponse(202, _render_deployment(org, call, deployment, details=False))
    raise method_not_allowed(call, "GET", "PATCH")


def _render_deployment(org: Org, call: ApiCall, deployment: Deployment, *, details: bool) -> dict[str, Any]:
    return {
        "id": deployment.id,
        "url": f"{org.url}{call.base}/metadata/deployRequest/{deployment.id}",
        "deployResult": render_deploy_result(org, deployment, details=details),
        "deployOptions": deployment.options,
    }


def render_deploy_result(org: Org, deployment: Deployment, *, details: bool) -> dict[str, Any]:
    """A DeployResult."""
    identity = org.auth.identity
    body: dict[str, Any] = {
        "id": deployment.id,
        "status": deployment.status,
        "done": deployment.done,
        "success": deployment.status in {"Succeeded", "SucceededPartial"},
        "checkOnly": deployment.options["checkOnly"],
        "ignoreWarnings": deployment.options["ignoreWarnings"],
        "rollbackOnError": deployment.options["rollbackOnError"],
        "runTestsEnabled": False,
        "numberComponentsTotal": deployment.total,
        "numberComponentsDeployed": len(deployment.successes),
        "numberComponentErrors": len(deployment.failures),
        "numberTestsTotal": 0,
        "numberTestsCompleted": 0,
        "numberTestErrors": 0,
        "createdBy": identity.user_id,
        "createdByName": "Local Administrator",
        "createdDate": _format_time(deployment.created),
        "startDate": _format_time(deployment.created),
        "lastModifiedDate": _format_time(deployment.completed or deployment.created),
        "completedDate": _format_time(deployment.completed) if deployment.completed else None,
        "errorMessage": deployment.error,
        "errorStatusCode": "INVALID_ID_FIELD" if deployment.error else None,
        "stateDetail": None,
    }
    if details:
        body["details"] = {
            "componentSuccesses": [_render_message(item, deployment) for item in deployment.successes],
            "componentFailures": [_render_message(item, deployment) for item in deployment.failures],
            "retrieveResult": None,
            "runTestResult": {"numFailures": 0, "numTestsRun": 0, "totalTime": 0.0},
        }
    return body


def _render_message(item: ComponentMessage, deployment: Deployment) -> dict[str, Any]:
    return {
        "componentType": item.type,
        "fullName": item.name,
        "fileName": item.file,
        "success": item.success,
        "created": item.created,
        "changed": item.success and not (item.problem or item.deleted),
        "deleted": item.deleted,
        "warning": bool(item.success and item.problem),
        "id": None,
        "createdDate": _format_time(deployment.created),
        "problem": item.problem,
        "problemType": None if not item.problem else "Warning" if item.success else "Error",
        "lineNumber": item.line or None,
        "columnNumber": None if item.success else 1,
    }


def _format_time(moment: datetime) -> str:
    return format_timestamp(moment).replace("+0000", "Z")
