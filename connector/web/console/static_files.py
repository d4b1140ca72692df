"""The files for the browser: styles, scripts, icons. Another content has another address, so browsers keep them."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from importlib.resources import files

from aiohttp import web

from connector import design
from connector.web.problem import ProblemError

_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml", "txt": "text/plain"}
_OF_DESIGN = frozenset({"icons.svg", "mark.svg"})


@cache
def _file(name: str) -> tuple[bytes, str] | None:
    """The content of a file for the browser, and the digest that its address carries."""
    if name in _OF_DESIGN:
        content = design.read(name).encode()
    else:
        known = {item.name: item for item in (files("connector.web.console") / "static").iterdir()}
        if name not in known:
            return None
        content = known[name].read_bytes()
    if name == "console.css":
        content = "".join(map(design.read, design.SHARED)).encode() + content
    return content, sha256(content).hexdigest()[:12]


def asset_address(name: str) -> str:
    found = _file(name)
    assert found is not None, name
    return f"/static/{name}?{found[1]}"


async def send_file(request: web.Request) -> web.Response:
    """A file for the browser, which keeps it: another content has another address."""
    name = request.match_info["name"]
    found = _file(name)
    if found is None:
        raise ProblemError(404, "unknown", "There is no such file.")
    content, digest = found
    headers = {"ETag": f'"{digest}"'}
    if request.query_string == digest:
        headers["Cache-Control"] = "public, max-age=31536000, immutable"
    response = web.Response(body=content, content_type=_TYPES[name.rsplit(".", 1)[1]], charset="utf-8", headers=headers)
    response.enable_compression()
    return response
