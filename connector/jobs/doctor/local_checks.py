"""Checks of what is on this machine: settings, files, mappings, templates and webhooks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from importlib.resources.abc import Traversable
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import BaseModel

from connector.clock import Clock
from connector.errors import MappingError, RulesError, SettingsError
from connector.files import readable_by_others, writable_by_others
from connector.jobs.backup import FOLDER_HINT, find_folder_problem, list_backups, made_at
from connector.mapping import MappingSet, load_mappings
from connector.mapping.version import folder_of
from connector.model.health_check import HealthCheck, failed, passed, skipped, warned
from connector.notifications.alert_channels import make_channels
from connector.notifications.composer import make_composer
from connector.orders.org_routes import parse_routes
from connector.orders.policy.rules import load_rules_for
from connector.settings import Settings
from connector.settings.checks import PREFIX
from connector.settings.messages import Via
from connector.store.engine import Store

SETTINGS, FILE_MODES, MAPPING_FILES = "settings", "file modes", "mapping files"
MESSAGES, WEBHOOKS, ALERTS, BACKUPS = "messages", "webhooks", "alerts", "backups"
ENV_FILE = Path(".env")
OLD_BACKUP = timedelta(days=2)


def check_settings(settings: Settings) -> HealthCheck:
    """Which settings are set; the values of the others are the defaults. Wrong ones were refused before."""
    try:
        parse_routes(settings)
    except SettingsError as error:
        return failed(SETTINGS, error.message, error.hint)
    names = sorted(_set_names(settings))
    total = sum(1 for _ in _all_names(settings))
    if not names:
        fix = f"Set {PREFIX}SALESFORCE__LOGIN_URL and the client of your org, in the environment or in .env."
        return warned(SETTINGS, f"None of the {total} settings is set: all have their defaults.", fix)
    return passed(SETTINGS, f"{len(names)} of {total} settings are set; the others have their defaults.", names)


def check_file_modes(settings: Settings, store: Store | None) -> HealthCheck:
    """Secrets and customer data must not be readable by other users of the machine, nor mappings writable."""
    private = [ENV_FILE, settings.salesforce.private_key_file]
    if store is not None and store.file is not None:
        private += [store.file, *(store.file.with_name(store.file.name + end) for end in ("-wal", "-shm"))]
    exposed = [file for file in private if file is not None and file.is_file() and readable_by_others(file)]
    editable = [file for file in _configuration(settings) if writable_by_others(file)]
    if not exposed and not editable:
        return passed(FILE_MODES, "No file with secrets or customer data is open to other users of this machine.")
    details = [f"{file}: others can read it" for file in exposed]
    details += [f"{file}: others can change it" for file in editable]
    orders = []
    if exposed:
        orders.append(f"`chmod 600 {' '.join(map(str, exposed))}`")
    if editable:
        orders.append(f"`chmod go-w {' '.join(map(str, editable))}`")
    number = len(exposed) + len(editable)
    text = f"{number} file{'s are' if number > 1 else ' is'} open to other users of this machine."
    return warned(FILE_MODES, text, f"Run {' and '.join(orders)}.", details)


def check_mapping_files(settings: Settings) -> tuple[HealthCheck, MappingSet | None]:
    """Whether the mapping files can be used, and the mappings."""
    folder: Traversable = folder_of(settings.mappings_dir)
    where = f"of {folder}" if settings.mappings_dir else "that come with the program"
    try:
        mappings = load_mappings(settings.mappings_dir)
    except MappingError as error:
        number = len(error.problems)
        text = f"The mapping files {where} have {number} problem{'s' if number > 1 else ''}."
        return failed(MAPPING_FILES, text, "Correct the lines named below.", error.problems), None
    names = ", ".join(mapping.kind.value for mapping in mappings)
    return passed(MAPPING_FILES, f"The mapping files {where} can be used ({names})."), mappings


def check_messages(settings: Settings) -> HealthCheck:
    """Whether messages to customers can be composed. None is sent."""
    messages = settings.messages
    if messages.via is Via.NONE:
        return skipped(MESSAGES, f"Messages to customers are off ({PREFIX}MESSAGES__VIA).")
    try:
        make_composer(settings, load_rules_for(settings))
    except RulesError as error:
        return failed(MESSAGES, "The rules for orders cannot be used.", "Correct them.", error.problems)
    except SettingsError as error:
        return failed(MESSAGES, error.message, error.hint)
    if messages.via is Via.SMTP:
        to = f"the mail server {messages.smtp_host}:{messages.smtp_port}"
    else:
        to = f"the webhook at {_host(messages.webhook_url.get_secret_value())}"
    own = f"the templates of {messages.templates_dir}" if messages.templates_dir else "our templates"
    return passed(MESSAGES, f"Messages go to {to}, and {own} can be filled.")


def check_alerts(settings: Settings, clock: Clock) -> HealthCheck:
    """Whether somebody is told when something is wrong. Nothing is sent."""
    if not settings.alerts.enabled:
        return skipped(ALERTS, f"Nobody is told of alerts ({PREFIX}ALERTS__URL, …__EMAIL_TO, …__APPRISE_URLS).")
    try:
        channels = make_channels(settings, clock)
    except SettingsError as error:
        return failed(ALERTS, error.message, error.hint)
    names = ", ".join(channel.name for channel in channels)
    return passed(ALERTS, f"Alerts go out by {names}; `connector alerts test` tries them.")


def check_backups(settings: Settings, store: Store) -> HealthCheck:
    """How old the newest backup is that the service has made."""
    folder = settings.backup.folder
    if folder is None:
        how = "set it to have the service make backups" if store.dialect == "sqlite" else "use pg_dump"
        return skipped(BACKUPS, f"The service makes no backups ({PREFIX}BACKUP__FOLDER): {how}.")
    if problem := find_folder_problem(folder):
        return failed(BACKUPS, problem, FOLDER_HINT)
    files = list_backups(folder)
    if not files:
        return warned(
            BACKUPS, f"There is no backup in {folder} yet.", "Make one now: `connector jobs run backup --wait`."
        )
    newest, now = files[-1], store.clock.now()
    age = now - made_at(newest)
    text = f"The newest of {len(files)} backups is {newest}."
    if age > OLD_BACKUP:
        fix = "See why the job fails (`connector jobs runs --job backup`), and that a service with a scheduler runs."
        return warned(BACKUPS, f"{text} It is {age.days} days old.", fix)
    return passed(BACKUPS, text)


def check_webhooks(settings: Settings) -> HealthCheck:
    """Where change notices go. The form of address and keys was checked with the settings; nothing is posted."""
    if not settings.webhooks.enabled:
        return skipped(WEBHOOKS, f"Change notices are off ({PREFIX}WEBHOOKS__URL).")
    keys = len(settings.webhooks.keys)
    host = _host(settings.webhooks.url.get_secret_value())
    return passed(WEBHOOKS, f"Change notices go to {host}, signed with {keys} key{'s' if keys > 1 else ''}.")


def _configuration(settings: Settings) -> Iterator[Path]:
    """The files that say what is sent: mappings, rules and templates."""
    if settings.rules_file is not None:
        yield settings.rules_file
    for folder in (settings.mappings_dir, settings.messages.templates_dir):
        if folder is not None and folder.is_dir():
            yield folder
            yield from sorted(file for file in folder.rglob("*") if file.is_file())


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""


def _set_names(group: BaseModel, prefix: str = PREFIX) -> Iterator[str]:
    for name in group.model_fields_set:
        value = getattr(group, name)
        if isinstance(value, BaseModel):
            yield from _set_names(value, f"{prefix}{name.upper()}__")
        else:
            yield prefix + name.upper()


def _all_names(group: BaseModel) -> Iterator[str]:
    for name in type(group).model_fields:
        value = getattr(group, name)
        if isinstance(value, BaseModel):
            yield from _all_names(value)
        else:
            yield name
