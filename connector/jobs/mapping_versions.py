"""Which mapping version a push works by: that of its own files, and only while it is the active one.

The files on disk are the source. Whoever finds that its files were edited makes them the active version, once they are
known to be good and to fit the org; everybody else follows as soon as their files are the same, and sends nothing until
then. So old and new never alternate, whoever notices first. A service keeps to the last good version while an edit of
its files cannot be used.

An edit is told from other files that lie elsewhere by what a source (a folder on a machine) had when it was last seen.
A source that is new may bring a new version, and not one that was replaced; `connector resync` makes its own files
active in any case.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from connector.errors import ConnectorError, MappingError, RetryClass
from connector.log import get_logger
from connector.mapping import MappingSet
from connector.mapping.version import MappingVersion, fingerprint, folder_of, load_version
from connector.store import mapping_versions as versions
from connector.store.engine import Store
from connector.store.mapping_versions import Activation

RECHECK_AFTER = timedelta(minutes=5)
"""After which a version that did not fit the org is held against it once more: an admin may have added the field."""

REMIND_AFTER = timedelta(minutes=1)
"""How often a service says that its trouble lasts; `status` shows what was said in the last five."""

log = get_logger("mappings")


CheckFit = Callable[[MappingSet], Awaitable[object]]
"""MappingError if the org has not what the mappings speak of."""


class EditDoesNotFitError(MappingError):
    """Edited files do not fit the org, and were not made active: nothing is wrong with the org for anybody else."""


class OtherMappingsError(ConnectorError):
    """Our files are not those of the active version: whoever sent by them would undo what others sent."""

    def __init__(self, mine: MappingVersion, source: str, active: Activation) -> None:
        super().__init__(
            f"The mapping files of {source} ({mine.short}) are not the active version: number {active.number}"
            f" ({active.digest[:12]}), of {active.source}. Nothing is sent from here.",
            hint="Bring those files here, or make these active with `connector resync` (of anything).",
            retry_class=RetryClass.CONFIG,
        )


@dataclass(frozen=True, kw_only=True)
class ChosenVersion:
    """A mapping to work by, as long as `number` is the active version."""

    number: int
    mappings: MappingSet


class MappingFiles:
    """A folder of mapping files, read again when it was changed. MappingError if it cannot be used at first."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        folder = folder_of(directory)
        self.source = f"{socket.gethostname()}:{folder.resolve() if isinstance(folder, Path) else folder.name}"
        self._loaded_fingerprint = self._seen_fingerprint = fingerprint(directory)
        self.version = load_version(directory)
        self.error: MappingError | None = None

    def reload_if_changed(self, *, immediately: bool) -> bool:
        """Whether they were read again: `version` or `error` may be new. Not `now` means to wait until two looks find
        the same, for somebody may be about to save another file."""
        current = fingerprint(self._directory)
        stable, self._seen_fingerprint = current == self._seen_fingerprint, current
        if current == self._loaded_fingerprint or not (immediately or stable):
            return False
        self._loaded_fingerprint = current
        try:
            self.version, self.error = load_version(self._directory), None
        except MappingError as error:
            self.error = error
        return True


