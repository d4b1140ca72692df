"""One set of certificate authorities for all clients of a process, as reading it takes 10 ms."""

from __future__ import annotations

import os
import ssl
from functools import cache

import httpx2
import pytest


def share_authorities(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read the authorities once for each file or folder that the environment names."""
    create = httpx2.create_ssl_context

    @cache
    def create_once(file: str | None, folder: str | None) -> ssl.SSLContext:
        return create()

    def shared() -> ssl.SSLContext:
        return create_once(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))

    monkeypatch.setattr(httpx2, "create_ssl_context", shared)
