"""The extra `localorg`: whether what the local org and the mail catcher need is installed."""

from __future__ import annotations

from importlib.util import find_spec

from connector.errors import UsageError

PACKAGES = ("aiosmtpd", "cryptography", "fastavro", "google.protobuf", "grpc")


def require_localorg(command: str) -> None:
    """UsageError if a package that `connector COMMAND` needs is not installed."""
    missing = [package for package in PACKAGES if not _installed(package)]
    if missing:
        raise UsageError(
            f"connector {command} needs packages that are not installed: {', '.join(missing)}.",
            hint='Run `pip install "crm-connector[localorg]"`.',
        )


def _installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # not even the package that it is in
        return False
