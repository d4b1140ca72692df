"""Messages by templates: subject and text from `<kind>.txt.j2`, the page from `<kind>.html.j2`.

Templates run in a sandbox, for a company may bring its own; all of them are tried when the service starts, so that a
wrong one is found then, not by a customer. In pages everything is escaped, and nothing is loaded from elsewhere.
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
    """A message as its templates made it."""

    subject: str
    text: str
    html: str


class TemplateFaultError(Exception):
    """A template that cannot be filled."""


class TemplateRenderer:
    """`folder` has templates that stand in for ours by name; SettingsError, naming file and line, if one is wrong."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        if folder is not None:
            self._check(folder)

    def write(self, view: MessageView) -> RenderedText:
        """TemplateFaultError, with file and line, if a template cannot be filled."""
        from jinja2 import TemplateError

        try:
            return self._write(view)
        except (TemplateError, TypeError, ValueError, ArithmeticError, OSError, RecursionError, MemoryError) as error:
            place = _place(error) or f"{view.kind}.html.j2 or {view.kind}.txt.j2"
            raise TemplateFaultError(f"{place}: {' '.join(str(error).split()).rstrip('.')}") from None

    def _write(self, view: MessageView) -> RenderedText:
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
        from connector.notifications.sandbox import sandbox

        made = sandbox(self._folder)
        made.filters |= {"quantity": quantity, "day": day, "moment": moment}
        return made

    def _check(self, folder: Path) -> None:
        if not folder.is_dir():
            raise SettingsError(f"{SETTING} names no folder: {folder}.", hint="Name one, or leave it empty.")
        unknown = sorted(item.name for item in folder.glob("*.j2") if item.name not in NAMES)
        if unknown:
            raise SettingsError(f"{SETTING}: {unknown[0]} is no template.", hint=f"There are {', '.join(NAMES)}.")
        for view in sample_views():
            try:
                self.write(view)
            except TemplateFaultError as error:
                raise SettingsError(f"{SETTING}: {error}.") from None


def _place(error: BaseException) -> str | None:
    """`confirmation.html.j2:12`: jinja puts its templates into the traceback."""
    from jinja2 import TemplateSyntaxError

    if isinstance(error, TemplateSyntaxError):
        return f"{error.name}:{error.lineno}"
    found, trace = None, error.__traceback__
    while trace is not None:
        file = Path(trace.tb_frame.f_code.co_filename)
        if file.suffix == ".j2":
            found = f"{file.name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return found
