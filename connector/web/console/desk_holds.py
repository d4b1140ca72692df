"""Orders on hold: for what, by whom, since when; ops release several at once."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import urlencode

from aiohttp import web

from connector.errors import CommandError
from connector.model.events import ReleaseHold
from connector.model.holds import Hold
from connector.model.role import Role
from connector.orders.command import OrderCommand
from connector.store import orders
from connector.store.queries import holds
from connector.store.queries.holds import OrderHold
from connector.web.console.desk import send_csv
from connector.web.console.frame import ConsoleAction, ConsolePage, Done, Form, FormError
from connector.web.console.order_actions import new_request, request_of
from connector.web.problem import ProblemError
from connector.web.routing import RequestContext
from connector.wording import plural

PAGE_SIZE = 50
COLUMNS = ("number", "reason", "since", "placed_by", "rules", "note", "escalated_at")
CHOSEN = "chosen."
_BETWEEN = " "


async def load_holds(call: RequestContext) -> Mapping[str, object]:
    reason, after = call.query_choice("reason", Hold), _position(call.query_value("after"))
    async with call.store.reader() as connection:
        found = await holds.list_page(connection, reason=reason, after=after, limit=PAGE_SIZE + 1)
        counts = await holds.count_by_reason(connection)
        loaded = await orders.load(connection, list(dict.fromkeys(item.order_number for item in found[:PAGE_SIZE])))
    following = None
    if len(found) > PAGE_SIZE:
        last = found[PAGE_SIZE - 1]
        place = _BETWEEN.join((last.since.isoformat(), last.reason.value, last.order_number))
        following = urlencode({"reason": reason or "", "after": place})
    return {
        "holds": found[:PAGE_SIZE],
        "orders": {order.number: order for order in loaded},
        "counts": counts,
        "total": sum(counts.values()),
        "reason": reason,
        "following": following,
        "is_later_page": after is not None,
        "request_key": new_request(),
        "has_notes": call.token.role.covers(Role.OPS),
    }


def _position(text: str | None) -> tuple[datetime, str, Hold] | None:
    """Where a page begins, from its address."""
    if text is None:
        return None
    moment, _, rest = text.partition(_BETWEEN)
    reason, _, number = rest.partition(_BETWEEN)
    try:
        return datetime.fromisoformat(moment).astimezone(UTC), number, Hold(reason)
    except (ValueError, OverflowError):
        raise ProblemError(400, "query", "This address names no page.", hint="Begin with the first page.") from None


async def stream_holds(call: RequestContext) -> web.StreamResponse:
    """All holds for this reason as CSV."""
    return await send_csv(call, "holds", COLUMNS, _csv_rows(call, call.query_choice("reason", Hold)))


async def _csv_rows(call: RequestContext, reason: Hold | None) -> AsyncGenerator[Sequence[object], None]:
    has_notes = call.token.role.covers(Role.OPS)
    after: tuple[datetime, str, Hold] | None = None
    async with call.store.reader() as connection:
        while found := await holds.list_page(connection, reason=reason, after=after, limit=500):
            for item in found:
                yield _cells(item, has_notes=has_notes)
            after = (found[-1].since, found[-1].order_number, found[-1].reason)


def _cells(item: OrderHold, *, has_notes: bool) -> Sequence[object]:
    escalated = "" if item.escalated_at is None else item.escalated_at.isoformat()
    note = (item.note or "") if has_notes else ""
    return (item.order_number, item.reason.value, item.since.isoformat(), item.placed_by, item.rules or "", note,
            escalated)  # fmt: skip


async def release(call: RequestContext, form: Form) -> Done:
    """Release the chosen holds, each by itself: one that is refused holds up no other."""
    chosen = [text.partition(_BETWEEN) for name, text in form.items() if name.startswith(CHOSEN)]
    if not chosen:
        raise FormError({"": "Choose at least one hold."})
    request, note = request_of(form), form.get("note", "").strip()[:2000] or None
    released, refused = 0, []
    for reason, _, number in chosen:
        if reason not in set(Hold):
            raise FormError({"": "This form names no hold. Reload the page, and repeat it."})
        command = OrderCommand(
            number=number, event=ReleaseHold(hold=Hold(reason), note=note), request=f"{request}-{reason}"
        )
        try:
            await call.orders.execute(command, actor=call.token.name, audited=True)
        except CommandError as error:
            refused.append(error.message)
        else:
            released += 1
    if not released:
        raise FormError({"": " ".join(refused)})
    told = f"{plural(released, 'hold')} released."
    query = call.request.query_string
    return Done(where=f"/desk/holds?{query}" if query else "/desk/holds", told=" ".join([told, *refused]))


PAGE = ConsolePage(path="/desk/holds", title="Holds", template="desk_holds.html.j2", load=load_holds)
PAGES = (PAGE, ConsolePage(path="/desk/holds.csv", title="", template="", load=stream_holds))
ACTIONS = (ConsoleAction(path="/desk/holds/release", act=release, page=PAGE),)
