"""What the company's own systems are told of a change that was applied here. PURE."""

from __future__ import annotations

from collections.abc import Mapping

from connector.model.change_notice import NewNotice
from connector.model.inbound_change import RemoteRecord
from connector.model.record import Link


def make_notice(what: str, record: RemoteRecord, link: Link, data: Mapping[str, object]) -> NewNotice:
    """`what` is a word like `updated`; `data` says more. A part (a line of an order) is told as its owner's."""
    entity, key = link.owner
    return NewNotice(
        type=f"{entity}.{what}",
        entity=entity,
        key=key,
        data={
            "entity": entity,
            "key": key,
            **({"line": link.key} if link.is_part else {}),
            "object": record.sobject,
            "record": record.id,
            "changed_at": record.modified_at.isoformat(),
            "changed_by": record.modified_by,
            **data,
        },
    )
