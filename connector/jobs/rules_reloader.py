"""The rules file and the templates of messages, read again when they were saved: a service follows them as it runs."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

from connector.errors import ConnectorError
from connector.log import get_logger
from connector.notifications.composer import NotificationComposer, make_composer
from connector.orders.policy.rules import Rules, load_rules_for
from connector.settings import Settings

SETTLED = 0.5
"""Seconds for which the files must be as they are: somebody may be about to save another one."""

log = get_logger("rules")


class RulesReloader:
    """What the files of these settings say now; RulesError or SettingsError if they cannot be used at first.

    An edit that cannot be used is logged once, and what was said before it holds.
    """

    def __init__(self, settings: Settings, *, settled: float = SETTLED) -> None:
        self._settings = settings
        self._settled = settled
        self._read = self._saved = self._fingerprint()
        self._since = time.monotonic()
        self._current = self._load()

    def current(self) -> tuple[Rules, NotificationComposer]:
        """Looks at the files, and reads them if they have changed."""
        found, now = self._fingerprint(), time.monotonic()
        if found != self._saved:
            self._saved, self._since = found, now
        if found != self._read and now >= self._since + self._settled:
            self._read = found
            try:
                self._current = self._load()
                log.info("rules and templates were read again")
            except ConnectorError as error:
                log.error("rules and templates cannot be used", error=str(error), note="Those before are followed.")
        return self._current

    def _load(self) -> tuple[Rules, NotificationComposer]:
        rules = load_rules_for(self._settings)
        return rules, make_composer(self._settings, rules)

    def _fingerprint(self) -> object:
        """Another one as soon as a file was saved, added or removed."""
        rules, templates = self._settings.rules_file, self._settings.messages.templates_dir
        files = [] if rules is None else [rules]
        if templates is not None:
            with suppress(OSError):  # reading them will tell
                files += sorted(path for path in templates.rglob("*") if path.is_file())
        return tuple(_of(file) for file in files)


def _of(file: Path) -> tuple[str, int, int, int]:
    try:
        status = file.stat()
    except OSError:
        return str(file), 0, 0, 0
    return str(file), status.st_mtime_ns, status.st_size, status.st_ino
