"""The partner and enterprise APIs: each call runs the equivalent REST call and renders its result as SOAP."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from connector.localorg import record_merge, recycle_bin
from connector.localorg.api_call import ApiCall, ApiResponse
from connector.localorg.dml import Dml, Outcome
from connector.localorg.errors import Refusal
from connector.localorg.metadata.xml import Element
from connector.localorg.rest.router import Router
from connector.localorg.soap import login, serializers
from connector.localorg.soap.envelope import SoapMessage, nil, tag

if TYPE_CHECKING:
    from connector.localorg.org import Org

_MAX_DESCRIBED = 100
_MAX_ROWS = 200
_WRITES = {"create", "update", "upsert", "delete", "merge", "undelete", "emptyRecycleBin"}


class PartnerCall:
    """One call. With `typed`, rows name their type as xsi:type, as in the enterprise API."""

    def __init__(self, org: Org, message: SoapMessage, version: str, *, typed: bool) -> None:
        self._org = org
        self._message = message
        self._call = message.call
        self._version = version
        self._typed = typed

    @property
    def is_write(self) -> bool:
        return self._call.name in _WRITES

    def response_body(self) -> str | None:
        """Return the body of the response; None for an unknown call."""
        act = _CALLS.get(self._call.name)
        if act is None:
            return None
        name = self._call.name
        return f"<{name}Response>{act(self)}</{name}Response>"

    # -- calls of the REST API

    def _call_rest(self, method: str, *tail: str, params: Mapping[str, str] | None = None, body: Any = None) -> Any:
        batch = self._message.header("QueryOptions", "batchSize")
        headers = {"sforce-query-options": f"batchSize={batch}"} if batch else {}
        if self._message.header("DuplicateRuleHeader", "allowSave") == "true":
            headers["sforce-duplicate-rule-header"] = "allowSave=true"
        call = ApiCall(
            method=method,
            version=self._version,
            tail=list(tail),
            params=params or {},
            headers=headers,
            body=body,
        )
        with self._org.locks.call_scope(can_wait=False):
            reply: ApiResponse = Router(self._org).dispatch(call)
        if not reply.ok:
            first = reply.body[0]
            raise Refusal(first["errorCode"], first["message"])
        return reply.body

    def _parse_rows(self) -> list[dict[str, Any]]:
        return [self._parse_row(item) for item in self._call.children_named("sObjects")]

    def _parse_row(self, source: Element) -> dict[str, Any]:
        kind = source.kind if self._typed else source.get("type")
        body: dict[str, Any] = {"attributes": {"type": kind}} if kind else {}
        sobject = self._org.schema.get(kind)
        for child in source.children:
            if child.name == "fieldsToNull":
                body[child.text.strip()] = None
            elif child.name == "type" and not self._typed:
                continue
            elif child.children:  # a parent, by its external ID
                body[child.name] = self._parse_row(child)
            elif not child.nil and (child.name != "Id" or child.text.strip()):
                field = sobject.get(child.name) if sobject else None
                text = child.text
                body[child.name] = text.strip() in {"true", "1"} if field and field.type == "boolean" else text
        return body

    def _write_rows(self, method: str, *tail: str, records: list[dict[str, Any]]) -> Any:
        if not records:
            return []
        all_or_none = self._message.header("AllOrNoneHeader", "allOrNone") == "true"
        return self._call_rest(
            method, "composite", "sobjects", *tail, body={"records": records, "allOrNone": all_or_none}
        )

    # -- calls

    def query(self) -> str:
        resource = "queryAll" if self._call.name == "queryAll" else "query"
        result = self._call_rest("GET", resource, params={"q": self._call.get("queryString")})
        return serializers.serialize_query_result("result", result, typed=self._typed)

    def query_more(self) -> str:
        result = self._call_rest("GET", "query", self._call.get("queryLocator"))
        return serializers.serialize_query_result("result", result, typed=self._typed)

    def search(self) -> str:
        result = self._call_rest("GET", "search", params={"q": self._call.get("searchString")})
        rows = "".join(
            f"<searchRecords>{serializers.serialize_record('record', row, typed=self._typed)}</searchRecords>"
            for row in result["searchRecords"]
        )
        return f"<result><queryId>0</queryId>{rows}</result>"

    def retrieve(self) -> str:
        record_ids = [item.text.strip() for item in self._call.children_named("ids")]
        names = [name.strip() for name in self._call.get("fieldList").split(",")]
        body = {"ids": record_ids, "fields": names}
        rows = self._call_rest("POST", "composite", "sobjects", self._call.get("sObjectType"), body=body)
        return "".join(nil("result") if row is None else serializers.serialize_record("result", row, typed=self._typed)
                       for row in rows)  # fmt: skip

    def create(self) -> str:
        return serializers.serialize_outcomes(self._write_rows("POST", records=self._parse_rows()))

    def update(self) -> str:
        return serializers.serialize_outcomes(self._write_rows("PATCH", records=self._parse_rows()))

    def upsert(self) -> str:
        records = self._parse_rows()
        if not records:
            return ""
        kind = str(records[0].get("attributes", {}).get("type", ""))
        done = self._write_rows("PATCH", kind, self._call.get("externalIDFieldName"), records=records)
        return serializers.serialize_outcomes(done, upsert=True)

    def delete(self) -> str:
        record_ids = ",".join(item.text.strip() for item in self._call.children_named("ids"))
        all_or_none = self._message.header("AllOrNoneHeader", "allOrNone") or "false"
        params = {"ids": record_ids, "allOrNone": all_or_none}
        return (
            serializers.serialize_outcomes(self._call_rest("DELETE", "composite", "sobjects", params=params))
            if record_ids
            else ""
        )

    def _limited_elements(self, name: str) -> list[Element]:
        elements = list(self._call.children_named(name))
        if len(elements) > _MAX_ROWS:
            raise Refusal(
                "EXCEEDED_ID_LIMIT",
                f"record limit reached. cannot submit more than {_MAX_ROWS} records into this call",
            )
        return elements

    def merge(self) -> str:
        """Merge records. Each request is a transaction of its own."""
        dml = self._org.dml
        requests = self._limited_elements("request")
        dml.api_version = self._version
        dml.allow_duplicates = self._message.header("DuplicateRuleHeader", "allowSave") == "true"
        try:
            with self._org.locks.call_scope(can_wait=False):
                return "".join(serializers.serialize_merge_result(self._merge_one(item)) for item in requests)
        finally:
            dml.allow_duplicates = False

    def _merge_one(self, request: Element) -> dict[str, Any]:
        source = request.child("masterRecord")
        master = self._parse_row(source) if source else {}
        kind = master.pop("attributes", {}).get("type", "")
        losers = [item.text.strip() for item in request.children_named("recordToMergeIds")]
        try:
            done = record_merge.merge_records(self._org.dml, kind, str(master.pop("Id", "")), master, losers)
        except Refusal as refusal:
            return {"success": False, "errors": [refusal.row_error()], "merged": (), "related": ()}
        return {"success": True, "errors": [], "id": done.id, "merged": done.merged, "related": done.related}

    def undelete(self) -> str:
        return self._run_recycle_bin(recycle_bin.undelete)

    def empty_recycle_bin(self) -> str:
        return self._run_recycle_bin(recycle_bin.purge)

    def _run_recycle_bin(self, act: Callable[[Dml, Sequence[str]], list[Outcome]]) -> str:
        record_ids = [item.text.strip() for item in self._limited_elements("ids")]
        with self._org.locks.call_scope(can_wait=False):
            done = act(self._org.dml, record_ids)
        return serializers.serialize_outcomes(
            {"id": item.id, "success": item.error is None, "errors": [item.error.row_error()] if item.error else []}
            for item in done
        )

    def describe_global(self) -> str:
        return serializers.serialize_global_describe(self._call_rest("GET", "sobjects"))

    def describe(self) -> str:
        names = [item.text.strip() for item in self._call.children_named("sObjectType")]
        if len(names) > _MAX_DESCRIBED:
            raise Refusal("EXCEEDED_ID_LIMIT", f"At most {_MAX_DESCRIBED} types can be described in one call")
        for name in names:
            if self._org.schema.get(name) is None:
                raise Refusal("INVALID_TYPE", f"sObject type '{name}' is not supported.")
        return "".join(
            serializers.serialize_describe(self._org.describe_sobject(name, self._version)) for name in names
        )

    def get_changes(self) -> str:
        """getUpdated and getDeleted."""
        kind = "updated" if self._call.name == "getUpdated" else "deleted"
        params = {"start": self._call.get("startDate"), "end": self._call.get("endDate")}
        result = self._call_rest("GET", "sobjects", self._call.get("sObjectType"), kind, params=params)
        if kind == "updated":
            return f"<result>{tag('ids', result['ids'])}{self._timestamp_element('latestDateCovered', result)}</result>"
        rows = "".join(
            f"<deletedRecords>{self._timestamp_element('deletedDate', row)}{tag('id', row['id'])}</deletedRecords>"
            for row in result["deletedRecords"]
        )
        ends = self._timestamp_element("earliestDateAvailable", result) + self._timestamp_element(
            "latestDateCovered", result
        )
        return f"<result>{rows}{ends}</result>"

    def _timestamp_element(self, name: str, source: Mapping[str, Any]) -> str:
        return tag(name, serializers.serialize_text(source[name]))

    def empty_result(self) -> str:
        return ""

    def user_info(self) -> str:
        return login.render_user_info(self._org, self._org.acting, "result")

    def server_timestamp(self) -> str:
        return f"<result>{tag('timestamp', serializers.serialize_text(self._org.now))}</result>"

    def logout(self) -> str:
        self._org.auth.revoke(self._message.header("SessionHeader", "sessionId"))
        return ""

    def invalidate_sessions(self) -> str:
        revoked = [self._org.auth.revoke(item.text.strip()) for item in self._call.children_named("sessionIds")]
        rows = [{"success": good, "errors": [_UNKNOWN_SESSION]} for good in revoked]
        return "".join(
            f"<result>{'' if row['success'] else tag('errors', row['errors'])}{tag('success', row['success'])}</result>"
            for row in rows
        )


_UNKNOWN_SESSION = {"message": "Invalid session", "statusCode": "INVALID_SESSION_ID"}
_CALLS: dict[str, Callable[[PartnerCall], str]] = {
    "query": PartnerCall.query,
    "queryAll": PartnerCall.query,
    "queryMore": PartnerCall.query_more,
    "search": PartnerCall.search,
    "retrieve": PartnerCall.retrieve,
    "create": PartnerCall.create,
    "update": PartnerCall.update,
    "upsert": PartnerCall.upsert,
    "delete": PartnerCall.delete,
    "merge": PartnerCall.merge,
    "undelete": PartnerCall.undelete,
    "emptyRecycleBin": PartnerCall.empty_recycle_bin,
    "describeGlobal": PartnerCall.describe_global,
    "describeSObject": PartnerCall.describe,
    "describeSObjects": PartnerCall.describe,
    "getUpdated": PartnerCall.get_changes,
    "getDeleted": PartnerCall.get_changes,
    "describeTabs": PartnerCall.empty_result,
    "getUserInfo": PartnerCall.user_info,
    "getServerTimestamp": PartnerCall.server_timestamp,
    "logout": PartnerCall.logout,
    "invalidateSessions": PartnerCall.invalidate_sessions,
}
