"""Invoices as JSON, HTML and PDF. They show what was issued, whatever changed in the order since."""

from __future__ import annotations

import asyncio

from connector.api.serializers import serialize_invoice
from connector.model.role import Role
from connector.orders.documents.invoice import InvoiceView, load
from connector.orders.documents.invoice_pdf import invoice_pdf
from connector.orders.documents.tracking_page import invoice_page, style_source
from connector.store import invoices
from connector.web import answers
from connector.web.problem import ProblemError
from connector.web.routing import ApiResponse, RequestContext, Route, TextBody


async def list_order_invoices(call: RequestContext) -> ApiResponse:
    async with call.store.reader() as connection:
        order_invoices = await invoices.of_order(connection, call.path_key("number"))
    return ApiResponse(value={"invoices": [serialize_invoice(item) for item in order_invoices]})


async def get_invoice(call: RequestContext) -> ApiResponse:
    async with call.store.reader() as connection:
        invoice = await invoices.find(connection, call.path_key("number"))
    if invoice is None:
        raise _unknown_invoice(call)
    return ApiResponse(value=invoice.document)


async def get_invoice_page(call: RequestContext) -> ApiResponse:
    html = invoice_page(await _load_view(call))
    policy = f"default-src 'none'; style-src {style_source()}; frame-ancestors 'none'"
    return ApiResponse(value=TextBody(html, "text/html"), headers={"Content-Security-Policy": policy})


async def get_invoice_pdf(call: RequestContext) -> ApiResponse:
    view = await _load_view(call)
    # In a thread: fonts are cut to what is used, which takes a moment.
    content = await asyncio.to_thread(invoice_pdf, view)
    headers = {"Content-Disposition": f'inline; filename="{view.number}.pdf"'}
    return ApiResponse(value=TextBody(content, "application/pdf"), headers=headers)


async def _load_view(call: RequestContext) -> InvoiceView:
    async with call.store.reader() as connection:
        invoice = await invoices.find(connection, call.path_key("number"))
    if invoice is None:
        raise _unknown_invoice(call)
    return load(invoice.body)


def _unknown_invoice(call: RequestContext) -> ProblemError:
    return ProblemError(404, "unknown", f"There is no invoice {call.path_key('number')}.", field="number")


ROUTES = (
    Route(
        method="GET",
        path="/orders/{number}/invoices",
        result=answers.InvoiceList,
        role=Role.VIEWER,
        summary="The invoices of an order.",
        handler=list_order_invoices,
    ),
    Route(
        method="GET",
        path="/invoices/{number}",
        result=answers.INVOICE,
        role=Role.VIEWER,
        summary="An invoice.",
        handler=get_invoice,
    ),
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
