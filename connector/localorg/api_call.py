"""One API call and its response, as resources see them.

A call comes over HTTP, out of a composite request, or from a SOAP call. Resources do not know which.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, unquote

import orjson

from connector.localorg.errors import Refusal, json_parser_error

OLDEST_VERSION = 31
NEWEST_VERSION = 67
MAX_NESTING = 100
_SEPARATORS = re.compile("[;,]")


@dataclass(kw_only=True, slots=True)
class ApiCall:
    method: str
    version: str  # `66.0`
    tail: list[str]  # path segments after the version, decoded
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)  # lower-cased names
    body: Any = None
    raw: bytes = b""  # the body as it came, for resources that take other things than JSON
    nested: bool = False  # a subrequest of a composite resource

    @property
    def base(self) -> str:
        return f"/services/data/v{self.version}"

    @property
    def client(self) -> str:
        """The name that the caller gave itself in `Sforce-Call-Options`, or an empty text."""
        return client_name(self.headers.get("sforce-call-options", ""))

    def object_body(self) -> dict[str, Any]:
        if self.body is None:
            raise json_parser_error("The HTTP entity body is required, but this request has no entity body.")
        if not isinstance(self.body, dict):
            raise json_parser_error("Unexpected character ('[' (code 91)): expected an object at [line:1, column:1]")
        return self.body


@dataclass(slots=True)
class ApiResponse:
    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return self.status < 300


Dispatch = Callable[[ApiCall], ApiResponse]
"""Answers a call by the resource it addresses, as the router does."""


def client_name(options: str) -> str:
    """Return the client of `client=MyApp/1.0; defaultNamespace=x`."""
    parts = (part.partition("=") for part in _SEPARATORS.split(options))
    return {name.strip().lower(): value.strip() for name, _, value in parts}.get("client", "")


def error_response(refusal: Refusal) -> ApiResponse:
    return ApiResponse(refusal.status, [refusal.rest_error()])


def method_not_allowed(call: ApiCall, *allowed: str) -> Refusal:
    return Refusal(
        "METHOD_NOT_ALLOWED", f"HTTP Method '{call.method}' not allowed. Allowed are {','.join(('HEAD', *allowed))}"
    )


def _reject_constant(text: str) -> Any:
    raise ValueError(f"Unexpected token {text}")


def parse_json(raw: bytes) -> Any:
    """Parse a body. Numbers with a decimal point become Decimal, so that the field's own rounding is the only one."""
    if not raw.strip():
        return None
    try:
        body = json.loads(raw, parse_float=Decimal, parse_constant=_reject_constant)
    except (ValueError, ArithmeticError, RecursionError) as error:
        line, column = getattr(error, "lineno", 1), getattr(error, "colno", 1)
        raise json_parser_error(f"Unexpected character at [line:{line}, column:{column}]") from error
    if raw.count(b"{") + raw.count(b"[") > MAX_NESTING:
        _check_depth(body)
    return body


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_NESTING):
        level = [
            item
            for outer in level
            if isinstance(outer, dict | list)
            for item in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return
    raise json_parser_error(f"The body is nested more than {MAX_NESTING} levels deep")


def dump_json(body: Any, *, pretty: bool = False) -> bytes:
    try:
        return orjson.dumps(body, option=orjson.OPT_INDENT_2 if pretty else 0)
    except TypeError:  # values of a request that orjson rejects: huge numbers, decimals, lone surrogates
        return json.dumps(body, default=str).encode()


def split_target(target: str) -> tuple[list[str], dict[str, str]]:
    """Split a request target into decoded path segments and parameters. Doubled and trailing slashes are ignored."""
    path, _, query = target.partition("?")
    segments = [unquote(part) for part in path.split("/") if part]
    return segments, dict(parse_qsl(query, keep_blank_values=True))


def parse_version(segment: str) -> str:
    """Return `66.0` of `v66.0`. Refusal for a version that does not exist or is retired."""
    number = segment[1:] if segment[:1] in {"v", "V"} else ""
    major, dot, minor = number.partition(".")
    if not (dot and major.isascii() and major.isdigit() and minor == "0") or int(major) > NEWEST_VERSION:
        raise Refusal("NOT_FOUND", "The requested resource does not exist")
    if int(major) < OLDEST_VERSION:
        raise Refusal("UNSUPPORTED_API_VERSION", f"API version v{number} is retired and no longer available.")
    return number
