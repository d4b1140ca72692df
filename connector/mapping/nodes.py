"""YAML text as nodes that know their line and column.

It composes and does not construct: a value keeps the text the author wrote (`1.10`, `on`), duplicate keys are seen, and
no alias is ever expanded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal, InvalidOperation

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from connector.mapping.problems import Position, Problems
from connector.model.record import FieldValue

LARGEST = 1_000_000  # bytes

_TAG = "tag:yaml.org,2002:"


class BadValueError(Exception):
    """A scalar that is none of text, number, true or false."""


def compose(file: str, content: bytes, problems: Problems) -> MappingNode | None:
    """The file's mapping at the top; None, with the problem noted, where there is none."""
    start = Position(file=file)
    if len(content) > LARGEST:
        problems.add(start, "file", f"is larger than {LARGEST} bytes: a mapping is a few hundred lines.")
        return None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        problems.add(Position(file=file, line=line, column=column), "file", "is not UTF-8: save it as UTF-8.")
        return None
    try:
        node = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = start if mark is None else Position(file=file, line=mark.line + 1, column=mark.column + 1)
        problems.add(
            where, "file", f"is not YAML: {error.problem or error.context}; correct this line or the one above."
        )
        return None
    except Exception as error:
        # The parser has answered odd input with IndexError and the like; whatever it is, the file is at fault.
        said = str(error).splitlines()
        problems.add(start, "file", f"is not YAML: {said[0] if said else type(error).__name__}; write it anew.")
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
    found = at(file, node)
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
        found = at(file, key)
    return found


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
