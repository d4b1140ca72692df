"""Build the OpenAPI document from the routes, so that it always describes what the server does."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from pydantic import TypeAdapter

from connector.web.request_body import JSON
from connector.web.routing import Route

PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "rule"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "rule": {"type": "string"},
        "field": {"type": "string"},
        "hint": {"type": "string"},
        "errors": {"type": "array", "items": {"type": "object"}},
    },
}
_PROBLEM_RESPONSE = {
    "description": "Refused: a problem document (RFC 9457) that names field and rule.",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


_QUERIES = {
    "limit": {"type": "string", "pattern": "^(0{0,2}[1-9]|0?[1-9][0-9]|1[0-9]{2}|200)?$"},
    "before": {"type": "string", "pattern": "^[0-9]{0,18}$"},
}
"""Query parameters that mean the same everywhere. An empty one counts as absent."""
_HEADERS = {
    "If-Match": {"type": "string", "description": "An ETag: change only that version; * for any."},
    "If-None-Match": {"type": "string", "enum": ["*"], "description": "Create only."},
    "Idempotency-Key": {
        "type": "string", "pattern": "^[A-Za-z0-9_-]{1,80}$",
        "description": "Your own name for this request, such as a UUID: it is executed once, however often it is sent.",
    },
}  # fmt: skip


def _query_schema(route: Route, name: str) -> dict[str, Any]:
    if name in route.choices:
        return {"type": "string", "enum": [*route.choices[name], *(() if name in route.required else ("",))]}
    return _QUERIES.get(name, {"type": "string", **({"minLength": 1} if name in route.required else {})})


def build_document(prefix: str, routes: Sequence[Route]) -> dict[str, Any]:
    schemas: dict[str, Any] = {"Problem": PROBLEM}
    paths: dict[str, Any] = {}
    for route in routes:
        paths.setdefault(prefix + route.path, {})[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "connector", "version": version("crm-connector")},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


def _content(route: Route, schemas: dict[str, Any]) -> dict[str, Any]:
    if route.result is None:
        return {route.kind: {"schema": {"type": "object" if route.kind == JSON else "string"}}}
    schema = TypeAdapter(route.result).json_schema(mode="serialization", ref_template="#/components/schemas/{model}")
    schemas |= schema.pop("$defs", {})
    schemas[route.result.__name__] = schema
    return {route.kind: {"schema": {"$ref": f"#/components/schemas/{route.result.__name__}"}}}


def _operation(route: Route, schemas: dict[str, Any]) -> dict[str, Any]:
    content = _content(route, schemas)
    operation: dict[str, Any] = {
        "summary": route.summary,
        "description": f"Needs the role {route.role}.",
        "operationId": f"{route.method.lower()}{re.sub(r'[^a-zA-Z]+', '_', route.path)}",
        "parameters": [
            *(
                {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
                for name in re.findall(r"{(\w+)}", route.path)
            ),
            *(
                {
                    "name": name,
                    "in": "query",
                    "description": about,
                    "schema": _query_schema(route, name),
                    **({"required": True} if name in route.required else {}),
                }
                for name, about in route.all_queries.items()
            ),
            *({"name": name, "in": "header", "schema": _HEADERS[name]} for name in route.headers),
        ],
        "responses": {
            **{str(status): {"description": "Done.", "content": content} for status in route.statuses},
            "default": _PROBLEM_RESPONSE,
        },
    }
    if route.body is not None:
        schema = route.body.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= schema.pop("$defs", {})
        schemas[route.body.__name__] = schema
        reference = {"$ref": f"#/components/schemas/{route.body.__name__}"}
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": reference}}}
    return operation
