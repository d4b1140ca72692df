"""Administration under `/_org`, which no real org has: counters, the call log, fault injection. It needs a bearer
token.
"""

from __future__ import annotations

from dataclasses import asdict
from decimal import Decimal
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson
from aiohttp import web

from connector.localorg.api_call import parse_json
from connector.localorg.errors import Refusal, not_found
from connector.localorg.seed import parse_triggers

if TYPE_CHECKING:
    from connector.localorg.org import Org

_MAX_DIGITS = 9
_MAX_NAME_LENGTH = 80


def _json(body: Any, status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(body), content_type="application/json")


def _check_same_origin(request: web.Request) -> None:
    """Refuse pages of other sites while the org listens on loopback, even under a name of theirs that leads here."""
    listens = request.transport.get_extra_info("sockname") if request.transport else None
    if not listens or not is_loopback(str(listens[0])):
        return
    origin = request.headers.get("Origin")
    own = {f"http://{request.host}", f"https://{request.host}"}
    if not is_loopback(urlsplit(f"//{request.host}").hostname or "") or (origin is not None and origin not in own):
        raise Refusal("FORBIDDEN", "Pages of other sites have no access here.", status=403)


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


async def handle(org: Org, request: web.Request, segments: list[str]) -> web.StreamResponse:
    _check_same_origin(request)
    if org.auth.bearer_session(request.headers.get("Authorization")) is None:
        raise Refusal("INVALID_SESSION_ID", "Session expired or invalid")
    match request.method, segments[1:]:
        case "GET", ["usage"]:
            return _json(org.usage.as_dict())
        case "POST", ["usage", "reset"]:
            org.usage.reset()
            org.usage.log.clear()
            return _json(org.usage.as_dict())
        case "GET", ["calls"]:
            limit = request.query.get("limit", "100")
            if not limit.isascii() or not limit.isdigit() or len(limit) > _MAX_DIGITS:
                raise Refusal("INVALID_INPUT", "limit: must be a whole number")
            return _json(org.usage.recent_calls(int(limit)))
        case "GET", ["faults"]:
            return _json(org.faults.as_dict())
        case "POST", ["faults"]:
            return _json(await _configure_faults(org, request))
        case "DELETE", ["faults"]:
            org.faults.clear()
            return _json(org.faults.as_dict())
        case "GET", ["events"]:
            return _json(org.hub.as_dict())
        case "POST", ["events"]:
            return _json(await _configure_events(org, request))
        case "POST", ["events", "lose"]:
            org.hub.bus.drop_all()
            return _json(org.hub.as_dict())
        case "GET", ["triggers"]:
            return _json([asdict(item) for item in org.settings.triggers])
        case "PUT", ["triggers"]:
            try:
                org.set_triggers(parse_triggers(_plain_numbers(parse_json(await request.read()))))
            except ValueError as error:
                raise Refusal("INVALID_INPUT", " ".join(str(error).split())) from None
            return _json([asdict(item) for item in org.settings.triggers])
        case "PUT", ["managed-subscriptions", name]:
            return _json(await _define_subscription(org, request, name))
        case "POST", ["sessions", "expire"]:
            org.auth.end_sessions()
            return web.Response(status=204)
        case "PUT", ["jwt-key"]:
            try:
                org.auth.register_key((await request.read()).decode())
            except ValueError as error:
                raise Refusal("INVALID_INPUT", f"The public key cannot be read: {error}") from None
            return web.Response(status=204)
    raise not_found()


def _plain_numbers(body: Any) -> Any:
    """Turn the decimals of parsed JSON into floats."""
    match body:
        case dict():
            return {name: _plain_numbers(item) for name, item in body.items()}
        case list():
            return [_plain_numbers(item) for item in body]
        case Decimal():
            return float(body)
    return body


async def _configure_events(org: Org, request: web.Request) -> dict[str, Any]:
    try:
        org.hub.configure(await _json_object(request))
    except ValueError as error:
        raise Refusal("INVALID_INPUT", str(error)) from error
    return org.hub.as_dict()


async def _define_subscription(org: Org, request: web.Request, name: str) -> dict[str, Any]:
    options = await _json_object(request)
    if len(name) > _MAX_NAME_LENGTH or not all(isinstance(value, str) for value in options.values()):
        raise Refusal(
            "INVALID_INPUT", f"All values must be texts, and the name at most {_MAX_NAME_LENGTH} characters long."
        )
    try:
        subscription = org.managed_subscriptions.define(name, **options)
    except TypeError:
        raise Refusal("INVALID_INPUT", "topic is required; starts, recovers and state are optional") from None
    except ValueError as error:
        raise Refusal("INVALID_INPUT", str(error)) from error
    return {"id": subscription.id, "name": subscription.name, "topic": subscription.topic, "state": subscription.state}


async def _json_object(request: web.Request) -> dict[str, Any]:
    body = parse_json(await request.read())
    if not isinstance(body, dict):
        raise Refusal("INVALID_INPUT", "The body must be a JSON object.")
    return body


async def _configure_faults(org: Org, request: web.Request) -> dict[str, Any]:
    body = await _json_object(request)
    try:
        org.faults.configure(body)
    except ValueError as error:
        raise Refusal("INVALID_INPUT", str(error)) from error
    return org.faults.as_dict()
