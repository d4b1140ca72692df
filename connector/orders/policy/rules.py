"""The order rules as data: verification, priority, routing, billing and escalation, loaded from YAML."""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal
from functools import cache, lru_cache
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, WrapValidator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from connector.errors import RulesError
from connector.files import UnusableFileError, read_file
from connector.mapping.expression import Expression, ExpressionError
from connector.mapping.paths import PathError, resolve
from connector.mapping.problems import MAX_LISTED, Position, Problems
from connector.mapping.transforms import to_text
from connector.mapping.yaml_nodes import MAX_BYTES, at, compose, find
from connector.model.customer_history import CustomerHistory
from connector.model.holds import Hold
from connector.model.keys import normalize_key
from connector.model.money import money_text, places_of
from connector.model.notification import MessageKind
from connector.orders.policy.order_facts import OrderFacts
from connector.settings import Settings
from connector.settings.messages import Via
from connector.validation import field_errors, once_each

Criterion = Literal["shipments", "cost", "age"]
_COPY = "copy connector/orders/policy/rules.yaml and change the copy"
_MOST = 500  # rules of a kind
_LONGEST_HOURS = 87_600  # ten years
_MONEY = {"value", "stated_total", "off_stated", "open_balance", "authorized", "captured", "customer.credit_limit"}
_PLACE = re.compile(r"\{([a-z_.]+)\}")


def _expression(text: str) -> str:
    try:
        Expression(text, OrderFacts)
    except ExpressionError as error:
        raise ValueError(f"the expression {_of_orders(error)}") from None
    return text


def _sentence(text: str) -> str:
    for name in _PLACE.findall(text):
        try:
            resolve(OrderFacts, name)
        except PathError as error:
            raise ValueError(f"the text names {{{name}}}: {_of_orders(error)}") from None
    return text


def _of_orders(error: Exception) -> str:
    return str(error).replace("An orderfacts has", "An order has")


