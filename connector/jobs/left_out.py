"""What the org lacks although nothing is due: what a person discarded, and what was deleted there."""

from __future__ import annotations

from collections.abc import Iterable

from connector.model.change import EntityKind
from connector.store import dead_letters, deleted_records, orgs
from connector.store.engine import Connection
from connector.store.outbox_filters import Selection


async def count_discarded(connection: Connection, selection: Selection | None) -> int:
    """How many of the chosen entities have a change that a person discarded."""
    return len(_chosen(await dead_letters.list_discarded(connection), selection))


async def list_deleted(connection: Connection, selection: Selection | None) -> list[tuple[EntityKind, str]]:
    """The chosen entities whose record was deleted in the active org, as `connector status` names them."""
    org = await orgs.get_active(connection)
    missing = [] if org is None else await deleted_records.list_missing(connection, org.org_id)
    return _chosen([(EntityKind(entity), key) for entity, key in missing], selection)


def _chosen(entities: Iterable[tuple[EntityKind, str]], selection: Selection | None) -> list[tuple[EntityKind, str]]:
    if selection is None:
        return list(entities)
    return [(kind, key) for kind, key in entities if (keys := selection.get(kind, frozenset())) is None or key in keys]
