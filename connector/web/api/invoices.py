"""Invoices: as data, as a page, as PDF; what was issued, not what the order says by now."""

from __future__ import annotations

import asyncio

import orjson

from connector.model.role import Role
from connector.orders.documents.invoice import InvoiceView, load
from connector.orders.documents.pages import invoice_page, style_source
from connector.orders.documents.pdf import invoice_pdf
from connector.store import invoices
from connector.web.problem import ProblemError
from connector.web.route import Answer, Call, Raw, Route


async def of_order(call: Call) -> Answer:
    async with call.store.reader() as connection:
        found = await invoices.of_order(connection, call.at("number"))
    names = ("number", "issued_at", "currency", "amount")
    return Answer(value={"invoices": [{name: getattr(item, name) for name in names} for item in found]})


async def one(call: Call) -> Answer:
    async with call.store.reader() as connection:
        found = await invoices.find(connection, call.at("number"))
    if found is None:
        raise _unknown(call)
    return Answer(value=orjson.loads(found.body))


async def page(call: Call) -> Answer:
    html = invoice_page(await _view(call))
    policy = f"default-src 'none'; style-src {style_source()}; frame-ancestors 'none'"
    return Answer(value=Raw(html, "text/html"), headers={"Content-Security-Policy": policy})


async def pdf(call: Call) -> Answer:
    view = await _view(call)
    # In a thread: fonts are cut to what is used, which takes a moment.
    content = await asyncio.to_thread(invoice_pdf, view)
    headers = {"Content-Disposition": f'inline; filename="{view.number}.pdf"'}
    return Answer(value=Raw(content, "application/pdf"), headers=headers)


async def _view(call: Call) -> InvoiceView:
    async with call.store.reader() as connection:
        found = await invoices.find(connection, call.at("number"))
    if found is None:
        raise _unknown(call)
    return load(found.body)


def _unknown(call: Call) -> ProblemError:
    return ProblemError(404, "unknown", f"There is no invoice {call.at('number')}.", field="number")


ROUTES = (
    Route(method="GET", path="/orders/{number}/invoices", role=Role.VIEWER, summary="The invoices of an order.",
          handler=of_order),
    Route(method="GET", path="/invoices/{number}", role=Role.VIEWER, summary="An invoice.", handler=one),
    Route(method="GET", path="/invoices/{number}/page", role=Role.VIEWER, summary="An invoice as HTML.", handler=page,
          kind="text/html"),
    Route(method="GET", path="/invoices/{number}/pdf", role=Role.VIEWER, summary="An invoice as PDF.", handler=pdf,
          kind="application/pdf"),
)  # fmt: skip
