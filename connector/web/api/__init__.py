"""The routes of the HTTP API, one file per noun."""

from __future__ import annotations

from connector.web.api import (
    actions,
    alerts,
    analytics,
    audit,
    backorders,
    conflicts,
    customers,
    dead_letters,
    doctor,
    inbox,
    inventory,
    invoices,
    journey,
    lifecycle,
    messages,
    orders,
    products,
    resyncs,
    returns,
    runs,
    scheduler,
    status,
    token,
    workers,
)
from connector.web.routing import Route

ROUTES: tuple[Route, ...] = (
    *orders.ROUTES,
    *customers.ROUTES,
    *products.ROUTES,
    *returns.ROUTES,
    *invoices.ROUTES,
    *messages.ROUTES,
    *conflicts.ROUTES,
    *dead_letters.ROUTES,
    *inbox.ROUTES,
    *actions.ROUTES,
    *inventory.ROUTES,
    *backorders.ROUTES,
    *analytics.ROUTES,
    *lifecycle.ROUTES,
    *status.ROUTES,
    *workers.ROUTES,
    *doctor.ROUTES,
    *scheduler.ROUTES,
    *resyncs.ROUTES,
    *runs.ROUTES,
    *journey.ROUTES,
    *audit.ROUTES,
    *alerts.ROUTES,
    *token.ROUTES,
)
"""All routes, in the order of the OpenAPI document."""
