"""Rendered notifications: escaped, complete, without external content; and custom templates."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from connector.errors import SettingsError
from connector.model.notification import MessageKind
from connector.notifications.renderer import NAMES, TemplateRenderer
from connector.notifications.template_check import sample_views
from connector.notifications.view import Item

EVIL = '<script src="https://evil.example/x.js"></script><img src=x onerror=alert(1)>'


@pytest.mark.parametrize("view", list(sample_views()), ids=lambda view: f"{view.kind}-{bool(view.tracking_url)}")
def test_every_notification_is_complete_as_html_and_text_and_loads_nothing(view: object) -> None:
    written = TemplateRenderer().render(view)  # type: ignore[arg-type]
    assert written.subject
    assert "O-1" in written.text + written.subject
    for text in (written.subject, written.text, written.html):
        assert "None" not in text
        assert "{{" not in text
    assert "\n\n\n" not in written.text
    assert not re.search(r"<(script|img|link|iframe|style|object)|url\(|@import|\ssrc=", written.html)
    assert written.html.count("<table") == written.html.count("</table>")


@pytest.mark.parametrize("kind", list(MessageKind))
def test_foreign_text_is_escaped_in_html_and_plain_in_text(kind: MessageKind) -> None:
    view = [view for view in sample_views() if view.kind is kind][1]
    items = (Item(name=EVIL, sku=EVIL, quantity=view.amount),)
    view = replace(
        view,
        company=EVIL,
        company_address=(EVIL,),
        customer=EVIL,
        order=EVIL,
        po_number=EVIL,
        address=(EVIL,),
        to_come=items,
        canceled=items,
        bill=replace(view.bill, lines=(replace(view.bill.lines[0], name=EVIL, sku=EVIL),)),
        parcel=view.parcel and replace(view.parcel, carrier=EVIL, tracking_number=EVIL, items=items),
        hold=view.hold and replace(view.hold, note=EVIL),
        invoice=view.invoice and replace(view.invoice, number=EVIL),
    )
    written = TemplateRenderer().render(view)
    assert "<script" not in written.html
    assert "<img" not in written.html
    assert "&lt;script" in written.html
    assert EVIL in written.text
    assert "&lt;" not in written.text + written.subject


def test_shipment_notification_lists_its_goods_and_the_remaining_ones() -> None:
    view = [view for view in sample_views() if view.kind is MessageKind.SHIPMENT][1]
    later = Item(name="Later", sku="L-1", quantity=view.to_come[0].quantity)
    written = TemplateRenderer().render(replace(view, to_come=(later,)))
    for text in (written.html, written.text):
        assert text.index("Product") < text.index("Still to come") < text.index("Later")
    assert "Still to come" not in TemplateRenderer().render(replace(view, to_come=())).html


def test_custom_template_replaces_ours_by_name(tmp_path: Path) -> None:
    (tmp_path / "confirmation.txt.j2").write_text("{% set subject %}Hurra, {{ it.order }}{% endset %}Danke!")
    layout = "<html><body><b>{{ it.company }}</b>{% block body %}{% endblock %}</body></html>"
    (tmp_path / "layout.html.j2").write_text(layout)
    view = next(sample_views())
    written = TemplateRenderer(tmp_path).render(view)
    assert (written.subject, written.text) == ("Hurra, O-1", "Danke!\n")
    assert written.html.startswith("<html><body><b>Company</b>")
    assert "What you ordered" in written.html


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("confirmation.html.j2", "a\n{{ it.nonsense }}", "confirmation.html.j2:2: "),
        ("confirmation.html.j2", "a\n{% if %}", "confirmation.html.j2:2: "),
        ("refund.txt.j2", "{{ it.amount.frob() }}", "refund.txt.j2:1: "),
        ("layout.html.j2", "{{ it.__class__.__mro__ }}", "layout.html.j2:1: "),
        ("invoice.html.j2", "{{ it.hold.reason }}", "invoice.html.j2:1: "),
        ("greeting.html.j2", "hello", "greeting.html.j2 is not a template. Use one of cancellation.html.j2"),
    ],
)
def test_invalid_template_is_reported_with_its_line_at_start(tmp_path: Path, name: str, text: str, says: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(SettingsError) as refused:
        TemplateRenderer(tmp_path)
    assert str(refused.value).startswith(f"CONNECTOR_MESSAGES__TEMPLATES_DIR: {tmp_path}/{says}")
    assert "\n" not in str(refused.value)


def test_missing_template_folder_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="is not a folder"):
        TemplateRenderer(tmp_path / "absent")


def test_every_notification_kind_has_its_templates() -> None:
    assert {f"{kind}.{form}.j2" for kind in MessageKind for form in ("html", "txt")} <= set(NAMES)


def test_days_are_rendered_in_words() -> None:
    view = next(sample_views())
    assert (
        "5 March 2026"
        in TemplateRenderer().render(replace(view, promised_on=datetime(2026, 3, 5, tzinfo=UTC).date())).text
    )
