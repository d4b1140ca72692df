"""Reload the rules file and the notification templates while the service runs, after they were saved."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

from connector.errors import ConnectorError
from connector.log import get_logger
from connector.notifications.composer import NotificationComposer, make_composer
from connector.orders.policy.rules import Rules, load_rules_for
from connector.settings import Settings

SETTLE_SECONDS = 0.5
"""Seconds for which the files must be unchanged before they are loaded: several may be saved one after the other."""

log = get_logger("rules")


class RulesReloader:
    """Returns the current rules and composer. Raises RulesError or SettingsError if the files are invalid at start.

    A later invalid edit is logged once, and the rules and templates before it stay in use.
    """

    def __init__(self, settings: Settings, *, settle_seconds: float = SETTLE_SECONDS) -> None:
        self._settings = settings
        self._settle_seconds = settle_seconds
        self._loaded = self._seen = self._fingerprint()
        self._since = time.monotonic()
        self._current = self._load()

    def current(self) -> tuple[Rules, NotificationComposer]:
        """Return the rules and composer, loaded again if the files have changed."""
        fingerprint, now = self._fingerprint(), time.monotonic()
        if fingerprint != self._seen:
            self._seen, self._since = fingerprint, now
        if fingerprint != self._loaded and now >= self._since + self._settle_seconds:
            self._loaded = fingerprint
            try:
                self._current = self._load()
                log.info("rules and templates were read again")
            except ConnectorError as error:
                log.error("rules and templates cannot be used", error=str(error), note="The previous ones stay in use.")
        return self._current

    def _load(self) -> tuple[Rules, NotificationComposer]:
        rules = load_rules_for(self._settings)
        return rules, make_composer(self._settings, rules)

    def _fingerprint(self) -> object:
        """Return a value that changes when a file is saved, added or removed."""
        rules, templates = self._settings.rules_file, self._settings.messages.templates_dir
        files = [] if rules is None else [rules]
        if templates is not None:
            with suppress(OSError):  # reading the files reports it
                files += sorted(path for path in templates.rglob("*") if path.is_file())
        return tuple(_file_state(file) for file in files)


def _file_state(file: Path) -> tuple[str, int, int, int]:
    try:
        status = file.stat()
    except OSError:
        return str(file), 0, 0, 0
    return str(file), status.st_mtime_ns, status.st_size, status.st_ino
