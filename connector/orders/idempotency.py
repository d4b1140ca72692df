"""Idempotency of commands: a request that was carried out before is recognized by its key, and not repeated."""

from __future__ import annotations

from collections.abc import Sequence

from connector.errors import CommandError
from connector.orders.command import OrderCommand
from connector.store import order_history
from connector.store.engine import Connection


async def split_replays(
    connection: Connection, commands: Sequence[OrderCommand]
) -> tuple[Sequence[OrderCommand], set[tuple[str, str]]]:
    """Return the commands that are new, and the (order, key) of those that were carried out before.

    The caller has locked their orders. Raises CommandError if a key was used before for another command.
    """
    keys: dict[str, list[str]] = {}
    for command in commands:
        if command.request is not None:
            keys.setdefault(command.number, []).append(command.request)
    if not keys:
        return commands, set()
    earlier = await order_history.load_requests(connection, keys)
    new, replayed = [], set()
    for command in commands:
        request = command.stored_request
        if request is None:
            new.append(command)
            continue
        before = earlier.setdefault((command.number, request.key), request)
        if before.digest not in (None, request.digest):
            raise CommandError(
                f"Request {request.key} of order {command.number} was used for another command before.",
                hint="Use a new key for each command, and repeat a command unchanged.",
                field="request",
                rule="idempotency",
            )
        if before is request:
            new.append(command)
        else:
            replayed.add((command.number, request.key))
    return new, replayed
