"""The doctor: checks of the whole installation, from the settings to the org."""

from __future__ import annotations

from connector.model.health_check import DoctorReport
from connector.model.role import Role
from connector.web.routing import ApiResponse, RequestContext, Route


async def get_doctor(call: RequestContext) -> ApiResponse:
    """Check everything, or give the report of somebody who asked seconds ago."""
    return ApiResponse(value=await call.doctor())


ROUTES = (
    Route(method="GET", path="/doctor", role=Role.OPS, handler=get_doctor, result=DoctorReport,
          summary="Checks of the whole installation, from the settings to the org: what is wrong, and what to do."),
)  # fmt: skip
