"""What an adoption does, for a person to read. PURE."""

from __future__ import annotations

from connector.inbound.adoption.obstacle import ObstacleError
from connector.model.inbound_change import RemoteRecord
from connector.model.record import Link
from connector.model.record_change import Effect, RecordChange


def explain_adoption(record: RemoteRecord, link: Link) -> RecordChange:
    """A record that becomes the entity of `link`."""
    return RecordChange(
        effect=Effect.ADOPTED,
        sobject=record.sobject,
        record_id=record.id,
        entity=link.entity,
        key=link.key,
        changed_by=record.author,
    )


def explain_obstacle(record: RemoteRecord, obstacle: ObstacleError) -> RecordChange:
    """A record that cannot be adopted."""
    return RecordChange(
        effect=Effect.PARKED,
        sobject=record.sobject,
        record_id=record.id,
        changed_by=record.author,
        why=obstacle.reason,
        fix=obstacle.fix,
    )
