"""The command line as somebody uses it: in a folder, with an environment, by what it prints and its exit status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.flow import forked_cli

ROOT = Path(__file__).parents[2]
CONNECTOR = (str(Path(sys.executable).with_name("connector")),)
SERVICE = (sys.executable, "-m", "scheduler")
SHOP = ROOT / "fixtures" / "samples" / "shop"
LONGEST = 120


@dataclass
class Answer:
    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


@dataclass
class Shell:
    """`shell("status", "--json")`. Nothing of the caller's own settings comes in."""

    folder: Path
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        mine = {name: value for name, value in os.environ.items() if not name.startswith("CONNECTOR_")}
        return {**mine, "PYTHONPATH": str(ROOT), **self.settings}

    def __call__(self, *words: str | Path, **settings: str) -> Answer:
        out, err = self.folder / ".stdout", self.folder / ".stderr"
        status = forked_cli.run(
            [str(word) for word in words],
            environment={**self.environment, **settings}, folder=self.folder, seconds=LONGEST, out=out, err=err,
        )  # fmt: skip
        answer = Answer(status, out.read_text(), err.read_text())
        for file in (out, err):
            file.unlink()
        assert "Traceback" not in answer.err
        return answer

    def start(self, *words: str | Path, program: Sequence[str] = CONNECTOR) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*program, *map(str, words)],
            env=self.environment, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
