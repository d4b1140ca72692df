"""A page that is a CSV file."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from aiohttp import web

from connector.web.csv_response import KIND, stream_csv
from connector.web.routing import ApiResponse, RequestContext, StreamBody, make_response


async def send_csv(
    call: RequestContext, name: str, columns: Sequence[str], rows: AsyncGenerator[Sequence[object], None]
) -> web.StreamResponse:
    """Send the rows as they come, as a file of this name."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    body = StreamBody(stream_csv(columns, rows), KIND)
    return await make_response(call.request, ApiResponse(value=body, headers=headers))
