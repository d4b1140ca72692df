"""A folder of mapping files that is kept as texts: a version in the database, a draft in the console."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from importlib.resources.abc import Traversable
from typing import IO, Any

from connector.errors import MappingError
from connector.mapping.problems import FOLDER
from connector.mapping.yaml_nodes import MAX_BYTES

Texts = Mapping[str, str]
"""Texts of files by their path in the folder: `order.yaml`, `values/order_status.yaml`."""

MAX_FILES = 200
MAX_TOTAL = 4_000_000
"""Characters of all files together."""
_PATH = re.compile(r"(values/)?[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}\.ya?ml", re.ASCII)


def check_texts(texts: Texts) -> None:
    """Raise MappingError for what cannot be a folder of mapping files: too much, or a path that leads elsewhere."""
    problems = []
    for path, text in list(texts.items())[: MAX_FILES + 1]:
        if not _PATH.fullmatch(path):
            shown = path[:80].encode("unicode_escape").decode()
            problems.append(f"{FOLDER}: {shown}: is no file of mappings: name it `order.yaml` or `values/name.yaml`.")
        elif not _is_encodable(text):
            problems.append(f"{FOLDER}/{path}: file: has half a character (a lone surrogate): remove it.")
        elif len(text) > MAX_BYTES:
            problems.append(
                f"{FOLDER}/{path}: file: is larger than {MAX_BYTES:,} bytes: a few hundred lines are usual."
            )
    if len(texts) > MAX_FILES or sum(map(len, texts.values())) > MAX_TOTAL:
        problems.append(f"{FOLDER}: files: more than {MAX_FILES} files or {MAX_TOTAL:,} characters: remove some.")
    if problems:
        raise MappingError(problems)


def _is_encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


class TextFolder(Traversable):
    """The folder, or a folder in it; `prefix` ends with a slash, if there is one."""

    def __init__(self, texts: Texts, name: str = FOLDER, prefix: str = "") -> None:
        self._texts = texts
        self._name = name
        self._prefix = prefix

    @property
    def name(self) -> str:
        return self._name

    def is_dir(self) -> bool:
        return not self._prefix or any(path.startswith(self._prefix) for path in self._texts)

    def is_file(self) -> bool:
        return False

    def iterdir(self) -> Iterator[Traversable]:
        for path, text in self._texts.items():
            name = path.removeprefix(self._prefix)
            if path.startswith(self._prefix) and "/" not in name:
                yield _TextFile(name, text)

    def joinpath(self, *descendants: Any) -> Traversable:
        path = self._prefix + "/".join(map(str, descendants))
        if path in self._texts:
            return _TextFile(path.rpartition("/")[2], self._texts[path])
        return TextFolder(self._texts, path.rpartition("/")[2], f"{path}/")

    def open(self, *_: Any, **__: Any) -> IO[Any]:
        raise IsADirectoryError(self._name)

    def read_bytes(self) -> bytes:
        raise IsADirectoryError(self._name)

    def read_text(self, encoding: str | None = None) -> str:
        raise IsADirectoryError(self._name)


class _TextFile(Traversable):
    def __init__(self, name: str, text: str) -> None:
        self._name = name
        self._text = text

    @property
    def name(self) -> str:
        return self._name

    def is_dir(self) -> bool:
        return False

    def is_file(self) -> bool:
        return True

    def iterdir(self) -> Iterator[Traversable]:
        raise NotADirectoryError(self._name)

    def joinpath(self, *_: Any) -> Traversable:
        raise NotADirectoryError(self._name)

    def open(self, mode: str = "r", *_: Any, **__: Any) -> IO[Any]:
        return io.BytesIO(self._text.encode()) if "b" in mode else io.StringIO(self._text)

    def read_bytes(self) -> bytes:
        return self._text.encode()

    def read_text(self, encoding: str | None = None) -> str:
        return self._text
