"""How deep and how large a YAML document may be: aliases and merge keys can make a small file a huge one.

Composing repeats nothing, so a document is judged by its nodes, before anything is made of them. A value that an alias
stands for counts as often as it stands there.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

MOST_LEVELS = 50
MOST_VALUES = 100_000  # keys and values of a document, as it is written
MOST_REPEATED = 10_000  # values that aliases repeat, all together
TOO_DEEP = f"is nested more than {MOST_LEVELS} levels deep: write it flatter"

_TAG = "tag:yaml.org,2002:"
_PLAIN_TAGS = frozenset({"str", "int", "float", "bool", "null", "timestamp", "merge", "seq", "map", "value"})


class TooMuchError(Exception):
    """A document that is not to be used: `problem` follows its name, `node` is where."""

    def __init__(self, node: Node, problem: str) -> None:
        super().__init__(problem)
        self.node = node
        self.problem = problem


def check(top: Node) -> None:
    """TooMuchError if the document of this node is too deep or too large, or has tags. It looks at each node once."""
    _Measured().measure(top, 1)


@dataclass(slots=True)
class _Measured:
    sizes: dict[int, tuple[int, int]] = field(default_factory=dict)  # levels and values by node, aliases written out
    open: set[int] = field(default_factory=set)

    def measure(self, node: Node, level: int) -> tuple[int, int]:
        measured = self.sizes.get(id(node))
        if level + (measured[0] - 1 if measured else 0) > MOST_LEVELS:
            raise TooMuchError(node, TOO_DEEP)
        if measured is not None:
            return measured
        if id(node) in self.open:
            raise TooMuchError(node, "contains itself by an alias: take the alias away")
        if str(node.tag).removeprefix(_TAG) not in _PLAIN_TAGS:
            raise TooMuchError(node, f"has the tag {str(node.tag).replace(_TAG, '!!')[:40]}: take it away")
        if len(self.open) + len(self.sizes) >= MOST_VALUES:
            raise TooMuchError(node, f"has more than {MOST_VALUES:,} keys and values: make it smaller")
        self.open.add(id(node))
        levels, values = 1, 1
        for child in _children(node):
            below, inside = self.measure(child, level + 1)
            levels, values = max(levels, below + 1), values + inside
            if values - len(self.sizes) > MOST_REPEATED:
                problem = f"repeats more than {MOST_REPEATED:,} values by aliases: write them out, or leave them away"
                raise TooMuchError(node, problem)
        self.open.discard(id(node))
        self.sizes[id(node)] = levels, values
        return levels, values


def _children(node: Node) -> list[Node]:
    if isinstance(node, MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, SequenceNode) else []
