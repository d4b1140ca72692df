"""`/search` and `/parameterizedSearch`: SOSL over REST. Frozen: see README.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connector.localorg import soql, sosl
from connector.localorg.api_call import ApiCall, ApiResponse, method_not_allowed
from connector.localorg.errors import Refusal

if TYPE_CHECKING:
    from connector.localorg.org import Org

_WRAPPED_SINCE_VERSION = 37.0  # before, the answer is a bare list


def handle(org: Org, call: ApiCall) -> ApiResponse:
    if call.tail[1:]:
        raise Refusal("NOT_FOUND", "The requested resource does not exist")
    if call.tail[0].lower() == "search":
        if call.method not in {"GET", "HEAD"}:
            raise method_not_allowed(call, "GET")
        text = call.params.get("q")
        if not text:
            raise sosl.malformed_search("No search string is specified")
        search = sosl.parse_search(text)
    elif call.method == "POST":
        search = _search_from_body(call.object_body())
    elif call.method in {"GET", "HEAD"}:
        search = _search_from_params(call)
    else:
        raise method_not_allowed(call, "GET", "POST")

    def run_soql(text: str) -> list[dict[str, Any]]:
        try:
            result = soql.run_query(
                org.storage.connection, org.schema, text, version=call.version, all_rows=False, now=org.clock()
            )
        except soql.SoqlError as error:
            raise Refusal(error.code, error.message) from error
        return result.records

    records = sosl.run_search(org.schema, search, run_soql)
    return ApiResponse(200, {"searchRecords": records} if float(call.version) >= _WRAPPED_SINCE_VERSION else records)


def _term(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise sosl.malformed_search("The parameter q is required")
    return value


def _number(value: Any, default: int) -> int:
    return int(value) if str(value).isdigit() else default


def _search_from_params(call: ApiCall) -> sosl.SoslSearch:
    params = call.params
    names = [name for name in params.get("sobject", "").split(",") if name]
    returning = []
    for name in names:
        fields = params.get(f"{name}.fields") or params.get("fields") or "Id"
        limit = params.get(f"{name}.limit") or params.get("defaultLimit")
        condition = params.get(f"{name}.where")
        rest = (f"WHERE {condition} " if condition else "") + (
            f"LIMIT {_number(limit, sosl.MAX_RECORDS)}" if limit else ""
        )
        returning.append(sosl.ReturnedObject(sobject=name, fields=tuple(fields.split(",")), rest=rest))
    return sosl.SoslSearch(
        term=_term(params.get("q")),
        field_group=_field_group(params.get("in", "ALL")),
        returning=tuple(returning),
        limit=_number(params.get("overallLimit"), sosl.MAX_RECORDS),
    )


def _search_from_body(body: dict[str, Any]) -> sosl.SoslSearch:
    returning = []
    for item in body.get("sobjects") or []:
        if not isinstance(item, dict) or not isinstance(item.get("name"), str):
            raise Refusal("JSON_PARSER_ERROR", "sobjects: a list of objects with a name is needed")
        fields = item.get("fields") or body.get("fields") or ["Id"]
        limit = item.get("limit") or body.get("defaultLimit")
        rest = (f"WHERE {item['where']} " if item.get("where") else "") + (
            f"LIMIT {_number(limit, sosl.MAX_RECORDS)}" if limit else ""
        )
        returning.append(sosl.ReturnedObject(sobject=item["name"], fields=tuple(map(str, fields)), rest=rest))
    return sosl.SoslSearch(
        term=_term(body.get("q")),
        field_group=_field_group(str(body.get("in") or "ALL")),
        returning=tuple(returning),
        limit=_number(body.get("overallLimit"), sosl.MAX_RECORDS),
    )


def _field_group(name: str) -> str:
    if name.upper() not in {"ALL", "NAME", "EMAIL", "PHONE", "SIDEBAR"}:
        raise sosl.malformed_search(f"unexpected token: '{name}'")
    return name.upper()
