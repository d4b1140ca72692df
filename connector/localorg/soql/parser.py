"""Parse query text to a tree by recursive descent, with the grammar and the errors of the SOQL reference."""

from __future__ import annotations

from functools import lru_cache

from connector.localorg.soql.errors import SoqlError, malformed_query
from connector.localorg.soql.syntax_tree import (
    Aggregate,
    AllFields,
    Comparison,
    Condition,
    Group,
    Item,
    Literal,
    Membership,
    Not,
    Ordering,
    Path,
    Select,
    SelectedField,
    TypeOf,
)
from connector.localorg.soql.tokens import Token, tokenize

FUNCTIONS = {"COUNT", "COUNT_DISTINCT", "SUM", "AVG", "MIN", "MAX", "GROUPING"}
CLAUSES = {"FROM", "WHERE", "GROUP", "HAVING", "ORDER", "LIMIT", "OFFSET", "FOR", "WITH", "USING", "ALL"}
MAX_NESTING = 60
MAX_OFFSET = 2_000
MAX_JOINS = 2
MAX_TOTALS = 3


@lru_cache(maxsize=128)
def parse(text: str) -> Select:
    """Parse a query; nobody changes the tree. SoqlError (MALFORMED_QUERY) names the position of the error."""
    parser = _Parser(text)
    select = parser.select()
    parser.expect_end()
    return select


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = tokenize(text)
        self._index = 0
        self._depth = 0
        self._joined = 0  # sub-selects around the present place
        self._grouped = False  # whether conditions may be about aggregates

    # -- tokens

    @property
    def _current(self) -> Token:
        return self._tokens[self._index]

    def _advance(self) -> Token:
        token = self._current
        self._index += token.kind != "end"
        return token

    def _unexpected(self, token: Token | None = None) -> SoqlError:
        token = token or self._current
        if token.kind == "end":
            return malformed_query(self._text, token.position, "unexpected token: '<EOF>'")
        return malformed_query(self._text, token.position, f"unexpected token: '{token.text}'")

    def _is_at(self, *words: str) -> bool:
        return all(
            self._index + ahead < len(self._tokens) and self._tokens[self._index + ahead].word == word
            for ahead, word in enumerate(words)
        )

    def _accept(self, *words: str) -> bool:
        if self._is_at(*words):
            self._index += len(words)
            return True
        return False

    def _accept_mark(self, text: str) -> bool:
        if self._current.kind == "mark" and self._current.text == text:
            self._index += 1
            return True
        return False

    def _expect(self, text: str) -> None:
        if not (self._accept_mark(text) if text in "()," else self._accept(text)):
            raise self._unexpected()

    def expect_end(self) -> None:
        if self._current.kind != "end":
            raise self._unexpected()

    # -- clauses

    def select(self) -> Select:
        position = self._current.position
        self._depth += 1
        if self._depth > MAX_NESTING:
            raise malformed_query(self._text, position, "query is nested too deeply")
        self._expect("SELECT")
        items: list[Item] = [self._item()]
        while self._accept_mark(","):
            items.append(self._item())
        self._expect("FROM")
        source = self._name()
        select = Select(items=items, source=source.text, position=source.position)
        if position and "." in source.text:
            raise self._unexpected(source)
        if self._current.kind == "name" and self._current.word not in CLAUSES:
            select.alias = self._advance().text
        if self._accept("USING"):
            self._expect("SCOPE")
            self._name()
        if self._accept("WHERE"):
            select.where = self._condition()
            self._check_joins(select.where)
        if self._accept("WITH") and not (self._accept("SECURITY_ENFORCED") or self._accept("USER_MODE")):
            self._expect("SYSTEM_MODE")
        if self._accept("GROUP"):
            self._expect("BY")
            self._grouping(select)
            if self._accept("HAVING"):
                self._grouped = True
                select.having = self._condition()
                self._grouped = False
        if self._accept("ORDER"):
            self._expect("BY")
            select.order_by = [self._ordering()]
            while self._accept_mark(","):
                select.order_by.append(self._ordering())
            grouped = select.group_by or any(isinstance(item, Aggregate) for item in items)
            misplaced = next((item.by for item in select.order_by if isinstance(item.by, Aggregate)), None)
            if misplaced is not None and not grouped:
                raise malformed_query(self._text, misplaced.position, f"unexpected token: '{misplaced.function}'")
        if self._accept("LIMIT"):
            select.limit = self._integer()
        if self._accept("OFFSET"):
            select.offset = self._integer()
            if select.offset > MAX_OFFSET:
                raise SoqlError("NUMBER_OUTSIDE_VALID_RANGE", f"Maximum SOQL offset allowed is {MAX_OFFSET}")
        while self._accept("FOR"):
            if not (self._accept("VIEW") or self._accept("REFERENCE")):
                raise self._unexpected()
        if self._is_at("ALL", "ROWS"):
            raise malformed_query(self._text, self._current.position, "ALL ROWS not allowed in this context")
        self._depth -= 1
        return select

    def _grouping(self, select: Select) -> None:
        word = self._current.word
        totals = word in {"ROLLUP", "CUBE"} and self._tokens[self._index + 1].text == "("
        if totals:
            self._index += 2
            select.totals = word
        select.group_by = [self._path(self._name())]
        while self._accept_mark(","):
            select.group_by.append(self._path(self._name()))
        if totals:
            self._expect(")")
            if len(select.group_by) > MAX_TOTALS:
                message = f"GROUP BY {word} has at most {MAX_TOTALS} fields"
                raise malformed_query(self._text, select.group_by[0].position, message)

    def _check_joins(self, condition: Condition) -> None:
        """Check sub-selects: at most two, not nested, not combined with OR."""
        subselects: list[tuple[Select, bool]] = []
        waiting: list[tuple[Condition, bool]] = [(condition, False)]
        while waiting:
            item, either = waiting.pop()
            if isinstance(item, Group):
                waiting += [(part, either or item.word == "OR") for part in item.conditions]
            elif isinstance(item, Not):
                waiting.append((item.condition, either))
            elif isinstance(item, Membership) and item.select is not None:
                subselects.append((item.select, either))
        for select, either in subselects:
            if either:
                problem = "Semi join sub-selects are not allowed with the 'OR' operator"
            elif len(subselects) > MAX_JOINS:
                problem = "At most two Semi join sub-selects are allowed"
            elif self._joined:
                problem = "Nesting of semi join sub-selects is not supported"
            else:
                continue
            raise malformed_query(self._text, select.position, problem)

    def _item(self) -> Item:
        if self._accept_mark("("):
            inner = self.select()
            self._expect(")")
            return inner
        token = self._name()
        if token.word == "TYPEOF" and self._current.kind == "name" and self._current.word not in CLAUSES:
            return self._type_of()
        if self._current.kind == "mark" and self._current.text == "(":
            if token.word == "FIELDS":
                self._expect("(")
                kind = self._name().word
                if kind not in {"ALL", "STANDARD", "CUSTOM"}:
                    raise self._unexpected()
                self._expect(")")
                return AllFields(kind, token.position)
            aggregate = self._aggregate(token)
            return Aggregate(aggregate.function, aggregate.path, self._alias(), token.position)
        return SelectedField(self._path(token), self._alias())

    def _type_of(self) -> TypeOf:
        relationship = self._path(self._name())
        cases = []
        while self._accept("WHEN"):
            kind = self._path(self._name())
            self._expect("THEN")
            cases.append((kind, self._fields()))
        otherwise = self._fields() if self._accept("ELSE") else ()
        if not cases:
            raise self._unexpected()
        self._expect("END")
        return TypeOf(relationship, tuple(cases), otherwise)

    def _fields(self) -> tuple[Path, ...]:
        fields = [self._path(self._name())]
        while self._accept_mark(","):
            fields.append(self._path(self._name()))
        return tuple(fields)

    def _aggregate(self, token: Token) -> Aggregate:
        if token.word not in FUNCTIONS:
            raise self._unexpected(token)
        self._expect("(")
        path = None
        if self._current.kind == "name":
            path = self._path(self._advance())
        elif token.word != "COUNT":
            raise self._unexpected()
        self._expect(")")
        return Aggregate(token.word, path, None, token.position)

    def _alias(self) -> str | None:
        if self._current.kind == "name" and self._current.word not in CLAUSES:
            return self._advance().text
        return None

    def _ordering(self) -> Ordering:
        token = self._name()
        by: Path | Aggregate = self._path(token)
        if self._current.kind == "mark" and self._current.text == "(":
            by = self._aggregate(token)
        descending = self._accept("DESC") or (self._accept("ASC") and False)
        nulls: bool | None = None
        if self._accept("NULLS"):
            nulls = self._accept("FIRST")
            if not nulls:
                self._expect("LAST")
        return Ordering(by, descending, nulls)

    # -- conditions

    def _condition(self) -> Condition:
        self._depth += 1
        if self._depth > MAX_NESTING:
            raise malformed_query(self._text, self._current.position, "query is nested too deeply")
        first = self._term()
        word = self._current.word
        if word not in {"AND", "OR"}:
            self._depth -= 1
            return first
        terms = [first]
        while self._accept(word):
            terms.append(self._term())
        if self._current.word in {"AND", "OR"}:  # the two do not mix without parentheses
            raise self._unexpected()
        self._depth -= 1
        return Group(word, tuple(terms))

    def _term(self) -> Condition:
        if self._accept("NOT"):
            self._depth += 1
            if self._depth > MAX_NESTING:
                raise malformed_query(self._text, self._current.position, "query is nested too deeply")
            inner = self._term()
            self._depth -= 1
            return Not(inner)
        if self._accept_mark("("):
            inner = self._condition()
            self._expect(")")
            return inner
        return self._comparison()

    def _comparison(self) -> Condition:
        token = self._name()
        left: Path | Aggregate = self._path(token)
        if self._current.kind == "mark" and self._current.text == "(":
            if not self._grouped:
                raise self._unexpected(token)
            left = self._aggregate(token)
        operator = self._advance()
        if operator.kind == "op":
            return Comparison(left, "!=" if operator.text == "<>" else operator.text, self._literal())
        word = operator.word
        if word == "LIKE":
            return Comparison(left, "LIKE", self._literal())
        if word == "NOT" and self._accept("IN"):
            word = "NOT IN"
        if word not in {"IN", "NOT IN", "INCLUDES", "EXCLUDES"} or not isinstance(left, Path):
            raise self._unexpected(operator)
        self._expect("(")
        if self._is_at("SELECT"):
            self._joined += 1
            select = self.select()
            self._joined -= 1
            self._expect(")")
            return Membership(left, word, (), select)
        values = [self._literal()]
        while self._accept_mark(","):
            values.append(self._literal())
        self._expect(")")
        return Membership(left, word, tuple(values))

    def _literal(self) -> Literal:
        token = self._advance()
        if token.kind in {"string", "number", "date", "datetime"}:
            return Literal(token.kind, token.text, token.position)
        if token.word in {"TRUE", "FALSE"}:
            return Literal("boolean", token.word, token.position)
        if token.word == "NULL":
            return Literal("null", token.text, token.position)
        if token.kind == "name" and "." not in token.text:
            return Literal("relative", token.word, token.position)
        raise self._unexpected(token)

    # -- small things

    def _name(self) -> Token:
        token = self._advance()
        if token.kind != "name" or ":" in token.text:
            raise self._unexpected(token)
        return token

    def _path(self, token: Token) -> Path:
        return Path(tuple(token.text.split(".")), token.position)

    def _integer(self) -> int:
        token = self._advance()
        if token.kind != "number" or not token.text.isdigit() or len(token.text) > 9:
            raise self._unexpected(token)
        return int(token.text)
