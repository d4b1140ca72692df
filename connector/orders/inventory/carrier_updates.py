"""Turn a carrier's update of a shipment into commands for the orders that it belongs to."""

from __future__ import annotations

from collections.abc import Sequence

from connector.errors import CommandError
from connector.model.events import Track
from connector.model.fulfillment import is_news
from connector.model.shipments import ON_THE_WAY, ShipmentStatus
from connector.orders.command import OrderCommand
from connector.orders.transaction import OrderTransaction
from connector.store import shipments
from connector.store.shipments import TrackedShipment


async def commands_for_update(
    transaction: OrderTransaction,
    tracking_number: str,
    status: ShipmentStatus,
    *,
    carrier: str | None = None,
    note: str | None = None,
) -> tuple[list[str], list[OrderCommand]]:
    """Return the orders of the shipment, and the commands for the update; none if the status does not advance.

    Raises CommandError if no shipment has the tracking number, or shipments of several carriers have it.
    """
    tracked = _match_carrier(
        tracking_number, carrier, await shipments.find(transaction.uow.connection, tracking_number)
    )
    orders = await transaction.load(list(dict.fromkeys(item.order for item in tracked)))
    commands = [
        OrderCommand(number=item.order, event=Track(shipment=item.number, status=status, note=note))
        for item in tracked
        if is_news(orders[item.order][0].state.shipments[item.number], status)
    ]
    return list(orders), commands


def _match_carrier(
    tracking_number: str, carrier: str | None, tracked: Sequence[TrackedShipment]
) -> Sequence[TrackedShipment]:
    """Return the shipments of the carrier that are on their way, or if there are none, those that have arrived."""
    if carrier is not None:
        wanted = _normalize_carrier(carrier)
        tracked = [item for item in tracked if item.carrier is None or _normalize_carrier(item.carrier) == wanted]
    if not tracked:
        label = f"{tracking_number} of {carrier}" if carrier else tracking_number
        message = f"No parcel in transit has the tracking number {label}."
        raise CommandError(message, hint="Correct the number.", field="tracking_number", rule="unknown")
    carriers = {_normalize_carrier(item.carrier): item.carrier for item in tracked if item.carrier}
    if carrier is None and len(carriers) > 1:
        raise CommandError(
            f"{' and '.join(sorted(carriers.values()))} have parcels as {tracking_number}.",
            hint="Name the `carrier`.",
            field="carrier",
            rule="carrier",
        )
    return [item for item in tracked if item.status in ON_THE_WAY] or tracked


def _normalize_carrier(carrier: str) -> str:
    return carrier.strip().casefold()
