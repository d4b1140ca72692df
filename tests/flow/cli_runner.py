"""The command line as somebody uses it: in a folder, with an environment, by what it prints and its exit status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.flow.in_process_cli import run_in_process

ROOT = Path(__file__).parents[2]
CONNECTOR = (str(Path(sys.executable).with_name("connector")),)
SERVICE = (sys.executable, "-m", "scheduler")
SHOP = ROOT / "fixtures" / "samples" / "shop"
LONGEST = 120

Run = Callable[[Sequence[str], Mapping[str, str], Path], tuple[int, str, str]]


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
    run: Run = run_in_process

    @property
    def environment(self) -> dict[str, str]:
        mine = {name: value for name, value in os.environ.items() if not name.startswith("CONNECTOR_")}
        # Any free port: somebody else may have the usual one.
        return {**mine, "PYTHONPATH": str(ROOT), "CONNECTOR_HTTP__PORT": "0", **self.settings}

    def __call__(self, *words: str | Path, **settings: str) -> Answer:
        answer = Answer(*self.run([str(word) for word in words], {**self.environment, **settings}, self.folder))
        assert "Traceback" not in answer.err
        return answer

    def start(self, *words: str | Path, program: Sequence[str] = CONNECTOR) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*program, *map(str, words)],
            env=self.environment, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
