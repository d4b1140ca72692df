"""What the log says once when a service starts, because nothing else would: that nothing is sent, and why."""

from __future__ import annotations

from connector.api.paused_jobs import describe_paused_jobs
from connector.log import get_logger
from connector.settings import Settings
from connector.store import job_schedules
from connector.store.engine import Store

log = get_logger("serve")


async def log_start_notes(store: Store, settings: Settings) -> None:
    """Log that no org is configured, and which jobs are paused. Raises StoreError if the database is away."""
    if not settings.salesforce.login_url:
        setting = settings.salesforce.full_name("login_url")
        log.warning("no org configured", text="Nothing is sent, and nothing is received.", hint=f"Set {setting}.")
    async with store.reader() as connection:
        paused = await job_schedules.list_paused(connection)
    if paused:
        text, hint = describe_paused_jobs(paused)
        log.warning("jobs paused", text=text, hint=hint)
