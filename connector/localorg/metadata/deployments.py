"""Deployments: check a zip, install it wholly or (if asked to) partly, and store it.

The org stores what was deployed with its data and installs it again at the next start, before anything else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from connector.localorg import ids
from connector.localorg.metadata.archive import Archive, ArchiveError, Removal, open_archive
from connector.localorg.metadata.component import DEPENDENCY_ORDER, Component, parse_file
from connector.localorg.metadata.deployed import DeployedMetadata
from connector.localorg.metadata.installer import install
from connector.localorg.metadata.removal import ComponentMissingError, remove_component
from connector.localorg.metadata.xml import MetadataError
from connector.localorg.storage import Storage, quote

PREFIX = "0Af"
MAX_DEPLOYMENTS = 100
VALIDATION_LIFETIME = timedelta(days=10)  # a check
FINISHED_STATUSES = {"Succeeded", "SucceededPartial", "Failed", "Canceled"}
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS _component (place INTEGER PRIMARY KEY AUTOINCREMENT, type TEXT, name TEXT, file TEXT,"
    " content BLOB, UNIQUE (type, name))"
)
OPTIONS: dict[str, Any] = {
    "allowMissingFiles": False, "autoUpdatePackage": False, "checkOnly": False, "ignoreWarnings": False,
    "performRetrieve": False, "purgeOnDelete": False, "rollbackOnError": True, "runTests": None,
    "singlePackage": True, "testLevel": "NoTestRun",
}  # fmt: skip


@dataclass(kw_only=True)
class ComponentMessage:
    """The result of one component."""

    type: str
    name: str
    file: str
    success: bool
    created: bool = False
    deleted: bool = False
    problem: str | None = None
    line: int = 0


@dataclass(kw_only=True)
class Deployment:
    id: str
    options: dict[str, Any]
    created: datetime
    status: str = "Pending"
    total: int = 0
    messages: list[ComponentMessage] = field(default_factory=list)
    error: str | None = None
    completed: datetime | None = None
    archive: Archive = field(default_factory=Archive)
    validated: Archive | None = None  # of a check that found nothing wrong

    @property
    def done(self) -> bool:
        return self.status in FINISHED_STATUSES

    @property
    def failures(self) -> list[ComponentMessage]:
        return [item for item in self.messages if not item.success]

    @property
    def successes(self) -> list[ComponentMessage]:
        return [item for item in self.messages if item.success]


class Deployments:
    """The deployments of an org. It calls `changed` when one took effect."""

    def __init__(
        self, storage: Storage, deployed: DeployedMetadata, clock: Callable[[], datetime], changed: Callable[[], None]
    ) -> None:
        self._storage = storage
        self._deployed = deployed
        self._clock = clock
        self._changed = changed
        self._deployments: dict[str, Deployment] = {}

    def start(self, content: bytes, options: dict[str, Any]) -> Deployment:
        """Accept a zip. `run` does the work."""
        deployment = self._register(Deployment(id="", options=options, created=self._clock()))
        try:
            archive = open_archive(content)
        except ArchiveError as error:
            deployment.error = str(error)
            deployment.messages = [
                ComponentMessage(
                    type="", name="package.xml", file="package.xml", success=False, problem=str(error), line=1
                )
            ]
            self._finish(deployment, "Failed")
        else:
            deployment.total = len(archive.components) + len(archive.problems) + len(archive.removals)
            deployment.archive = archive
        return deployment

    def quick_deploy(self, checked: Deployment) -> Deployment | None:
        """Deploy what a recent validation accepted; None if that validation has expired or failed."""
        if checked.validated is None or self._clock() - checked.created > VALIDATION_LIFETIME:
            return None
        archive, checked.validated = checked.validated, None
        return self._register(replace(checked, id="", created=self._clock(), status="Pending", messages=[],
        completed=None,
                                     archive=archive, options={**checked.options, "checkOnly": False}))  # fmt: skip

    def _register(self, deployment: Deployment) -> Deployment:
        deployment.id = ids.make(PREFIX, self._storage.next_number("AsyncApexJob"))
        self._deployments[deployment.id] = deployment
        while len(self._deployments) > MAX_DEPLOYMENTS:
            del self._deployments[next(iter(self._deployments))]
        return deployment

    def find(self, deployment_id: str) -> Deployment | None:
        full = ids.normalize(deployment_id)
        return self._deployments.get(full) if full else None

    def cancel(self, deployment: Deployment) -> None:
        if not deployment.done:
            self._finish(deployment, "Canceled")

    def run(self, deployment: Deployment) -> None:
        """Install and remove all components in the order of their dependencies. It does so once."""
        if deployment.done:
            return
        archive, deployment.archive = deployment.archive, Archive()
        before = self._deployed.snapshot()
        deployment.messages = [
            ComponentMessage(type=kind, name=_stem(error.component), file=error.component, success=False,
                    problem=error.problem, line=error.line)
            for kind, error in archive.problems
        ]  # fmt: skip
        try:
            removed = self._remove_components(archive, deployment, first=True)
            added = self._add_components(archive, deployment)
            removed += self._remove_components(archive, deployment, first=False)
        except Exception:
            self._deployed.restore(before)
            deployment.error = "An unexpected error occurred. Nothing was deployed."
            self._finish(deployment, "Failed")
            raise  # to the log: the caller learns it from the status
        all_or_nothing = bool(deployment.options["rollbackOnError"])
        failed = bool(deployment.failures)
        if deployment.options["checkOnly"] or (failed and all_or_nothing):
            self._deployed.restore(before)
            deployment.validated = None if failed else archive
        elif added or removed:
            self._save(added, removed)
            self._changed()
        status = (
            "Succeeded" if not failed else "Failed" if all_or_nothing or not (added or removed) else "SucceededPartial"
        )
        self._finish(deployment, status)

    def deploy_components(
        self, components: Iterable[Component] = (), removals: Iterable[Removal] = ()
    ) -> list[ComponentMessage]:
        """Install and remove components without a zip, at once, all or none."""
        archive = Archive(components=list(components), removals=list(removals))
        deployment = Deployment(id="", options=OPTIONS, created=self._clock(), archive=archive)
        self.run(deployment)
        return deployment.messages

    def _add_components(self, archive: Archive, deployment: Deployment) -> list[Component]:
        added = []
        for component in sorted(archive.components, key=lambda item: DEPENDENCY_ORDER.index(item.type)):
            message = ComponentMessage(type=component.type, name=component.name, file=component.file, success=True)
            try:
                message.created = install(self._deployed, component)
                added.append(component)
            except MetadataError as error:
                message.success, message.problem, message.line = False, error.problem, error.line
            deployment.messages.append(message)
        return added

    def _remove_components(self, archive: Archive, deployment: Deployment, *, first: bool) -> list[Removal]:
        removed = []
        for item in (removal for removal in archive.removals if removal.first is first):
            message = ComponentMessage(type=item.type, name=item.name, file=item.file, success=True, deleted=True)
            try:
                remove_component(self._deployed, item.type, item.name, item.file)
                removed.append(item)
            except ComponentMissingError as missing:
                message.deleted, message.problem = False, str(missing)
            except MetadataError as error:
                message.success, message.deleted, message.problem, message.line = False, False, error.problem, 1
            deployment.messages.append(message)
        return removed

    def _save(self, components: Iterable[Component], removals: Iterable[Removal]) -> None:
        with self._storage.transaction():
            for item in removals:
                self._clear_data(item)
                self._storage.connection.execute("INSERT OR IGNORE INTO _removed VALUES (?, ?)", (item.type, item.name))
            self._storage.connection.executemany(
                "DELETE FROM _removed WHERE type = ? AND name = ?", [(item.type, item.name) for item in components]
            )
            self._storage.connection.executemany(
                "INSERT INTO _component (type, name, file, content) VALUES (?, ?, ?, ?) ON CONFLICT (type, name)"
                " DO UPDATE SET file = excluded.file, content = excluded.content",
                [(item.type, item.name, item.file, item.content) for item in components],
            )

    def _clear_data(self, item: Removal) -> None:
        """Delete the data of a removed component, so that it is empty if it is ever deployed again."""
        owner, _, name = item.name.partition(".")
        tables = {row[0].lower(): row[0] for row in self._storage.connection.execute("SELECT name FROM sqlite_master")}
        table = tables.get(owner.lower())
        if table is None:
            return
        if item.type == "CustomObject":
            self._storage.connection.execute(f"DELETE FROM {quote(table)}")  # noqa: S608
        columns = {row[1]: row[3] for row in self._storage.connection.execute(f"PRAGMA table_info({quote(table)})")}
        if item.type == "CustomField" and name in columns:
            empty = "0" if columns[name] else "NULL"
            self._storage.connection.execute(f"UPDATE {quote(table)} SET {quote(name)} = {empty}")  # noqa: S608

    def _finish(self, deployment: Deployment, status: str) -> None:
        deployment.status = status
        deployment.completed = self._clock()


def _stem(path: str) -> str:
    return path.rsplit("/", 1)[-1].partition(".")[0]


def restore_deployed(storage: Storage, deployed: DeployedMetadata) -> None:
    """Install again what was deployed before the org stopped."""
    storage.connection.execute(_SCHEMA)
    storage.connection.execute("CREATE TABLE IF NOT EXISTS _removed (type TEXT, name TEXT, PRIMARY KEY (type, name))")
    rows = storage.connection.execute("SELECT type, name, file, content FROM _component ORDER BY place").fetchall()
    components = []
    for type_, name, file, content in rows:
        components += [item for item in parse_file(file, content) if (item.type, item.name) == (type_, name)]
    for component in sorted(components, key=lambda item: DEPENDENCY_ORDER.index(item.type)):
        install(deployed, component)
    for type_, name in storage.connection.execute("SELECT type, name FROM _removed").fetchall():
        with suppress(ComponentMissingError):
            remove_component(deployed, type_, name, "")
