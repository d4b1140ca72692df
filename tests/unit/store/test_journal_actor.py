"""Who a command says has done something."""

from __future__ import annotations

import os
import pwd

import pytest

from connector.store.journal import command_line_actor


def test_caller_of_sudo_is_named_only_if_the_process_is_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "ann")
    monkeypatch.setattr(os, "getuid", lambda: 0)
    assert command_line_actor() == "ann@cli"
    user = pwd.getpwall()[1]
    monkeypatch.setattr(os, "getuid", lambda: user.pw_uid)
    assert command_line_actor() == f"{user.pw_name}@cli"
