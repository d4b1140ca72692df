"""The sandbox for a company's templates: they cannot reach the service, and a number in them makes nothing large.

`"x" * 10**10` in a template would use up the memory of the service by one mistyped number. So operators, filters and
methods that repeat, pad or fill up to a given size are refused, and there is no `range`.

What grows step by step is not bounded: `~`, `+`, `replace` and `join` make longer texts of long ones, and loops can be
nested. A template that doubles a text thirty times still uses up the memory. Templates come from a folder of whoever
runs the service.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from types import CodeType
from typing import Any

from jinja2 import (
    BaseLoader,
    BytecodeCache,
    ChoiceLoader,
    Environment,
    PackageLoader,
    StrictUndefined,
    TemplateNotFound,
    pass_eval_context,
)
from jinja2.bccache import Bucket
from jinja2.exceptions import SecurityError
from jinja2.filters import do_round, do_tojson
from jinja2.loaders import split_template_path
from jinja2.nodes import EvalContext
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from connector.files import UnusableFileError, read_file

LARGEST_TEMPLATE = 256 * 1024

_METHODS = frozenset({
    "capitalize", "casefold", "count", "endswith", "find", "isalnum", "isalpha", "isdecimal", "isdigit", "islower",
    "isnumeric", "isspace", "isupper", "lower", "lstrip", "partition", "removeprefix", "removesuffix", "rpartition",
    "rsplit", "rstrip", "split", "splitlines", "startswith", "strip", "swapcase", "title", "upper",
})  # fmt: skip
_NO_FILTERS = ("batch", "center", "format", "indent", "slice")
_NO_GLOBALS = ("range", "lipsum")
_MOST_DIGITS = 28


class Sandbox(ImmutableSandboxedEnvironment):
    """Allows only methods of texts that do not enlarge them, and `*` only between numbers; no `**` and `%`."""

    intercepted_binops = frozenset({"*", "**", "%"})

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator != "*" or not _are_numbers(left, right):
            raise SecurityError(f"`{operator}` is not available here, but for `*` between numbers")
        return left * right

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if isinstance(obj, str):
            return attr in _METHODS
        if isinstance(obj, int | float | Decimal | bytes):  # `(1).to_bytes(10**10)`, `it.amount.scaleb(10**6)`
            return False
        return super().is_safe_attribute(obj, attr, value)

    def wrap_str_format(self, value: Any) -> None:
        """Jinja would allow `"{:9999999999}".format(1)` by a method of its own, without asking `is_safe_attribute`."""


@pass_eval_context
def _tojson(context: EvalContext, value: Any, indent: None = None) -> Any:
    if indent is not None:
        raise SecurityError("`tojson` takes no indent here")
    return do_tojson(context, value)


def _round(value: float, precision: int = 0, method: Any = "common") -> float:
    """Jinja would compute `10 ** precision`, with all its digits."""
    if abs(precision) > _MOST_DIGITS:
        raise SecurityError(f"`round` takes a precision of at most {_MOST_DIGITS}")
    return do_round(value, precision, method)


class _CompiledTemplates(BytecodeCache):
    """What templates of equal text were compiled to, for all environments of `make_sandbox`, which differ in their
    folders only. A service makes a new environment whenever its rules or templates change."""

    def __init__(self) -> None:
        self._compiled: dict[tuple[str, str], CodeType] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self._compiled.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        if bucket.code is not None:
            if len(self._compiled) >= _MAX_COMPILED:
                del self._compiled[next(iter(self._compiled))]
            self._compiled[bucket.key, bucket.checksum] = bucket.code


_MAX_COMPILED = 128
_COMPILED = _CompiledTemplates()


def _are_numbers(*values: object) -> bool:
    return not any(isinstance(value, str | bytes | list | tuple) for value in values)


class _Folder(BaseLoader):
    """Loads templates of a folder and its subfolders: regular files of at most LARGEST_TEMPLATE bytes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get_source(self, environment: Environment, template: str) -> tuple[str, str, None]:
        pieces = split_template_path(template)  # does not find what is outside of the folder
        if not pieces or "\\" in template or any(piece.startswith(".") for piece in pieces):
            raise TemplateNotFound(template)
        path = self._folder.joinpath(*pieces)
        try:
            content = read_file(path, LARGEST_TEMPLATE)
        except UnusableFileError as error:
            if error.missing:
                raise TemplateNotFound(template) from None
            raise OSError(f"{template} {error.problem}") from None
        return content.decode("utf-8"), str(path), None


def make_sandbox(folder: Path | None) -> Environment:
    """Return an environment with the packaged templates; a template of the same name in `folder` replaces one."""
    ours = PackageLoader("connector.notifications", "templates")
    environment = Sandbox(
        loader=ours if folder is None else ChoiceLoader([_Folder(folder), ours]),
        autoescape=lambda name: name is None or ".txt" not in name,
        undefined=StrictUndefined,
        bytecode_cache=_COMPILED,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in _NO_FILTERS:
        environment.filters.pop(name, None)
    environment.filters |= {"tojson": _tojson, "round": _round}
    for name in _NO_GLOBALS:
        environment.globals.pop(name, None)
    return environment
