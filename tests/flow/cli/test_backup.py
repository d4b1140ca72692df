"""`connector db backup` and `connector db restore` as somebody uses them."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.flow.cli_runner import Shell


def test_backup_and_restore(tmp_path: Path, imported: Path) -> None:
    shutil.copytree(imported, tmp_path, dirs_exist_ok=True)
    shell = Shell(tmp_path)
    copied = shell("db", "backup", "copy.db", "--json").document
    assert (copied["file"], copied["rows"]["orders"]) == ("copy.db", 8)
    again = shell("db", "backup", "copy.db")
    assert (again.status, "exists already" in again.err) == (2, True)

    restored = shell("db", "restore", "copy.db")
    lines = restored.out.splitlines()
    assert (restored.status, restored.err) == (0, "")
    assert lines[1].startswith("The former database is connector.db.replaced-")
    assert "changes of then are due again" in lines[3]
    assert lines[-2].startswith("The jobs push, reconcile, heal, notifications, webhooks are paused")
    assert lines[-1].startswith("Next: `connector reconcile` compares both sides.")
    assert shell("status", "--json").document["entities"]["order"]["due"] == 8
    doctor = shell("doctor", COLUMNS="200").out
    assert (doctor.count("FAIL"), doctor.count("`connector jobs resume NAME` lets each go on.")) == (0, 1)
    assert (
        "Paused, so that the service does not run them: heal, notifications, push, reconcile, webhooks (by "
        in shell("status").out
    )

    elsewhere = shell("db", "restore", "copy.db", CONNECTOR_DATABASE_URL="postgresql://u:secret@host/shop")
    assert (elsewhere.status, "pg_restore" in elsewhere.err, "secret" in elsewhere.err) == (2, True, False)
    wrong = shell("status", CONNECTOR_DATABASE_URL="postgresql://u@host/shop", CONNECTOR_BACKUP__FOLDER="/backups")
    assert (wrong.status, "CONNECTOR_BACKUP__FOLDER is for SQLite only" in wrong.err) == (2, True)
