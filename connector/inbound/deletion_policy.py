"""What becomes of an entity here whose record was deleted in the org. PURE."""

from __future__ import annotations

from enum import StrEnum

from connector.settings.inbound import InboundSettings


class DeletionAction(StrEnum):
    """What is done; the words appear in the summary of a pull and in the journal."""

    REPORTED = "reported"
    """The entity stays, and is shown as deleted in the org."""
    RECREATED = "recreated"
    """The link ends, and the next push creates the record again."""
    CANCELED = "canceled"
    """The order is canceled here."""
    REMOVED = "removed"
    """The line is removed from the order here."""
    MERGED = "merged"
    """The account was merged into another one, which the customer or its orders follow."""
    AGREED = "agreed"
    """It had ended here before: nothing is left to do."""
    WITH_ORDER = "with its order"
    """A line that went with its order: the decision is made for the order."""


_ACTIONS = {
    "report": DeletionAction.REPORTED,
    "recreate": DeletionAction.RECREATED,
    "restore": DeletionAction.RECREATED,
    "cancel": DeletionAction.CANCELED,
    "remove": DeletionAction.REMOVED,
}


def policy_for(entity: str, settings: InboundSettings) -> str:
    """The policy that is set for the records of an entity; what has no policy of its own is reported."""
    policies = {
        "customer": settings.deleted_customers,
        "product": settings.deleted_products,
        "order": settings.deleted_orders,
        "line": settings.deleted_lines,
    }
    policy = policies.get(entity)
    return "report" if policy is None else policy.value


def decide_deletion(
    policy: str, *, ended_here: bool, with_order: bool = False, forbidden: bool = False, is_certain: bool = True
) -> DeletionAction:
    """Decide one deletion.

    `ended_here`: the order is canceled here, or the line removed. `with_order`: the order of a line is deleted too.
    `forbidden`: the rules of the order do not allow what the policy asks for. `is_certain` is False if the record is
    not found and the org does not say that it was deleted: the connector's user may have lost the right to see it.
    """
    if with_order:
        return DeletionAction.WITH_ORDER
    if ended_here:
        return DeletionAction.AGREED
    if forbidden or not is_certain:
        return DeletionAction.REPORTED
    return _ACTIONS[policy]
