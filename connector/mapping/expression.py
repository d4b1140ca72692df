"""`when:` and `expr:`: small expressions over an entity's attributes, judged whole at load and evaluated by simpleeval.

The judge admits a closed set of syntax, turns every path into a plain name and every number into a Decimal; so at run
time there is no attribute access at all, and no surprise but a value that does not suit (text that is no number).
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from simpleeval import SimpleEval

from connector.mapping.functions import ARITHMETIC, EQUALITY, FUNCTIONS, MEMBERSHIP, ORDERING, UNARY, Function
from connector.mapping.paths import Path, PathError, resolve
from connector.mapping.types import NUMBERS, Kind
from connector.suggestions import suggestion

MAX_CHARACTERS = 500  # characters
MAX_NODES = 150
MAX_NUMBER = 10**18

_WORDS = {"true": True, "false": False, "none": None, "null": None}


class ExpressionError(Exception):
    """An expression that cannot be used, said in one sentence with what to do."""


class Expression:
    """A judged expression. One evaluation at a time: the evaluator keeps the names of the one it is in."""

    def __init__(self, text: str, model: type) -> None:
        self.text = text
        judge = _Analyzer(model)
        self._tree, self.kind = judge.analyze(_parse(text))
        self.paths = tuple(judge.paths.values())
        self._readers: tuple[tuple[str, Callable[[Any], Any]], ...] = tuple((p.text, p.read) for p in self.paths)
        operators: dict[Any, Callable[..., Any]] = {}
        for table in (ARITHMETIC, ORDERING, EQUALITY, MEMBERSHIP, UNARY):
            operators.update(table)
        self._evaluator = SimpleEval(
            operators=operators,
            functions={name: function.call for name, function in FUNCTIONS.items()},
            names={},
        )
        evaluate = self._evaluator._eval
        self._evaluator.nodes[ast.Tuple] = lambda node: tuple(evaluate(item) for item in node.elts)

    def evaluate(self, entity: object) -> Any:
        """The value for `entity`; any exception of arithmetic or of a function comes through."""
        self._evaluator.names = {name: read(entity) for name, read in self._readers}
        return self._evaluator.eval(self.text, previously_parsed=self._tree)


def _parse(text: str) -> ast.expr:
    if len(text) > MAX_CHARACTERS:
        raise ExpressionError(f"is longer than {MAX_CHARACTERS} characters: shorten it.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        where = f" at its character {error.offset}" if error.offset else ""
        raise ExpressionError(f"cannot be read as an expression{where}: {error.msg}.") from None
    except (ValueError, RecursionError, MemoryError):
        raise ExpressionError("cannot be read as an expression: simplify it.") from None
    if sum(1 for _ in ast.walk(tree)) > MAX_NODES:
        raise ExpressionError("is too complicated: shorten it.")
    return tree


class _Analyzer:
    def __init__(self, model: type) -> None:
        self._model = model
        self.paths: dict[str, Path] = {}

    def analyze(self, node: ast.expr) -> tuple[ast.expr, Kind]:
        """The node in the form that is evaluated, and the kind of what it yields."""
        match node:
            case ast.Name(id=word) if word in _WORDS:
                return self.analyze(ast.Constant(value=_WORDS[word]))
            case ast.Name() | ast.Attribute():
                return self._path(node)
            case ast.Constant():
                return self._constant(node.value)
            case ast.BoolOp():
                analyzed = [self.analyze(value) for value in node.values]
                node.values = [value for value, _ in analyzed]
                kinds = {kind for _, kind in analyzed}
                return node, kinds.pop() if len(kinds) == 1 else Kind.ANY
            case ast.UnaryOp() if type(node.op) in UNARY:
                node.operand, kind = self.analyze(node.operand)
                if isinstance(node.op, ast.Not):
                    return node, Kind.BOOLEAN
                self._require_kind(kind, NUMBERS, "-")
                return node, kind
            case ast.BinOp() if type(node.op) in ARITHMETIC:
                return self._arithmetic(node)
            case ast.Compare():
                return self._comparison(node)
            case ast.IfExp():
                node.test, _ = self.analyze(node.test)
                node.body, first = self.analyze(node.body)
                node.orelse, second = self.analyze(node.orelse)
                return node, first if first is second else Kind.ANY
            case ast.Call():
                return self._call(node)
            case ast.Tuple() | ast.List() | ast.Set():
                raise ExpressionError('has a list where a value is needed: lists stand after `in`, as `in ["a", "b"]`.')
            case _:
                raise ExpressionError(
                    f"uses what expressions do not have ({ast.unparse(node)[:40]}): use paths, values, + - * / %, "
                    "comparisons, `and`, `or`, `not`, `in`, `a if b else c` and functions."
                )

    def _path(self, node: ast.expr) -> tuple[ast.expr, Kind]:
        text = ast.unparse(node)
        try:
            path = resolve(self._model, text)
        except PathError as error:
            if isinstance(node, ast.Name) and node.id in FUNCTIONS:
                raise ExpressionError(f"names the function `{text}` without calling it: write `{text}(…)`.") from None
            raise ExpressionError(f"has a wrong path: {error}") from None
        self.paths[text] = path
        return ast.Name(id=text, ctx=ast.Load()), path.kind

    def _constant(self, value: object) -> tuple[ast.expr, Kind]:
        if isinstance(value, float):
            return self._number(Decimal(repr(value))), Kind.DECIMAL
        if isinstance(value, bool):
            return ast.Constant(value=value), Kind.BOOLEAN
        if isinstance(value, int):
            return self._number(value), Kind.INTEGER
        if isinstance(value, str):
            return ast.Constant(value=value), Kind.TEXT
        if value is None:
            return ast.Constant(value=None), Kind.ANY
        raise ExpressionError(f"has a value of a sort that no field holds ({value!r}): use text or numbers.")

    def _number(self, value: int | Decimal) -> ast.expr:
        if not -MAX_NUMBER <= value <= MAX_NUMBER:
            raise ExpressionError(f"has a number beyond {MAX_NUMBER}: use a smaller one.")
        held: Any = value  # a tree may hold a Decimal; only its annotation says otherwise
        return ast.Constant(value=held)

    def _arithmetic(self, node: ast.BinOp) -> tuple[ast.expr, Kind]:
        node.left, left = self.analyze(node.left)
        node.right, right = self.analyze(node.right)
        if isinstance(node.op, ast.Add) and Kind.TEXT in (left, right):
            for kind in (left, right):
                self._require_kind(kind, frozenset({Kind.TEXT}), "+")
            return node, Kind.TEXT
        for kind in (left, right):
            self._require_kind(kind, NUMBERS, "arithmetic")
        if Kind.ANY in (left, right):
            return node, Kind.ANY
        is_integer = left is right is Kind.INTEGER and not isinstance(node.op, ast.Div)
        return node, Kind.INTEGER if is_integer else Kind.DECIMAL

    def _require_kind(self, kind: Kind, wanted: frozenset[Kind], what: str) -> None:
        if kind is not Kind.ANY and kind not in wanted:
            raise ExpressionError(
                f"gives {what} a {kind} where it needs a {' or '.join(sorted(wanted))}: "
                "convert it with text(), number() or date()."
            )

    def _comparison(self, node: ast.Compare) -> tuple[ast.expr, Kind]:
        left_node, left = self.analyze(node.left)
        node.left = left_node
        sides: list[ast.expr] = []
        for op, side in zip(node.ops, node.comparators, strict=True):
            if type(op) in MEMBERSHIP and isinstance(side, ast.List | ast.Tuple | ast.Set):
                items = [self.analyze(item) for item in side.elts]
                right_node: ast.expr = ast.Tuple(elts=[item for item, _ in items], ctx=ast.Load())
                right = Kind.ANY
                for item, kind in items:
                    self._check_comparable(left_node, left, item, kind)
            else:
                right_node, right = self.analyze(side)
                self._check_comparable(left_node, left, right_node, right)
            sides.append(right_node)
            left_node, left = right_node, right
        node.comparators = sides
        return node, Kind.BOOLEAN

    def _check_comparable(self, left_node: ast.expr, left: Kind, right_node: ast.expr, right: Kind) -> None:
        """Two sides that can be equal at all: of one kind, and within an enum's choices."""
        both_numbers = left in NUMBERS and right in NUMBERS
        if Kind.ANY not in (left, right) and left is not right and not both_numbers:
            raise ExpressionError(
                f"compares a {left} with a {right}: convert one with text(), number() or date(), "
                'as in `date(placed_at) >= date("2026-01-31")`.'
            )
        for side, other in ((left_node, right_node), (right_node, left_node)):
            if isinstance(side, ast.Name) and isinstance(other, ast.Constant) and isinstance(other.value, str):
                choices = self.paths[side.id].choices
                if choices and other.value not in choices:
                    hint = suggestion(other.value, choices)
                    raise ExpressionError(f"compares `{side.id}` with `{other.value}`, which it never is.{hint}")

    def _call(self, node: ast.Call) -> tuple[ast.expr, Kind]:
        name = ast.unparse(node.func)
        function = FUNCTIONS.get(name)
        if function is None:
            raise ExpressionError(f"calls `{name[:40]}`, which does not exist.{suggestion(name, FUNCTIONS)}")
        if node.keywords or not function.min_arguments <= len(node.args) <= function.max_arguments:
            raise ExpressionError(f"calls `{name}` with wrong arguments: it takes {_arguments_text(function)}.")
        analyzed = [self.analyze(argument) for argument in node.args]
        if function.takes is not None:
            self._require_kind(analyzed[0][1], function.takes, f"`{name}`")
        node.args = [argument for argument, _ in analyzed]
        kinds = {kind for _, kind in analyzed}
        return node, kinds.pop() if function.yields is Kind.ANY and len(kinds) == 1 else function.yields


def _arguments_text(function: Function) -> str:
    return (
        f"{function.min_arguments}"
        if function.min_arguments == function.max_arguments
        else f"{function.min_arguments} to {function.max_arguments}"
    )
