"""What the pages of the order desk share."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from aiohttp import web

from connector.web.csv_response import KIND, stream_csv
from connector.web.routing import ApiResponse, RequestContext, StreamBody, make_response


async def send_csv(
    call: RequestContext, name: str, columns: Sequence[str], rows: AsyncGenerator[Sequence[object], None]
) -> web.StreamResponse:
    """Send the rows as a sheet that a browser saves."""
    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"'}
    body = StreamBody(stream_csv(columns, rows), KIND)
    return await make_response(call.request, ApiResponse(value=body, headers=headers))
