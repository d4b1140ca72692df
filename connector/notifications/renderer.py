"""Render notifications by templates: subject and text from `<kind>.txt.j2`, the page from `<kind>.html.j2`.

Templates run in a sandbox, as a company can have its own. All of them are checked when the service starts, so that an
invalid one is found before a customer is affected. Pages escape all values and load nothing from elsewhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from connector.errors import SettingsError
from connector.notifications.template_check import sample_views
from connector.notifications.view import MessageView
from connector.orders.documents.formatting import day, moment, quantity

if TYPE_CHECKING:
    from jinja2 import Environment

_LARGEST_MESSAGE = 1024 * 1024
SETTING = "CONNECTOR_MESSAGES__TEMPLATES_DIR"
NAMES = tuple(sorted(item.name for item in (files("connector.notifications") / "templates").iterdir()))


@dataclass(frozen=True, kw_only=True, slots=True)
class RenderedText:
    """A rendered notification."""

    subject: str
    text: str
    html: str


class TemplateFaultError(Exception):
    """A template cannot be filled with a notification's data."""


class TemplateRenderer:
    """Renders by the packaged templates, or those of the same name in `folder`.

    Raises SettingsError with file and line if a template in `folder` is invalid.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        if folder is not None:
            self._check(folder)

    def render(self, view: MessageView) -> RenderedText:
        """Render a notification; raises TemplateFaultError with file and line if a template cannot be filled."""
        from jinja2 import TemplateError

        try:
            return self._render(view)
        except (TemplateError, TypeError, ValueError, ArithmeticError, OSError, RecursionError, MemoryError) as error:
            place = _template_line(error) or f"{view.kind}.html.j2 or {view.kind}.txt.j2"
            raise TemplateFaultError(f"{place}: {' '.join(str(error).split()).rstrip('.')}") from None

    def _render(self, view: MessageView) -> RenderedText:
        template = self._templates.get_template(f"{view.kind}.txt.j2")
        try:
            text = template.make_module({"it": view})
        except Exception:
            self._templates.handle_exception()  # raises it again with the template's own lines, as `render` does
        subject = " ".join(str(getattr(text, "subject", f"Order {view.order}")).split())
        page = self._templates.get_template(f"{view.kind}.html.j2").render(it=view, subject=subject)
        if len(page) + len(str(text)) > _LARGEST_MESSAGE:
            raise ValueError(f"makes a message of more than {_LARGEST_MESSAGE:,} characters")
        return RenderedText(subject=subject, text=re.sub(r"\n{3,}", "\n\n", str(text).strip()) + "\n", html=page)

    @cached_property
    def _templates(self) -> Environment:
        from connector.notifications.sandbox import make_sandbox

        environment = make_sandbox(self._folder)
        environment.filters |= {"quantity": quantity, "day": day, "moment": moment}
        return environment

    def _check(self, folder: Path) -> None:
        if not folder.is_dir():
            raise SettingsError(f"{SETTING} is not a folder: {folder}.", hint="Name a folder, or leave it empty.")
        unknown = sorted(item.name for item in folder.glob("*.j2") if item.name not in NAMES)
        if unknown:
            hint = f"Use one of {', '.join(NAMES)}."
            raise SettingsError(f"{SETTING}: {folder / unknown[0]} is not a template.", hint=hint)
        for view in sample_views():
            try:
                self.render(view)
            except TemplateFaultError as error:
                raise SettingsError(f"{SETTING}: {folder}/{error}.") from None


def _template_line(error: BaseException) -> str | None:
    """Return the template and line of an error, as `confirmation.html.j2:12`, from its traceback."""
    from jinja2 import TemplateSyntaxError

    if isinstance(error, TemplateSyntaxError):
        return f"{error.name}:{error.lineno}"
    place, trace = None, error.__traceback__
    while trace is not None:
        file = Path(trace.tb_frame.f_code.co_filename)
        if file.suffix == ".j2":
            place = f"{file.name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place
