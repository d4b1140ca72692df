"""A seed file: what an org is to be like before anybody signs in, as YAML. Every error names file, line and column."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydantic
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from connector.localorg.seed import Bodies
from connector.localorg.settings import OrgSettings, Place, SeedError, Strict


@dataclass(kw_only=True)
class _Content(OrgSettings, Strict):
    records: Bodies = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class SeedFile:
    """`records` are bodies by object, written through the API's own rules on the org's first day."""

    path: Path
    settings: OrgSettings
    records: Bodies
    document: Any

    def lines(self, error: SeedError) -> list[str]:
        """`file:line:column: key: problem`, one each."""
        return [_line(self.path, self.document, place, problem) for place, problem in error.problems]


class UnreadableSeedError(ValueError):
    """`lines` say all that is wrong."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


def read(path: Path) -> SeedFile:
    """UnreadableSeedError for a file that is none."""
    try:
        document = YAML(typ="rt").load(io.StringIO(path.read_text(encoding="utf-8-sig")))
    except FileNotFoundError:
        raise UnreadableSeedError([f"{path}: there is no such file"]) from None
    except OSError as error:
        raise UnreadableSeedError([f"{path}: cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise UnreadableSeedError([f"{path}: is not UTF-8: save it as UTF-8"]) from None
    except MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise UnreadableSeedError([f"{where}: {error.problem or 'is not YAML'}"]) from None
    except YAMLError as error:
        raise UnreadableSeedError([f"{path}: is not YAML: {' '.join(str(error).split())}"]) from None
    if document is None:
        document = CommentedMap()
    if not isinstance(document, CommentedMap):
        raise UnreadableSeedError([f"{path}:1:1: is a list or a text: write keys and values"])
    try:
        content = pydantic.TypeAdapter(_Content).validate_python(document)
    except pydantic.ValidationError as error:
        told = [_line(path, document, tuple(item["loc"]), _said(item)) for item in error.errors()]
        raise UnreadableSeedError(told) from None
    given = {name: getattr(content, name) for name in OrgSettings.__dataclass_fields__}
    return SeedFile(path=path, settings=OrgSettings(**given), records=content.records, document=document)


def _said(error: Any) -> str:
    if error["type"] == "unexpected_keyword_argument":
        return "is no setting of an org"
    if error["type"] == "missing":
        return "is missing"
    return str(error["msg"])


def _line(path: Path, document: Any, place: Place, problem: str) -> str:
    line = column = 1
    node = document
    for key in place:
        try:
            found = node.lc.key(key) if isinstance(node, CommentedMap) else node.lc.item(key)
            node = node[key]
        except (KeyError, IndexError, AttributeError, TypeError):
            break
        line, column = found[0] + 1, found[1] + 1
        if not isinstance(node, CommentedMap | CommentedSeq):
            break
    return f"{path}:{line}:{column}: {'.'.join(map(str, place)) or 'file'}: {problem}"
