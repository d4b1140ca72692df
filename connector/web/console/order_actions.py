"""Actions on an order: the form of each one that the order allows, and what it does."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from connector.api.event_text import done_texts
from connector.model.action_fields import REQUESTABLE
from connector.model.actions import Action
from connector.model.order import Order
from connector.model.possible_actions import PossibleAction, list_possible_actions
from connector.model.role import Role
from connector.orders.command import OrderCommand
from connector.store import order_history, orders, stock
from connector.web.console.action_form import ActionForm, build_form, read_event
from connector.web.console.action_titles import CONFIRM, GROUPS, NEXT, title_of
from connector.web.console.formats import Place
from connector.web.console.frame import ConsoleAction, ConsolePage, Done, Form
from connector.web.console.session import local_path
from connector.web.path_number import is_number, query_number
from connector.web.problem import ProblemError
from connector.web.routing import RequestContext

ACT_PATH = "/orders/{number}/actions/{action}"
_REQUEST = re.compile(r"[0-9a-f]{24}")
LONGEST = 240
"""Letters of a sentence about what was done; one about more lines says how many they are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ActionLink:
    """An action that an order allows, with the address of its form."""

    action: Action
    title: str
    address: str
    is_final: bool


def action_links(order: Order) -> Mapping[str, Sequence[ActionLink]]:
    """The actions that the order allows, by group; groups without one are left out."""
    possible = list_possible_actions(order.state)
    links = {
        name: [action_link(order.number, item) for action in actions for item in possible if item.action is action]
        for name, actions in GROUPS.items()
    }
    return {name: found for name, found in links.items() if found}


def next_link(groups: Mapping[str, Sequence[ActionLink]]) -> ActionLink | None:
    """The action that most likely comes next."""
    links = [link for links in groups.values() for link in links if link.action in NEXT]
    return min(links, key=lambda link: NEXT.index(link.action), default=None)


def action_link(number: str, item: PossibleAction) -> ActionLink:
    chosen = {"shipment": item.shipment, "return_number": item.return_number}
    query = urlencode({name: value for name, value in chosen.items() if value is not None})
    address = ACT_PATH.format(number=quote(number, safe=""), action=item.action.value)
    return ActionLink(
        action=item.action,
        title=title_of(item),
        address=f"{address}?{query}" if query else address,
        is_final=item.action in CONFIRM,
    )


async def load_action(call: RequestContext) -> Mapping[str, object]:
    """The form of an action; why there is none, if the order does not allow it now."""
    number, action = call.path_key("number"), _action(call)
    async with call.store.reader() as connection:
        loaded = await orders.load(connection, [number])
        warehouses = sorted(await stock.warehouses(connection))
    if not loaded:
        raise ProblemError(404, "unknown", f"There is no order {number}.", hint="Look for it in the list of orders.")
    [order] = loaded
    form = _form(call, order, action, warehouses)
    return {
        "title": f"{form.title if form else action.words.capitalize()} · Order {number}",
        "order": order,
        "form": form,
        "action": action,
        "request_key": new_request(),
        "draft": f"{action} {call.request.query_string}",
        "more_query": urlencode({**call.request.query, "line": form.table.more}) if form and form.table else "",
        "others": [] if form else [link for links in action_links(order).values() for link in links],
        "back": local_path(call.request.query.get("back", "")),
    }


def _form(call: RequestContext, order: Order, action: Action, warehouses: Sequence[str]) -> ActionForm | None:
    shipment, return_number = query_number(call, "shipment"), query_number(call, "return_number")
    for item in list_possible_actions(order.state):
        if item.action is action and (item.shipment, item.return_number) == (shipment, return_number):
            return build_form(item, order, warehouses, first_line=query_number(call, "line") or 1)
    return None


def _action(call: RequestContext) -> Action:
    name = call.request.match_info["action"]
    if name not in set(REQUESTABLE):
        raise ProblemError(404, "unknown", f"There is no action {name[:80]}.", hint="Open the order, and choose one.")
    return Action(name)


def new_request() -> str:
    """The key of one request: the same form sent twice does it once."""
    return secrets.token_hex(12)


def request_of(form: Form) -> str:
    """The key of the request that a form carries; a new one for a form without."""
    request = form.get("request", "")
    return request if _REQUEST.fullmatch(request) else new_request()


async def act(call: RequestContext, form: Form) -> Done:
    """Carry out an action on an order, once for each form; as `POST …/transitions`."""
    number, action = call.path_key("number"), _action(call)
    version = form.get("version", "")
    command = OrderCommand(
        number=number,
        event=read_event(action, form),
        version=int(version) if is_number(version) else None,
        request=request_of(form),
    )
    executed = await call.orders.execute(command, actor=call.token.name, audited=True)
    done = await _said(call, executed.order, action, command)
    where = local_path(form.get("back", ""))
    return Done(where=f"/orders/{quote(number, safe='')}" if where == "/" else where, told=done)


async def _said(call: RequestContext, order: Order, action: Action, command: OrderCommand) -> str:
    """What the command has done, the first time and each time that it is repeated."""
    async with call.store.reader() as connection:
        history = await order_history.read(connection, order.number)
    first = next((entry for entry in history if entry.request and entry.request.key == command.request), None)
    caused = [] if first is None else [
        entry for entry in history if entry.sequence >= first.sequence and entry.at == first.at
    ]  # fmt: skip
    text = " ".join(done_texts(action, order, caused, Place.of(call.request).write_money))
    if len(text) > LONGEST:
        text = f"{action.happened.value.replace('_', ' ').capitalize()}: {len(order.lines)} lines."
    holds = f", on hold for {' and '.join(sorted(order.state.holds))}" if order.state.holds else ""
    return f"{text} Order {order.number} is {order.stage}{holds}."


PAGE = ConsolePage(path=ACT_PATH, title="Action", template="action.html.j2", load=load_action, role=Role.OPS)
ACTIONS = (ConsoleAction(path=ACT_PATH, act=act, page=PAGE),)
