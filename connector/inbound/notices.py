"""What the company's own systems are told of a change that was applied here. PURE."""

from __future__ import annotations

from collections.abc import Mapping

from connector.model.action_request import ActionRequest, OrgAction
from connector.model.change_notice import NewNotice
from connector.model.inbound_change import RemoteRecord
from connector.model.record import Link

_OF_THE_PART = frozenset({"added", "deleted", "undeleted"})
"""What concerns a line alone, and not its order: a line that is deleted does not delete the order."""


def make_notice(what: str, record: RemoteRecord, link: Link, data: Mapping[str, object]) -> NewNotice:
    """`what` is a word like `updated`; `data` says more. A part (a line of an order) is told as its owner's."""
    entity, key = link.owner
    part = f"{link.entity}_" if link.is_part and what in _OF_THE_PART else ""
    return NewNotice(
        type=f"{entity}.{part}{what}",
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


def make_action_notice(request: ActionRequest, action: OrgAction, number: str, *, with_values: bool) -> NewNotice:
    """An action that somebody asked for in the org was carried out on an order. What they typed is told only with
    `with_values`."""
    typed = {"reason": request.reason, "requested_by": request.requested_by} if with_values else {}
    changed_at = None if request.published_at is None else request.published_at.isoformat()
    return NewNotice(
        type="order.action",
        entity="order",
        key=number,
        data={
            "entity": "order",
            "key": number,
            "action": action.value,
            "event": request.event_id,
            "changed_at": changed_at,
            "changed_by": request.user_id,
            **typed,
        },
    )
