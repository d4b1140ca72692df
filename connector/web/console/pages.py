"""All pages of the console, and what their forms do."""

from __future__ import annotations

from collections.abc import Sequence

from connector.web.console import (
    analytics,
    audit,
    conflicts,
    correction,
    desk_backorders,
    desk_holds,
    desk_picks,
    desk_returns,
    errors,
    home,
    inbox,
    jobs,
    order,
    order_actions,
    order_sides,
    orders,
    reconcile,
    resyncs,
    runs,
    setup,
    usage,
)
from connector.web.console.frame import ConsoleAction, ConsolePage
from connector.web.console.mappings import files, plans, shadow, versions

PAGES: Sequence[ConsolePage] = (
    home.PAGE,
    *orders.PAGES,
    *order.PAGES,
    order_sides.PAGE,
    order_actions.PAGE,
    *errors.PAGES,
    correction.PAGE,
    conflicts.PAGE,
    *desk_holds.PAGES,
    *desk_backorders.PAGES,
    *desk_picks.PAGES,
    *desk_returns.PAGES,
    *analytics.PAGES,
    *resyncs.PAGES,
    *runs.PAGES,
    *reconcile.PAGES,
    *jobs.PAGES,
    usage.PAGE,
    setup.PAGE,
    inbox.PAGE,
    *audit.PAGES,
    *files.PAGES,
    *versions.PAGES,
    plans.PAGE,
    shadow.PAGE,
)
ACTIONS: Sequence[ConsoleAction] = (
    *order.ACTIONS,
    *order_actions.ACTIONS,
    *order_sides.ACTIONS,
    *errors.ACTIONS,
    *correction.ACTIONS,
    *conflicts.ACTIONS,
    *desk_holds.ACTIONS,
    *desk_backorders.ACTIONS,
    *resyncs.ACTIONS,
    *runs.ACTIONS,
    *reconcile.ACTIONS,
    *jobs.ACTIONS,
    *usage.ACTIONS,
    *inbox.ACTIONS,
    *files.ACTIONS,
    *versions.ACTIONS,
    *plans.ACTIONS,
    *shadow.ACTIONS,
)