_Key = Annotated[str, AfterValidator(normalize_key)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Check(_Part):
    name: Annotated[str, Field(min_length=1, max_length=80)]
    hold: Annotated[Hold, Field(strict=False)]
    when: Annotated[str, AfterValidator(_expression)]
    say: Annotated[str, Field(max_length=500), AfterValidator(_sentence)]


class _Points(_Part):
    points: Annotated[int, Field(ge=-1000, le=1000)]
    when: Annotated[str, AfterValidator(_expression)]


class _Routing(_Part):
    criteria: Annotated[list[Criterion], Field(min_length=1)] = ["shipments", "cost", "age"]
    cost: Annotated[dict[_Key, Annotated[Decimal, Field(ge=0, le=10**12, strict=False)]], WrapValidator(once_each)] = {}


_Hours = Annotated[float, Field(gt=0, le=_LONGEST_HOURS, strict=False)]
_Rate = Annotated[Decimal, Field(ge=0, lt=1, strict=False)]


class _Tax(_Part):
    rate: _Rate
    when: Annotated[str, AfterValidator(_expression)]


class _Billing(_Part):
    company: Annotated[str, Field(min_length=1, max_length=120)] = "Your company"
    address: Annotated[list[str], Field(max_length=8)] = []
    prices: Literal["gross", "net"] = "gross"
    tax_rate: _Rate = Decimal(0)
    tax: Annotated[list[_Tax], Field(max_length=_MOST)] = []


class _RulesFile(_Part):
    unknown_products: Literal["hold", "refuse"] = "hold"
    verification: Annotated[list[_Check], Field(max_length=_MOST)] = []
    priority: Annotated[list[_Points], Field(max_length=_MOST)] = []
    urgent_from: Annotated[int, Field(ge=-1_000_000, le=1_000_000)] = 100
    routing: _Routing = _Routing()
    billing: _Billing = _Billing()
    escalation: dict[
        Annotated[Hold, Field(strict=False)], Annotated[float, Field(gt=0, le=_LONGEST_HOURS, strict=False)]
    ] = {}
    messages: list[Annotated[MessageKind, Field(strict=False)]] = list(MessageKind)


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """A rule of verification: `failure` returns why an order must be held, or None."""

    name: str
    hold: Hold
    when: Expression
    say: str

    def failure(self, facts: OrderFacts) -> str | None:
        if self.when.evaluate(facts) is not True:
            return None
        return _PLACE.sub(lambda place: _fact_text(place[1], facts), self.say)


def _fact_text(path: str, facts: OrderFacts) -> str:
    value = resolve(OrderFacts, path).read(facts)
    is_money = path in _MONEY and isinstance(value, Decimal)
    return money_text(value, places_of(facts.currency)) if is_money else to_text(value)


@dataclass(frozen=True, kw_only=True, slots=True)
class Routing:
    """The routing rules: `criteria`, the most important first; `cost` of one parcel by warehouse."""

    criteria: tuple[Criterion, ...] = ("shipments", "cost", "age")
    cost: Mapping[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Billing:
    """The company that invoices, and the tax rates (fractions): included in prices, or added if prices are `net`.
    `tax`: the rates with a condition on the order; `tax_rate`: the rate of all other orders."""

    company: str = "Your company"
    address: tuple[str, ...] = ()
    net: bool = False
    tax_rate: Decimal = Decimal(0)
    tax: tuple[tuple[Decimal, Expression], ...] = ()

    def rate(self, facts: OrderFacts) -> Decimal:
        return next((rate for rate, when in self.tax if when.evaluate(facts) is True), self.tax_rate)


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """Why an order must be held: the names of the failed rules, and their sentences."""

    rules: str
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """All rules. `keep_unknown`: an order with an unknown product is stored and held, not rejected."""

    keep_unknown: bool = True
    checks: tuple[Check, ...]
    points: tuple[tuple[int, Expression], ...]
    urgent_from: int
    routing: Routing
    billing: Billing
    escalation: Mapping[Hold, float]
    messages: frozenset[MessageKind] = frozenset(MessageKind)
    notified_kinds: frozenset[MessageKind] = frozenset()
    """The kinds of `messages` that can be sent; only these are captured. See `load_rules_for`."""

    def failed_checks(self, facts: OrderFacts, excused: frozenset[Hold] = frozenset()) -> dict[Hold, Failure]:
        """Return why an order must be held, by hold reason, except `excused` reasons that a person has released."""
        failures: dict[Hold, list[tuple[str, str]]] = {}
        for check in self.checks:
            if check.hold not in excused and (why := check.failure(facts)) is not None:
                failures.setdefault(check.hold, []).append((check.name, why))
        return {
            hold: Failure(
                rules="; ".join(name for name, _ in failed_checks), why=" ".join(why for _, why in failed_checks)
            )
            for hold, failed_checks in failures.items()
        }

    @property
    def priority_needs_history(self) -> bool:
        """Whether priority depends on the customer's history, which takes more queries."""
        paths = {path.text for _, when in self.points for path in when.paths}
        return bool(paths & {field.name for field in fields(CustomerHistory)})

    def priority(self, facts: OrderFacts) -> int:
        return sum(points for points, when in self.points if when.evaluate(facts) is True)


def load_rules(file: Path | None = None) -> Rules:
    """Load the rules of `file`, or the packaged ones; raises RulesError with all problems."""
    try:
        content = shipped().encode() if file is None else read_file(file, MAX_BYTES)
    except UnusableFileError as error:
        what = "there is no such file" if error.missing else error.problem
        raise RulesError([f"{file}: {what}: correct CONNECTOR_RULES_FILE, or the file."]) from None
    return _load(str(file or "rules.yaml"), content)


@lru_cache(maxsize=8)
def _load(name: str, content: bytes) -> Rules:
    """Compile a rules file. Equal files are compiled once: every org of a service and every reload asks for them."""
    book = _read(name, content)
    return Rules(
        keep_unknown=book.unknown_products == "hold",
        checks=tuple(
            Check(name=item.name, hold=item.hold, when=Expression(item.when, OrderFacts), say=item.say)
            for item in book.verification
        ),
        points=tuple((item.points, Expression(item.when, OrderFacts)) for item in book.priority),
        urgent_from=book.urgent_from,
        routing=Routing(criteria=tuple(book.routing.criteria), cost=MappingProxyType(book.routing.cost)),
        billing=Billing(
            company=book.billing.company,
            address=tuple(book.billing.address),
            net=book.billing.prices == "net",
            tax_rate=book.billing.tax_rate,
            tax=tuple((item.rate, Expression(item.when, OrderFacts)) for item in book.billing.tax),
        ),
        escalation=MappingProxyType(book.escalation),
        messages=frozenset(book.messages),
    )


def load_rules_for(settings: Settings) -> Rules:
    """Load the rules for these settings. Notifications are captured only if there is a transport for them, so that a
    new mail server does not send last year's notifications."""
    rules = load_rules(settings.rules_file)
    if settings.messages.via is Via.NONE:
        return rules
    without = frozenset() if settings.messages.ops_address else {MessageKind.ESCALATION}
    return replace(rules, notified_kinds=rules.messages - without)


@cache
def standard() -> Rules:
    """Return the packaged rules."""
    return load_rules()


def shipped() -> str:
    return (files("connector.orders.policy") / "rules.yaml").read_text(encoding="utf-8")


def _read(name: str, content: bytes) -> _RulesFile:
    """Parse a rules file. A file without `verification` is an error, as every order would pass."""
    problems = Problems()
    if not any(line.partition(b"#")[0].strip() for line in content.removeprefix(BOM_UTF8).splitlines()):
        problems.add(Position(file=name), "file", f"is empty: {_COPY}.")
        raise RulesError(problems.lines())
    top = compose(name, content, problems)
    if top is None:
        raise RulesError(problems.lines())
    try:
        document = YAML(typ="safe", pure=True).load(content.decode("utf-8-sig"))
    except (YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = Position(file=name, line=mark.line + 1, column=mark.column + 1) if mark else Position(file=name)
        what = str(getattr(error, "problem", None) or error).splitlines()[0]
        raise RulesError([f"{where}: file: is not YAML: {what}."]) from None
    if "verification" not in document:
        text = f"is missing, and every order would pass: {_COPY}, or write `verification: []` to let every order pass."
        problems.add(at(name, top), "verification", text)
    try:
        book = _RulesFile.model_validate(document)
    except ValidationError as error:
        for field_error in field_errors(error, _RulesFile)[:MAX_LISTED]:
            field = ".".join(str(part + 1) if isinstance(part, int) else part for part in field_error.place)
            problems.add(find(name, top, field_error.place), field, field_error.ended)
    if problems:
        raise RulesError(problems.lines())
    return book
