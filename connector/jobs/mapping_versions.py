"""Chooses the mapping version of a push: the version of its own files, and only while that version is active.

A process whose files were edited makes them the active version, once they are valid and fit the org. Other processes
send nothing until their files are the same, so old and new versions never alternate. A service keeps the last valid
version while an edit of its files cannot be used.

A source is a folder of files on one machine. Its stored digest distinguishes an edit from files that were always
different. A new source may activate a new version, but not one that was replaced before. `connector resync` always
activates its own files.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

from connector.errors import ConnectorError, MappingError, RetryClass
from connector.log import get_logger
from connector.mapping import MappingSet
from connector.mapping.version import MappingVersion, fingerprint, folder_of, load_version
from connector.store import mapping_versions as versions
from connector.store.engine import Connection, Store
from connector.store.mapping_versions import Activation

RECHECK_AFTER = timedelta(minutes=5)
"""A version that did not fit the org is checked again after this time: an admin may have added the field."""

REMIND_AFTER = timedelta(minutes=1)
"""How often a service reports a problem that lasts; `status` shows problems reported in the last five minutes."""

log = get_logger("mappings")


T = TypeVar("T")

CheckFit = Callable[[MappingSet], Awaitable[object]]
"""Raises MappingError if the org lacks fields that the mappings use."""


class EditDoesNotFitError(MappingError):
    """Edited files do not fit the org, so they were not activated. This is no outage for other processes."""


class OtherMappingsError(ConnectorError):
    """Our files are not those of the active version. Sending by them would undo what other processes sent."""

    def __init__(self, mine: MappingVersion, source: str, active: Activation) -> None:
        super().__init__(
            f"The active mapping is version {active.number} ({active.digest[:12]}), from {active.source}. The files in"
            f" {source} ({mine.short}) differ from it, so nothing is sent from here.",
            hint="To use the active ones, copy them here; to activate the files here, run `connector resync product`.",
            retry_class=RetryClass.CONFIG,
        )


@dataclass(frozen=True, kw_only=True)
class ChosenVersion:
    """The mappings to use while `number` is the active version. `activated`: this choice made it the active one."""

    number: int
    mappings: MappingSet
    activated: bool = False


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
        """Read the files again if they have changed. Returns True if so; `version` or `error` may then be new.

        Unless `immediately`, changed files are read when two calls in a row have found the same files, because a person
        may be saving several.
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


async def find_file_problem(connection: Connection, directory: Path | None) -> str | None:
    """Return why a push by the files in `directory` would send nothing; None if it would. The files are not compared
    with the fields of the org. Changes nothing."""
    try:
        files = MappingFiles(directory)
    except MappingError as error:
        return f"The mapping files cannot be used, so `connector push` sends nothing: {'; '.join(error.problems)}"
    active = await versions.get_active(connection)
    if active is None or active.digest == files.version.digest or await _is_edit(connection, files):
        return None
    return str(OtherMappingsError(files.version, files.source, active))


async def _is_edit(connection: Connection, files: MappingFiles) -> bool:
    """Return whether the files were edited since their folder was last seen; of a new folder, whether they were never
    active."""
    last_seen_digest = await versions.get_source_digest(connection, files.source)
    if last_seen_digest is not None:
        return last_seen_digest != files.version.digest
    return not await versions.was_active(connection, files.version.digest)


