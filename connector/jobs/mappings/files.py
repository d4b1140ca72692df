"""A folder of mapping files, as one process sees it, and how its files relate to the active version."""

from __future__ import annotations

import socket
from enum import Enum, auto
from pathlib import Path

from connector.errors import MappingError
from connector.mapping.version import fingerprint, folder_of, load_version
from connector.model.mapping_version import Activation, Origin, SourceState
from connector.store import mapping_versions as versions
from connector.store.engine import Connection


class Relation(Enum):
    """How the files of a folder relate to the active version.

    `ACTIVE`: they are that version. `EDITED`: they are to become active, because they were that version before they
    were edited, or because there is none yet. `BEHIND`: they were edited, but another version was applied since, so a
    person decides. `OTHER`: they were not edited, so the active version is followed.
    """

    ACTIVE = auto()
    EDITED = auto()
    BEHIND = auto()
    OTHER = auto()


def source_of(directory: Path | None) -> str:
    """The name of a folder of mapping files as a source: its machine and its path."""
    folder = folder_of(directory)
    return f"{socket.gethostname()}:{folder.resolve() if isinstance(folder, Path) else folder.name}"


class MappingFiles:
    """A folder of mapping files, read again when it changes. Raises MappingError if it cannot be used at first."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self.source = source_of(directory)
        self._loaded_fingerprint = self._seen_fingerprint = fingerprint(directory)
        self.version = load_version(directory)
        self.error: MappingError | None = None

    @property
    def is_shipped(self) -> bool:
        """Whether they are the files that come with the program."""
        return self._directory is None

    @property
    def is_read(self) -> bool:
        """Whether no change was seen that is not read yet."""
        return self._seen_fingerprint == self._loaded_fingerprint

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

    async def relate(self, connection: Connection, active: Activation | None) -> Relation:
        """Return how the files, as last read and valid, relate to the active version.

        Files of a new folder count as edited if they were never active, as with a new image of a container; unless the
        active version was applied by a person, whose work they would undo. New shipped files never count as a person's
        edit: they replace the former shipped ones only.
        A return to the version that the files were before the edit is another version: the edit was not made on it.
        """
        digest = self.version.digest
        if active is None:
            return Relation.EDITED
        if active.digest == digest:
            return Relation.ACTIVE
        last_seen = await versions.get_source(connection, self.source)
        if last_seen is not None:
            if last_seen.digest == digest:
                return Relation.OTHER
            is_next = last_seen == SourceState(digest=active.digest, number=active.number)
        elif await versions.was_active(connection, digest):
            return Relation.OTHER
        else:
            is_next = active.origin is Origin.FILES
        if is_next:
            return Relation.EDITED
        return Relation.OTHER if self.is_shipped else Relation.BEHIND
