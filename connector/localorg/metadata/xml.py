"""XML with lines, as errors need them; entities and document types are refused."""

from __future__ import annotations

from collections.abc import Iterator
from xml.parsers import expat

MOST_NESTING = 100


class MetadataError(Exception):
    """`problem` of `component` at `line` of its file."""

    def __init__(self, component: str, line: int, problem: str) -> None:
        super().__init__(f"{component}:{line}: {problem}")
        self.component = component
        self.line = line
        self.problem = problem


class Element:
    """A node of the file with its line."""

    def __init__(self, name: str, line: int) -> None:
        self.name = name
        self.line = line
        self.nil = False
        self.kind = ""  # its xsi:type
        self.text = ""
        self.children: list[Element] = []

    def all(self, name: str) -> Iterator[Element]:
        return (child for child in self.children if child.name == name)

    def child(self, name: str) -> Element | None:
        return next(self.all(name), None)

    def get(self, name: str, default: str = "") -> str:
        found = self.child(name)
        return default if found is None else found.text.strip()

    def true(self, name: str) -> bool:
        return self.get(name) == "true"

    def deep(self, name: str) -> Iterator[Element]:
        """Every element of that name, however deep."""
        for child in self.children:
            if child.name == name:
                yield child
            yield from child.deep(name)


def read(content: bytes, file: str) -> Element:
    """The root element. MetadataError where the content is no XML."""
    parser = expat.ParserCreate(namespace_separator=" ")
    stack = [Element("", 0)]

    def start(name: str, attributes: dict[str, str]) -> None:
        element = Element(name.rpartition(" ")[2], parser.CurrentLineNumber)
        if len(stack) > MOST_NESTING:
            raise MetadataError(file, parser.CurrentLineNumber, f"nested more than {MOST_NESTING} levels deep")
        element.nil = any(key.rpartition(" ")[2] == "nil" and value == "true" for key, value in attributes.items())
        kind = next((value for key, value in attributes.items() if key.endswith("XMLSchema-instance type")), "")
        element.kind = kind.rpartition(":")[2]
        stack[-1].children.append(element)
        stack.append(element)

    def text(data: str) -> None:
        stack[-1].text += data

    def declared(*_: object) -> None:
        raise MetadataError(file, parser.CurrentLineNumber, "a document type is not allowed")

    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _: stack.pop()
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = declared
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        raise MetadataError(file, error.lineno, f"not well-formed: {expat.ErrorString(error.code)}") from None
    return stack[0].children[0]
