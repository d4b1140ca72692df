"""Holds the answers of the API against the types in its OpenAPI document, which must name every field."""

from __future__ import annotations

import re
from datetime import datetime
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker

from connector.web.api import ROUTES
from connector.web.app import PREFIX
from connector.web.openapi import build_document

FORMATS = FormatChecker(["date"])


@FORMATS.checks("date-time", ValueError)
def _is_moment(value: object) -> bool:
    """With a time zone, as RFC 3339 asks."""
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


def check_answer(method: str, path: str, status: int, body: object) -> None:
    """Fail unless a successful answer is as the document says."""
    if status >= 300:
        return
    for pattern, validator in _validators(method):
        if pattern.fullmatch(path):
            errors = [f"{error.json_path}: {error.message}" for error in validator.iter_errors(body)]
            assert not errors, f"{method} {path} answers other than its document says: {errors[:5]}"
            return


@cache
def _validators(method: str) -> list[tuple[re.Pattern[str], Draft202012Validator]]:
    """Those of all paths, the ones without parameters first."""
    schemas = _document()["components"]["schemas"]
    found = []
    for route in sorted(ROUTES, key=lambda route: route.path.count("{")):
        if route.method == method and route.result is not None:
            schema = {"$ref": f"#/components/schemas/{route.result.__name__}", "components": {"schemas": schemas}}
            pattern = re.compile(PREFIX + re.sub(r"{\w+}", "[^/]+", route.path))
            found.append((pattern, Draft202012Validator(schema, format_checker=FORMATS)))
    return found


@cache
def _document() -> dict[str, Any]:
    document = build_document(PREFIX, ROUTES)
    _close(document["components"]["schemas"])
    return document


def _close(node: Any) -> None:
    """Let no object have fields that its type does not name, unless the type says so."""
    if isinstance(node, dict):
        if "properties" in node:
            node.setdefault("additionalProperties", False)
        for value in node.values():
            _close(value)
    elif isinstance(node, list):
        for value in node:
            _close(value)
