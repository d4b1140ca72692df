"""Names that are no settings, usually typing errors, and the setting that may have been meant."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel
from pydantic_settings import BaseSettings, DotEnvSettingsSource, EnvSettingsSource

from connector.settings.checks import PREFIX
from connector.settings.salesforce import OrgSettings

_SERVICE_LINK = re.compile(r"SERVICE_(HOST|PORT(_.*)?)|PORT(_\d+_.*)?")
"""Kubernetes gives these to every container beside a service that is named `connector`."""


def unknown_names(settings: type[BaseSettings]) -> Iterator[tuple[str, str]]:
    """Yield each variable that has our prefix and is not a setting: usually a typing error that would go unnoticed."""
    setting_names = {name.upper() for name in list_names(settings.model_fields)}
    set_names = {*EnvSettingsSource(settings).env_vars, *DotEnvSettingsSource(settings).env_vars}
    for name in sorted(name.upper() for name in set_names):
        short = name.removeprefix(PREFIX)
        if short == name or short in setting_names or short.startswith("ORGS__") or _SERVICE_LINK.fullmatch(short):
            continue
        [close] = get_close_matches(short, setting_names, n=1) or [""]
        yield name, f"is not a setting (did you mean {PREFIX}{close}?)" if close else "is not a setting"


def list_names(fields: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """`database_url`, `salesforce` (as JSON), `salesforce__login_url`, …"""
    for name, field in fields.items():
        yield prefix + name
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from list_names(field.annotation.model_fields, f"{prefix}{name}__")


def full_name(place: tuple[int | str, ...]) -> str:
    return PREFIX + "__".join(str(part) for part in place).upper()


def meant_setting(item: Mapping[str, Any]) -> str:
    """The setting of an org that is closest to an unknown one."""
    place = item["loc"]
    if item["type"] != "extra_forbidden" or place[0] != "orgs" or len(place) != 3:
        return ""
    close = get_close_matches(str(place[2]).lower(), OrgSettings.model_fields, n=1)
    return f" (did you mean {full_name((*place[:2], close[0]))}?)" if close else ""
