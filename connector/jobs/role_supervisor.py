"""Keeps the roles of a process running: one that fails begins anew after a growing pause, and the others go on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from connector.clock import Clock
from connector.errors import ConnectorError
from connector.log import bind, get_logger

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
STEADY_SECONDS = 60.0
"""A role that ran for longer begins with the first pause again."""

log = get_logger(__name__)


@dataclass(kw_only=True)
class RoleState:
    """Whether a role of this process is up, since when, and what went wrong last."""

    role: str
    up: bool
    since: datetime
    restarts: int = 0
    error: str | None = None

    def is_steady(self, now: datetime) -> bool:
        """Whether it is up, and has been since the start or for a while."""
        return self.up and (not self.restarts or (now - self.since).total_seconds() > STEADY_SECONDS)


class RoleSupervisor:
    """Runs roles until they are stopped. A role is a function that runs until its event is set, or until canceled."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._stop = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.states: dict[str, RoleState] = {}

    def start(self, roles: Mapping[str, Callable[[asyncio.Event], Awaitable[None]]]) -> None:
        for name, run in roles.items():
            self.states[name] = RoleState(role=name, up=True, since=self._clock.now())
            self._tasks[name] = asyncio.create_task(self._keep(self.states[name], run))

    async def stop(self, seconds: float) -> None:
        """Let all roles end by themselves for so long, then cancel those that are left."""
        self._stop.set()
        tasks = set(self._tasks.values())
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=seconds)
        for task in late:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if late:
            log.warning("stopped in the middle of work", roles=[name for name, t in self._tasks.items() if t in late])

    async def _keep(self, state: RoleState, run: Callable[[asyncio.Event], Awaitable[None]]) -> None:
        faults, told = 0, ""
        bind(role=state.role)
        while not self._stop.is_set():
            begun_at = self._clock.now()
            steady = asyncio.create_task(self._tell_steady(state)) if faults else None
            try:
                await run(self._stop)
                if self._stop.is_set():
                    return
                text, failure = "It ended by itself.", None
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if self._stop.is_set() or (task is not None and task.cancelling()):
                    raise
                text, failure = "Something in it was canceled.", None
            except Exception as error:
                text = error.message if isinstance(error, ConnectorError) else f"{type(error).__name__}: {error}"[:300]
                failure = error
            finally:
                if steady is not None:
                    steady.cancel()
            if (self._clock.now() - begun_at).total_seconds() > STEADY_SECONDS:
                faults, told = 0, ""
            if text != told:
                _tell_failure(state.role, text, failure)
            told = text
            state.up, state.since, state.error = False, self._clock.now(), text
            await self._pause(min(FIRST_PAUSE * 2 ** min(faults, 16), LONGEST_PAUSE))
            faults += 1
            state.restarts += 1
            state.up, state.since = True, self._clock.now()

    async def _tell_steady(self, state: RoleState) -> None:
        await self._clock.sleep(STEADY_SECONDS)
        log.warning("role is back", role=state.role, restarts=state.restarts, after=state.error)

    async def _pause(self, seconds: float) -> None:
        sleeping, stopping = asyncio.create_task(self._clock.sleep(seconds)), asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({sleeping, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            stopping.cancel()


def _tell_failure(role: str, text: str, error: Exception | None) -> None:
    """Once for the same failure in a row; a fault of ours with its traceback."""
    if isinstance(error, ConnectorError):
        log.error("role failed", role=role, error=text, hint=error.hint)
    else:
        log.error("role failed", role=role, error=text, exc_info=error)
