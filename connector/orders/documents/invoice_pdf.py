"""Render an invoice as PDF in A4: table headings repeat on every page, pages are numbered, European scripts work."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from connector.model.money import plain
from connector.orders.documents.formatting import quantity
from connector.orders.documents.invoice import InvoiceView

if TYPE_CHECKING:
    from fpdf import FPDF

FONT = "DejaVu"
WIDTHS = (90, 24, 28, 32)
INK, SOFT, LINE = (31, 41, 51), (82, 96, 109), (217, 222, 228)


def invoice_pdf(view: InvoiceView) -> bytes:
    document = _document(view)
    _head(document, view)
    _lines(document, view)
    _totals(document, view)
    return bytes(document.output())


def _document(view: InvoiceView) -> FPDF:
    from fpdf import FPDF

    class Paper(FPDF):
        def footer(self) -> None:
            self.set_y(-15)
            self.set_font(FONT, size=8)
            self.set_text_color(*SOFT)
            self.cell(0, 8, f"{view.company}   Invoice {view.number}   Page {self.page_no()} of {{nb}}", align="C")

    paper = Paper(format="A4")
    fonts = files("connector.orders.documents") / "fonts"
    paper.add_font(FONT, "", str(fonts / "DejaVuSans.ttf"))
    paper.add_font(FONT, "B", str(fonts / "DejaVuSans-Bold.ttf"))
    paper.set_margins(18, 18)
    paper.set_auto_page_break(True, 22)
    paper.set_title(f"Invoice {view.number}")
    paper.set_author(view.company)
    paper.add_page()
    return paper


def _head(paper: FPDF, view: InvoiceView) -> None:
    paper.set_text_color(*INK)
    paper.set_font(FONT, "B", 18)
    top = paper.get_y()
    paper.cell(100, 10, f"Invoice {view.number}", new_x="LMARGIN", new_y="NEXT")
    paper.set_font(FONT, size=10)
    paper.set_text_color(*SOFT)
    paper.cell(100, 6, view.issued_on, new_x="LMARGIN", new_y="NEXT")
    bottom = paper.get_y()
    paper.set_xy(112, top)
    paper.set_text_color(*INK)
    paper.multi_cell(80, 5, "\n".join([f"**{view.company}**", *view.company_address]), align="R", markdown=True)
    paper.set_xy(18, max(bottom, paper.get_y()) + 10)
    top = paper.get_y()
    paper.multi_cell(90, 5, "\n".join([view.customer, *view.address]), align="L")
    bottom = paper.get_y()
    paper.set_xy(112, top)
    paper.set_text_color(*SOFT)
    references = [f"Customer {view.customer_number}", f"Order {view.order} of {view.ordered_on}"]
    references += [f"Your reference {view.po_number}"] if view.po_number else []
    paper.multi_cell(80, 5, "\n".join(references), align="R")
    paper.set_xy(18, max(bottom, paper.get_y()) + 10)
    paper.set_text_color(*INK)


def _lines(paper: FPDF, view: InvoiceView) -> None:
    from fpdf.fonts import FontFace

    paper.set_font(FONT, size=9)
    paper.set_draw_color(*LINE)
    with paper.table(
        col_widths=WIDTHS,
        text_align=("LEFT", "RIGHT", "RIGHT", "RIGHT"),
        borders_layout="HORIZONTAL_LINES",
        headings_style=FontFace(emphasis="BOLD", color=SOFT),
        line_height=5,
        padding=1.2,
        v_align="TOP",
    ) as table:
        table.row(("Product", "Quantity", "Price", "Total"))
        for line in view.lines:
            off = f", {plain(line.discount)} % off" if line.discount else ""
            name = f"{line.name}\n{line.sku}{off}"
            table.row((name, quantity(line.quantity), view.figure(line.unit_price), view.figure(line.total)))


def _totals(paper: FPDF, view: InvoiceView) -> None:
    rows = [("Freight", view.figure(view.freight))] if view.freight else []
    rows += [("Rounding", view.figure(view.rounding))] if view.rounding else []
    rows += [(f"Tax, {plain(view.tax_rate * 100)} %", view.figure(view.tax_added))] if view.tax_added else []
    if view.total != view.amount:
        rows.append(("Order total", view.money(view.total)))
        rows += [("Invoiced before", view.money(view.before))] if view.before else []
    paper.ln(3)
    if paper.will_page_break(6 * (len(rows) + 3)):
        paper.add_page()
    for label, value in rows:
        _total(paper, label, value)
    paper.set_font(FONT, "B", 11)
    _total(paper, "To pay", view.money(view.amount))
    if view.tax_rate and not (view.tax_added and view.total == view.amount):
        paper.set_font(FONT, size=9)
        paper.set_text_color(*SOFT)
        _total(paper, f"of which {plain(view.tax_rate * 100)} % tax", view.money(view.tax))


def _total(paper: FPDF, label: str, value: str) -> None:
    paper.cell(sum(WIDTHS[:2]), 6, label, align="R")
    paper.cell(sum(WIDTHS[2:]), 6, value, align="R", new_x="LMARGIN", new_y="NEXT")
