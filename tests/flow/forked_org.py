"""A local org in a fork of a process that has loaded the program: it starts in a third of the time."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from tests.acceptance import readback
from tests.acceptance.sides import LONGEST, Org
from tests.flow import forked_cli


class ForkedOrg(Org):
    def start(self, *words: str) -> str:
        self._scratch = tempfile.TemporaryDirectory(prefix="forked-org-")
        folder = Path(self._scratch.name)
        out, err = folder / "stdout", folder / "stderr"
        self._forked = forked_cli.start(words, environment=os.environ, folder=folder, out=out, err=err)
        end = time.monotonic() + LONGEST
        while not (out.exists() and out.read_text().endswith("\n")):
            if not self._forked.is_alive() or time.monotonic() > end:
                self.stop()
                raise RuntimeError(err.read_text())
            time.sleep(0.01)
        return out.read_text()

    def read_back(self) -> dict[str, Any]:
        """In the process of the test: simple-salesforce is loaded there."""
        where = {"ORG_URL": self.banner["instance_url"], "ORG_TOKEN": self.banner["access_token"]}
        with mock.patch.dict(os.environ, where):
            return readback.found()

    def stop(self) -> None:
        self._forked.terminate()
        self._forked.join(30)
        self._scratch.cleanup()


@contextmanager
def forked_org(*more: str) -> Iterator[Org]:
    """`more`: other options of `connector localorg`."""
    org = ForkedOrg(*more)
    try:
        yield org
    finally:
        org.stop()
