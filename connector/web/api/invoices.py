"""Invoices: as data, as a page, as PDF; what was issued, not what the order says by now."""

from __future__ import annotations

import asyncio

import orjson

from connector.model.role import Role
from connector.orders.documents.invoice import InvoiceView, load
from connector.orders.documents.invoice_pdf import invoice_pdf
from connector.orders.documents.tracking_page import invoice_page, style_source
from connector.store import invoices
from connector.web.problem import ProblemError
from connector.web.routing import ApiResponse, RequestContext, Route, TextBody


async def list_order_invoices(call: RequestContext) -> ApiResponse:
    async with call.store.reader() as connection:
        found = await invoices.of_order(connection, call.at("number"))
    names = ("number", "issued_at", "currency", "amount")
    return ApiResponse(value={"invoices": [{name: getattr(item, name) for name in names} for item in found]})


async def get_invoice(call: RequestContext) -> ApiResponse:
    async with call.store.reader() as connection:
        found = await invoices.find(connection, call.at("number"))
    if found is None:
        raise _unknown(call)
    return ApiResponse(value=orjson.loads(found.body))


async def get_invoice_page(call: RequestContext) -> ApiResponse:
    html = invoice_page(await _view(call))
    policy = f"default-src 'none'; style-src {style_source()}; frame-ancestors 'none'"
    return ApiResponse(value=TextBody(html, "text/html"), headers={"Content-Security-Policy": policy})


async def get_invoice_pdf(call: RequestContext) -> ApiResponse:
    view = await _view(call)
    # In a thread: fonts are cut to what is used, which takes a moment.
    content = await asyncio.to_thread(invoice_pdf, view)
    headers = {"Content-Disposition": f'inline; filename="{view.number}.pdf"'}
    return ApiResponse(value=TextBody(content, "application/pdf"), headers=headers)


async def _view(call: RequestContext) -> InvoiceView:
    async with call.store.reader() as connection:
        found = await invoices.find(connection, call.at("number"))
    if found is None:
        raise _unknown(call)
    return load(found.body)


def _unknown(call: RequestContext) -> ProblemError:
    return ProblemError(404, "unknown", f"There is no invoice {call.at('number')}.", field="number")


ROUTES = (
    Route(
        method="GET",
        path="/orders/{number}/invoices",
        role=Role.VIEWER,
        summary="The invoices of an order.",
        handler=list_order_invoices,
    ),
    Route(method="GET", path="/invoices/{number}", role=Role.VIEWER, summary="An invoice.", handler=get_invoice),
    Route(
        method="GET",
        path="/invoices/{number}/page",
        role=Role.VIEWER,
        summary="An invoice as HTML.",
        handler=get_invoice_page,
        kind="text/html",
    ),
    Route(
        method="GET",
        path="/invoices/{number}/pdf",
        role=Role.VIEWER,
        summary="An invoice as PDF.",
        handler=get_invoice_pdf,
        kind="application/pdf",
    ),
)
