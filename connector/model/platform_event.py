"""Platform events that we publish to the org: the stages and holds of an order, and the answer to an action. PURE."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from typing import Any

from connector.model.holds import Hold
from connector.model.stage import Stage

ORDER_ACTION = "Order_Action__e"
ORDER_ACTION_RESULT = "Order_Action_Result__e"
ORDER_STATUS = "Order_Status__e"


@dataclass(frozen=True, kw_only=True, slots=True)
class PlatformEvent:
    """An event to publish. `name` is its object in the org, `order` the order whose events keep their sequence, `id`
    what a subscriber recognizes a repeat by. `fields` are its values, times in milliseconds since 1970. `org_id`: only
    for this org; None: for the org that the database works with."""

    name: str
    order: str
    id: str
    fields: Mapping[str, Any]
    org_id: str | None = None

    @property
    def topic(self) -> str:
        return topic_of(self.name)


def topic_of(name: str) -> str:
    """The topic to which events of this object are published."""
    return f"/event/{name}"


def status_events(
    order: str, stages: Iterable[tuple[int, Stage, Stage]], held_before: Set[Hold], held: Set[Hold]
) -> list[PlatformEvent]:
    """The events that tell what became of one order in one transaction: one for each new stage, or a single one if only
    its holds changed.

    `stages` are the place in the history, the stage before and the stage after, of each event of the transaction. The
    place in the history makes the ID: it is the same whenever the event is published again, and it rises.
    """
    steps = list(stages)
    changed = [step for step in steps if step[1] is not step[2]]
    if not changed and held_before != held:
        changed = steps[-1:]
    reason = ", ".join(sorted(held)) or None
    return [
        PlatformEvent(
            name=ORDER_STATUS,
            order=order,
            id=f"{order}:{sequence}",
            fields={
                "Event_ID__c": f"{order}:{sequence}",
                "Order_Number__c": order,
                "Stage__c": after.value,
                "Previous_Stage__c": before.value,
                "Hold_Reason__c": reason,
            },
        )
        for sequence, before, after in changed
    ]
