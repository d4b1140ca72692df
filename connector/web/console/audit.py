"""The audit: who did what, and when; as a page with filters, and as CSV."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from urllib.parse import urlencode

import orjson
from aiohttp import web

from connector.api.audit import readable_detail, view_action
from connector.model.role import Role
from connector.store import journal
from connector.store.journal import AuditFilter
from connector.web.console.csv_page import send_csv
from connector.web.console.frame import ConsolePage
from connector.web.path_number import query_number
from connector.web.query_moment import query_moment
from connector.web.routing import RequestContext

PAGE_SIZE = 50
CSV_STEP = 500
FILTERS = ("actor", "action", "entity", "key", "since")
COLUMNS = ("id", "at", "actor", "action", "entity", "key", "detail", "request", "org_id")


async def load_audit(call: RequestContext) -> Mapping[str, object]:
    before, chosen = query_number(call, "before"), _filter(call)
    async with call.store.reader() as connection:
        found = await journal.list_actions(connection, chosen, before=before, limit=PAGE_SIZE + 1)
    kept = {name: call.request.query[name] for name in FILTERS if call.request.query.get(name)}
    following = {**kept, "before": str(found[PAGE_SIZE - 1].id)} if len(found) > PAGE_SIZE else None
    actions = [view_action(item) for item in found[:PAGE_SIZE]]
    return {
        "actions": actions,
        "details": {item.id: readable_detail(item.detail) for item in actions},
        "chosen": kept,
        "query": urlencode(kept),
        "following": None if following is None else urlencode(following),
        "is_later_page": before is not None,
    }


async def stream_audit(call: RequestContext) -> web.StreamResponse:
    """All actions of these filters as CSV, the newest first."""
    return await send_csv(call, "audit.csv", COLUMNS, _rows(call, _filter(call)))


async def _rows(call: RequestContext, chosen: AuditFilter) -> AsyncGenerator[Sequence[object], None]:
    before: int | None = None
    async with call.store.reader() as connection:
        while True:
            found = await journal.list_actions(connection, chosen, before=before, limit=CSV_STEP)
            for item in map(view_action, found):
                detail = orjson.dumps(dict(item.detail), default=str).decode()
                yield (
                    item.id, item.at.isoformat(), item.actor, item.action, item.entity, item.key, detail, item.request,
                    item.org_id,
                )  # fmt: skip
            if len(found) < CSV_STEP:
                return
            before = found[-1].id


def _filter(call: RequestContext) -> AuditFilter:
    return AuditFilter(
        actor=call.query_key("actor"),
        action=call.query_key("action"),
        entity=call.query_key("entity"),
        key=call.query_key("key"),
        since=query_moment(call, "since"),
    )


PAGES = (
    ConsolePage(path="/audit", title="Audit", template="audit.html.j2", load=load_audit, role=Role.OPS),
    ConsolePage(path="/audit.csv", title="", template="", load=stream_audit, role=Role.OPS),
)
