"""Reads YAML text as nodes that know their line and column.

It composes nodes and constructs no objects: a value keeps the text of its author (`1.10`, `on`), duplicate keys are
detected, and no alias is ever expanded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal, InvalidOperation
from functools import lru_cache

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from connector.mapping.problems import Position, Problems
from connector.mapping.yaml_limits import TOO_DEEP, TooMuchError, check
from connector.model.record import FieldValue

MAX_BYTES = 1_000_000
"""The largest accepted file, in bytes."""

_MOST_CACHED = 16_000
"""The size of the largest file whose nodes are kept in memory, in bytes; the nodes take about forty times as much."""
_CACHED_FILES = 16
"""More than one folder of mappings and the rules have."""

_TAG = "tag:yaml.org,2002:"


class BadValueError(Exception):
    """A scalar that is neither text, number, true nor false."""


class BadYamlError(Exception):
    """A file that cannot be read as YAML: `problem` follows its name; `line` and `column` count from 1."""

    def __init__(self, problem: str, line: int = 1, column: int = 1) -> None:
        super().__init__(problem)
        self.problem = problem
        self.line = line
        self.column = column


def compose_document(content: bytes) -> Node | None:
    """The root node of a file's only document; None for an empty file. Raises BadYamlError if it cannot be read, is too
    large or nested too deeply.

    Nobody may change the nodes: the same content has the same ones, as one changed file makes a whole folder be read
    again."""
    return (_compose_once if len(content) <= _MOST_CACHED else _compose)(content)


def _compose(content: bytes) -> Node | None:
    if len(content) > MAX_BYTES:
        raise BadYamlError(f"is larger than {MAX_BYTES:,} bytes: a few hundred lines are usual.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        raise BadYamlError("is not UTF-8: save it as UTF-8.", line, column) from None
    try:
        node: Node | None = YAML(typ="safe", pure=True).compose(text)
        if node is not None:
            check(node)
    except TooMuchError as error:
        mark = error.node.start_mark
        raise BadYamlError(f"{error.problem}.", mark.line + 1, mark.column + 1) from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = f"is not YAML: {error.problem or error.context}; correct this line or the one above."
        if mark is None:
            raise BadYamlError(problem) from None
        raise BadYamlError(problem, mark.line + 1, mark.column + 1) from None
    except ReaderError as error:
        before = text[: int(error.position)]
        problem = f"is not YAML: it has the character {_code(error.character)}, which YAML does not allow; remove it."
        raise BadYamlError(problem, before.count("\n") + 1, len(before) - before.rfind("\n")) from None
    except RecursionError:
        raise BadYamlError(f"is not YAML: it {TOO_DEEP}.") from None
    except Exception as error:
        # The parser has answered odd input with IndexError and the like; whatever it is, the file is at fault.
        lines = str(error).splitlines()
        raise BadYamlError(f"is not YAML: {lines[0] if lines else type(error).__name__}; correct the file.") from None
    return node


_compose_once = lru_cache(maxsize=_CACHED_FILES)(_compose)


def _code(character: int | str) -> str:
    return f"U+{character if isinstance(character, int) else ord(character):04X}"


def compose(file: str, content: bytes, problems: Problems) -> MappingNode | None:
    """The file's mapping at the top; None, with the problem noted, where there is none."""
    start = Position(file=file)
    try:
        node = compose_document(content)
    except BadYamlError as error:
        problems.add(Position(file=file, line=error.line, column=error.column), "file", error.problem)
        return None
    if not isinstance(node, MappingNode):
        problems.add(
            start if node is None else at(file, node), "file", "is empty or no mapping: write `key: value` lines."
        )
        return None
    return node


def at(file: str, node: Node) -> Position:
    return Position(file=file, line=node.start_mark.line + 1, column=node.start_mark.column + 1)


def pairs(file: str, node: MappingNode, problems: Problems, within: str = "") -> Iterator[tuple[str, Position, Node]]:
    """Key, the key's position and the value, in order; a repeated or strange key is noted and left out."""
    seen: dict[str, Position] = {}
    for key, value in node.value:
        position = at(file, key)
        name = key.value if isinstance(key, ScalarNode) else None
        if name is None or key.tag == f"{_TAG}merge":
            problems.add(position, within or "file", "has a key that is no plain word: write `key: value`.")
        elif name in seen:
            label = f"{within}.{name}" if within else name
            problems.add(position, label, f"stands here twice, first on line {seen[name].line}: remove one.")
        else:
            seen[name] = position
            yield name, position, value


def find(file: str, node: Node, place: Sequence[int | str]) -> Position:
    """Where the part of a document at `place` stands (names and indexes from the top): its key, or its list entry; if
    it is not there, what it would be in."""
    position = at(file, node)
    for part in place:
        if isinstance(node, MappingNode):
            inside = [pair for pair in node.value if pair[0].value == str(part)]
        elif isinstance(node, SequenceNode):
            inside = [(entry, entry) for number, entry in enumerate(node.value) if number == part]
        else:
            inside = []
        if not inside:
            break
        key, node = inside[0]
        position = at(file, key)
    return position


def text_of(node: Node) -> str | None:
    """The text of a scalar that is text; None for anything else."""
    return node.value if isinstance(node, ScalarNode) and node.tag == f"{_TAG}str" else None


def texts_of(node: Node) -> list[str] | None:
    """One text or a list of texts, as a list."""
    if isinstance(node, SequenceNode):
        texts = [text_of(item) for item in node.value]
        return [text for text in texts if text is not None] if None not in texts else None
    text = text_of(node)
    return None if text is None else [text]


def value_of(node: Node) -> FieldValue:
    """A scalar as a field value: text, true or false, whole number, Decimal, None; a date stays the text it is."""
    if not isinstance(node, ScalarNode):
        raise BadValueError("is a list or mapping where one value is needed")
    tag = str(node.tag).removeprefix(_TAG)
    if tag in {"str", "timestamp"}:
        return str(node.value)
    if tag == "null":
        return None
    if tag == "bool":
        return node.value.lower() in {"true", "yes", "on", "y"}
    if tag in {"int", "float"}:
        return _number(node.value)
    raise BadValueError("is no text, number, true or false")


def _number(text: str) -> int | Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise BadValueError("is not a plain decimal number: put text in quotes") from None
    if not number.is_finite() or abs(number) > 10**18:
        raise BadValueError("is beyond what a field holds: put text in quotes")
    return int(number) if text.lstrip("+-").isdigit() else number
