"""The partner and enterprise APIs: each call is the REST call that means the same, told as SOAP tells it."""

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
from connector.localorg.soap.envelope import Message, nil, tag

if TYPE_CHECKING:
    from connector.localorg.org import Org

_MOST_DESCRIBED = 100
_MOST_ROWS = 200
_WRITES = {"create", "update", "upsert", "delete", "merge", "undelete", "emptyRecycleBin"}


class Partner:
    """One call. `typed` rows name their type as xsi:type, as the enterprise API has it."""

    def __init__(self, org: Org, message: Message, version: str, *, typed: bool) -> None:
        self._org = org
        self._message = message
        self._call = message.call
        self._version = version
        self._typed = typed

    @property
    def writes(self) -> bool:
        return self._call.name in _WRITES

    def answer(self) -> str | None:
        """The body of the answer; None for a call that is not known here."""
        act = _CALLS.get(self._call.name)
        if act is None:
            return None
        name = self._call.name
        return f"<{name}Response>{act(self)}</{name}Response>"

    # -- what the REST API answers

    def _rest(self, method: str, *tail: str, params: Mapping[str, str] | None = None, body: Any = None) -> Any:
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

    def _rows(self) -> list[dict[str, Any]]:
        return [self._row(item) for item in self._call.all("sObjects")]

    def _row(self, source: Element) -> dict[str, Any]:
        kind = source.kind if self._typed else source.get("type")
        body: dict[str, Any] = {"attributes": {"type": kind}} if kind else {}
        sobject = self._org.schema.get(kind)
        for child in source.children:
            if child.name == "fieldsToNull":
                body[child.text.strip()] = None
            elif child.name == "type" and not self._typed:
                continue
            elif child.children:  # a parent, by its external ID
                body[child.name] = self._row(child)
            elif not child.nil and (child.name != "Id" or child.text.strip()):
                field = sobject.get(child.name) if sobject else None
                text = child.text
                body[child.name] = text.strip() in {"true", "1"} if field and field.type == "boolean" else text
        return body

    def _write(self, method: str, *tail: str, records: list[dict[str, Any]]) -> Any:
        if not records:
            return []
        whole = self._message.header("AllOrNoneHeader", "allOrNone") == "true"
        return self._rest(method, "composite", "sobjects", *tail, body={"records": records, "allOrNone": whole})

    # -- calls

    def query(self) -> str:
        resource = "queryAll" if self._call.name == "queryAll" else "query"
        found = self._rest("GET", resource, params={"q": self._call.get("queryString")})
        return serializers.query_result("result", found, typed=self._typed)

    def query_more(self) -> str:
        found = self._rest("GET", "query", self._call.get("queryLocator"))
        return serializers.query_result("result", found, typed=self._typed)

    def search(self) -> str:
        found = self._rest("GET", "search", params={"q": self._call.get("searchString")})
        rows = "".join(
            f"<searchRecords>{serializers.record('record', row, typed=self._typed)}</searchRecords>"
            for row in found["searchRecords"]
        )
        return f"<result><queryId>0</queryId>{rows}</result>"

    def retrieve(self) -> str:
        wanted = [item.text.strip() for item in self._call.all("ids")]
        names = [name.strip() for name in self._call.get("fieldList").split(",")]
        body = {"ids": wanted, "fields": names}
        found = self._rest("POST", "composite", "sobjects", self._call.get("sObjectType"), body=body)
        return "".join(nil("result") if row is None else serializers.record("result", row, typed=self._typed)
                       for row in found)  # fmt: skip

    def create(self) -> str:
        return serializers.outcomes(self._write("POST", records=self._rows()))

    def update(self) -> str:
        return serializers.outcomes(self._write("PATCH", records=self._rows()))

    def upsert(self) -> str:
        records = self._rows()
        if not records:
            return ""
        kind = str(records[0].get("attributes", {}).get("type", ""))
        done = self._write("PATCH", kind, self._call.get("externalIDFieldName"), records=records)
        return serializers.outcomes(done, upsert=True)

    def delete(self) -> str:
        wanted = ",".join(item.text.strip() for item in self._call.all("ids"))
        whole = self._message.header("AllOrNoneHeader", "allOrNone") or "false"
        params = {"ids": wanted, "allOrNone": whole}
        return serializers.outcomes(self._rest("DELETE", "composite", "sobjects", params=params)) if wanted else ""

    def _limited(self, name: str) -> list[Element]:
        found = list(self._call.all(name))
        if len(found) > _MOST_ROWS:
            raise Refusal(
                "EXCEEDED_ID_LIMIT",
                f"record limit reached. cannot submit more than {_MOST_ROWS} records into this call",
            )
        return found

    def merge(self) -> str:
        """Each request is a transaction of its own."""
        dml = self._org.dml
        requests = self._limited("request")
        dml.api_version = self._version
        dml.allow_duplicates = self._message.header("DuplicateRuleHeader", "allowSave") == "true"
        try:
            with self._org.locks.call_scope(can_wait=False):
                return "".join(serializers.merged(self._merge_one(item)) for item in requests)
        finally:
            dml.allow_duplicates = False

    def _merge_one(self, request: Element) -> dict[str, Any]:
        source = request.child("masterRecord")
        master = self._row(source) if source else {}
        kind = master.pop("attributes", {}).get("type", "")
        losers = [item.text.strip() for item in request.all("recordToMergeIds")]
        try:
            done = record_merge.merge_records(self._org.dml, kind, str(master.pop("Id", "")), master, losers)
        except Refusal as refusal:
            return {"success": False, "errors": [refusal.row_error()], "merged": (), "related": ()}
        return {"success": True, "errors": [], "id": done.id, "merged": done.merged, "related": done.related}

    def undelete(self) -> str:
        return self._recycled(recycle_bin.undelete)

    def empty_recycle_bin(self) -> str:
        return self._recycled(recycle_bin.purge)

    def _recycled(self, act: Callable[[Dml, Sequence[str]], list[Outcome]]) -> str:
        wanted = [item.text.strip() for item in self._limited("ids")]
        with self._org.locks.call_scope(can_wait=False):
            done = act(self._org.dml, wanted)
        return serializers.outcomes(
            {"id": item.id, "success": item.error is None, "errors": [item.error.row_error()] if item.error else []}
            for item in done
        )

    def describe_global(self) -> str:
        return serializers.global_describe(self._rest("GET", "sobjects"))

    def describe(self) -> str:
        names = [item.text.strip() for item in self._call.all("sObjectType")]
        if len(names) > _MOST_DESCRIBED:
            raise Refusal("EXCEEDED_ID_LIMIT", f"At most {_MOST_DESCRIBED} types can be described in one call")
        for name in names:
            if self._org.schema.get(name) is None:
                raise Refusal("INVALID_TYPE", f"sObject type '{name}' is not supported.")
        return "".join(serializers.describe(self._org.describe_sobject(name, self._version)) for name in names)

    def changed(self) -> str:
        """getUpdated and getDeleted."""
        kind = "updated" if self._call.name == "getUpdated" else "deleted"
        params = {"start": self._call.get("startDate"), "end": self._call.get("endDate")}
        found = self._rest("GET", "sobjects", self._call.get("sObjectType"), kind, params=params)
        if kind == "updated":
            return f"<result>{tag('ids', found['ids'])}{self._moment('latestDateCovered', found)}</result>"
        rows = "".join(
            f"<deletedRecords>{self._moment('deletedDate', row)}{tag('id', row['id'])}</deletedRecords>"
            for row in found["deletedRecords"]
        )
        ends = self._moment("earliestDateAvailable", found) + self._moment("latestDateCovered", found)
        return f"<result>{rows}{ends}</result>"

    def _moment(self, name: str, found: Mapping[str, Any]) -> str:
        return tag(name, serializers.text_of(found[name]))

    def nothing(self) -> str:
        return ""

    def user_info(self) -> str:
        return login.user_info(self._org, "result")

    def server_timestamp(self) -> str:
        return f"<result>{tag('timestamp', serializers.text_of(self._org.now))}</result>"

    def logout(self) -> str:
        self._org.auth.revoke(self._message.header("SessionHeader", "sessionId"))
        return ""

    def invalidate_sessions(self) -> str:
        found = [self._org.auth.revoke(item.text.strip()) for item in self._call.all("sessionIds")]
        rows = [{"success": good, "errors": [_UNKNOWN_SESSION]} for good in found]
        return "".join(
            f"<result>{'' if row['success'] else tag('errors', row['errors'])}{tag('success', row['success'])}</result>"
            for row in rows
        )


_UNKNOWN_SESSION = {"message": "Invalid session", "statusCode": "INVALID_SESSION_ID"}
_CALLS: dict[str, Callable[[Partner], str]] = {
    "query": Partner.query,
    "queryAll": Partner.query,
    "queryMore": Partner.query_more,
    "search": Partner.search,
    "retrieve": Partner.retrieve,
    "create": Partner.create,
    "update": Partner.update,
    "upsert": Partner.upsert,
    "delete": Partner.delete,
    "merge": Partner.merge,
    "undelete": Partner.undelete,
    "emptyRecycleBin": Partner.empty_recycle_bin,
    "describeGlobal": Partner.describe_global,
    "describeSObject": Partner.describe,
    "describeSObjects": Partner.describe,
    "getUpdated": Partner.changed,
    "getDeleted": Partner.changed,
    "describeTabs": Partner.nothing,
    "getUserInfo": Partner.user_info,
    "getServerTimestamp": Partner.server_timestamp,
    "logout": Partner.logout,
    "invalidateSessions": Partner.invalidate_sessions,
}