class MappingVersions:
    """The mapping versions as one process sees them."""

    def __init__(self, files: MappingFiles) -> None:
        self.files = files
        self._last_used: MappingVersion | None = None  # the version of the last push
        self._failed_check: tuple[str, datetime, MappingError] | None = None
        self._problem: ConnectorError | None = None
        self._reported_at: datetime | None = None
        self._last_read: MappingVersion | None = None  # the version that something was read from the org by
        self._rejected: tuple[str, datetime] | None = None  # a version that did not fit what is read, and when

    @property
    def current(self) -> MappingSet:
        """The mappings of the files, as last read."""
        return self.files.version.mappings

    def read(self) -> MappingSet:
        """Read the files and return their mappings. Raises MappingError if they cannot be used."""
        self.files.reload_if_changed(immediately=True)
        if self.files.error is not None:
            raise self.files.error
        return self.current

    async def use(self, store: Store, work: Callable[[MappingSet], Awaitable[T]]) -> T:
        """What `work`, which reads from the org, makes of the mappings of the files as they are now.

        While an edit cannot be used, or `work` raises MappingError because it does not fit the org, that is reported,
        and what was used before the edit is used. Raises MappingError if nothing was.
        """
        if self.files.reload_if_changed(immediately=True) or self.files.error is not None:
            await self.report(store, self.files.error)
        version, former = self.files.version, self._last_used or self._last_read
        if former is not None and self._is_rejected(store, version):
            return await work(former.mappings)
        try:
            result = await work(version.mappings)
        except MappingError as error:
            if former is None or former.digest == version.digest:
                raise
            self._rejected = version.digest, store.clock.now()
            await self.report(store, error)
            return await work(former.mappings)
        self._last_read = version
        if self._rejected is not None:
            self._rejected = None
            await self.report(store, None)
        return result

    def _is_rejected(self, store: Store, version: MappingVersion) -> bool:
        if self._rejected is None or self._rejected[0] != version.digest:
            return False
        return store.clock.now() < self._rejected[1] + RECHECK_AFTER

    async def files_are_active(self, store: Store) -> bool:
        """Return whether the files are those of the active version."""
        async with store.reader() as connection:
            active = await versions.get_active(connection)
        return self.files.error is None and active is not None and active.digest == self.files.version.digest

    async def choose(self, store: Store, check_fit: CheckFit, *, explicit: bool = False) -> ChosenVersion:
        """Return the version of the files; it is activated if the files were edited, or if `explicit`.

        Raises MappingError if the files cannot be used or do not fit the org (from `check_fit`), OtherMappingsError if
        another version is active.
        """
        if self.files.error is not None:
            raise self.files.error
        version, source = self.files.version, self.files.source
        async with store.reader() as connection:
            active = await versions.get_active(connection)
            last_seen_digest = await versions.get_source_digest(connection, source)
            edited = await _is_edit(connection, self.files)
        if active is not None and active.digest == version.digest:
            if last_seen_digest != version.digest:
                async with store.transaction() as uow:
                    await versions.record_source(uow, source, version.digest)
            return self._chosen(active.number, version)
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
        return replace(self._chosen(number, version), activated=True)

    def _chosen(self, number: int, version: MappingVersion) -> ChosenVersion:
        if self._last_used is None or self._last_used.digest != version.digest:
            log.info("mapping version", number=number, digest=version.short, source=self.files.source)
        self._last_used = version
        return ChosenVersion(number=number, mappings=version.mappings)

    async def check_files(self, store: Store) -> None:
        """Detect edits of the files, and report files that cannot be used. A service calls this regularly."""
        if self.files.reload_if_changed(immediately=False):
            await self.report(store, self.files.error)
        elif self._problem is not None and self._is_reminder_due(store):
            persists = isinstance(self._problem, MappingError) or not await self.files_are_active(store)
            await self.report(store, self._problem if persists else None)

    async def follow(self, store: Store, check_fit: CheckFit) -> ChosenVersion | None:
        """Return the version that a service uses now; None if there is none.

        If the files cannot be used, that is reported once, and the last valid version is used while it is active.
        """
        async with store.reader() as connection:
            active = await versions.get_active(connection)
        if active is not None and (self._last_used is None or self._last_used.digest != active.digest):
            self.files.reload_if_changed(immediately=True)  # another process has activated a version
        try:
            chosen = await self.choose(store, partial(self._check_fit_once, store, check_fit))
        except (MappingError, OtherMappingsError) as error:
            last_good = await self._choose_last_used(store, active, check_fit)
            await self.report(store, error)
            return last_good
        await self.report(store, None)
        return chosen

    async def _choose_last_used(
        self, store: Store, active: Activation | None, check_fit: CheckFit
    ) -> ChosenVersion | None:
        """Return the version that was used, or read, before an edit broke the files, if it is active or none is."""
        good = self._last_used if self._last_used is not None or self.files.error is None else self.files.version
        if good is None:
            return None
        if active is not None:
            return self._chosen(active.number, good) if good.digest == active.digest else None
        try:
            await check_fit(good.mappings)
        except MappingError:
            return None  # the next caller that uses it gets the error
        async with store.transaction() as uow:
            number = await versions.activate(uow, good.digest, self.files.source)
        self._reported_at = None  # an activation has deleted the reported problem
        return self._chosen(number, good)

    async def _check_fit_once(self, store: Store, check_fit: CheckFit, mappings: MappingSet) -> None:
        """Check a version against the org; one that did not fit is checked again only after a while."""
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

    async def report(self, store: Store, problem: ConnectorError | None) -> None:
        """Log a problem of the files once, and record it for `status`; None: there is none any more."""
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
            # The stored digest stays as it was, so these files count as an edit once they can be used.
            await versions.record_problem(uow, self.files.source, None if problem is None else str(problem), digest="")

    def _is_reminder_due(self, store: Store) -> bool:
        return self._reported_at is None or store.clock.now() >= self._reported_at + REMIND_AFTER
