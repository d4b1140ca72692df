"""All pages of the console."""

from __future__ import annotations

from collections.abc import Sequence

from connector.web.console import home, order, orders
from connector.web.console.frame import ConsolePage

PAGES: Sequence[ConsolePage] = (home.PAGE, *orders.PAGES, order.PAGE)
