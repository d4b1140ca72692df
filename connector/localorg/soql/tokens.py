"""Split query text into tokens. A path (`Account.Name`) is one token; the parser decides what a word means."""

from __future__ import annotations

import re
from dataclasses import dataclass

from connector.localorg.soql.errors import malformed_query

_TOKEN = re.compile(
    r"""
    (?P<space>\s+)
  | (?P<string>'(?:[^'\\]|\\.)*')
  | (?P<datetime>\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:?\d\d))
  | (?P<date>\d{4}-\d\d-\d\d)
  | (?P<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)
  | (?P<name>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*(?::\d+)?)
  | (?P<op><=|>=|!=|<>|=|<|>)
  | (?P<mark>[(),])
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", '"': '"', "'": "'", "\\": "\\"}


@dataclass(frozen=True, slots=True)
class Token:
    kind: str  # string | datetime | date | number | name | op | mark | end
    text: str
    position: int

    @property
    def word(self) -> str:
        return self.text.upper() if self.kind == "name" else ""


def tokenize(text: str) -> list[Token]:
    tokens = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise malformed_query(text, position, f"unexpected token: '{text[position]}'")
        kind = match.lastgroup or ""
        if kind != "space":
            tokens.append(Token(kind, match.group(), position))
        position = match.end()
    tokens.append(Token("end", "<EOF>", len(text)))
    return tokens


def unquoted(text: str, token: Token, *, like: bool = False) -> str:
    """Return the value of a string token. With `like`, escaped wildcards keep their backslash."""
    body = token.text[1:-1]
    out = []
    index = 0
    while index < len(body):
        char = body[index]
        if char != "\\":
            out.append(char)
            index += 1
            continue
        escape = body[index + 1]
        if escape in "uU" and re.fullmatch(r"[0-9A-Fa-f]{4}", body[index + 2 : index + 6]):
            out.append(chr(int(body[index + 2 : index + 6], 16)))
            index += 6
            continue
        if escape in "_%":
            out.append("\\" + escape if like else escape)
        elif escape.lower() in _ESCAPES:
            plain = _ESCAPES[escape.lower()]
            out.append("\\\\" if like and plain == "\\" else plain)
        else:
            raise malformed_query(text, token.position + index + 1, f"Illegal escape sequence: \\{escape}")
        index += 2
    return "".join(out).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
