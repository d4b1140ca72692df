"""Decides which mapping version a push uses: that of its own files, and only while it is the active one.

The files on disk are the source. A process whose files were edited makes them the active version, once they are valid
and fit the org. Other processes follow when their files are the same, and send nothing until then, so old and new
versions never alternate. A service keeps the last good version while an edit of its files cannot be used.

A source is a folder on a machine; what it had when last seen distinguishes an edit from other files elsewhere. A new
source may bring a new version, but not one that was replaced. `connector resync` always activates its own files.
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
"""A version that did not fit the org is checked again after this time: an admin may have added the field."""

REMIND_AFTER = timedelta(minutes=1)
"""How often a service reports a lasting problem; `status` shows what was reported in the last five minutes."""

log = get_logger("mappings")


CheckFit = Callable[[MappingSet], Awaitable[object]]
"""Raises MappingError if the org lacks what the mappings use."""


class EditDoesNotFitError(MappingError):
    """Edited files do not fit the org and were not activated. For other processes the org works."""


class OtherMappingsError(ConnectorError):
    """Our files are not those of the active version: sending by them would undo what others sent."""

    def __init__(self, mine: MappingVersion, source: str, active: Activation) -> None:
        super().__init__(
            f"The mapping files of {source} ({mine.short}) are not the active version: number {active.number}"
            f" ({active.digest[:12]}), of {active.source}. Nothing is sent from here.",
            hint="Bring those files here, or make these active with `connector resync` (of anything).",
            retry_class=RetryClass.CONFIG,
        )


@dataclass(frozen=True, kw_only=True)
class ChosenVersion:
    """The mappings to use as long as `number` is the active version."""

    number: int
    mappings: MappingSet


class MappingFiles:
    """A folder of mapping files, read again when it changes. Raises MappingError if it cannot be used at first."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        folder = folder_of(directory)
        self.source = f"{socket.gethostname()}:{folder.resolve() if isinstance(folder, Path) else folder.name}"
        self._loaded_fingerprint = self._seen_fingerprint = fingerprint(directory)
        self.version = load_version(directory)
        self.error: MappingError | None = None

    def reload_if_changed(self, *, immediately: bool) -> bool:
        """Whether the files were read again, so that `version` or `error` may be new.

        Unless `immediately`, it waits until two calls find the same files, because another file may be about to be
        saved.
        """
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
    """The mapping versions as one process sees them."""

    def __init__(self, files: MappingFiles) -> None:
        self.files = files
        self._last_used: MappingVersion | None = None  # what was last worked by
        self._failed_check: tuple[str, datetime, MappingError] | None = None
        self._problem: ConnectorError | None = None
        self._reported_at: datetime | None = None

    @property
    def current(self) -> MappingSet:
        """The mappings of the files."""
        return self.files.version.mappings

    def read(self) -> MappingSet:
        """The mappings of the files as they are now. Raises MappingError if they cannot be used."""
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
        """The version of the files, activated if they were edited or if that is `explicit`.

        Raises MappingError if they cannot be used or do not fit the org (from `check_fit`), OtherMappingsError if
        others are active.
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
        """For a service, regularly: detect edits of the files, and report if they cannot be used."""
        if self.files.reload_if_changed(immediately=False):
            await self._report(store, self.files.error)
        elif self._problem is not None and self._is_reminder_due(store):
            persists = isinstance(self._problem, MappingError) or not await self.files_are_active(store)
            await self._report(store, self._problem if persists else None)

    async def follow(self, store: Store, check_fit: CheckFit) -> ChosenVersion | None:
        """For a service: the version to use now.

        If the files cannot provide it, that is reported once, and the last good version is used as long as it is
        active; else None.
        """
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
        """The version used before, or read before an edit broke the files, if it is active or none is."""
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
        """Do not check a version against the org again that did not fit a while ago."""
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
