"""Runs the asynchronous work of a command, and cancels it cleanly on a signal.

`asyncio` is imported only when work runs, because help does not need it.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from connector.errors import ConnectorError

STOPPED = "Stopped before the end. Finished work is stored; run the command again for the rest."
SIGNALS = (signal.SIGINT, signal.SIGTERM)

T = TypeVar("T")


class StoppedError(ConnectorError):
    """Ctrl-C, or SIGTERM."""

    def __init__(self, number: int, message: str = STOPPED) -> None:
        super().__init__(message)
        self.exit_status = 128 + number


def run(work: Coroutine[Any, Any, T], *, stopped: Callable[[], str] = lambda: STOPPED) -> T:
    """The result of `work`. The first signal cancels it, so that it releases its leases; a second one kills the
    process.

    Raises StoppedError, whatever `work` does when it is canceled; `stopped` returns the text of the error.
    """
    import asyncio

    return asyncio.run(_stoppable(work, stopped))


async def until_stopped() -> None:
    """Wait for SIGINT or SIGTERM."""
    import asyncio

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _handling_signals():
        loop.add_signal_handler(number, stop.set)
    await stop.wait()


async def _stoppable(work: Coroutine[Any, Any, T], stopped: Callable[[], str]) -> T:
    import asyncio

    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    received: list[int] = []

    def stop(number: int) -> None:
        received.append(number)
        for signal_number in listened:
            loop.remove_signal_handler(signal_number)
        task.cancel()

    listened = _handling_signals()
    for number in listened:
        loop.add_signal_handler(number, stop, number)
    try:
        return await work
    except BaseException:
        if received:
            raise StoppedError(received[0], stopped()) from None
        raise
    finally:
        for number in listened:
            loop.remove_signal_handler(number)


def _handling_signals() -> list[signal.Signals]:
    """The signals to handle, without those that the parent process set to be ignored: Ctrl-C does not reach background
    jobs."""
    return [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
