"""Problem documents (RFC 9457): every error response names field and rule, and reveals no internals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler

from connector.errors import CommandError, ConnectorError, RetryClass, StoreError
from connector.log import get_logger, request_id

CONTENT_TYPE = "application/problem+json"
STATUS_OF_RULE = {
    "unknown": 404,
    "input": 422,
    "field": 422,
    "quantity": 422,
    "amount": 422,
    "lines": 422,
    "product": 422,
}
"""The status of a rejected command by its rule; any other rule is a conflict with the order's state (409)."""

log = get_logger("web")


class ProblemError(Exception):
    """A request is rejected. `errors` lists the faults of a body, each with field, rule and detail."""

    def __init__(
        self,
        status: int,
        rule: str,
        detail: str,
        *,
        field: str | None = None,
        hint: str = "",
        errors: Sequence[Mapping[str, str]] = (),
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.headers: Mapping[str, str] = {}
        self.body: dict[str, Any] = {
            "type": f"/problems/{rule}",
            "title": rule.replace("_", " ").capitalize(),
            "status": status,
            "detail": detail,
            "rule": rule,
        }
        self.body |= {
            name: value for name, value in (("field", field), ("hint", hint), ("errors", list(errors))) if value
        }

    def with_headers(self, headers: Mapping[str, str]) -> ProblemError:
        """Set the headers of the response, and return this problem."""
        self.headers = headers
        return self

    def response(self) -> web.Response:
        return web.Response(
            status=self.status, body=orjson.dumps(self.body), content_type=CONTENT_TYPE, headers=dict(self.headers)
        )


@web.middleware
async def render_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every exception into a problem document. Only the request log is a middleware outside of this one."""
    try:
        return await handler(request)
    except ProblemError as problem:
        return problem.response()
    except CommandError as error:
        status = STATUS_OF_RULE.get(error.rule, 409)
        return ProblemError(status, error.rule, error.message, field=error.field, hint=error.hint).response()
    except StoreError as error:
        if error.retry_class is RetryClass.DATA:
            return ProblemError(422, "reference", error.message, hint=error.hint).response()
        if not error.is_unavailable:  # that is said once, and not with every request
            log.error("database", error=str(error))
        return ProblemError(
            503, "database", "The database cannot be used at the moment.", hint="Try again later."
        ).response()
    except ConnectorError as error:
        return ProblemError(409, "refused", error.message, hint=error.hint).response()
    except web.HTTPRequestEntityTooLarge:
        return ProblemError(413, "too_large", "The body is too large.", hint="Send a smaller body.").response()
    except web.HTTPException as error:
        headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        hint = f"Allowed here: {headers['Allow']}." if headers else ""
        if error.status == HTTPStatus.NOT_FOUND:
            hint = "/openapi.json lists all paths."
        refused = ProblemError(error.status, "http", f"{error.reason}: {request.method} {request.path}.", hint=hint)
        return refused.with_headers(headers).response()
    except Exception:
        log.exception("internal_error")
        hint = f"Report the request ID {request_id.get()} to the operator."
        return ProblemError(500, "internal", "Internal error of the connector.", hint=hint).response()
