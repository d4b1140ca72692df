"""Which addresses a token or a secret may be sent to: https anywhere, plain http only to this very machine."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from connector.errors import SettingsError
from connector.settings.salesforce import SalesforceSettings


def is_loopback(host: str) -> bool:
    """Whether `host` is `localhost`, in 127.0.0.0/8 or `::1`; other spellings of these do not count."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def checked_origin(url: str, *, label: str) -> str:
    """`url` cut to `scheme://host[:port]` in lower case.

    Raises SettingsError for an address without scheme or host, with credentials or a path, or with plain http to
    another machine. The message begins with `label` and does not repeat the address, which could hold a password.
    """
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        raise SettingsError(f"{label} is not a valid address.", hint=_EXAMPLE) from None
    host = parts.hostname or ""
    if parts.scheme not in {"https", "http"} or not host:
        raise SettingsError(f"{label} must start with https:// and name a host.", hint=_EXAMPLE)
    if parts.username is not None or parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise SettingsError(f"{label} must hold nothing but https:// and the host.", hint=_EXAMPLE)
    if parts.scheme == "http" and not is_loopback(host):
        raise SettingsError(f"{label} must use https: plain http is for this machine only.", hint=_EXAMPLE)
    name = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{name}" if port is None else f"{parts.scheme}://{name}:{port}"


def has_pubsub(settings: SalesforceSettings) -> bool:
    """Whether the Pub/Sub API can be reached: that of an org on this machine has no address unless one is set."""
    try:
        host = urlsplit(settings.login_url.strip()).hostname or ""
    except ValueError:
        return False
    return bool(settings.pubsub_endpoint) or (bool(host) and not is_loopback(host))


_EXAMPLE = "Example: https://acme.my.salesforce.com"
