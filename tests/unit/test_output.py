"""What commands print: tables and sentences fit a terminal, and stay whole for programs."""

from __future__ import annotations

import pytest

from connector.cli import output

ROWS = [
    ("host", "19772", "the roles of this process, which are many", "/event/Order_Action__e, /data/Connector__chn"),
    ("other", "7", "", ""),
]
HEADINGS = ("Host", "PID", "Roles", "Listens to")


def test_table_is_wrapped_on_a_narrow_terminal_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output.table(HEADINGS, ROWS)
    whole = capsys.readouterr().out
    assert len(whole.splitlines()) == 3
    monkeypatch.setattr(output, "terminal_width", lambda: 60)
    output.table(HEADINGS, ROWS)
    wrapped = capsys.readouterr().out
    assert max(map(len, wrapped.splitlines())) <= 60
    assert sorted(wrapped.split()) == sorted(whole.split())  # no word is cut, none is lost
    output.paragraph("A sentence that names `connector dead-letters list` and is longer than the terminal is wide.")
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_terminal_has_a_width_and_a_file_has_none() -> None:
    assert output.terminal_width() is None
