"""Parse XML with line numbers for error messages. Entities and document types are refused."""

from __future__ import annotations

from collections.abc import Iterator
from xml.parsers import expat

MAX_NESTING = 100
MAX_ELEMENTS = 500_000
_TEXT_BUFFER_SIZE = 64 * 1024  # characters of text that the parser buffers


class MetadataError(Exception):
    """`problem` of `component` at `line` of its file."""

    def __init__(self, component: str, line: int, problem: str) -> None:
        super().__init__(f"{component}:{line}: {problem}")
        self.component = component
        self.line = line
        self.problem = problem


class Element:
    """An element of a file, with its line."""

    def __init__(self, name: str, line: int) -> None:
        self.name = name
        self.line = line
        self.nil = False
        self.kind = ""  # its xsi:type
        self.text = ""
        self.children: list[Element] = []

    def children_named(self, name: str) -> Iterator[Element]:
        return (child for child in self.children if child.name == name)

    def child(self, name: str) -> Element | None:
        return next(self.children_named(name), None)

    def get(self, name: str, default: str = "") -> str:
        element = self.child(name)
        return default if element is None else element.text.strip()

    def is_true(self, name: str) -> bool:
        return self.get(name) == "true"

    def descendants(self, name: str) -> Iterator[Element]:
        """Yield every element of that name, at any depth."""
        for child in self.children:
            if child.name == name:
                yield child
            yield from child.descendants(name)


def parse_xml(content: bytes, file: str) -> Element:
    """Return the root element. MetadataError if the content is not well-formed or too large."""
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text, parser.buffer_size = True, _TEXT_BUFFER_SIZE
    stack = [Element("", 0)]
    texts: list[list[str]] = [[]]  # of the open elements, in pieces
    remaining = MAX_ELEMENTS

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal remaining
        remaining -= 1
        if remaining < 0:
            raise MetadataError(file, parser.CurrentLineNumber, f"has more than {MAX_ELEMENTS:,} elements")
        element = Element(name.rpartition(" ")[2], parser.CurrentLineNumber)
        if len(stack) > MAX_NESTING:
            raise MetadataError(file, parser.CurrentLineNumber, f"nested more than {MAX_NESTING} levels deep")
        element.nil = any(key.rpartition(" ")[2] == "nil" and value == "true" for key, value in attributes.items())
        kind = next((value for key, value in attributes.items() if key.endswith("XMLSchema-instance type")), "")
        element.kind = kind.rpartition(":")[2]
        stack[-1].children.append(element)
        stack.append(element)
        texts.append([])

    def end(_: str) -> None:
        stack.pop().text = "".join(texts.pop())

    def declared(*_: object) -> None:
        raise MetadataError(file, parser.CurrentLineNumber, "a document type is not allowed")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = lambda data: texts[-1].append(data)
    parser.StartDoctypeDeclHandler = declared
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        raise MetadataError(file, error.lineno, f"not well-formed: {expat.ErrorString(error.code)}") from None
    except (LookupError, ValueError) as error:  # an encoding that there is not, or that is no encoding of text
        raise MetadataError(file, 1, f"not readable: {error}") from None
    return stack[0].children[0]
