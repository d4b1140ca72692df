"""An edited rules file or template is loaded without a restart; an invalid one is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from connector.errors import RulesError
from connector.jobs.rules_reloader import RulesReloader
from connector.model.notification import MessageKind
from connector.notifications.template_check import sample_views
from connector.orders.policy.rules import shipped
from connector.settings import Settings
from connector.settings.messages import MessageSettings


def settings(file: Path, templates: Path | None = None) -> Settings:
    return Settings(_env_file=None, rules_file=file, messages=MessageSettings(templates_dir=templates))


def test_edited_rules_are_loaded_and_invalid_rules_are_logged_once(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(shipped(), encoding="utf-8")
    followed = RulesReloader(settings(file), settle_seconds=0)
    assert followed.current()[0].keep_unknown
    file.write_text(shipped().replace("unknown_products: hold", "unknown_products: refuse"), encoding="utf-8")
    assert not followed.current()[0].keep_unknown
    file.write_text("verification: maybe\n", encoding="utf-8")
    with capture_logs() as log:
        assert [followed.current()[0].keep_unknown for _ in range(3)] == [False] * 3
    [entry] = log
    assert f"{file}:1:" in entry["error"]
    file.write_text(shipped(), encoding="utf-8")
    rules, correspondence = followed.current()
    assert rules.keep_unknown
    assert correspondence.billing is rules.billing


def test_edited_template_is_loaded_and_an_invalid_one_is_not(tmp_path: Path) -> None:
    file, templates = tmp_path / "rules.yaml", tmp_path / "templates"
    file.write_text(shipped(), encoding="utf-8")
    templates.mkdir()
    followed = RulesReloader(settings(file, templates), settle_seconds=0)
    view = next(view for view in sample_views() if view.kind is MessageKind.CONFIRMATION)

    def text() -> str:
        return followed.current()[1].renderer.render(view).text

    assert "Hello" not in text()
    (templates / "confirmation.txt.j2").write_text("Hello {{ it.order }}", encoding="utf-8")
    assert text() == "Hello O-1\n"
    (templates / "confirmation.txt.j2").write_text("Good day {{ it.odrer }}", encoding="utf-8")
    with capture_logs() as log:
        assert text() == text() == "Hello O-1\n"
    [entry] = log
    assert "confirmation.txt.j2:1" in entry["error"]


def test_edit_is_loaded_when_the_files_have_not_changed_for_a_while(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(shipped(), encoding="utf-8")
    followed = RulesReloader(settings(file), settle_seconds=3600)
    file.write_text("", encoding="utf-8")
    assert followed.current()[0].keep_unknown


def test_invalid_rules_at_start_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(RulesError, match="no such file"):
        RulesReloader(settings(tmp_path / "nowhere.yaml"))
