"""What no real org offers: its counters, its call log, and the switches that make it misbehave. Bearer token needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from connector.localorg.errors import Refusal, not_found
from connector.localorg.http.call import parse_json

if TYPE_CHECKING:
    from connector.localorg.org import Org


def _json(body: Any, status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(body), content_type="application/json")


async def answer(org: Org, request: web.Request, segments: list[str]) -> web.StreamResponse:
    if org.auth.bearer(request.headers.get("Authorization")) is None:
        raise Refusal("INVALID_SESSION_ID", "Session expired or invalid")
    match request.method, segments[1:]:
        case "GET", ["usage"]:
            return _json(org.usage.told())
        case "POST", ["usage", "reset"]:
            org.usage.reset()
            org.usage.log.clear()
            return _json(org.usage.told())
        case "GET", ["calls"]:
            limit = request.query.get("limit", "100")
            if not limit.isascii() or not limit.isdigit():
                raise Refusal("INVALID_INPUT", "limit: a whole number is needed")
            return _json(org.usage.recent(int(limit)))
        case "GET", ["faults"]:
            return _json(org.faults.told())
        case "POST", ["faults"]:
            return _json(await _configure(org, request))
        case "DELETE", ["faults"]:
            org.faults.clear()
            return _json(org.faults.told())
        case "GET", ["events"]:
            return _json(org.hub.told())
        case "POST", ["events"]:
            return _json(await _set_events(org, request))
        case "POST", ["events", "lose"]:
            org.hub.bus.lose()
            return _json(org.hub.told())
        case "PUT", ["managed-subscriptions", name]:
            return _json(await _define_managed(org, request, name))
        case "POST", ["sessions", "expire"]:
            org.auth.end_sessions()
            return web.Response(status=204)
        case "PUT", ["jwt-key"]:
            org.auth.register_key(await request.text())
            return web.Response(status=204)
    raise not_found()


async def _set_events(org: Org, request: web.Request) -> dict[str, Any]:
    try:
        org.hub.configure(await _object(request))
    except ValueError as error:
        raise Refusal("INVALID_INPUT", str(error)) from error
    return org.hub.told()


async def _define_managed(org: Org, request: web.Request, name: str) -> dict[str, Any]:
    wanted = await _object(request)
    try:
        found = org.managed.define(name, **wanted)
    except TypeError:
        raise Refusal("INVALID_INPUT", "topic, and starts, recovers or state") from None
    except ValueError as error:
        raise Refusal("INVALID_INPUT", str(error)) from error
    return {"id": found.id, "name": found.name, "topic": found.topic, "state": found.state}


async def _object(request: web.Request) -> dict[str, Any]:
    wanted = parse_json(await request.read())
    if not isinstance(wanted, dict):
        raise Refusal("INVALID_INPUT", "an object is needed")
    return wanted


async def _configure(org: Org, request: web.Request) -> dict[str, Any]:
    wanted = await _object(request)
    try:
        org.faults.configure(wanted)
    except ValueError as error:
        raise Refusal("INVALID_INPUT", str(error)) from error
    return org.faults.told()
