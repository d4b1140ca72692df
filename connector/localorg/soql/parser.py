"""Query text to a tree, by recursive descent: the grammar of the SOQL reference, and its complaints."""

from __future__ import annotations

from connector.localorg.soql.errors import SoqlError, malformed
from connector.localorg.soql.syntax_tree import (
    Aggregate,
    AllFields,
    Among,
    Compare,
    Condition,
    Group,
    Item,
    Literal,
    Named,
    Not,
    Ordering,
    Path,
    Select,
    TypeOf,
)
from connector.localorg.soql.tokens import Token, tokenize

FUNCTIONS = {"COUNT", "COUNT_DISTINCT", "SUM", "AVG", "MIN", "MAX", "GROUPING"}
CLAUSES = {"FROM", "WHERE", "GROUP", "HAVING", "ORDER", "LIMIT", "OFFSET", "FOR", "WITH", "USING", "ALL"}
MOST_NESTING = 60
MOST_OFFSET = 2_000
MOST_JOINS = 2
MOST_TOTALS = 3


def parse(text: str) -> Select:
    """SoqlError (MALFORMED_QUERY) with the place of the fault."""
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
    def _now(self) -> Token:
        return self._tokens[self._index]

    def _next(self) -> Token:
        token = self._now
        self._index += token.kind != "end"
        return token

    def _unexpected(self, token: Token | None = None) -> SoqlError:
        token = token or self._now
        if token.kind == "end":
            return malformed(self._text, token.position, "unexpected token: '<EOF>'")
        return malformed(self._text, token.position, f"unexpected token: '{token.text}'")

    def _is(self, *words: str) -> bool:
        return all(
            self._index + ahead < len(self._tokens) and self._tokens[self._index + ahead].word == word
            for ahead, word in enumerate(words)
        )

    def _take(self, *words: str) -> bool:
        if self._is(*words):
            self._index += len(words)
            return True
        return False

    def _mark(self, text: str) -> bool:
        if self._now.kind == "mark" and self._now.text == text:
            self._index += 1
            return True
        return False

    def _need(self, text: str) -> None:
        if not (self._mark(text) if text in "()," else self._take(text)):
            raise self._unexpected()

    def expect_end(self) -> None:
        if self._now.kind != "end":
            raise self._unexpected()

    # -- clauses

    def select(self) -> Select:
        position = self._now.position
        self._depth += 1
        if self._depth > MOST_NESTING:
            raise malformed(self._text, position, "query is nested too deeply")
        self._need("SELECT")
        items: list[Item] = [self._item()]
        while self._mark(","):
            items.append(self._item())
        self._need("FROM")
        source = self._name()
        select = Select(items=items, source=source.text, position=source.position)
        if position and "." in source.text:
            raise self._unexpected(source)
        if self._now.kind == "name" and self._now.word not in CLAUSES:
            select.alias = self._next().text
        if self._take("USING"):
            self._need("SCOPE")
            self._name()
        if self._take("WHERE"):
            select.where = self._condition()
            self._check_joins(select.where)
        if self._take("WITH") and not (self._take("SECURITY_ENFORCED") or self._take("USER_MODE")):
            self._need("SYSTEM_MODE")
        if self._take("GROUP"):
            self._need("BY")
            self._grouping(select)
            if self._take("HAVING"):
                self._grouped = True
                select.having = self._condition()
                self._grouped = False
        if self._take("ORDER"):
            self._need("BY")
            select.order_by = [self._ordering()]
            while self._mark(","):
                select.order_by.append(self._ordering())
            grouped = select.group_by or any(isinstance(item, Aggregate) for item in items)
            wrong = next((item.by for item in select.order_by if isinstance(item.by, Aggregate)), None)
            if wrong is not None and not grouped:
                raise malformed(self._text, wrong.position, f"unexpected token: '{wrong.function}'")
        if self._take("LIMIT"):
            select.limit = self._whole()
        if self._take("OFFSET"):
            select.offset = self._whole()
            if select.offset > MOST_OFFSET:
                raise SoqlError("NUMBER_OUTSIDE_VALID_RANGE", f"Maximum SOQL offset allowed is {MOST_OFFSET}")
        while self._take("FOR"):
            if not (self._take("VIEW") or self._take("REFERENCE")):
                raise self._unexpected()
        if self._is("ALL", "ROWS"):
            raise malformed(self._text, self._now.position, "ALL ROWS not allowed in this context")
        self._depth -= 1
        return select

    def _grouping(self, select: Select) -> None:
        word = self._now.word
        totals = word in {"ROLLUP", "CUBE"} and self._tokens[self._index + 1].text == "("
        if totals:
            self._index += 2
            select.totals = word
        select.group_by = [self._path(self._name())]
        while self._mark(","):
            select.group_by.append(self._path(self._name()))
        if totals:
            self._need(")")
            if len(select.group_by) > MOST_TOTALS:
                message = f"GROUP BY {word} has at most {MOST_TOTALS} fields"
                raise malformed(self._text, select.group_by[0].position, message)

    def _check_joins(self, condition: Condition) -> None:
        """Sub-selects: two at most, none inside another, none beside OR."""
        found: list[tuple[Select, bool]] = []
        waiting: list[tuple[Condition, bool]] = [(condition, False)]
        while waiting:
            item, either = waiting.pop()
            if isinstance(item, Group):
                waiting += [(part, either or item.word == "OR") for part in item.conditions]
            elif isinstance(item, Not):
                waiting.append((item.condition, either))
            elif isinstance(item, Among) and item.select is not None:
                found.append((item.select, either))
        for select, either in found:
            if either:
                problem = "Semi join sub-selects are not allowed with the 'OR' operator"
            elif len(found) > MOST_JOINS:
                problem = "At most two Semi join sub-selects are allowed"
            elif self._joined:
                problem = "Nesting of semi join sub-selects is not supported"
            else:
                continue
            raise malformed(self._text, select.position, problem)

    def _item(self) -> Item:
        if self._mark("("):
            inner = self.select()
            self._need(")")
            return inner
        token = self._name()
        if token.word == "TYPEOF" and self._now.kind == "name" and self._now.word not in CLAUSES:
            return self._type_of()
        if self._now.kind == "mark" and self._now.text == "(":
            if token.word == "FIELDS":
                self._need("(")
                kind = self._name().word
                if kind not in {"ALL", "STANDARD", "CUSTOM"}:
                    raise self._unexpected()
                self._need(")")
                return AllFields(kind, token.position)
            aggregate = self._aggregate(token)
            return Aggregate(aggregate.function, aggregate.path, self._alias(), token.position)
        return Named(self._path(token), self._alias())

    def _type_of(self) -> TypeOf:
        relationship = self._path(self._name())
        cases = []
        while self._take("WHEN"):
            kind = self._path(self._name())
            self._need("THEN")
            cases.append((kind, self._fields()))
        otherwise = self._fields() if self._take("ELSE") else ()
        if not cases:
            raise self._unexpected()
        self._need("END")
        return TypeOf(relationship, tuple(cases), otherwise)

    def _fields(self) -> tuple[Path, ...]:
        fields = [self._path(self._name())]
        while self._mark(","):
            fields.append(self._path(self._name()))
        return tuple(fields)

    def _aggregate(self, token: Token) -> Aggregate:
        if token.word not in FUNCTIONS:
            raise self._unexpected(token)
        self._need("(")
        path = None
        if self._now.kind == "name":
            path = self._path(self._next())
        elif token.word != "COUNT":
            raise self._unexpected()
        self._need(")")
        return Aggregate(token.word, path, None, token.position)

    def _alias(self) -> str | None:
        if self._now.kind == "name" and self._now.word not in CLAUSES:
            return self._next().text
        return None

    def _ordering(self) -> Ordering:
        token = self._name()
        by: Path | Aggregate = self._path(token)
        if self._now.kind == "mark" and self._now.text == "(":
            by = self._aggregate(token)
        descending = self._take("DESC") or (self._take("ASC") and False)
        nulls: bool | None = None
        if self._take("NULLS"):
            nulls = self._take("FIRST")
            if not nulls:
                self._need("LAST")
        return Ordering(by, descending, nulls)

    # -- conditions

    def _condition(self) -> Condition:
        self._depth += 1
        if self._depth > MOST_NESTING:
            raise malformed(self._text, self._now.position, "query is nested too deeply")
        first = self._term()
        word = self._now.word
        if word not in {"AND", "OR"}:
            self._depth -= 1
            return first
        terms = [first]
        while self._take(word):
            terms.append(self._term())
        if self._now.word in {"AND", "OR"}:  # the two do not mix without parentheses
            raise self._unexpected()
        self._depth -= 1
        return Group(word, tuple(terms))

    def _term(self) -> Condition:
        if self._take("NOT"):
            self._depth += 1
            if self._depth > MOST_NESTING:
                raise malformed(self._text, self._now.position, "query is nested too deeply")
            inner = self._term()
            self._depth -= 1
            return Not(inner)
        if self._mark("("):
            inner = self._condition()
            self._need(")")
            return inner
        return self._comparison()

    def _comparison(self) -> Condition:
        token = self._name()
        left: Path | Aggregate = self._path(token)
        if self._now.kind == "mark" and self._now.text == "(":
            if not self._grouped:
                raise self._unexpected(token)
            left = self._aggregate(token)
        operator = self._next()
        if operator.kind == "op":
            return Compare(left, "!=" if operator.text == "<>" else operator.text, self._literal())
        word = operator.word
        if word == "LIKE":
            return Compare(left, "LIKE", self._literal())
        if word == "NOT" and self._take("IN"):
            word = "NOT IN"
        if word not in {"IN", "NOT IN", "INCLUDES", "EXCLUDES"} or not isinstance(left, Path):
            raise self._unexpected(operator)
        self._need("(")
        if self._is("SELECT"):
            self._joined += 1
            select = self.select()
            self._joined -= 1
            self._need(")")
            return Among(left, word, (), select)
        values = [self._literal()]
        while self._mark(","):
            values.append(self._literal())
        self._need(")")
        return Among(left, word, tuple(values))

    def _literal(self) -> Literal:
        token = self._next()
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
        token = self._next()
        if token.kind != "name" or ":" in token.text:
            raise self._unexpected(token)
        return token

    def _path(self, token: Token) -> Path:
        return Path(tuple(token.text.split(".")), token.position)

    def _whole(self) -> int:
        token = self._next()
        if token.kind != "number" or not token.text.isdigit() or len(token.text) > 9:
            raise self._unexpected(token)
        return int(token.text)
