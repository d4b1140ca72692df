"""Check that the packages of the extra `localorg` are installed."""

from __future__ import annotations

from importlib.util import find_spec

from connector.errors import UsageError

PACKAGES = ("aiosmtpd", "cryptography")


def require_localorg(command: str) -> None:
    """Raise UsageError if a package that `connector COMMAND` needs is not installed."""
    missing = [package for package in PACKAGES if not _installed(package)]
    if missing:
        raise UsageError(
            f"connector {command} needs packages that are not installed: {', '.join(missing)}.",
            hint='Run `pip install "crm-connector[localorg]"`.',
        )


def _installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:
        return False
