"""What a carrier reports of a shipment: whose it is, and whether it leads further."""

from __future__ import annotations

from collections.abc import Sequence

from connector.errors import CommandError
from connector.model.events import Track
from connector.model.fulfillment import is_news
from connector.model.shipments import ON_THE_WAY, ShipmentStatus
from connector.orders.command import OrderCommand
from connector.orders.transaction import OrderTransaction
from connector.store import shipments
from connector.store.shipments import Tracked


async def news_for(
    transaction: OrderTransaction,
    tracking_number: str,
    status: ShipmentStatus,
    *,
    carrier: str | None = None,
    note: str | None = None,
) -> tuple[list[str], list[OrderCommand]]:
    """The orders that the shipment belongs to, and the commands that the report comes to: none where it leads no
    further. Raises CommandError where the number is nobody's, or could be another carrier's."""
    tracked = _of_carrier(tracking_number, carrier, await shipments.find(transaction.uow.connection, tracking_number))
    orders = await transaction.load(list(dict.fromkeys(item.order for item in tracked)))
    commands = [
        OrderCommand(number=item.order, event=Track(shipment=item.number, status=status, note=note))
        for item in tracked
        if is_news(orders[item.order][0].state.shipments[item.number], status)
    ]
    return list(orders), commands


def _of_carrier(tracking_number: str, carrier: str | None, tracked: Sequence[Tracked]) -> Sequence[Tracked]:
    """The shipments on their way, else those that have arrived."""
    if carrier is not None:
        wanted = _plain(carrier)
        tracked = [item for item in tracked if item.carrier is None or _plain(item.carrier) == wanted]
    if not tracked:
        label = f"{carrier} {tracking_number}" if carrier else tracking_number
        raise CommandError(f"No parcel is on its way as {label}.", field="tracking_number", rule="unknown")
    carriers = {_plain(item.carrier): item.carrier for item in tracked if item.carrier}
    if carrier is None and len(carriers) > 1:
        raise CommandError(
            f"{' and '.join(sorted(carriers.values()))} have parcels as {tracking_number}.",
            hint="Say whose it is.",
            field="carrier",
            rule="carrier",
        )
    return [item for item in tracked if item.status in ON_THE_WAY] or tracked


def _plain(carrier: str) -> str:
    return carrier.strip().casefold()
