"""The token of a request."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from connector.model.role import Role
from connector.web.routing import ApiResponse, RequestContext, Route


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenView:
    """Under which name a caller acts, what it may do, and until when; None for a token that does not expire."""

    name: str
    role: str
    expires_at: datetime | None


async def get_token(call: RequestContext) -> ApiResponse:
    token = call.token
    return ApiResponse(value=TokenView(name=token.name, role=token.role.value, expires_at=token.expires_at))


ROUTES = (
    Route(method="GET", path="/token", role=Role.VIEWER, handler=get_token, result=TokenView,
          summary="The token of this request: its name, role and end."),
)  # fmt: skip
