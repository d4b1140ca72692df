"""The mapping version that a process works by: the active one, with its content from the database.

Files that were edited become the active version, once they are valid and fit the org, if they were the active version
before the edit. If another version was applied meanwhile, that is reported, and a person decides. A service goes on by
the active version while its files cannot be used.

A source is a folder of files on one machine. Its stored digest distinguishes an edit from files that were always
different.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

from connector.errors import ConnectorError, MappingError, RetryClass
from connector.jobs.mappings.files import MappingFiles, Relation
from connector.log import get_logger
from connector.mapping import MappingSet
from connector.mapping.version import MappingVersion, load_texts
from connector.model.mapping_version import Activation, SourceState
from connector.store import mapping_versions as versions
from connector.store.engine import Connection, Store

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
    """Our files are not those of the active version, and its content is not stored: it is of an earlier release."""

    def __init__(self, mine: MappingVersion, source: str, active: Activation) -> None:
        super().__init__(
            f"The active mapping is version {active.number} ({active.digest[:12]}), from {active.source}. Its content"
            f" is not stored, and the files in {source} ({mine.short}) differ from it, so nothing is sent from here.",
            hint="To use the active ones, copy them here; to activate the files here, run `connector mappings apply`.",
            retry_class=RetryClass.CONFIG,
        )


class EditBehindError(ConnectorError):
    """Files were edited whose base is not the active version any more, so the active version is used."""

    def __init__(self, mine: MappingVersion, source: str, active: Activation) -> None:
        super().__init__(
            f"The files in {source} ({mine.short}) were edited, but version {active.number} of the mappings, from"
            f" {active.author or active.source}, was made active since. The files are not used.",
            hint="`connector mappings plan` shows what they would change, `connector mappings apply` makes them active,"
            " and `connector mappings export FOLDER` writes the active version to files.",
            retry_class=RetryClass.CONFIG,
        )


@dataclass(frozen=True, kw_only=True)
class ChosenVersion:
    """The mappings to use while `number` is the active version. `activated`: this choice made it the active one.
    `problem`: why the edited files here are not used."""

    number: int
    mappings: MappingSet
    activated: bool = False
    problem: ConnectorError | None = None


async def find_file_problem(connection: Connection, directory: Path | None) -> tuple[str | None, str | None]:
    """Return why a push by a person would send nothing because of the files in `directory`, and why it would not use
    them. The files are not compared with the fields of the org. Changes nothing."""
    try:
        files = MappingFiles(directory)
    except MappingError as error:
        return f"The mapping files cannot be used, so `connector push` sends nothing: {'; '.join(error.problems)}", None
    active = await versions.get_active(connection)
    relation = await files.relate(connection, active)
    if active is None or relation in {Relation.ACTIVE, Relation.EDITED}:
        return None, None
    if await versions.get_texts(connection, active.digest) is None:
        return str(OtherMappingsError(files.version, files.source, active)), None
    if relation is Relation.BEHIND:
        return None, str(EditBehindError(files.version, files.source, active))
    return None, None


class MappingVersions:
    """The mapping versions as one process sees them."""

    def __init__(self, files: MappingFiles) -> None:
        self.files = files
        self._last_used: MappingVersion | None = None  # the version of the last push
        self._stored_digest: str | None = None  # of an active version whose files are in the database
        self._failed_check: tuple[str, datetime, MappingError] | None = None
        self._problem: ConnectorError | None = None
        self._reported_at: datetime | None = None
        self._last_read: MappingVersion | None = None  # the version that something was read from the org by
        self._rejected: tuple[str, datetime] | None = None  # a version that did not fit what is read, and when
        self._is_new = True
        self._looked_at: int | None = None  # the active version when the files were compared with it
        self._edit_waits = False

    @property
    def current(self) -> MappingSet:
        """The mappings as last used; of the files, if nothing was used yet."""
        version = self._last_used or self._last_read or self.files.version
        return version.mappings

    def read(self) -> None:
        """Read the files. Raises MappingError if they cannot be used."""
        self.files.reload_if_changed(immediately=True)
        if self.files.error is not None:
            raise self.files.error

    async def find(self, store: Store) -> MappingVersion:
        """The version to read by now: the edited files if they are to become active, else the active version. The files
        are taken as last read, and used if the content of the active version is unknown. Raises MappingError if this
        release cannot read it."""
        return (await self._find(store))[0]

    async def load(self, store: Store) -> MappingSet:
        """The mappings to read by now; the files are read again first. Raises what `find` raises."""
        self.files.reload_if_changed(immediately=True)
        return (await self.find(store)).mappings

    async def _find(self, store: Store) -> tuple[MappingVersion, ConnectorError | None]:
        """The version, and why the files here are not used, if they were edited."""
        async with store.reader() as connection:
            active = await versions.get_active(connection)
            if active is None:
                return self.files.version, self.files.error
            relation = await self.files.relate(connection, active)
            if self.files.error is None and relation is Relation.EDITED:
                return self.files.version, None
            try:
                version = await self._load_active(connection, active)
            except OtherMappingsError as error:
                return self.files.version, error
        return version, self._problem_of_files(relation, active)

    def _problem_of_files(self, relation: Relation, active: Activation) -> ConnectorError | None:
        if self.files.error is not None:
            return self.files.error
        if relation is Relation.BEHIND:
            return EditBehindError(self.files.version, self.files.source, active)
        return None

    async def _load_active(self, connection: Connection, active: Activation) -> MappingVersion:
        if (known := self._find_known(active.digest)) is not None:
            return known
        texts = await versions.get_texts(connection, active.digest)
        if texts is None:
            raise OtherMappingsError(self.files.version, self.files.source, active)
        return load_texts(texts)

    def _find_known(self, digest: str) -> MappingVersion | None:
        known = (self.files.version, self._last_used, self._last_read)
        return next((version for version in known if version is not None and version.digest == digest), None)

    async def use(self, store: Store, work: Callable[[MappingSet], Awaitable[T]]) -> T:
        """What `work`, which reads from the org, makes of the mappings as they are now.

        While an edit of the files cannot be used, or `work` raises MappingError because it does not fit the org, that
        is reported, and what was used before the edit is used. Raises MappingError if nothing was.
        """
        changed = self.files.reload_if_changed(immediately=True)
        version, problem = await self._find(store)
        if changed or problem is not None:
            await self.report(store, problem)
        former = self._last_used or self._last_read
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
            await self.report(store, problem)
        return result

    def _is_rejected(self, store: Store, version: MappingVersion) -> bool:
        if self._rejected is None or self._rejected[0] != version.digest:
            return False
        return store.clock.now() < self._rejected[1] + RECHECK_AFTER

    async def has_edit(self, store: Store) -> bool:
        """Return whether the files, as last read, are to become the active version."""
        async with store.reader() as connection:
            active = await versions.get_active(connection)
            return await self.files.relate(connection, active) is Relation.EDITED

    async def choose(self, store: Store, check_fit: CheckFit) -> ChosenVersion:
        """Return the active version. Edited files, as last read, become it if they were the active one before the edit.

        Raises EditDoesNotFitError if they do not fit the org (from `check_fit`), OtherMappingsError if the content of
        the active version is unknown, MappingError if this release cannot read it.
        """
        while True:
            async with store.reader() as connection:
                active = await versions.get_active(connection)
                relation = await self.files.relate(connection, active)
                last_seen = await versions.get_source(connection, self.files.source)
            if active is None or (relation is Relation.EDITED and self.files.error is None):
                chosen = await self._activate(store, active, check_fit)
                if chosen is not None:
                    return chosen
                continue  # another process has activated a version meanwhile
            version = self.files.version
            if self.files.error is None and self._is_news(last_seen, relation, active):
                if relation is Relation.OTHER:
                    log.info("other mappings are active", number=active.number, source=self.files.source)
                async with store.transaction() as uow:
                    number = active.number if relation is Relation.ACTIVE else None
                    await versions.record_source(uow, self.files.source, version.digest, number)
            active_version = await self._load_stored(store, active)
            return self._chosen(active.number, active_version, self._problem_of_files(relation, active))

    async def _load_stored(self, store: Store, active: Activation) -> MappingVersion:
        """The active version, whose files are stored: if an earlier release has activated it, they are from now on."""
        known = self._find_known(active.digest)
        if known is not None and self._stored_digest == active.digest:
            return known
        async with store.reader() as connection:
            version = await self._load_active(connection, active)
            is_stored = await versions.get_texts(connection, active.digest) is not None
        if not is_stored:
            async with store.transaction() as uow:
                await versions.put_texts(uow, active.digest, version.texts)
        self._stored_digest = active.digest
        return version

    async def _activate(self, store: Store, active: Activation | None, check_fit: CheckFit) -> ChosenVersion | None:
        """Make the files, as they were last valid, the active version; None if another version became active."""
        version = self.files.version
        try:
            await check_fit(version.mappings)
        except MappingError as error:
            raise EditDoesNotFitError(error.problems) from None
        base = None if active is None else active.number
        async with store.transaction() as uow:
            number = await versions.activate(uow, version.digest, self.files.source, base=base, texts=version.texts)
        if number is None:
            return None
        self._stored_digest = version.digest
        if self.files.error is not None:
            self._reported_at = None  # the activation has deleted the reported problem
        return replace(self._chosen(number, version, self.files.error), activated=True)

    def _chosen(self, number: int, version: MappingVersion, problem: ConnectorError | None) -> ChosenVersion:
        if self._last_used is None or self._last_used.digest != version.digest:
            log.info("mapping version", number=number, digest=version.short)
        self._last_used = version
        return ChosenVersion(number=number, mappings=version.mappings, problem=problem)

    async def check_files(self, store: Store) -> None:
        """Detect edits of the files, and report files that cannot be used. A service calls this regularly."""
        changed = self.files.reload_if_changed(immediately=False)
        async with store.reader() as connection:
            active = await versions.find_latest(connection)
        if changed or self._is_new or (self.files.is_read and active != self._looked_at):
            self._is_new, self._looked_at = False, active
            self._edit_waits = await self._look_at_files(store)
        if changed:
            await self.report(store, await self._find_problem(store))
        elif self._problem is not None and self._is_reminder_due(store):
            persists = isinstance(self._problem, MappingError) or await self._find_problem(store) is not None
            await self.report(store, self._problem if persists else None)

    async def _look_at_files(self, store: Store) -> bool:
        """Record that the files are those of the active version, and their content, if so. Return whether they are to
        become it."""
        version = self.files.version
        async with store.reader() as connection:
            active = await versions.get_active(connection)
            relation = await self.files.relate(connection, active)
            last_seen = await versions.get_source(connection, self.files.source)
            is_stored = await versions.get_texts(connection, version.digest) is not None
        if active is None or self.files.error is not None:
            return False
        if relation is Relation.ACTIVE and (not is_stored or self._is_news(last_seen, relation, active)):
            async with store.transaction() as uow:
                await versions.put_texts(uow, version.digest, version.texts)  # an earlier release did not
                await versions.record_source(uow, self.files.source, version.digest, active.number)
        return relation is Relation.EDITED

    def _is_news(self, last_seen: SourceState | None, relation: Relation, active: Activation) -> bool:
        """Whether what is stored of the files is to be replaced: never by an edit that a person decides about."""
        if relation is Relation.ACTIVE:
            return last_seen != SourceState(digest=active.digest, number=active.number)
        return relation is Relation.OTHER and (last_seen is None or last_seen.digest != self.files.version.digest)

    def take_edit(self) -> bool:
        """Return, once for each edit, whether `check_files` found files that are to become the active version."""
        waits, self._edit_waits = self._edit_waits, False
        return waits

    async def _find_problem(self, store: Store) -> ConnectorError | None:
        try:
            return (await self._find(store))[1]
        except ConnectorError as error:
            return error

    async def follow(self, store: Store, check_fit: CheckFit) -> ChosenVersion | None:
        """Return the version that a service uses now; None if there is none.

        If the files cannot be used, that is reported once, and the active version is used.
        """
        async with store.reader() as connection:
            active = await versions.get_active(connection)
        if active is not None and (self._last_used is None or self._last_used.digest != active.digest):
            self.files.reload_if_changed(immediately=True)  # another process has activated a version
        try:
            chosen = await self.choose(store, partial(self._check_fit_once, store, check_fit))
        except EditDoesNotFitError as error:
            if active is None:
                await self.report(store, error)
                return None  # the next caller that uses it gets the error
            async with store.reader() as connection:
                version = await self._load_active(connection, active)
            await self.report(store, error)
            return self._chosen(active.number, version, error)
        except (MappingError, OtherMappingsError) as error:
            await self.report(store, error)
            return None
        await self.report(store, chosen.problem)
        return chosen

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
            await versions.record_problem(uow, self.files.source, None if problem is None else str(problem))

    def _is_reminder_due(self, store: Store) -> bool:
        return self._reported_at is None or store.clock.now() >= self._reported_at + REMIND_AFTER