class MappingVersions:
    """The versions of one process."""

    def __init__(self, files: MappingFiles) -> None:
        self.files = files
        self._last_used: MappingVersion | None = None  # what was last worked by
        self._failed_check: tuple[str, datetime, MappingError] | None = None
        self._problem: ConnectorError | None = None
        self._reported_at: datetime | None = None

    @property
    def current(self) -> MappingSet:
        """Those of the files."""
        return self.files.version.mappings

    def read(self) -> MappingSet:
        """Those of the files as they are now; MappingError if they cannot be used."""
        self.files.reload_if_changed(immediately=True)
        if self.files.error is not None:
            raise self.files.error
        return self.current

    async def files_are_active(self, store: Store) -> bool:
        """Whether the files are those of the active version."""
        async with store.reader() as connection:
            active = await versions.get_active(connection)
        return self.files.error is None and active is not None and active.digest == self.files.version.digest

    async def choose(self, store: Store, check_fit: CheckFit, *, explicit: bool = False) -> ChosenVersion:
        """The version of the files; made the active one if they were edited, or if that is `explicit`.

        MappingError if they cannot be used or do not fit the org (which `fits` raises), OtherMappingsError if others
        are active.
        """
        if self.files.error is not None:
            raise self.files.error
        version, source = self.files.version, self.files.source
        async with store.reader() as connection:
            active = await versions.get_active(connection)
            last_seen_digest = await versions.get_source_digest(connection, source)
            was_active_before = await versions.was_active(connection, version.digest)
        if active is not None and active.digest == version.digest:
            if last_seen_digest != version.digest:
                async with store.transaction() as uow:
                    await versions.record_source(uow, source, version.digest)
            return self._chosen(active.number, version)
        edited = last_seen_digest != version.digest if last_seen_digest is not None else not was_active_before
        if active is not None and not edited and not explicit:
            if last_seen_digest is None:
                async with store.transaction() as uow:
                    await versions.record_source(uow, source, version.digest)
            raise OtherMappingsError(version, source, active)
        try:
            await check_fit(version.mappings)
        except MappingError as error:
            raise EditDoesNotFitError(error.problems) from None
        async with store.transaction() as uow:
            number = await versions.activate(uow, version.digest, source)
        return self._chosen(number, version)

    def _chosen(self, number: int, version: MappingVersion) -> ChosenVersion:
        if self._last_used is None or self._last_used.digest != version.digest:
            log.info("mapping version", number=number, digest=version.short, source=self.files.source)
        self._last_used = version
        return ChosenVersion(number=number, mappings=version.mappings)

    async def check_files(self, store: Store) -> None:
        """For a service, every now and then: see whether the files were edited, and say so if they cannot be used."""
        if self.files.reload_if_changed(immediately=False):
            await self._report(store, self.files.error)
        elif self._problem is not None and self._is_reminder_due(store):
            persists = isinstance(self._problem, MappingError) or not await self.files_are_active(store)
            await self._report(store, self._problem if persists else None)

    async def follow(self, store: Store, check_fit: CheckFit) -> ChosenVersion | None:
        """For a service: what to work by now. If that cannot be had from the files, which it says once, it is the last
        good version, as long as that is active; else None."""
        async with store.reader() as connection:
            active = await versions.get_active(connection)
        if active is not None and (self._last_used is None or self._last_used.digest != active.digest):
            self.files.reload_if_changed(immediately=True)  # somebody else was faster
        try:
            chosen = await self.choose(store, partial(self._check_fit_once, store, check_fit))
        except (MappingError, OtherMappingsError) as error:
            last_good = await self._choose_last_used(store, active, check_fit)
            await self._report(store, error)
            return last_good
        await self._report(store, None)
        return chosen

    async def _choose_last_used(
        self, store: Store, active: Activation | None, check_fit: CheckFit
    ) -> ChosenVersion | None:
        """What was worked by, or was read before an edit broke the files, if that is active or nothing is."""
        good = self._last_used if self._last_used is not None or self.files.error is None else self.files.version
        if good is None:
            return None
        if active is not None:
            return self._chosen(active.number, good) if good.digest == active.digest else None
        try:
            await check_fit(good.mappings)
        except MappingError:
            return None  # which the next one to use it will be told
        async with store.transaction() as uow:
            number = await versions.activate(uow, good.digest, self.files.source)
        self._reported_at = None  # to activate them has taken down what is wrong with the files by now
        return self._chosen(number, good)

    async def _check_fit_once(self, store: Store, check_fit: CheckFit, mappings: MappingSet) -> None:
        """What did not fit is not held against the org again at every look."""
        digest = self.files.version.digest
        if (
            self._failed_check is not None
            and self._failed_check[0] == digest
            and store.clock.now() < self._failed_check[1] + RECHECK_AFTER
        ):
            raise self._failed_check[2]
        try:
            await check_fit(mappings)
        except MappingError as error:
            self._failed_check = digest, store.clock.now(), error
            raise

    async def _report(self, store: Store, problem: ConnectorError | None) -> None:
        if str(problem) == str(self._problem) and (problem is None or not self._is_reminder_due(store)):
            return
        if problem is None:
            log.info("mappings can be used again", source=self.files.source)
        elif str(problem) != str(self._problem):
            problems = problem.problems if isinstance(problem, MappingError) else [str(problem)]
            followed = None if self._last_used is None else self._last_used.short
            log.error("mappings cannot be used", source=self.files.source, problems=list(problems), followed=followed)
        self._problem, self._reported_at = problem, store.clock.now()
        async with store.transaction() as uow:
            # As if nobody had seen these files: once they can be used, they are an edit.
            await versions.record_problem(uow, self.files.source, None if problem is None else str(problem), digest="")

    def _is_reminder_due(self, store: Store) -> bool:
        return self._reported_at is None or store.clock.now() >= self._reported_at + REMIND_AFTER
