"""`docs/configuration.md`: every setting with its default, unit and meaning, from the classes of the settings."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator, Mapping
from enum import Enum
from functools import cache
from io import StringIO
from typing import Any, NamedTuple

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from connector.settings import Settings
from connector.settings.checks import PREFIX
from connector.settings.salesforce import OrgSettings, SalesforceSettings

HEAD = """\
<!-- Made from the code by `python -m tests.reference`: change no line here. The meaning of a setting is the
docstring below its field in connector/settings; without one, that of its enumeration.
A new group needs a line in tests/reference/settings.py. A test compares this page with the code. -->

# Configuration

Settings come from the environment or from a file `.env` in the current folder; the environment wins. At start, one line
names every missing, invalid or unknown setting, and never its value. A service reads its settings once, when it starts.
`connector doctor` checks them against the database and the org.

A setting that is marked *secret* is in no line of the log and in no answer of the API.
"""


class Group(NamedTuple):
    """A section of the page: the names of its settings or groups of settings, and where they are explained."""

    heading: str
    names: tuple[str, ...]
    pages: tuple[str, ...] = ()


GROUPS = (
    Group("Database", ("database_url", "database"), ("scaling.md",)),
    Group("Salesforce", ("salesforce",), ("../connector/metadata/README.md",)),
    Group("Several orgs", ("org", "orgs"), ("scaling.md#several-orgs",)),
    Group("Mappings and rules", ("mappings_dir", "rules_file"), ("mapping.md", "lifecycle.md#rules")),
    Group("Sending", ("sync",), ("scaling.md",)),
    Group("Workers", ("workers", "cluster"), ("scaling.md",)),
    Group("API calls", ("budget",), ("service.md#the-api-budget",)),
    Group("Changes and orders from Salesforce", ("inbound",), ("inbound.md",)),
    Group("Platform events", ("events",), ("events.md",)),
    Group("Comparison of both sides", ("reconcile",), ("reconcile.md",)),
    Group("Orders", ("orders",), ("lifecycle.md",)),
    Group("HTTP", ("http",), ("service.md",)),
    Group("Signing in to the console", ("oidc",), ("console.md#signing-in-by-openid-connect",)),
    Group("Agents", ("mcp",), ("agents.md",)),
    Group("Messages to customers", ("messages",), ("messages.md#sending",)),
    Group("Webhooks", ("webhooks",), ("webhooks.md",)),
    Group("Alerts", ("alerts",), ("operations.md#alerts",)),
    Group("Retention", ("retention",), ("inbound.md#what-is-kept-and-for-how-long",)),
    Group("Backups", ("backup",), ("service.md#backups",)),
    Group("Log and traces", ("log_level", "log_format", "traces"), ("service.md#the-log", "operations.md#traces")),
)
_UNITS = {
    "seconds": "seconds",
    "minutes": "minutes",
    "hours": "hours",
    "days": "days",
    "percent": "%",
    "hour": "hour (UTC)",
}
_SECRET_TEXTS = {"database_url"}
"""Settings that are no SecretStr, because a part of them is shown, and that can hold a password."""


def write_settings() -> str:
    page = StringIO()
    page.write(HEAD)
    for group in GROUPS:
        page.write(f"\n## {group.heading}\n\n")
        links = " and ".join(f"[{page.rpartition('/')[2].partition('#')[0]}]({page})" for page in group.pages)
        introduction = [_introduction(name) for name in group.names]
        page.write("\n\n".join(filter(None, [*introduction, f"More: {links}" if links else ""])))
        page.write("\n\n| setting | default | unit | meaning |\n|---|---|---|---|\n")
        for name in group.names:
            page.writelines(rows(Settings, name))
    return page.getvalue()


def names() -> set[str]:
    """The settings and groups of settings that some section has."""
    return {name for group in GROUPS for name in group.names}


def rows(owner: type[BaseModel], name: str, prefix: str = PREFIX) -> Iterator[str]:
    """The rows of a setting, or of every setting of a group."""
    field = owner.model_fields[name]
    kind = field.annotation
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        for member in kind.model_fields:
            yield from rows(kind, member, f"{prefix}{name.upper()}__")
    elif name == "orgs":
        yield _row(f"{prefix}ORGS__NAME__…", "", "", meaning_of(owner, name))
        for member in OrgSettings.model_fields.keys() - SalesforceSettings.model_fields.keys():
            yield from rows(OrgSettings, member, f"{prefix}ORGS__NAME__")
    else:
        is_secret = kind is SecretStr or name in _SECRET_TEXTS
        meaning = meaning_of(owner, name) + ("" if not is_secret else " *Secret.*")
        yield _row(prefix + name.upper(), _default(field), _unit(name), meaning + _allowed(field))


def meaning_of(owner: type[BaseModel], name: str) -> str:
    """The docstring below a field, or that of its enumeration; empty if neither says anything."""
    for base in owner.__mro__:
        if issubclass(base, BaseModel) and name in docstrings(base):
            return docstrings(base)[name]
    kind = owner.model_fields[name].annotation
    return _joined(kind.__doc__) if isinstance(kind, type) and issubclass(kind, Enum) else ""


@cache
def docstrings(owner: type) -> Mapping[str, str]:
    """The texts below the fields of a class; each field of the class asks for them."""
    [tree] = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
    assert isinstance(tree, ast.ClassDef)
    return {
        field.target.id: _joined(text.value.value)
        for field, text in zip(tree.body, tree.body[1:], strict=False)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str)
    }  # fmt: skip


def _introduction(name: str) -> str:
    kind = Settings.model_fields[name].annotation
    return _joined(kind.__doc__) if isinstance(kind, type) and issubclass(kind, BaseModel) else ""


def _row(name: str, default: str, unit: str, meaning: str) -> str:
    return f"| `{name}` | {default} | {unit} | {meaning.replace('|', chr(92) + '|')} |\n"


def _default(field: FieldInfo) -> str:
    default: Any = field.get_default(call_default_factory=True, validated_data={})
    match default:
        case None | "":
            return ""
        case SecretStr():
            return ""
        case bool():
            return f"`{str(default).lower()}`"
        case Enum():
            return f"`{default.value}`"
        case float():
            return f"`{default:g}`"
        case _:
            return f"`{default}`"


def _unit(name: str) -> str:
    counted = next((word for word in ("calls", "deliveries", "requests") if word in name and "_per_" in name), "")
    return _UNITS.get(name.rpartition("_")[2], counted)


def _allowed(field: FieldInfo) -> str:
    """The values that a setting may have, if they are few, or the least and the greatest."""
    kind = field.annotation
    if isinstance(kind, type) and issubclass(kind, Enum):
        return f" One of {', '.join(f'`{member.value}`' for member in kind)}."
    limits = {
        name: getattr(item, name) for item in field.metadata for name in ("ge", "gt", "le") if hasattr(item, name)
    }
    least = (
        f"at least {limits['ge']:,}" if limits.get("ge") else f"more than {limits['gt']:,}" if "gt" in limits else ""
    )
    most = f"at most {limits['le']:,}" if "le" in limits else ""
    words = ", ".join(filter(None, (least, most)))
    return f" {words[0].upper()}{words[1:]}." if words else ""


def _joined(text: str | None) -> str:
    return " ".join((text or "").split())
