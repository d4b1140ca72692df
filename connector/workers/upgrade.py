"""What an engine keeps in the database besides the connector's tables."""

from __future__ import annotations

from connector.errors import SettingsError
from connector.settings import Settings
from connector.settings.cluster import WorkerEngine


async def upgrade_engine(settings: Settings) -> None:
    """Create or upgrade the tables of the engine of `CONNECTOR_WORKERS`. Raises SettingsError if it is not installed,
    StoreError if the database refuses."""
    if settings.workers is WorkerEngine.CLUSTER:
        try:
            from connector.workers.cluster_schema import upgrade
        except ModuleNotFoundError:
            raise missing_engine_error() from None
        await upgrade(settings)


def missing_engine_error() -> SettingsError:
    return SettingsError(
        "CONNECTOR_WORKERS=cluster needs procrastinate, which is not installed.",
        hint="Install it with pip install 'crm-connector[cluster]', or set CONNECTOR_WORKERS=embedded.",
    )
