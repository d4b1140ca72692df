"""Read a seed file: the settings and initial records of an org, as YAML. Every error names file, line and column."""

from __future__ import annotations

import io
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydantic
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode

from connector.localorg.seed import SeedRecords
from connector.localorg.settings import OrgSettings, SeedError, SeedPath, StrictKeys

_MAX_BYTES = 4 * 1024 * 1024
_MAX_LEVELS = 50
_MAX_KEY_LENGTH = 100  # characters of it in a message
_MAX_VALUES = 500_000
_TOO_DEEP = f"is nested more than {_MAX_LEVELS} levels deep"


@dataclass(kw_only=True)
class _SeedContent(OrgSettings, StrictKeys):
    records: SeedRecords = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class SeedFile:
    """A parsed seed file. `records` are bodies by object, inserted by the rules of the API when the org is created."""

    path: Path
    settings: OrgSettings
    records: SeedRecords
    document: Any

    def problem_lines(self, error: SeedError) -> list[str]:
        """Return `file:line:column: key: problem` for each problem."""
        return [_problem_line(self.path, self.document, seed_path, problem) for seed_path, problem in error.problems]


class InvalidSeedFileError(ValueError):
    """The seed file cannot be used; `lines` list all problems."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


def read_seed_file(path: Path) -> SeedFile:
    """Read and check a file. InvalidSeedFileError lists its problems."""
    try:
        text = _read_text(path)
        _check_size(YAML(typ="safe", pure=True).compose(text))
        document = YAML(typ="rt").load(io.StringIO(text))
    except _FileProblemError as error:
        raise InvalidSeedFileError([f"{path}{error}"]) from None
    except RecursionError:
        raise InvalidSeedFileError([f"{path}: {_TOO_DEEP}"]) from None
    except FileNotFoundError:
        raise InvalidSeedFileError([f"{path}: there is no such file"]) from None
    except OSError as error:
        raise InvalidSeedFileError([f"{path}: cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise InvalidSeedFileError([f"{path}: is not UTF-8: save the file as UTF-8"]) from None
    except MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise InvalidSeedFileError([f"{where}: {error.problem or 'is not YAML'}"]) from None
    except YAMLError as error:
        raise InvalidSeedFileError([f"{path}: is not YAML: {' '.join(str(error).split())}"]) from None
    if document is None:
        document = CommentedMap()
    if not isinstance(document, CommentedMap):
        raise InvalidSeedFileError([f"{path}:1:1: must hold keys and values, not a list or a text"])
    try:
        content = pydantic.TypeAdapter(_SeedContent).validate_python(document)
    except pydantic.ValidationError as error:
        lines = [_problem_line(path, document, tuple(item["loc"]), _problem_text(item)) for item in error.errors()]
        raise InvalidSeedFileError(lines) from None
    values = {name: getattr(content, name) for name in OrgSettings.__dataclass_fields__}
    return SeedFile(path=path, settings=OrgSettings(**values), records=content.records, document=document)


class _FileProblemError(Exception):
    """A problem of the whole file. The message begins with the position, if there is one."""


def _read_text(path: Path) -> str:
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # else a pipe would be waited for
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise _FileProblemError(": is not a regular file")
        with open(handle, "rb", closefd=False) as file:
            content = file.read(_MAX_BYTES + 1)
    finally:
        os.close(handle)
    if len(content) > _MAX_BYTES:
        raise _FileProblemError(f": is larger than {_MAX_BYTES:,} bytes")
    return content.decode("utf-8-sig")


def _check_size(top: Node | None) -> None:
    """Refuse deep nesting and too many values. Values that aliases repeat count each time."""
    sizes: dict[int, tuple[int, int]] = {}
    open_: set[int] = set()

    def measure(node: Node, level: int) -> tuple[int, int]:
        mark = f":{node.start_mark.line + 1}:{node.start_mark.column + 1}"
        size = sizes.get(id(node))
        if id(node) in open_ or level + (size[0] if size else 1) > _MAX_LEVELS:
            raise _FileProblemError(f"{mark}: {_TOO_DEEP}")
        if size is not None:
            return size
        open_.add(id(node))
        levels, values = 1, 1
        inside = [part for pair in node.value for part in pair] if isinstance(node, MappingNode) else node.value
        for child in () if isinstance(node, ScalarNode) else inside:
            below, more = measure(child, level + 1)
            levels, values = max(levels, below + 1), values + more
            if values > _MAX_VALUES:
                raise _FileProblemError(
                    f"{mark}: has more than {_MAX_VALUES:,} values; repeated aliases count each time"
                )
        open_.discard(id(node))
        sizes[id(node)] = levels, values
        return levels, values

    if top is not None:
        measure(top, 1)


def _problem_text(error: Any) -> str:
    if error["type"] == "unexpected_keyword_argument":
        return "is not a setting of an org"
    if error["type"] == "missing":
        return "is missing"
    return str(error["msg"])


def _problem_line(path: Path, document: Any, seed_path: SeedPath, problem: str) -> str:
    line = column = 1
    node = document
    for key in seed_path:
        try:
            position = node.lc.key(key) if isinstance(node, CommentedMap) else node.lc.item(key)
            node = node[key]
        except (KeyError, IndexError, AttributeError, TypeError):
            break
        line, column = position[0] + 1, position[1] + 1
        if not isinstance(node, CommentedMap | CommentedSeq):
            break
    where = ".".join(str(part)[:_MAX_KEY_LENGTH] for part in seed_path)
    return f"{path}:{line}:{column}: {where or 'file'}: {problem}"
